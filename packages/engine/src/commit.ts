/**
 * Commit: how writes get a sequence number, leave as groups, become visible and durable.
 *
 * - Sequence numbers are given when a call is admitted; groups are appended in that order, and only
 *   then inserted into the memtable: visible means appended (`buffered` writes excepted: they are
 *   visible at once and reach the log with the next group, after a bounded delay, or at a sync).
 * - Asynchronous writes of one turn form one group. A small group is appended on this thread when
 *   the running code returns; a large one on the thread pool. Whatever arrives meanwhile forms the
 *   next group.
 * - A synchronous write, a read or a snapshot first settles what was admitted before it: it writes
 *   the append in flight again at its place, then the open groups.
 * - A failed group is void: nothing of it is visible, its callers get the error.
 * - Memory is bounded: without room in the memtables promises wait, and synchronous writes block
 *   until a flush made room.
 */
import type { Clock, Scheduler, Timer } from "@aura/base";
import { AuraError, assert, hasCode } from "@aura/base";
import { entryBytesMax } from "@aura/memtable";
import { POINTER_BYTES } from "@aura/vlog";
import type { WriteBatch } from "./batch.ts";
import { Group } from "./group.ts";
import type { Health } from "./health.ts";
import type { GroupPlace, Journal } from "./journal.ts";
import type { LogFile } from "./log-file.ts";
import type { Memtables } from "./memtables.ts";
import { PendingGroup } from "./pending-group.ts";
import type { Reserve } from "./reserve.ts";
import type { Separation } from "./separation.ts";
import type { Durability } from "./settings.ts";
import type { TurnKeeper } from "./turn-keeper.ts";

/** Groups from this size on are appended on the thread pool (docs/rfcs/0001-log-layout.md). */
const POOL_GROUP_BYTES_MIN: number = 1024 * 1024;
/** An open group is closed at this size. */
const OPEN_GROUP_BYTES_MAX = 4 * 1024 * 1024;
/** Buffered operations are written at this size at the latest. */
const BUFFERED_BYTES_MAX = 64 * 1024;
/** A synchronous write gives up after this long without progress of the background work, ms. */
const STALL_MS_MAX = 60_000;
/** How long it waits for a completion before it looks again, ms. */
const STALL_SLICE_MS = 100;
/** How long after the last sync the durable watermark is written, ms. */
const WATERMARK_IDLE_MS = 20;

/** What commit needs of the background work. */
export interface RoomMaker {
  /** Begins to flush sealed memtables. `again`: at once, even after a failure. */
  flushSealed(again?: boolean): void;
  /** Runs completions of background work on this thread. */
  poll(): void;
  /** Blocks until background work made progress, or `ms` went by. */
  waitSync(ms: number): boolean;
}

/** What commit works with. */
export interface CommitParts {
  readonly journal: Journal;
  readonly memtables: Memtables;
  readonly health: Health;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly turns: TurnKeeper;
  readonly room: RoomMaker;
  readonly separation: Separation;
  readonly bufferedDelayMs: number;
  /** Bytes of unflushed separated values from which on the memtable is sealed. */
  readonly valueBytesMax: () => number;
  readonly reserve: Reserve;
  /** A sync failed; nothing is written any more. */
  readonly onSyncFailed: () => void;
  /** A write waits for room. */
  readonly onStall: () => void;
}

interface Flight {
  readonly pending: PendingGroup;
  readonly log: LogFile;
  readonly place: GroupPlace;
  done: boolean;
}

