/**
 * How late timers fire while the store works: how long it keeps the event loop to itself. Node's own
 * `monitorEventLoopDelay` cannot be stopped while the driver prepares and checks, so this samples as it does
 * (a timer of fixed length, its excess recorded), and stands still when the clock does.
 */
import type { Histogram } from "hdr-histogram-js";
import { createHistogram, recordMs } from "./latency.ts";
import type { PhaseResult } from "./result.ts";

const PERIOD_MS = 1;

/** Samples from `resume` to `pause`. */
export class LoopDelay {
  readonly #histogram: Histogram = createHistogram();
  #timer: NodeJS.Timeout | undefined;
  #due = 0;

  resume(): void {
    this.#due = performance.now() + PERIOD_MS;
    this.#timer = setTimeout(() => {
      recordMs(this.#histogram, performance.now() - this.#due);
      this.resume();
    }, PERIOD_MS);
  }

  /** Ends the sample that runs: what it is late by now counts. */
  pause(): void {
    clearTimeout(this.#timer);
    const late = performance.now() - this.#due;
    if (late > 0) recordMs(this.#histogram, late);
  }

  /** Returns what was sampled; `undefined` without samples. */
  result(): PhaseResult["loopDelayMs"] {
    if (this.#histogram.totalCount === 0) return undefined;
    const at = (percentile: number): number =>
      this.#histogram.getValueAtPercentile(percentile) / 1e6;
    return { p50: at(50), p99: at(99), p999: at(99.9), max: this.#histogram.maxValue / 1e6 };
  }
}
