/**
 * A tree as sizes of runs and nothing else, for looking ahead: flushes come, the rules of shape.ts and
 * flexible.ts move runs, bytes that merges read are counted. A step is a fraction of a microsecond.
 *
 * What it leaves out: where in the key space a table lies. A level of one run gives away slices, of
 * which each meets its share of the level below; everything else goes whole. Keys are taken to be
 * spread evenly: runs of a and b bytes, of a database of n live bytes, become n (1 - (1 - a/n)(1 - b/n)).
 */
import type { TreeSetting } from "./tree-setting.ts";

/** Sizes that do not change while one looks ahead. */
export interface CoarseSizes {
  /** Target of each level from the base on; the last one has none. */
  readonly targets: readonly number[];
  /** Bytes of a tree that holds every key once. */
  readonly liveBytes: number;
  /** Bytes at which tables are cut in these levels. */
  readonly tableBytes: readonly number[];
}

/** The tables of a slice are chosen by how little they meet below. */
const CHOSEN_OVERLAP = 0.85;

/** A tree that is looked ahead on. */
export class CoarseTree {
  /** Bytes of runs, new to old: level 0, then the levels from the base on. */
  readonly levels: number[][];
  readonly #sizes: CoarseSizes;
  #setting: TreeSetting;

  constructor(levels: readonly (readonly number[])[], sizes: CoarseSizes, setting: TreeSetting) {
    this.levels = levels.map((runs) => runs.slice());
    this.#sizes = sizes;
    this.#setting = setting;
  }

  /** A flush puts a run into level 0. */
  flush(bytes: number): void {
    this.levels[0]!.unshift(bytes);
  }

  /** Does the most urgent merge; returns the bytes that it reads, 0 when there is nothing to do. */
  merge(): number {
    const { targets } = this.#sizes;
    const { levels } = this;
    const zero = levels[0]!;
    const last = levels.length - 1;
    let worst = -1;
    let worstScore = 1;
    for (let i = 1; i < last; i++) {
      const score = sum(levels[i]!) / targets[i - 1]!;
      if (score > worstScore) {
        worst = i;
        worstScore = score;
      }
    }
    const zeroScore = zero.length / this.#setting.trigger;
    const isBaseWorse = worst === 1 && worstScore >= 2 && worstScore > zeroScore;
    if (zeroScore >= 1 && !isBaseWorse) {
      const arriving = this.#union(zero);
      const bytes = sum(zero);
      zero.length = 0;
      return bytes + this.#receive(1, arriving, 1);
    }
    return worst < 0 ? 0 : this.#drain(worst);
  }

  /** Runs of all levels. */
  get runs(): number {
    let count = 0;
    for (const level of this.levels) count += level.length;
    return count;
  }

  #drain(level: number): number {
    const runs = this.levels[level]!;
    const size = sum(runs);
    const target = this.#sizes.targets[level - 1]!;
    if (runs.length > 1 || this.#setting.runs[level - 1]! > 1) {
      const arriving = this.#union(runs);
      runs.length = 0;
      return this.#move(level + 1, size, arriving, 1);
    }
    const excess = Math.min(size, Math.max(size - target, this.#sizes.tableBytes[level - 1]!));
    const rest = size - excess;
    if (rest <= 0) runs.length = 0;
    else runs[0] = rest;
    return this.#move(level + 1, excess, excess, excess / size);
  }

  /** What meets nothing is moved, and read by nobody. */
  #move(level: number, bytes: number, arriving: number, share: number): number {
    const met = this.#receive(level, arriving, share);
    return met === 0 ? 0 : bytes + met;
  }

  /**
   * Takes bytes that cover a share of the keys; returns the bytes that are read beside them. A last level
   * with as many runs as it may have merges them all.
   */
  #receive(level: number, bytes: number, share: number): number {
    const runs = this.levels[level]!;
    const k = this.#setting.runs[level - 1]!;
    const isLast = level === this.levels.length - 1;
    const active = runs[0];
    if (active === undefined) {
      runs.push(bytes);
      return 0;
    }
    const target = isLast ? Math.max(sum(runs), this.#sizes.targets[level - 1]!) : 0;
    const capacity =
      k === 1 ? Number.POSITIVE_INFINITY : (isLast ? target : this.#sizes.targets[level - 1]!) / k;
    const isSealed = active >= capacity;
    const part = share < 1 ? share * CHOSEN_OVERLAP : 1;
    if (isLast && (runs.length > k || (isSealed && runs.length === k))) {
      const met = sum(runs) * part;
      const oldest = runs.length - 1;
      if (part === 1) {
        runs.push(bytes);
        const merged = this.#union(runs);
        runs.length = 0;
        runs.push(merged);
        return met;
      }
      let moved = bytes;
      for (let i = 0; i < oldest; i++) {
        moved = this.#pair(moved, runs[i]! * share);
        runs[i]! *= 1 - share;
      }
      runs[oldest] = this.#pair(runs[oldest]!, moved);
      while (runs.length > 1 && runs[0]! < bytes * 0.05) runs.shift();
      return met;
    }
    if (isSealed) {
      runs.unshift(bytes);
      return 0;
    }
    runs[0] = this.#pair(active, bytes);
    // An active run that is smaller than its level so far covers less than all of the keys.
    return active * part;
  }

  #pair(a: number, b: number): number {
    const { liveBytes } = this.#sizes;
    return a + b - (Math.min(a, liveBytes) * Math.min(b, liveBytes)) / liveBytes;
  }

  #union(runs: readonly number[]): number {
    let bytes = 0;
    for (const run of runs) bytes = this.#pair(bytes, run);
    return bytes;
  }
}

function sum(runs: readonly number[]): number {
  let bytes = 0;
  for (const run of runs) bytes += run;
  return bytes;
}
