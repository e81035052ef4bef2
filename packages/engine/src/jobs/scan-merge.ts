/**
 * The order of a merge: which entries of which input come next, as ranges.
 *
 * Keys are compared by order heads, numbers that each scan keeps in a column, and byte by byte only
 * where those are equal. Inputs with entries left stand sorted by their next entry; after a range of
 * the first one was taken it is put where it belongs now. A range reaches as far as the input's
 * block does and no other input has a key in between: in a random interleaving one or two entries,
 * in a skewed one whole blocks, found at the price of one compare of numbers per entry.
 */
import { Kind } from "@aura/base";
import { ScanPlan, type TableScan } from "@aura/sst";
import type { RunScan } from "./run-scan.ts";

/** Merges run slices, newest first. */
export class ScanMerge {
  /**
   * What to take next: entries that are no tombstones, each the newest version of a key of its own.
   * When it is empty, the entry at `single.at` is next, by itself.
   */
  readonly plan: ScanPlan = new ScanPlan();
  single!: TableScan;
  /** The single entry is the newest version of its key. */
  isNewKey = false;
  /** Older versions that were passed over so far. Pointers are not: they are given out. */
  passedOver = 0;
  readonly #onlyNewest: boolean;
  readonly #runs: readonly RunScan[];
  readonly #scans: TableScan[];
  /** Inputs with entries left, sorted by their next one, newer versions first; and its head. */
  readonly #order: Int32Array;
  readonly #heads: Float64Array;
  #count = 0;
  /** Where the entry taken last stands: in this scan, or, when its block is gone, as a copied key. */
  #lastHead = -1;
  #lastScan: TableScan | undefined;
  readonly #lastKey: Uint8Array = new Uint8Array(65536);
  #lastKeyBytes = -1;
  readonly #key: Uint8Array = new Uint8Array(65536);

