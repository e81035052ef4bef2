/**
 * Value slabs: the memory that separated values are copied into, used again from group to group. A
 * value of its own allocation costs more to get, to zero and to collect than to copy. Values stand
 * one behind the other, each behind its record head, as they will in the file.
 */

/** Bytes of a slab. */
export const SLAB_BYTES: number = 1024 * 1024;
/** Slabs kept for later: what a group in flight and the next two hold. */
const SPARE_MAX = 8;

/** Lends slabs. */
export class ValueSlabs {
  readonly #spare: Uint8Array[] = [];

  /** Returns a slab with any content; the caller's until it is given back. */
  take(): Uint8Array {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    // Every byte is set before it is read. A plain view is cheaper to cut than a Buffer.
    return new Uint8Array(Buffer.allocUnsafeSlow(SLAB_BYTES).buffer);
  }

  /** Takes slabs back. Nobody may be reading them, nor views of them. */
  giveBack(slabs: readonly Uint8Array[]): void {
    for (const slab of slabs) {
      if (this.#spare.length >= SPARE_MAX) return;
      this.#spare.push(slab);
    }
  }
}
