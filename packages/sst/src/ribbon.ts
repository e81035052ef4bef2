/**
 * Ribbon filter over key hashes (Dillinger and Walzer 2021, "Ribbon filter: practically smaller
 * than Bloom and Xor"): the solution of a linear system over GF(2).
 *
 * A key gives a place, 64 coefficients from there on and a fingerprint; the rows of the solution at
 * the coefficients that are 1 sum up to the fingerprint. Whoever is not a key has the right sum by
 * chance only, once in 2^columns. Against a Bloom filter of the same rate it has about 28 % fewer
 * bits, and costs about eight times as much to build and half as much again to ask.
 *
 * Keys are split by the front of their hashes into shards of about 2000, each a system of its own:
 * 3 % of spare rows are enough there (a system of a million needs 10 %), one that cannot be solved
 * is tried again alone, with another seed, and all that is worked on while building stays in the
 * cache of a core. Rates between two powers of 2 come from shards of two widths.
 *
 * bytes = kind u8 | 0 u24 | shard count u32 | (row words u16 | columns u8 | seed u8) ... | words u32 ... .
 * The words of a shard: for each 32 rows, one word per column; row 32 i + j is bit j.
 */
import { corruption, getU32, putU16, putU32 } from "@aura/base";
import { FILTER_HEAD_BYTES, FilterKind } from "./filter-kind.ts";

/** A table of fewer keys is better off with a Bloom filter: rows come by 32, and 64 are the least. */
export const RIBBON_KEYS_MIN = 512;

/** Coefficients of a key: a window of so many rows. */
const WIDTH = 64;
const KEYS_PER_SHARD = 2000;
const SHARDS_MAX = 0x00ffffff;
/** Rows per key at the first try. */
const ROWS_PER_KEY = 1.03;
const COLUMNS_MAX = 24;
/** So many seeds, then 32 rows more, and so on. */
const TRIES_PER_SIZE = 3;
const TRIES_MAX = 96;
const SHARD_BYTES = 4;
const DIRECTORY_AT = FILTER_HEAD_BYTES + 4;
/** Fields of a shard in memory: first word, number of places, columns, seed. */
const FIELDS = 4;

/** Returns the bits that a key's place comes from; its coefficients come from those. */
function placeBits(hash: number, seed: number): number {
  let bits = (hash + Math.imul(seed + 1, 0x9e3779b1)) | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad);
  bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
  return bits ^ (bits >>> 15);
}

/** A second word, whose products are the coefficients and the fingerprint. */
function rowBits(place: number): number {
  const bits = Math.imul(place, 0x85ebca6b);
  return bits ^ (bits >>> 13);
}

/** The first 32 coefficients; the first of all is 1. */
function lowBits(row: number): number {
  const bits = Math.imul(row, 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) | 1;
}

function highBits(row: number): number {
  const bits = Math.imul(row ^ (row >>> 16), 0x27d4eb2f);
  return bits ^ (bits >>> 15);
}

function fingerprint(row: number): number {
  return Math.imul(row, 0x165667b1) >>> 7;
}

/** 1 when an odd number of bits is set, else 0. */
function parity(word: number): number {
  let bits = word ^ (word >>> 16);
  bits ^= bits >>> 8;
  bits ^= bits >>> 4;
  return (0x6996 >>> (bits & 15)) & 1;
}

/**
 * Returns the filter of `hashes[0, count)` that lets about `rate` of all others pass (0 to 0.5), or
 * undefined when no seed solves it: then build another kind.
 */
export function buildRibbon(
  hashes: Uint32Array,
  count: number,
  rate: number,
): Uint8Array | undefined {
  const shardCount = Math.min(Math.max(Math.round(count / KEYS_PER_SHARD), 1), SHARDS_MAX);
  const narrow = Math.min(Math.max(Math.floor(-Math.log2(rate)), 1), COLUMNS_MAX);
  // Of all shards this share is one column wider.
  const wideShare =
    narrow === COLUMNS_MAX ? 0 : Math.min(Math.max(2 * (1 - rate * 2 ** narrow), 0), 1);
  const ends = new Uint32Array(shardCount + 1);
  const sorted = sortByShard(hashes, count, shardCount, ends);
  const builder = new ShardBuilder();
  let bytes = new Uint8Array(
    DIRECTORY_AT + shardCount * SHARD_BYTES + Math.ceil((count * (narrow + 1) * 1.1) / 8) + 1024,
  );
  bytes[0] = FilterKind.ribbon;
  putU32(bytes, FILTER_HEAD_BYTES, shardCount);
  let at = DIRECTORY_AT + shardCount * SHARD_BYTES;
  let wideCount = 0;
  for (let shard = 0; shard < shardCount; shard++) {
    const isWide = wideCount < Math.round((shard + 1) * wideShare);
    if (isWide) wideCount++;
    const columns = narrow + (isWide ? 1 : 0);
    if (!builder.solve(sorted, ends[shard]!, ends[shard + 1]!, columns)) return undefined;
    const { wordCount, rowWords } = builder;
    if (at + wordCount * 4 > bytes.length) {
      const grown = new Uint8Array(bytes.length * 2 + wordCount * 4);
      grown.set(bytes);
      bytes = grown;
    }
    const entry = DIRECTORY_AT + shard * SHARD_BYTES;
    putU16(bytes, entry, rowWords);
    bytes[entry + 2] = columns;
    bytes[entry + 3] = builder.seed;
    for (let i = 0; i < wordCount; i++, at += 4) putU32(bytes, at, builder.words[i]! >>> 0);
  }
  return bytes.slice(0, at);
}

