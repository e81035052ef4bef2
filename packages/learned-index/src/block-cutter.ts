/**
 * Where blocks should end, so that a model needs no bits to say where they do: at even distances of
 * the keys' codes.
 *
 * The cutter watches the bounds of blocks, a key of each, and their sizes. From the last few dozen
 * blocks it knows how far bounds lie apart when blocks have their size, and asks for the next bound
 * that far behind the last one, again and again with the same distance: such bounds are one line of
 * the model. Where the keys do not follow, a block reaches its least or greatest size before the
 * bound; it then ends elsewhere, and a new line begins. When that happens too often the cutter asks
 * for nothing more, and the model spends bits.
 *
 * Arithmetic is that of the keys' own digits (`key-encoder.ts`): each position counts in the symbols
 * that were seen there, and a distance is added with carries. A position where keys end has no even
 * distances: only the positions before it count.
 */
import { hasSymbol, radixOf, rankOf, SYMBOLS, WORDS } from "./symbol-set.ts";

/** Positions of a key that are looked at. */
const WATCHED_POSITIONS = 64;
/** Blocks between the bounds that distances are taken from: so many to twice as many. */
const SPAN = 32;
/** Blocks to watch before the first request. */
const BLOCKS_MIN = 24;
/** A distance of so many codes is fine enough: rounding it changes blocks by less than a percent. */
const DISTANCE_FINE = 64;
/** Where keys end, a distance may be as coarse as this. */
const DISTANCE_MIN = 8;
const DISTANCE_MAX = 2 ** 40;
/** Requests after which the share of those met is judged, and the least share. */
const TRIAL = 128;
const MET_SHARE_MIN = 0.95;

/** Fits the cutter of the block index port (`BlockCutter` of @aura/sst). */
export interface BlockCutter {
  readonly bytes: Uint8Array;
  next(
    lower: Uint8Array,
    blockBytes: number,
    targetBytes: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): number;
}

/** Asks for bounds of blocks. */
export class EvenCutter implements BlockCutter {
  /** The bound asked for last. */
  bytes: Uint8Array = new Uint8Array(WATCHED_POSITIONS);
  /** Symbols seen, by position from the beginning of the key. */
  readonly symbols: Uint32Array = new Uint32Array(WATCHED_POSITIONS * WORDS);
  #length = 0;
  #blocks = 0;
  #requests = 0;
  #met = 0;
  /** Bound and bytes of blocks so far, at two places: the elder is 32 to 64 blocks back. */
  #elder: Uint8Array = new Uint8Array(0);
  #elderBytes = 0;
  #younger: Uint8Array = new Uint8Array(0);
  #youngerBytes = 0;
  #total = 0;
  /** Line under way: distance of bounds, in ranks at the position before `#depth`. */
  #distance = 0;
  #depth = 0;
  #changed = true;
  readonly #digits = new Int32Array(WATCHED_POSITIONS);
  readonly #radixes = new Int32Array(WATCHED_POSITIONS);

