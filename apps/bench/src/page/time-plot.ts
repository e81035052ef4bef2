/**
 * What happens over the time of a phase: throughput, tail latency and space, each store by the repeat
 * whose throughput is the median one (a mean over repeats would hide the dents), with its background work
 * in a lane below.
 */
import type { PhaseResult, Slice } from "../result.ts";
import type { PhaseOutline } from "./outline.ts";
import { type Lane, type Line, type Plot, rounded } from "./plot.ts";
import { isNumber } from "./spread.ts";

/** Points of a line at most; more slices are joined. */
const POINTS_MAX = 600;

type Points = readonly (readonly [seconds: number, y: number])[];

/** The repeat that stands for a store. */
export interface MedianRepeat {
  readonly repeat: number;
  readonly result: PhaseResult;
}

/** Returns the repeat of median throughput (of an even number: the slower of the two in the middle). */
export function medianRepeat(phase: PhaseOutline, store: string): MedianRepeat | undefined {
  const repeats = [...(phase.results.get(store) ?? [])]
    .map(([repeat, result]) => ({ repeat, result, rate: result.ops / result.ms }))
    .filter(({ rate }) => isNumber(rate))
    .sort((a, b) => a.rate - b.rate);
  return repeats[(repeats.length - 1) >> 1];
}

/** Returns the rate of each slice, per second, as it is drawn. */
export function ratesOf(result: PhaseResult): Points {
  const { slices, sliceMs } = joinedSlices(result);
  return slices.map(({ atMs, ops }, i) => {
    // The last slice ends with the phase.
    const left = i === slices.length - 1 ? result.ms - atMs : sliceMs;
    const ms = left > 0 && left < sliceMs ? left : sliceMs;
    return [(atMs + ms / 2) / 1000, (ops / ms) * 1000];
  });
}

/** Returns the plots over time of a phase, those for which there is something to draw. */
export function timePlots(phase: PhaseOutline, stores: readonly string[]): readonly Plot[] {
  const results = stores.map((store) => medianRepeat(phase, store)?.result);
  const tails = (result: PhaseResult): Points =>
    joinedSlices(result).slices.flatMap(({ atMs, p99Us }) =>
      isNumber(p99Us) ? [[atMs / 1000, Math.max(p99Us, 0.05)] as const] : [],
    );
  const space = (result: PhaseResult): Points =>
    (result.space ?? []).flatMap(({ atMs, diskBytes, liveBytes }) =>
      liveBytes > 0 ? [[atMs / 1000, diskBytes / liveBytes] as const] : [],
    );
  const lanes = lanesOf(results);
  return [
    plotOf("Throughput over time", "rate", "operations per second", results, ratesOf, lanes),
    plotOf("99th percentile over time", "us", "p99 latency", results, tails, lanes),
    plotOf("Space over time", "factor", "disk / live bytes", results, space, lanes),
  ].filter((plot) => plot !== undefined);
}

function plotOf(
  title: string,
  y: Plot["y"],
  yLabel: string,
  results: readonly (PhaseResult | undefined)[],
  read: (result: PhaseResult) => Points,
  lanes: readonly Lane[],
): Plot | undefined {
  const points = results.map((result) => (result === undefined ? [] : read(result)));
  const xs = [...new Set(points.flatMap((line) => line.map(([x]) => round(x))))];
  xs.sort((a, b) => a - b);
  if (xs.length < 2) return undefined;
  const lines: Line[] = points.flatMap((line, store) => {
    if (line.length === 0) return [];
    const ys = new Map(line.map(([x, value]) => [round(x), value]));
    return [{ store, ys: xs.map((x) => rounded(ys.get(x))) }];
  });
  const logarithmic = y === "us";
  return { title, x: "seconds", y, logarithmic, xLabel: "seconds", yLabel, xs, lines, lanes };
}

function lanesOf(results: readonly (PhaseResult | undefined)[]): readonly Lane[] {
  return results.flatMap((result, store) => {
    const works = (result?.background ?? [])
      .filter(({ fromMs, toMs }) => isNumber(fromMs) && isNumber(toMs) && toMs >= fromMs)
      .map(({ fromMs, toMs, kind }) => [round(fromMs / 1000), round(toMs / 1000), kind] as const);
    return works.length === 0 ? [] : [{ store, works }];
  });
}

/** The slices of a phase, neighbours joined where there are more than a plot can show. */
function joinedSlices({ series, ms }: PhaseResult): {
  readonly slices: readonly Slice[];
  readonly sliceMs: number;
} {
  const slices = series ?? [];
  const span = (slices.at(-1)?.atMs ?? 0) - (slices[0]?.atMs ?? 0);
  const sliceMs = slices.length > 1 ? span / (slices.length - 1) : ms;
  const group = Math.ceil(slices.length / POINTS_MAX);
  if (group <= 1) return { slices, sliceMs };
  const joined: Slice[] = [];
  for (let i = 0; i < slices.length; i += group) {
    const part = slices.slice(i, i + group);
    const tails = part.map(({ p99Us }) => p99Us).filter(isNumber);
    joined.push({
      atMs: part[0]!.atMs,
      ops: part.reduce((sum, { ops }) => sum + ops, 0),
      ...(tails.length > 0 ? { p99Us: Math.max(...tails) } : {}),
    });
  }
  return { slices: joined, sliceMs: sliceMs * group };
}

function round(seconds: number): number {
  return Number(seconds.toFixed(3));
}
