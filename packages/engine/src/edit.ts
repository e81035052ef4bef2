/**
 * Version edits: what changed from one version to the next, as a value, and how it is applied.
 * The bytes of an edit are in edit-format.ts and docs/formats/manifest.md.
 */
import { AuraError, assert, compareKeys } from "@aura/base";
import type { Level, Run, SegmentKind, SegmentMeta, TableMeta } from "./version.ts";
import { endsBelow, LEVEL_COUNT_MAX, Version } from "./version.ts";

/** A table that joins a run. */
export interface TableAddition {
  readonly level: number;
  /** Run to join; a run id that the level does not have yet makes a new run in front (newest). */
  readonly run: number;
  readonly table: TableMeta;
}

/** A table that leaves the tree. */
export interface TableRemoval {
  readonly level: number;
  readonly number: number;
}

/** Growth of a segment's counters. A number not known yet makes a new segment of this kind. */
export interface SegmentChange {
  readonly number: number;
  readonly kind: SegmentKind;
  readonly totalCount: number;
  readonly totalBytes: number;
  readonly deadCount: number;
  readonly deadBytes: number;
}

/** A segment that was sealed: its file size and, for a log with values, its last sequence number. */
export interface SegmentSeal {
  readonly number: number;
  readonly fileBytes: number;
  readonly lastSeq: number;
}

/** How far a log of an earlier process is valid; fixed when recovery has read it. */
export interface LogValidity {
  readonly number: number;
  readonly kind: "wal" | "vlog";
  readonly validBytes: number;
  readonly lastSeq: number;
}

/** Sequence numbers that no operation has: rejected or lost groups. Both ends inclusive. */
export interface VoidRange {
  readonly first: number;
  readonly last: number;
}

