/**
 * What a level does with tables that come to it from above: which run takes them, and which of its
 * own tables have to be merged with them (shape.ts has the rule).
 */
import { compareKeys } from "@aura/base";
import { boundsOf, filledRuns, type KeyBounds, overlapping, overlapSlice } from "./overlap.ts";
import type { Plan } from "./planning.ts";
import type { RunView, TableView } from "./policy.ts";
import { receptionOf } from "./shape.ts";

/** A level that takes tables. */
export interface Receiver {
  readonly level: number;
  /** The run that gets the output; undefined: a new one, before the others. */
  readonly run: RunView | undefined;
  /** The runs whose tables are merged with what arrives, new to old; `run` is the last of them. */
  readonly merged: readonly RunView[];
}

/** Returns how `level` takes what comes from above. */
export function receiverOf(plan: Plan, level: number): Receiver {
  const levelView = plan.view.levels[level];
  const reception = receptionOf(plan.shape, plan.targets, level, levelView);
  if (reception === "new") return { level, run: undefined, merged: [] };
  if (reception === "active") {
    const run = levelView!.runs[0]!;
    return { level, run, merged: [run] };
  }
  const merged = filledRuns(levelView);
  return { level, run: merged.at(-1), merged };
}

/**
 * Returns the tables that have to be merged with arrivals in `bounds`. A table of a newer run may
 * reach beyond them: then whatever an older run has there comes along, since the output goes to the
 * oldest run, and nothing may sink below an older version.
 */
export function receivedWith(receiver: Receiver, bounds: KeyBounds): readonly TableView[] {
  const tables: TableView[] = [];
  let wide = bounds;
  for (const run of receiver.merged) {
    const met = overlapping(run, wide);
    if (met.length === 0) continue;
    tables.push(...met);
    wide = hull(wide, boundsOf(met));
  }
  return tables;
}

/** Returns the last level that a merge into the receiver touches: a new run disturbs no other. */
export function touchedLevel(receiver: Receiver): number {
  return receiver.run === undefined ? receiver.level - 1 : receiver.level;
}

/** Returns for each table of a run, which is in key order, the bytes that it meets in the receiver. */
export function metBytes(receiver: Receiver, tables: readonly TableView[]): number[] {
  return tables.map((table) => {
    const bounds = { smallest: table.smallestKey, largest: table.largestKey };
    let bytes = 0;
    for (const run of receiver.merged) {
      const { from, to } = overlapSlice(run.tables, bounds);
      for (let i = from; i < to; i++) bytes += run.tables[i]!.bytes;
    }
    return bytes;
  });
}

function hull(a: KeyBounds, b: KeyBounds): KeyBounds {
  return {
    smallest: compareKeys(a.smallest, b.smallest) <= 0 ? a.smallest : b.smallest,
    largest: compareKeys(a.largest, b.largest) >= 0 ? a.largest : b.largest,
  };
}
