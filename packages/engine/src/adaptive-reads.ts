/**
 * Where a miss is read: on the caller's thread while the disk proves to be quick, else on the pool.
 * At most 2 ms of each turn of the event loop; after 4 slow reads of 64 no more, but for a try each
 * 100 ms.
 */
import type { Clock, Runtime, Scheduler } from "@aura/base";

/** Longest time of reads on this thread within one turn of the event loop, milliseconds. */
const SYNC_READ_MS_MAX = 2;
/** A read of a block that takes longer did not come from the page cache, milliseconds. */
export const SLOW_READ_MS = 0.2;
/** The same for a read of a cursor, which may be of many blocks at once. */
export const SLOW_CURSOR_READ_MS = 1;
/** So many slow reads within the window send misses to the thread pool. */
export const SLOW_READS_MAX = 4;
/** The window: the last so many reads on this thread. */
export const READ_WINDOW = 64;
/** How often a read on this thread is tried while misses go to the pool, milliseconds. */
export const PROBE_INTERVAL_MS = 100;

/**
 * Decides whether a miss of an asynchronous call is read on this thread, which costs about a
 * microsecond when the page is cached and blocks everything when it is not, or on the pool.
 */
export class AdaptiveReads {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  #spentMs = 0;
  #turnNoted = false;
  /** 1 for each slow read among the last ones; `#at` is the oldest. */
  readonly #window: Uint8Array = new Uint8Array(READ_WINDOW);
  #at = 0;
  #slowCount = 0;
  #pooled = false;
  #probedMs = 0;

  constructor(runtime: Pick<Runtime, "clock" | "scheduler">) {
    this.#clock = runtime.clock;
    this.#scheduler = runtime.scheduler;
  }

  /** Misses go to the thread pool, but for probes. */
  get pooled(): boolean {
    return this.#pooled;
  }

  /** Returns whether the next miss may be read on this thread; the caller then does and notes it. */
  maySync(): boolean {
    if (this.#spentMs >= SYNC_READ_MS_MAX) return false;
    if (!this.#pooled) return true;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#probedMs < PROBE_INTERVAL_MS) return false;
    this.#probedMs = nowMs;
    return true;
  }

  /** The time to give to `note` after the read. */
  startMs(): number {
    return this.#clock.monotonicMs();
  }

  /** Notes a read on this thread that began at `startMs`, failed or not; slow if longer than `slowMs`. */
  note(startMs: number, slowMs: number = SLOW_READ_MS): void {
    const nowMs = this.#clock.monotonicMs();
    const tookMs = nowMs - startMs;
    this.#spentMs += tookMs;
    if (!this.#turnNoted) {
      this.#turnNoted = true;
      this.#scheduler.nextTurn(() => {
        this.#turnNoted = false;
        this.#spentMs = 0;
      });
    }
    const slow = tookMs > slowMs ? 1 : 0;
    if (this.#pooled) {
      if (slow === 0) this.#return();
      return;
    }
    this.#slowCount += slow - this.#window[this.#at]!;
    this.#window[this.#at] = slow;
    this.#at = (this.#at + 1) % READ_WINDOW;
    if (this.#slowCount < SLOW_READS_MAX) return;
    this.#pooled = true;
    this.#probedMs = nowMs;
  }

  /** Back to this thread, on trial: one more slow read within the window ends it. */
  #return(): void {
    this.#pooled = false;
    this.#window.fill(0);
    for (let i = 1; i < SLOW_READS_MAX; i++) {
      this.#window[(this.#at + READ_WINDOW - i) % READ_WINDOW] = 1;
    }
    this.#slowCount = SLOW_READS_MAX - 1;
  }
}