/** Files and lengths at a clean close. */
export interface CleanClose {
  readonly lastSeq: number;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

/** One change of the tree and of what recovery must know. All parts are optional but the counters. */
export interface VersionEdit {
  /** The next free file number when the edit was made. */
  readonly nextNumber: number;
  /** The highest sequence number given when the edit was made. */
  readonly lastSeq: number;
  readonly flushedSeq?: number;
  readonly added?: readonly TableAddition[];
  readonly removed?: readonly TableRemoval[];
  readonly segmentChanges?: readonly SegmentChange[];
  readonly segmentSeals?: readonly SegmentSeal[];
  readonly segmentsRemoved?: readonly number[];
  readonly logs?: readonly LogValidity[];
  /** Logs with a lower number count only if they are listed: a removal may not have been durable. */
  readonly logFloor?: number;
  readonly voids?: readonly VoidRange[];
  readonly clean?: CleanClose;
  /** A sync failed: the kernel may have dropped pages, so that an equal boot id says nothing. */
  readonly syncFailed?: boolean;
}

/**
 * Returns the version after `edit`. Throws (assertion) when the edit does not fit the version;
 * AURA_CORRUPTION when more values of a segment die than it ever held.
 */
export function applyEdit(version: Version, edit: VersionEdit): Version {
  const levels: Level[] = version.levels.slice();
  const touched = new Map<number, Map<number, TableMeta[]>>();
  const runsOf = (level: number): Map<number, TableMeta[]> => {
    assert(level >= 0 && level < LEVEL_COUNT_MAX, `level ${level} out of range`);
    let runs = touched.get(level);
    if (runs === undefined) {
      runs = new Map();
      for (const run of levels[level]!.runs) runs.set(run.id, run.tables.slice());
      touched.set(level, runs);
    }
    return runs;
  };
  for (const removal of edit.removed ?? []) removeTable(runsOf(removal.level), removal);
  const newRuns = new Map<number, number[]>();
  for (const addition of edit.added ?? []) {
    const runs = runsOf(addition.level);
    const tables = runs.get(addition.run);
    if (tables !== undefined) {
      tables.push(addition.table);
      continue;
    }
    runs.set(addition.run, [addition.table]);
    const fresh = newRuns.get(addition.level) ?? [];
    fresh.push(addition.run);
    newRuns.set(addition.level, fresh);
  }
  for (const [level, runs] of touched) {
    levels[level] = { runs: rebuildRuns(levels[level]!, runs, newRuns.get(level) ?? []) };
  }
  return new Version(
    version.id + 1,
    levels,
    applySegments(version.segments, edit),
    edit.flushedSeq ?? version.flushedSeq,
  );
}

function removeTable(runs: Map<number, TableMeta[]>, removal: TableRemoval): void {
  for (const tables of runs.values()) {
    const index = tables.findIndex((table) => table.number === removal.number);
    if (index < 0) continue;
    tables.splice(index, 1);
    return;
  }
  assert(false, `edit removes table ${removal.number}, which level ${removal.level} does not have`);
}

function rebuildRuns(
  before: Level,
  runs: ReadonlyMap<number, TableMeta[]>,
  newRuns: readonly number[],
): Run[] {
  const order = [...newRuns.toReversed(), ...before.runs.map((run) => run.id)];
  const result: Run[] = [];
  for (const id of order) {
    const tables = runs.get(id)!;
    if (tables.length === 0) continue;
    tables.sort((a, b) => compareKeys(a.smallestKey, b.smallestKey));
    for (let i = 1; i < tables.length; i++) {
      assert(
        endsBelow(tables[i - 1]!, tables[i]!.smallestKey),
        `tables ${tables[i - 1]!.number} and ${tables[i]!.number} of run ${id} share keys`,
      );
    }
    result.push({ id, tables });
  }
  return result;
}

function applySegments(
  before: ReadonlyMap<number, SegmentMeta>,
  edit: VersionEdit,
): ReadonlyMap<number, SegmentMeta> {
  const changes = edit.segmentChanges ?? [];
  const seals = edit.segmentSeals ?? [];
  const removed = edit.segmentsRemoved ?? [];
  if (changes.length + seals.length + removed.length === 0) return before;
  const segments = new Map(before);
  for (const change of changes) {
    const old = segments.get(change.number);
    const next: SegmentMeta = {
      number: change.number,
      kind: change.kind,
      totalCount: (old?.totalCount ?? 0) + change.totalCount,
      totalBytes: (old?.totalBytes ?? 0) + change.totalBytes,
      deadCount: (old?.deadCount ?? 0) + change.deadCount,
      deadBytes: (old?.deadBytes ?? 0) + change.deadBytes,
      fileBytes: old?.fileBytes ?? 0,
      lastSeq: old?.lastSeq ?? Number.MAX_SAFE_INTEGER,
    };
    if (next.deadCount > next.totalCount || next.deadBytes > next.totalBytes) {
      // Both are sums of what stands on the disk, in the manifest and in tables.
      const what = `segment ${change.number}: more dead than there ever was`;
      throw new AuraError("AURA_CORRUPTION", what);
    }
    segments.set(change.number, next);
  }
  for (const seal of seals) {
    const old = segments.get(seal.number);
    if (old === undefined) continue;
    segments.set(seal.number, { ...old, fileBytes: seal.fileBytes, lastSeq: seal.lastSeq });
  }
  for (const number of removed) segments.delete(number);
  return segments;
}

/** Returns one edit that builds `version` from an empty tree. */
export function snapshotEdit(
  version: Version,
  counters: Pick<VersionEdit, "nextNumber" | "lastSeq" | "logs" | "logFloor" | "voids">,
): VersionEdit {
  const added: TableAddition[] = [];
  version.levels.forEach((level, index) => {
    // Oldest run first: each new run goes in front of the ones before it.
    for (const run of level.runs.toReversed()) {
      for (const table of run.tables) added.push({ level: index, run: run.id, table });
    }
  });
  const segments = [...version.segments.values()];
  return {
    ...counters,
    flushedSeq: version.flushedSeq,
    added,
    segmentChanges: segments,
    segmentSeals: segments.filter((segment) => segment.fileBytes > 0),
  };
}
