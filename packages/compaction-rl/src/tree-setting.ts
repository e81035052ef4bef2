/**
 * What an agent chooses among: a trigger of level 0 out of {2, 4, 8, 12}, and for each level that holds
 * data K out of {1, 2, 3, fanout - 1}. K = 2 has half of what can be saved at all, for one run more, so
 * values between are not worth telling apart.
 */
import type { TreeGeometry } from "./settings.ts";
import { modeShape, reshaped, runsMax, type TreeShape } from "./shape.ts";

/** A point of the space that is searched: levels count from the base level of a profile. */
export interface TreeSetting {
  readonly trigger: number;
  readonly runs: readonly number[];
}

/** Values that may be chosen, ascending. */
export interface Choices {
  readonly triggers: readonly number[];
  readonly runs: readonly number[];
}

const TRIGGERS: readonly number[] = [2, 4, 8, 12];

/** Returns the values that agents choose among in a tree of this geometry. */
export function choicesOf(geometry: Pick<TreeGeometry, "fanout">): Choices {
  const tiered = modeShape("tiered", { fanout: geometry.fanout, levelCount: 2 }, 1).levels[0]!.runs;
  const runs = [...new Set([1, 2, 3, tiered])].filter((k) => k <= tiered).sort((a, b) => a - b);
  return { triggers: TRIGGERS, runs };
}

/** Returns the index of the value nearest to `value`, by ratio. */
export function nearestIndex(values: readonly number[], value: number): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (apart(values[i]!, value) < apart(values[best]!, value)) best = i;
  }
  return best;
}

function apart(a: number, b: number): number {
  return Math.abs(Math.log(a / b));
}

/** Returns what a shape means for the levels of a profile, as it is: maybe between the choices. */
export function settingOf(shape: TreeShape, base: number, count: number): TreeSetting {
  const runs = Array.from({ length: count }, (_, i) => runsMax(shape, base + i));
  return { trigger: shape.l0Trigger, runs };
}

/**
 * Returns `shape` with a setting in place. Levels above the base get its K, so that a tree that grows
 * a level keeps what was chosen for the top; levels below the last one get the last one's. With `isEager`
 * runs beyond it are merged at once.
 */
export function shapedAs(
  shape: TreeShape,
  setting: TreeSetting,
  base: number,
  levelCount: number,
  isEager: boolean,
): TreeShape {
  const last = base + setting.runs.length - 1;
  const levels = Array.from({ length: Math.max(last, levelCount - 1) }, (_, i) => {
    const level = i + 1;
    const runs = setting.runs[Math.min(Math.max(level - base, 0), setting.runs.length - 1)]!;
    const filterBits = shape.levels[Math.min(i, shape.levels.length - 1)]!.filterBits;
    return filterBits === undefined ? { runs } : { runs, filterBits };
  });
  return reshaped(shape, { l0Trigger: setting.trigger, levels, isEager });
}

/** Returns a shape good enough to ask the cost model about: not checked, not frozen. */
export function sketchOf(setting: TreeSetting, base: number): TreeShape {
  const levels: { runs: number }[] = [];
  for (let level = 1; level < base; level++) levels.push({ runs: 1 });
  for (const runs of setting.runs) levels.push({ runs });
  return { name: "custom", l0Trigger: setting.trigger, levels };
}

/** Returns whether two settings are the same. */
export function isSame(a: TreeSetting, b: TreeSetting): boolean {
  return (
    a.trigger === b.trigger &&
    a.runs.length === b.runs.length &&
    a.runs.every((k, i) => k === b.runs[i])
  );
}

/** Returns a setting in a few letters: `t4 k1,3,1`. */
export function settingText({ trigger, runs }: TreeSetting): string {
  return `t${trigger} k${runs.join(",")}`;
}