/** Admits writes and carries them to the log and the memtable. */
export class Committer {
  readonly #parts: CommitParts;
  readonly #scratch: Group;
  readonly #buffered: Group;
  #bufferedTimer: Timer | undefined;
  #watermarkTimer: Timer | undefined;
  #queue: PendingGroup[] = [];
  /** A group to use again. Never one that the thread pool may still be reading. */
  #spare: Group | undefined;
  #flight: Flight | undefined;
  #drainScheduled = false;
  /** `settleSync` is at work: it empties the queue, and nobody else. */
  #settling = false;
  #bufferedSinceMs = 0;
  /** Acknowledged buffered writes could not be written: a close has to say so. */
  #lostBuffered = false;
  #syncing: Promise<void> | undefined;
  #nextSeq: number;
  /** Times a write had to wait for room. */
  stallCount = 0;

  constructor(parts: CommitParts, lastSeq: number) {
    this.#parts = parts;
    this.#nextSeq = lastSeq + 1;
    this.#scratch = newGroup();
    this.#buffered = newGroup();
  }

  /** Highest sequence number given. */
  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /** Admits one operation (a put, or a delete when `value` is undefined). Bytes are copied. */
  writeOne(key: Uint8Array, value: Uint8Array | undefined, level: Durability): Promise<void> {
    this.#admit();
    if (level === "buffered" && this.#parts.separation.isInline(value)) {
      this.#writeBuffered(key, value);
      return this.#answered();
    }
    const { separation } = this.#parts;
    const pending = this.#openGroup(separation.memtableBytes(key.length, value));
    separation.addOne(pending.group, key, value, true);
    this.#nextSeq++;
    return this.#promiseOf(pending, level);
  }

