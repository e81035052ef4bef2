/**
 * A level of one run that is over its target gives tables to the next one.
 *
 * The table goes that rewrites the fewest bytes below for what it is worth (weight.ts); tables that
 * are older than they should be go before all others. Neighbours that add nothing to the tables
 * below come along.
 */
import { isClaimed } from "./claim.ts";
import { boundsOf, bytesOf, type Slice, widened } from "./overlap.ts";
import { areFree, isFree, mergeOf, moveOf, type Plan } from "./planning.ts";
import type { MergeChoice, MergeReason, MoveChoice, RunView, TableView } from "./policy.ts";
import { metBytes, type Receiver, receivedWith, receiverOf, touchedLevel } from "./reception.ts";
import { entryBytes, isOlder, weightOf } from "./weight.ts";

interface Candidate {
  readonly index: number;
  readonly ratio: number;
  readonly isOld: boolean;
}

/** Returns what the only run of `level` gives to the next one; undefined when nothing may start. */
export function chooseLevelMerge(
  plan: Plan,
  level: number,
  run: RunView,
  excessBytes: number,
  reason: MergeReason = "level-size",
): MergeChoice | MoveChoice | undefined {
  const receiver = receiverOf(plan, level + 1);
  for (const { index } of candidates(plan, run, receiver)) {
    const choice = chooseAround(plan, level, run, receiver, index, excessBytes, reason);
    if (choice !== undefined) return choice;
  }
  return undefined;
}

/** Returns the tables of a run that may go, best first. */
function candidates(plan: Plan, run: RunView, receiver: Receiver): Candidate[] {
  const { view, geometry } = plan;
  const averageBytes = entryBytes(view);
  const met = metBytes(receiver, run.tables);
  const found: Candidate[] = [];
  for (const [index, table] of run.tables.entries()) {
    if (!isFree(view, table)) continue;
    const ratio = met[index]! / Math.max(1, weightOf(view, table, averageBytes));
    found.push({ index, ratio, isOld: isOlder(view, table, geometry.ttlMs) });
  }
  return found.sort(
    (a, b) => Number(b.isOld) - Number(a.isOld) || a.ratio - b.ratio || a.index - b.index,
  );
}

/** Returns the merge or move of the table at `index` of the only run of a level, and neighbours. */
export function chooseAround(
  plan: Plan,
  level: number,
  run: RunView,
  receiver: Receiver,
  index: number,
  excessBytes: number,
  reason: MergeReason,
): MergeChoice | MoveChoice | undefined {
  const { view } = plan;
  let slice = widened(run.tables, { from: index, to: index + 1 });
  const above = run.tables.slice(slice.from, slice.to);
  const below = receivedWith(receiver, boundsOf(above));
  const all = [...above, ...below];
  if (!areFree(view, all) || isClaimed(plan.claim, all, level, touchedLevel(receiver))) {
    return undefined;
  }
  if (below.length === 0) {
    slice = grown(plan, level, run, receiver, slice, below, excessBytes);
    const tables = run.tables.slice(slice.from, slice.to);
    const move =
      moveOf(plan, level, run, tables, level + 1, receiver.run) ??
      moveOf(plan, level, run, above, level + 1, receiver.run);
    if (move !== undefined) return move;
  } else slice = grown(plan, level, run, receiver, slice, below, excessBytes);
  const tables = run.tables.slice(slice.from, slice.to);
  const inputs = [
    { level, tables },
    { level: level + 1, tables: receivedWith(receiver, boundsOf(tables)) },
  ];
  return mergeOf(plan, reason, inputs, level + 1, receiver.run);
}

/**
 * Widens a slice over neighbours that add nothing to the tables below. While the level has too much,
 * also over neighbours that do, as long as no more is rewritten below per byte that goes down: what
 * reaches beyond the ends of a slice is shared by more.
 */
function grown(
  plan: Plan,
  level: number,
  run: RunView,
  receiver: Receiver,
  start: Slice,
  below: readonly TableView[],
  excessBytes: number,
): Slice {
  const isMove = below.length === 0;
  const { view, geometry, claim } = plan;
  let slice = start;
  let met = below;
  for (const step of [1, -1]) {
    for (;;) {
      const next =
        step > 0 ? { from: slice.from, to: slice.to + 1 } : { from: slice.from - 1, to: slice.to };
      if (next.from < 0 || next.to > run.tables.length) break;
      const wide = widened(run.tables, next);
      const tables = run.tables.slice(wide.from, wide.to);
      const metWide = receivedWith(receiver, boundsOf(tables));
      const all = [...tables, ...metWide];
      if (!areFree(view, all) || isClaimed(claim, all, level, touchedLevel(receiver))) break;
      const bytes = bytesOf(tables);
      if (isMove && bytes > excessBytes) break;
      if (bytes + bytesOf(metWide) > geometry.mergeBytesMax) break;
      if (metWide.length !== met.length) {
        const ratio = bytesOf(met) / bytesOf(run.tables.slice(slice.from, slice.to));
        if (isMove || bytes > excessBytes || bytesOf(metWide) / bytes > ratio) break;
      }
      slice = wide;
      met = metWide;
    }
  }
  return slice;
}
