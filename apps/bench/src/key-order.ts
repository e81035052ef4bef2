/**
 * The order that an ordered scan has to have, found without any store: three-way quicksort of indices
 * (Bentley and Sedgewick, 1997), four bytes of each string at a time, which stand in an array of their own
 * beside the indices (Ng and Kakehi, 2007). Order is by unsigned bytes, a prefix before its extensions.
 */
import type { PackedBytes } from "./packed-bytes.ts";

/**
 * Returns the indices of all strings in order of their bytes. No string may hold a zero byte: zeros
 * stand for "the string has ended".
 */
export function orderOf(strings: PackedBytes): Uint32Array {
  const { bytes, ends } = strings;
  const count = strings.count;
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  /** Bytes [depth, depth + 4) of string order[i], the first one on top. */
  const parts = new Uint32Array(count);

  const readParts = (low: number, high: number, depth: number): void => {
    for (let i = low; i < high; i++) {
      const index = order[i]!;
      const end = ends[index]!;
      let at = (index === 0 ? 0 : ends[index - 1]!) + depth;
      let part = 0;
      for (let shift = 24; shift >= 0 && at < end; shift -= 8) part |= bytes[at++]! << shift;
      parts[i] = part >>> 0;
    }
  };
  const swap = (i: number, j: number): void => {
    const index = order[i]!;
    const part = parts[i]!;
    order[i] = order[j]!;
    parts[i] = parts[j]!;
    order[j] = index;
    parts[j] = part;
  };

  readParts(0, count, 0);
  // A stack of ranges [low, high) at a depth, all flat in one array.
  const stack: number[] = [0, count, 0];
  while (stack.length > 0) {
    const depth = stack.pop()!;
    const high = stack.pop()!;
    const low = stack.pop()!;
    if (high - low < 2) continue;
    const pivot = median(parts[low]!, parts[(low + high) >>> 1]!, parts[high - 1]!);
    let less = low;
    let greater = high;
    for (let i = low; i < greater; ) {
      const part = parts[i]!;
      if (part < pivot) swap(less++, i++);
      else if (part > pivot) swap(i, --greater);
      else i++;
    }
    stack.push(low, less, depth, greater, high, depth);
    // Strings whose four bytes end in a zero have ended, and are equal.
    if (greater - less > 1 && (pivot & 0xff) !== 0) {
      readParts(less, greater, depth + 4);
      stack.push(less, greater, depth + 4);
    }
  }
  return order;
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
