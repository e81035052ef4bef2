/** What every rule of a policy is given, and how tables become a choice. */
import type { Claim } from "./claim.ts";
import { drainedBy, isDraining } from "./draining.ts";
import { boundsOf, overlapBytes, overlapping } from "./overlap.ts";
import type {
  MergeChoice,
  MergeInput,
  MergeReason,
  MoveChoice,
  RunView,
  TableView,
  TreeView,
} from "./policy.ts";
import type { TreeGeometry } from "./settings.ts";
import type { TreeShape } from "./shape.ts";
import { type LevelTargets, tableBytesFor } from "./targets.ts";

/** One call of `choose`: the view and what follows from it. */
export interface Plan {
  readonly view: TreeView;
  readonly geometry: TreeGeometry;
  readonly shape: TreeShape;
  readonly targets: LevelTargets;
  readonly claim: Claim | undefined;
}

/** Tables of one level, as input of a merge. */
export interface LevelTables {
  readonly level: number;
  readonly tables: readonly TableView[];
}

/** Returns whether a choice may name a table: no running job reads it, and it is not damaged. */
export function isFree({ busy, damaged }: TreeView, { number }: TableView): boolean {
  return !busy.has(number) && damaged?.has(number) !== true;
}

/** Returns whether a choice may name these tables. */
export function areFree(view: TreeView, tables: readonly TableView[]): boolean {
  return tables.every((table) => isFree(view, table));
}

/** Returns a merge of these tables. Levels without tables are left out. */
export function mergeOf(
  plan: Plan,
  reason: MergeReason,
  inputs: readonly LevelTables[],
  outputLevel: number,
  outputRun: RunView | undefined,
): MergeChoice {
  const tables = inputs.flatMap((input) => input.tables);
  return {
    kind: "merge",
    inputs: inputs.filter((input) => input.tables.length > 0).map(numbered),
    outputLevel,
    outputRunId: outputRun?.id,
    reason,
    tableBytesMax:
      outputLevel === 0
        ? plan.geometry.tableBytesMax
        : tableBytesFor(plan.targets.bytes[outputLevel]!, plan.geometry),
    drain: drainedBy(plan.view, tables),
  };
}

function numbered(input: LevelTables): MergeInput {
  return { level: input.level, tables: input.tables.map((table) => table.number) };
}

/**
 * Returns the move of these tables of one run into `toRun` (undefined: a new one before the others),
 * or undefined when they must be rewritten: something in the run or on the way to it overlaps them, they refer to a draining segment, or so much lies one level further
 * down that their next merge would be too large in one piece.
 */
export function moveOf(
  plan: Plan,
  level: number,
  run: RunView,
  tables: readonly TableView[],
  toLevel: number,
  toRun: RunView | undefined,
): MoveChoice | undefined {
  const { view, geometry } = plan;
  const bounds = boundsOf(tables);
  for (let below = level + 1; below < toLevel; below++) {
    if (overlapBytes(view.levels[below], bounds) > 0) return undefined;
  }
  if (overlapping(toRun, bounds).length > 0) return undefined;
  if (tables.some((table) => isDraining(view, table))) return undefined;
  if (overlapBytes(view.levels[toLevel + 1], bounds) > geometry.mergeBytesMax) return undefined;
  return {
    kind: "move",
    level,
    runId: run.id,
    tables: tables.map((table) => table.number),
    toLevel,
    toRunId: toRun?.id,
  };
}
