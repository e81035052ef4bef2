/**
 * Tables that lie wholly under newer range tombstones: nobody can see an entry of them, so they leave
 * the tree by an edit, unread.
 *
 * A table goes when the tombstones of one run cover its bounds without a gap, each with a sequence
 * number above all of the table's, and no open snapshot lies between the table's lowest number and
 * the tombstone's: whoever sees any of its entries sees the tombstone too. What the table itself
 * hides lies under the same tombstones. They stay until a merge finds nothing under them.
 *
 * Looked at when the tree or the snapshots have changed: new tables against all tombstones, all
 * tables against new tombstones.
 */
import { compareKeys } from "@aura/base";
import type { RangeFragments } from "@aura/sst";
import type { SegmentChange } from "./edit.ts";
import { stratumOf } from "./range-fragmenter.ts";
import type { TreeChange } from "./tree.ts";
import { overlaps, type Run, type TableMeta, tableIndexFor, type Version } from "./version.ts";

/** A run with range tombstones, and the highest sequence number of a table that has some. */
interface RangedRun {
  readonly run: Run;
  readonly seqMax: number;
}

/** Finds covered tables. */
export class CoveredTables {
  readonly #read: (table: TableMeta) => RangeFragments | undefined;
  readonly #ranges = new Map<TableMeta, RangeFragments | undefined>();
  #version: Version | undefined;
  #checked: ReadonlySet<TableMeta> = new Set();
  #snapshots: readonly number[] = [];

  /** `read` returns the range tombstones of a table. What it throws leaves the table out. */
  constructor(read: (table: TableMeta) => RangeFragments | undefined) {
    this.#read = read;
  }

  /** Returns the edit that drops what is covered and not busy; undefined when nothing is. */
  find(
    version: Version,
    snapshots: readonly number[],
    busy: ReadonlySet<number>,
  ): TreeChange | undefined {
    if (!version.hasRangeDeletes) return undefined;
    const isSame = snapshots.length === this.#snapshots.length;
    if (!isSame || snapshots.some((seq, i) => seq !== this.#snapshots[i])) {
      this.#snapshots = snapshots;
      this.#checked = new Set();
    } else if (version === this.#version) return undefined;
    this.#version = version;
    const ranged = rangedRuns(version);
    const checked = new Set<TableMeta>();
    const fresh = [...version.tables()].filter(
      (table) => table.rangeDeleteCount > 0 && !this.#checked.has(table),
    );
    const removed: { level: number; number: number }[] = [];
    const dropped: TableMeta[] = [];
    for (const [level, { runs }] of version.levels.entries()) {
      for (const run of runs) {
        for (const table of run.tables) {
          if (busy.has(table.number)) continue;
          checked.add(table);
          if (this.#checked.has(table) && !fresh.some((other) => meet(other, table))) continue;
          if (!ranged.some((other) => this.#covers(other, table))) continue;
          removed.push({ level, number: table.number });
          dropped.push(table);
        }
      }
    }
    this.#checked = checked;
    for (const table of this.#ranges.keys()) {
      if (!ranged.some(({ run }) => run.tables.includes(table))) this.#ranges.delete(table);
    }
    if (removed.length === 0) return undefined;
    return { removed, segmentChanges: deadReferences(version, dropped) };
  }

  #covers({ run, seqMax }: RangedRun, table: TableMeta): boolean {
    if (seqMax <= table.largestSeq || run.tables.includes(table)) return false;
    const stratum = stratumOf(this.#snapshots, table.smallestSeq);
    const isCovering = (seq: number): boolean =>
      seq > table.largestSeq && stratumOf(this.#snapshots, seq) === stratum;
    const { smallestKey, largestKey, largestIsExclusive } = table;
    let at = smallestKey;
    let index = tableIndexFor(run.tables, at, 0, at.length);
    for (; index < run.tables.length; index++) {
      const ranges = this.#rangesOf(run.tables[index]!);
      if (ranges === undefined) return false;
      for (let i = ranges.indexFor(at, 0, at.length); i < ranges.count; i++) {
        if (compareKeys(ranges.starts[i]!, at) > 0 || !ranges.seqs[i]!.some(isCovering))
          return false;
        at = ranges.ends[i]!;
        const order = compareKeys(at, largestKey);
        if (order > 0 || (order === 0 && largestIsExclusive)) return true;
      }
    }
    return false;
  }

  #rangesOf(table: TableMeta): RangeFragments | undefined {
    if (table.rangeDeleteCount === 0) return undefined;
    if (!this.#ranges.has(table)) this.#ranges.set(table, this.#tryRead(table));
    return this.#ranges.get(table);
  }

  #tryRead(table: TableMeta): RangeFragments | undefined {
    try {
      return this.#read(table);
    } catch {
      // Whoever reads the table is told.
      return undefined;
    }
  }
}

function rangedRuns(version: Version): RangedRun[] {
  const ranged: RangedRun[] = [];
  for (const { runs } of version.levels) {
    for (const run of runs) {
      let seqMax = -1;
      for (const { rangeDeleteCount, largestSeq } of run.tables) {
        if (rangeDeleteCount > 0) seqMax = Math.max(seqMax, largestSeq);
      }
      if (seqMax >= 0) ranged.push({ run, seqMax });
    }
  }
  return ranged;
}

function meet(a: TableMeta, b: TableMeta): boolean {
  return overlaps(a, b.smallestKey, b.largestKey);
}

/** Returns what the tables refer to, as records that are dead. */
function deadReferences(version: Version, tables: readonly TableMeta[]): SegmentChange[] {
  const dead = new Map<number, { count: number; bytes: number }>();
  for (const { references } of tables) {
    for (const { segment, count, bytes } of references) {
      const sum = dead.get(segment) ?? { count: 0, bytes: 0 };
      dead.set(segment, { count: sum.count + count, bytes: sum.bytes + bytes });
    }
  }
  return [...dead].map(([number, { count, bytes }]) => ({
    number,
    kind: version.segments.get(number)!.kind,
    totalCount: 0,
    totalBytes: 0,
    deadCount: count,
    deadBytes: bytes,
  }));
}
