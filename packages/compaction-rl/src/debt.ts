/**
 * Compaction debt: the bytes that merges will have to read and write until no level is over its
 * target, if nothing more is written. What a level gives away is added to the next one, so that a
 * wave on its way down is counted at every level it will overflow. A level of several runs goes down
 * whole; a level that begins a new run rewrites nothing of its own.
 */
import { hasDamage } from "./obstacles.ts";
import { bytesOf, filledRuns } from "./overlap.ts";
import type { TreeView } from "./policy.ts";
import type { TreeGeometry } from "./settings.ts";
import { receptionOf, type TreeShape } from "./shape.ts";
import { type LevelTargets, levelBytes } from "./targets.ts";

/** Returns the estimated bytes to bring every level under its target. */
export function compactionDebt(
  view: TreeView,
  geometry: TreeGeometry,
  shape: TreeShape,
  targets: LevelTargets,
): number {
  const receivingBytes = (level: number): number => {
    const levelView = view.levels[level];
    switch (receptionOf(shape, targets, level, levelView)) {
      case "new":
        return 0;
      case "active":
        return levelBytes({ runs: [levelView!.runs[0]!] });
      case "merge-all":
        return levelBytes(levelView);
    }
  };
  let debt = 0;
  let incoming = 0;
  if (filledRuns(view.levels[0]).length >= shape.l0Trigger) {
    incoming = levelBytes(view.levels[0]);
    debt += incoming + receivingBytes(targets.base);
  }
  for (let level = targets.base; level < targets.last; level++) {
    const size = levelBytes(view.levels[level]) + incoming;
    const over = Math.max(0, size - targets.bytes[level]!);
    const goesWhole = over > 0 && filledRuns(view.levels[level]).length > 1;
    const leaving = goesWhole ? size : over;
    if (leaving > 0) {
      const ratio = Math.min(geometry.fanout, receivingBytes(level + 1) / size);
      debt += leaving * (1 + ratio);
    }
    incoming = leaving;
  }
  return Math.ceil(debt);
}

/**
 * Returns the bytes of runs of level 0 beyond its trigger and of levels beyond their targets: what
 * merges would take down by themselves. Damaged tables may keep it where it is: then none counts.
 */
export function waitingBytes(view: TreeView, shape: TreeShape, targets: LevelTargets): number {
  if (hasDamage(view)) return 0;
  let bytes = 0;
  for (const { tables } of filledRuns(view.levels[0]).slice(0, -shape.l0Trigger)) {
    bytes += bytesOf(tables);
  }
  for (let level = targets.base; level < targets.last; level++) {
    bytes += Math.max(0, levelBytes(view.levels[level]) - targets.bytes[level]!);
  }
  return bytes;
}
