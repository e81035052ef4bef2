/**
 * The tables that a job writes: splits them at their target size, never inside one user key, and
 * describes them. Every file is complete and durable, its name too, when `finishSync` returns; after
 * `discardSync` none is left.
 */
import type { Codec, FileHandle, FileSystem, Uid } from "@aura/base";
import { AuraError, assert, compareBytes, compareKeys, Kind, SeededRandom } from "@aura/base";
import { type LearnedIndexSettings, learnedIndex } from "@aura/learned-index";
import {
  FilterKind,
  type LentBytes,
  RangeFragments,
  type ScanPlan,
  Table,
  type TableSummary,
  TableWriter,
} from "@aura/sst";
import { filePath } from "../file-names.ts";
import { KEYSPACE } from "../operations.ts";
import type { TableMeta } from "../version.ts";
import type { RangePieces } from "./range-drop.ts";

const NO_BYTES = new Uint8Array(0);
const NO_RANGES = new RangeFragments();

/** How a job writes tables. Structured-cloneable. */
export interface TableOutputSettings {
  readonly directory: string;
  readonly databaseUuid: Uint8Array;
  readonly hashSeed: number;
  readonly blockBytes: number;
  readonly codec: Codec;
  /** Default 0. */
  readonly dictionaryBytes?: number;
  /** A table is read again and verified when it is written. Default false. */
  readonly isParanoid?: boolean;
  /** Codec of the values that the job moves. */
  readonly valueCodec: Codec;
  /** Default Bloom. */
  readonly filter?: FilterKind;
  readonly bloomBitsPerKey: number;
  /** Default 0. */
  readonly prefixBytes?: number;
  readonly learnedIndex: boolean;
  /** How models are built. Default: that of `learnedIndex()`. */
  readonly indexSettings?: LearnedIndexSettings;
  readonly tableBytesMax: number;
  /** Segments of moved values are cut at this size. */
  readonly segmentBytesMax: number;
  /** Numbers this job may use: firstNumber, firstNumber + 1, ... */
  readonly firstNumber: number;
  readonly numberCount: number;
  /** Seeds the uids of the files. */
  readonly uidSeed: number;
}

/** Hands out the numbers and uids of a job's files. */
export class OutputNumbers {
  readonly #settings: TableOutputSettings;
  readonly #random: SeededRandom;
  #used = 0;

  constructor(settings: TableOutputSettings) {
    this.#settings = settings;
    this.#random = new SeededRandom(settings.uidSeed);
  }

  /** Numbers not taken yet. */
  get left(): number {
    return this.#settings.numberCount - this.#used;
  }

