/** What a choice of tables is as the input of a merge: slices by run, and the bounds of what is older. */
import { assert, compareKeys } from "@aura/base";
import type { KeyBounds } from "./jobs/merge.ts";
import type { MergePlan, Slice } from "./merge-task.ts";
import type { TableMeta, Version } from "./version.ts";
import { overlaps } from "./version.ts";

/** Returns the bytes of some tables. */
export function bytesOf(tables: readonly TableMeta[]): number {
  return tables.reduce((sum, table) => sum + table.bytes, 0);
}

/** Returns the tables of a level that have these numbers. */
export function tablesOf(version: Version, level: number, numbers: readonly number[]): TableMeta[] {
  const wanted = new Set(numbers);
  const tables = version.levels[level]!.runs.flatMap((run) =>
    run.tables.filter((table) => wanted.has(table.number)),
  );
  assert(tables.length === wanted.size, "the policy chose tables that are there");
  return tables;
}

/** Returns the input by run, in read order (newest first). */
export function slicesOf(version: Version, plan: MergePlan): Slice[] {
  const slices: Slice[] = [];
  let chosen = 0;
  version.levels.forEach((level, index) => {
    const numbers = new Set(
      plan.inputs.filter((input) => input.level === index).flatMap((input) => input.tables),
    );
    if (numbers.size === 0) return;
    for (const run of level.runs) {
      const tables = run.tables.filter((table) => numbers.has(table.number));
      chosen += tables.length;
      if (tables.length > 0) slices.push({ level: index, run, tables });
    }
  });
  const wanted = plan.inputs.reduce((sum, input) => sum + input.tables.length, 0);
  assert(chosen === wanted && chosen > 0, "the policy chose tables that are there");
  return slices;
}

/** Returns how many entries slices take from each level. */
export function takenByLevel(slices: readonly Slice[]): number[] {
  const taken: number[] = [];
  for (const { level, tables } of slices) {
    while (taken.length <= level) taken.push(0);
    for (const { entryCount } of tables) taken[level]! += entryCount;
  }
  return taken;
}

/** Bounds of the tables behind the newest input, in read order, that meet its keys. */
export function olderThan(version: Version, slices: readonly Slice[]): KeyBounds[][] {
  const inputs = new Set(slices.flatMap((slice) => slice.tables.map((table) => table.number)));
  let smallest: Uint8Array | undefined;
  let largest: Uint8Array | undefined;
  for (const { tables } of slices) {
    for (const table of tables) {
      if (smallest === undefined || compareKeys(table.smallestKey, smallest) < 0) {
        smallest = table.smallestKey;
      }
      if (largest === undefined || compareKeys(table.largestKey, largest) > 0) {
        largest = table.largestKey;
      }
    }
  }
  const older: KeyBounds[][] = [];
  let behind = false;
  for (const level of version.levels) {
    for (const run of level.runs) {
      behind ||= run.tables.some((table) => inputs.has(table.number));
      if (!behind) continue;
      const bounds = run.tables
        .filter((table) => !inputs.has(table.number) && overlaps(table, smallest!, largest!))
        .map(({ smallestKey, largestKey, largestIsExclusive }) => ({
          smallestKey,
          largestKey,
          largestIsExclusive,
        }));
      if (bounds.length > 0) older.push(bounds);
    }
  }
  return older;
}
