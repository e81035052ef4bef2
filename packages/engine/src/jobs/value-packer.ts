/**
 * Value packer: compresses values when that pays, and soon stops trying where it does not.
 *
 * It tries every value until four in a row did not pay, then every second one, every fourth, and so
 * on up to one in 64; one that pays sets it back to every value. Of a long value a piece from its
 * middle is tried first. So noise costs a sixty-fourth of compressing a few KiB per value. It begins
 * anew with each job, and what it does depends on nothing but the values: no chance, no clock.
 */
import { Codec, compress, pays } from "@aura/base";

/** Failures in a row before it begins to skip, and the most that it skips between two tries. */
const PATIENCE = 4;
const INTERVAL_MAX = 64;
/** Longer values stay raw: packing takes their size in memory, and parts of them are read alone. */
const PACKED_BYTES_MAX = 16 * 1024 * 1024;
/** Of a value this long only a piece is tried first, bytes. */
const PIECE_OF_BYTES_MIN = 16 * 1024;
const PIECE_BYTES = 4 * 1024;

/** Packs the values of one job. */
export class ValuePacker {
  readonly codec: Codec;
  /** Values that were packed, and their bytes before and after. */
  count = 0;
  rawBytes = 0;
  storedBytes = 0;
  #failures = 0;
  #skips = 0;

  constructor(codec: Codec) {
    this.codec = codec;
  }

  /** Returns whether the next value, of `bytes`, is to be tried; `pack` then tells how it went. */
  wants(bytes: number): boolean {
    if (this.codec === Codec.none || bytes > PACKED_BYTES_MAX) return false;
    if (this.#skips === 0) return true;
    this.#skips--;
    return false;
  }

  /** Returns the value packed, fresh, or undefined when that does not pay (`pays`). */
  pack(value: Uint8Array): Uint8Array | undefined {
    const packed = mayPay(this.codec, value) ? compress(this.codec, value) : undefined;
    if (packed === undefined) {
      this.#failures++;
      const doublings = Math.max(0, this.#failures - PATIENCE);
      this.#skips = Math.min(INTERVAL_MAX, 2 ** doublings) - 1;
      return undefined;
    }
    this.#failures = 0;
    this.count++;
    this.rawBytes += value.length;
    this.storedBytes += packed.length;
    return packed;
  }
}

function mayPay(codec: Codec, value: Uint8Array): boolean {
  if (value.length < PIECE_OF_BYTES_MIN) return true;
  const start = (value.length - PIECE_BYTES) >>> 1;
  const piece = compress(codec, value.subarray(start, start + PIECE_BYTES));
  return piece !== undefined && pays(piece.length, PIECE_BYTES);
}
