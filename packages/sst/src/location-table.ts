/**
 * Hash table from a 32-bit hash to a location (1 to 2^31 - 1): open addressing with linear probing
 * and backward-shift deletion in one typed array of fixed size. Equal hashes may stand several
 * times; the caller knows by what lies at the location which one it wants.
 */

/** Entries of this share of the slots fill the table. */
const LOAD_MAX = 0.75;

/** Fixed-size multimap from hash to location. */
export class LocationTable {
  /** Pairs: hash, location; location 0 is an empty slot. */
  readonly pairs: Int32Array;
  /** Slot mask. */
  readonly mask: number;
  count = 0;

  /** `slots` is a power of two. */
  constructor(slots: number) {
    this.pairs = new Int32Array(slots * 2);
    this.mask = slots - 1;
  }

  get full(): boolean {
    return this.count >= (this.mask + 1) * LOAD_MAX;
  }

  /** Precondition: not `full`. */
  add(hash: number, location: number): void {
    const pairs = this.pairs;
    let slot = hash & this.mask;
    while (pairs[slot * 2 + 1] !== 0) slot = (slot + 1) & this.mask;
    pairs[slot * 2] = hash;
    pairs[slot * 2 + 1] = location;
    this.count++;
  }

  /** Removes the entry; does nothing when it is not there. */
  remove(hash: number, location: number): void {
    const { pairs, mask } = this;
    let slot = hash & mask;
    for (;;) {
      const found = pairs[slot * 2 + 1]!;
      if (found === 0) return;
      if (found === location) break;
      slot = (slot + 1) & mask;
    }
    this.count--;
    // Close the gap: pull back every later entry of the run that may stand at the gap.
    let gap = slot;
    let next = (slot + 1) & mask;
    while (pairs[next * 2 + 1] !== 0) {
      const home = pairs[next * 2]! & mask;
      if (((next - home) & mask) >= ((next - gap) & mask)) {
        pairs[gap * 2] = pairs[next * 2]!;
        pairs[gap * 2 + 1] = pairs[next * 2 + 1]!;
        gap = next;
      }
      next = (next + 1) & mask;
    }
    pairs[gap * 2 + 1] = 0;
  }
}
