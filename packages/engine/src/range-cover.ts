/**
 * What range tombstones hide from a cursor, and how far.
 *
 * Every memtable and run with range tombstones is a source. For a key each source tells the newest
 * tombstone over it that the reader sees, and the stretch of keys for which this answer holds; the
 * highest number wins, in the stretch that all answers have in common. Within it nothing is asked
 * again: a scan costs one compare per entry, and a search per source where a stretch ends.
 *
 * Along the read order the sequence numbers of a key only fall. So whatever stands behind the source
 * of the winning tombstone is hidden over the whole stretch, and a cursor may send it to its end.
 */
import { compareBytes } from "@aura/base";
import type { RangeFragments } from "@aura/sst";
import type { MemtableEntry } from "./memtables.ts";
import type { TableStore } from "./table-store.ts";
import { type TableMeta, tableIndexFor } from "./version.ts";

/** Range tombstones of one place of the read order. */
export interface RangeSource {
  /** Index of the first child of the cursor's merge whose entries are all older. */
  readonly olderChild: number;
  /** Sets the fields below for key[start, end). */
  locate(key: Uint8Array, start: number, end: number, seqMax: number): void;
  /** The newest tombstone that is seen; -1 for none. */
  readonly seq: number;
  /** The stretch: inclusive, exclusive; an open end is undefined. */
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

/** Fragments that do not change: a memtable's. */
class FragmentSource implements RangeSource {
  seq = -1;
  from: Uint8Array | undefined;
  to: Uint8Array | undefined;
  readonly #fragments: RangeFragments;
  readonly #ownChild: number;
  readonly #lastEntrySeq: number;

  /** `ownChild`: the memtable's entries, of which `lastEntrySeq` is the newest. */
  constructor(fragments: RangeFragments, ownChild: number, lastEntrySeq: number) {
    this.#fragments = fragments;
    this.#ownChild = ownChild;
    this.#lastEntrySeq = lastEntrySeq;
  }

  get olderChild(): number {
    // A tombstone above all entries of its memtable hides these, too.
    return this.seq > this.#lastEntrySeq ? this.#ownChild : this.#ownChild + 1;
  }

  locate(key: Uint8Array, start: number, end: number, seqMax: number): void {
    locateIn(this.#fragments, this, key, start, end, seqMax);
  }
}

/** The tables of a run that have range tombstones, each read when a key meets it. */
class RunSource implements RangeSource {
  seq = -1;
  from: Uint8Array | undefined;
  to: Uint8Array | undefined;
  readonly olderChild: number;
  readonly #tables: readonly TableMeta[];
  readonly #store: TableStore;
  /** The table read last, and its range tombstones. */
  #read: TableMeta | undefined;
  #ranges: RangeFragments | undefined;

  /** `tables`: those of one run with range tombstones, in key order. */
  constructor(tables: readonly TableMeta[], store: TableStore, olderChild: number) {
    this.#tables = tables;
    this.#store = store;
    this.olderChild = olderChild;
  }

