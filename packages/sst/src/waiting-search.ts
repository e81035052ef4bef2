/**
 * A look-up that waits for a block: what it was about and where it stands, so that the next call
 * goes on from there instead of asking for blocks that are gone again from a cache too small.
 */
import { compareBytes } from "@aura/base";
import type { BlockLocator } from "./block-locator.ts";
import { copyBytes } from "./copy-bytes.ts";

/** The state of one waiting look-up. Reusable. */
export class WaitingSearch {
  #space = 0;
  #seqMax = 0;
  #key: Uint8Array = new Uint8Array(32);
  #keyBytes = 0;
  #low = 0;
  #high = 0;
  #block = 0;
  #exact = false;

  /** Notes that a search waits for `locator.block`. */
  note(
    space: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seqMax: number,
    locator: BlockLocator,
  ): void {
    const length = keyEnd - keyStart;
    if (length > this.#key.length) this.#key = new Uint8Array(length * 2);
    copyBytes(this.#key, 0, key, keyStart, keyEnd);
    this.#keyBytes = length;
    this.#space = space;
    this.#seqMax = seqMax;
    this.#low = locator.low;
    this.#high = locator.high;
    this.#block = locator.block;
    this.#exact = locator.exact;
  }

  /**
   * Takes the search up again and forgets it. Returns false, with the locator untouched, when it
   * was about something else, or when the table has changed its index since.
   */
  resume(
    space: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seqMax: number,
    locator: BlockLocator,
  ): boolean {
    if (this.#space !== space) return false;
    this.#space = 0;
    const same =
      this.#seqMax === seqMax &&
      this.#exact === locator.exact &&
      compareBytes(this.#key, 0, this.#keyBytes, key, keyStart, keyEnd) === 0;
    if (same) locator.resume(this.#low, this.#high, this.#block);
    return same;
  }
}
