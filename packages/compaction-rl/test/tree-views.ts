/** Views written by hand: tables as [first key, last key, bytes], runs and levels as lists of them. */
import type { LevelView, RunView, SegmentReference, TableView, TreeView } from "../src/index.ts";

export interface TableOptions {
  readonly deletes?: number;
  readonly rangeDeletes?: number;
  readonly references?: readonly SegmentReference[];
}

const text = (s: string): Uint8Array => new TextEncoder().encode(s);

export function table(
  number: number,
  smallest: string,
  largest: string,
  bytes: number,
  options: TableOptions = {},
): TableView {
  const references = options.references ?? [];
  return {
    number,
    bytes,
    smallestKey: text(smallest),
    largestKey: text(largest),
    smallestSeq: 1,
    largestSeq: 1000,
    entryCount: 100,
    deleteCount: options.deletes ?? 0,
    rangeDeleteCount: options.rangeDeletes ?? 0,
    references,
    referencedBytes: references.reduce((sum, reference) => sum + reference.bytes, 0),
  };
}

let nextRun = 1;

export function run(...tables: readonly TableView[]): RunView {
  return { id: nextRun++, tables };
}

export function level(...runs: readonly RunView[]): LevelView {
  return { runs };
}

export function tree(
  levels: readonly LevelView[],
  busy: readonly number[] = [],
  draining: readonly number[] = [],
): TreeView {
  return { levels, flushBytes: 0, busy: new Set(busy), draining: new Set(draining) };
}

/** A reference to `bytes` of values in a segment. */
export function refersTo(segment: number, bytes: number): SegmentReference {
  return { segment, bytes, count: 1 };
}
