/**
 * Sorting entries of a log into internal order: key ascending, newer versions first.
 *
 * Keys are compared by prefixes of eight bytes, held beside the entries in two columns of unsigned
 * words and loaded once per level of depth; bytes are not compared one by one. Few entries are
 * sorted by insertion. Many are distributed by the 22 highest bits in which they differ (two passes
 * of 11 bits, least significant first), which leaves groups that are sorted by the bits behind.
 * Entries whose eight bytes are equal are sorted by the next eight; what all of them have in common
 * is passed over first. It is a most-significant-first radix sort of strings with cached prefixes,
 * as in Ng and Kakehi, "Cache efficient radix sort for string sorting" (2007).
 *
 * Cost: linear in the number of entries and in the bytes by which keys are told apart. Entries of
 * one key are told apart by their index, which grows with the sequence number.
 */
import type { EntryLog } from "./entry-log.ts";
import { prefixOf } from "./key-prefix.ts";

const DIGIT_BITS = 11;
const DIGIT_COUNT = 2048;
const WINDOW_BITS = 22;
/** Up to so many entries are sorted by insertion. */
const INSERTION_COUNT_MAX = 24;
/** Scratch memory for so many entries is kept for good. */
const KEPT_COUNT = 65536;

/** Sorts; holds scratch memory, and may be used by one log after the other. */
class EntrySorter {
  #capacity = 0;
  #high: Uint32Array = new Uint32Array(0);
  #low: Uint32Array = new Uint32Array(0);
  #digits: Uint32Array = new Uint32Array(0);
  #order: Uint32Array = new Uint32Array(0);
  #orderNext: Uint32Array = new Uint32Array(0);
  #spareHigh: Uint32Array = new Uint32Array(0);
  #spareLow: Uint32Array = new Uint32Array(0);
  #spareEntries: Int32Array = new Int32Array(0);
  readonly #countsLow: Uint32Array = new Uint32Array(DIGIT_COUNT);
  readonly #countsHigh: Uint32Array = new Uint32Array(DIGIT_COUNT);
  #log!: EntryLog;
  #entries!: Int32Array;

  /** Sorts the first `count` of `entries`. */
  sort(log: EntryLog, entries: Int32Array, count: number): void {
    if (count > this.#capacity) this.#reserve(Math.max(count, 4096));
    this.#log = log;
    this.#entries = entries;
    this.#sortFrom(0, count, 0);
    if (this.#capacity > KEPT_COUNT) this.#reserve(4096);
  }

  #reserve(count: number): void {
    this.#capacity = count;
    this.#high = new Uint32Array(count);
    this.#low = new Uint32Array(count);
    this.#digits = new Uint32Array(count);
    this.#order = new Uint32Array(count);
    this.#orderNext = new Uint32Array(count);
    this.#spareHigh = new Uint32Array(count);
    this.#spareLow = new Uint32Array(count);
    this.#spareEntries = new Int32Array(count);
  }

  /** Sorts entries [from, to), whose keys have their first `depth` bytes in common. */
  #sortFrom(first: number, last: number, startDepth: number): void {
    let from = first;
    let to = last;
    let depth = startDepth;
    // Goes down into the largest group itself, so that calls nest a logarithmic number of times.
    while (to - from > 1) {
      depth = this.#loadPrefixes(from, to, depth);
      this.#sortColumns(from, to, 0);
      const high = this.#high;
      const low = this.#low;
      let largestFrom = from;
      let largestTo = from;
      for (let start = from; start < to; ) {
        let end = start + 1;
        while (end < to && high[end] === high[start] && low[end] === low[start]) end++;
        if (end - start > 1) {
          const restFrom = this.#settleEnded(start, end, depth + 8);
          if (end - restFrom > largestTo - largestFrom) {
            // The groups overwrite no columns but their own.
            this.#sortFrom(largestFrom, largestTo, depth + 8);
            largestFrom = restFrom;
            largestTo = end;
          } else this.#sortFrom(restFrom, end, depth + 8);
        }
        start = end;
      }
      from = largestFrom;
      to = largestTo;
      depth += 8;
    }
  }

