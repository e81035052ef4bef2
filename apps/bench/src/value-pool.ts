/**
 * Values that are known without being kept: revision r of record i is a piece of one pool of random
 * bytes, from a place that i and r give. Making one costs a view, checking one a compare.
 */
import { Random } from "./random.ts";

/** Places that a value may begin at. */
const PLACES = 4 * 2 ** 20;

/** Pieces are compressible one by one, as in db_bench. */
const PIECE_BYTES = 100;

/** Random bytes, of which a part repeats. */
export class ValuePool {
  readonly #bytes: Buffer;

  /** `compressible`: the share of each 100 bytes that repeats the bytes before; 0: none does. */
  constructor(options: {
    readonly seed: number;
    readonly valueBytesMax: number;
    readonly compressible: number;
  }) {
    const { seed, valueBytesMax, compressible } = options;
    const bytes = Buffer.allocUnsafe(PLACES + valueBytesMax);
    const random = new Random(seed, 50);
    for (let at = 0; at < bytes.length; at += 4) {
      const word = random.u32();
      for (let i = 0; i < 4 && at + i < bytes.length; i++) bytes[at + i] = word >>> (8 * i);
    }
    const fresh = Math.max(1, Math.round(PIECE_BYTES * (1 - compressible)));
    for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
      const end = Math.min(bytes.length, start + PIECE_BYTES);
      for (let at = start + fresh; at < end; at++) bytes[at] = bytes[at - fresh]!;
    }
    this.#bytes = bytes;
  }

  /** Returns the value of a record at a revision: a view, not to be changed. */
  value(index: number, revision: number, bytes: number): Buffer {
    const start = placeOf(index, revision);
    return this.#bytes.subarray(start, start + bytes);
  }

  /** Whether bytes are that value. */
  is(found: Uint8Array, index: number, revision: number, bytes: number): boolean {
    if (found.length !== bytes) return false;
    const start = placeOf(index, revision);
    return this.#bytes.compare(found, 0, bytes, start, start + bytes) === 0;
  }
}

function placeOf(index: number, revision: number): number {
  let hash = Math.imul(index, 0x9e37_79b1) ^ Math.imul(revision, 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d);
  hash = Math.imul(hash ^ (hash >>> 13), 0x297a_2d39);
  return ((hash ^ (hash >>> 16)) >>> 0) % PLACES;
}
