/**
 * The block index port: how a table finds the block of a key. `separatorIndex` is the format that
 * every table carries; a further one (a model) may stand beside it.
 */

/** A kind of block index. */
export interface BlockIndexFormat {
  /** Stored in the table: names the format for ever. At most 64 bytes of UTF-8. */
  readonly name: string;
  builder(): BlockIndexBuilder;
  /**
   * Reads what `finish` returned; `blockCount` is the number of blocks added. The result may keep
   * `bytes`. Throws on bytes that it cannot use; the table then works without this index.
   */
  decode(bytes: Uint8Array, blockCount: number): BlockIndex;
}

/** Learns the blocks of one table, in order. */
export interface BlockIndexBuilder {
  /**
   * Adds the next block. Every user key of an earlier block is < `lower`, every one of this or a
   * later block is >= `lower`. The first block's is empty. A block that begins with further
   * versions of the previous block's last user key K has K followed by a zero byte, so that K leads
   * to the block of its newest version; such neighbours may have equal bounds. `lower` is borrowed.
   */
  add(lower: Uint8Array): void;
  /** Returns the index, or undefined when this format does not pay for this table. */
  finish(): Uint8Array | undefined;
  /** Where blocks should end for the index to be small. Without it they are cut by size alone. */
  readonly cutter?: BlockCutter | undefined;
}

/** Asks for the bounds of blocks. They end there if their size is within limits. */
export interface BlockCutter {
  /** The bound asked for: bytes[0, what `next` returned). */
  readonly bytes: Uint8Array;
  /**
   * Called when a block has ended, of `blockBytes` raw bytes (those of blocks copied before it
   * included); the next one begins at `lower`, with key[keyStart, keyEnd). Blocks of about `targetBytes` are wanted. Returns the
   * length of the bound at which the next block should end; 0: by size. The bound is above `lower`.
   */
  next(
    lower: Uint8Array,
    blockBytes: number,
    targetBytes: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): number;
}

/** Finds blocks. */
export interface BlockIndex {
  /** Set by `locate`: numbers of the first and the last block, both inclusive. */
  readonly first: number;
  readonly last: number;
  /** Memory held, bytes. */
  readonly residentBytes: number;
  /**
   * Sets `first` and `last` so that the last block whose lower bound is <= key[start, end) lies
   * between them. The range may be wider than needed. Where it is wrong (a damaged model), the
   * blocks' own bounds show it, and the table turns to its separators.
   */
  locate(key: Uint8Array, start: number, end: number): void;
}
