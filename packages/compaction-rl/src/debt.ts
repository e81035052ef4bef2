/**
 * Compaction debt: the bytes that merges will have to read and write until no level is over its
 * target, if nothing more is written. What a level gives away is added to the next one, so that a
 * wave on its way down is counted at every level it will overflow.
 */
import { filledRuns } from "./overlap.ts";
import type { TreeView } from "./policy.ts";
import type { LeveledShape } from "./settings.ts";
import { type LevelTargets, levelBytes } from "./targets.ts";

/** Returns the estimated bytes to bring every level under its target. */
export function compactionDebt(view: TreeView, shape: LeveledShape, targets: LevelTargets): number {
  let debt = 0;
  let incoming = 0;
  if (filledRuns(view.levels[0]).length >= shape.l0Trigger) {
    incoming = levelBytes(view.levels[0]);
    debt += incoming + levelBytes(view.levels[targets.base]);
  }
  for (let level = targets.base; level < targets.last; level++) {
    const size = levelBytes(view.levels[level]) + incoming;
    const excess = Math.max(0, size - targets.bytes[level]!);
    if (excess > 0) {
      const ratio = Math.min(shape.fanout, levelBytes(view.levels[level + 1]) / size);
      debt += excess * (1 + ratio);
    }
    incoming = excess;
  }
  return Math.ceil(debt);
}
