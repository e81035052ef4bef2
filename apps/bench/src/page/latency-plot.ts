/**
 * The curve of latencies: percentile on an axis that stretches the tail (as HdrHistogram plots it), time on
 * a logarithmic one. Repeats are joined percentile by percentile: the line is their median, the band
 * around it their range. A repeat ends at its largest value, drawn where one operation of all is left.
 */
import type { Latency, PhaseResult } from "../result.ts";
import { own } from "./figures.ts";
import type { PhaseOutline } from "./outline.ts";
import { type Line, type Plot, rounded } from "./plot.ts";
import { isNumber, spreadOf } from "./spread.ts";

/** Points of a line at most. */
const POINTS_MAX = 160;
/** The shortest time that the logarithmic axis shows, in µs. */
const US_MIN = 0.05;

type Curve = readonly (readonly [x: number, logUs: number])[];

/** Returns the plot of a kind of operation; `undefined` when no store has a curve. */
export function latencyPlot(
  phase: PhaseOutline,
  kind: string,
  stores: readonly string[],
): Plot | undefined {
  const curves = stores.map((store) =>
    [...(phase.results.get(store)?.values() ?? [])]
      .map((result) => curveOf(own<Latency>(result.latency, kind)))
      .filter((curve) => curve.length > 1),
  );
  const xs = gridOf(curves.flat());
  if (xs.length < 2) return undefined;
  const lines = curves.flatMap((repeats, store) =>
    repeats.length === 0 ? [] : [lineOf(repeats, xs, store)],
  );
  return {
    title: `Latency of ${kind}`,
    x: "tail",
    y: "us",
    logarithmic: true,
    xLabel: "percentile of operations",
    yLabel: "latency",
    xs: xs.map((x) => Number(x.toFixed(4))),
    lines,
    lanes: [],
  };
}

/** True when latencies of this kind count from the intended start of each operation. */
export function isCorrected(phase: PhaseOutline, kind: string): boolean {
  const results: PhaseResult[] = [...phase.results.values()].flatMap((r) => [...r.values()]);
  return results.some(({ latency }) => own<Latency>(latency, kind)?.corrected === true);
}

function curveOf(latency: Latency | undefined): Curve {
  const points: [number, number][] = [];
  for (const [percentile, us] of latency?.curve ?? []) {
    if (!isNumber(percentile) || !isNumber(us) || percentile < 0) continue;
    const last = points.at(-1)?.[0] ?? -1;
    const end = Math.max(Math.log10(Math.max(latency?.count ?? 1, 1)), last + 0.05);
    const x = percentile >= 100 ? end : -Math.log10(1 - percentile / 100);
    if (x > last) points.push([x, Math.log10(Math.max(us, US_MIN))]);
    if (percentile >= 100) break;
  }
  return points;
}

/** All places where a curve has a point, thinned out evenly along the axis. */
function gridOf(curves: readonly Curve[]): number[] {
  const xs = [...new Set(curves.flatMap((curve) => curve.map(([x]) => x)))].sort((a, b) => a - b);
  const end = xs.at(-1) ?? 0;
  const step = end / POINTS_MAX;
  const ends = new Set(curves.map((curve) => curve.at(-1)?.[0]));
  const grid: number[] = [];
  for (const x of xs) {
    if (grid.length === 0 || x - grid.at(-1)! >= step || ends.has(x)) grid.push(x);
  }
  return grid;
}

function lineOf(repeats: readonly Curve[], xs: readonly number[], store: number): Line {
  const ys: (number | null)[] = [];
  const low: (number | null)[] = [];
  const high: (number | null)[] = [];
  for (const x of xs) {
    const values = repeats.map((curve) => at(curve, x));
    const reached = values.filter((value) => value !== undefined).length;
    // Where most repeats have ended, a median would be that of the others.
    const spread = reached * 2 > repeats.length ? spreadOf(values) : undefined;
    const shown = (log: number | undefined) => rounded(log === undefined ? undefined : 10 ** log);
    ys.push(shown(spread?.median));
    low.push(shown(spread?.min));
    high.push(shown(spread?.max));
  }
  return repeats.length > 1 ? { store, ys, low, high } : { store, ys };
}

/** The value of a curve between its points; `undefined` outside of it. */
function at(curve: Curve, x: number): number | undefined {
  const [first, last] = [curve[0]![0], curve.at(-1)![0]];
  if (x < first || x > last) return undefined;
  let i = 1;
  while (curve[i]![0] < x) i++;
  const [x0, y0] = curve[i - 1]!;
  const [x1, y1] = curve[i]!;
  return y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}
