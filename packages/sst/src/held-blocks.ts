/**
 * Blocks that the cache cannot take (it is off, or the block is longer than a slab), kept between
 * the load of a block and the one look-up that wants it. Bounded: the oldest go first.
 */

const COUNT_MAX = 64;
/** Beyond this only the newest block stays. */
const BYTES_MAX = 8 * 1024 * 1024;

interface HeldBlock {
  readonly space: number;
  readonly block: number;
  readonly bytes: Uint8Array;
}

/** A short list of blocks, oldest first. */
export class HeldBlocks {
  #blocks: HeldBlock[] = [];
  #bytes = 0;

  get count(): number {
    return this.#blocks.length;
  }

  add(space: number, block: number, bytes: Uint8Array): void {
    if (this.has(space, block)) return;
    this.#blocks.push({ space, block, bytes });
    this.#bytes += bytes.length;
    while (
      this.#blocks.length > COUNT_MAX ||
      (this.#bytes > BYTES_MAX && this.#blocks.length > 1)
    ) {
      this.#bytes -= this.#blocks.shift()!.bytes.length;
    }
  }

  has(space: number, block: number): boolean {
    return this.#blocks.some((held) => held.space === space && held.block === block);
  }

  /** Returns the block and forgets it. */
  take(space: number, block: number): Uint8Array | undefined {
    const at = this.#blocks.findIndex((held) => held.space === space && held.block === block);
    if (at === -1) return undefined;
    const [held] = this.#blocks.splice(at, 1);
    this.#bytes -= held!.bytes.length;
    return held!.bytes;
  }

  removeSpace(space: number): void {
    this.#blocks = this.#blocks.filter((held) => held.space !== space);
    this.#bytes = this.#blocks.reduce((sum, held) => sum + held.bytes.length, 0);
  }
}
