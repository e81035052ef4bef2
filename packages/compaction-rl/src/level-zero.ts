/**
 * Level 0 to the base level.
 *
 * The oldest run goes first, since a newer version must not sink below an older one. With it goes
 * every table of the newer runs that meets the growing range (they would have to be merged with the
 * same tables of the base level soon), from old to new and as long as the input is not too large.
 * Leaving out the newest runs is legal; leaving out an older table that meets the range is not.
 */
import { isClaimed } from "./claim.ts";
import { boundsOf, bytesOf, filledRuns, overlapping, tableMeets } from "./overlap.ts";
import { activeRun, areFree, mergeOf, moveOf, type Plan } from "./planning.ts";
import type { MergeChoice, MoveChoice, RunView, TableView } from "./policy.ts";

/** Returns the merge or move of the oldest part of level 0; undefined when it may not start now. */
export function chooseLevelZero(plan: Plan): MergeChoice | MoveChoice | undefined {
  const { view, targets } = plan;
  const runs = filledRuns(view.levels[0]);
  const oldest = runs.at(-1);
  if (oldest === undefined) return undefined;
  const above = closure(runs, plan.shape.mergeBytesMax);
  const output = activeRun(view.levels[targets.base]);
  const below = overlapping(output, boundsOf(above));
  const all = [...above, ...below];
  if (!areFree(view, all) || isClaimed(plan.claim, all, 0, targets.base)) return undefined;
  if (above.length === oldest.tables.length && below.length === 0) {
    const move = moveOf(plan, 0, oldest, above, targets.base);
    if (move !== undefined) return move;
  }
  const inputs = [
    { level: 0, tables: above },
    { level: targets.base, tables: below },
  ];
  return mergeOf(plan, "level-0", inputs, targets.base, output);
}

/** Returns the oldest run and all that meets it, directly or through others, in the runs taken. */
function closure(runs: readonly RunView[], bytesMax: number): readonly TableView[] {
  let chosen: readonly TableView[] = [];
  for (let count = 1; count <= runs.length; count++) {
    const grown = closureOf(runs.slice(-count));
    if (count > 1 && bytesOf(grown) > bytesMax) break;
    chosen = grown;
  }
  return chosen;
}

function closureOf(runs: readonly RunView[]): readonly TableView[] {
  const chosen = [...(runs.at(-1)?.tables ?? [])];
  let rest = runs.slice(0, -1).flatMap((run) => run.tables);
  for (;;) {
    const bounds = boundsOf(chosen);
    const met = rest.filter((table) => tableMeets(table, bounds));
    if (met.length === 0) return chosen;
    chosen.push(...met);
    rest = rest.filter((table) => !met.includes(table));
  }
}
