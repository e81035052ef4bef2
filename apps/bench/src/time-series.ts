/**
 * Operations over time, in slices of equal length. It begins with short slices and joins two and two
 * whenever there would be too many, so that a phase of any length keeps about as many.
 */
import type { Slice } from "./result.ts";

const SLICES_MAX = 120;
const FIRST_MS = 5;

/** Latency classes: 4 per doubling, from 1/16 µs on. */
const CLASSES_PER_DOUBLING = 4;
const CLASS_COUNT = 140;
const SMALLEST_US = 1 / 16;

/** Counts operations by the time of their end, and their latencies by class (within 19 %). */
export class TimeSeries {
  #sliceMs = FIRST_MS;
  #ops: number[] = [];
  #maxUs: number[] = [];
  #classes: Uint32Array[] = [];

  /** Notes an operation that ended at a time of the phase. */
  note(atMs: number, latencyUs: number, ops: number): void {
    let slice = Math.max(0, Math.floor(atMs / this.#sliceMs));
    while (slice >= SLICES_MAX) {
      this.#join();
      slice = Math.floor(atMs / this.#sliceMs);
    }
    while (this.#ops.length <= slice) {
      this.#ops.push(0);
      this.#maxUs.push(0);
      this.#classes.push(new Uint32Array(CLASS_COUNT));
    }
    this.#ops[slice]! += ops;
    if (latencyUs > this.#maxUs[slice]!) this.#maxUs[slice] = latencyUs;
    const step = Math.log2(Math.max(SMALLEST_US, latencyUs) / SMALLEST_US) * CLASSES_PER_DOUBLING;
    this.#classes[slice]![Math.min(CLASS_COUNT - 1, Math.ceil(step))]!++;
  }

  result(): Slice[] {
    return this.#ops.map((ops, i) => ({
      atMs: i * this.#sliceMs,
      ops,
      ...(this.#maxUs[i]! > 0 ? { p99Us: this.#p99(i), maxUs: this.#maxUs[i]! } : {}),
    }));
  }

  #p99(slice: number): number {
    const classes = this.#classes[slice]!;
    const wanted = 0.99 * classes.reduce((sum, count) => sum + count, 0);
    let at = 0;
    for (let seen = classes[0]!; at < CLASS_COUNT - 1 && seen < wanted; seen += classes[at]!) at++;
    return Math.min(this.#maxUs[slice]!, SMALLEST_US * 2 ** (at / CLASSES_PER_DOUBLING));
  }

  #join(): void {
    this.#sliceMs *= 2;
    const half = Math.ceil(this.#ops.length / 2);
    for (let i = 0; i < half; i++) {
      const next = 2 * i + 1;
      const classes = this.#classes[2 * i]!;
      this.#ops[i] = this.#ops[2 * i]! + (this.#ops[next] ?? 0);
      this.#maxUs[i] = Math.max(this.#maxUs[2 * i]!, this.#maxUs[next] ?? 0);
      this.#classes[next]?.forEach((count, at) => {
        classes[at]! += count;
      });
      this.#classes[i] = classes;
    }
    for (const list of [this.#ops, this.#maxUs, this.#classes]) list.length = half;
  }
}
