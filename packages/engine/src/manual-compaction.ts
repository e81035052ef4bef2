/**
 * Manual compaction: brings a key range down to the deepest level that holds data, level by level,
 * so that overwritten versions, deletes and the values they named go.
 */
import { AuraError, compareKeys } from "@aura/base";
import type { Compactor } from "./compaction.ts";
import type { Tree } from "./tree.ts";
import type { TableMeta, Version } from "./version.ts";
import { overlaps } from "./version.ts";

/** A range of keys; an open end is undefined. Both ends are inclusive. */
export interface CompactionRange {
  readonly smallest?: Uint8Array;
  readonly largest?: Uint8Array;
}

/** Progress of a manual compaction. */
export interface CompactionProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

/** How a manual compaction is run. */
export interface CompactOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CompactionProgress) => void;
}

/** Compacts `range` step by step. Precondition: no other compaction runs, none will begin. */
export async function compactRange(
  tree: Tree,
  compactor: Compactor,
  range: CompactionRange,
  options: CompactOptions,
  tableBytesMax: number,
): Promise<void> {
  const bytesTotal = bytesIn(tree.version, range);
  const merge = ({ inputs, outputLevel }: Step): Promise<void> =>
    compactor.merge({
      inputs,
      outputLevel,
      outputRunId: tree.version.levels[outputLevel]!.runs[0]?.id,
      tableBytesMax,
      reason: "manual",
      drain: [...compactor.draining],
    });
  let bytesDone = 0;
  for (;;) {
    if (options.signal?.aborted) {
      throw new AuraError("AURA_ABORTED", "compaction aborted", { cause: options.signal.reason });
    }
    const step = nextStep(tree.version, range);
    if (step === undefined) break;
    await merge(step);
    bytesDone += step.bytes;
    options.onProgress?.({ bytesDone: Math.min(bytesDone, bytesTotal), bytesTotal });
  }
  const last = lastStep(tree.version, range);
  if (last !== undefined) await merge(last);
  options.onProgress?.({ bytesDone: bytesTotal, bytesTotal });
}

interface Step {
  readonly inputs: { level: number; tables: number[] }[];
  readonly outputLevel: number;
  readonly bytes: number;
}

/**
 * Tables of the deepest level that hold deletes, or versions that only snapshots saw, are rewritten
 * once: those snapshots may be gone. With them go the tables in between: what is written has no gap
 * where those stand.
 */
function lastStep(version: Version, range: CompactionRange): Step | undefined {
  const level = version.levels.findLastIndex(({ runs }) => runs.length > 0);
  if (level < 1 || version.levels[level]!.runs.length > 1) return undefined;
  const isDue = (table: TableMeta): boolean => table.deleteCount + table.shadowedCount > 0;
  const all = tablesIn(version, level, range);
  const tables = all.slice(all.findIndex(isDue), all.findLastIndex(isDue) + 1);
  if (tables.length === 0) return undefined;
  return {
    inputs: [{ level, tables: tables.map((table) => table.number) }],
    outputLevel: level,
    bytes: tables.reduce((sum, table) => sum + table.bytes, 0),
  };
}

/**
 * The shallowest level with data in the range goes down: to the next level that has data, or, when
 * nothing lies below, one level if it has several runs (level 0 always goes to level 1 or deeper).
 */
function nextStep(version: Version, range: CompactionRange): Step | undefined {
  const deepest = Math.max(
    1,
    version.levels.findLastIndex((level) => level.runs.length > 0),
  );
  for (let level = 0; level < deepest; level++) {
    const own = tablesIn(version, level, range);
    if (own.length === 0) continue;
    let outputLevel = level + 1;
    while (outputLevel < deepest && version.levels[outputLevel]!.runs.length === 0) outputLevel++;
    const below = tablesIn(version, outputLevel, extentOf(own));
    const inputs = [{ level, tables: own.map((table) => table.number) }];
    if (below.length > 0) {
      inputs.push({ level: outputLevel, tables: below.map((table) => table.number) });
    }
    return { inputs, outputLevel, bytes: [...own, ...below].reduce((sum, t) => sum + t.bytes, 0) };
  }
  return undefined;
}

/**
 * Tables of a level that meet the range. On level 0 (and any level of several runs) older tables
 * that meet a chosen one come along, so that no version is left above a newer one.
 */
function tablesIn(version: Version, level: number, range: CompactionRange): TableMeta[] {
  const all = version.levels[level]!.runs.flatMap((run) => run.tables);
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
  if (range.smallest !== undefined && compareKeys(table.largestKey, range.smallest) < 0)
    return false;
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

function bytesIn(version: Version, range: CompactionRange): number {
  let bytes = 0;
  for (const table of version.tables()) if (meets(table, range)) bytes += table.bytes;
  return bytes;
}
