/** Plans the output of background jobs: settings, and a block of file numbers that only the job uses. */
import type { Random } from "@aura/base";
import { Codec } from "@aura/base";
import type { TreeShape } from "@aura/compaction-rl";
import { filePath } from "./file-names.ts";
import { type IndexPlan, initialIndexPlan, modelSettings } from "./index-tuner.ts";
import type { MergeOutput } from "./jobs/merge.ts";
import type { TableOutputSettings } from "./jobs/table-output.ts";
import type { Identity } from "./manifest.ts";
import type { ResolvedSettings } from "./settings.ts";
import { type OutputTarget, planTable } from "./table-plan.ts";
import type { Version } from "./version.ts";

/** Numbers beyond the expected count, for uneven splits and a segment. */
const SPARE_NUMBERS = 8;

/** A part of a merge reads at least about this share of a memtable. */
const PARTS_PER_MEMTABLE = 4;
const PART_BYTES_MIN = 64 * 1024;

/** Bounds of `table.blockSize`. */
const BLOCK_BYTES_MIN = 512;
const BLOCK_BYTES_MAX = 1024 * 1024;

/** Makes output settings for jobs. */
export class OutputPlanner {
  readonly #directory: string;
  readonly #identity: Identity;
  readonly #settings: ResolvedSettings;
  readonly #random: Random;
  readonly #takeNumbers: (count: number) => number;
  readonly #segmentBytesMax: () => number;
  readonly #version: () => Version;
  readonly #shape: () => TreeShape | undefined;
  readonly #indexPlan: (level: number) => IndexPlan;

  constructor(
    directory: string,
    identity: Identity,
    settings: ResolvedSettings,
    random: Random,
    numbers: { take: (count: number) => number; segmentBytesMax: () => number },
    tree: { version: () => Version; shape: () => TreeShape | undefined },
    indexPlan: (level: number) => IndexPlan = () => initialIndexPlan(settings),
  ) {
    this.#directory = directory;
    this.#identity = identity;
    this.#settings = settings;
    this.#random = random;
    this.#takeNumbers = numbers.take;
    this.#segmentBytesMax = numbers.segmentBytesMax;
    this.#version = tree.version;
    this.#shape = tree.shape;
    this.#indexPlan = indexPlan;
  }

  /** Target size of a table where nobody asks for another. */
  get tableBytesMax(): number {
    return this.#settings.table.maxSize;
  }

  /**
   * Target size of a table that a flush writes. Smaller than that of others: the bounds of tables
   * are where a merge of level 0 can be cut into parts.
   */
  get flushBytesMax(): number {
    return Math.min(this.tableBytesMax, this.#partBytesMin);
  }

  /** Returns about how many bytes one job of a merge reads whose tables have this size. */
  partBytes(tableBytesMax: number): number {
    return Math.max(tableBytesMax, this.#partBytesMin);
  }

  /** Returns the paths of all files that a merge or a flush wrote. */
  pathsOf(output: Pick<MergeOutput, "tables" | "segmentSeals">): string[] {
    return [
      ...output.tables.map(({ number }) => filePath(this.#directory, number, "sst")),
      ...output.segmentSeals.map(({ number }) => filePath(this.#directory, number, "seg")),
    ];
  }

  /** Returns the paths of all files that a job may have begun: it is gone, and did not say. */
  pathsOfLost({ directory, firstNumber, numberCount }: TableOutputSettings): string[] {
    return Array.from({ length: numberCount }, (_, i) => firstNumber + i).flatMap((number) => [
      filePath(directory, number, "sst"),
      filePath(directory, number, "seg"),
    ]);
  }

  get #partBytesMin(): number {
    return Math.max(this.#settings.memtable.maxSize / PARTS_PER_MEMTABLE, PART_BYTES_MIN);
  }

  /**
   * Returns the settings of a job that reads `inputBytes`, cuts tables at `tableBytesMax`, and may move
   * `valueBytes` of values. Without a target, filters have the average bits per key.
   */
  plan(
    inputBytes: number,
    tableBytesMax: number,
    valueBytes: number,
    target?: OutputTarget,
  ): TableOutputSettings {
    const { table, valueLog } = this.#settings;
    const index = this.#indexPlan(target?.level ?? 0);
    const tablePlan = planTable(this.#settings, this.#version(), target, this.#shape());
    const indexSettings = modelSettings(index);
    const segmentBytesMax = this.#segmentBytesMax();
    const segmentCount = Math.ceil(valueBytes / segmentBytesMax);
    const numberCount = Math.ceil(inputBytes / tableBytesMax) * 4 + SPARE_NUMBERS + segmentCount;
    return {
      ...tablePlan,
      blockBytes: Math.min(
        Math.max(tablePlan.blockBytes * index.blockFactor, BLOCK_BYTES_MIN),
        BLOCK_BYTES_MAX,
      ),
      directory: this.#directory,
      databaseUuid: this.#identity.databaseUuid,
      hashSeed: this.#identity.hashSeed,
      codec: Codec[table.compression],
      dictionaryBytes: table.dictionaryBytes,
      isParanoid: table.paranoid,
      valueCodec: Codec[valueLog.compression],
      // Tables of level 0 are small and soon merged: a model would not pay.
      learnedIndex: indexSettings !== undefined && target?.level !== 0,
      ...(indexSettings === undefined ? {} : { indexSettings }),
      tableBytesMax,
      segmentBytesMax,
      firstNumber: this.#takeNumbers(numberCount),
      numberCount,
      uidSeed: this.#random.uint32() * 0x200000 + (this.#random.uint32() >>> 11),
    };
  }
}
