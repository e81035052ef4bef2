/**
 * A level of several runs that is over its target goes down.
 *
 * All of its runs are merged at once into the run that the next level receives with: that is what
 * makes a tiered level cheap, each entry being rewritten once per level. What does not overlap need
 * not go together: the tables fall apart into groups, each the tables of one connected range of keys,
 * and a merge takes the groups of the oldest run first, neighbours with them as long as it does not
 * become too large. A group is never divided: what is left out of a group could stand above older
 * versions of its keys. A group of one run that meets nothing below is moved.
 */
import { compareKeys } from "@aura/base";
import { isClaimed } from "./claim.ts";
import { boundsOf, bytesOf, filledRuns } from "./overlap.ts";
import { areFree, mergeOf, moveOf, type Plan } from "./planning.ts";
import type { MergeChoice, MergeReason, MoveChoice, RunView, TableView } from "./policy.ts";
import { type Receiver, receivedWith, receiverOf, touchedLevel } from "./reception.ts";

/** Tables of a level that are connected by their ranges, in the order of their smallest keys. */
interface Group {
  readonly tables: readonly TableView[];
  /** The run of all of them; undefined: they are of several. */
  readonly run: RunView | undefined;
  readonly isOldest: boolean;
}

/** Returns what `level` gives to the next one; undefined when nothing of it may start now. */
export function chooseLevelDrain(
  plan: Plan,
  level: number,
  reason: MergeReason = "level-size",
  isWanted: (table: TableView) => boolean = () => true,
): MergeChoice | MoveChoice | undefined {
  const groups = groupsOf(filledRuns(plan.view.levels[level]));
  const receiver = receiverOf(plan, level + 1);
  for (const oldest of [true, false]) {
    for (const [index, group] of groups.entries()) {
      if (group.isOldest !== oldest || !group.tables.some(isWanted)) continue;
      const choice = chooseGroups(plan, level, receiver, groups, index, reason);
      if (choice !== undefined) return choice;
    }
  }
  return undefined;
}

function chooseGroups(
  plan: Plan,
  level: number,
  receiver: Receiver,
  groups: readonly Group[],
  index: number,
  reason: MergeReason,
): MergeChoice | MoveChoice | undefined {
  const first = groups[index]!;
  const belowFirst = mayGo(plan, level, receiver, first.tables);
  if (belowFirst === undefined) return undefined;
  const { run } = first;
  if (run !== undefined && belowFirst.length === 0) {
    const tables = inOrder(run, first.tables);
    const move = moveOf(plan, level, run, tables, level + 1, receiver.run);
    if (move !== undefined) return move;
  }
  let tables = first.tables;
  let below = belowFirst;
  for (let next = index + 1; next < groups.length; next++) {
    const wider = [...tables, ...groups[next]!.tables];
    const belowWider = mayGo(plan, level, receiver, wider);
    if (belowWider === undefined) break;
    if (bytesOf(wider) + bytesOf(belowWider) > plan.geometry.mergeBytesMax) break;
    tables = wider;
    below = belowWider;
  }
  const inputs = [
    { level, tables },
    { level: level + 1, tables: below },
  ];
  return mergeOf(plan, reason, inputs, level + 1, receiver.run);
}

/** Returns what would be merged with the tables below; undefined when they may not go now. */
function mayGo(
  plan: Plan,
  level: number,
  receiver: Receiver,
  tables: readonly TableView[],
): readonly TableView[] | undefined {
  const below = receivedWith(receiver, boundsOf(tables));
  const all = [...tables, ...below];
  if (!areFree(plan.view, all)) return undefined;
  return isClaimed(plan.claim, all, level, touchedLevel(receiver)) ? undefined : below;
}

function groupsOf(runs: readonly RunView[]): Group[] {
  const all = runs.flatMap((run) => run.tables.map((table) => ({ run, table })));
  all.sort((a, b) => compareKeys(a.table.smallestKey, b.table.smallestKey));
  const oldest = runs.at(-1);
  const groups: Group[] = [];
  let from = 0;
  let end = all[0]?.table.largestKey;
  for (let i = 1; i <= all.length; i++) {
    const table = all[i]?.table;
    if (table !== undefined && compareKeys(table.smallestKey, end!) <= 0) {
      if (compareKeys(table.largestKey, end!) > 0) end = table.largestKey;
      continue;
    }
    const members = all.slice(from, i);
    const { run } = members[0]!;
    groups.push({
      tables: members.map((member) => member.table),
      run: members.every((member) => member.run === run) ? run : undefined,
      isOldest: members.some((member) => member.run === oldest),
    });
    from = i;
    end = table?.largestKey;
  }
  return groups;
}

function inOrder(run: RunView, tables: readonly TableView[]): readonly TableView[] {
  return run.tables.filter((table) => tables.includes(table));
}