  /** Carries one operation to its level on this thread. */
  writeOneSync(key: Uint8Array, value: Uint8Array | undefined, level: Durability): void {
    this.#admit();
    if (level === "buffered" && this.#parts.separation.isInline(value)) {
      this.#writeBuffered(key, value);
      return;
    }
    this.settleSync();
    const group = this.#scratch;
    group.begin(this.#nextSeq);
    this.#parts.separation.addOne(group, key, value, false);
    this.#commitSync(group, level);
  }

  /** Admits a batch: all of it in one group. Bytes are copied. */
  writeBatch(batch: WriteBatch, level: Durability): Promise<void> {
    this.#admit();
    if (batch.length === 0) return Promise.resolve();
    const pending = this.#openGroup(this.#parts.separation.batchMemtableBytes(batch));
    this.#parts.separation.addBatch(pending.group, batch, true);
    this.#nextSeq += batch.length;
    return this.#promiseOf(pending, level);
  }

  /** Carries a batch to its level on this thread. */
  writeBatchSync(batch: WriteBatch, level: Durability): void {
    this.#admit();
    if (batch.length === 0) return;
    this.#parts.separation.batchMemtableBytes(batch);
    this.settleSync();
    const group = this.#scratch;
    group.begin(this.#nextSeq);
    this.#parts.separation.addBatch(group, batch, false);
    this.#commitSync(group, level);
  }

  /**
   * Makes admitted writes visible and returns the highest sequence number given. Background results
   * that are ready are installed on the way.
   */
  visibleSeq(): number {
    this.#parts.room.poll();
    if (this.unsettled) this.settleSync();
    return this.#nextSeq - 1;
  }

  /** True when an admitted write is not visible yet. */
  get unsettled(): boolean {
    return this.#queue.length > 0 || this.#flight !== undefined;
  }

  /** Makes every admitted write visible (or failed), on this thread. */
  settleSync(): void {
    if (this.#settling) return;
    this.#settling = true;
    try {
      this.#landSync();
      while (this.#queue.length > 0) {
        const { failure } = this.#parts.health;
        if (failure !== undefined) {
          this.#rejectQueue(failure);
          return;
        }
        const pending = this.#queue[0]!;
        this.#makeRoomSync(pending.group.memtableBytes);
        this.#queue.shift();
        this.#appendPending(pending);
      }
    } finally {
      this.#settling = false;
    }
  }

  /** Hands buffered operations to the operating system. */
  flushBufferedSync(): void {
    const group = this.#buffered;
    this.#bufferedTimer?.cancel();
    this.#bufferedTimer = undefined;
    if (group.count === 0) return;
    try {
      this.#parts.journal.appendVisibleSync(group);
    } catch (error) {
      this.#lostBuffered = true;
      this.#parts.health.fail(error as Error);
      throw error;
    } finally {
      group.begin(this.#nextSeq);
    }
  }

  /** Makes everything that was admitted so far durable. */
  async sync(): Promise<void> {
    this.settleSync();
    this.flushBufferedSync();
    await this.#durable(this.lastSeq);
  }

  /** As `sync`, on this thread. */
  syncSync(): void {
    this.settleSync();
    this.flushBufferedSync();
    this.#syncNow();
  }

  /** Seals the active memtable if it holds something. */
  sealMemtable(): void {
    const { memtables, journal, room } = this.#parts;
    // The log ends here: an append that goes to it has to be in it, and in this memtable.
    this.#landSync();
    if (memtables.active.table.entryCount === 0) return;
    this.flushBufferedSync();
    memtables.seal();
    journal.seal("wal");
    room.flushSealed();
  }

  /** Goes on with groups that waited for room. */
  drain(): void {
    if (this.#settling) return;
    while (this.#queue.length > 0 && this.#flight === undefined) {
      const pending = this.#queue[0]!;
      if (this.#parts.health.failure !== undefined) {
        this.#rejectQueue(this.#parts.health.failure);
        return;
      }
      let hasRoom: boolean;
      try {
        hasRoom = this.#makeRoom(pending.group.memtableBytes);
      } catch (error) {
        // What is buffered could not be written: the queue is rejected above.
        this.#parts.health.fail(error as Error);
        continue;
      }
      if (!hasRoom) {
        this.stallCount++;
        this.#parts.onStall();
        return;
      }
      this.#queue.shift();
      pending.closed = true;
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
    while (this.unsettled || this.#syncing !== undefined) {
      this.settleSync();
      await this.#syncing?.catch(() => undefined);
      await this.#parts.turns.turn();
    }
    this.#watermarkTimer?.cancel();
    const { failure } = this.#parts.health;
    if (failure === undefined) this.flushBufferedSync();
    else if (this.#lostBuffered || this.#buffered.count > 0) throw failure;
    this.#bufferedTimer?.cancel();
  }

  #admit(): void {
    const { health, reserve, room } = this.#parts;
    health.assertWritable();
    room.poll();
    if (reserve.full && !reserve.hasRoom()) {
      throw new AuraError(
        "AURA_OUT_OF_SPACE",
        "the volume is full; writing goes on once it is not",
      );
    }
  }

  #openGroup(memtableBytes: number): PendingGroup {
    const last = this.#queue.at(-1);
    const limit = this.#parts.memtables.groupBytesMax;
    if (
      last !== undefined &&
      !last.closed &&
      last.group.bytes < OPEN_GROUP_BYTES_MAX &&
      last.group.memtableBytes + memtableBytes <= limit
    ) {
      return last;
    }
    const pending = new PendingGroup(this.#spare ?? newGroup());
    this.#spare = undefined;
    pending.group.begin(this.#nextSeq);
    this.#queue.push(pending);
    if (!this.#drainScheduled) {
      this.#drainScheduled = true;
      this.#parts.scheduler.afterThis(() => {
        this.#drainScheduled = false;
        this.drain();
      });
    }
    return pending;
  }

  #promiseOf(pending: PendingGroup, level: Durability): Promise<void> {
    if (level !== "sync") return pending.appended.promise;
    pending.durable ??= pending.appended.promise.then(() => this.#durable(pending.lastSeq));
    return pending.durable;
  }

  #answered(): Promise<void> {
    return this.#parts.turns.mustTurn() ? this.#parts.turns.turn() : Promise.resolve();
  }

  #writeBuffered(key: Uint8Array, value: Uint8Array | undefined): void {
    this.settleSync();
    this.#parts.health.assertWritable();
    const group = this.#buffered;
    this.#makeRoomSync(entryBytesMax(key.length, value?.length ?? 0));
    if (group.count === 0) group.begin(this.#nextSeq);
    const start = group.covered.length;
    this.#parts.separation.addOne(group, key, value, false);
    const { bytes, length } = group.covered;
    this.#parts.memtables.apply(bytes, start, length, this.#nextSeq, 0, 0);
    this.#nextSeq++;
    const nowMs = this.#parts.clock.monotonicMs();
    if (group.count === 1) this.#bufferedSinceMs = nowMs;
    // The timer needs a turn of the event loop, and the delay is bounded without one, too.
    const late = nowMs - this.#bufferedSinceMs >= this.#parts.bufferedDelayMs;
    if (late || group.bytes >= BUFFERED_BYTES_MAX) this.flushBufferedSync();
    else
      this.#bufferedTimer ??= this.#parts.scheduler.after(this.#parts.bufferedDelayMs, () => {
        this.#bufferedTimer = undefined;
        try {
          this.flushBufferedSync();
        } catch {
          // Health remembers it; the next write reports it.
        }
      });
  }

  #commitSync(group: Group, level: Durability): void {
    this.#makeRoomSync(group.memtableBytes);
    this.#nextSeq += group.count;
    this.#append(group);
    if (level === "sync") this.#syncNow();
  }

  /** Appends a group and makes it visible. On failure the group is void and the error is thrown. */
  #append(group: Group): void {
    const { journal, health } = this.#parts;
    this.flushBufferedSync();
    // Nothing goes behind a group of unknown fate.
    health.assertWritable();
    let place: GroupPlace;
    try {
      place = journal.appendSync(group);
    } catch (error) {
      this.#noteFailure(error);
      throw error;
    }
    this.#apply(group, place);
  }

