/** From histograms to what a result keeps of them. Histograms count nanoseconds. */
import { build, type Histogram } from "hdr-histogram-js";
import type { Latency } from "./result.ts";

/** Longest latency that is told apart, in ns: one minute. */
const NS_MAX = 60e9;

const CURVE = [0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100] as const;

/** Returns a histogram with three digits that count. */
export function createHistogram(): Histogram {
  return build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: NS_MAX,
    numberOfSignificantValueDigits: 3,
  });
}

/** Records a time given in ms. */
export function recordMs(histogram: Histogram, ms: number): void {
  histogram.recordValue(Math.min(NS_MAX, Math.max(0, Math.round(ms * 1e6))));
}

/** Returns what a histogram says. */
export function latencyOf(histogram: Histogram, corrected: boolean): Latency {
  const at = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
  return {
    count: histogram.totalCount,
    meanUs: histogram.mean / 1000,
    p50Us: at(50),
    p90Us: at(90),
    p99Us: at(99),
    p999Us: at(99.9),
    maxUs: histogram.maxValue / 1000,
    curve: CURVE.map((percentile) => [percentile, at(percentile)] as const),
    ...(corrected ? { corrected } : {}),
  };
}
