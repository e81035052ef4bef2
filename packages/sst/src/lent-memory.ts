/**
 * Memory that is given away: blocks whose values a reader may keep are copied here, one behind the
 * other, and no byte of a block is ever written to again. What is kept of a block keeps its piece alive.
 *
 * All cursors of a database share one: a scan of a few entries takes a block from each of its runs, and
 * an array of its own for each costs as much as the copy (RFC 0013).
 */
import { pooledMemory } from "@aura/base";

/** Bytes of a piece: neighbouring blocks that share one stay in memory together. */
export const LENT_PIECE_BYTES: number = 64 * 1024;
/** Longer blocks have memory of their own: at most a quarter of a piece is left unused. */
const SHARED_BYTES_MAX = LENT_PIECE_BYTES / 4;

/** Hands out memory, a range at a time. */
export class LentMemory {
  #piece: Uint8Array = new Uint8Array(0);
  #used = 0;
  /** Set by `take`. */
  bytes: Uint8Array = this.#piece;
  start = 0;

  /** Sets `bytes` and `start` to `length` bytes that nobody has or will have. */
  take(length: number): void {
    if (length > SHARED_BYTES_MAX) {
      this.bytes = fresh(length);
      this.start = 0;
      return;
    }
    if (this.#used + length > this.#piece.length) {
      this.#piece = fresh(LENT_PIECE_BYTES);
      this.#used = 0;
    }
    this.bytes = this.#piece;
    this.start = this.#used;
    this.#used += length;
  }
}

/** Not a `Buffer`: readers of blocks see arrays of one kind. */
function fresh(length: number): Uint8Array {
  return new Uint8Array(pooledMemory(length));
}
