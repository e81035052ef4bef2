/**
 * Blocks that the cache cannot take (it is off, or the block is longer than a slab), kept between
 * the load of a block and the look-ups that wait for it, as many as were named. Bounded: the oldest
 * go first.
 */

const COUNT_MAX = 64;
/** Beyond this only the newest block stays. */
const BYTES_MAX = 8 * 1024 * 1024;

interface HeldBlock {
  readonly space: number;
  readonly block: number;
  readonly bytes: Uint8Array;
  /** Look-ups that wait for it. */
  uses: number;
}

/** A short list of blocks, oldest first. */
export class HeldBlocks {
  #blocks: HeldBlock[] = [];
  #bytes = 0;

  get count(): number {
    return this.#blocks.length;
  }

  add(space: number, block: number, bytes: Uint8Array, uses: number): void {
    if (this.keep(space, block, uses)) return;
    this.#blocks.push({ space, block, bytes, uses });
    this.#bytes += bytes.length;
    while (
      this.#blocks.length > COUNT_MAX ||
      (this.#bytes > BYTES_MAX && this.#blocks.length > 1)
    ) {
      this.#bytes -= this.#blocks.shift()!.bytes.length;
    }
  }

  has(space: number, block: number): boolean {
    return this.#find(space, block) >= 0;
  }

  /** Keeps a block for so many more look-ups; returns false when it is not here. */
  keep(space: number, block: number, uses: number): boolean {
    const held = this.#blocks[this.#find(space, block)];
    if (held !== undefined) held.uses += uses;
    return held !== undefined;
  }

  /** Returns the block, for one of the look-ups that wait for it; the last one ends it. */
  take(space: number, block: number): Uint8Array | undefined {
    const at = this.#find(space, block);
    const held = this.#blocks[at];
    if (held === undefined) return undefined;
    if (--held.uses === 0) {
      this.#blocks.splice(at, 1);
      this.#bytes -= held.bytes.length;
    }
    return held.bytes;
  }

  removeSpace(space: number): void {
    this.#blocks = this.#blocks.filter((held) => held.space !== space);
    this.#bytes = this.#blocks.reduce((sum, held) => sum + held.bytes.length, 0);
  }

  #find(space: number, block: number): number {
    return this.#blocks.findIndex((held) => held.space === space && held.block === block);
  }
}
