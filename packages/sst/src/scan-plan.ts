/** Entries of several scans in the order in which a merge takes them: ranges of their current blocks. */
import type { TableScan } from "./table-scan.ts";

/** Ranges in one plan at most: a plan ends with a block, and blocks have tens of entries. */
const RANGES_MAX = 256;

/**
 * A plan: whoever merges fills it, a writer takes it in. No two entries of a plan have the same key,
 * and none has the key of the entry that was written last.
 */
export class ScanPlan {
  /** Inputs by number. Their blocks stay as they are until the plan is taken in. */
  readonly scans: TableScan[] = [];
  /** Range r: entries [froms[r], tos[r]) of scans[inputs[r]]. */
  readonly inputs: Int32Array = new Int32Array(RANGES_MAX);
  readonly froms: Int32Array = new Int32Array(RANGES_MAX);
  readonly tos: Int32Array = new Int32Array(RANGES_MAX);
  count = 0;
  /** What is to be taken next: range `next`, from entry `entry` of its block on. */
  next = 0;
  entry = 0;
  /** The plan is one whole block, and all that follows it is not below the block's upper bound. */
  isBlock = false;

  clear(): void {
    this.count = 0;
    this.next = 0;
    this.isBlock = false;
  }

  get isFull(): boolean {
    return this.count === RANGES_MAX;
  }

  /** Whether all of it was taken. */
  get isTaken(): boolean {
    return this.next === this.count;
  }

  /** Whether any block of the plan holds pointers. */
  get hasPointers(): boolean {
    for (let range = 0; range < this.count; range++) {
      if (this.scans[this.inputs[range]!]!.hasPointers) return true;
    }
    return false;
  }

  /** Adds a range. Precondition: not full. */
  add(input: number, from: number, to: number): void {
    const { count } = this;
    if (count === 0) this.entry = from;
    this.inputs[count] = input;
    this.froms[count] = from;
    this.tos[count] = to;
    this.count = count + 1;
  }
}
