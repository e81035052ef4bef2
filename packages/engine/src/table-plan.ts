/**
 * How the tables of a level are written: filter and its bits, size of blocks. Pure: it depends on
 * the settings, the tree, and what is about to be written, so a level's tables follow the shape of
 * the tree at the pace of its merges, and no table is written anew for its filter.
 */
import { FilterKind } from "@aura/sst";
import { allocateFilterBits, type FilterLevel } from "./filter-allocation.ts";
import type { ResolvedSettings } from "./settings.ts";
import type { Version } from "./version.ts";

/** What is about to be written. */
export interface OutputTarget {
  readonly level: number;
  /** Entries that go there, at most. */
  readonly entries: number;
}

/** What the plan says of one table. */
export interface TablePlan {
  readonly blockBytes: number;
  readonly filter: FilterKind;
  readonly bloomBitsPerKey: number;
  readonly prefixBytes: number;
}

/** Returns how tables for `target`, or for nobody knows what, are written into a tree of this version. */
export function planTable(
  settings: Pick<ResolvedSettings, "table" | "compaction">,
  version: Version,
  target: OutputTarget | undefined,
): TablePlan {
  const { table } = settings;
  return {
    blockBytes: blockBytesOf(table.blockSize, target?.level ?? 0),
    filter: filterOf(table.filter, version, target?.level ?? 0),
    bloomBitsPerKey:
      table.filterAllocation === "uniform" || target === undefined
        ? table.bloomBitsPerKey
        : bitsOf(settings, version, target),
    prefixBytes: table.prefixBytes,
  };
}

/** Returns the size of blocks in a level; deeper levels than are named have that of the last one. */
function blockBytesOf(blockSize: number | readonly number[], level: number): number {
  if (typeof blockSize === "number") return blockSize;
  return blockSize[Math.min(level, blockSize.length - 1)]!;
}

function filterOf(
  setting: ResolvedSettings["table"]["filter"],
  version: Version,
  level: number,
): FilterKind {
  if (setting !== "by-level") return FilterKind[setting];
  const isDeepest = version.levels.every(({ runs }, i) => i <= level || runs.length === 0);
  return level > 0 && isDeepest ? FilterKind.ribbon : FilterKind.bloom;
}

function bitsOf(
  { table, compaction }: Pick<ResolvedSettings, "table" | "compaction">,
  version: Version,
  target: OutputTarget,
): number {
  const levels: FilterLevel[] = version.levels.map(({ runs }, level) => {
    let entries = 0;
    for (const run of runs) for (const one of run.tables) entries += one.entryCount;
    let runCount = runs.length;
    if (level === 0 && target.level === 0) {
      // Level 0 comes and goes: what counts is how it is when a merge takes it.
      runCount = Math.max(runCount + 1, compaction.l0Trigger);
      entries = Math.max(entries + target.entries, target.entries * compaction.l0Trigger);
    } else if (level === target.level) entries = Math.max(entries, target.entries);
    return { entries, runs: runCount };
  });
  return allocateFilterBits(levels, table.bloomBitsPerKey)[target.level]!;
}
