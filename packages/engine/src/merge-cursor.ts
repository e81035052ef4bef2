/**
 * Merges cursors: the entries of all children in internal order, in both directions.
 *
 * Children come newest first. Each stands, in a forward merge, on its first entry behind the
 * current one, in a backward merge on its last entry in front of it, or off its end. The children
 * that stand on an entry are kept sorted (`#order`); the first of them is the current one. After it
 * moved it is compared with the second: in a tree whose levels differ in size that is the only
 * compare most of the time; else its place is found by bisection. What compares need of a child is
 * cached here, so nothing is asked of children that did not move.
 *
 * A move that waits for blocks completes when all of its children have theirs. Two entries never
 * share key and sequence number; if they did, the one of the newer child would come first.
 */
import { assert, compareBytes, type EntryCursor } from "@aura/base";
import { viewOf } from "./copy-view.ts";

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = new DataView(NO_BYTES.buffer);

/** A cursor over the entries of several cursors. Owns them: `close` closes them all. */
export class MergeCursor implements EntryCursor {
  valid = false;
  pending = false;
  keyBytes: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  seq = 0;
  tag = 0;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;

  readonly #children: readonly EntryCursor[];
  /** The first child whose values may be kept. */
  readonly #lendersFrom: number;
  /** Current key and sequence number of each child that is in `#order`. */
  readonly #keys: Uint8Array[];
  /** The same bytes, to compare four at a time. */
  readonly #views: DataView[];
  /** Views of values that were asked for, and what they are views of. */
  readonly #valueBytes: Uint8Array[];
  readonly #valueViews: DataView[];
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;
  readonly #seqs: Float64Array;
  /** The first `#count` are the children on an entry, sorted in the direction of the merge. */
  readonly #order: Int32Array;
  #count = 0;
  #forward = true;
  /** What a move waits for: the block of the first child only, or that of any. */
  #isTopOnly = false;

  /** The values of the children from `lendersFrom` on stay where they are for good. Default: none. */
  constructor(children: readonly EntryCursor[], lendersFrom: number = children.length) {
    this.#children = children;
    this.#lendersFrom = lendersFrom;
    this.#keys = children.map(() => NO_BYTES);
    this.#views = children.map(() => NO_VIEW);
    this.#valueBytes = children.map(() => NO_BYTES);
    this.#valueViews = children.map(() => NO_VIEW);
    this.#starts = new Int32Array(children.length);
    this.#ends = new Int32Array(children.length);
    this.#seqs = new Float64Array(children.length);
    this.#order = new Int32Array(children.length);
  }

  /** A view of `keyBytes`, with the same indexes. Precondition: valid. */
  get keyView(): DataView {
    return this.#views[this.#order[0]!]!;
  }

  /** The value may be kept: nobody writes to its memory any more. Precondition: valid. */
  get lendsValue(): boolean {
    return this.#order[0]! >= this.#lendersFrom;
  }

  /** A view of `valueBytes`, with the same indexes. Precondition: valid. */
  get valueView(): DataView {
    const top = this.#order[0]!;
    const bytes = this.valueBytes;
    if (this.#valueBytes[top] !== bytes) {
      this.#valueBytes[top] = bytes;
      this.#valueViews[top] = viewOf(bytes);
    }
    return this.#valueViews[top]!;
  }

