/**
 * Where the open block should end, if a block index asked for a place: a bound between keys. A block
 * ends there if its size lies between half and one and a half of the target then, else by size alone.
 */
import { compareBytes } from "@aura/base";
import type { BlockCutter } from "./block-index.ts";
import { copyOf } from "./copy-bytes.ts";

const SHARE_MIN = 0.5;
const SHARE_MAX = 1.5;
/** Blocks that end at cuts have this share of the target, on average: what others have too. */
const TARGET_SHARE = 0.985;

/** The cut of the open block, one block after the other. */
export class BlockCut {
  readonly #blockBytes: number;
  readonly #cutter: BlockCutter | undefined;
  /** Length of the bound in the cutter's bytes; 0: none is asked for. */
  #length = 0;
  /** What the bound shares with the first key of the block. */
  #shared = 0;
  /** Raw bytes of the blocks copied since a block ended. */
  #skippedBytes = 0;
  /** Most raw bytes of the open block. */
  room: number;
  /** From this size on the open block may end at the bound. */
  from: number = Number.POSITIVE_INFINITY;

  constructor(blockBytes: number, cutter: BlockCutter | undefined) {
    this.#blockBytes = blockBytes;
    this.#cutter = cutter;
    this.room = blockBytes;
  }

  /** Longest block of several entries that may be. */
  get bytesMax(): number {
    return this.#cutter === undefined ? this.#blockBytes : this.#blockBytes * SHARE_MAX;
  }

  /** A block of `bytes` was copied as it was stored. What follows it ends by size. */
  skip(bytes: number): void {
    this.#skippedBytes += bytes;
    this.#ask(0);
  }

  /** A block of `bytes` ended at `lower`; the next one begins with a key (empty: not known). */
  next(lower: Uint8Array, bytes: number, key: Uint8Array, keyStart: number, keyEnd: number): void {
    const cutter = this.#cutter;
    if (cutter === undefined) return;
    const target = this.#blockBytes * TARGET_SHARE;
    const passed = this.#skippedBytes + bytes;
    this.#skippedBytes = 0;
    const length = cutter.next(lower, passed, target, key, keyStart, keyEnd);
    this.#ask(length);
    const limit = length < keyEnd - keyStart ? length : keyEnd - keyStart;
    let shared = 0;
    while (shared < limit && cutter.bytes[shared] === key[keyStart + shared]) shared++;
    this.#shared = shared;
  }

  #ask(length: number): void {
    this.#length = length;
    this.room = length === 0 ? this.#blockBytes : this.#blockBytes * SHARE_MAX;
    this.from = length === 0 ? Number.POSITIVE_INFINITY : this.#blockBytes * SHARE_MIN;
  }

  /**
   * Returns whether a key, which shares `common` bytes with the first one of the block, is not below
   * the bound. Precondition: there is one (`from` is finite).
   */
  isPast(key: Uint8Array, keyStart: number, keyEnd: number, common: number): boolean {
    const { bytes } = this.#cutter!;
    const cutBytes = this.#length;
    const length = keyEnd - keyStart;
    const limit = length < cutBytes ? length : cutBytes;
    let at = common < this.#shared ? common : this.#shared;
    while (at < limit && bytes[at] === key[keyStart + at]) at++;
    return at === cutBytes || (at < length && key[keyStart + at]! > bytes[at]!);
  }

  /**
   * Returns the bound between the last key and the next one, which share `common` bytes: the one
   * asked for if it lies there, else the shortest. The result is the caller's.
   */
  boundBetween(
    last: Uint8Array,
    lastStart: number,
    lastEnd: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    common: number,
  ): Uint8Array {
    const length = this.#length;
    if (length > 0) {
      const { bytes } = this.#cutter!;
      const isBetween =
        compareBytes(bytes, 0, length, key, keyStart, keyEnd) <= 0 &&
        compareBytes(last, lastStart, lastEnd, bytes, 0, length) < 0;
      if (isBetween) return copyOf(bytes, 0, length);
    }
    return copyOf(key, keyStart, keyStart + common + 1);
  }
}
