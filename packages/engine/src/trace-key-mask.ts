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
import { getU32, putU32 } from "@aura/base";

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

/** Four 64-bit words, low half first. */
const v = new Int32Array(8);

/**
 * Writes the 16 bytes of SipHash-2-4-128 of source[start, end) to `out`. The key is four words of
 * `keys` from `keyAt` on, low first.
 */
export function sipHash128(
  keys: Int32Array,
  keyAt: number,
  source: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
): void {
  const k0 = keys[keyAt]!;
  const k1 = keys[keyAt + 1]!;
  const k2 = keys[keyAt + 2]!;
  const k3 = keys[keyAt + 3]!;
  v[0] = k0 ^ 0x70736575;
  v[1] = k1 ^ 0x736f6d65;
  v[2] = k2 ^ 0x6e646f6d ^ 0xee;
  v[3] = k3 ^ 0x646f7261;
  v[4] = k0 ^ 0x6e657261;
  v[5] = k1 ^ 0x6c796765;
  v[6] = k2 ^ 0x79746573;
  v[7] = k3 ^ 0x74656462;
  let at = start;
  for (; at <= end - 8; at += 8) take(getU32(source, at), getU32(source, at + 4));
  let low = 0;
  let high = ((end - start) & 255) << 24;
  for (let i = 0; at + i < end; i++) {
    if (i < 4) low |= source[at + i]! << (8 * i);
    else high |= source[at + i]! << (8 * (i - 4));
  }
  take(low, high);
  v[4]! ^= 0xee;
  finish(out, 0);
  v[2]! ^= 0xdd;
  finish(out, 8);
}

function take(low: number, high: number): void {
  v[6]! ^= low;
  v[7]! ^= high;
  round();
  round();
  v[0]! ^= low;
  v[1]! ^= high;
}

function finish(out: Uint8Array, at: number): void {
  for (let i = 0; i < 4; i++) round();
  putU32(out, at, v[0]! ^ v[2]! ^ v[4]! ^ v[6]!);
  putU32(out, at + 4, v[1]! ^ v[3]! ^ v[5]! ^ v[7]!);
}

function round(): void {
  addTurn(0, 2, 13);
  swap(0);
  addTurn(4, 6, 16);
  addTurn(0, 6, 21);
  addTurn(4, 2, 17);
  swap(4);
}

/** v[a] += v[b]; v[b] is turned left by `bits`, then v[b] ^= v[a]. */
function addTurn(a: number, b: number, bits: number): void {
  const aLow = v[a]!;
  const bLow = v[b]!;
  const bHigh = v[b + 1]!;
  const low = (aLow + bLow) | 0;
  const carry = low >>> 0 < aLow >>> 0 ? 1 : 0;
  const high = (v[a + 1]! + bHigh + carry) | 0;
  v[a] = low;
  v[a + 1] = high;
  v[b] = ((bLow << bits) | (bHigh >>> (32 - bits))) ^ low;
  v[b + 1] = ((bHigh << bits) | (bLow >>> (32 - bits))) ^ high;
}

/** Turns v[a] by 32 bits. */
function swap(a: number): void {
  const low = v[a]!;
  v[a] = v[a + 1]!;
  v[a + 1] = low;
}