  get failed(): boolean {
    for (const child of this.#children) if (child.failed) return true;
    return false;
  }

  first(): void {
    this.#begin(true);
    for (const child of this.#children) child.first();
    this.#settleAll();
  }

  last(): void {
    this.#begin(false);
    for (const child of this.#children) child.last();
    this.#settleAll();
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#begin(true);
    for (const child of this.#children) child.seek(key, start, end);
    this.#settleAll();
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#begin(false);
    for (const child of this.#children) child.seekBefore(key, start, end);
    this.#settleAll();
  }

  next(): void {
    assert(this.valid, "next needs an entry");
    this.valid = false;
    if (!this.#forward) {
      this.#turn(true);
      return;
    }
    const top = this.#order[0]!;
    const child = this.#children[top]!;
    child.next();
    this.#settleTop(top, child);
  }

  prev(): void {
    assert(this.valid, "prev needs an entry");
    this.valid = false;
    if (this.#forward) {
      this.#turn(false);
      return;
    }
    const top = this.#order[0]!;
    const child = this.#children[top]!;
    child.prev();
    this.#settleTop(top, child);
  }

  /** `most`: so many children read, and the move goes on waiting for the others. Default: all. */
  loadSync(most: number = Number.POSITIVE_INFINITY): void {
    if (!this.pending) return;
    this.pending = false;
    let left = most;
    for (const child of this.#children) {
      if (!child.pending) continue;
      if (left-- <= 0) {
        this.pending = true;
        return;
      }
      child.loadSync();
    }
    this.#settle();
  }

  async load(): Promise<void> {
    if (!this.pending) return;
    const loads: Promise<void>[] = [];
    for (const child of this.#children) if (child.pending) loads.push(child.load());
    try {
      if (loads.length === 1) await loads[0]!;
      else {
        // All of them, even when one fails: none may still move when the next move begins.
        const results = await Promise.allSettled(loads);
        const failure = results.find((result) => result.status === "rejected");
        if (failure !== undefined) throw failure.reason as Error;
      }
    } finally {
      this.pending = false;
    }
    this.#settle();
  }

  close(): void {
    this.#begin(true);
    for (const child of this.#children) child.close();
  }

  #begin(forward: boolean): void {
    this.valid = false;
    this.pending = false;
    this.#forward = forward;
    this.#count = 0;
  }

  /**
   * Forwards: sends the children from `firstChild` on that stand below `key` to `key`; backwards, those
   * at or above it to the last entry below it. The others stay. Precondition: valid.
   */
  skip(firstChild: number, key: Uint8Array): void {
    assert(this.valid, "skip needs an entry");
    this.valid = false;
    const forward = this.#forward;
    for (let i = firstChild; i < this.#children.length; i++) {
      const child = this.#children[i]!;
      if (!child.valid) continue;
      const { keyBytes, keyStart, keyEnd } = child;
      const isBelow = compareBytes(keyBytes, keyStart, keyEnd, key, 0, key.length) < 0;
      if (isBelow !== forward) continue;
      if (forward) child.seek(key, 0, key.length);
      else child.seekBefore(key, 0, key.length);
    }
    this.#count = 0;
    this.#settleAll();
  }

  /** Turns the merge round and moves one entry in the new direction. */
  #turn(forward: boolean): void {
    const top = this.#order[0]!;
    this.#begin(forward);
    const children = this.#children;
    for (let i = 0; i < children.length; i++) {
      if (i !== top) this.#turnChild(i, children[i]!, top);
    }
    // Last: its key was what the others were compared with.
    if (forward) children[top]!.next();
    else children[top]!.prev();
    this.#settleAll();
  }

  /** Moves a child to the other side of the current entry, which is that of child `top`. */
  #turnChild(index: number, child: EntryCursor, top: number): void {
    const forward = this.#forward;
    if (!child.valid) {
      if (forward) child.first();
      else child.last();
    } else if (forward) child.next();
    else child.prev();
    // A memtable that grew meanwhile may have entries on the way.
    while (child.valid) {
      this.#note(index, child);
      if (this.#isBefore(top, index)) return;
      if (forward) child.next();
      else child.prev();
    }
  }

  /** Goes on with a move whose children have what they waited for. */
  #settle(): void {
    const top = this.#order[0]!;
    if (this.#isTopOnly) this.#settleTop(top, this.#children[top]!);
    else this.#settleAll();
  }

  /** Sorts all children, unless some of them wait for a block. */
  #settleAll(): void {
    const children = this.#children;
    const order = this.#order;
    for (const child of children) {
      if (!child.pending) continue;
      this.pending = true;
      this.#isTopOnly = false;
      return;
    }
    let count = 0;
    for (let i = 0; i < children.length; i++) {
      const child = children[i]!;
      if (!child.valid) continue;
      this.#note(i, child);
      let at = count++;
      for (; at > 0 && this.#isBefore(i, order[at - 1]!); at--) order[at] = order[at - 1]!;
      order[at] = i;
    }
    this.#count = count;
    if (count > 0) this.#stand();
  }

  /** Finds the new place of the current child, which moved in the direction of the merge. */
  #settleTop(top: number, child: EntryCursor): void {
    const order = this.#order;
    const count = this.#count;
    if (!child.valid) {
      if (child.pending) {
        this.pending = true;
        this.#isTopOnly = true;
        return;
      }
      this.#count = count - 1;
      for (let i = 1; i < count; i++) order[i - 1] = order[i]!;
      if (count > 1) this.#stand();
      return;
    }
    this.#note(top, child);
    if (count > 1 && this.#isBefore(order[1]!, top)) {
      let low = 2;
      let high = count;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (this.#isBefore(order[middle]!, top)) low = middle + 1;
        else high = middle;
      }
      for (let i = 1; i < low; i++) order[i - 1] = order[i]!;
      order[low - 1] = top;
    }
    this.#stand();
  }

  #note(index: number, child: EntryCursor): void {
    const bytes = child.keyBytes;
    if (this.#keys[index] !== bytes) {
      this.#keys[index] = bytes;
      this.#views[index] = viewOf(bytes);
    }
    this.#starts[index] = child.keyStart;
    this.#ends[index] = child.keyEnd;
    this.#seqs[index] = child.seq;
  }

  /** Returns whether the entry of child `a` comes before that of `b` in the direction of the merge. */
  #isBefore(a: number, b: number): boolean {
    const order = this.#compare(a, b);
    return this.#forward ? order < 0 : order > 0;
  }

  /** Compares the entries of two children in internal order. */
  #compare(a: number, b: number): number {
    const views = this.#views;
    const viewA = views[a]!;
    const viewB = views[b]!;
    let atA = this.#starts[a]!;
    let atB = this.#starts[b]!;
    const lengthA = this.#ends[a]! - atA;
    const lengthB = this.#ends[b]! - atB;
    const end = atA + (lengthA < lengthB ? lengthA : lengthB);
    // Neighbours share most of their bytes: four at a time takes half the time of a byte loop.
    for (; atA <= end - 4; atA += 4, atB += 4) {
      const fourA = viewA.getUint32(atA);
      const fourB = viewB.getUint32(atB);
      if (fourA !== fourB) return fourA < fourB ? -1 : 1;
    }
    for (; atA < end; atA++, atB++) {
      const difference = viewA.getUint8(atA) - viewB.getUint8(atB);
      if (difference !== 0) return difference;
    }
    if (lengthA !== lengthB) return lengthA - lengthB;
    // Newer versions first; of equal ones, which there should not be, that of the newer child.
    const seqs = this.#seqs;
    const newer = seqs[b]! - seqs[a]!;
    return newer === 0 ? a - b : newer;
  }

  /** Shows the entry of the first child. */
  #stand(): void {
    const top = this.#order[0]!;
    const child = this.#children[top]!;
    this.keyBytes = this.#keys[top]!;
    this.keyStart = this.#starts[top]!;
    this.keyEnd = this.#ends[top]!;
    this.seq = this.#seqs[top]!;
    this.tag = child.tag;
    this.valueBytes = child.valueBytes;
    this.valueStart = child.valueStart;
    this.valueEnd = child.valueEnd;
    this.valid = true;
  }
}
