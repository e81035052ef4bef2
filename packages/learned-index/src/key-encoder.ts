/**
 * Keys as numbers, in order and without loss at the bounds of blocks: mixed-radix encoding with an
 * alphabet per position.
 *
 * A text key uses few of the 256 byte values, and not the same ones everywhere. Behind the common
 * prefix each position has an alphabet: the symbols that keys have there (symbol 0 is the end of the
 * key, byte b is symbol b + 1). A key becomes the mixed-radix number of its ranks, at most 2^53,
 * exact in a double. The order is kept: a < b gives encode(a) <= encode(b).
 *
 * A symbol outside the alphabet lies between two ranks: the key gets the highest code of the lower
 * one, or the lowest code of all when there is none below. So a bound whose last symbol has a rank
 * above 0, and which is no longer than the positions, divides codes as it divides keys: for every
 * key k, trained or not, k >= bound exactly if encode(k) >= encode(bound). (A key below the bound
 * that differs from it at position j has a lower rank there, or lies below that rank without being
 * in the alphabet: its code ends below the bound's. With rank 0 at j it gets a code with zeros from
 * j on, and the bound's last symbol lies above that.) Training sees to the rank of last symbols.
 */
import { hasSymbol, noteSymbol, radixOf, rankOf, SYMBOLS, WORDS } from "./symbol-set.ts";

/** Most positions behind the prefix. */
export const POSITIONS_MAX = 48;
/** Codes stay below. */
const CODE_MAX: number = 2 ** 53;
/** Marks a byte that is not in the alphabet, beside the rank of the first one above it. */
const ABSENT = 0x8000;
const RANK_MASK = 0x7fff;

/** Prefix and alphabets: all that defines an encoding. */
export interface Alphabets {
  /** Bytes that all bounds begin with. */
  readonly prefix: Uint8Array;
  readonly positions: number;
  /** A set of symbols (`symbol-set.ts`) per position; none is empty. */
  readonly bitmaps: Uint32Array;
}

/** Keys in one buffer: key i is bytes[ends[i - 1], ends[i]), the first one begins at 0. */
export interface PackedKeys {
  readonly bytes: Uint8Array;
  readonly ends: Float64Array;
  readonly count: number;
}

/** Of an entry of `#tables`: lowest byte, from here on how many bytes, from there on the begin. */
const SIZE_SHIFT = 8;
const SIZE_MASK = 0x1ff;
const START_SHIFT = 17;

/** Encodes keys. Holds no reference to what it was made from. */
export class KeyEncoder {
  readonly #prefix: Uint8Array;
  readonly #positions: number;
  /** Per position, in one word: lowest byte, bytes in its table, where that begins in `#ranks`. */
  readonly #tables: Int32Array;
  /** Per position: the rank above all with, in its high half, the rank of the lowest byte. */
  readonly #outside: Int32Array;
  /** Rank tables of the distinct alphabets, from the lowest byte to the highest. */
  readonly #ranks: Uint16Array;
  /** What one rank is worth at each position. */
  readonly #weights: Float64Array;

  constructor(alphabets: Alphabets) {
    const { positions, bitmaps } = alphabets;
    this.#prefix = alphabets.prefix.slice();
    this.#positions = positions;
    this.#tables = new Int32Array(positions);
    this.#outside = new Int32Array(positions);
    this.#weights = weightsOf(alphabets);
    const ranks: number[] = [];
    const seen = new Map<string, number>();
    for (let i = 0; i < positions; i++) {
      const set = i * WORDS;
      let lowest = 1;
      while (lowest < SYMBOLS && !hasSymbol(bitmaps, set, lowest)) lowest++;
      let highest = SYMBOLS - 1;
      while (highest > 0 && !hasSymbol(bitmaps, set, highest)) highest--;
      const size = Math.max(highest - lowest + 1, 0);
      const name = bitmaps.subarray(set, set + WORDS).join();
      let start = seen.get(name);
      if (start === undefined) {
        start = ranks.length;
        seen.set(name, start);
        let rank = hasSymbol(bitmaps, set, 0) ? 1 : 0;
        for (let symbol = lowest; symbol <= highest; symbol++) {
          ranks.push(hasSymbol(bitmaps, set, symbol) ? rank++ : rank | ABSENT);
        }
      }
      const lowestRank = hasSymbol(bitmaps, set, 0) ? 1 : 0;
      this.#outside[i] = radixOf(bitmaps, set) | (lowestRank << 16);
      // Without a byte in the alphabet `lowest` is one too high.
      this.#tables[i] = ((lowest - 1) & 0xff) | (size << SIZE_SHIFT) | (start << START_SHIFT);
    }
    this.#ranks = Uint16Array.from(ranks);
  }

