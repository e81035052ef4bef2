/**
 * Key masks: a trace's keys made unreadable. Equal keys get equal masks, a mask has the length of
 * its key, and nothing else of the key shows: two keys that share a prefix have masks that share one
 * only by chance. The secret is drawn for each trace and kept nowhere, so a mask cannot be tried out
 * against a list of likely keys, nor matched with another trace's.
 *
 * A mask is SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input
 * PRF", 2012); behind the first 16 bytes come the digests, under a second key, of the first one and a
 * counter. What masks do not hide: lengths, how often and when a key is used. Keys shorter than about
 * eight bytes may get the same mask.
 */
import type { Random } from "@aura/base";
import { putU32 } from "@aura/base";

const DIGEST_BYTES = 16;

/** Masks keys under one secret. */
export class KeyMask {
  readonly #keys = new Int32Array(8);
  readonly #seed = new Uint8Array(DIGEST_BYTES + 4);
  readonly #block = new Uint8Array(DIGEST_BYTES);

  /** Draws the secret: 256 bits. */
  constructor(random: Random) {
    for (let i = 0; i < this.#keys.length; i++) this.#keys[i] = random.uint32() | 0;
  }

  /** Writes the mask of source[start, end) to `target`, from its beginning on. */
  mask(source: Uint8Array, start: number, end: number, target: Uint8Array): void {
    const length = end - start;
    const block = this.#block;
    sipHash128(this.#keys, 0, source, start, end, block);
    copy(block, target, 0, length);
    if (length <= DIGEST_BYTES) return;
    const seed = this.#seed;
    seed.set(block);
    for (let at = DIGEST_BYTES; at < length; at += DIGEST_BYTES) {
      putU32(seed, DIGEST_BYTES, at);
      sipHash128(this.#keys, 4, seed, 0, seed.length, block);
      copy(block, target, at, length);
    }
  }
}

function copy(block: Uint8Array, target: Uint8Array, at: number, limit: number): void {
  const count = Math.min(DIGEST_BYTES, limit - at);
  for (let i = 0; i < count; i++) target[at + i] = block[i]!;
}

/**
 * Writes the 16 bytes of SipHash-2-4-128 of source[start, end) to `out`. The key is four words of
 * `keys` from `keyAt` on, low first.
 *
 * The state is eight local halves of words, and one loop does all rounds: in an array it is slower.
 */
export function sipHash128(
  keys: Int32Array,
  keyAt: number,
  source: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
): void {
  let a0 = keys[keyAt]! ^ 0x70736575;
  let a1 = keys[keyAt + 1]! ^ 0x736f6d65;
  let b0 = keys[keyAt + 2]! ^ 0x6e646f6d ^ 0xee;
  let b1 = keys[keyAt + 3]! ^ 0x646f7261;
  let c0 = keys[keyAt]! ^ 0x6e657261;
  let c1 = keys[keyAt + 1]! ^ 0x6c796765;
  let d0 = keys[keyAt + 2]! ^ 0x79746573;
  let d1 = keys[keyAt + 3]! ^ 0x74656462;
  // All words, the last with the length in it, and then one step for each half of the result.
  const last = (end - start) >>> 3;
  for (let step = 0; step <= last + 2; step++) {
    const at = start + 8 * step;
    const low = step > last ? 0 : step < last ? word(source, at) : partial(source, at, end);
    const high =
      step > last
        ? 0
        : step < last
          ? word(source, at + 4)
          : partial(source, at + 4, end) | ((end - start) << 24);
    if (step === last + 1) c0 ^= 0xee;
    else if (step === last + 2) b0 ^= 0xdd;
    d0 ^= low;
    d1 ^= high;
    for (let rounds = step > last ? 4 : 2; rounds > 0; rounds--) {
      let sum = (a0 + b0) | 0;
      a1 = (a1 + b1 + (sum >>> 0 < a0 >>> 0 ? 1 : 0)) | 0;
      a0 = sum;
      let turned = (b0 << 13) | (b1 >>> 19);
      b1 = ((b1 << 13) | (b0 >>> 19)) ^ a1;
      b0 = turned ^ a0;
      sum = (c0 + d0) | 0;
      c1 = (c1 + d1 + (sum >>> 0 < c0 >>> 0 ? 1 : 0)) | 0;
      c0 = sum;
      turned = (d0 << 16) | (d1 >>> 16);
      d1 = ((d1 << 16) | (d0 >>> 16)) ^ c1;
      d0 = turned ^ c0;
      // v0 is turned by 32 bits: its halves change places.
      sum = (a1 + d0) | 0;
      a1 = (a0 + d1 + (sum >>> 0 < a1 >>> 0 ? 1 : 0)) | 0;
      a0 = sum;
      turned = (d0 << 21) | (d1 >>> 11);
      d1 = ((d1 << 21) | (d0 >>> 11)) ^ a1;
      d0 = turned ^ a0;
      sum = (c0 + b0) | 0;
      c1 = (c1 + b1 + (sum >>> 0 < c0 >>> 0 ? 1 : 0)) | 0;
      turned = (b0 << 17) | (b1 >>> 15);
      b1 = ((b1 << 17) | (b0 >>> 15)) ^ c1;
      b0 = turned ^ sum;
      // And v2.
      c0 = c1;
      c1 = sum;
    }
    a0 ^= low;
    a1 ^= high;
    if (step <= last) continue;
    const to = 8 * (step - last - 1);
    putU32(out, to, a0 ^ b0 ^ c0 ^ d0);
    putU32(out, to + 4, a1 ^ b1 ^ c1 ^ d1);
  }
}

function word(source: Uint8Array, at: number): number {
  return source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16) | (source[at + 3]! << 24);
}

/** The word at `at`, of which only what is in front of `end` counts. */
function partial(source: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = 0; i < 4 && at + i < end; i++) value |= source[at + i]! << (8 * i);
  return value;
}
