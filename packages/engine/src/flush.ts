/**
 * Flush scheduling: sealed memtables become tables of level 0, one after the other, in order.
 *
 * A flush that fails is tried again after a pause (out of space: once there is room); its memtable
 * and logs stay. Only a log that could not be synced ends writing: that is not tried twice. What a
 * flush read is released when its edit is published: the entries are in tables and
 * in the logs, which go only when the edit is durable.
 */
import type { Clock, JobQueue, Scheduler, Timer } from "@aura/base";
import { hasCode } from "@aura/base";
import type { SegmentSeal } from "./edit.ts";
import type { DatabaseEmitter } from "./events.ts";
import type { Health } from "./health.ts";
import type { IoBudget } from "./io-budget.ts";
import type { FlushInput, FlushOutput } from "./jobs/flush.ts";
import { addPacked, NOTHING_PACKED, type PackedValues } from "./jobs/value-mover.ts";
import type { Journal } from "./journal.ts";
import type { LogFile } from "./log-file.ts";
import type { MemtableEntry, Memtables } from "./memtables.ts";

import { flushedNewKeys } from "./new-keys.ts";
import type { OldLog } from "./old-logs.ts";
import type { OutputPlanner } from "./output-planner.ts";
import type { Reserve } from "./reserve.ts";
import type { SnapshotList } from "./snapshot.ts";
import type { Tree } from "./tree.ts";
import { VainTries } from "./vain-tries.ts";
import type { WorkCounts } from "./work-counts.ts";
import type { WriteDebt } from "./write-debt.ts";

/** Pause before a failed flush is tried again, ms. */
const FLUSH_RETRY_MS = 1000;

/** What flushing works with. */
export interface FlushParts {
  readonly queue: JobQueue;
  readonly memtables: Memtables;
  readonly journal: Journal;
  readonly tree: Tree;
  readonly planner: OutputPlanner;
  readonly snapshots: SnapshotList;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly debt: WriteDebt;
  readonly counts: WorkCounts;
  readonly io: IoBudget;
  readonly health: Health;
  readonly events: DatabaseEmitter;
  readonly reserve: Reserve;
  /** Logs of earlier processes that hold values and are not sealed in the manifest yet. */
  readonly oldLogs: readonly OldLog[];
  /** A log could not be synced. */
  readonly onSyncFailed: (error: Error) => void;
  /** A memtable was released and its tables are visible. */
  readonly onFlushed: () => void;
  /** A flush failed that is tried again: whoever waited for what comes behind it has to look again. */
  readonly onFailed: () => void;
}

/** Flushes sealed memtables. */
export class Flusher {
  readonly #parts: FlushParts;
  #running = false;
  #startedMs = 0;
  #waiting: Timer | undefined;
  /** Counters for stats. */
  flushes = 0;
  bytesWritten = 0;
  failures = 0;
  packed: PackedValues = NOTHING_PACKED;
  /** What those are told who wait for a flush. */
  readonly vainTries: VainTries = new VainTries();

  constructor(parts: FlushParts) {
    this.#parts = parts;
  }

  /** True while a flush runs or one is to be tried again. */
  get busy(): boolean {
    return this.#running || this.#waiting !== undefined;
  }

  /** Whether a flush runs: not one that waits after a failure. */
  get isWorking(): boolean {
    return this.#running;
  }

  /** As `start`, without the pause after a failure: somebody is blocked until there is room. */
  startAgain(): void {
    this.#waiting?.cancel();
    this.#waiting = undefined;
    this.start();
  }

  /** Begins to flush the oldest sealed memtable, unless a flush runs already. */
  start(): void {
    const { memtables, health } = this.#parts;
    const memtable = memtables.sealed[0];
    if (memtable === undefined || this.busy || health.closed || health.failure !== undefined)
      return;
    const { queue, journal, planner, snapshots, events, tree } = this.#parts;
    const logs = journal.unsyncedValueLogs(memtable.lastSeq);
    const marks = logs.map((log) => log.lastSeq);
    const input: FlushInput = {
      memtable: memtable.share(),
      ranges: memtable.ranges?.list ?? [],
      output: planner.plan(memtable.table.usedBytes, planner.flushBytesMax, memtable.valueBytes, {
        level: 0,
        entries: memtable.table.entryCount,
      }),
      snapshots: snapshots.seqs(),
      io: this.#parts.io.flushShare(),
      // The "sync" lane has the first one, and may be at it.
      syncTokens: logs.map((log) => log.writer.secondToken),
    };
    this.#running = true;
    this.#startedMs = this.#parts.clock.monotonicMs();
    memtable.flushing = true;
    events.announce("flushStarted");
    queue.submit(
      "flush",
      "flush",
      input,
      (output: FlushOutput) => this.#done(memtable, logs, marks, output),
      (error) => {
        if (hasCode(error, "AURA_WORKER")) tree.removeFiles(planner.pathsOfLost(input.output));
        this.#failed(memtable, logs, error);
      },
    );
  }

