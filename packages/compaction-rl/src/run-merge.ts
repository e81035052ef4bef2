/**
 * A level with several runs gets fewer. A piece of the second-oldest run is merged into the oldest
 * one, in place: no other run stands between the two, so the order of reading stays right. A tree
 * that was tiered becomes leveled this way.
 */
import { isClaimed } from "./claim.ts";
import { boundsOf, bytesOf, filledRuns, overlapping, type Slice, widened } from "./overlap.ts";
import { areFree, mergeOf, type Plan } from "./planning.ts";
import type { MergeChoice, RunView, TableView } from "./policy.ts";

/** Returns a merge that shrinks the second-oldest run of a level; undefined when there is none. */
export function chooseRunMerge(plan: Plan, level: number): MergeChoice | undefined {
  const { view } = plan;
  const runs = filledRuns(view.levels[level]);
  const older = runs.at(-1);
  const newer = runs.at(-2);
  if (older === undefined || newer === undefined) return undefined;
  for (let index = 0; index < newer.tables.length; index++) {
    const piece = pieceAt(plan, newer, older, index);
    if (!areFree(view, piece) || isClaimed(plan.claim, piece, level, level)) continue;
    return mergeOf(plan, "run-count", [{ level, tables: piece }], level, older);
  }
  return undefined;
}

/** Returns tables of the newer run from `index` on, with what they meet in the older one. */
function pieceAt(plan: Plan, newer: RunView, older: RunView, index: number): readonly TableView[] {
  const { view, shape } = plan;
  let slice = widened(newer.tables, { from: index, to: index + 1 });
  let piece = withMet(newer, older, slice);
  while (slice.to < newer.tables.length) {
    slice = widened(newer.tables, { from: slice.from, to: slice.to + 1 });
    const larger = withMet(newer, older, slice);
    if (bytesOf(larger) > shape.mergeBytesMax || !areFree(view, larger)) break;
    piece = larger;
  }
  return piece;
}

function withMet(newer: RunView, older: RunView, slice: Slice): readonly TableView[] {
  const tables = newer.tables.slice(slice.from, slice.to);
  return [...tables, ...overlapping(older, boundsOf(tables))];
}
