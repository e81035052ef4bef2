/**
 * A level that is over its target gives tables to the next one.
 *
 * They come from its oldest run. The table goes that rewrites the fewest bytes below for the bytes
 * it brings down; deletes and references to draining segments count as bytes, since moving them
 * down is what frees space. Neighbours that add nothing to the tables below come along.
 */
import { compareKeys } from "@aura/base";
import { isClaimed } from "./claim.ts";
import { drainingBytes } from "./draining.ts";
import {
  boundsOf,
  bytesOf,
  filledRuns,
  overlapping,
  overlapSlice,
  type Slice,
  widened,
} from "./overlap.ts";
import { activeRun, areFree, mergeOf, moveOf, type Plan } from "./planning.ts";
import type { MergeChoice, MoveChoice, RunView, TableView, TreeView } from "./policy.ts";

interface Candidate {
  readonly index: number;
  readonly ratio: number;
}

/** Returns what `level` gives to the next one; undefined when nothing of it may start now. */
export function chooseLevelMerge(
  plan: Plan,
  level: number,
  excessBytes: number,
): MergeChoice | MoveChoice | undefined {
  const { view } = plan;
  const run = filledRuns(view.levels[level]).at(-1);
  if (run === undefined) return undefined;
  const output = activeRun(view.levels[level + 1]);
  for (const { index } of candidates(view, run, output)) {
    const choice = chooseAround(plan, level, run, output, index, excessBytes);
    if (choice !== undefined) return choice;
  }
  return undefined;
}

/** Returns the tables of a run, best first. One sweep over both runs: they are in key order. */
function candidates(view: TreeView, run: RunView, output: RunView | undefined): Candidate[] {
  const below = output?.tables ?? [];
  const found: Candidate[] = [];
  let from = 0;
  for (const [index, table] of run.tables.entries()) {
    while (from < below.length && compareKeys(below[from]!.largestKey, table.smallestKey) < 0)
      from++;
    if (view.busy.has(table.number)) continue;
    let bytes = 0;
    for (let i = from; i < below.length; i++) {
      if (compareKeys(below[i]!.smallestKey, table.largestKey) > 0) break;
      bytes += below[i]!.bytes;
    }
    found.push({ index, ratio: bytes / Math.max(1, weightOf(view, table)) });
  }
  return found.sort((a, b) => a.ratio - b.ratio || a.index - b.index);
}

/** Returns the bytes of a table, with what it would free counted in. */
function weightOf(view: TreeView, table: TableView): number {
  const deletes = table.entryCount > 0 ? table.deleteCount / table.entryCount : 0;
  return table.bytes * (1 + 2 * deletes) + drainingBytes(view, table);
}

function chooseAround(
  plan: Plan,
  level: number,
  run: RunView,
  output: RunView | undefined,
  index: number,
  excessBytes: number,
): MergeChoice | MoveChoice | undefined {
  const { view, shape } = plan;
  let slice = widened(run.tables, { from: index, to: index + 1 });
  const above = run.tables.slice(slice.from, slice.to);
  const below = overlapping(output, boundsOf(above));
  const all = [...above, ...below];
  if (!areFree(view, all) || isClaimed(plan.claim, all, level, level + 1)) return undefined;

  if (below.length === 0) {
    slice = grown(plan, level, run, output, slice, 0, excessBytes);
    const tables = run.tables.slice(slice.from, slice.to);
    const move =
      moveOf(plan, level, run, tables, level + 1) ?? moveOf(plan, level, run, above, level + 1);
    if (move !== undefined) return move;
  } else {
    const bytesMax = shape.mergeBytesMax - bytesOf(below);
    slice = grown(plan, level, run, output, slice, below.length, bytesMax);
  }
  const inputs = [
    { level, tables: run.tables.slice(slice.from, slice.to) },
    { level: level + 1, tables: below },
  ];
  return mergeOf(plan, "level-size", inputs, level + 1, output);
}

/** Widens a slice over neighbours while the tables below stay the same. */
function grown(
  plan: Plan,
  level: number,
  run: RunView,
  output: RunView | undefined,
  start: Slice,
  belowCount: number,
  bytesMax: number,
): Slice {
  let slice = start;
  for (const step of [1, -1]) {
    for (;;) {
      const next =
        step > 0 ? { from: slice.from, to: slice.to + 1 } : { from: slice.from - 1, to: slice.to };
      if (next.from < 0 || next.to > run.tables.length) break;
      const wide = widened(run.tables, next);
      const tables = run.tables.slice(wide.from, wide.to);
      const below = overlapSlice(output?.tables ?? [], boundsOf(tables));
      const isSame = widenedCount(output, below) === belowCount;
      if (!isSame || bytesOf(tables) > bytesMax || !areFree(plan.view, tables)) break;
      if (isClaimed(plan.claim, tables, level, level + 1)) break;
      slice = wide;
    }
  }
  return slice;
}

function widenedCount(output: RunView | undefined, slice: Slice): number {
  const wide = widened(output?.tables ?? [], slice);
  return wide.to - wide.from;
}
