/**
 * Keys as numbers, in order: mixed-radix encoding with an alphabet per position.
 *
 * A text key uses few of the 256 byte values, and not the same ones everywhere. Behind the common
 * prefix each position has an alphabet: the symbols that the training keys have there (symbol 0 is
 * the end of the key, byte b is symbol b + 1). A key becomes the mixed-radix number of its ranks,
 * at most 2^53, exact in a double. The order is kept: a < b gives encode(a) <= encode(b). A symbol
 * outside the alphabet becomes the rank at which it would stand, followed by zeros: the exact lower
 * bound of all keys behind it.
 */

/** Symbols of an alphabet: the end of a key, and 256 bytes. */
const SYMBOLS = 257;
/** Bytes of an alphabet's bitmap. */
export const BITMAP_BYTES = 33;
/** Most positions behind the prefix. */
export const POSITIONS_MAX = 48;
const CODE_MAX = 2 ** 53;
/** Marks a symbol that is not in the alphabet, beside its rank. */
const ABSENT = 0x8000;
const RANK_MASK = 0x7fff;

/** Prefix and alphabets: all that defines an encoding. */
export interface Alphabets {
  /** Bytes that all training keys begin with. */
  readonly prefix: Uint8Array;
  /** One bitmap of 257 bits per position, low bit first; none is empty. */
  readonly bitmaps: readonly Uint8Array[];
}

/** Keys in one buffer: key i is bytes[ends[i - 1], ends[i]), the first one begins at 0. */
export interface PackedKeys {
  readonly bytes: Uint8Array;
  readonly ends: Float64Array;
  readonly count: number;
}

/** Encodes keys. Holds no reference to what it was made from. */
export class KeyEncoder {
  readonly #prefix: Uint8Array;
  readonly #positions: number;
  /** Rank tables of the distinct alphabets. */
  readonly #ranks: Uint16Array;
  /** Where the table of each position begins. */
  readonly #tables: Uint16Array;
  /** What one rank is worth at each position. */
  readonly #weights: Float64Array;

  constructor(alphabets: Alphabets) {
    this.#prefix = alphabets.prefix.slice();
    const positions = alphabets.bitmaps.length;
    this.#positions = positions;
    this.#tables = new Uint16Array(positions);
    this.#weights = new Float64Array(positions);
    const tables: Uint16Array[] = [];
    const seen = new Map<string, number>();
    const radixes: number[] = [];
    for (const [position, bitmap] of alphabets.bitmaps.entries()) {
      const name = bitmap.join();
      let index = seen.get(name);
      if (index === undefined) {
        index = tables.length;
        seen.set(name, index);
        tables.push(rankTable(bitmap));
      }
      this.#tables[position] = index * SYMBOLS;
      radixes.push(alphabetSize(bitmap));
    }
    this.#ranks = new Uint16Array(tables.length * SYMBOLS);
    for (const [i, table] of tables.entries()) this.#ranks.set(table, i * SYMBOLS);
    // The last digit says whether the key goes on behind the last position.
    let weight = 2;
    for (let position = positions - 1; position >= 0; position--) {
      this.#weights[position] = weight;
      weight *= radixes[position]!;
    }
  }

  get residentBytes(): number {
    return this.#prefix.length + this.#ranks.byteLength + this.#positions * 10;
  }

  /** Returns the code of key[start, end): -1 before all keys with the prefix, Infinity behind them. */
  encode(key: Uint8Array, start: number, end: number): number {
    const prefix = this.#prefix;
    const prefixBytes = prefix.length;
    for (let i = 0, at = start; i < prefixBytes; i++, at++) {
      const difference = at < end ? key[at]! - prefix[i]! : -1;
      if (difference !== 0) return difference < 0 ? -1 : Number.POSITIVE_INFINITY;
    }
    const ranks = this.#ranks;
    const tables = this.#tables;
    const weights = this.#weights;
    const positions = this.#positions;
    let at = start + prefixBytes;
    let code = 0;
    for (let i = 0; i < positions; i++, at++) {
      if (at >= end) return code; // the end of a key has rank 0, here and behind
      const rank = ranks[tables[i]! + key[at]! + 1]!;
      if (rank >= ABSENT) return code + (rank & RANK_MASK) * weights[i]!;
      code += rank * weights[i]!;
    }
    return at < end ? code + 1 : code;
  }
}

/** Returns the alphabets of ascending keys, as many positions as a double holds. */
export function trainAlphabets(keys: PackedKeys): Alphabets {
  const prefix = sharedPrefix(keys);
  const bitmaps: Uint8Array[] = [];
  let codes = 2;
  for (let position = 0; position < POSITIONS_MAX; position++) {
    const bitmap = new Uint8Array(BITMAP_BYTES);
    let longer = false;
    for (let i = 0, start = 0; i < keys.count; i++) {
      const end = keys.ends[i]!;
      const at = start + prefix.length + position;
      const symbol = at < end ? keys.bytes[at]! + 1 : 0;
      bitmap[symbol >>> 3]! |= 1 << (symbol & 7);
      longer ||= symbol !== 0;
      start = end;
    }
    codes *= alphabetSize(bitmap);
    if (!longer || codes > CODE_MAX) break;
    bitmaps.push(bitmap);
  }
  return { prefix, bitmaps };
}

/** Returns whether a decoded encoding keeps its codes exact. */
export function alphabetsAreSound(alphabets: Alphabets): boolean {
  let codes = 2;
  for (const bitmap of alphabets.bitmaps) {
    const size = alphabetSize(bitmap);
    codes *= size;
    if (size === 0 || bitmap[BITMAP_BYTES - 1]! > 1 || codes > CODE_MAX) return false;
  }
  return true;
}

/** The keys ascend: what the first and the last one share, all share. */
function sharedPrefix({ bytes, ends, count }: PackedKeys): Uint8Array {
  if (count === 0) return new Uint8Array(0);
  const lastStart = count === 1 ? 0 : ends[count - 2]!;
  const limit = Math.min(ends[0]!, ends[count - 1]! - lastStart);
  let length = 0;
  while (length < limit && bytes[length] === bytes[lastStart + length]) length++;
  return bytes.slice(0, length);
}

function alphabetSize(bitmap: Uint8Array): number {
  let size = 0;
  for (const byte of bitmap) {
    for (let bits = byte; bits !== 0; bits &= bits - 1) size++;
  }
  return size;
}

function rankTable(bitmap: Uint8Array): Uint16Array {
  const table = new Uint16Array(SYMBOLS);
  let rank = 0;
  for (let symbol = 0; symbol < SYMBOLS; symbol++) {
    const present = (bitmap[symbol >>> 3]! & (1 << (symbol & 7))) !== 0;
    table[symbol] = present ? rank++ : rank | ABSENT;
  }
  return table;
}
