/** Sums over the blocks of a table, taken block by block as they are sealed. */
export interface BlockTally {
  smallestSeq: number;
  largestSeq: number;
  lastSeq: number;
  deleteCount: number;
  keyBytes: number;
  valueBytes: number;
  /**
   * Hashes of the user keys, and of their first `prefixBytes` bytes where that is not 0, with room
   * for those of one more block; undefined: none are wanted.
   */
  hashes: Uint32Array | undefined;
  hashCount: number;
  readonly prefixBytes: number;
  readonly hashSeed: number;
}
