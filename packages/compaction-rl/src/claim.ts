/**
 * What running jobs may still change. A view says which tables they read, not where their output
 * goes; so all of them together claim the range from the smallest to the largest busy key, from the
 * topmost busy level to one below the lowest (a merge of level 0 may end anywhere below). New jobs
 * keep out of that box: this is stricter than needed, and never wrong.
 */
import { boundsMeet, boundsOf, type KeyBounds } from "./overlap.ts";
import type { TableView, TreeView } from "./policy.ts";

/** A box of keys and levels, all inclusive. */
export interface Claim {
  readonly bounds: KeyBounds;
  readonly fromLevel: number;
  readonly toLevel: number;
}

/** Returns what the running jobs claim; undefined when there are none. */
export function claimOf(view: TreeView): Claim | undefined {
  if (view.busy.size === 0) return undefined;
  const tables: TableView[] = [];
  let fromLevel = view.levels.length;
  let toLevel = 0;
  for (const [level, { runs }] of view.levels.entries()) {
    for (const run of runs) {
      for (const table of run.tables) {
        if (!view.busy.has(table.number)) continue;
        tables.push(table);
        fromLevel = Math.min(fromLevel, level);
        toLevel = Math.max(toLevel, level + 1);
      }
    }
  }
  if (tables.length === 0) return undefined;
  if (fromLevel === 0) toLevel = Number.POSITIVE_INFINITY;
  return { bounds: boundsOf(tables), fromLevel, toLevel };
}

/** Returns whether a job over `tables`, between two levels, would meet the claim. */
export function isClaimed(
  claim: Claim | undefined,
  tables: readonly TableView[],
  fromLevel: number,
  toLevel: number,
): boolean {
  if (claim === undefined) return false;
  if (toLevel < claim.fromLevel || claim.toLevel < fromLevel) return false;
  return boundsMeet(claim.bounds, boundsOf(tables));
}
