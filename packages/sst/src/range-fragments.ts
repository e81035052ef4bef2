/**
 * Range tombstones that do not overlap: what readers search.
 *
 * Ranges as they were deleted overlap at will, so neither their starts nor their ends tell what
 * covers a key. Cut at each other's ends they become fragments in key order, each with the sequence
 * numbers of all the tombstones that cover it, the newest first; a binary search then finds the one
 * fragment a key can be in. `insertNewest` keeps only the newest number of each stretch: the form in
 * which a reader of the present needs them, of at most 2 n + 1 fragments for n tombstones.
 */
import { compareBytes, compareKeys } from "@aura/base";

/** Fragments [starts[i], ends[i]), ascending and disjoint; the sequence numbers of each fall. */
export class RangeFragments {
  readonly starts: Uint8Array[] = [];
  /** Exclusive; `KEYS_END` for none. */
  readonly ends: Uint8Array[] = [];
  readonly seqs: (readonly number[])[] = [];

  get count(): number {
    return this.starts.length;
  }

  /** Fragments, counted once for each sequence number. */
  get tombstoneCount(): number {
    return this.seqs.reduce((sum, seqs) => sum + seqs.length, 0);
  }

  /** Appends a fragment; joins it to the last one where that says the same. Bytes are kept. */
  push(start: Uint8Array, end: Uint8Array, seqs: readonly number[]): void {
    const last = this.count - 1;
    if (last >= 0 && compareKeys(this.ends[last]!, start) === 0) {
      const before = this.seqs[last]!;
      if (before.length === seqs.length && before.every((seq, i) => seq === seqs[i])) {
        this.ends[last] = end;
        return;
      }
    }
    this.starts.push(start);
    this.ends.push(end);
    this.seqs.push(seqs);
  }

  /** Returns the index of the first fragment that ends behind key[start, end); `count` for none. */
  indexFor(key: Uint8Array, start: number, end: number): number {
    const { ends } = this;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const bound = ends[middle]!;
      if (compareBytes(bound, 0, bound.length, key, start, end) <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Returns the highest sequence number <= `seqMax` that covers key[start, end); -1 for none. */
  coverSeq(key: Uint8Array, start: number, end: number, seqMax: number): number {
    const i = this.indexFor(key, start, end);
    if (i === this.starts.length) return -1;
    const from = this.starts[i]!;
    if (compareBytes(from, 0, from.length, key, start, end) > 0) return -1;
    return this.seqOf(i, seqMax);
  }

  /** Returns the highest sequence number <= `seqMax` of fragment `i`; -1 for none. */
  seqOf(i: number, seqMax: number): number {
    const seqs = this.seqs[i]!;
    for (const seq of seqs) if (seq <= seqMax) return seq;
    return -1;
  }

  /** Deletes [start, end) at a sequence number above all others. Precondition: start < end. */
  insertNewest(start: Uint8Array, end: Uint8Array, seq: number): void {
    const first = this.indexFor(start, 0, start.length);
    let behind = first;
    while (behind < this.count && compareKeys(this.starts[behind]!, end) < 0) behind++;
    const starts = [start];
    const ends = [end];
    const seqs: (readonly number[])[] = [[seq]];
    // What sticks out on either side stays.
    if (first < behind && compareKeys(this.starts[first]!, start) < 0) {
      starts.unshift(this.starts[first]!);
      ends.unshift(start);
      seqs.unshift(this.seqs[first]!);
    }
    const last = behind - 1;
    if (first <= last && compareKeys(this.ends[last]!, end) > 0) {
      starts.push(end);
      ends.push(this.ends[last]!);
      seqs.push(this.seqs[last]!);
    }
    this.starts.splice(first, behind - first, ...starts);
    this.ends.splice(first, behind - first, ...ends);
    this.seqs.splice(first, behind - first, ...seqs);
  }

  /** Returns the fragments cut to [from, to); an open end is undefined. Keys are shared. */
  within(from: Uint8Array | undefined, to: Uint8Array | undefined): RangeFragments {
    const cut = new RangeFragments();
    let i = from === undefined ? 0 : this.indexFor(from, 0, from.length);
    for (; i < this.count; i++) {
      let start = this.starts[i]!;
      let end = this.ends[i]!;
      if (to !== undefined && compareKeys(start, to) >= 0) break;
      if (from !== undefined && compareKeys(start, from) < 0) start = from;
      if (to !== undefined && compareKeys(end, to) > 0) end = to;
      cut.push(start, end, this.seqs[i]!);
    }
    return cut;
  }
}
