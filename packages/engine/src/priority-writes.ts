/**
 * Writes by priority: which go straight to commit, and which stand back.
 *
 * High and normal ones are committed in call order; a high one is acknowledged without regard to debt
 * (admission.ts). A low one goes straight, too, as long as nothing speaks against it. Otherwise it is
 * held here, copied, in call order, and appended in small portions:
 *
 * - when it would be delayed by debt, which for low priority begins at half of each threshold;
 * - while other calls (reads, and writes of other priorities) come: then a portion is followed by a
 *   pause, so that low writes take about a tenth of this thread.
 *
 * A held write is not visible and survives nothing: it is acknowledged when it was appended. `sync`,
 * `flush` and `close` of the database carry out what is held first. What is held takes at most the
 * memory of one memtable beside theirs: beyond that the oldest are appended without regard to all this.
 */
import type { Clock, Scheduler, Timer } from "@aura/base";
import { AuraError } from "@aura/base";
import { POINTER_BYTES } from "@aura/vlog";
import { AbortWatch } from "./abort-watch.ts";
import { WriteBatch } from "./batch.ts";
import type { WriteOptions } from "./call-options.ts";
import type { Committer } from "./commit.ts";
import type { FarValue } from "./group.ts";
import type { Durability } from "./settings.ts";
import type { WriteDebt } from "./write-debt.ts";

/** Bytes that are appended at once of what is held. */
const PORTION_BYTES = 16 * 1024;
/** While other calls come, low writes get so many bytes per ms. */
const YIELD_BYTES_PER_MS = 8 * 1024;
/** Other calls count as coming for so long after the last one, ms. */
const YIELD_MS = 20;
/** Pause before commit is looked at again when it is busy, ms. */
const BUSY_MS = 1;
/** No pause is longer, ms. */
const PAUSE_MS_MAX = 1000;

/** What priorities are kept with. */
export interface PriorityParts {
  readonly committer: Committer;
  readonly debt: Pick<WriteDebt, "lowMsPerByte">;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Most bytes that are held. */
  readonly heldBytesMax: number;
}

interface HeldWrite {
  /** Gives it to commit. */
  readonly commit: () => Promise<void>;
  readonly bytes: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (done: Promise<void>) => void;
  /** It was aborted: its place is empty. */
  isGone: boolean;
}

/** Takes in all writes of a database. */
export class PriorityWrites {
  readonly #parts: PriorityParts;
  /** Oldest first, from `#head` on. */
  #held: HeldWrite[] = [];
  #head = 0;
  readonly #aborts = new AbortWatch<HeldWrite>((write, signal) => this.#abort(write, signal));
  #timer: Timer | undefined;
  /** When the next low write may go. */
  #nextMs = 0;
  /** Calls of others, as far as they were seen, and when the last new one was. */
  #callsSeen = 0;
  #othersMs = Number.NEGATIVE_INFINITY;
  /** Bytes that are held, writes that were, for statistics. */
  heldBytes = 0;
  heldCount = 0;

  constructor(parts: PriorityParts) {
    this.#parts = parts;
  }

  /** Writes a put, or a delete when `value` is undefined. Bytes are copied. */
  one(
    key: Uint8Array,
    value: Uint8Array | undefined,
    level: Durability,
    options: WriteOptions | undefined,
  ): Promise<void> {
    const { committer } = this.#parts;
    if (options?.priority !== "low") {
      return committer.writeOne(key, value, level, options?.signal, options?.priority === "high");
    }
    if (this.#mayGo()) {
      this.#callsSeen++;
      const done = committer.writeOne(key, value, level, options.signal, true);
      this.#noteGone(key.length + (value?.length ?? 0));
      return done;
    }
    const batch = new WriteBatch();
    if (value === undefined) batch.delete(key);
    else batch.put(key, value);
    return this.#holdBatch(batch, level, options.signal);
  }