  get residentBytes(): number {
    return (
      this.#prefix.length +
      this.#ranks.byteLength +
      this.#tables.byteLength +
      this.#outside.byteLength +
      this.#weights.byteLength
    );
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
    const from = start + prefixBytes;
    const left = end - from;
    const count = left < this.#positions ? left : this.#positions;
    let code = 0;
    for (let i = 0; i < count; i++) {
      const table = tables[i]!;
      const index = key[from + i]! - (table & 0xff);
      if (index >>> 0 < ((table >>> SIZE_SHIFT) & SIZE_MASK)) {
        const rank = ranks[(table >>> START_SHIFT) + index]!;
        if (rank < ABSENT) code += rank * weights[i]!;
        else return between(code, rank & RANK_MASK, weights[i]!);
      } else {
        const outside = this.#outside[i]!;
        return between(code, index < 0 ? outside >>> 16 : outside & 0xffff, weights[i]!);
      }
    }
    return code; // the end of a key has rank 0, here and behind
  }
}

function between(code: number, rank: number, weight: number): number {
  return rank === 0 ? code : code + rank * weight - 1;
}

const NO_SETS = new Uint32Array(0);

/** What training found. */
export interface Training {
  readonly alphabets: Alphabets;
  /** Bounds that are longer than prefix and positions, ascending: a code cannot tell them apart. */
  readonly deep: Uint32Array;
}

/**
 * Returns alphabets of ascending bounds. Positions are as many as a double holds, and fewer where the
 * few bounds that would need the last ones take less when they are written out: a position costs each
 * bound `log2(radix)` bits, a bound written out about `deepBits` and its bytes. `known`: sets of further
 * symbols, by position from the beginning of the key.
 */
export function trainAlphabets(
  keys: PackedKeys,
  deepBits: number,
  known: Uint32Array = NO_SETS,
): Training {
  const prefix = sharedPrefix(keys);
  const { bytes, ends, count } = keys;
  const bitmaps = new Uint32Array(POSITIONS_MAX * WORDS);
  bitmaps.set(known.subarray(prefix.length * WORDS, prefix.length * WORDS + bitmaps.length));
  /** The lowest symbol that ends a bound at each position. */
  const lastSymbols = new Uint16Array(POSITIONS_MAX).fill(SYMBOLS);
  /** Bounds by their length behind the prefix; the last ones are longer than all positions. */
  const endings = new Uint32Array(POSITIONS_MAX + 2);
  let longest = 0;
  for (let i = 0, start = 0; i < count; i++) {
    const end = ends[i]!;
    const length = end - start - prefix.length;
    const from = start + prefix.length;
    const limit = length < POSITIONS_MAX ? length : POSITIONS_MAX;
    for (let position = 0; position < limit; position++) {
      noteSymbol(bitmaps, position * WORDS, bytes[from + position]! + 1);
    }
    endings[limit === length ? limit : POSITIONS_MAX + 1]!++;
    if (limit > longest) longest = limit;
    if (length > 0 && length <= POSITIONS_MAX) {
      const symbol = bytes[end - 1]! + 1;
      if (symbol < lastSymbols[length - 1]!) lastSymbols[length - 1] = symbol;
    }
    start = end;
  }
  let positions = 0;
  let codes = 1;
  while (positions < longest) {
    const set = positions * WORDS;
    const last = lastSymbols[positions]!;
    // A last symbol needs one below it; the end of the key, if it is the byte 0.
    if (last < SYMBOLS && rankOf(bitmaps, set, last) === 0) noteSymbol(bitmaps, set, last - 1);
    codes *= radixOf(bitmaps, set);
    if (codes > CODE_MAX) break;
    positions++;
  }
  let deepCount = 0;
  for (let length = positions + 1; length < endings.length; length++) {
    deepCount += endings[length]!;
  }
  while (positions > 1) {
    const added = endings[positions]!;
    const saved = count * Math.log2(radixOf(bitmaps, (positions - 1) * WORDS));
    if (added * (deepBits + 8 * positions) >= saved) break;
    deepCount += added;
    positions--;
  }
  const deep = new Uint32Array(deepCount);
  for (let i = 0, start = 0, at = 0; i < count && at < deepCount; i++) {
    if (ends[i]! - start - prefix.length > positions) deep[at++] = i;
    start = ends[i]!;
  }
  return {
    alphabets: { prefix, positions, bitmaps: bitmaps.slice(0, positions * WORDS) },
    deep,
  };
}

/** Returns whether decoded alphabets keep codes exact. */
export function alphabetsAreSound({ positions, bitmaps }: Alphabets): boolean {
  let codes = 1;
  for (let i = 0; i < positions; i++) {
    const radix = radixOf(bitmaps, i * WORDS);
    codes *= radix;
    if (radix === 0 || bitmaps[(i + 1) * WORDS - 1]! > 1 || codes > CODE_MAX) return false;
  }
  return true;
}

/** Returns what one rank is worth at each position. */
function weightsOf({ positions, bitmaps }: Alphabets): Float64Array {
  const weights = new Float64Array(positions);
  let weight = 1;
  for (let i = positions - 1; i >= 0; i--) {
    weights[i] = weight;
    weight *= radixOf(bitmaps, i * WORDS);
  }
  return weights;
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
