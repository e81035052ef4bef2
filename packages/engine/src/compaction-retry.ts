/**
 * When a compaction that failed is tried again: after a second; on a full volume, once there is room.
 *
 * A merge that needs more than there is may still end well, if it drops enough. But each time that it
 * does not, it has filled the volume for all others: so without room for all of its input it is tried
 * again after pauses that double, up to a minute.
 */
import type { Scheduler } from "@aura/base";
import type { DatabaseEmitter } from "./events.ts";
import type { Health } from "./health.ts";
import type { Reserve } from "./reserve.ts";
import { VainTries } from "./vain-tries.ts";

/** Pause before a failed compaction is tried again, and between two looks at the volume, ms. */
const RETRY_MS = 1000;
/** Longest pause where there is not room for all, ms. */
const FULL_RETRY_MS_MAX = 64_000;

/** What it works with. */
export interface CompactionRetryParts {
  readonly scheduler: Scheduler;
  readonly health: Health;
  readonly reserve: Reserve;
  readonly events: DatabaseEmitter;
}

/** The pause between a failure and the next try. */
export class CompactionRetry {
  readonly #parts: CompactionRetryParts;
  readonly #onRetry: () => void;
  /** What those are told who wait for merges. */
  readonly vainTries: VainTries = new VainTries();
  #isWaiting = false;
  /** Length of the last pause for want of space; 0 after a merge that ended well, ms. */
  #fullPauseMs = 0;

  constructor(parts: CompactionRetryParts, onRetry: () => void) {
    this.#parts = parts;
    this.#onRetry = onRetry;
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /**
   * Tries again later. Of an `error` those are told who wait. `fullBytes`: the volume was full, and what
   * failed reads so many bytes.
   */
  later(error: Error | undefined, fullBytes: number | undefined): void {
    // Of merges that failed side by side the next try is still to come: one for all of them.
    if (this.#isWaiting) return;
    if (error !== undefined) this.vainTries.note(error);
    this.#isWaiting = true;
    if (fullBytes === undefined) {
      this.#parts.scheduler.after(RETRY_MS, () => this.#go());
      return;
    }
    this.#fullPauseMs = Math.min(FULL_RETRY_MS_MAX, Math.max(RETRY_MS, 2 * this.#fullPauseMs));
    this.#look(fullBytes, this.#fullPauseMs);
  }

  /** A compaction ended well. */
  noteEnded(): void {
    this.#fullPauseMs = 0;
    this.vainTries.noteEnded();
  }

  #look(bytes: number, leftMs: number): void {
    const { scheduler, reserve, health, events } = this.#parts;
    scheduler.after(RETRY_MS, () => {
      const restMs = leftMs - RETRY_MS;
      const mayTry = reserve.hasRoom() && (restMs <= 0 || reserve.hasBytes(bytes));
      if (!mayTry && !health.closed) {
        this.vainTries.note();
        this.#look(bytes, restMs);
        return;
      }
      events.announce("backgroundResumed", { activity: "compaction" });
      this.#go();
    });
  }

  #go(): void {
    this.#isWaiting = false;
    this.#onRetry();
  }
}
