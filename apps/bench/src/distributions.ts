/**
 * Which record an operation asks for: the distributions of YCSB (Cooper et al., "Benchmarking Cloud
 * Serving Systems with YCSB", SoCC 2010), with the constants of its core workloads.
 *
 * Zipfian: the generator of Gray et al., "Quickly Generating Billion-Record Synthetic Databases",
 * SIGMOD 1994, section 3.2. Scrambled: a zipfian rank among 10^10 items, spread over the key space by FNV
 * of the rank, so that popular records do not stand side by side. Latest: a zipfian distance from the
 * newest record.
 */
import type { Random } from "./random.ts";

/** Exponent of YCSB's zipfian distributions. */
const ZIPFIAN_THETA = 0.99;

/** Items that the scrambled distribution draws ranks from, and the zeta of so many at 0.99. */
const SCRAMBLED_ITEMS = 1e10;
const SCRAMBLED_ZETA = 26.469_028_201_783_02;

const TWO_32: number = 2 ** 32;

/** Draws an index of [0, count); `count` may grow from call to call. */
export interface Distribution {
  draw(random: Random, count: number): number;
}

/** Every index as often as any other. */
export const uniform: Distribution = { draw: (random, count) => random.below(count) };

/** A 64 bit number as two halves. */
export interface Hash64 {
  high: number;
  low: number;
}

/** Sets `hash` to the FNV-1a hash of the 8 bytes of `value`, the lowest first, without its sign, as YCSB has it. */
export function fnv64(value: number, hash: Hash64): void {
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  let word = value >>> 0;
  for (let i = 0; i < 8; i++) {
    if (i === 4) word = Math.floor(value / TWO_32) >>> 0;
    low = (low ^ (word & 0xff)) >>> 0;
    word >>>= 8;
    // Times 2^40 + 0x1b3.
    const product = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / TWO_32) + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  if (high >= 0x8000_0000) {
    low = (~low + 1) >>> 0;
    high = (~high + (low === 0 ? 1 : 0)) >>> 0;
  }
  hash.high = high;
  hash.low = low;
}

/** Returns a hash modulo `count`, which is at most 2^32. */
export function hashModulo({ high, low }: Hash64, count: number): number {
  let rest = high % count;
  rest = (rest * 65_536 + (low >>> 16)) % count;
  return (rest * 65_536 + (low & 0xffff)) % count;
}

/** Zipf's law over ranks: rank 0 is the most frequent. The number of ranks may only grow. */
export class Zipfian implements Distribution {
  readonly #theta: number;
  readonly #alpha: number;
  readonly #zetaOf2: number;
  #items = 0;
  #zeta = 0;
  #eta = 0;

  constructor(
    theta: number = ZIPFIAN_THETA,
    known?: { readonly items: number; readonly zeta: number },
  ) {
    this.#theta = theta;
    this.#alpha = 1 / (1 - theta);
    this.#zetaOf2 = 1 + 0.5 ** theta;
    if (known !== undefined) {
      this.#items = known.items;
      this.#zeta = known.zeta;
      this.#noteEta();
    }
  }

  draw(random: Random, count: number): number {
    if (count > this.#items) this.#grow(count);
    const u = random.unit53();
    const uz = u * this.#zeta;
    if (uz < 1) return 0;
    if (uz < this.#zetaOf2) return Math.min(1, count - 1);
    const rank = Math.floor(this.#items * (this.#eta * u - this.#eta + 1) ** this.#alpha);
    return Math.min(rank, count - 1);
  }

  /** Adds the terms of new ranks to zeta, which is linear in them. */
  #grow(count: number): void {
    for (let i = this.#items + 1; i <= count; i++) this.#zeta += 1 / i ** this.#theta;
    this.#items = count;
    this.#noteEta();
  }

  #noteEta(): void {
    const share = (2 / this.#items) ** (1 - this.#theta);
    this.#eta = (1 - share) / (1 - this.#zetaOf2 / this.#zeta);
  }
}

/**
 * Zipfian ranks spread over `range` indices by FNV. As in YCSB the range is fixed, with room for records
 * that are inserted later; what falls on a record that is not there yet is drawn again.
 */
export class ScrambledZipfian implements Distribution {
  readonly #range: number;
  readonly #ranks = new Zipfian(ZIPFIAN_THETA, { items: SCRAMBLED_ITEMS, zeta: SCRAMBLED_ZETA });
  readonly #hash: Hash64 = { high: 0, low: 0 };

  constructor(range: number) {
    this.#range = range;
  }

  draw(random: Random, count: number): number {
    while (true) {
      fnv64(this.#ranks.draw(random, SCRAMBLED_ITEMS), this.#hash);
      const index = hashModulo(this.#hash, this.#range);
      if (index < count) return index;
    }
  }
}

/** The newest record most often, older ones by Zipf's law of their age. */
export class Latest implements Distribution {
  readonly #ages = new Zipfian();

  draw(random: Random, count: number): number {
    return count - 1 - this.#ages.draw(random, count);
  }
}
