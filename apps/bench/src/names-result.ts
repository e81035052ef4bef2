/** What a result keeps of the names job: its phases, in the shape of all other workloads. */
import { median } from "./metrics.ts";
import { PHASES, type PhaseName, type StoreResult } from "./names-job.ts";
import type { Latency, PhaseResult, RunResult, Slice } from "./result.ts";
import type { Sample } from "./store-bench.ts";

/** Returns the run of one store. */
export function runResultOf(workload: string, repeat: number, result: StoreResult): RunResult {
  let startedMs = 0;
  const phases: PhaseResult[] = [];
  for (const name of Object.keys(PHASES) as PhaseName[]) {
    const samples = result.samples[name];
    if (samples === undefined || samples.length === 0) continue;
    const phase = phaseOf(name, samples, startedMs, result);
    phases.push(phase);
    startedMs += phase.ms;
  }
  return { workload, store: result.name, repeat, phases };
}

/** Counters were read at three moments only: the load carries what it wrote, and the last phase the peak. */
function phaseOf(
  name: PhaseName,
  samples: readonly Sample[],
  startedMs: number,
  { counters, countersAgain }: StoreResult,
): PhaseResult {
  const sum = { ops: 0, ms: 0, bytes: 0, wrong: 0 };
  const series: Slice[] = [];
  for (const { ops, ms, bytes, mismatches } of samples) {
    series.push({ atMs: sum.ms, ops });
    sum.ops += ops;
    sum.ms += ms;
    sum.bytes += bytes;
    sum.wrong += mismatches;
  }
  const { start, loaded, end } = counters;
  const latency = latencyOf(samples);
  const again = name.endsWith("Again") || name === "reopenClean";
  const written = difference(loaded?.writtenBytes, start?.writtenBytes);
  const device = difference(loaded?.deviceBytes, start?.deviceBytes);
  return {
    name: PHASES[name],
    startedMs,
    ...sum,
    latency: latency === undefined ? {} : { insert: latency },
    series,
    background: [],
    cpuMs: { user: 0, system: 0 },
    ...(name === "drain" && written !== undefined ? { writtenBytes: written } : {}),
    ...(name === "drain" && device !== undefined ? { deviceBytes: device } : {}),
    diskBytes: (name === "drain" ? loaded : again ? countersAgain.end : end)?.folderBytes ?? 0,
    peakRssBytes: (again ? countersAgain.end : end)?.peakRssBytes ?? 0,
  };
}

/** Percentiles in the middle of those of the slices, where single calls were timed. */
function latencyOf(samples: readonly Sample[]): Latency | undefined {
  const timed = samples.flatMap(({ latency }) => (latency === undefined ? [] : [latency]));
  const [first] = timed;
  if (first === undefined) return undefined;
  const middle = (read: (one: Latency) => number): number => median(timed.map(read));
  return {
    count: timed.reduce((sum, { count }) => sum + count, 0),
    meanUs: middle((one) => one.meanUs),
    p50Us: middle((one) => one.p50Us),
    p90Us: middle((one) => one.p90Us),
    p99Us: middle((one) => one.p99Us),
    p999Us: middle((one) => one.p999Us),
    maxUs: Math.max(...timed.map((one) => one.maxUs)),
    curve: first.curve.map(([percentile], i) => [percentile, middle((one) => one.curve[i]![1])]),
  };
}

function difference(to: number | undefined, from: number | undefined): number | undefined {
  return to === undefined || from === undefined ? undefined : to - from;
}
