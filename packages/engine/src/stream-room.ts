/**
 * Stream room: values that are written while they come (streamed-value.ts) wait for room in the value
 * log like any other, piece by piece, and count as files from the moment they are written, though no
 * log has their length yet.
 */
import type { Scheduler } from "@aura/base";

/** How often room is looked for, ms. */
const LOOK_MS = 1;

/** Gives room to streams. */
export class StreamRoom {
  readonly #scheduler: Scheduler;
  readonly #mayTake: (bytes: number) => boolean;
  /** Bytes in files of values that have not ended. */
  bytes = 0;

  /** `mayTake`: whether so many bytes more may be written now, or nothing makes room for them. */
  constructor(scheduler: Scheduler, mayTake: (bytes: number) => boolean) {
    this.#scheduler = scheduler;
    this.#mayTake = mayTake;
  }

  /** Resolves when `bytes` may be written; they count from then on. */
  async take(bytes: number): Promise<void> {
    while (!this.#mayTake(bytes)) {
      await new Promise<void>((resolve) => {
        this.#scheduler.after(LOOK_MS, resolve, true);
      });
    }
    this.bytes += bytes;
  }

  /** Bytes that were taken stand in a log now, or are gone. */
  give(bytes: number): void {
    this.bytes -= bytes;
  }
}
