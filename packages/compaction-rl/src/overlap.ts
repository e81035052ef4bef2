/**
 * Key ranges and the tables that meet them. Bounds are inclusive user keys, so tables that share a
 * key at their border overlap. Runs are in key order; a search in one is a binary search.
 */
import { assert, compareKeys } from "@aura/base";
import type { LevelView, RunView, TableView } from "./policy.ts";

/** Smallest and largest user key of something, both inclusive. */
export interface KeyBounds {
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Tables of one run, next to each other: tables[from, to). */
export interface Slice {
  readonly from: number;
  readonly to: number;
}

/** Returns the range from the smallest to the largest key of some tables. */
export function boundsOf(tables: readonly TableView[]): KeyBounds {
  assert(tables.length > 0, "bounds need a table");
  let smallest = tables[0]!.smallestKey;
  let largest = tables[0]!.largestKey;
  for (const table of tables) {
    if (compareKeys(table.smallestKey, smallest) < 0) smallest = table.smallestKey;
    if (compareKeys(table.largestKey, largest) > 0) largest = table.largestKey;
  }
  return { smallest, largest };
}

/** Returns whether two ranges have a key in common. */
export function boundsMeet(a: KeyBounds, b: KeyBounds): boolean {
  return compareKeys(a.smallest, b.largest) <= 0 && compareKeys(b.smallest, a.largest) <= 0;
}

/** Returns whether a table has a key range in common with `bounds`. */
export function tableMeets(table: TableView, bounds: KeyBounds): boolean {
  return (
    compareKeys(table.smallestKey, bounds.largest) <= 0 &&
    compareKeys(bounds.smallest, table.largestKey) <= 0
  );
}

/** Returns the tables of a run that meet `bounds`; an empty slice stands where they would. */
export function overlapSlice(tables: readonly TableView[], bounds: KeyBounds): Slice {
  let low = 0;
  let high = tables.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(tables[middle]!.largestKey, bounds.smallest) < 0) low = middle + 1;
    else high = middle;
  }
  let to = low;
  while (to < tables.length && compareKeys(tables[to]!.smallestKey, bounds.largest) <= 0) to++;
  return { from: low, to };
}

/** Widens a slice over neighbours that share a user key with it at a border. */
export function widened(tables: readonly TableView[], slice: Slice): Slice {
  let { from, to } = slice;
  if (from === to) return slice;
  while (from > 0 && sharesBorder(tables[from - 1]!, tables[from]!)) from--;
  while (to < tables.length && sharesBorder(tables[to - 1]!, tables[to]!)) to++;
  return { from, to };
}

function sharesBorder(left: TableView, right: TableView): boolean {
  const order = compareKeys(left.largestKey, right.smallestKey);
  return order > 0 || (order === 0 && left.largestIsExclusive !== true);
}

/** Returns the tables of a run that meet `bounds`, and those that share a border key with them. */
export function overlapping(run: RunView | undefined, bounds: KeyBounds): readonly TableView[] {
  if (run === undefined) return [];
  const slice = widened(run.tables, overlapSlice(run.tables, bounds));
  return run.tables.slice(slice.from, slice.to);
}

/** Returns the bytes of all tables of a level that meet `bounds`. */
export function overlapBytes(level: LevelView | undefined, bounds: KeyBounds): number {
  let bytes = 0;
  for (const run of level?.runs ?? []) {
    const { from, to } = overlapSlice(run.tables, bounds);
    for (let i = from; i < to; i++) bytes += run.tables[i]!.bytes;
  }
  return bytes;
}

/** Returns the bytes of some tables. */
export function bytesOf(tables: readonly TableView[]): number {
  let bytes = 0;
  for (const table of tables) bytes += table.bytes;
  return bytes;
}

/** Returns the runs of a level that have tables, in the order of the level. */
export function filledRuns(level: LevelView | undefined): readonly RunView[] {
  return level?.runs.filter((run) => run.tables.length > 0) ?? [];
}
