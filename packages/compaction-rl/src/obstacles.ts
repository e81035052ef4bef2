/**
 * Damaged tables of level 0 and of the level that it goes down to, as obstacles. They are never read
 * by a merge again, so they stay where they are; what is newer and has keys in common with them must
 * not sink below them. That leaves, of level 0, every table that meets no older one that stays, and
 * fits between the damaged tables of the level below.
 */
import { compareKeys } from "@aura/base";
import { boundsMeet, boundsOf, tableMeets } from "./overlap.ts";
import type { RunView, TableView, TreeView } from "./policy.ts";
import type { Receiver } from "./reception.ts";

/** Returns whether any table is damaged. */
export function hasDamage({ damaged }: TreeView): boolean {
  return damaged !== undefined && damaged.size > 0;
}

/**
 * Returns the parts of level 0 that may go down, each by itself: its runs without the tables that
 * stay, one part for each gap between the damaged tables that would receive it.
 */
export function passableRuns(
  { damaged }: TreeView,
  runs: readonly RunView[],
  receiver: Receiver,
): readonly (readonly RunView[])[] {
  const isDamaged = (table: TableView): boolean => damaged?.has(table.number) === true;
  const below = receiver.merged.flatMap((run) => run.tables.filter(isDamaged));
  below.sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
  const staying: TableView[] = [];
  const stays = (table: TableView): boolean => {
    const bounds = boundsOf([table]);
    return isDamaged(table) || [...below, ...staying].some((other) => tableMeets(other, bounds));
  };
  const passing = runs.toReversed().map((run) => {
    const kept: TableView[] = [];
    const left: TableView[] = [];
    for (const table of run.tables) (stays(table) ? left : kept).push(table);
    staying.push(...left);
    return { id: run.id, tables: kept };
  });
  passing.reverse();
  const parts: RunView[][] = [];
  for (let gap = 0; gap <= below.length; gap++) {
    const isInGap = (table: TableView): boolean => gapOf(below, table) === gap;
    const part = passing.map(({ id, tables }) => ({ id, tables: tables.filter(isInGap) }));
    parts.push(part.filter(({ tables }) => tables.length > 0));
  }
  return parts;
}

/** Returns how many damaged tables lie before a table that meets none of them. */
function gapOf(below: readonly TableView[], table: TableView): number {
  return below.filter(
    (other) =>
      compareKeys(other.smallestKey, table.smallestKey) < 0 &&
      !boundsMeet(boundsOf([other]), boundsOf([table])),
  ).length;
}