  /** Writes the put of a value that is written already. `key` is kept. */
  far(
    key: Uint8Array,
    value: FarValue,
    level: Durability,
    options: WriteOptions | undefined,
  ): Promise<void> {
    const { committer } = this.#parts;
    const { priority, signal } = options ?? {};
    if (priority !== "low") {
      return committer.writeFar(key, value, level, signal, priority === "high");
    }
    // What it takes of this thread and of the memory: not the value, which stands apart.
    const bytes = key.length + POINTER_BYTES;
    const commit = (): Promise<void> => committer.writeFar(key, value, level, signal, true);
    if (!this.#mayGo()) return this.#hold(bytes, signal, commit);
    this.#callsSeen++;
    const done = commit();
    this.#noteGone(bytes);
    return done;
  }

  /** As `one`, on this thread. */
  oneSync(
    key: Uint8Array,
    value: Uint8Array | undefined,
    level: Durability,
    options: WriteOptions | undefined,
  ): void {
    const { committer } = this.#parts;
    if (options?.priority === "low") this.releaseAll();
    committer.writeOneSync(key, value, level, options?.priority);
  }

  /** Writes a batch. Bytes are copied. */
  batch(batch: WriteBatch, level: Durability, options: WriteOptions | undefined): Promise<void> {
    const { committer } = this.#parts;
    if (options?.priority !== "low") {
      return committer.writeBatch(batch, level, options?.signal, options?.priority === "high");
    }
    if (this.#mayGo()) {
      this.#callsSeen++;
      const done = committer.writeBatch(batch, level, options.signal, true);
      this.#noteGone(batch.bytes);
      return done;
    }
    return this.#holdBatch(batch.copy(), level, options.signal);
  }

  /** As `batch`, on this thread. */
  batchSync(batch: WriteBatch, level: Durability, options: WriteOptions | undefined): void {
    const { committer } = this.#parts;
    if (options?.priority === "low") this.releaseAll();
    committer.writeBatchSync(batch, level, options?.priority);
  }

  /** Gives what is held to commit, without pauses. */
  releaseAll(): void {
    while (this.#holds) this.#releaseOne();
  }

  /** As `releaseAll`, and has it appended. */
  settleSync(): void {
    this.releaseAll();
    this.#parts.committer.settleSync();
  }

  /** True when an admitted write is not visible yet. */
  get unsettled(): boolean {
    return this.#holds || this.#parts.committer.unsettled;
  }

  /** Makes everything durable that came so far. */
  async sync(): Promise<void> {
    this.releaseAll();
    await this.#parts.committer.sync();
  }

  /** As `sync`, on this thread. */
  syncSync(): void {
    this.releaseAll();
    this.#parts.committer.syncSync();
  }

  #mayGo(): boolean {
    return !this.#holds && this.#parts.clock.monotonicMs() >= this.#nextMs;
  }

  get #holds(): boolean {
    return this.#head < this.#held.length;
  }

  #holdBatch(batch: WriteBatch, level: Durability, signal: AbortSignal | undefined): Promise<void> {
    const { committer } = this.#parts;
    return this.#hold(batch.bytes, signal, () => committer.writeBatch(batch, level, signal, true));
  }

  #hold(
    bytes: number,
    signal: AbortSignal | undefined,
    commit: () => Promise<void>,
  ): Promise<void> {
    this.heldBytes += bytes;
    this.heldCount++;
    const promise = new Promise<void>((resolve) => {
      const write: HeldWrite = { commit, bytes, signal, resolve, isGone: false };
      if (signal !== undefined) this.#aborts.add(signal, write);
      this.#held.push(write);
    });
    while (this.heldBytes > this.#parts.heldBytesMax) this.#releaseOne();
    this.#arm();
    return promise;
  }

  #abort(write: HeldWrite, signal: AbortSignal): void {
    write.isGone = true;
    this.heldBytes -= write.bytes;
    const cause: unknown = signal.reason;
    const error = new AuraError("AURA_ABORTED", "the write was aborted", { cause });
    write.resolve(Promise.reject(error));
  }

  #arm(): void {
    if (this.#timer !== undefined || !this.#holds) return;
    const { clock, scheduler } = this.#parts;
    const leftMs = Math.max(BUSY_MS, this.#nextMs - clock.monotonicMs());
    this.#timer = scheduler.after(leftMs, this.#tick, true);
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    const { committer, clock, debt } = this.#parts;
    // A debt that is gone ends a pause that was for it.
    const isDue = clock.monotonicMs() >= this.#nextMs || debt.lowMsPerByte === 0;
    if (isDue && !committer.unsettled) {
      let bytes = 0;
      while (this.#holds && bytes < PORTION_BYTES) bytes += this.#releaseOne();
      this.#noteGone(bytes);
    }
    this.#arm();
  };

  /** Gives the oldest write to commit; returns its bytes. */
  #releaseOne(): number {
    const write = this.#held[this.#head++];
    if (!this.#holds) {
      this.#held = [];
      this.#head = 0;
    }
    if (write === undefined || write.isGone) return 0;
    const { commit, bytes, signal, resolve } = write;
    if (signal !== undefined) this.#aborts.remove(signal, write);
    this.heldBytes -= bytes;
    try {
      resolve(commit());
    } catch (error) {
      resolve(Promise.reject(error as Error));
    }
    this.#callsSeen++;
    return bytes;
  }

  /** Sets when the next low write may go. */
  #noteGone(bytes: number): void {
    const { committer, debt, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (committer.calls > this.#callsSeen) this.#othersMs = nowMs;
    this.#callsSeen = committer.calls;
    let pauseMs = bytes * debt.lowMsPerByte;
    if (nowMs - this.#othersMs < YIELD_MS) pauseMs += bytes / YIELD_BYTES_PER_MS;
    this.#nextMs = Math.max(this.#nextMs, nowMs - BUSY_MS) + Math.min(pauseMs, PAUSE_MS_MAX);
  }
}
