/**
 * Merges for the sake of space: they come before the shape of the tree, and change it only towards
 * fewer runs above the last one.
 */
import { chooseLevelDrain } from "./level-drain.ts";
import { chooseWithin } from "./level-excess.ts";
import { chooseLevelZero } from "./level-zero.ts";
import { hasDamage } from "./obstacles.ts";
import { filledRuns } from "./overlap.ts";
import { isFree, mergeOf, type Plan } from "./planning.ts";
import type { MergeChoice, MoveChoice, TableView } from "./policy.ts";
import { chooseRelocation } from "./relocation.ts";

/** Returns the merge or move that space asks for; undefined when it asks for none that may start. */
export function chooseForBound(plan: Plan): MergeChoice | MoveChoice | undefined {
  const { space, draining } = plan.view;
  if (space === undefined) return undefined;
  const hidden = space.isHiding ? chooseDown(plan) : undefined;
  return hidden ?? (space.isUrgent && draining.size > 0 ? chooseRelocation(plan) : undefined);
}

/**
 * Brings the topmost tables down, level by level; at the end, makes one run of the last level, and rewrites
 * what hides old versions.
 */
function chooseDown(plan: Plan): MergeChoice | MoveChoice | undefined {
  const { view, targets } = plan;
  if (filledRuns(view.levels[0]).length > 0) {
    const choice = chooseLevelZero(plan);
    if (choice !== undefined || !hasDamage(view)) return choice;
  }
  const deepest = view.levels.findLastIndex((level) => filledRuns(level).length > 0);
  for (let level = targets.base; level < deepest; level++) {
    if (filledRuns(view.levels[level]).length === 0) continue;
    const choice = chooseLevelDrain(plan, level);
    if (choice !== undefined || !hasDamage(view)) return choice;
  }
  const last = filledRuns(view.levels[deepest]);
  if (deepest > 0 && last.length > 1) {
    const choice = chooseWithin(plan, deepest, last);
    if (choice !== undefined || !hasDamage(view)) return choice;
  }
  return chooseShadowed(plan, deepest);
}

/** Rewrites tables with versions that only released snapshots saw. */
function chooseShadowed(plan: Plan, level: number): MergeChoice | undefined {
  const { view } = plan;
  const { oldestSnapshotSeq = Number.POSITIVE_INFINITY } = view;
  const run = filledRuns(view.levels[level]).at(-1);
  const mayGo = (table: TableView): boolean =>
    (table.shadowedCount ?? 0) > 0 && table.largestSeq <= oldestSnapshotSeq && isFree(view, table);
  const table = run?.tables.find(mayGo);
  if (run === undefined || table === undefined) return undefined;
  return mergeOf(plan, "relocate", [{ level, tables: [table] }], level, run);
}
