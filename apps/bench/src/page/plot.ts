/**
 * What the script of the page needs to draw a plot. It travels as JSON, so names of lines are
 * positions in the list of stores, and numbers have no more digits than a screen can show.
 */
import { isNumber } from "./spread.ts";

/** A plot with one line per store over a common x. */
export interface Plot {
  readonly title: string;
  /** "tail": -log10(1 - percentile / 100), so that 90 %, 99 %, 99.9 % stand at equal distances. */
  readonly x: "tail" | "seconds";
  /** "us" and "rate" may be logarithmic, "factor" is a ratio. */
  readonly y: "us" | "rate" | "factor";
  readonly logarithmic: boolean;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xs: readonly number[];
  readonly lines: readonly Line[];
  readonly lanes: readonly Lane[];
}

/** The figures of a store; `null` where it has none. */
export interface Line {
  /** Position in the list of stores: gives name, colour and dashes. */
  readonly store: number;
  readonly ys: readonly (number | null)[];
  /** Range over repeats, where there are several. */
  readonly low?: readonly (number | null)[];
  readonly high?: readonly (number | null)[];
}

/** Background work of a store, below the plot. */
export interface Lane {
  readonly store: number;
  readonly works: readonly (readonly [from: number, to: number, kind: string])[];
}

/** Returns a number with the digits that a plot can show. */
export function rounded(value: number | undefined): number | null {
  return isNumber(value) ? Number(value.toPrecision(5)) : null;
}
