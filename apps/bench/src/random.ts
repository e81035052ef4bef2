/**
 * Seeded chance: the generator sfc32 (Chris Doty-Humphrey, PractRand). Equal seed and stream give equal
 * numbers on every machine, so that all stores are asked the same questions in the same order.
 */

/** A stream of numbers that depends on nothing but its seed and stream number. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, stream = 0) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = stream | 0;
    for (let i = 0; i < 20; i++) this.u32();
  }

  /** Returns an integer of [0, 2^32). */
  u32(): number {
    const a = this.#a;
    const b = this.#b;
    const c = this.#c;
    const sum = (a + b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = b ^ (b >>> 9);
    this.#b = (c + (c << 3)) | 0;
    this.#c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Returns a number of [0, 1). */
  unit(): number {
    return this.u32() / 2 ** 32;
  }

  /** Returns a number of [0, 1) with 53 bits. */
  unit53(): number {
    const high = this.u32() >>> 5;
    return (high * 2 ** 26 + (this.u32() >>> 6)) / 2 ** 53;
  }

  /** Returns an integer of [0, end); `end` is at most 2^32. */
  below(end: number): number {
    return Math.floor(this.unit() * end);
  }

  /**
   * Returns a rank of [0, count), rank r about as often as 1 / (r + 1): Zipf's law with exponent 1, as
   * popular prefixes follow it.
   */
  rank(count: number): number {
    return Math.min(count - 1, Math.floor((count + 1) ** this.unit()) - 1);
  }
}