  locate(key: Uint8Array, start: number, end: number, seqMax: number): void {
    const tables = this.#tables;
    const i = tableIndexFor(tables, key, start, end);
    const table = tables[i];
    const before = tables[i - 1];
    this.seq = -1;
    if (table === undefined || isBelow(key, start, end, table.smallestKey)) {
      this.from = before === undefined ? undefined : endOf(before);
      this.to = table?.smallestKey;
      return;
    }
    if (this.#read !== table) {
      this.#ranges = this.#store.get(table).ranges;
      this.#read = table;
    }
    this.from = this.to = undefined;
    if (this.#ranges !== undefined) locateIn(this.#ranges, this, key, start, end, seqMax);
    this.from ??= table.smallestKey;
    this.to ??= endOf(table);
  }
}

/** Adds the range tombstones of a memtable, if there are any, as a reader at `seq` sees them. */
export function addMemtableSources(
  sources: RangeSource[],
  { ranges, table, lastEntrySeq }: MemtableEntry,
  seq: number,
  ownChild: number,
): void {
  if (ranges === undefined) return;
  // Without entries it has no child of its own: the one at its place is older.
  const newest = table.entryCount > 0 ? lastEntrySeq : -1;
  for (const part of ranges.viewAt(seq)) sources.push(new FragmentSource(part, ownChild, newest));
}

/** Adds the range tombstones of some tables of a run, if there are any. */
export function addRunSource(
  sources: RangeSource[],
  store: TableStore,
  tables: readonly TableMeta[],
  olderChild: number,
): void {
  const ranged = tables.filter((table) => table.rangeDeleteCount > 0);
  if (ranged.length > 0) sources.push(new RunSource(ranged, store, olderChild));
}

/** What covers the keys that a cursor comes by. */
export class RangeCover {
  /** The first child of the merge that is hidden in the present stretch. */
  olderChild = 0;
  /** End of the present stretch in the direction of the last question, if something covers it. */
  from: Uint8Array | undefined;
  to: Uint8Array | undefined;
  readonly #sources: readonly RangeSource[];
  readonly #seqMax: number;
  #seq = -1;
  #isPlaced = false;

  constructor(sources: readonly RangeSource[], seqMax: number) {
    this.#sources = sources;
    this.#seqMax = seqMax;
  }

  /** Forgets the stretch: the next key may be anywhere. */
  reset(): void {
    this.#isPlaced = false;
  }

  /** Returns the newest tombstone over key[start, end), which is not below the key before; or -1. */
  ahead(key: Uint8Array, start: number, end: number): number {
    const { to } = this;
    if (!this.#isPlaced || (to !== undefined && !isBelow(key, start, end, to))) {
      this.#place(key, start, end);
    }
    return this.#seq;
  }

  /** As `ahead`, for a key that is not above the one before. */
  back(key: Uint8Array, start: number, end: number): number {
    const { from } = this;
    if (!this.#isPlaced || (from !== undefined && isBelow(key, start, end, from))) {
      this.#place(key, start, end);
    }
    return this.#seq;
  }

  #place(key: Uint8Array, start: number, end: number): void {
    this.#isPlaced = false;
    let seq = -1;
    let from: Uint8Array | undefined;
    let to: Uint8Array | undefined;
    for (const source of this.#sources) {
      source.locate(key, start, end, this.#seqMax);
      if (source.seq > seq) {
        seq = source.seq;
        this.olderChild = source.olderChild;
      }
      const { from: low, to: high } = source;
      if (low !== undefined && (from === undefined || isBelow(from, 0, from.length, low))) {
        from = low;
      }
      if (high !== undefined && (to === undefined || isBelow(high, 0, high.length, to))) to = high;
    }
    this.#seq = seq;
    this.from = from;
    this.to = to;
    this.#isPlaced = true;
  }
}

function locateIn(
  fragments: RangeFragments,
  target: { seq: number; from: Uint8Array | undefined; to: Uint8Array | undefined },
  key: Uint8Array,
  start: number,
  end: number,
  seqMax: number,
): void {
  const i = fragments.indexFor(key, start, end);
  const next = fragments.starts[i];
  if (next === undefined || isBelow(key, start, end, next)) {
    target.seq = -1;
    target.from = fragments.ends[i - 1];
    target.to = next;
    return;
  }
  target.seq = fragments.seqOf(i, seqMax);
  target.from = next;
  target.to = fragments.ends[i];
}

/** Returns the first key behind a table. */
function endOf({ largestKey, largestIsExclusive }: TableMeta): Uint8Array {
  if (largestIsExclusive) return largestKey;
  const end = new Uint8Array(largestKey.length + 1);
  end.set(largestKey);
  return end;
}

function isBelow(key: Uint8Array, start: number, end: number, bound: Uint8Array): boolean {
  return compareBytes(key, start, end, bound, 0, bound.length) < 0;
}
