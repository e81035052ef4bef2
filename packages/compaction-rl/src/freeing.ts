/**
 * Freeing space while somebody waits for quiet.
 *
 * What lies above the last level may hide something below it: as much of it as merges dropped lately,
 * per byte that they brought down. When that would free a tenth of the last level, all of it goes down,
 * level by level. A tree whose keys were all written once drops nothing and is left alone.
 */
import { chooseLevelDrain } from "./level-drain.ts";
import { chooseLevelMerge } from "./level-merge.ts";
import { chooseLevelZero } from "./level-zero.ts";
import { hasDamage } from "./obstacles.ts";
import { filledRuns } from "./overlap.ts";
import type { Plan } from "./planning.ts";
import type { CompactionOutcome, MergeChoice, MoveChoice } from "./policy.ts";
import { runsMax } from "./shape.ts";
import { levelBytes } from "./targets.ts";

/** Share of the last level that can be freed from which on it is. */
const FREE_SHARE = 0.1;
/** Weight of the latest merge in the mean. */
const LATEST = 0.3;

/** How much merges drop, of the bytes that they bring down from above. */
export class GarbageShare {
  /** 0 to 1; 0 before the first merge. */
  share = 0;
  #isKnown = false;

  observe({ choice, inputBytes, outputBytes, inputBytesAbove }: CompactionOutcome): void {
    if (choice.kind === "move" || inputBytesAbove === 0 || inputBytesAbove === inputBytes) return;
    const dropped = Math.min(1, Math.max(0, (inputBytes - outputBytes) / inputBytesAbove));
    this.share = this.#isKnown ? this.share + LATEST * (dropped - this.share) : dropped;
    this.#isKnown = true;
  }
}

/** Returns the next step of freeing; undefined when it is not worth it, or nothing may start now. */
export function chooseForSpace(
  plan: Plan,
  garbageShare: number,
): MergeChoice | MoveChoice | undefined {
  const { view, targets } = plan;
  if (view.isAwaited !== true || garbageShare === 0) return undefined;
  let above = 0;
  for (let level = 0; level < targets.last; level++) above += levelBytes(view.levels[level]);
  if (above * garbageShare <= levelBytes(view.levels[targets.last]) * FREE_SHARE) return undefined;
  if (filledRuns(view.levels[0]).length > 0) {
    const choice = chooseLevelZero(plan, "space");
    if (choice !== undefined || !hasDamage(view)) return choice;
  }
  for (let level = targets.base; level < targets.last; level++) {
    const runs = filledRuns(view.levels[level]);
    if (runs.length === 0) continue;
    const choice =
      runs.length > 1 || runsMax(plan.shape, level) > 1
        ? chooseLevelDrain(plan, level, "space")
        : chooseLevelMerge(plan, level, runs[0]!, levelBytes(view.levels[level]), "space");
    if (choice !== undefined || !hasDamage(view)) return choice;
  }
  return undefined;
}
