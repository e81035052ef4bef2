/**
 * Where blocks should end, so that a model needs no bits to say where they do: at even distances of
 * the keys' codes.
 *
 * The cutter watches the bounds of blocks, a key of each, and their sizes. From the last few dozen
 * blocks it knows how far bounds lie apart when blocks have their size, and asks for the next bound
 * that far behind the last one, again and again with the same distance: such bounds are one line of
 * the model. The first requests are not uttered, only compared with where blocks end by size: keys
 * whose digits say nothing of sizes never have a block cut elsewhere. Where the keys do not follow
 * later, a block reaches its least or greatest size before the
 * bound; it then ends elsewhere, and a new line begins. When that happens too often the cutter asks
 * for nothing more, and the model spends bits.
 *
 * Arithmetic is that of the keys' own digits (`key-encoder.ts`): each position counts in the symbols
 * that were seen there, and a distance is added with carries. A position where keys end has no even
 * distances: only the positions before it count.
 */
import { hasSymbol, noteSymbol, WORDS } from "./symbol-set.ts";

/** Positions of a key that are looked at. */
const WATCHED_POSITIONS = 64;
const BYTES = 256;
/** Blocks between the bounds that distances are taken from: so many to twice as many. */
const SPAN = 32;
/** Blocks to watch before the first request. */
const BLOCKS_MIN = 24;
/** A distance of so many codes is fine enough: rounding it changes blocks by less than a percent. */
const DISTANCE_FINE = 64;
/** Where keys end, a distance may be as coarse as this. */
const DISTANCE_MIN = 8;
const DISTANCE_MAX = 2 ** 40;
/** Requests that are not uttered, and how many of them may be wrong. */
const TRIALS = 16;
const STRAYED_MAX = 1;
/** A block that ends where it was asked to has this share of the wanted size at least, and at most. */
const SHARE_MIN = 0.5;
const SHARE_MAX = 1.5;
/** Requests that may fail: so many, and this share. Where keys do not follow, few blocks suffer. */
const MISSED_FREE = 2;
const MISSED_SHARE_MAX = 0.05;

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
  readonly bytes: Uint8Array = new Uint8Array(WATCHED_POSITIONS);
  /** Symbols seen, by position from the beginning of the key. */
  readonly symbols: Uint32Array = new Uint32Array(WATCHED_POSITIONS * WORDS);
  #length = 0;
  #blocks = 0;
  #requests = 0;
  #missed = 0;
  #trials = 0;
  #strayed = 0;
  /** Bound and bytes of blocks so far, at two places: the elder is 32 to 64 blocks back. */
  #elder: Uint8Array = new Uint8Array(0);
  #elderBytes = 0;
  #younger: Uint8Array = new Uint8Array(0);
  #youngerBytes = 0;
  #total = 0;
  /** Line under way: distance of bounds, in ranks at the position before `#depth`. */
  #distance = 0;
  #depth = 0;
  /** A symbol came that was not there when the line began. */
  #changed = false;
  /** Digits of the bound in `bytes`, up to `#depth`. */
  readonly #digits = new Int32Array(WATCHED_POSITIONS);
  /** Those of the bound at which the line began. */
  readonly #begun = new Int32Array(WATCHED_POSITIONS);
  /** Bytes seen at each position, and where keys end. */
  readonly #radixes = new Int32Array(WATCHED_POSITIONS);
  readonly #hasEnd = new Uint8Array(WATCHED_POSITIONS);
  /** By position: rank of a byte, byte of a rank. */
  readonly #ranks = new Uint8Array(WATCHED_POSITIONS * BYTES);
  readonly #unranked = new Uint8Array(WATCHED_POSITIONS * BYTES);

  /**
   * Notes that a block of `blockBytes` ended at `lower`, and that the next one begins there, with the
   * key[keyStart, keyEnd). Blocks of `targetBytes` are wanted. Returns the
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
    const isTrial = this.#trials < TRIALS;
    // In the digits that the request was made with.
    const isNear = isTrial && this.#length > 0 && this.#isNear(lower);
    if (keyEnd > keyStart) this.#noteKey(key, keyStart, keyEnd);
    this.#total += blockBytes;
    const isMet = !isTrial && this.#length > 0 && this.#isWished(lower);
    if (this.#length > 0 && isTrial) {
      this.#trials++;
      if (!isNear) this.#strayed++;
    } else if (this.#length > 0) {
      this.#requests++;
      if (!isMet) this.#missed++;
    }
    if (!isMet) this.#noteBytes(lower, 0, lower.length);
    if (this.#blocks++ % SPAN === 0) {
      this.#elder = this.#younger;
      this.#elderBytes = this.#youngerBytes;
      this.#younger = lower.slice();
      this.#youngerBytes = this.#total;
    }
    this.#length = 0;
    const isTired = this.#missed > MISSED_FREE + this.#requests * MISSED_SHARE_MAX;
    if (isTired || this.#strayed > STRAYED_MAX || this.#blocks < BLOCKS_MIN) return 0;
    if (!isMet || this.#changed) this.#plan(lower, targetBytes);
    if (this.#distance > 0) this.#length = this.#step();
    return this.#trials < TRIALS ? 0 : this.#length;
  }

  /** Returns whether the block that ended at `lower` would have had a size to be content with at the bound. */
  #isNear(lower: Uint8Array): boolean {
    let apart = 0;
    for (let i = 0; i < this.#depth; i++) {
      apart = apart * this.#radixes[i]! + this.#digitOf(lower, i) - this.#begun[i]!;
    }
    return this.#distance >= apart * SHARE_MIN && this.#distance <= apart * SHARE_MAX;
  }

  #noteKey(key: Uint8Array, start: number, end: number): void {
    this.#noteBytes(key, start, end);
    const length = end - start;
    if (length < WATCHED_POSITIONS && this.#hasEnd[length] === 0) this.#note(length, 0);
  }

  #noteBytes(key: Uint8Array, start: number, end: number): void {
    const length = Math.min(end - start, WATCHED_POSITIONS);
    const { symbols } = this;
    for (let i = 0; i < length; i++) {
      const symbol = key[start + i]! + 1;
      if ((symbols[i * WORDS + (symbol >>> 5)]! & (1 << (symbol & 31))) === 0)
        this.#note(i, symbol);
    }
  }

  /** Takes in a symbol that is new at its position. */
  #note(position: number, symbol: number): void {
    const set = position * WORDS;
    noteSymbol(this.symbols, set, symbol);
    this.#changed = true;
    this.#hasEnd[position] = Number(hasSymbol(this.symbols, set, 0));
    const at = position * BYTES;
    let rank = 0;
    for (let byte = 0; byte < BYTES; byte++) {
      this.#ranks[at + byte] = rank;
      if (hasSymbol(this.symbols, set, byte + 1)) this.#unranked[at + rank++] = byte;
    }
    this.#radixes[position] = rank;
  }

  #isWished(lower: Uint8Array): boolean {
    if (lower.length !== this.#length) return false;
    for (let i = 0; i < lower.length; i++) {
      if (lower[i] !== this.bytes[i]) return false;
    }
    return true;
  }

  /** Chooses depth and distance from the bounds of the last blocks, and begins a line at `lower`. */
  #plan(lower: Uint8Array, targetBytes: number): void {
    this.#distance = 0;
    this.#changed = false;
    const old = this.#elder.length > 0 ? this.#elder : this.#younger;
    const oldBytes = this.#elder.length > 0 ? this.#elderBytes : this.#youngerBytes;
    const blocks = (this.#total - oldBytes) / targetBytes;
    if (blocks < BLOCKS_MIN / 2) return;
    let apart = 0;
    let depth = 0;
    while (depth < WATCHED_POSITIONS) {
      const radix = this.#radixes[depth]!;
      if (radix === 0 || this.#hasEnd[depth] !== 0) break;
      const digit = this.#digitOf(lower, depth);
      this.#digits[depth] = this.#begun[depth] = digit;
      this.bytes[depth] = this.#unranked[depth * BYTES + digit]!;
      apart = apart * radix + digit - this.#digitOf(old, depth);
      depth++;
      const distance = Math.round(apart / blocks);
      if (distance > DISTANCE_MAX) break;
      this.#distance = distance >= DISTANCE_MIN ? distance : 0;
      if (distance >= DISTANCE_FINE) break;
    }
    this.#depth = depth;
    if (lower.length > depth) this.#distance = 0;
  }

  #digitOf(bound: Uint8Array, position: number): number {
    return position < bound.length ? this.#ranks[position * BYTES + bound[position]!]! : 0;
  }

  /** Moves the bound on by the distance; returns its length, 0 if a digit that was never seen is needed. */
  #step(): number {
    const digits = this.#digits;
    let carry = this.#distance;
    for (let i = this.#depth - 1; carry > 0; i--) {
      if (i < 0) return 0;
      const radix = this.#radixes[i]!;
      const sum = digits[i]! + carry;
      carry = Math.floor(sum / radix);
      const digit = sum - carry * radix;
      digits[i] = digit;
      this.bytes[i] = this.#unranked[i * BYTES + digit]!;
    }
    let length = this.#depth;
    while (length > 0 && digits[length - 1] === 0) length--;
    return length;
  }
}
