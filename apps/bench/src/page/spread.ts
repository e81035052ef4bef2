/** Values over repeats: the median stands for them, the smallest and the largest tell how far to trust it. */

/** Median and range of at least one value. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** Returns the spread of the finite ones of the values; `undefined` when there is none. */
export function spreadOf(values: readonly (number | undefined)[]): Spread | undefined {
  const sorted = values.filter(isNumber).sort((a, b) => a - b);
  const count = sorted.length;
  if (count === 0) return undefined;
  const half = count >> 1;
  const median = count % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
  return { median, min: sorted[0]!, max: sorted[count - 1]!, count };
}

/** Whether more or less of a figure is better. */
export type Better = "more" | "less";

/**
 * Returns how many times better the own values are than the other ones. Repeats are paired, since
 * those ran next to each other; a repeat that one side lacks does not count.
 */
export function ratioOf(
  own: ReadonlyMap<number, number>,
  other: ReadonlyMap<number, number>,
  better: Better,
): Spread | undefined {
  const ratios: number[] = [];
  for (const [repeat, value] of own) {
    const against = other.get(repeat);
    if (against === undefined || !(value > 0) || !(against > 0)) continue;
    ratios.push(better === "more" ? value / against : against / value);
  }
  return spreadOf(ratios);
}

/** What a ratio says: `even` when its repeats do not agree. */
export type Verdict = "ahead" | "behind" | "even";

/** Returns the verdict: ahead or behind only if every repeat says so. */
export function verdictOf(ratio: Spread): Verdict {
  if (ratio.min > 1) return "ahead";
  return ratio.max < 1 ? "behind" : "even";
}

/** True for a number that can be shown. */
export function isNumber(value: number | null | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value);
}