/** Returns the hashes by shard; shard i is [ends[i], ends[i + 1]). */
function sortByShard(
  hashes: Uint32Array,
  count: number,
  shardCount: number,
  ends: Uint32Array,
): Uint32Array {
  const scale = shardCount / 0x100000000;
  for (let i = 0; i < count; i++) ends[((hashes[i]! * scale) >>> 0) + 1]!++;
  for (let shard = 0; shard < shardCount; shard++) ends[shard + 1]! += ends[shard]!;
  const next = ends.slice(0, shardCount);
  const sorted = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const shard = (hashes[i]! * scale) >>> 0;
    sorted[next[shard]!++] = hashes[i]!;
  }
  return sorted;
}

/** Solves one shard after the other in memory that is reused. */
class ShardBuilder {
  words = new Int32Array(0);
  wordCount = 0;
  /** Rows / 32. */
  rowWords = 0;
  seed = 0;
  #low = new Int32Array(0);
  #high = new Int32Array(0);
  #sums = new Int32Array(0);

  /** Returns whether it found a solution for hashes[from, to); then it is in `words`. */
  solve(hashes: Uint32Array, from: number, to: number, columns: number): boolean {
    const least = Math.max(WIDTH / 32, Math.ceil(((to - from) * ROWS_PER_KEY) / 32));
    for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
      this.rowWords = least + Math.floor(attempt / TRIES_PER_SIZE);
      if (this.rowWords > 0xffff) return false;
      this.seed = attempt;
      this.#clear(columns);
      if (!this.#eliminate(hashes, from, to, columns)) continue;
      this.#substitute(columns);
      return true;
    }
    return false;
  }

  #clear(columns: number): void {
    const rows = this.rowWords * 32;
    this.wordCount = this.rowWords * columns;
    if (rows > this.#low.length) {
      const size = rows + 1024;
      this.#low = new Int32Array(size);
      this.#high = new Int32Array(size);
      this.#sums = new Int32Array(size);
    } else this.#low.fill(0, 0, rows);
    if (this.wordCount > this.words.length) this.words = new Int32Array(this.wordCount + 1024);
  }

  /** Gaussian elimination, key by key: each row holds at most one equation, which begins there. */
  #eliminate(hashes: Uint32Array, from: number, to: number, columns: number): boolean {
    const lows = this.#low;
    const highs = this.#high;
    const sums = this.#sums;
    const scale = placesOf(this.rowWords) / 0x100000000;
    const mask = (1 << columns) - 1;
    const { seed } = this;
    for (let i = from; i < to; i++) {
      const place = placeBits(hashes[i]! | 0, seed);
      let row = ((place >>> 0) * scale) >>> 0;
      const bits = rowBits(place);
      let low = lowBits(bits);
      let high = highBits(bits);
      let sum = fingerprint(bits) & mask;
      for (;;) {
        const known = lows[row]!;
        if (known === 0) {
          lows[row] = low;
          highs[row] = high;
          sums[row] = sum;
          break;
        }
        low ^= known;
        high ^= highs[row]!;
        sum ^= sums[row]!;
        if (low === 0) {
          if (high === 0) {
            // The equation follows from others, or contradicts them.
            if (sum === 0) break;
            return false;
          }
          const shift = 31 - Math.clz32(high & -high);
          low = high >>> shift;
          high = 0;
          row += shift + 32;
        } else {
          // Both begin with a 1: their sum begins later.
          const shift = 31 - Math.clz32(low & -low);
          low = (low >>> shift) | (high << (32 - shift));
          high >>>= shift;
          row += shift;
        }
      }
    }
    return true;
  }

  /** Back substitution, from the last row; a row without an equation is 0. */
  #substitute(columns: number): void {
    const { words } = this;
    const lows = this.#low;
    const highs = this.#high;
    const sums = this.#sums;
    for (let column = 0; column < columns; column++) {
      // Bit j: row i + 1 + j of the solution. Without branches: every other one would be foreseen wrongly.
      let windowLow = 0;
      let windowHigh = 0;
      for (let word = this.rowWords - 1; word >= 0; word--) {
        for (let i = word * 32 + 31; i >= word * 32; i--) {
          windowHigh = (windowHigh << 1) | (windowLow >>> 31);
          windowLow <<= 1;
          const low = lows[i]!;
          // The row itself stands for 0 so far.
          const sum = parity((windowLow & low) ^ (windowHigh & highs[i]!)) ^ (sums[i]! >>> column);
          windowLow |= low & sum & 1;
        }
        words[word * columns + column] = windowLow;
      }
    }
  }
}

