/**
 * Runs that a level has beyond its K, merged without waiting for what arrives: only where the shape says
 * so (`isEager`), since it costs what a lazy change does not.
 *
 * An inner level goes down as it would when it is full. In the last level, tables of the newest run are
 * merged with all that they meet in the older runs, into the oldest one: to the level that is what an
 * arrival in their range would do. Each merge takes tables from the newest run, so it comes to an end.
 */
import { isClaimed } from "./claim.ts";
import { chooseLevelDrain } from "./level-drain.ts";
import { boundsOf, bytesOf, filledRuns, widened } from "./overlap.ts";
import { areFree, type LevelTables, mergeOf, type Plan } from "./planning.ts";
import type { MergeChoice, MoveChoice, RunView, TableView } from "./policy.ts";
import { receivedWith } from "./reception.ts";
import { runsMax } from "./shape.ts";

/** Returns the next step towards K runs in every level; undefined when there is none that may start. */
export function chooseExcess(plan: Plan): MergeChoice | MoveChoice | undefined {
  const { view, shape, targets } = plan;
  if (shape.isEager !== true) return undefined;
  for (let level = targets.base; level <= targets.last; level++) {
    const runs = filledRuns(view.levels[level]);
    if (runs.length <= runsMax(shape, level)) continue;
    const choice =
      level < targets.last ? chooseLevelDrain(plan, level) : chooseWithin(plan, level, runs);
    if (choice !== undefined) return choice;
  }
  return undefined;
}

/** Returns a merge of the newest run of a level, or some of it, into the oldest one; undefined: none may start. */
export function chooseWithin(
  plan: Plan,
  level: number,
  runs: readonly RunView[],
): MergeChoice | undefined {
  const [newest, ...older] = runs;
  const oldest = older.at(-1);
  if (newest === undefined || oldest === undefined) return undefined;
  for (let from = 0; from < newest.tables.length; from++) {
    const first = widened(newest.tables, { from, to: from + 1 });
    let chosen = mayMerge(plan, level, older, newest.tables.slice(first.from, first.to));
    if (chosen === undefined) continue;
    for (let to = first.to + 1; to <= newest.tables.length; to++) {
      const slice = widened(newest.tables, { from: first.from, to });
      const wider = mayMerge(plan, level, older, newest.tables.slice(slice.from, slice.to));
      if (wider === undefined || bytesOf(wider.tables) > plan.geometry.mergeBytesMax) break;
      chosen = wider;
    }
    return mergeOf(plan, "level-size", [chosen], level, oldest);
  }
  return undefined;
}

/** Returns tables of the newest run and all that they meet; undefined when they may not be merged now. */
function mayMerge(
  plan: Plan,
  level: number,
  older: readonly RunView[],
  tables: readonly TableView[],
): LevelTables | undefined {
  const receiver = { level, run: older.at(-1), merged: older };
  const all = [...tables, ...receivedWith(receiver, boundsOf(tables))];
  if (!areFree(plan.view, all) || isClaimed(plan.claim, all, level, level)) return undefined;
  return { level, tables: all };
}
