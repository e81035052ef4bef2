/**
 * Cuts range tombstones at each other's ends, so that they do not overlap, and drops those that
 * nobody can tell from a newer one.
 *
 * The snapshots cut the history into strata (survivors.ts). Of the tombstones of one stratum over a
 * key only the newest counts, so a fragment has at most one sequence number per stratum. One sweep
 * over all ends; of each stratum a heap holds what covers the stretch between two ends, newest
 * first, and forgets what ended once it comes to the top. n tombstones take O(n log n) steps, and
 * 2 n - 1 fragments at most.
 */
import { compareKeys } from "@aura/base";
import { RangeFragments } from "@aura/sst";

/** A deleted range: keys from `begin` on, below `end` (`KEYS_END`: all of them). */
export interface RangeTombstone {
  readonly begin: Uint8Array;
  readonly end: Uint8Array;
  readonly seq: number;
}

/** Returns the stratum of a sequence number: how many snapshots do not see it. `snapshots` ascend. */
export function stratumOf(snapshots: readonly number[], seq: number): number {
  let low = 0;
  let high = snapshots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (snapshots[middle]! < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Returns the fragments of tombstones in any order, of each stratum the newest only. */
export function fragmentRanges(
  tombstones: readonly RangeTombstone[],
  snapshots: readonly number[],
): RangeFragments {
  const fragments = new RangeFragments();
  const begins = tombstones.toSorted((a, b) => compareKeys(a.begin, b.begin));
  const bounds = tombstones.flatMap(({ begin, end }) => [begin, end]).sort(compareKeys);
  const heaps: SeqHeap[] = [];
  let next = 0;
  let from: Uint8Array | undefined;
  for (const bound of bounds) {
    if (from !== undefined && compareKeys(from, bound) === 0) continue;
    if (from !== undefined) {
      const seqs = seqsOver(heaps, from);
      if (seqs.length > 0) fragments.push(from, bound, seqs);
    }
    for (; next < begins.length && compareKeys(begins[next]!.begin, bound) === 0; next++) {
      const one = begins[next]!;
      const stratum = stratumOf(snapshots, one.seq);
      heaps[stratum] ??= new SeqHeap();
      heaps[stratum].add(one);
    }
    from = bound;
  }
  return fragments;
}

/** Returns the sequence numbers of what covers the stretch behind `from`, newest stratum first. */
function seqsOver(heaps: readonly (SeqHeap | undefined)[], from: Uint8Array): number[] {
  const seqs: number[] = [];
  for (let stratum = heaps.length - 1; stratum >= 0; stratum--) {
    const top = heaps[stratum]?.topBehind(from);
    if (top !== undefined) seqs.push(top.seq);
  }
  return seqs;
}

/** Tombstones, the newest on top. */
class SeqHeap {
  readonly #items: RangeTombstone[] = [];

  add(item: RangeTombstone): void {
    const items = this.#items;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (items[parent]!.seq >= item.seq) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  /** Returns the newest that ends behind `key`; what ended and is newer is forgotten. */
  topBehind(key: Uint8Array): RangeTombstone | undefined {
    for (;;) {
      const top = this.#items[0];
      if (top === undefined || compareKeys(top.end, key) > 0) return top;
      this.#removeTop();
    }
  }

  #removeTop(): void {
    const items = this.#items;
    const item = items.pop()!;
    if (items.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]!.seq > items[child]!.seq) child++;
      if (items[child]!.seq <= item.seq) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
