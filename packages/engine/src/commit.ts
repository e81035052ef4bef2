/**
 * Commit: how writes become groups, get sequence numbers, leave, and become visible.
 *
 * - Writes leave in call order. A group is numbered when it is appended, and only then inserted into
 *   the memtable: visible means appended (`buffered` writes excepted, see buffered-writes.ts).
 * - Asynchronous writes of one run of code, or that come while an append is in flight, form one
 *   group. A program that awaits each write has nothing to group: a write that is alone in its run,
 *   as the one before it was, is appended within the call.
 * - A small group is appended on this thread; a large one on the thread pool.
 * - A synchronous write, a read or a snapshot first settles what was admitted before it: it writes
 *   the append in flight again at its place, then the open groups.
 * - A failed group is void: nothing of it is visible, its callers get the error.
 * - Memory is bounded, and an acknowledgement waits for debt (admission.ts).
 */
import type { Clock, Scheduler } from "@aura/base";
import { AuraError, assert, hasCode } from "@aura/base";
import { entryBytesMax } from "@aura/memtable";
import { POINTER_BYTES } from "@aura/vlog";
import { Admission, type AdmissionParts, type BackgroundWork } from "./admission.ts";
import type { WriteBatch } from "./batch.ts";
import { BufferedWrites, isWant } from "./buffered-writes.ts";
import type { Priority } from "./call-options.ts";
import { type DurableParts, DurableWaits } from "./durable-waits.ts";
import type { StallEvent } from "./events.ts";
import { type FarValue, Group, OPERATIONS_AT } from "./group.ts";
import { GroupQueue, OPEN_GROUP_BYTES_MAX } from "./group-queue.ts";
import type { Health } from "./health.ts";
import type { Journal } from "./journal.ts";
import type { Memtables } from "./memtables.ts";
import type { PendingGroup } from "./pending-group.ts";
import type { GroupPlace } from "./pool-append.ts";
import { PoolFlight } from "./pool-flight.ts";
import type { Reserve } from "./reserve.ts";
import type { Separation } from "./separation.ts";
import type { Durability } from "./settings.ts";
import type { TurnKeeper } from "./turn-keeper.ts";
import { ValueSlabs } from "./value-slabs.ts";
import type { WriteDebt } from "./write-debt.ts";

/** Groups from this size on are appended on the thread pool (RFC 0001). */
const POOL_GROUP_BYTES_MIN: number = 1024 * 1024;

/** What commit works with. */
export interface CommitParts
  extends Pick<AdmissionParts, "mayGrow" | "pace">,
    Pick<DurableParts, "onUntoldFailure"> {
  readonly journal: Journal;
  readonly memtables: Memtables;
  readonly health: Health;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly turns: TurnKeeper;
  readonly work: BackgroundWork;
  readonly separation: Separation;
  readonly bufferedDelayMs: number;
  readonly syncIntervalMs: number;
  /** Whether the active memtable names so many separated values that it is to be sealed. */
  readonly mustSeal: () => boolean;
  readonly reserve: Reserve;
  readonly debt: WriteDebt;
  /** Writes begin or cease to wait. */
  readonly onStall: (event: StallEvent) => void;
}

/** Two promises of one write. */
export interface Receipt {
  /** Resolves when the write is visible and survives the death of the process. */
  readonly committed: Promise<void>;
  /** Resolves when it survives power loss. */
  readonly durable: Promise<void>;
}

const RESOLVED: Promise<void> = Promise.resolve();

