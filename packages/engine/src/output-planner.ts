/** Plans the output of background jobs: settings, and a block of file numbers that only the job uses. */
import type { Random } from "@aura/base";
import { Codec } from "@aura/base";
import type { TableOutputSettings } from "./jobs/table-output.ts";
import type { Identity } from "./manifest.ts";
import type { ResolvedSettings } from "./settings.ts";

/** Numbers beyond the expected count, for uneven splits and a segment. */
const SPARE_NUMBERS = 8;

/** Makes output settings for jobs. */
export class OutputPlanner {
  readonly #directory: string;
  readonly #identity: Identity;
  readonly #settings: ResolvedSettings;
  readonly #random: Random;
  readonly #takeNumbers: (count: number) => number;

  constructor(
    directory: string,
    identity: Identity,
    settings: ResolvedSettings,
    random: Random,
    takeNumbers: (count: number) => number,
  ) {
    this.#directory = directory;
    this.#identity = identity;
    this.#settings = settings;
    this.#random = random;
    this.#takeNumbers = takeNumbers;
  }

  /** Target size of a table where nobody asks for another. */
  get tableBytesMax(): number {
    return this.#settings.table.maxSize;
  }

  /** Returns the settings of a job that reads `inputBytes` and cuts tables at `tableBytesMax`. */
  plan(inputBytes: number, tableBytesMax: number): TableOutputSettings {
    const { table, learnedIndex, valueLog } = this.#settings;
    const numberCount = Math.ceil(inputBytes / tableBytesMax) * 4 + SPARE_NUMBERS;
    return {
      directory: this.#directory,
      databaseUuid: this.#identity.databaseUuid,
      hashSeed: this.#identity.hashSeed,
      blockBytes: table.blockSize,
      codec: Codec[table.compression],
      valueCodec: Codec[valueLog.compression],
      bloomBitsPerKey: table.bloomBitsPerKey,
      learnedIndex: learnedIndex.modelType !== "none",
      tableBytesMax,
      firstNumber: this.#takeNumbers(numberCount),
      numberCount,
      uidSeed: this.#random.uint32() * 0x200000 + (this.#random.uint32() >>> 11),
    };
  }
}