  #done(memtable: MemtableEntry, logs: LogFile[], marks: number[], output: FlushOutput): void {
    const { tree, planner, memtables, events, reserve, clock, debt, counts, onFlushed } =
      this.#parts;
    this.#running = false;
    if (logs.some((log) => log.syncFailed)) {
      // Another sync of it failed meanwhile: that this one did not says nothing.
      memtable.flushing = false;
      return;
    }
    logs.forEach((log, i) => {
      log.noteSynced(marks[i]!);
      log.nameDurable = true;
    });
    const run = output.tables[0]?.number ?? 0;
    const tables = flushedNewKeys(output.tables, memtable, output.valueBytesDropped);
    try {
      tree.install({
        flushedSeq: memtable.lastSeq,
        added: tables.map((table) => ({ level: 0, run, table })),
        segmentChanges: output.segmentChanges,
        segmentSeals: [...this.sealsUpTo(memtable.lastSeq), ...output.segmentSeals],
      });
    } catch (error) {
      // The memtable stays readable. Of a manifest that could not be written, the tree has told.
      tree.discard(planner.pathsOf(output));
      if (!tree.isInDoubt) this.#failed(memtable, logs, error as Error);
      return;
    }
    this.flushes++;
    this.vainTries.noteEnded();
    this.bytesWritten += output.bytesWritten + output.valuesPacked.storedBytes;
    this.packed = addPacked(this.packed, output.valuesPacked);
    const ms = clock.monotonicMs() - this.#startedMs;
    const memtableBytes = memtable.table.usedBytes;
    memtables.overwritten?.noteFlushed(memtable, tables);
    memtables.dropOldest(memtable);
    debt.noteFlush(memtableBytes, output.bytesWritten, ms);
    counts.noteFlush(memtableBytes, memtable.valueBytes, {
      bytesRead: 0,
      bytesWritten: output.bytesWritten,
      bytesRelocated: 0,
      busyMs: output.busyMs,
      deviceMs: output.deviceMs,
    });
    reserve.fill();
    events.announce("flush", {
      tables: output.tables.length,
      entries: output.entriesWritten,
      bytesWritten: output.bytesWritten,
    });
    this.start();
    onFlushed();
  }

  /** Seals of logs with values whose operations are all in tables once `seq` is flushed. */
  sealsUpTo(seq: number): SegmentSeal[] {
    const { journal, tree, oldLogs } = this.#parts;
    const { segments } = tree.version;
    const seals: SegmentSeal[] = [];
    for (const log of journal.files) {
      if (log.kind !== "vlog" || !log.sealed || log.lastSeq > seq) continue;
      if ((segments.get(log.number)?.fileBytes ?? 0) > 0) continue;
      seals.push({ number: log.number, fileBytes: log.contentBytes, lastSeq: log.lastSeq });
    }
    for (const log of oldLogs) {
      if (log.kind !== "vlog" || log.lastSeq > seq) continue;
      if ((segments.get(log.number)?.fileBytes ?? 0) > 0) continue;
      seals.push({ number: log.number, fileBytes: log.validBytes, lastSeq: log.lastSeq });
    }
    return seals;
  }

  #failed(memtable: MemtableEntry, logs: readonly LogFile[], error: Error): void {
    this.#running = false;
    memtable.flushing = false;
    const { health, events, reserve } = this.#parts;
    if (health.closed || hasCode(error, "AURA_ABORTED")) return;
    this.failures++;
    if (hasCode(error, "AURA_UNKNOWN_OUTCOME")) {
      // One of them could not be synced, and nobody says which. They are synced in turn: of those behind
      // it nothing is known either.
      for (const log of logs) this.#parts.journal.syncs.noteFailed(log, error);
      this.#parts.onSyncFailed(error);
      return;
    }
    this.vainTries.note(error);
    if (hasCode(error, "AURA_OUT_OF_SPACE")) reserve.free();
    events.announce("backgroundError", { severity: "soft", activity: "flush", error });
    this.#retryLater(hasCode(error, "AURA_OUT_OF_SPACE"));
    this.#parts.onFailed();
  }

  /** Goes on after a pause; on a full volume, once there is room. */
  #retryLater(isFull: boolean): void {
    const { events, reserve, scheduler } = this.#parts;
    this.#waiting = scheduler.after(FLUSH_RETRY_MS, () => {
      this.#waiting = undefined;
      if (isFull && !reserve.hasRoom()) {
        this.vainTries.note();
        this.#retryLater(true);
        return;
      }
      if (isFull) events.announce("backgroundResumed", { activity: "flush" });
      this.start();
    });
  }
}
