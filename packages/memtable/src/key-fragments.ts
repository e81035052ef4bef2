/**
 * Key fragments: a few bytes of a key as one 32-bit number in key order.
 *
 * Fragments order keys, but not strictly: the fragment of a smaller key is never larger, and equal
 * ones say nothing. They are taken behind the bytes that a sample of keys has in common, and each
 * of the following bytes counts only as many values as its class has (a digit 10, a letter 26, a
 * byte of no class 256), so that nine digits fit in one fragment. Keys outside of what the sample
 * showed are clamped: below, the lowest value; above, the highest one. A poor sample costs time,
 * never order.
 */

/** Longest piece of a key that a fragment covers, bytes: 32 of the smallest class. */
const POSITIONS_MAX = 16;
/** Bytes behind the shared ones that a fit looks at. */
export const FIT_BYTES = 16;
const FRAGMENT_COUNT = 4294967296;
const FRAGMENT_BIAS = 2147483648;

/** The fragment of all keys below what the sample has in common, and of all keys before a fit. */
export const FRAGMENT_LOW: number = -FRAGMENT_BIAS;
/** The fragment of all keys above it. */
export const FRAGMENT_HIGH: number = FRAGMENT_BIAS - 1;

/** Byte ranges that a position may be confined to, narrowest first; both ends inclusive. */
const CLASSES: readonly (readonly [number, number])[] = [
  [0x30, 0x39],
  [0x61, 0x7a],
  [0x41, 0x5a],
  [0x30, 0x66],
  [0x2d, 0x7a],
  [0, 0xff],
];

/** Computes fragments; before the first fit, all keys have the same one. */
export class KeyFragments {
  /** Bytes that the sample has in common; they stand in front of every fragment but clamped ones. */
  shared: Uint8Array = new Uint8Array(0);
  #count = 0;
  readonly #low: Int32Array = new Int32Array(POSITIONS_MAX);
  readonly #radix: Int32Array = new Int32Array(POSITIONS_MAX);
  /** What the positions behind `i` count together. */
  readonly #weight: Float64Array = new Float64Array(POSITIONS_MAX);

  /**
   * Fits to keys that have `shared` in common. `lows` and `highs` hold the smallest and largest
   * byte at each position behind it; 255 and 0 where no key reaches.
   */
  fit(shared: Uint8Array, lows: Uint8Array, highs: Uint8Array): void {
    this.shared = shared;
    this.#count = 0;
    let product = 1;
    for (let i = 0; i < POSITIONS_MAX && i < lows.length; i++) {
      const [low, high] = CLASSES.find(([l, h]) => lows[i]! >= l && highs[i]! <= h)!;
      const radix = high - low + 1;
      if (product * radix > FRAGMENT_COUNT) break;
      product *= radix;
      this.#low[i] = low;
      this.#radix[i] = radix;
      this.#count++;
    }
    let weight = 1;
    for (let i = this.#count - 1; i >= 0; i--) {
      this.#weight[i] = weight;
      weight *= this.#radix[i]!;
    }
  }

  /** Returns the fragment of key[start, end). */
  of(key: Uint8Array, start: number, end: number): number {
    const count = this.#count;
    if (count === 0) return FRAGMENT_LOW;
    const shared = this.shared;
    const length = end - start;
    const common = length < shared.length ? length : shared.length;
    for (let i = 0; i < common; i++) {
      const difference = key[start + i]! - shared[i]!;
      if (difference !== 0) return difference < 0 ? FRAGMENT_LOW : FRAGMENT_HIGH;
    }
    let code = -FRAGMENT_BIAS;
    let at = start + shared.length;
    for (let i = 0; i < count; i++, at++) {
      if (at >= end) break;
      const digit = key[at]! - this.#low[i]!;
      if (digit < 0) break;
      const radix = this.#radix[i]!;
      if (digit >= radix) {
        code += radix * this.#weight[i]! - 1;
        break;
      }
      code += digit * this.#weight[i]!;
    }
    return code | 0;
  }
}
