/**
 * Manual compaction: brings a key range down to the deepest level that holds data, so that
 * overwritten versions, deletes and the values they named go.
 *
 * Level by level from the top. A level of one run goes down in steps of bounded size, each published
 * by itself: an end by a signal keeps what was done, and only one step's files exist twice. Several
 * runs of a level that overlap go together. At the end the deepest level is one run in the range.
 *
 * What is flushed after the beginning stays in level 0: a compaction under writes comes to an end.
 */
import { AuraError, compareKeys, hasCode } from "@aura/base";
import type { Compactor } from "./compaction.ts";
import type { Tree } from "./tree.ts";
import type { TableMeta, Version } from "./version.ts";
import { endsBelow, overlaps } from "./version.ts";

/** A range of keys; an open end is undefined. Both ends are inclusive. */
export interface CompactionRange {
  readonly smallest?: Uint8Array;
  readonly largest?: Uint8Array;
}

/**
 * Progress of a manual compaction: bytes of tables merged so far, and those expected in all, which
 * count a table once for each level that it passes. `bytesDone` never falls.
 */
export interface CompactionProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** How a manual compaction is run. */
export interface CompactOptions {
  /** Ends the compaction with AURA_ABORTED; steps that are done stay. */
  readonly signal?: AbortSignal;
  /**
   * Called after each part of a merge, and at the end with `bytesDone` = `bytesTotal`. What it throws
   * ends the compaction behind the step that is under way, and is thrown by it.
   */
  readonly onProgress?: (progress: CompactionProgress) => void;
}

/** A step takes no optional table beyond this many bytes. */
const STEP_BYTES = 512 * 1024 * 1024;

/** Compacts `range` step by step. Precondition: no other compaction runs, none will begin. */
export async function compactRange(
  tree: Tree,
  compactor: Compactor,
  range: CompactionRange,
  options: CompactOptions,
  tableBytesMax: number,
): Promise<void> {
  const { signal, onProgress } = options;
  compactor.dropCovered();
  const bytesTotal = expectedBytes(tree.version, range);
  let bytesDone = 0;
  let thrown: { readonly error: unknown } | undefined;
  // Called where results of jobs are taken in: what a listener throws waits for the end of the step.
  const report = (bytes: number): void => {
    if (thrown !== undefined) return;
    try {
      onProgress?.({ bytesDone: Math.min(bytes, bytesTotal), bytesTotal });
    } catch (error) {
      thrown = { error };
    }
  };
  const merge = async ({ inputs, outputLevel, outputRunId, bytes }: Step): Promise<void> => {
    throwIfAborted(signal);
    const drain = [...compactor.draining];
    const plan = { inputs, outputLevel, outputRunId, tableBytesMax, reason: "manual", drain };
    try {
      await compactor.merge(plan, signal, (share) => report(bytesDone + share * bytes));
    } catch (error) {
      // With the reason of the signal.
      if (hasCode(error, "AURA_ABORTED")) throwIfAborted(signal);
      throw error;
    }
    bytesDone += bytes;
    if (thrown !== undefined) throw thrown.error;
  };
  const { flushedSeq } = tree.version;
  for (;;) {
    throwIfAborted(signal);
    const step = nextStep(tree.version, range, flushedSeq);
    if (step === undefined) break;
    await merge(step);
  }
  for (const step of lastSteps(tree.version, range)) await merge(step);
  report(bytesTotal);
  if (thrown !== undefined) throw (thrown as { readonly error: unknown }).error;
}

interface Step {
  readonly inputs: { level: number; tables: number[] }[];
  readonly outputLevel: number;
  readonly outputRunId: number | undefined;
  readonly bytes: number;
}

/** Throws AURA_ABORTED with the reason of the signal as its cause. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  throw new AuraError("AURA_ABORTED", "compaction aborted", { cause: signal.reason });
}

/** Returns a step; its output joins the first run of its level: all older ones are merged with it. */
function stepOf(
  version: Version,
  inputs: readonly { level: number; tables: readonly TableMeta[] }[],
  outputLevel: number,
): Step {
  const filled = inputs.filter(({ tables }) => tables.length > 0);
  return {
    inputs: filled.map(({ level, tables }) => ({ level, tables: tables.map((t) => t.number) })),
    outputLevel,
    outputRunId: version.levels[outputLevel]!.runs[0]?.id,
    bytes: bytesOf(filled.flatMap(({ tables }) => tables)),
  };
}

function bytesOf(tables: readonly TableMeta[]): number {
  return tables.reduce((sum, table) => sum + table.bytes, 0);
}

/**
 * In the deepest level several runs become one. Of one run, tables that hold deletes, or versions
 * that only snapshots saw, are rewritten once: those snapshots may be gone. Neighbours go together;
 * an output table must not reach over one that stays.
 */
