/**
 * Buffered writes: acknowledged and visible before they are handed to the operating system.
 *
 * They leave with the next group, after a bounded delay, at a bounded size or at a sync, whatever
 * comes first; in sequence order with all other groups. What is lost with the process is what came
 * within the delay. On a full volume, or without a free descriptor, they stay buffered, and are tried
 * again: no other write goes before them, and none is taken in until there is room. The delay does not
 * hold for as long.
 */
import { AuraError, type Clock, hasCode, type Scheduler, type Timer } from "@aura/base";
import type { Group } from "./group.ts";
import type { Health } from "./health.ts";
import type { Journal } from "./journal.ts";

/** Buffered operations are written at this size at the latest. */
const BYTES_MAX = 64 * 1024;

/** What could not be written for want of room is tried again after this pause, ms. */
const RETRY_MS = 100;

/** What buffering works with. */
export interface BufferedParts {
  readonly journal: Journal;
  readonly health: Health;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly delayMs: number;
}

/** The operations that are visible and not yet written. */
export class BufferedWrites {
  /** What is buffered. */
  readonly group: Group;
  readonly #parts: BufferedParts;
  #timer: Timer | undefined;
  #sinceMs = 0;
  /** Acknowledged writes could not be written: a close has to say so. */
  #lost = false;
  /** It is due, and there was no room for it. */
  #isWanting = false;

  constructor(parts: BufferedParts, group: Group) {
    this.#parts = parts;
    this.group = group;
  }

  /** Whether acknowledged operations are not with the operating system, now or for good. */
  get owed(): boolean {
    return this.#lost || this.group.count > 0;
  }

  /**
   * Returns the open group; the owner adds operations to it and calls `noteAdded`. Throws when what is
   * due could not be written, and cannot be now: nothing is taken in behind it.
   */
  open(): Group {
    if (this.#isWanting) this.flushSync();
    return this.group;
  }

  /** Sees to it that the group leaves in time. */
  noteAdded(): void {
    const { clock, delayMs } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (this.group.count === 1) this.#sinceMs = nowMs;
    // The timer needs a turn of the event loop, and the delay is bounded without one, too.
    if (nowMs - this.#sinceMs >= delayMs || this.group.bytes >= BYTES_MAX) {
      try {
        this.flushSync();
      } catch (error) {
        // It is where a buffered write is to be; the next one is not taken in.
        if (!isWant(error)) throw error;
      }
      return;
    }
    this.#arm(delayMs);
  }

  /**
   * Hands what is buffered to the operating system. A failure ends writing, but for
   * want of room (`isWant`): then it stays buffered.
   */
  flushSync(): void {
    this.cancelTimer();
    if (this.group.count === 0) return;
    try {
      this.#parts.journal.appendVisibleSync(this.group);
    } catch (error) {
      this.#isWanting = isWant(error);
      if (this.#isWanting) {
        this.#arm(RETRY_MS);
        throw error;
      }
      this.#lost = true;
      this.#parts.health.fail(error as Error);
      this.group.begin();
      throw error;
    }
    this.#isWanting = false;
    this.group.begin();
  }

  #arm(delayMs: number): void {
    const { scheduler, health } = this.#parts;
    this.#timer ??= scheduler.after(delayMs, () => {
      this.#timer = undefined;
      if (health.closed || health.failure !== undefined) return;
      try {
        this.flushSync();
      } catch {
        // Health remembers it, and the next write reports it; or it is tried again.
      }
    });
  }

  cancelTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/**
 * Whether a failure is want of what comes back by itself, and leaves nothing written that counts: the
 * volume is full, or process or system have no descriptor left.
 */
export function isWant(error: unknown): boolean {
  if (hasCode(error, "AURA_OUT_OF_SPACE")) return true;
  const cause =
    error instanceof AuraError ? (error.cause as { code?: unknown } | undefined) : undefined;
  return cause?.code === "EMFILE" || cause?.code === "ENFILE";
}
