/**
 * A version: which tables and segments make up the tree at one moment. Immutable once published.
 *
 * Level 0 holds one run per flush, newest first. A deeper level holds its active run first, then
 * sealed runs, new to old. The tables of a run are sorted by key and never share a user key. Along
 * the read order (memtables, level 0 new to old, then each level's runs) the sequence numbers of one
 * key only fall.
 *
 * Pins: whoever reads across a turn of the event loop pins the version it started with. A file that
 * an edit made obsolete is deleted once no version older than that edit is pinned.
 */
import type { Uid } from "@aura/base";
import { compareBytes, compareKeys } from "@aura/base";

/** What a table refers to in one segment. */
export interface SegmentReference {
  readonly segment: number;
  readonly count: number;
  readonly bytes: number;
}

/**
 * A live table, as the manifest knows it. The bounds are those of its entries and range tombstones
 * together.
 */
export interface TableMeta {
  readonly number: number;
  readonly uid: Uid;
  readonly keyspace: number;
  readonly bytes: number;
  readonly entryCount: number;
  readonly deleteCount: number;
  /** Versions that only snapshots saw when the table was written. */
  readonly shadowedCount: number;
  /** Fragments of range tombstones, counted once for each sequence number. */
  readonly rangeDeleteCount: number;
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  /** `largestKey` is the end of a range tombstone: the first key that is not of the table. */
  readonly largestIsExclusive: boolean;
  readonly smallestSeq: number;
  readonly largestSeq: number;
  readonly filterBits: number;
  readonly references: readonly SegmentReference[];
  /** Of the referenced records, bytes that are known to be of keys that were new (new-keys.ts); undefined: 0. */
  readonly newKeyBytes?: number;
  /** Wall clock when the table joined the tree, ms; undefined until then. */
  readonly createdMs?: number;
}

/** Tables in key order that never share a user key. */
export interface Run {
  readonly id: number;
  readonly tables: readonly TableMeta[];
}

/** One level of the tree. */
export interface Level {
  readonly runs: readonly Run[];
}

/** Kinds of files that hold values: a log of groups with values, or relocated values. */
export type SegmentKind = "vlog" | "seg";

/**
 * What is known of a file that holds values. `total` counts the records whose pointers ever reached
 * the tree or died on the way; `dead` those whose pointer is gone. referenced = total - dead.
 */
export interface SegmentMeta {
  readonly number: number;
  readonly kind: SegmentKind;
  readonly totalCount: number;
  readonly totalBytes: number;
  readonly deadCount: number;
  readonly deadBytes: number;
  /** Size of the file when it was sealed; 0 while it is still written to. */
  readonly fileBytes: number;
  /** Highest sequence number in a sealed log with values; SEQ_MAX while unknown; 0 for `seg`. */
  readonly lastSeq: number;
}

/** Number of levels a tree may have. */
export const LEVEL_COUNT_MAX = 8;

/** An immutable state of the tree. */
export class Version {
  readonly id: number;
  readonly levels: readonly Level[];
  readonly segments: ReadonlyMap<number, SegmentMeta>;
  /** All operations up to this sequence number are in tables (keyspace 0). */
  readonly flushedSeq: number;
  pins = 0;
  #hasRangeDeletes: boolean | undefined;

  constructor(
    id: number,
    levels: readonly Level[],
    segments: ReadonlyMap<number, SegmentMeta>,
    flushedSeq: number,
  ) {
    this.id = id;
    this.levels = levels;
    this.segments = segments;
    this.flushedSeq = flushedSeq;
  }

  /** Whether any table has range tombstones. */
  get hasRangeDeletes(): boolean {
    if (this.#hasRangeDeletes === undefined) {
      const isRanged = (table: TableMeta): boolean => table.rangeDeleteCount > 0;
      this.#hasRangeDeletes = this.levels.some(({ runs }) =>
        runs.some(({ tables }) => tables.some(isRanged)),
      );
    }
    return this.#hasRangeDeletes;
  }

  /** Returns every live table. */
  *tables(): Generator<TableMeta, void, void> {
    for (const level of this.levels) for (const run of level.runs) yield* run.tables;
  }
}

/** Returns the version of an empty tree. */
export function emptyVersion(): Version {
  const levels: Level[] = [];
  for (let i = 0; i < LEVEL_COUNT_MAX; i++) levels.push({ runs: [] });
  return new Version(0, levels, new Map(), 0);
}

/**
 * Returns the index of the only table of a run that may hold key[start, end): the first that does
 * not end below it; `tables.length` when there is none. The caller checks the lower bound.
 */
export function tableIndexFor(
  tables: readonly TableMeta[],
  key: Uint8Array,
  start: number,
  end: number,
): number {
  let low = 0;
  let high = tables.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { largestKey: largest, largestIsExclusive } = tables[middle]!;
    const order = compareBytes(largest, 0, largest.length, key, start, end);
    if (order < 0 || (order === 0 && largestIsExclusive)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Returns whether a table ends below `key`: it holds neither the key nor any above it. */
export function endsBelow(
  { largestKey, largestIsExclusive }: Pick<TableMeta, "largestKey" | "largestIsExclusive">,
  key: Uint8Array,
): boolean {
  const order = compareKeys(largestKey, key);
  return order < 0 || (order === 0 && largestIsExclusive);
}

/** Returns whether a table's bounds meet [smallest, largest], both inclusive. */
export function overlaps(table: TableMeta, smallest: Uint8Array, largest: Uint8Array): boolean {
  return !endsBelow(table, smallest) && compareKeys(table.smallestKey, largest) <= 0;
}
