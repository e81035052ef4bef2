/**
 * Everything that is measured of one phase, beside its operations: latencies, throughput over time, the
 * event loop, CPU time without the driver's own, what the process wrote and read, what a store tells of
 * its background work and counts.
 */
import type { Histogram } from "hdr-histogram-js";
import { type Counters, mainThreadMs, readCounters, resetPeak } from "./counters.ts";
import { createHistogram, latencyOf, recordMs } from "./latency.ts";
import { LoopDelay } from "./loop-delay.ts";
import type { Recorder } from "./ops-driver.ts";
import type { Latency, PhaseResult, Work } from "./result.ts";
import type { Store, WorkNews } from "./stores/store.ts";
import { TimeSeries } from "./time-series.ts";
import { KIND_NAMES } from "./workloads/workload.ts";

/** What the meter adds to a phase's result. */
export type Measured = Pick<
  PhaseResult,
  | "latency"
  | "series"
  | "background"
  | "loopDelayMs"
  | "cpuMs"
  | "writtenBytes"
  | "deviceBytes"
  | "readBytes"
  | "peakRssBytes"
> & {
  /** Of the store, over the phase. */
  readonly counts: Readonly<Record<string, number>>;
};

/** Meters one phase, from its making to `result`. */
export class PhaseMeter implements Recorder {
  readonly #store: Store;
  readonly #corrected: boolean;
  readonly #histograms: (Histogram | undefined)[] = [];
  #batches: Histogram | undefined;
  readonly #series = new TimeSeries();
  readonly #background: Work[] = [];
  /** When the work of each kind began that has not ended, the oldest first. */
  readonly #begun = new Map<string, number[]>();
  readonly #loop = new LoopDelay();
  readonly #cpuAtStart = process.cpuUsage();
  readonly #countersAtStart: Counters;
  readonly #countsAtStart: Readonly<Record<string, number>>;
  /** Main thread's CPU time while the clock stood. */
  #ownMs = 0;
  #ownSince: number;
  #phaseMs: () => number = () => 0;

  constructor(store: Store, corrected: boolean) {
    this.#store = store;
    this.#corrected = corrected;
    resetPeak();
    this.#countersAtStart = readCounters();
    this.#countsAtStart = store.counts?.() ?? {};
    this.#ownSince = mainThreadMs();
  }

  /** Tells the meter where the phase's time stands. */
  follow(phaseMs: () => number): void {
    this.#phaseMs = phaseMs;
  }

  note(kind: number, startMs: number, endMs: number, ops: number): void {
    let histogram = this.#histograms[kind];
    if (histogram === undefined) {
      histogram = createHistogram();
      this.#histograms[kind] = histogram;
    }
    recordMs(histogram, endMs - startMs);
    this.#series.note(endMs, (endMs - startMs) * 1000, ops);
  }

  noteBatch(startMs: number, endMs: number, ops: number): void {
    this.#batches ??= createHistogram();
    recordMs(this.#batches, endMs - startMs);
    this.#series.note(endMs, (endMs - startMs) * 1000, ops);
  }

  noteWork({ kind, isEnd }: WorkNews): void {
    const now = this.#phaseMs();
    const begun = this.#begun.get(kind) ?? [];
    this.#begun.set(kind, begun);
    if (isEnd) this.#background.push({ fromMs: begun.shift() ?? now, toMs: now, kind });
    else begun.push(now);
  }

  /** Notes the wait for background work at the end. */
  noteDrain(fromMs: number, toMs: number): void {
    this.#background.push({ fromMs, toMs, kind: "drain" });
  }

  resume(): void {
    this.#ownMs += mainThreadMs() - this.#ownSince;
    this.#loop.resume();
  }

  pause(): void {
    this.#loop.pause();
    this.#ownSince = mainThreadMs();
  }

  result(): Measured {
    const { user, system } = process.cpuUsage(this.#cpuAtStart);
    const counters = readCounters();
    const start = this.#countersAtStart;
    const counts: Record<string, number> = {};
    for (const [name, count] of Object.entries(this.#store.counts?.() ?? {})) {
      counts[name] = count - (this.#countsAtStart[name] ?? 0);
    }
    const loopDelayMs = this.#loop.result();
    return {
      latency: this.#latencies(),
      series: this.#series.result(),
      background: this.#background,
      ...(loopDelayMs === undefined ? {} : { loopDelayMs }),
      cpuMs: { user: Math.max(0, user / 1000 - this.#ownMs), system: system / 1000 },
      ...differences(start, counters),
      peakRssBytes: counters.peakRssBytes ?? process.memoryUsage.rss(),
      counts,
    };
  }

  #latencies(): Record<string, Latency> {
    const latencies: Record<string, Latency> = {};
    for (const [kind, histogram] of this.#histograms.entries()) {
      if (histogram === undefined) continue;
      latencies[KIND_NAMES[kind]!] = latencyOf(histogram, this.#corrected);
    }
    if (this.#batches !== undefined) latencies["batch"] = latencyOf(this.#batches, false);
    return latencies;
  }
}

function differences(
  before: Counters,
  after: Counters,
): Pick<PhaseResult, "writtenBytes" | "deviceBytes" | "readBytes"> {
  const found: Record<string, number> = {};
  for (const name of ["writtenBytes", "deviceBytes", "readBytes"] as const) {
    const [from, to] = [before[name], after[name]];
    if (from !== undefined && to !== undefined) found[name] = to - from;
  }
  return found;
}
