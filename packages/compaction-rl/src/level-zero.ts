/**
 * Level 0 to the base level, or within itself.
 *
 * The oldest run goes first, since a newer version must not sink below an older one. With it goes
 * every table of the newer runs that meets the growing range (they would have to be merged with the
 * same tables of the base level soon), from old to new and as long as the input is not too large.
 * Leaving out the newest runs is legal; leaving out an older table that meets the range is not.
 *
 * Where the base level begins a new run anyway, and the oldest run of level 0 has the size of one,
 * it becomes that run as it is.
 *
 * A damaged table, here or in the base level, stays, and so does what may not sink below it
 * (obstacles.ts); the rest of level 0 goes down beside it.
 *
 * While the base level is not free, runs collect. Four times the trigger of them that no job has are
 * merged into one, so that reads meet fewer; the newest of about one size, so that an entry is
 * rewritten a few times at most.
 */
import { isClaimed } from "./claim.ts";
import { hasDamage, passableRuns } from "./obstacles.ts";
import { boundsOf, bytesOf, filledRuns, tableMeets } from "./overlap.ts";
import { areFree, mergeOf, moveOf, type Plan } from "./planning.ts";
import type { MergeChoice, MergeReason, MoveChoice, RunView, TableView } from "./policy.ts";
import { type Receiver, receivedWith, receiverOf, touchedLevel } from "./reception.ts";
import { activeCapacity, runsMax } from "./shape.ts";

/** So many times the trigger of free runs are merged among themselves while the base is busy. */
const INTRA_FACTOR = 4;
/** Runs merged within level 0 differ in size by no more than this. */
const INTRA_SPREAD = 2;

/** Returns the merge or move of the oldest part of level 0; undefined when it may not start now. */
export function chooseLevelZero(
  plan: Plan,
  reason: MergeReason = "level-0",
): MergeChoice | MoveChoice | undefined {
  const receiver = receiverOf(plan, plan.targets.base);
  const all = filledRuns(plan.view.levels[0]);
  if (!hasDamage(plan.view)) return chooseFrom(plan, all, receiver, reason);
  for (const runs of passableRuns(plan.view, all, receiver)) {
    const choice = chooseFrom(plan, runs, receiver, reason);
    if (choice !== undefined) return choice;
  }
  return undefined;
}

/** As `chooseLevelZero`, of these parts of its runs, which may go down when all of them may. */
function chooseFrom(
  plan: Plan,
  runs: readonly RunView[],
  receiver: Receiver,
  reason: MergeReason,
): MergeChoice | MoveChoice | undefined {
  const { view, targets } = plan;
  const oldest = runs.at(-1);
  if (oldest === undefined) return undefined;
  if (isRunOfBase(plan, receiver, oldest)) {
    const move = chosenMove(plan, receiver, oldest);
    if (move !== undefined) return move;
  }
  const above = closure(runs, plan.geometry.mergeBytesMax);
  const below = receivedWith(receiver, boundsOf(above));
  const all = [...above, ...below];
  if (!areFree(view, all) || isClaimed(plan.claim, all, 0, touchedLevel(receiver))) {
    return undefined;
  }
  if (above.length === oldest.tables.length && below.length === 0) {
    const move = moveOf(plan, 0, oldest, above, targets.base, receiver.run);
    if (move !== undefined) return move;
  }
  const inputs = [
    { level: 0, tables: above },
    { level: targets.base, tables: below },
  ];
  return mergeOf(plan, reason, inputs, targets.base, receiver.run);
}

/** Returns a merge of the newest free runs of level 0 into one; undefined when it is not worth it. */
export function chooseIntraZero(plan: Plan): MergeChoice | undefined {
  const { view, shape } = plan;
  const free: RunView[] = [];
  let smallest = Number.POSITIVE_INFINITY;
  let largest = 0;
  for (const run of filledRuns(view.levels[0])) {
    if (!areFree(view, run.tables)) break;
    const bytes = bytesOf(run.tables);
    smallest = Math.min(smallest, bytes);
    largest = Math.max(largest, bytes);
    if (largest > smallest * INTRA_SPREAD) break;
    free.push(run);
  }
  if (free.length < Math.max(2, shape.l0Trigger * INTRA_FACTOR)) return undefined;
  const tables = free.flatMap((run) => run.tables);
  if (bytesOf(tables) > plan.geometry.mergeBytesMax) return undefined;
  return mergeOf(plan, "intra-level-0", [{ level: 0, tables }], 0, free.at(-1));
}

function isRunOfBase(plan: Plan, receiver: Receiver, oldest: RunView): boolean {
  const { shape, targets } = plan;
  if (receiver.run !== undefined || runsMax(shape, targets.base) === 1) return false;
  return bytesOf(oldest.tables) >= activeCapacity(shape, targets, targets.base);
}

function chosenMove(plan: Plan, receiver: Receiver, oldest: RunView): MoveChoice | undefined {
  const { tables } = oldest;
  if (!areFree(plan.view, tables)) return undefined;
  if (isClaimed(plan.claim, tables, 0, touchedLevel(receiver))) return undefined;
  return moveOf(plan, 0, oldest, tables, receiver.level, undefined);
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
