/**
 * Merges for the sake of space, whatever the policy: they keep to the order of reading, and change
 * the shape only towards fewer runs above the last one.
 */
import { claimOf } from "./claim.ts";
import { chooseLevelMerge } from "./level-merge.ts";
import { chooseLevelZero } from "./level-zero.ts";
import { filledRuns } from "./overlap.ts";
import { mergeOf, type Plan } from "./planning.ts";
import type { CompactionChoice, MergeChoice, MoveChoice, TableView, TreeView } from "./policy.ts";
import { chooseRelocation } from "./relocation.ts";
import { chooseRunMerge } from "./run-merge.ts";
import { type LeveledSettings, leveledShape } from "./settings.ts";
import { levelBytes, levelTargets } from "./targets.ts";

/** What is asked of the tree. */
export interface SpaceNeed {
  /** Draining segments are to be emptied before anything else. */
  readonly isUrgent: boolean;
  /** Versions that newer ones hide are to be met, by merging down what lies above the last run. */
  readonly isHiding: boolean;
  /** The oldest open snapshot; undefined: there is none. */
  readonly oldestSnapshot: number | undefined;
}

/** Returns the merge or move that space asks for; undefined when it asks for none that may start. */
export function chooseForSpace(
  view: TreeView,
  need: SpaceNeed,
  settings: LeveledSettings,
): CompactionChoice | undefined {
  const isUrgent = need.isUrgent && view.draining.size > 0;
  if (!isUrgent && !need.isHiding) return undefined;
  const shape = leveledShape(settings);
  const plan = { view, shape, targets: levelTargets(view, shape), claim: claimOf(view) };
  const hidden = need.isHiding ? chooseDown(plan, need.oldestSnapshot) : undefined;
  return hidden ?? (isUrgent ? chooseRelocation(plan) : undefined);
}

/** Brings the topmost tables down, level by level; at the end, rewrites what hides old versions. */
function chooseDown(
  plan: Plan,
  oldestSnapshot: number | undefined,
): MergeChoice | MoveChoice | undefined {
  const { view, targets } = plan;
  if (filledRuns(view.levels[0]).length > 0) return chooseLevelZero(plan);
  const deepest = view.levels.findLastIndex((level) => filledRuns(level).length > 0);
  for (let level = targets.base; level < deepest; level++) {
    if (filledRuns(view.levels[level]).length === 0) continue;
    return chooseLevelMerge(plan, level, levelBytes(view.levels[level]));
  }
  if (filledRuns(view.levels[deepest]).length > 1) return chooseRunMerge(plan, deepest);
  return chooseShadowed(plan, deepest, oldestSnapshot);
}

/** Rewrites tables with versions that only released snapshots saw. */
function chooseShadowed(
  plan: Plan,
  level: number,
  oldestSnapshot = Number.POSITIVE_INFINITY,
): MergeChoice | undefined {
  const [run] = filledRuns(plan.view.levels[level]);
  if (run === undefined) return undefined;
  const mayGo = (table: TableView): boolean =>
    (table.shadowedCount ?? 0) > 0 &&
    table.largestSeq <= oldestSnapshot &&
    !plan.view.busy.has(table.number);
  const table = run.tables.find(mayGo);
  if (table === undefined) return undefined;
  return mergeOf(plan, "relocate", [{ level, tables: [table] }], level, run);
}
