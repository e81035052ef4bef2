/**
 * Sets of the symbols that keys have at a position: symbol 0 is the end of the key, byte b is
 * symbol b + 1. A set is nine words of an array, low bit first.
 */

/** Symbols there are. */
export const SYMBOLS = 257;
/** Words of a set. */
export const WORDS = 9;

/** Puts a symbol into the set that begins at `at`. */
export function noteSymbol(sets: Uint32Array, at: number, symbol: number): void {
  sets[at + (symbol >>> 5)]! |= 1 << (symbol & 31);
}

export function hasSymbol(sets: Uint32Array, at: number, symbol: number): boolean {
  return (sets[at + (symbol >>> 5)]! & (1 << (symbol & 31))) !== 0;
}

/** Returns the number of symbols of the set that begins at `at`. */
export function radixOf(sets: Uint32Array, at: number): number {
  let size = 0;
  for (let word = at; word < at + WORDS; word++) {
    for (let bits = sets[word]!; bits !== 0; bits &= bits - 1) size++;
  }
  return size;
}

/** Returns the number of symbols of a set that lie below a symbol. */
export function rankOf(sets: Uint32Array, at: number, symbol: number): number {
  let rank = 0;
  const last = at + (symbol >>> 5);
  for (let word = at; word < last; word++) {
    for (let bits = sets[word]!; bits !== 0; bits &= bits - 1) rank++;
  }
  for (let bits = sets[last]! & ((1 << (symbol & 31)) - 1); bits !== 0; bits &= bits - 1) rank++;
  return rank;
}
