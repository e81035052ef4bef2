/**
 * The range tombstones of one memtable, beside its entries: most memtables have none.
 *
 * They are kept as they came, for the flush; as the newest one over every key, for gets of the
 * present; and as blocks of 64, of eight blocks each, and so on: fragments made once, when a block is
 * full, that never change. Whoever reads at a moment (a snapshot, a cursor) takes the blocks in front of
 * it, at most a few dozen, and the few tombstones behind them. So neither many snapshots nor scans and
 * deletions in turn make fragments again.
 */
import { compareBytes } from "@aura/base";
import { RangeFragments } from "@aura/sst";
import { fragmentRanges, type RangeTombstone } from "./range-fragmenter.ts";

/**
 * What a range tombstone takes of a memtable beside its keys, bytes: more than it weighs, since every
 * read searches them. It bounds how many a memtable holds: 65,536 in 64 MiB.
 */
const TOMBSTONE_BYTES = 1024;
/** Tombstones of the smallest block; each larger one has eight times as many. */
const BLOCK_SHIFT = 6;
const GROWTH_SHIFT = 3;
/** Sizes of blocks: the last one is of 4096, which are cut in a few milliseconds. */
const BLOCK_SIZES = 3;

/** Returns what a range delete takes of a memtable, bytes. */
export function rangeBytesMax(beginBytes: number, endBytes: number): number {
  return TOMBSTONE_BYTES + beginBytes + endBytes;
}

/** Range tombstones, in order of their sequence numbers. One thread adds and reads. */
export class MemtableRanges {
  readonly #list: RangeTombstone[] = [];
  readonly #newest = new RangeFragments();
  /** Blocks by size, the smallest first: block i of n tombstones holds those from i * n on. */
  readonly #blocks: RangeFragments[][] = Array.from({ length: BLOCK_SIZES }, () => []);
  /** The fragments behind the blocks that were asked for last, and how many tombstones they end at. */
  #tail = new RangeFragments();
  #tailEnd = 0;

  get count(): number {
    return this.#list.length;
  }

  /** The tombstones as they came. Not to be changed; it grows. */
  get list(): readonly RangeTombstone[] {
    return this.#list;
  }

  /** Adds a tombstone above all others. The bytes are kept. Precondition: begin < end. */
  add(tombstone: RangeTombstone): void {
    const list = this.#list;
    list.push(tombstone);
    this.#newest.insertNewest(tombstone.begin, tombstone.end, tombstone.seq);
    for (let size = 0; size < BLOCK_SIZES; size++) {
      const length = 1 << (BLOCK_SHIFT + size * GROWTH_SHIFT);
      if (list.length % length !== 0) return;
      this.#blocks[size]!.push(fragmentRanges(list.slice(list.length - length), []));
    }
  }

  /** Returns the highest sequence number <= `seqMax` that covers key[start, end); -1 for none. */
  coverSeq(key: Uint8Array, start: number, end: number, seqMax: number): number {
    const list = this.#list;
    const count = this.#seenCount(seqMax);
    if (count === list.length) return this.#newest.coverSeq(key, start, end, seqMax);
    // The newest come last: the first one found is the answer.
    const blocksEnd = count & -(1 << BLOCK_SHIFT);
    for (let i = count - 1; i >= blocksEnd; i--) {
      const { begin, end: to, seq } = list[i]!;
      if (
        compareBytes(begin, 0, begin.length, key, start, end) <= 0 &&
        compareBytes(key, start, end, to, 0, to.length) < 0
      ) {
        return seq;
      }
    }
    for (let at = blocksEnd; at > 0; ) {
      const size = sizeBefore(at);
      const shift = BLOCK_SHIFT + size * GROWTH_SHIFT;
      const seq = this.#blocks[size]![(at >>> shift) - 1]!.coverSeq(key, start, end, seqMax);
      if (seq >= 0) return seq;
      at -= 1 << shift;
    }
    return -1;
  }

  /**
   * Returns what a reader at `seqMax` sees, in parts that stay as they are: what covers a key is the
   * highest sequence number of any.
   */
  viewAt(seqMax: number): RangeFragments[] {
    const count = this.#seenCount(seqMax);
    const blocksEnd = count & -(1 << BLOCK_SHIFT);
    const parts: RangeFragments[] = [];
    if (count > blocksEnd) {
      if (this.#tailEnd !== count) {
        this.#tail = fragmentRanges(this.#list.slice(blocksEnd, count), []);
        this.#tailEnd = count;
      }
      parts.push(this.#tail);
    }
    for (let at = blocksEnd; at > 0; ) {
      const size = sizeBefore(at);
      const shift = BLOCK_SHIFT + size * GROWTH_SHIFT;
      parts.push(this.#blocks[size]![(at >>> shift) - 1]!);
      at -= 1 << shift;
    }
    return parts;
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
}

/** Returns the largest size of block that ends at `at`, a multiple of the smallest. */
function sizeBefore(at: number): number {
  let size = 0;
  while (size + 1 < BLOCK_SIZES && at % (1 << (BLOCK_SHIFT + (size + 1) * GROWTH_SHIFT)) === 0) {
    size++;
  }
  return size;
}
