/**
 * Emptying value segments. Tables that refer to a draining segment are rewritten in place: same
 * run, same sequence numbers; the merge copies the values elsewhere and puts new pointers.
 *
 * The segment with the fewest bytes left goes first, since it is the next one to be unlinked. A
 * batch is a bounded group of neighbours that all refer to draining segments: neighbours, because
 * an output table may span the gap between two inputs. Level 0 comes last, since its tables are
 * about to be merged anyway.
 */
import { isClaimed } from "./claim.ts";
import { drainingBytes, isDraining } from "./draining.ts";
import { isFree, mergeOf, type Plan } from "./planning.ts";
import type { MergeChoice, RunView, TableView } from "./policy.ts";

interface Place {
  readonly level: number;
  readonly run: RunView;
  readonly index: number;
  readonly bytes: number;
}

/** Returns the next relocation; undefined when nothing drains or nothing of it may start now. */
export function chooseRelocation(plan: Plan): MergeChoice | undefined {
  if (plan.view.draining.size === 0) return undefined;
  const bySegment = new Map<number, Place[]>();
  for (const place of drainingPlaces(plan)) {
    const table = place.run.tables[place.index]!;
    for (const { segment, bytes } of table.references) {
      if (!plan.view.draining.has(segment)) continue;
      const places = bySegment.get(segment) ?? [];
      places.push({ ...place, bytes });
      bySegment.set(segment, places);
    }
  }
  const segments = [...bySegment].map(([segment, places]) => {
    return { segment, places, bytes: places.reduce((sum, place) => sum + place.bytes, 0) };
  });
  segments.sort((a, b) => a.bytes - b.bytes || a.segment - b.segment);
  for (const { places } of segments) {
    places.sort((a, b) => Number(a.level === 0) - Number(b.level === 0) || b.bytes - a.bytes);
    for (const place of places) {
      const tables = batchAt(plan, place);
      if (isClaimed(plan.claim, tables, place.level, place.level)) continue;
      return mergeOf(plan, "relocate", [{ level: place.level, tables }], place.level, place.run);
    }
  }
  return undefined;
}

function* drainingPlaces(plan: Plan): Generator<Place> {
  for (const [level, { runs }] of plan.view.levels.entries()) {
    for (const run of runs) {
      for (const [index, table] of run.tables.entries()) {
        if (mayRelocate(plan, table)) yield { level, run, index, bytes: 0 };
      }
    }
  }
}

function mayRelocate(plan: Plan, table: TableView): boolean {
  return isDraining(plan.view, table) && isFree(plan.view, table);
}

/** Returns the bytes that are read for a table: its own and the values to copy. */
function costOf(plan: Plan, table: TableView): number {
  return table.bytes + drainingBytes(plan.view, table);
}

/** Returns the table at `place` and neighbours behind and before it, within the limits. */
function batchAt(plan: Plan, place: Place): readonly TableView[] {
  const { relocateBytesMax, relocateTablesMax } = plan.geometry;
  const { tables } = place.run;
  let from = place.index;
  let to = place.index + 1;
  let bytes = costOf(plan, tables[place.index]!);
  const fits = (table: TableView | undefined): table is TableView =>
    table !== undefined &&
    to - from < relocateTablesMax &&
    bytes + costOf(plan, table) <= relocateBytesMax &&
    mayRelocate(plan, table) &&
    !isClaimed(plan.claim, [table], place.level, place.level);
  for (let next = tables[to]; fits(next); next = tables[to]) {
    bytes += costOf(plan, next);
    to++;
  }
  for (let next = tables[from - 1]; fits(next); next = tables[from - 1]) {
    bytes += costOf(plan, next);
    from--;
  }
  return tables.slice(from, to);
}