/** Places where the window of a key may begin. */
function placesOf(rowWords: number): number {
  return rowWords * 32 - WIDTH + 1;
}

/** A Ribbon filter in memory. */
export class Ribbon {
  readonly bits: number;
  readonly #words: Int32Array;
  readonly #shards: Int32Array;
  readonly #scale: number;

  /** Reads what `buildRibbon` returned; `file` and `offset` name it in errors. Keeps no view. */
  constructor(bytes: Uint8Array, file: string, offset: number) {
    const damaged = (): Error => corruption(file, offset, "filter");
    if (bytes.length < DIRECTORY_AT || getU32(bytes, 0) !== FilterKind.ribbon) throw damaged();
    const shardCount = getU32(bytes, FILTER_HEAD_BYTES);
    const wordsAt = DIRECTORY_AT + shardCount * SHARD_BYTES;
    if (shardCount === 0 || wordsAt > bytes.length || bytes.length % 4 !== 0) throw damaged();
    const wordCount = (bytes.length - wordsAt) / 4;
    const shards = new Int32Array(shardCount * FIELDS);
    let word = 0;
    for (let shard = 0; shard < shardCount; shard++) {
      const entry = DIRECTORY_AT + shard * SHARD_BYTES;
      const rowWords = bytes[entry]! | (bytes[entry + 1]! << 8);
      const columns = bytes[entry + 2]!;
      if (rowWords < WIDTH / 32 || columns === 0 || columns > COLUMNS_MAX) throw damaged();
      shards[shard * FIELDS] = word;
      shards[shard * FIELDS + 1] = placesOf(rowWords);
      shards[shard * FIELDS + 2] = columns;
      shards[shard * FIELDS + 3] = bytes[entry + 3]!;
      word += rowWords * columns;
      if (word > wordCount) throw damaged();
    }
    if (word !== wordCount) throw damaged();
    // A window may begin with a word: then the third one does not count, but it is read.
    const words = new Int32Array(wordCount + COLUMNS_MAX);
    for (let i = 0, at = wordsAt; i < wordCount; i++, at += 4) words[i] = getU32(bytes, at);
    this.bits = (bytes.length - FILTER_HEAD_BYTES) * 8;
    this.#words = words;
    this.#shards = shards;
    this.#scale = shardCount / 0x100000000;
  }

  get byteLength(): number {
    return this.#words.byteLength + this.#shards.byteLength;
  }

  /** It does not depend on the number of keys: it is how many bits of a sum are compared. */
  get rate(): number {
    const shards = this.#shards;
    let rate = 0;
    for (let i = 0; i < shards.length; i += FIELDS) rate += 2 ** -shards[i + 2]!;
    return (rate * FIELDS) / shards.length;
  }

  /** Returns false when no key of the table has this hash. */
  has(keyHash: number): boolean {
    const words = this.#words;
    const shards = this.#shards;
    const shard = (((keyHash >>> 0) * this.#scale) >>> 0) * FIELDS;
    const columns = shards[shard + 2]!;
    const place = placeBits(keyHash | 0, shards[shard + 3]!);
    const row = ((place >>> 0) * (shards[shard + 1]! / 0x100000000)) >>> 0;
    const bits = rowBits(place);
    const low = lowBits(bits);
    const high = highBits(bits);
    const sums = fingerprint(bits);
    // The window, moved to where the words begin: three words of each column.
    const shift = row & 31;
    const first = low << shift;
    const second = shift === 0 ? high : (high << shift) | (low >>> (32 - shift));
    const third = shift === 0 ? 0 : high >>> (32 - shift);
    let at = shards[shard]! + (row >>> 5) * columns;
    for (let column = 0; column < columns; column++, at++) {
      const sum =
        (words[at]! & first) ^ (words[at + columns]! & second) ^ (words[at + 2 * columns]! & third);
      if (parity(sum) !== ((sums >>> column) & 1)) return false;
    }
    return true;
  }
}
