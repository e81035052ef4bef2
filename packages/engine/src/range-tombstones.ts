/**
 * The range tombstones of one memtable, beside its entries: most memtables have none.
 *
 * They are kept twice: as they came, for the flush and for readers of the past, and as the newest
 * one over every key, for readers of the present. The second form is changed in place until a cursor
 * takes it; then it is copied before the next change. A reader of the past gets fragments made for
 * the tombstones that it sees, kept for the next one of its kind.
 */
import { RangeFragments } from "@aura/sst";
import { fragmentRanges, type RangeTombstone } from "./range-fragmenter.ts";

/**
 * What a range tombstone takes of a memtable beside its keys, bytes: more than it weighs, since every
 * read searches them. It bounds how many a memtable holds: 65,536 in 64 MiB.
 */
const TOMBSTONE_BYTES = 1024;
/** Views of the past that are kept. */
const VIEWS_MAX = 8;

/** Returns what a range delete takes of a memtable, bytes. */
export function rangeBytesMax(beginBytes: number, endBytes: number): number {
  return TOMBSTONE_BYTES + beginBytes + endBytes;
}

/** Range tombstones, in order of their sequence numbers. One thread adds and reads. */
export class MemtableRanges {
  readonly #list: RangeTombstone[] = [];
  #newest = new RangeFragments();
  #isShared = false;
  /** By how many tombstones they show. */
  readonly #views = new Map<number, RangeFragments>();

  get count(): number {
    return this.#list.length;
  }

  /** The tombstones as they came. Not to be changed; it grows. */
  get list(): readonly RangeTombstone[] {
    return this.#list;
  }

  /** Adds a tombstone above all others. The bytes are kept. Precondition: begin < end. */
  add(tombstone: RangeTombstone): void {
    this.#list.push(tombstone);
    if (this.#isShared) {
      this.#newest = this.#newest.copy();
      this.#isShared = false;
    }
    this.#newest.insertNewest(tombstone.begin, tombstone.end, tombstone.seq);
  }

  /** Returns the highest sequence number <= `seqMax` that covers key[start, end); -1 for none. */
  coverSeq(key: Uint8Array, start: number, end: number, seqMax: number): number {
    const count = this.#seenCount(seqMax);
    if (count === this.#list.length) return this.#newest.coverSeq(key, start, end, seqMax);
    return count === 0 ? -1 : this.#past(count).coverSeq(key, start, end, seqMax);
  }

  /** Returns what a reader at `seqMax` sees: fragments that stay as they are. */
  viewAt(seqMax: number): RangeFragments {
    const count = this.#seenCount(seqMax);
    if (count < this.#list.length) return this.#past(count);
    this.#isShared = true;
    return this.#newest;
  }

  #seenCount(seqMax: number): number {
    const list = this.#list;
    let low = 0;
    let high = list.length;
    if (list[high - 1]!.seq <= seqMax) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]!.seq <= seqMax) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #past(count: number): RangeFragments {
    const views = this.#views;
    let view = views.get(count);
    if (view === undefined) {
      view = fragmentRanges(this.#list.slice(0, count), []);
      // The oldest gives way.
      for (const key of views.keys()) {
        if (views.size < VIEWS_MAX) break;
        views.delete(key);
      }
      views.set(count, view);
    }
    return view;
  }
}