function lastSteps(version: Version, range: CompactionRange): Step[] {
  const level = deepestLevel(version);
  const tables = tablesIn(version, level, range);
  const runs = version.levels[level]!.runs.filter((run) =>
    run.tables.some((table) => tables.includes(table)),
  );
  if (runs.length > 1) return [stepOf(version, [{ level, tables }], level)];
  const groups: TableMeta[][] = [];
  let group: TableMeta[] = [];
  for (const table of runs[0]?.tables ?? []) {
    const marks = table.deleteCount + table.shadowedCount + table.rangeDeleteCount;
    if (tables.includes(table) && marks > 0) {
      if (group.length === 0) groups.push(group);
      group.push(table);
    } else group = [];
  }
  return groups.map((neighbours) => ({
    ...stepOf(version, [{ level, tables: neighbours }], level),
    outputRunId: runs[0]!.id,
  }));
}

/**
 * The shallowest level with data in the range goes down, to the next level that has data; of level 0
 * what was flushed by `flushedSeq`.
 */
function nextStep(version: Version, range: CompactionRange, flushedSeq: number): Step | undefined {
  const deepest = deepestLevel(version);
  for (let level = 0; level < deepest; level++) {
    const own = tablesIn(version, level, range, flushedSeq);
    if (own.length === 0) continue;
    let outputLevel = level + 1;
    while (outputLevel < deepest && version.levels[outputLevel]!.runs.length === 0) outputLevel++;
    const isOneRun = level > 0 && version.levels[level]!.runs.length === 1;
    const { tables, below } = isOneRun
      ? firstOf(version, own, outputLevel)
      : { tables: own, below: tablesIn(version, outputLevel, extentOf(own)) };
    return stepOf(
      version,
      [
        { level, tables },
        { level: outputLevel, tables: below },
      ],
      outputLevel,
    );
  }
  return undefined;
}

/** Level 0 always goes to level 1 or deeper. */
function deepestLevel(version: Version): number {
  return Math.max(
    1,
    version.levels.findLastIndex((level) => level.runs.length > 0),
  );
}

/** Returns the first tables of a run, with what they meet below, that make a step of some size. */
function firstOf(
  version: Version,
  own: readonly TableMeta[],
  outputLevel: number,
): { tables: readonly TableMeta[]; below: readonly TableMeta[] } {
  let tables = own.slice(0, 1);
  let below = tablesIn(version, outputLevel, extentOf(tables));
  for (let count = 2; count <= own.length; count++) {
    const more = own.slice(0, count);
    const belowMore = tablesIn(version, outputLevel, extentOf(more));
    if (bytesOf(more) + bytesOf(belowMore) > STEP_BYTES) break;
    tables = more;
    below = belowMore;
  }
  return { tables, below };
}

/**
 * Tables of a level that meet the range. On level 0 (and any level of several runs) older tables
 * that meet a chosen one come along, so that no version is left above a newer one. Of level 0, only
 * those that were flushed by `flushedSeq`: all older than the others.
 */
function tablesIn(
  version: Version,
  level: number,
  range: CompactionRange,
  flushedSeq: number = Number.POSITIVE_INFINITY,
): TableMeta[] {
  let all = version.levels[level]!.runs.flatMap((run) => run.tables);
  if (level === 0) all = all.filter(({ smallestSeq }) => smallestSeq <= flushedSeq);
  const chosen = new Set(all.filter((table) => meets(table, range)));
  if (version.levels[level]!.runs.length > 1) {
    for (let grown = true; grown; ) {
      grown = false;
      for (const table of all) {
        if (chosen.has(table)) continue;
        for (const other of chosen) {
          if (!overlaps(table, other.smallestKey, other.largestKey)) continue;
          chosen.add(table);
          grown = true;
          break;
        }
      }
    }
  }
  return [...chosen];
}

function meets(table: TableMeta, range: CompactionRange): boolean {
  if (range.smallest !== undefined && endsBelow(table, range.smallest)) return false;
  return range.largest === undefined || compareKeys(table.smallestKey, range.largest) <= 0;
}

function extentOf(tables: readonly TableMeta[]): { smallest: Uint8Array; largest: Uint8Array } {
  let smallest = tables[0]!.smallestKey;
  let largest = tables[0]!.largestKey;
  for (const table of tables) {
    if (compareKeys(table.smallestKey, smallest) < 0) smallest = table.smallestKey;
    if (compareKeys(table.largestKey, largest) > 0) largest = table.largestKey;
  }
  return { smallest, largest };
}

/** Returns the bytes of all steps: what lies in a level is read again on each level below it. */
function expectedBytes(version: Version, range: CompactionRange): number {
  let above = 0;
  let total = 0;
  for (const level of version.levels) {
    let own = 0;
    for (const run of level.runs) {
      for (const table of run.tables) if (meets(table, range)) own += table.bytes;
    }
    if (own === 0) continue;
    if (above > 0) total += above + own;
    above += own;
  }
  return Math.max(total, above);
}