  /** `onlyNewest`: of each key only the newest version is wanted; others are passed over. */
  constructor(runs: readonly RunScan[], onlyNewest: boolean) {
    this.#onlyNewest = onlyNewest;
    this.#runs = runs;
    this.#scans = this.plan.scans;
    this.#order = new Int32Array(runs.length);
    this.#heads = new Float64Array(runs.length);
    for (const [i, run] of runs.entries()) {
      if (!run.nextBlock()) continue;
      const scan = run.scan!;
      this.#scans[i] = scan;
      const head = scan.heads[scan.at]!;
      let at = this.#count++;
      for (; at > 0 && !this.#isBefore(at - 1, i, head); at--) this.#shift(at - 1, at);
      this.#order[at] = i;
      this.#heads[at] = head;
    }
  }

  /**
   * Finds what to take next; what was found before is taken. Returns false at the end. Throws what
   * reading throws.
   */
  next(): boolean {
    const { plan } = this;
    plan.clear();
    if (this.#count === 0) return false;
    const first = this.#scans[this.#order[0]!]!;
    if (first.at === first.count) {
      this.#nextBlock(first);
      if (this.#count === 0) return false;
    }
    for (;;) {
      const input = this.#order[0]!;
      const scan = this.#scans[input]!;
      const { at } = scan;
      const isNewKey = this.#heads[0]! > this.#lastHead || !this.#isLastKey(scan, at);
      if (!isNewKey && this.#onlyNewest && !(scan.hasPointers && scan.tagAt(at) === Kind.pointer)) {
        this.passedOver++;
        this.#lastScan = scan;
        scan.at++;
        if (scan.at < scan.count) {
          this.#sink(input, scan.heads[scan.at]!);
          continue;
        }
        if (plan.count > 0) return true;
        this.#nextBlock(scan);
        if (this.#count === 0) return false;
        continue;
      }
      if (!isNewKey || (scan.hasDeletes && scan.tagAt(at) === Kind.delete)) {
        this.single = scan;
        this.isNewKey = isNewKey;
        return true;
      }
      const to = this.#rangeEnd(scan, at);
      const isBlock = at === 0 && to === scan.count && this.#isSeparate(scan);
      // A block that may be copied as it is stands in a plan of its own.
      if (isBlock && plan.count > 0) return true;
      plan.add(input, at, to);
      plan.isBlock = isBlock;
      this.#lastHead = scan.heads[to - 1]!;
      this.#lastScan = scan;
      scan.at = to;
      // Where a block ends the plan does: what is planned is taken before the next one is read.
      if (to === scan.count) return true;
      this.#sink(input, scan.heads[to]!);
      if (plan.isFull) return true;
    }
  }

  /** Goes on behind the single entry. */
  takeSingle(): void {
    const scan = this.single;
    this.#lastHead = scan.heads[scan.at]!;
    this.#lastScan = scan;
    scan.at++;
    if (scan.at < scan.count) this.#sink(this.#order[0]!, scan.heads[scan.at]!);
  }

  /** Returns the end of the range of plain entries that begins at `from`. */
  #rangeEnd(scan: TableScan, from: number): number {
    const { heads, count, hasDeletes } = scan;
    const limit = this.#count > 1 ? this.#heads[1]! : Number.POSITIVE_INFINITY;
    let previous = heads[from]!;
    let to = from + 1;
    for (; to < count; to++) {
      const head = heads[to]!;
      if (head >= limit && (head > limit || !this.#isBeforeSecond(scan, to))) break;
      if (head <= previous && this.#compare(scan, to - 1, scan, to) >= 0) break;
      if (hasDeletes && scan.tagAt(to) === Kind.delete) break;
      previous = head;
    }
    return to;
  }

  /** Returns whether nothing that is still to come lies below the upper bound of a scan's block. */
  #isSeparate({ reader, isWhole }: TableScan): boolean {
    if (!isWhole || reader.last || reader.continues || reader.continued) return false;
    if (this.#count === 1) return true;
    const second = this.#scans[this.#order[1]!]!;
    const upperAt = reader.lowerAt + reader.lowerBytes;
    return second.compareKey(second.at, reader.bytes, upperAt, upperAt + reader.upperBytes) >= 0;
  }

  #isBeforeSecond(scan: TableScan, entry: number): boolean {
    const second = this.#scans[this.#order[1]!]!;
    return this.#compare(scan, entry, second, second.at) < 0;
  }

  /** Puts the next block under the first input, whose last one is taken, and the input in its place. */
  #nextBlock(scan: TableScan): void {
    const input = this.#order[0]!;
    const run = this.#runs[input]!;
    if (this.#lastScan === scan) {
      this.#lastKeyBytes = scan.copyKey(scan.at - 1, this.#lastKey, 0);
      this.#lastScan = undefined;
    }
    if (!run.nextBlock()) {
      this.#count--;
      for (let i = 0; i < this.#count; i++) this.#shift(i + 1, i);
      return;
    }
    const next = run.scan!;
    this.#scans[input] = next;
    this.#sink(input, next.heads[next.at]!);
  }

  /** Moves the first input, whose next entry has this head, to its place among the others. */
  #sink(input: number, head: number): void {
    const count = this.#count;
    let place = 0;
    while (place + 1 < count && this.#isBefore(place + 1, input, head)) {
      this.#shift(place + 1, place);
      place++;
    }
    this.#order[place] = input;
    this.#heads[place] = head;
  }

  #shift(from: number, to: number): void {
    this.#order[to] = this.#order[from]!;
    this.#heads[to] = this.#heads[from]!;
  }

  /** Returns whether the entry at `place` of the order comes before the next one of `input`. */
  #isBefore(place: number, input: number, head: number): boolean {
    const other = this.#heads[place]!;
    return other < head || (other === head && this.#isBeforeTied(this.#order[place]!, input));
  }

  #isBeforeTied(a: number, b: number): boolean {
    const scanA = this.#scans[a]!;
    const scanB = this.#scans[b]!;
    const order = this.#compare(scanA, scanA.at, scanB, scanB.at);
    if (order !== 0) return order < 0;
    // Newer versions first; of equal ones, which there should not be, that of the newer input.
    const newer = scanB.seqAt(scanB.at) - scanA.seqAt(scanA.at);
    return newer === 0 ? a < b : newer < 0;
  }

  /** Returns whether an entry has the key that was taken last. */
  #isLastKey(scan: TableScan, entry: number): boolean {
    const last = this.#lastScan;
    if (last !== undefined) return this.#compare(last, last.at - 1, scan, entry) === 0;
    return scan.compareKey(entry, this.#lastKey, 0, this.#lastKeyBytes) === 0;
  }

  /** Compares the keys of two entries that have equal heads. */
  #compare(a: TableScan, i: number, b: TableScan, j: number): number {
    const order = a.tailAt(i) - b.tailAt(j);
    if (order !== 0) return order;
    // Keys of one length that head and tail hold wholly are equal.
    const length = a.keyBytesAt(i);
    if (length === b.keyBytesAt(j) && length <= a.numberedBytes) return 0;
    const end = a.copyKey(i, this.#key, 0);
    return -b.compareKey(j, this.#key, 0, end);
  }
}
