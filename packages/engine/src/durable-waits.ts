/**
 * Waiting for durability: who wants the history up to a sequence number on the disk, and when.
 *
 * Waiters share syncs: while one is under way, all that come wait for the next. After the last one a
 * watermark is written, so that a later reader can tell a torn tail from damage. With the sync
 * policy "interval" what was written is synced after a while though nobody waits for it.
 */
import type { Scheduler, Timer } from "@aura/base";
import { AuraError, assert } from "@aura/base";
import type { Health } from "./health.ts";
import type { Journal } from "./journal.ts";

/** How long after the last sync the durable watermark is written, ms. */
const WATERMARK_IDLE_MS = 20;

/** What waiting works with. */
export interface DurableParts {
  readonly journal: Journal;
  readonly health: Health;
  readonly scheduler: Scheduler;
  /** Syncs what was written after so many ms at the latest; 0: when somebody asks. */
  readonly intervalMs: number;
  /** Writes what is buffered. */
  readonly flushBuffered: () => void;
  /** Nothing is being appended, so that a watermark may be. */
  readonly mayAppend: () => boolean;
  /** A sync failed that no call waits for; ends writing. */
  readonly onUntoldFailure: (error: Error) => void;
}

/** Syncs for whoever waits. */
export class DurableWaits {
  readonly #parts: DurableParts;
  #syncing: Promise<void> | undefined;
  #watermarkTimer: Timer | undefined;
  #intervalTimer: Timer | undefined;
  #ended = false;

  constructor(parts: DurableParts) {
    this.#parts = parts;
  }

  /** A sync that is under way. */
  get syncing(): Promise<void> | undefined {
    return this.#syncing;
  }

  /** Makes what was appended so far durable, on this thread. */
  syncSync(): void {
    try {
      this.#parts.journal.syncs.syncSync();
    } catch (error) {
      throw this.#failed(error);
    }
    this.#expectWatermark();
  }

  /** Resolves when the history up to `seq`, which was appended, is durable. */
  async until(seq: number): Promise<void> {
    try {
      await this.#reach(seq);
    } catch (error) {
      throw this.#failed(error);
    }
    this.#expectWatermark();
  }

  /** Notes that something was written that nobody waits for. */
  noteWritten(): void {
    const { intervalMs, scheduler, health } = this.#parts;
    if (intervalMs === 0 || this.#intervalTimer !== undefined || this.#ended) return;
    this.#intervalTimer = scheduler.after(intervalMs, () => {
      this.#intervalTimer = undefined;
      if (health.closed || health.failure !== undefined) return;
      try {
        this.#parts.flushBuffered();
      } catch {
        // A full volume may have room the next time; anything else health remembers.
        this.noteWritten();
        return;
      }
      this.#reach(this.#parts.journal.appendedSeq).then(
        () => this.#expectWatermark(),
        (error: Error) => this.#parts.onUntoldFailure(error),
      );
    });
  }

  /** Ends the timers. Whoever waits, or comes later, is answered all the same. */
  end(): void {
    this.#ended = true;
    this.#watermarkTimer?.cancel();
    this.#intervalTimer?.cancel();
  }

  /** Rejects with what went wrong; who it is to be told to is not decided here. */
  async #reach(seq: number): Promise<void> {
    const { journal, health } = this.#parts;
    while (journal.syncs.durableSeq < seq) {
      if (health.failure !== undefined) throw health.failure;
      assert(journal.appendedSeq >= seq, "only what was appended can become durable");
      this.#syncing ??= journal.syncs.sync().finally(() => {
        this.#syncing = undefined;
      });
      await this.#syncing;
    }
  }

  /** Ends writing, and returns what the call that waited is told. */
  #failed(error: unknown): AuraError {
    const { health } = this.#parts;
    health.fail(error as Error);
    health.noteTold();
    return new AuraError(
      "AURA_UNKNOWN_OUTCOME",
      "a sync failed: what was written since the last one may not survive; reopen to know",
      { cause: error },
    );
  }

  #expectWatermark(): void {
    if (this.#ended) return;
    this.#watermarkTimer ??= this.#parts.scheduler.after(WATERMARK_IDLE_MS, () => {
      this.#watermarkTimer = undefined;
      const { journal, health, mayAppend } = this.#parts;
      if (health.failure !== undefined || health.closed || !mayAppend()) return;
      journal.appendWatermarkSync();
    });
  }
}