  /** Loads the columns of [from, to) behind what all of them share; returns where that ends. */
  #loadPrefixes(from: number, to: number, startDepth: number): number {
    const log = this.#log;
    const words = log.words;
    const entries = this.#entries;
    const high = this.#high;
    const low = this.#low;
    for (let depth = startDepth; ; depth += 8) {
      let differs = false;
      let ends = false;
      for (let i = from; i < to; i++) {
        const entry = entries[i]!;
        const shape = words[entry]!;
        const at = log.keyStart(entry, shape) + depth;
        const rest = (shape & 0xffff) - depth;
        const h = prefixOf(words, at, rest);
        const l = prefixOf(words, at + 4, rest - 4);
        high[i] = h;
        low[i] = l;
        if (h !== high[from] || l !== low[from]) differs = true;
        if (rest <= 8) ends = true;
      }
      if (differs || ends) return depth;
    }
  }

  /** Sorts [from, to) by their columns, whose first `bitsDone` bits are equal. */
  #sortColumns(from: number, to: number, bitsDone: number): void {
    if (to - from <= INSERTION_COUNT_MAX) {
      this.#insertionSort(from, to);
      return;
    }
    const high = this.#high;
    const low = this.#low;
    let differHigh = 0;
    let differLow = 0;
    for (let i = from + 1; i < to; i++) {
      differHigh |= high[i]! ^ high[from]!;
      differLow |= low[i]! ^ low[from]!;
    }
    if (differHigh === 0 && differLow === 0) return;
    const shift = Math.max(
      bitsDone,
      differHigh !== 0 ? Math.clz32(differHigh) : 32 + Math.clz32(differLow),
    );
    this.#distribute(from, to, shift);
    if (shift + WINDOW_BITS >= 64) return;
    const digits = this.#digits;
    for (let start = from; start < to; ) {
      const digit = digits[start]!;
      let end = start + 1;
      while (end < to && digits[end] === digit) end++;
      // Deeper calls overwrite digits of their own group only, which is behind us then.
      if (end - start > 1) this.#sortColumns(start, end, shift + WINDOW_BITS);
      start = end;
    }
  }

  /** Sorts [from, to) by `WINDOW_BITS` bits of the columns behind `shift`; leaves them in digits. */
  #distribute(from: number, to: number, shift: number): void {
    const high = this.#high;
    const low = this.#low;
    const digits = this.#digits;
    const countsLow = this.#countsLow.fill(0);
    const countsHigh = this.#countsHigh.fill(0);
    const down = 32 - WINDOW_BITS;
    for (let i = from; i < to; i++) {
      const window =
        shift === 0
          ? high[i]!
          : shift < 32
            ? (high[i]! << shift) | (low[i]! >>> (32 - shift))
            : low[i]! << (shift - 32);
      const digit = window >>> down;
      digits[i] = digit;
      countsLow[digit & (DIGIT_COUNT - 1)]!++;
      countsHigh[digit >>> DIGIT_BITS]!++;
    }
    let sumLow = from;
    let sumHigh = from;
    for (let d = 0; d < DIGIT_COUNT; d++) {
      const countLow = countsLow[d]!;
      const countHigh = countsHigh[d]!;
      countsLow[d] = sumLow;
      countsHigh[d] = sumHigh;
      sumLow += countLow;
      sumHigh += countHigh;
    }
    const order = this.#order;
    const orderNext = this.#orderNext;
    for (let i = from; i < to; i++) orderNext[countsLow[digits[i]! & (DIGIT_COUNT - 1)]!++] = i;
    for (let i = from; i < to; i++) {
      const at = orderNext[i]!;
      order[countsHigh[digits[at]! >>> DIGIT_BITS]!++] = at;
    }
    this.#gather(from, to);
  }

  #gather(from: number, to: number): void {
    const order = this.#order;
    const entries = this.#entries;
    const high = this.#high;
    const low = this.#low;
    const digits = this.#digits;
    const spareHigh = this.#spareHigh;
    const spareLow = this.#spareLow;
    const spareEntries = this.#spareEntries;
    const spareDigits = this.#orderNext;
    for (let i = from; i < to; i++) {
      const at = order[i]!;
      spareHigh[i] = high[at]!;
      spareLow[i] = low[at]!;
      spareDigits[i] = digits[at]!;
      spareEntries[i] = entries[at]!;
    }
    for (let i = from; i < to; i++) {
      high[i] = spareHigh[i]!;
      low[i] = spareLow[i]!;
      digits[i] = spareDigits[i]!;
      entries[i] = spareEntries[i]!;
    }
  }

  #insertionSort(from: number, to: number): void {
    const high = this.#high;
    const low = this.#low;
    const entries = this.#entries;
    for (let i = from + 1; i < to; i++) {
      const h = high[i]!;
      const l = low[i]!;
      const entry = entries[i]!;
      let at = i;
      for (; at > from; at--) {
        const before = high[at - 1]!;
        if (before < h || (before === h && low[at - 1]! <= l)) break;
        high[at] = before;
        low[at] = low[at - 1]!;
        entries[at] = entries[at - 1]!;
      }
      high[at] = h;
      low[at] = l;
      entries[at] = entry;
    }
  }

  /**
   * Puts those of [from, to), whose columns are equal, that end within them in front, the shortest
   * first and the newest version of each first. Returns where the others begin.
   */
  #settleEnded(from: number, to: number, depth: number): number {
    const words = this.#log.words;
    const entries = this.#entries;
    let ended = from;
    for (let i = from; i < to; i++) {
      const entry = entries[i]!;
      if ((words[entry]! & 0xffff) > depth) continue;
      entries[i] = entries[ended]!;
      entries[ended++] = entry;
    }
    if (ended - from > 1) this.#sortEnded(from, ended);
    return ended;
  }

  /** Keys that are equal but for their length. */
  #sortEnded(from: number, to: number): void {
    const words = this.#log.words;
    const entries = this.#entries;
    if (to - from > INSERTION_COUNT_MAX) {
      // Short: by index, newest first; then it is nearly always one key.
      entries.subarray(from, to).sort().reverse();
      let isOne = true;
      const length = words[entries[from]!]! & 0xffff;
      for (let i = from + 1; i < to && isOne; i++)
        isOne = (words[entries[i]!]! & 0xffff) === length;
      if (!isOne) this.#sortByLength(from, to);
      return;
    }
    for (let i = from + 1; i < to; i++) {
      const entry = entries[i]!;
      const length = words[entry]! & 0xffff;
      let at = i;
      for (; at > from; at--) {
        const before = entries[at - 1]!;
        const lengthBefore = words[before]! & 0xffff;
        if (lengthBefore < length || (lengthBefore === length && before > entry)) break;
        entries[at] = before;
      }
      entries[at] = entry;
    }
  }

  /** Stable, for lengths of which there are at most nine. */
  #sortByLength(from: number, to: number): void {
    const words = this.#log.words;
    const entries = this.#entries;
    const spare = this.#spareEntries;
    let length = -1;
    for (let at = from; at < to; ) {
      let next = 65536;
      for (let i = from; i < to; i++) {
        const other = words[entries[i]!]! & 0xffff;
        if (other > length && other < next) next = other;
      }
      for (let i = from; i < to; i++) {
        if ((words[entries[i]!]! & 0xffff) === next) spare[at++] = entries[i]!;
      }
      length = next;
    }
    for (let i = from; i < to; i++) entries[i] = spare[i]!;
  }
}

const sorter = new EntrySorter();

/** Sorts the first `count` of `entries` of a log. Scratch memory is shared within the thread. */
export function sortEntries(log: EntryLog, entries: Int32Array, count: number): void {
  sorter.sort(log, entries, count);
}