  take(): { number: number; uid: Uid } {
    if (this.#used >= this.#settings.numberCount) {
      throw new AuraError("AURA_WORKER", "a job wrote more files than it has numbers for");
    }
    const number = this.#settings.firstNumber + this.#used++;
    return { number, uid: { lo: this.#random.uint32(), hi: this.#random.uint32() } };
  }
}

/** Writes the sorted entries of a job into tables. */
export class TableOutput {
  readonly #fs: FileSystem;
  readonly #settings: TableOutputSettings;
  readonly #numbers: OutputNumbers;
  readonly #buffer: LentBytes | undefined;
  readonly #tables: TableMeta[] = [];
  readonly #paths: string[] = [];
  /** Range tombstones that the tables get; set before the first entry is added. */
  ranges: RangePieces | undefined;
  #writer: TableWriter | undefined;
  #file: FileHandle | undefined;
  #identity: { number: number; uid: Uid } | undefined;
  readonly #lastKey = new Uint8Array(65536);
  #lastKeyBytes = -1;
  /** Blocks of the table when it had room for more than one further block. */
  #roomyAt = -1;
  entryCount = 0;
  #shadowedCount = 0;

  /** `buffer`: memory for blocks, this output's alone; see `TableWriterOptions`. */
  constructor(
    fs: FileSystem,
    settings: TableOutputSettings,
    numbers: OutputNumbers,
    buffer?: LentBytes,
  ) {
    this.#buffer = buffer;
    this.#fs = fs;
    this.#settings = settings;
    this.#numbers = numbers;
  }

  /** Adds an entry; entries come in internal order. */
  add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seq: number,
    tag: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    let writer = this.#writer;
    if (writer !== undefined && this.#isFull(writer)) {
      const last = this.#lastKey;
      if (compareBytes(last, 0, this.#lastKeyBytes, key, keyStart, keyEnd) !== 0) {
        this.#finishTable(this.ranges?.take(new Uint8Array(key.subarray(keyStart, keyEnd))));
        writer = undefined;
      }
    }
    writer ??= this.#begin();
    writer.add(key, keyStart, keyEnd, seq, tag, value, valueStart, valueEnd);
    this.entryCount++;
    if (this.#isFull(writer)) this.#noteLastKey(key, keyStart, keyEnd);
  }

  /**
   * Adds what a plan has still to be taken, at least one entry, and not beyond the end of a table:
   * all that was taken stands in one.
   */
  addPlan(plan: ScanPlan): void {
    let writer = this.#writer;
    if (writer !== undefined && this.#isFull(writer)) {
      this.#finishTable(this.ranges?.take(nextKey(plan)));
      writer = undefined;
    }
    writer ??= this.#begin();
    const bytesMax =
      this.#numbers.left > 2 ? this.#settings.tableBytesMax : Number.POSITIVE_INFINITY;
    const before = writer.entryCount;
    writer.addPlan(plan, bytesMax);
    this.entryCount += writer.entryCount - before;
    if (this.#isFull(writer)) this.#lastKeyBytes = writer.copyLastKey(this.#lastKey);
  }

  /** Notes that the entry added last is seen by snapshots only. */
  noteShadowed(): void {
    this.#shadowedCount++;
  }

  /** Notes that the `count` entries added last refer to records of `bytes` together in `segment`. */
  noteReference(segment: number, bytes: number, count = 1): void {
    this.#writer!.noteReference(segment, bytes, count);
  }

  /** Completes the last table and makes all names durable. Returns the tables in key order. */
  finishSync(): TableMeta[] {
    const next = this.ranges?.next();
    if (this.#writer === undefined && next !== undefined) {
      // A table has entries: this one says what the tombstone says of its first key.
      this.#begin().add(next.start, 0, next.start.length, next.seq, Kind.delete, NO_BYTES, 0, 0);
    }
    if (this.#writer !== undefined) this.#finishTable(this.ranges?.take(undefined));
    if (this.#tables.length > 0) this.#fs.syncDirSync(this.#settings.directory);
    return this.#tables;
  }

  /** Removes what was written; a file that cannot be removed now is an orphan for the next open. */
  discardSync(): void {
    try {
      this.#file?.closeSync();
    } catch {
      // It was not to be kept.
    }
    for (const path of this.#paths) {
      try {
        this.#fs.unlinkSync(path);
      } catch {
        // The orphan sweep at the next open removes it.
      }
    }
  }

  #noteLastKey(key: Uint8Array, keyStart: number, keyEnd: number): void {
    for (let i = keyStart; i < keyEnd; i++) this.#lastKey[i - keyStart] = key[i]!;
    this.#lastKeyBytes = keyEnd - keyStart;
  }

  /**
   * Whether the table has its size. Asked for every entry: while there is room for two more blocks,
   * once per block is enough. The last number but one is for the last table, which takes whatever
   * comes.
   */
  #isFull(writer: TableWriter): boolean {
    if (writer.blockCount === this.#roomyAt) return false;
    const { tableBytesMax, blockBytes } = this.#settings;
    const left = tableBytesMax - writer.estimatedBytes;
    if (left > 2 * blockBytes) this.#roomyAt = writer.blockCount;
    return left <= 0 && this.#numbers.left > 2;
  }

  #begin(): TableWriter {
    const settings = this.#settings;
    this.#identity = this.#numbers.take();
    const { number, uid } = this.#identity;
    const path = filePath(settings.directory, number, "sst");
    this.#file = this.#fs.openSync(path, "create");
    this.#paths.push(path);
    this.#writer = new TableWriter(this.#file, {
      databaseUuid: settings.databaseUuid,
      uid,
      number,
      keyspace: KEYSPACE,
      buffer: this.#buffer,
      settings: {
        blockBytes: settings.blockBytes,
        codec: settings.codec,
        dictionaryBytes: settings.dictionaryBytes ?? 0,
        filter: settings.filter ?? FilterKind.bloom,
        bloomBitsPerKey: settings.bloomBitsPerKey,
        prefixBytes: settings.prefixBytes ?? 0,
        hashSeed: settings.hashSeed,
        index: settings.learnedIndex ? [learnedIndex(settings.indexSettings)] : [],
      },
    });
    this.#lastKeyBytes = -1;
    this.#roomyAt = -1;
    return this.#writer;
  }

  /** Throws AURA_CORRUPTION unless what the file system gives back is the table that was written. */
  #verify(path: string, number: number, uid: Uid): void {
    const { databaseUuid, hashSeed } = this.#settings;
    const indexFormats = [learnedIndex()];
    const identity = { path, number, uid, databaseUuid };
    const table = Table.openSync(this.#fs, { ...identity, hashSeed, indexFormats });
    try {
      table.verifySync();
    } finally {
      table.closeSync();
    }
  }

  /** `ranges`: the table's range tombstones, if it may have any. */
  #finishTable(ranges: RangeFragments = NO_RANGES): void {
    const writer = this.#writer!;
    const file = this.#file!;
    const { number, uid } = this.#identity!;
    writer.setRanges(ranges);
    const summary = writer.finishSync();
    file.syncSync();
    file.closeSync();
    this.#writer = undefined;
    this.#file = undefined;
    assert(summary.entryCount > 0, "a table is never empty");
    if (this.#settings.isParanoid === true) this.#verify(this.#paths.at(-1)!, number, uid);
    this.#tables.push({
      number,
      uid,
      keyspace: KEYSPACE,
      bytes: summary.fileBytes,
      entryCount: summary.entryCount,
      deleteCount: summary.deleteCount,
      shadowedCount: this.#shadowedCount,
      ...boundsWith(summary, ranges),
      filterBits: summary.filterBits,
      references: summary.references,
    });
    this.#shadowedCount = 0;
  }
}

