/**
 * Tables that go down, or are written anew, for what they are rather than for how much there is:
 * because they are old, or because they hold little but deletes.
 *
 * Above the last level a table older than the limit goes down, so that deletes and overwrites reach
 * what they hide; it is young again when it has been merged, so this ends at the last level. There a
 * table is rewritten in place when deletes can be dropped: when nothing older lies beneath it, and no
 * snapshot is as old as its entries. The period rewrites every table, wherever it is.
 */
import { isClaimed } from "./claim.ts";
import { chooseLevelDrain } from "./level-drain.ts";
import { chooseAround } from "./level-merge.ts";
import { chooseLevelZero } from "./level-zero.ts";
import { filledRuns, widened } from "./overlap.ts";
import { areFree, isFree, mergeOf, type Plan } from "./planning.ts";
import type { MergeChoice, MergeReason, MoveChoice, RunView, TableView } from "./policy.ts";
import { receiverOf } from "./reception.ts";
import { deleteShare, deletesOf, entryBytes, isOlder } from "./weight.ts";

/** From this share of deletes on a table goes down by itself. */
const DELETE_SHARE = 0.75;

/** Returns what old tables ask for; undefined when none is too old, or none may go now. */
export function chooseByAge(plan: Plan): MergeChoice | MoveChoice | undefined {
  const { view, geometry } = plan;
  if (view.nowMs === undefined) return undefined;
  const { ttlMs, periodicMs } = geometry;
  if (ttlMs > 0) {
    const choice = chooseDown(plan, "age", (table) => isOlder(view, table, ttlMs), true);
    if (choice !== undefined) return choice;
  }
  if (periodicMs === 0) return undefined;
  return chooseRewrite(plan, "age", (table) => isOlder(view, table, periodicMs), false);
}

/** Returns what tables full of deletes ask for; undefined when there is none that may go now. */
export function chooseByDeletes(plan: Plan): MergeChoice | MoveChoice | undefined {
  const isDense = (table: TableView): boolean => deleteShare(table) >= DELETE_SHARE;
  const { oldestSnapshotSeq = Number.POSITIVE_INFINITY } = plan.view;
  return (
    chooseDown(plan, "deletes", isDense, false) ??
    chooseDenseZero(plan, isDense) ??
    chooseRewrite(
      plan,
      "deletes",
      (table) => isDense(table) && table.largestSeq <= oldestSnapshotSeq,
      true,
    )
  );
}

/** Sends tables of the levels above the last one down by one level, deep levels first. */
function chooseDown(
  plan: Plan,
  reason: MergeReason,
  isWanted: (table: TableView) => boolean,
  withZero: boolean,
): MergeChoice | MoveChoice | undefined {
  const { view, targets } = plan;
  for (let level = targets.last - 1; level >= Math.max(1, targets.base); level--) {
    const runs = filledRuns(view.levels[level]);
    if (runs.length > 1) {
      // A tiered level goes as a whole: too dear for some deletes.
      if (reason === "deletes" || !runs.some((run) => run.tables.some(isWanted))) continue;
      const choice = chooseLevelDrain(plan, level, reason, isWanted);
      if (choice !== undefined) return choice;
      continue;
    }
    const [run] = runs;
    for (const [index, table] of run?.tables.entries() ?? []) {
      if (!isWanted(table) || !isFree(view, table)) continue;
      const receiver = receiverOf(plan, level + 1);
      const choice = chooseAround(plan, level, run!, receiver, index, 0, reason);
      if (choice !== undefined) return choice;
    }
  }
  if (!withZero) return undefined;
  const oldest = filledRuns(view.levels[0]).at(-1);
  return oldest?.tables.some(isWanted) === true ? chooseLevelZero(plan, reason) : undefined;
}

/**
 * Sends level 0 down, below its trigger, when it holds tables full of deletes and these free at least
 * as much as is rewritten for them: few deletes all over a large tree wait for their turn, and so do
 * those that would meet nothing: a table that is only moved, a further run of a tiered level.
 */
function chooseDenseZero(
  plan: Plan,
  isDense: (table: TableView) => boolean,
): MergeChoice | undefined {
  const { view } = plan;
  const zero = filledRuns(view.levels[0]).flatMap((run) => run.tables);
  if (!zero.some(isDense)) return undefined;
  const choice = chooseLevelZero(plan, "deletes");
  if (choice?.kind !== "merge") return undefined;
  const named = new Set(choice.inputs.flatMap(({ tables }) => tables));
  let deletes = 0;
  let rewritten = 0;
  for (const { runs } of view.levels) {
    for (const table of runs.flatMap(({ tables }) => tables)) {
      if (!named.has(table.number)) continue;
      if (isDense(table)) deletes += deletesOf(table);
      else rewritten += table.bytes;
    }
  }
  const isWorth = rewritten > 0 && 2 * entryBytes(view) * deletes >= rewritten;
  return isWorth ? choice : undefined;
}

/** Rewrites tables where they are; `atEnd`: only those of the oldest run of the last level. */
function chooseRewrite(
  plan: Plan,
  reason: MergeReason,
  isWanted: (table: TableView) => boolean,
  atEnd: boolean,
): MergeChoice | undefined {
  const { view, targets } = plan;
  for (let level = targets.last; level >= 0; level--) {
    const runs = filledRuns(view.levels[level]);
    for (const run of atEnd ? runs.slice(-1) : runs) {
      const choice = chooseInRun(plan, level, run, reason, isWanted);
      if (choice !== undefined) return choice;
    }
    if (atEnd) return undefined;
  }
  return undefined;
}

function chooseInRun(
  plan: Plan,
  level: number,
  run: RunView,
  reason: MergeReason,
  isWanted: (table: TableView) => boolean,
): MergeChoice | undefined {
  for (const [index, table] of run.tables.entries()) {
    if (!isWanted(table)) continue;
    const slice = widened(run.tables, { from: index, to: index + 1 });
    const tables = run.tables.slice(slice.from, slice.to);
    if (!areFree(plan.view, tables) || isClaimed(plan.claim, tables, level, level)) continue;
    return mergeOf(plan, reason, [{ level, tables }], level, run);
  }
  return undefined;
}
