/**
 * What a shape says beside runs and trigger: filter bits of levels, and the threshold of separation. Which
 * others may be worth a trial, and what the cost model says of them.
 */
import { answerFor } from "./closed-form.ts";
import type { CostQuestion } from "./cost-model.ts";
import { filterSplit } from "./filter-split.ts";
import { reshaped, type TreeShape } from "./shape.ts";
import type { TreeSetting } from "./tree-setting.ts";
import { bucketOf, THRESHOLD_MAX, THRESHOLD_MIN, withThreshold } from "./value-model.ts";

/** A change of one of them. */
export interface Tuning {
  /** Bits per key by level of the profile; undefined: as they are. */
  readonly filterBits?: readonly number[];
  readonly threshold?: number;
}

/** Something that may be better, and what it saves, as a share of all seconds. */
export interface Candidate {
  readonly tuning: Tuning;
  readonly text: string;
  readonly gain: number;
}

/** Returns a shape with a change in place. */
export function tuned(shape: TreeShape, tuning: Tuning, base: number, count: number): TreeShape {
  const { filterBits, threshold } = tuning;
  let next = shape;
  if (threshold !== undefined) next = reshaped(next, { separationThreshold: threshold });
  if (filterBits === undefined) return next;
  const all = Array.from({ length: Math.max(base + count - 1, shape.levels.length) }, (_, i) => {
    const { runs, filterBits: bits } = shape.levels[Math.min(i, shape.levels.length - 1)]!;
    const own = filterBits[i + 1 - base] ?? bits;
    return own === undefined ? { runs } : { runs, filterBits: own };
  });
  return reshaped(next, { levels: all });
}

/** Returns whether two shapes ask for the same, whatever they are called. */
export function isSameShape(a: TreeShape, b: TreeShape): boolean {
  if (a.l0Trigger !== b.l0Trigger || a.separationThreshold !== b.separationThreshold) return false;
  if ((a.isEager === true) !== (b.isEager === true)) return false;
  for (let i = Math.max(a.levels.length, b.levels.length) - 1; i >= 0; i--) {
    const one = a.levels[Math.min(i, a.levels.length - 1)]!;
    const other = b.levels[Math.min(i, b.levels.length - 1)]!;
    if (one.runs !== other.runs || one.filterBits !== other.filterBits) return false;
  }
  return true;
}

/**
 * Returns what may be better than what is in force, best first. `threshold`: the one in force; undefined: not
 * known, and not changed.
 */
export function candidatesFor(
  question: CostQuestion,
  setting: TreeSetting,
  threshold: number | undefined,
): readonly Candidate[] {
  const answer = answerFor(question, setting);
  const gainOf = (seconds: number): number => 1 - seconds / answer.total;
  const found: Candidate[] = [];
  const bits = filterSplit(question, answer.runsByLevel);
  const inForce = question.filters.levelBits;
  if (bits !== undefined && !bits.every((one, i) => one === inForce?.[i])) {
    const filters = { ...question.filters, levelBits: bits };
    const gain = gainOf(answerFor({ ...question, filters }, setting).total);
    found.push({ tuning: { filterBits: bits }, text: `filters of ${bits.join(",")} bits`, gain });
  }
  if (threshold !== undefined) {
    const here = bucketOf(threshold);
    // Between two powers of two nobody knows the sizes; from there the next powers are as near.
    for (const step of [-1, 1, -2, 2]) {
      const exponent = here + step;
      if (exponent < THRESHOLD_MIN || exponent > THRESHOLD_MAX) continue;
      const next = 2 ** exponent;
      const asked = withThreshold(question, 2 ** here, next);
      const gain = gainOf(answerFor(asked, setting).total);
      found.push({ tuning: { threshold: next }, text: `values apart from ${next} B`, gain });
    }
  }
  return found.sort((a, b) => b.gain - a.gain);
}