  #apply(group: Group, place: GroupPlace): void {
    const { memtables } = this.#parts;
    const { bytes, length } = group.covered;
    const count = memtables.apply(
      bytes,
      0,
      length,
      group.firstSeq,
      place.file,
      place.attachedOffset,
    );
    assert(count === group.count, "a group holds what was counted");
    if (memtables.active.valueBytes > this.#parts.valueBytesMax() && memtables.maySeal) {
      this.sealMemtable();
    }
  }

  #appendPending(pending: PendingGroup): void {
    pending.closed = true;
    try {
      this.#append(pending.group);
    } catch (error) {
      pending.appended.reject(error);
      return;
    }
    this.#settled(pending);
    // Written on this thread: nobody reads its buffers any more.
    this.#spare = pending.group;
  }

  #settled(pending: PendingGroup): void {
    pending.lastSeq = pending.group.lastSeq;
    if (this.#parts.turns.mustTurn()) {
      this.#parts.scheduler.nextTurn(() => pending.appended.resolve());
    } else pending.appended.resolve();
  }

  #appendOnPool(pending: PendingGroup): void {
    try {
      this.flushBufferedSync();
      this.#parts.health.assertWritable();
      const { log, place, written } = this.#parts.journal.beginAppend(pending.group);
      const flight: Flight = { pending, log, place, done: false };
      this.#flight = flight;
      written.then(
        () => this.#landed(flight),
        (error: unknown) => this.#crashed(flight, error),
      );
    } catch (error) {
      this.#noteFailure(error);
      pending.appended.reject(error);
    }
  }

  #landed(flight: Flight): void {
    if (flight.done) return;
    this.#finish(flight);
    this.drain();
  }

  #crashed(flight: Flight, cause: unknown): void {
    if (flight.done) return;
    this.#giveUp(flight, cause);
    this.drain();
  }

  /** Ends the append in flight from this thread. */
  #landSync(): void {
    const flight = this.#flight;
    if (flight === undefined) return;
    try {
      this.#parts.journal.rewriteInFlightSync(flight.log);
    } catch (error) {
      this.#giveUp(flight, error);
      return;
    }
    this.#finish(flight);
  }

  #finish(flight: Flight): void {
    flight.done = true;
    this.#flight = undefined;
    this.#parts.journal.finishAppend(flight.log, flight.pending.group);
    this.#apply(flight.pending.group, flight.place);
    this.#settled(flight.pending);
  }

  #giveUp(flight: Flight, cause: unknown): void {
    flight.done = true;
    this.#flight = undefined;
    const error = this.#parts.journal.fail(flight.log, flight.pending.group, cause);
    this.#noteFailure(error);
    flight.pending.appended.reject(error);
  }

  #noteFailure(error: unknown): void {
    if (hasCode(error, "AURA_UNKNOWN_OUTCOME")) this.#parts.health.fail(error as Error);
  }

  #rejectQueue(cause: Error): void {
    const queue = this.#queue;
    this.#queue = [];
    if (queue.length > 0) this.#parts.health.noteTold();
    const error = new AuraError("AURA_READ_ONLY", `not written: ${cause.message}`, { cause });
    for (const pending of queue) pending.appended.reject(error);
  }

  #makeRoom(memtableBytes: number): boolean {
    const { memtables } = this.#parts;
    if (memtables.hasRoom(memtableBytes)) return true;
    if (!memtables.maySeal) return false;
    this.sealMemtable();
    return true;
  }

  #makeRoomSync(memtableBytes: number): void {
    if (this.#makeRoom(memtableBytes)) return;
    this.stallCount++;
    this.#parts.onStall();
    const { room, health } = this.#parts;
    for (let tries = 0; !this.#makeRoom(memtableBytes); ) {
      health.assertWritable();
      const before = this.#parts.memtables.sealed.length;
      room.flushSealed(true);
      room.waitSync(STALL_SLICE_MS);
      if (this.#parts.memtables.sealed.length < before) tries = 0;
      else if (++tries * STALL_SLICE_MS >= STALL_MS_MAX) {
        throw new AuraError("AURA_BUSY", "no room: flushes make no progress");
      }
    }
  }

  #syncNow(): void {
    const { journal, health } = this.#parts;
    try {
      journal.syncs.syncSync();
    } catch (error) {
      throw this.#syncFailed(error, health);
    }
    this.#expectWatermark();
  }

  /** Resolves when the history up to `seq` is durable. Waiters share syncs. */
  async #durable(seq: number): Promise<void> {
    const { journal, health } = this.#parts;
    while (journal.syncs.durableSeq < seq) {
      if (health.failure !== undefined) throw this.#syncFailed(health.failure, health);
      assert(journal.appendedSeq >= seq, "only what was appended can become durable");
      if (this.#syncing === undefined) {
        this.#syncing = journal.syncs.sync().finally(() => {
          this.#syncing = undefined;
        });
      }
      try {
        await this.#syncing;
      } catch (error) {
        throw this.#syncFailed(error, health);
      }
    }
    this.#expectWatermark();
  }

  #syncFailed(error: unknown, health: Health): AuraError {
    if (health.failure === undefined) this.#parts.onSyncFailed();
    health.fail(error as Error);
    return new AuraError(
      "AURA_UNKNOWN_OUTCOME",
      "a sync failed: what was written since the last one may not survive; reopen to know",
      { cause: error },
    );
  }

  #expectWatermark(): void {
    this.#watermarkTimer ??= this.#parts.scheduler.after(WATERMARK_IDLE_MS, () => {
      this.#watermarkTimer = undefined;
      this.#writeWatermark();
    });
  }

  #writeWatermark(): void {
    const { journal, health } = this.#parts;
    if (health.failure !== undefined || health.closed || this.#flight !== undefined) return;
    journal.appendWatermarkSync();
  }
}

function newGroup(): Group {
  return new Group(entryBytesMax, POINTER_BYTES);
}