/** Admits writes and carries them to the log and the memtable. */
export class Committer {
  readonly #parts: CommitParts;
  readonly #room: Admission;
  readonly #waits: DurableWaits;
  readonly #buffered: BufferedWrites;
  /** The group of a write that is appended within its call. */
  readonly #slabs = new ValueSlabs();
  readonly #scratch: Group = newGroup(this.#slabs);
  readonly #queue: GroupQueue;
  readonly #flight = new PoolFlight({
    onWritten: (pending, finish) => this.#written(pending, finish),
    onFailed: (pending, error) => this.#rejected(pending, error),
    onLanded: () => this.drain(),
  });
  /** `settleSync` is at work: it empties the queue, and nobody else. */
  #settling = false;
  #nextSeq: number;
  /** The group for whose room a read has waited in vain; null: none. */
  #stuckBefore: PendingGroup | null = null;
  readonly #drain = (): void => this.drain();
  /** Reads and writes that came. */
  calls = 0;
  /** Asynchronous writes of the code that is running; whether there was one in the last run. */
  #runWrites = 0;
  #lastRunLone = true;
  readonly #endRun = (): void => {
    this.#lastRunLone = this.#runWrites === 1;
    this.#runWrites = 0;
    if (this.#queue.length > 0) this.drain();
  };

  constructor(parts: CommitParts, lastSeq: number) {
    this.#parts = parts;
    this.#nextSeq = lastSeq + 1;
    const { memtables, health, journal, scheduler, clock, onUntoldFailure } = parts;
    const { groupBytesMax } = memtables;
    this.#queue = new GroupQueue({ newGroup: () => newGroup(this.#slabs), groupBytesMax });
    this.#room = new Admission({ ...parts, seal: () => this.sealMemtable() });
    const buffered = { journal, health, scheduler, clock, delayMs: parts.bufferedDelayMs };
    this.#buffered = new BufferedWrites(buffered, newGroup(this.#slabs));
    this.#waits = new DurableWaits({
      journal,
      health,
      scheduler,
      intervalMs: parts.syncIntervalMs,
      flushBuffered: () => this.#buffered.flushSync(),
      mayAppend: () => !this.#flight.active,
      onUntoldFailure,
    });
  }

  /** Highest sequence number given. */
  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /** What makes writes wait. */
  get admission(): Admission {
    return this.#room;
  }

  /**
   * Admits one operation (a put, or a delete when `value` is undefined). Bytes are copied. `prompt`:
   * its acknowledgement does not wait for debt.
   */
  writeOne(
    key: Uint8Array,
    value: Uint8Array | undefined,
    level: Durability,
    signal?: AbortSignal,
    prompt = false,
  ): Promise<void> {
    this.#admit();
    const { separation } = this.#parts;
    if (level === "buffered" && separation.isInline(value)) {
      this.#writeBuffered(key, value);
      return this.#answered(prompt ? 0 : separation.memtableBytes(key.length, value));
    }
    const memtableBytes = separation.memtableBytes(key.length, value);
    const apart = separation.valueBytes(value);
    if (this.#isLone() && apart < POOL_GROUP_BYTES_MIN && this.#room.make(memtableBytes, apart)) {
      const group = this.#scratch;
      group.begin();
      separation.addOne(group, key, value, false);
      return this.#appendLone(group, level, prompt);
    }
    this.#boundQueue();
    const pending = this.#queue.open(memtableBytes, signal);
    try {
      separation.addOne(pending.group, key, value, true);
    } catch (error) {
      this.#queue.takeBack(pending);
      throw error;
    }
    return this.#promiseOf(pending, level, prompt);
  }

  /** What is queued takes the memory of one memtable, or 2 MiB. Beyond, a call blocks; throws as `writeOneSync`. */
  #boundQueue(): void {
    if (this.#queue.isFull) this.settleSync();
  }

  /** Carries one operation to its level on this thread. */
  writeOneSync(
    key: Uint8Array,
    value: Uint8Array | undefined,
    level: Durability,
    priority: Priority = "normal",
  ): void {
    this.#admit();
    if (level === "buffered" && this.#parts.separation.isInline(value)) {
      this.#writeBuffered(key, value);
      this.#room.delaySync(this.#parts.separation.memtableBytes(key.length, value), priority);
      return;
    }
    if (this.unsettled) this.settleSync();
    const group = this.#scratch;
    group.begin();
    this.#parts.separation.addOne(group, key, value, false);
    this.#commitSync(group, level, priority);
  }

  /** Admits a batch: all of it in one group. Bytes are copied. `prompt`: as in `writeOne`. */
  writeBatch(
    batch: WriteBatch,
    level: Durability,
    signal?: AbortSignal,
    prompt = false,
  ): Promise<void> {
    this.#admit();
    const { separation } = this.#parts;
    const memtableBytes = separation.batchMemtableBytes(batch);
    if (
      this.#isLone() &&
      batch.encoded.length < POOL_GROUP_BYTES_MIN &&
      this.#room.make(memtableBytes, separation.batchValueBytes)
    ) {
      const group = this.#scratch;
      group.begin();
      separation.addBatch(group, batch, false);
      return this.#appendLone(group, level, prompt);
    }
    this.#boundQueue();
    const pending = this.#queue.open(memtableBytes, signal);
    try {
      separation.addBatch(pending.group, batch, true);
    } catch (error) {
      this.#queue.takeBack(pending);
      throw error;
    }
    return this.#promiseOf(pending, level, prompt);
  }

  /** Admits the put of a value that is written already, apart from its head. `prompt`: as in `writeOne`. */
  writeFar(
    key: Uint8Array,
    value: FarValue,
    level: Durability,
    signal?: AbortSignal,
    prompt = false,
  ): Promise<void> {
    this.#admit();
    const memtableBytes = entryBytesMax(key.length, POINTER_BYTES);
    if (this.#isLone() && this.#room.make(memtableBytes, 0)) {
      const group = this.#scratch;
      group.begin();
      group.putFar(key, value);
      return this.#appendLone(group, level, prompt);
    }
    const pending = this.#queue.open(memtableBytes, signal, true);
    pending.group.putFar(key, value);
    return this.#promiseOf(pending, level, prompt);
  }

  /** Carries a batch to its level on this thread. */
  writeBatchSync(batch: WriteBatch, level: Durability, priority: Priority = "normal"): void {
    this.#admit();
    this.#parts.separation.batchMemtableBytes(batch);
    this.settleSync();
    const group = this.#scratch;
    group.begin();
    this.#parts.separation.addBatch(group, batch, false);
    this.#commitSync(group, level, priority);
  }

  /** Admits a batch and returns when it is committed and when it is durable, apart. Does not throw. */
  submit(batch: WriteBatch, signal?: AbortSignal): Receipt {
    const committed = (async () => this.writeBatch(batch, "os", signal))();
    const durable = committed.then(() => this.#waits.until(this.#parts.journal.appendedSeq));
    // Who asks for one of the two need not handle the other.
    durable.catch(() => undefined);
    committed.catch(() => undefined);
    return { committed, durable };
  }

  /**
   * Makes admitted writes visible, as far as they can be, and returns the highest sequence number
   * that is. Background results that are ready are installed on the way. What keeps a write from
   * being made visible is that write's to tell, not the reader's: this does not throw.
   */
  visibleSeq(): number {
    this.calls++;
    this.#parts.work.poll();
    if (this.unsettled) this.#settleForRead();
    return this.#nextSeq - 1;
  }

  #settleForRead(): void {
    if (this.#stuckBefore === this.#queue.first) {
      // It was waited for once, in vain.
      this.#flight.landSync();
      this.drain();
      if (this.#stuckBefore === this.#queue.first) return;
    }
    try {
      this.settleSync();
      this.#stuckBefore = null;
    } catch {
      this.#stuckBefore = this.#queue.first ?? null;
      // If it was no lack of room, the next try finds out, and rejects what is queued.
      this.#parts.scheduler.afterThis(this.#drain);
    }
  }

  /** True when an admitted write is not visible yet. */
  get unsettled(): boolean {
    return this.#queue.length > 0 || this.#flight.active;
  }

  /** Makes every admitted write visible (or failed), on this thread. */
  settleSync(): void {
    if (this.#settling) return;
    this.#settling = true;
    try {
      this.#flight.landSync();
      while (this.#queue.length > 0) {
        const { failure } = this.#parts.health;
        if (failure !== undefined) {
          this.#rejectQueue(failure);
          return;
        }
        const pending = this.#queue.first!;
        this.#room.makeSync(pending.group.memtableBytes, pending.group.attachedBytes);
        // Completions that ran meanwhile may have aborted it.
        if (this.#queue.first !== pending) continue;
        this.#queue.shift();
        this.#appendPending(pending);
      }
    } finally {
      this.#settling = false;
    }
  }

  /** Makes everything that was admitted so far durable. */
  async sync(): Promise<void> {
    this.settleSync();
    this.#buffered.flushSync();
    await this.#waits.until(this.#parts.journal.appendedSeq);
  }

  /** As `sync`, on this thread. */
  syncSync(): void {
    this.settleSync();
    this.#buffered.flushSync();
    this.#waits.syncSync();
  }

  /** Seals the active memtable if it holds something. */
  sealMemtable(): void {
    const { memtables, journal, work } = this.#parts;
    // The log ends here: an append that goes to it has to be in it, and in this memtable.
    this.#flight.landSync();
    if (memtables.active.isEmpty) return;
    this.#buffered.flushSync();
    memtables.seal();
    journal.seal("wal");
    work.flushSealed();
  }

  /** Goes on with groups that waited for room. */
  drain(): void {
    if (this.#settling) return;
    while (this.#queue.length > 0 && !this.#flight.active) {
      const pending = this.#queue.first!;
      if (this.#parts.health.failure !== undefined) {
        this.#rejectQueue(this.#parts.health.failure);
        return;
      }
      let hasRoom: boolean;
      try {
        hasRoom = this.#room.make(pending.group.memtableBytes, pending.group.attachedBytes);
      } catch (error) {
        // What is buffered could not be written.
        if (isWant(error)) {
          this.#queue.shift();
          pending.appended.reject(error);
        } else this.#parts.health.fail(error as Error); // the queue is rejected above
        continue;
      }
      if (!hasRoom) {
        this.#room.noteStall();
        return;
      }
      this.#queue.shift();
      const large = pending.group.bytes >= POOL_GROUP_BYTES_MIN;
      if (large && !this.#parts.journal.isPoolBusy(pending.group)) this.#appendOnPool(pending);
      else this.#appendPending(pending);
    }
  }

  /**
   * Waits until nothing is queued, in flight or being synced (failures are the callers'), then hands
   * over what is buffered. Throws when that fails.
   */
  async quiesce(): Promise<void> {
    this.#room.close();
    while (this.unsettled || this.#waits.syncing !== undefined) {
      try {
        this.settleSync();
      } catch (error) {
        // No room, and none comes: nobody may wait for ever.
        this.#rejectQueue(error as Error);
      }
      await this.#waits.syncing?.catch(() => undefined);
      await this.#parts.turns.turn();
    }
    this.#waits.end();
    const { failure } = this.#parts.health;
    if (failure === undefined) this.#buffered.flushSync();
    else if (this.#buffered.owed) throw failure;
    this.#buffered.cancelTimer();
  }

  #admit(): void {
    this.calls++;
    this.#room.admit();
  }

  /**
   * Counts an asynchronous write, and returns whether it may be appended within its call: nothing
   * came before it in the code that is running, and grouping would not have paid last time.
   */
  #isLone(): boolean {
    if (++this.#runWrites > 1) return false;
    this.#parts.scheduler.afterThis(this.#endRun);
    return this.#lastRunLone && this.#queue.length === 0 && !this.#flight.active;
  }

  #appendLone(group: Group, level: Durability, prompt: boolean): Promise<void> {
    try {
      this.#append(group);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    const bytes = prompt ? 0 : group.memtableBytes;
    if (level === "sync") return this.#room.behind(this.#waits.until(group.lastSeq), bytes);
    this.#waits.noteWritten();
    return this.#answered(bytes);
  }

  #promiseOf(pending: PendingGroup, level: Durability, prompt: boolean): Promise<void> {
    if (level === "sync") {
      pending.durable ??= pending.appended.promise.then(() =>
        this.#waits.until(pending.group.lastSeq),
      );
    }
    const reached = level === "sync" ? pending.durable! : pending.appended.promise;
    const answer = prompt || !this.#room.delays ? reached : pending.delayed(reached);
    // It need not wait for the end of the caller's run: the thread pool writes it during that.
    if (pending.group.bytes >= OPEN_GROUP_BYTES_MAX) this.drain();
    return answer;
  }

  #answered(chargedBytes: number): Promise<void> {
    const delay = this.#room.delay(chargedBytes);
    if (delay !== undefined) return delay;
    return this.#parts.turns.mustTurn() ? this.#parts.turns.turn() : RESOLVED;
  }

  #writeBuffered(key: Uint8Array, value: Uint8Array | undefined): void {
    this.settleSync();
    this.#parts.health.assertWritable();
    this.#room.makeSync(entryBytesMax(key.length, value?.length ?? 0), 0);
    const group = this.#buffered.open();
    if (group.count === 0) group.number(this.#nextSeq);
    const start = group.covered.length;
    group.mark();
    try {
      this.#parts.separation.addOne(group, key, value, false);
      const { bytes, length } = group.covered;
      this.#parts.memtables.apply(bytes, start, length, this.#nextSeq, 0, 0);
    } catch (error) {
      group.rollback();
      throw error;
    }
    this.#nextSeq++;
    this.#waits.noteWritten();
    this.#buffered.noteAdded();
  }

  #commitSync(group: Group, level: Durability, priority: Priority): void {
    this.#room.makeSync(group.memtableBytes, group.attachedBytes);
    this.#append(group);
    if (level === "sync") this.#waits.syncSync();
    else this.#waits.noteWritten();
    this.#room.delaySync(group.memtableBytes, priority);
  }

  /** Numbers and appends a group and makes it visible. On failure it is void, and the error thrown. */
  #append(group: Group): void {
    const { journal, health } = this.#parts;
    this.#buffered.flushSync();
    // Nothing goes behind a group of unknown fate.
    health.assertWritable();
    let place: GroupPlace;
    try {
      this.#number(group);
      // Nothing to write is a write all the same: what came before it reaches its level.
      if (group.count === 0) return;
      place = journal.appendSync(group);
    } catch (error) {
      this.#noteFailure(error);
      throw error;
    }
    this.#apply(group, place);
  }

  #number(group: Group): void {
    group.number(this.#nextSeq);
    this.#nextSeq += group.count;
  }

  /** Makes an appended group visible. Throws AURA_UNKNOWN_OUTCOME when it could not: that ends writing. */
  #apply(group: Group, place: GroupPlace): void {
    const { memtables, health } = this.#parts;
    const { bytes, length } = group.covered;
    const { file, attachedOffset } = place;
    try {
      const { firstSeq } = group;
      const count = memtables.apply(bytes, OPERATIONS_AT, length, firstSeq, file, attachedOffset);
      assert(count === group.count, "a group holds what was counted");
    } catch (cause) {
      const what = `a write is in the log, but could not be made visible: ${String(cause)}`;
      const error = new AuraError("AURA_UNKNOWN_OUTCOME", what, { cause });
      health.fail(error);
      throw error;
    }
    this.sealHidden();
  }

  /** Seals the active memtable if it hides too much garbage, and may be sealed. */
  sealHidden(): void {
    try {
      if (this.#parts.mustSeal() && this.#parts.memtables.maySeal) this.sealMemtable();
    } catch {
      // What was written is written. What kept the memtable from being sealed is met again.
    }
  }

  #appendPending(pending: PendingGroup): void {
    try {
      this.#append(pending.group);
    } catch (error) {
      pending.appended.reject(error);
      return;
    }
    pending.group.freeSlabs();
    this.#settled(pending);
    // Written on this thread: nobody reads its buffers any more. Its number is still asked for.
    if (pending.durable === undefined) this.#queue.reuse(pending.group);
  }

  #settled(pending: PendingGroup): void {
    this.#waits.noteWritten();
    if (pending.isDelayed) pending.delay = this.#room.delay(pending.group.memtableBytes);
    if (this.#parts.turns.mustTurn()) {
      this.#parts.scheduler.nextTurn(() => pending.appended.resolve());
    } else pending.appended.resolve();
  }

  #appendOnPool(pending: PendingGroup): void {
    try {
      this.#buffered.flushSync();
      this.#parts.health.assertWritable();
    } catch (error) {
      pending.appended.reject(error);
      return;
    }
    try {
      this.#number(pending.group);
      this.#flight.begin(pending, this.#parts.journal.beginAppend(pending.group));
    } catch (error) {
      this.#rejected(pending, error);
    }
  }

  #written(pending: PendingGroup, finish: () => GroupPlace): void {
    try {
      this.#apply(pending.group, finish());
    } catch (error) {
      this.#rejected(pending, error);
      return;
    }
    this.#settled(pending);
  }

  #rejected(pending: PendingGroup, error: unknown): void {
    this.#noteFailure(error);
    pending.appended.reject(error);
  }

  #noteFailure(error: unknown): void {
    // Numbers that no log names are given again, but for those of what stays buffered.
    this.#nextSeq = this.#parts.journal.appendedSeq + this.#buffered.group.count + 1;
    if (hasCode(error, "AURA_UNKNOWN_OUTCOME")) this.#parts.health.fail(error as Error);
  }

  #rejectQueue(cause: Error): void {
    if (this.#queue.rejectAll(cause)) this.#parts.health.noteTold();
  }
}

function newGroup(slabs: ValueSlabs): Group {
  return new Group(entryBytesMax, POINTER_BYTES, slabs);
}
