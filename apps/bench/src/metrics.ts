/** What the figures of a phase are, by name: the rows of the table, and what a baseline compares. */
import { formatBytes, formatMs, formatRate } from "./format.ts";
import type { PhaseResult } from "./result.ts";

/** One figure of a phase. */
export interface Figure {
  readonly title: string;
  readonly value: number;
  readonly better: "more" | "less";
  readonly format: (value: number) => string;
  /** `count`: the same in each run of the same build. */
  readonly kind: "time" | "size" | "count";
}

/** Kinds behind which background work is left. */
const WRITES: readonly string[] = ["batch", "insert", "update", "rmw", "delete"];

function less(
  title: string,
  value: number,
  format: (value: number) => string,
  kind: Figure["kind"],
): Figure {
  return { title, value, better: "less", format, kind };
}

const formatUs = (us: number): string => formatMs(us / 1000);
const formatCount = (count: number): string =>
  count >= 100 ? count.toFixed(0) : count.toPrecision(3);

/** Returns the figures of a phase that were measured. */
export function figuresOf(phase: PhaseResult): Figure[] {
  const { ops, ms, drainMs, latency, cpuMs, liveBytes, diskBytes } = phase;
  const figures: Figure[] = [];
  if (ops > 0 && ms > 0) {
    const rate = (ops / ms) * 1000;
    figures.push({
      title: "throughput",
      value: rate,
      better: "more",
      format: formatRate,
      kind: "time",
    });
  }
  const writes = Object.keys(latency).some((kind) => WRITES.includes(kind));
  if (drainMs !== undefined && writes && ops > 0 && ms > 0) {
    const rate = (ops / (ms + drainMs)) * 1000;
    figures.push({
      title: "throughput until drained",
      value: rate,
      better: "more",
      format: formatRate,
      kind: "time",
    });
    figures.push(less("drain", drainMs, formatMs, "time"));
  }
  for (const [kind, { p50Us, p99Us, p999Us }] of Object.entries(latency)) {
    figures.push(less(`${kind} p50`, p50Us, formatUs, "time"));
    figures.push(less(`${kind} p99`, p99Us, formatUs, "time"));
    figures.push(less(`${kind} p99.9`, p999Us, formatUs, "time"));
  }
  if (phase.loopDelayMs !== undefined) {
    figures.push(less("event loop delay p99", phase.loopDelayMs.p99, formatMs, "time"));
  }
  const cpu = cpuMs.user + cpuMs.system;
  if (ops > 0 && cpu > 0) figures.push(less("CPU per operation", cpu / ops, formatMs, "time"));
  if (ops > 0 && phase.writtenBytes !== undefined && phase.writtenBytes / ops >= 1) {
    figures.push(less("written per operation", phase.writtenBytes / ops, formatBytes, "size"));
  }
  if (liveBytes !== undefined && liveBytes > 0 && diskBytes > 0) {
    figures.push(less("disk over live bytes", diskBytes / liveBytes, (x) => x.toFixed(2), "size"));
  }
  if (phase.peakRssBytes > 0) {
    figures.push(less("peak RSS", phase.peakRssBytes, formatBytes, "size"));
  }
  for (const [name, count] of Object.entries(phase.counts ?? {})) {
    figures.push(less(`${name} per operation`, count, formatCount, "count"));
  }
  return figures;
}

/** Returns the middle value, or the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
