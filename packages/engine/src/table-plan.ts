/**
 * How the tables of a level are written: filter and its bits, size of blocks. Pure: it depends on
 * the settings, the tree, and what is about to be written, so a level's tables follow the shape of
 * the tree at the pace of its merges, and no table is written anew for its filter.
 */
import type { TreeShape } from "@aura/compaction-rl";
import { FilterKind } from "@aura/sst";
import { allocateFilterBits, type FilterLevel } from "./filter-allocation.ts";
import type { ResolvedSettings } from "./settings.ts";
import type { Version } from "./version.ts";

/** What is about to be written. */
export interface OutputTarget {
  readonly level: number;
  /** Entries that go there, at most. */
  readonly entries: number;
  /** Entries that leave each level for it, by level; a level beyond the end gives none. */
  readonly taken?: readonly number[];
}

/** What the plan says of one table. */
export interface TablePlan {
  readonly blockBytes: number;
  readonly filter: FilterKind;
  readonly bloomBitsPerKey: number;
  readonly prefixBytes: number;
}

/**
 * Returns how tables for `target`, or for nobody knows what, are written into a tree of this version. Bits
 * that `shape` names for a level come before those of the settings.
 */
export function planTable(
  settings: Pick<ResolvedSettings, "table" | "compaction">,
  version: Version,
  target: OutputTarget | undefined,
  shape?: TreeShape,
): TablePlan {
  const { table } = settings;
  return {
    blockBytes: blockBytesOf(table.blockSize, target?.level ?? 0),
    filter: filterOf(table.filter, version, target?.level ?? 0),
    bloomBitsPerKey:
      shapedBits(shape, target) ??
      (table.filterAllocation === "uniform" || target === undefined
        ? table.bloomBitsPerKey
        : bitsOf(settings, version, target, shape)),
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

/** Returns the bits that a shape names for a level; it names none for level 0. */
function shapedBits(
  shape: TreeShape | undefined,
  target: OutputTarget | undefined,
): number | undefined {
  if (shape === undefined || target === undefined || target.level === 0) return undefined;
  return shape.levels[Math.min(target.level, shape.levels.length) - 1]!.filterBits;
}

function bitsOf(
  { table, compaction }: Pick<ResolvedSettings, "table" | "compaction">,
  version: Version,
  target: OutputTarget,
  shape: TreeShape | undefined,
): number {
  const l0Trigger = shape?.l0Trigger ?? compaction.l0Trigger;
  const levels: FilterLevel[] = version.levels.map(({ runs }, level) => {
    let entries = 0;
    for (const run of runs) for (const one of run.tables) entries += one.entryCount;
    // They are counted where they go.
    if (level !== target.level) entries = Math.max(0, entries - (target.taken?.[level] ?? 0));
    let runCount = runs.length;
    if (level === 0 && target.level === 0) {
      // Level 0 comes and goes: what counts is how it is when a merge takes it.
      runCount = Math.max(runCount + 1, l0Trigger);
      entries = Math.max(entries + target.entries, target.entries * l0Trigger);
    } else if (level === target.level) entries = Math.max(entries, target.entries);
    return { entries, runs: runCount };
  });
  return allocateFilterBits(levels, table.bloomBitsPerKey)[target.level]!;
}
