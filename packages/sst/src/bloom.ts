/**
 * Bloom filter over key hashes (32 bits, one seeded hash per key, see `hashKey` of base).
 *
 * bytes = kind u8 | probes u8 | 0 u16 | words u32 ... . Bit positions come from the hash by double hashing, scaled
 * to the number of bits; no false negatives.
 */
import { corruption, putU32 } from "@aura/base";
import { FILTER_HEAD_BYTES, FilterKind } from "./filter-kind.ts";

const PROBES_MAX = 30;
/** A filter this long has bit positions below 2^32. */
const FILTER_WORDS_MAX = 0x07ffffff;

/** Second hash: odd, and unrelated to the first for any two keys that differ. */
function step(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (mixed ^ (mixed >>> 13)) | 1;
}

function probesOf(bitsPerKey: number): number {
  return Math.min(Math.max(Math.round(bitsPerKey * Math.LN2), 1), PROBES_MAX);
}

/** Returns the share of absent keys that a filter of so many bits per key lets pass, by theory. */
export function bloomRate(bitsPerKey: number): number {
  const probes = probesOf(bitsPerKey);
  return (1 - Math.exp(-probes / bitsPerKey)) ** probes;
}

/**
 * Returns the filter of `hashes[0, count)` with about `bitsPerKey` bits each, or undefined when
 * `bitsPerKey` is below 1 (no filter pays there).
 */
export function buildBloom(
  hashes: Uint32Array,
  count: number,
  bitsPerKey: number,
): Uint8Array | undefined {
  if (bitsPerKey < 1 || count === 0) return undefined;
  const wordCount = Math.min(Math.max(Math.ceil((count * bitsPerKey) / 32), 2), FILTER_WORDS_MAX);
  const probes = probesOf(bitsPerKey);
  const words = new Uint32Array(wordCount);
  const scale = (wordCount * 32) / 0x100000000;
  for (let i = 0; i < count; i++) {
    let hash = hashes[i]! | 0;
    const delta = step(hash);
    for (let p = 0; p < probes; p++) {
      const bit = ((hash >>> 0) * scale) >>> 0;
      words[bit >>> 5]! |= 1 << (bit & 31);
      hash = (hash + delta) | 0;
    }
  }
  const bytes = new Uint8Array(FILTER_HEAD_BYTES + wordCount * 4);
  bytes[0] = FilterKind.bloom;
  bytes[1] = probes;
  for (let i = 0; i < wordCount; i++) putU32(bytes, FILTER_HEAD_BYTES + i * 4, words[i]!);
  return bytes;
}

/** Words that are counted of a long filter: enough to know its rate within a hundredth of it. */
const WORDS_COUNTED_MAX = 8192;

/**
 * Returns the share of bits that are 1, of words spread over the filter. It knows what no count of
 * entries does: versions share a key, and prefixes are in it as well.
 */
function bitsSetShare(words: Uint32Array): number {
  const step = Math.max(Math.floor(words.length / WORDS_COUNTED_MAX), 1);
  let counted = 0;
  let bits = 0;
  for (let i = 0; i < words.length; i += step) {
    let word = words[i]!;
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    bits += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
    counted += 32;
  }
  return bits / counted;
}

/** A Bloom filter in memory. */
export class Bloom {
  readonly #words: Uint32Array;
  readonly #probes: number;
  readonly #scale: number;

  /** Reads what `buildBloom` returned; `file` and `offset` name it in errors. Keeps no view. */
  constructor(bytes: Uint8Array, file: string, offset: number) {
    const wordBytes = bytes.length - FILTER_HEAD_BYTES;
    const probes = wordBytes < 0 ? 0 : bytes[1]!;
    const whole =
      wordBytes >= 8 &&
      wordBytes % 4 === 0 &&
      wordBytes / 4 <= FILTER_WORDS_MAX &&
      probes >= 1 &&
      probes <= PROBES_MAX &&
      bytes[0] === FilterKind.bloom &&
      bytes[2] === 0 &&
      bytes[3] === 0;
    if (!whole) throw corruption(file, offset, "filter");
    const words = new Uint32Array(wordBytes / 4);
    for (let i = 0, at = FILTER_HEAD_BYTES; i < words.length; i++, at += 4) {
      words[i] =
        bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    }
    this.#words = words;
    this.#probes = probes;
    this.#scale = (words.length * 32) / 0x100000000;
  }

  get bits(): number {
    return this.#words.length * 32;
  }

  get byteLength(): number {
    return this.#words.byteLength;
  }

  get rate(): number {
    return bitsSetShare(this.#words) ** this.#probes;
  }

  /** Returns false when no key of the table has this hash. */
  has(keyHash: number): boolean {
    const words = this.#words;
    const scale = this.#scale;
    let hash = keyHash | 0;
    const delta = step(hash);
    for (let p = this.#probes; p > 0; p--) {
      const bit = ((hash >>> 0) * scale) >>> 0;
      if ((words[bit >>> 5]! & (1 << (bit & 31))) === 0) return false;
      hash = (hash + delta) | 0;
    }
    return true;
  }
}
