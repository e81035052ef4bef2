/**
 * How long a job is at work: processor time of its thread, so that a machine with more work than cores
 * does not make merging look dearer than it is. Where the platform does not tell that, it is time on the
 * wall without what is known to be waiting (tokens, syncs); without a clock, 0.
 *
 * Time on the device is told apart: whatever the thread spent neither on a processor, nor ready to run,
 * nor in a wait for tokens. Where that is not known, the time of its syncs.
 */
import type { JobContext, ThreadTime } from "@aura/base";

/** What a job took, ms; 0: not measured. */
export interface JobTimes {
  /** At work. */
  readonly busyMs: number;
  /** Waiting for the device. */
  readonly deviceMs: number;
}

/** Measures one job, from its making on. */
export class BusyTime {
  readonly #context: JobContext;
  readonly #startMs: number;
  readonly #start: ThreadTime | undefined;
  #pausedMs = 0;
  #syncedMs = 0;

  constructor(context: JobContext) {
    this.#context = context;
    this.#startMs = this.#nowMs();
    this.#start = context.threadTime?.();
  }

  /** What it took so far. */
  get spent(): JobTimes {
    const wallMs = this.#nowMs() - this.#startMs - this.#pausedMs;
    const now = this.#start === undefined ? undefined : this.#context.threadTime?.();
    if (now === undefined || this.#start === undefined) {
      return { busyMs: Math.max(0, wallMs - this.#syncedMs), deviceMs: this.#syncedMs };
    }
    const busyMs = Math.max(0, now.cpuMs - this.#start.cpuMs);
    if (now.readyMs === undefined || this.#start.readyMs === undefined) {
      return { busyMs, deviceMs: this.#syncedMs };
    }
    const readyMs = now.readyMs - this.#start.readyMs;
    return { busyMs, deviceMs: Math.max(0, wallMs - busyMs - readyMs) };
  }

  /** Runs what waits for tokens. */
  pausedIn<T>(wait: () => T): T {
    const startMs = this.#nowMs();
    try {
      return wait();
    } finally {
      this.#pausedMs += this.#nowMs() - startMs;
    }
  }

  /** Runs what waits for the disk to sync. */
  syncedIn<T>(sync: () => T): T {
    const startMs = this.#nowMs();
    try {
      return sync();
    } finally {
      this.#syncedMs += this.#nowMs() - startMs;
    }
  }

  #nowMs(): number {
    return this.#context.nowMs?.() ?? 0;
  }
}
