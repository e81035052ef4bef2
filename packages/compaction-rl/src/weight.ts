/**
 * What moving a table down is worth, in bytes. Its own bytes; for each delete twice the bytes of an
 * average entry with its value, wherever the value is, since that is about what the delete frees
 * further down; for each range tombstone as much as for some deletes, since nobody knows what lies
 * under it; and what the table refers to in segments that are to be emptied.
 */
import { drainingBytes } from "./draining.ts";
import type { TableView, TreeView } from "./policy.ts";

/** A range tombstone counts as so many deletes. */
const RANGE_DELETES = 16;

/** Bytes of an average entry of the tree, its separated value included. */
export function entryBytes(view: TreeView): number {
  let bytes = 0;
  let entries = 0;
  for (const { runs } of view.levels) {
    for (const { tables } of runs) {
      for (const table of tables) {
        bytes += table.bytes + table.referencedBytes;
        entries += table.entryCount;
      }
    }
  }
  return entries === 0 ? 0 : bytes / entries;
}

/** Returns the compensated size of a table; `averageBytes` is of an entry of the tree. */
export function weightOf(view: TreeView, table: TableView, averageBytes: number): number {
  return table.bytes + 2 * averageBytes * deletesOf(table) + drainingBytes(view, table);
}

/** Returns the share of deletes among a table's entries, which range tombstones may bring above 1. */
export function deleteShare(table: TableView): number {
  return table.entryCount > 0 ? deletesOf(table) / table.entryCount : 0;
}

/** Returns the deletes of a table, range tombstones counted as some. */
export function deletesOf({ deleteCount, rangeDeleteCount = 0 }: TableView): number {
  return deleteCount + RANGE_DELETES * rangeDeleteCount;
}

/** Returns whether a table was written more than `ageMs` ago; 0: never. */
export function isOlder(view: TreeView, table: TableView, ageMs: number): boolean {
  const { nowMs } = view;
  const createdMs = table.createdMs ?? 0;
  if (ageMs === 0 || nowMs === undefined || createdMs === 0) return false;
  return nowMs - createdMs > ageMs;
}
