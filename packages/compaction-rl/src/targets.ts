/**
 * How large levels are, and how large they should be.
 *
 * Static sizes: level 1 has `baseLevelBytes`, each further one `fanout` times as much.
 *
 * Dynamic sizes start from the largest level: it stands for the last one, each level above is
 * `fanout` times smaller, and the first whose size is at most `baseLevelBytes` is the base level,
 * where level 0 is merged to; levels above the base are empty. Up to four times that size the last
 * level is the base itself: a level between the two costs what it holds at every merge of level 0,
 * and saves little while the last level is a few times what arrives at once. The base never lies below a level
 * that has tables. No target is smaller than `baseLevelBytes`, or a nearly empty level would be
 * emptied again and again. The last level is never over its target.
 */
import type { LevelView, TreeView } from "./policy.ts";
import type { TreeGeometry } from "./settings.ts";

/** From so many times `baseLevelBytes` on the last level has another one above it. */
const ONE_LEVEL_BASES = 4;

/** Target sizes of a tree. */
export interface LevelTargets {
  /** The level that level 0 is merged to. */
  readonly base: number;
  /** Where data ends up; nothing is merged below it. */
  readonly last: number;
  /** Target bytes by level; 0 for level 0, which is measured in runs, and above the base. */
  readonly bytes: readonly number[];
}

/** Returns the bytes of a level, busy tables included. */
export function levelBytes(level: LevelView | undefined): number {
  let bytes = 0;
  for (const run of level?.runs ?? []) {
    for (const table of run.tables) bytes += table.bytes;
  }
  return bytes;
}

/** Returns the target sizes for the tree as it is. */
export function levelTargets(view: TreeView, geometry: TreeGeometry): LevelTargets {
  return targetsOf(view.levels.map(levelBytes), geometry);
}

/** Returns the target sizes for a tree whose levels have so many bytes, from level 0 on. */
export function targetsOf(levels: readonly number[], geometry: TreeGeometry): LevelTargets {
  const last = Math.max(geometry.levelCount, levels.length) - 1;
  const sizes = Array.from({ length: last + 1 }, (_, level) => levels[level] ?? 0);
  const { base, baseBytes } = geometry.dynamicLevelBytes
    ? dynamicBase(sizes, geometry)
    : { base: 1, baseBytes: geometry.baseLevelBytes };
  const bytes = sizes.map(() => 0);
  let target = baseBytes;
  for (let level = base; level <= last; level++) {
    bytes[level] = Math.max(target, geometry.baseLevelBytes);
    target *= geometry.fanout;
  }
  bytes[last] = Math.max(bytes[last]!, sizes[last]!);
  return { base, last, bytes };
}

function dynamicBase(
  sizes: readonly number[],
  geometry: TreeGeometry,
): { base: number; baseBytes: number } {
  const last = sizes.length - 1;
  const firstFilled = sizes.findIndex((bytes, level) => level > 0 && bytes > 0);
  if (firstFilled < 0) return { base: last, baseBytes: geometry.baseLevelBytes };
  let size = Math.max(...sizes.slice(1));
  let base = last;
  while (base > firstFilled) {
    size /= geometry.fanout;
    base--;
  }
  const { baseLevelBytes } = geometry;
  while (base > 1 && size > (base === last ? ONE_LEVEL_BASES : 1) * baseLevelBytes) {
    size /= geometry.fanout;
    base--;
  }
  return { base, baseBytes: Math.min(size, baseLevelBytes) };
}

/** Returns where output tables of a level are cut: about 32 tables fill it, within the bounds. */
export function tableBytesFor(targetBytes: number, geometry: TreeGeometry): number {
  const bytes = Math.floor(targetBytes / 32);
  return Math.min(geometry.tableBytesMax, Math.max(geometry.tableBytesMin, bytes));
}