  /**
   * Notes that a block of `blockBytes` ended at `lower`, and that the next one begins there, with the
   * key[keyStart, keyEnd) (may be empty: not known). Blocks of `targetBytes` are wanted. Returns the
   * length of the bound asked for, in `bytes`; 0: none. All arguments are borrowed.
   */
  next(
    lower: Uint8Array,
    blockBytes: number,
    targetBytes: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): number {
    if (keyEnd > keyStart) this.#noteKey(key, keyStart, keyEnd);
    this.#noteBytes(lower, 0, lower.length);
    this.#total += blockBytes;
    const isMet = this.#length > 0 && this.#isWished(lower);
    if (this.#length > 0) {
      this.#requests++;
      if (isMet) this.#met++;
    }
    if (this.#blocks++ % SPAN === 0) {
      this.#elder = this.#younger;
      this.#elderBytes = this.#youngerBytes;
      this.#younger = lower.slice();
      this.#youngerBytes = this.#total;
    }
    this.#length = 0;
    const isTired = this.#requests >= TRIAL && this.#met < this.#requests * MET_SHARE_MIN;
    if (isTired || this.#blocks < BLOCKS_MIN) return 0;
    if (this.#changed) this.#takeRadixes();
    if (!isMet || this.#changed) this.#plan(lower, targetBytes);
    this.#changed = false;
    if (this.#distance > 0) this.#length = this.#ask(lower);
    return this.#length;
  }

  #noteKey(key: Uint8Array, start: number, end: number): void {
    this.#noteBytes(key, start, end);
    const length = end - start;
    if (length < WATCHED_POSITIONS) this.#note(length, 0);
  }

  #noteBytes(key: Uint8Array, start: number, end: number): void {
    const length = Math.min(end - start, WATCHED_POSITIONS);
    for (let i = 0; i < length; i++) this.#note(i, key[start + i]! + 1);
  }

  #note(position: number, symbol: number): void {
    const word = position * WORDS + (symbol >>> 5);
    const bit = 1 << (symbol & 31);
    if ((this.symbols[word]! & bit) !== 0) return;
    this.symbols[word]! |= bit;
    this.#changed = true;
  }

  #isWished(lower: Uint8Array): boolean {
    if (lower.length !== this.#length) return false;
    for (let i = 0; i < lower.length; i++) {
      if (lower[i] !== this.bytes[i]) return false;
    }
    return true;
  }

  #takeRadixes(): void {
    for (let i = 0; i < WATCHED_POSITIONS; i++) {
      this.#radixes[i] = radixOf(this.symbols, i * WORDS);
    }
  }

  /** Puts the ranks of a bound into `#digits`, zeros behind its end. */
  #takeDigits(bound: Uint8Array, depth: number): void {
    for (let i = 0; i < depth; i++) {
      const rank = i < bound.length ? rankOf(this.symbols, i * WORDS, bound[i]! + 1) : 0;
      this.#digits[i] = rank;
    }
  }

  /** Chooses depth and distance from the bounds of the last blocks. */
  #plan(lower: Uint8Array, targetBytes: number): void {
    this.#distance = 0;
    const old = this.#elder.length > 0 ? this.#elder : this.#younger;
    const oldBytes = this.#elder.length > 0 ? this.#elderBytes : this.#youngerBytes;
    const blocks = (this.#total - oldBytes) / targetBytes;
    if (blocks < BLOCKS_MIN / 2) return;
    this.#takeDigits(old, WATCHED_POSITIONS);
    const before = this.#digits.slice();
    this.#takeDigits(lower, WATCHED_POSITIONS);
    let apart = 0;
    for (let depth = 1; depth <= WATCHED_POSITIONS; depth++) {
      const i = depth - 1;
      if (this.#radixes[i] === 0 || hasSymbol(this.symbols, i * WORDS, 0)) break;
      apart = apart * this.#radixes[i]! + this.#digits[i]! - before[i]!;
      const distance = Math.round(apart / blocks);
      if (distance > DISTANCE_MAX) break;
      this.#distance = distance >= DISTANCE_MIN ? distance : 0;
      this.#depth = depth;
      if (distance >= DISTANCE_FINE) break;
    }
  }

  /** Puts the bound at the distance behind `lower` into `bytes`; returns its length, 0 if there is none. */
  #ask(lower: Uint8Array): number {
    if (lower.length > this.#depth) return 0;
    this.#takeDigits(lower, this.#depth);
    const digits = this.#digits;
    let carry = this.#distance;
    for (let i = this.#depth - 1; i >= 0 && carry > 0; i--) {
      const radix = this.#radixes[i]!;
      const sum = digits[i]! + carry;
      carry = Math.floor(sum / radix);
      digits[i] = sum - carry * radix;
    }
    // A digit that was never seen would be needed.
    if (carry > 0) return 0;
    let length = this.#depth;
    while (length > 0 && digits[length - 1] === 0) length--;
    for (let i = 0; i < length; i++) this.bytes[i] = this.#byteOf(i, digits[i]!);
    return length;
  }

  #byteOf(position: number, rank: number): number {
    let left = rank;
    for (let symbol = 1; symbol < SYMBOLS; symbol++) {
      if (hasSymbol(this.symbols, position * WORDS, symbol) && left-- === 0) return symbol - 1;
    }
    return 0;
  }
}