/** Returns the key of the entry that a plan goes on with: a copy. */
function nextKey(plan: ScanPlan): Uint8Array {
  const scan = plan.scans[plan.inputs[plan.next]!]!;
  const key = new Uint8Array(scan.keyBytesAt(plan.entry));
  scan.copyKey(plan.entry, key, 0);
  return key;
}

type Bounds = Pick<
  TableMeta,
  | "rangeDeleteCount"
  | "smallestKey"
  | "largestKey"
  | "largestIsExclusive"
  | "smallestSeq"
  | "largestSeq"
>;

/** Returns the bounds of a table's entries and range tombstones together. */
function boundsWith(summary: TableSummary, ranges: RangeFragments): Bounds {
  let { smallestKey, largestKey, smallestSeq, largestSeq } = summary;
  let largestIsExclusive = false;
  const { starts, ends, seqs, count } = ranges;
  if (count > 0) {
    if (compareKeys(starts[0]!, smallestKey) < 0) smallestKey = starts[0]!;
    largestIsExclusive = compareKeys(ends[count - 1]!, largestKey) > 0;
    if (largestIsExclusive) largestKey = ends[count - 1]!;
    for (const falling of seqs) {
      smallestSeq = Math.min(smallestSeq, falling.at(-1)!);
      largestSeq = Math.max(largestSeq, falling[0]!);
    }
  }
  return {
    rangeDeleteCount: ranges.tombstoneCount,
    smallestKey,
    largestKey,
    largestIsExclusive,
    smallestSeq,
    largestSeq,
  };
}
