/**
 * Key prefixes: four bytes of a key as a number in key order.
 *
 * Keys in an arena begin at whole words, so a prefix that begins at a multiple of four is one load
 * and a change of byte order. What lies behind the end of a key counts as zero: equal prefixes of
 * keys that end within them say nothing.
 */

/** Returns the bytes [0, 4) of a key at `keyAt`, of which `length` belong to it, as unsigned 32 bits. */
export function prefixOf(words: Int32Array, keyAt: number, length: number): number {
  if (length <= 0) return 0;
  const word = words[keyAt >>> 2]!;
  const order = (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
  return (length < 4 ? order & (-1 << (32 - length * 8)) : order) >>> 0;
}
