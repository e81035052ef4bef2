/**
 * What a setting will take from here, by looking ahead on a coarse tree (coarse-tree.ts): flush by flush,
 * with the tree as it stands. Other than the cost model it sees what a change costs and when it begins
 * to pay: runs that are there already, levels that fill only after the workload has changed again.
 *
 * Merges run beside the work, at the speed of one core, and level 0 grows while they are behind. At the
 * end what is left behind is priced: a part of what it takes to make the last level one run again.
 */
import type { LevelObservation } from "./agent.ts";
import { type CoarseSizes, CoarseTree } from "./coarse-tree.ts";
import type { CostQuestion } from "./cost-model.ts";
import type { TreeSetting } from "./tree-setting.ts";

/** Most flushes that are looked ahead. */
const FLUSHES_MAX = 96;
/** Seconds of merging in one second of wall clock. */
const MERGE_SPEED = 1;
/** Runs of level 0, in triggers, from which on writes are held back. */
const L0_SOFT = 4;
const L0_HARD = 9;

/** How what is left behind is priced. */
export interface LeftOver {
  /** Part of the bytes of a last level of several runs that will have to be merged for it. */
  readonly mergeShare: number;
}

/** A tree to look ahead from. */
export class LookAhead {
  readonly #question: CostQuestion;
  readonly #levels: number[][];
  readonly #sizes: CoarseSizes;
  readonly #rates: readonly number[];
  readonly #left: LeftOver;
  readonly #flushes: number;
  readonly #flushesPerWindow: number;

  constructor(
    question: CostQuestion,
    levels: readonly LevelObservation[],
    rates: readonly number[],
    horizon: number,
    left: LeftOver,
  ) {
    const { profile, workload } = question;
    this.#question = question;
    this.#rates = rates;
    this.#left = left;
    const { base, targets } = profile;
    this.#levels = [
      runsOf(levels[0]!, false),
      ...targets.map((_, i) => runsOf(levels[base + i]!, i === targets.length - 1)),
    ];
    this.#sizes = { targets, tableBytes: profile.tableBytes, liveBytes: targets.at(-1)! };
    this.#flushesPerWindow = Math.max(1e-3, workload.flushedBytes / profile.flushBytes);
    const wanted = Math.ceil(horizon * this.#flushesPerWindow);
    this.#flushes = Math.min(FLUSHES_MAX, Math.max(1, wanted));
  }

  /** Returns the seconds per window with a setting from here on. */
  secondsWith(setting: TreeSetting): number {
    const { profile, workload, costs } = this.#question;
    const tree = new CoarseTree(this.#levels, this.#sizes, setting);
    const perFlush = 1 / this.#flushesPerWindow;
    const fixed =
      (workload.reads * costs.read +
        workload.scanEntries * costs.scanEntry +
        workload.writes * costs.write +
        workload.flushedBytes * costs.flushedByte +
        (workload.reads - workload.absentReads) * costs.blockRead) *
      perFlush;
    let total = 0;
    let busy = 0;
    let lastZero = 0;
    for (let flush = 0; flush < this.#flushes; flush++) {
      while (busy <= 0) {
        const before = tree.levels[0]!.length;
        const bytes = tree.merge();
        const seconds = bytes * costs.mergedByte;
        if (seconds === 0 && tree.levels[0]!.length === before && bytes === 0) break;
        if (before > 0 && tree.levels[0]!.length === 0) lastZero = seconds / before;
        total += seconds;
        busy += seconds / MERGE_SPEED;
      }
      if (busy < 0) busy = 0;
      let seconds = fixed + this.#readSeconds(tree) * perFlush;
      const share = (tree.levels[0]!.length / setting.trigger - L0_SOFT) / (L0_HARD - L0_SOFT);
      if (share > 0) seconds += 2 * share * lastZero;
      total += seconds;
      busy -= seconds;
      tree.flush(profile.flushBytes);
    }
    total += this.#leftSeconds(tree);
    return (total / this.#flushes) * this.#flushesPerWindow;
  }

  /** Seconds that reads and scans of a window take for the runs that there are. */
  #readSeconds(tree: CoarseTree): number {
    const { workload, costs, profile } = this.#question;
    const found = workload.reads - workload.absentReads;
    let above = 0;
    let aboveFalse = 0;
    let probes = 0;
    let falsePositives = 0;
    for (let i = 0; i < tree.levels.length; i++) {
      const runs = tree.levels[i]!.length;
      const share = found * profile.hitShares[i]!;
      const others = runs > 1 ? (runs - 1) / 2 : 0;
      probes += share * (above + 1 + others);
      falsePositives += share * (aboveFalse + others * this.#rates[i]!);
      above += runs;
      aboveFalse += runs * this.#rates[i]!;
    }
    probes += workload.absentReads * above;
    falsePositives += workload.absentReads * aboveFalse;
    return (
      probes * costs.probe + falsePositives * costs.blockRead + workload.scans * above * costs.seek
    );
  }

  #leftSeconds(tree: CoarseTree): number {
    const { costs } = this.#question;
    const last = tree.levels.at(-1)!;
    let bytes = 0;
    for (const run of last) bytes += run;
    let share = last.length > 1 ? 1 - last.at(-1)! / bytes : 0;
    let seconds = share * bytes * this.#left.mergeShare;
    for (let i = 0; i < tree.levels.length - 1; i++) {
      // What waits above comes down some day: per byte, itself and its share of the next level.
      let waiting = 0;
      for (const run of tree.levels[i]!) waiting += run;
      share = tree.levels[i]!.length > 1 ? 1 : 0.5;
      seconds += waiting * share;
    }
    return seconds * costs.mergedByte;
  }
}

/**
 * Returns runs of about the sizes that such a level has: the oldest run of a last level holds what is
 * not in the others, and the newest is half full.
 */
function runsOf(level: LevelObservation, isLast: boolean): number[] {
  const { runs, bytes } = level;
  if (runs === 0) return [];
  if (runs === 1) return [bytes];
  if (!isLast) return new Array<number>(runs).fill(bytes / runs);
  const run = bytes / Math.max(runs, level.runsMax) / 2;
  const others = new Array<number>(runs - 1).fill(run);
  return [...others, bytes - run * (runs - 1)];
}
