/**
 * What moving a table down is worth, in bytes. Its own bytes; for each delete twice the bytes of an
 * average entry with its value, wherever the value is, since that is about what the delete frees
 * further down; and what it refers to in segments that are to be emptied.
 */
import { drainingBytes } from "./draining.ts";
import type { TableView, TreeView } from "./policy.ts";

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
  return table.bytes + 2 * averageBytes * table.deleteCount + drainingBytes(view, table);
}

/** Returns the share of deletes among a table's entries. */
export function deleteShare(table: TableView): number {
  return table.entryCount > 0 ? table.deleteCount / table.entryCount : 0;
}

/** Returns whether a table was written more than `ageMs` ago; 0: never. */
export function isOlder(view: TreeView, table: TableView, ageMs: number): boolean {
  const { nowMs } = view;
  const createdMs = table.createdMs ?? 0;
  if (ageMs === 0 || nowMs === undefined || createdMs === 0) return false;
  return nowMs - createdMs > ageMs;
}
