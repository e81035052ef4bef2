/** What tables refer to in segments that are to be emptied. */
import type { TableView, TreeView } from "./policy.ts";

/** Returns the value bytes that a table refers to in draining segments. */
export function drainingBytes(view: TreeView, table: TableView): number {
  if (view.draining.size === 0) return 0;
  let bytes = 0;
  for (const reference of table.references) {
    if (view.draining.has(reference.segment)) bytes += reference.bytes;
  }
  return bytes;
}

/** Returns whether a table refers to a draining segment. */
export function isDraining(view: TreeView, table: TableView): boolean {
  if (view.draining.size === 0) return false;
  return table.references.some((reference) => view.draining.has(reference.segment));
}

/** Returns the draining segments that some tables refer to, ascending. */
export function drainedBy(view: TreeView, tables: readonly TableView[]): number[] {
  if (view.draining.size === 0) return [];
  const segments = new Set<number>();
  for (const table of tables) {
    for (const { segment } of table.references) {
      if (view.draining.has(segment)) segments.add(segment);
    }
  }
  return [...segments].sort((a, b) => a - b);
}
