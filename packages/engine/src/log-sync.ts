/**
 * Log sync: what makes the logs survive a power loss, and keeps that short.
 *
 * - A sync makes the whole history durable: every file with operations that no sync has covered is
 *   synced, all at once (the files of a call on the owner's thread too: one there, the others by the
 *   "sync" lane), and the directory if a name in it is new.
 * - A file that grows without being synced is synced every few MiB away from the owner's thread, so
 *   that a later sync finds little left to do.
 * - While small groups are synced one after the other, zeros are written ahead of the log's end:
 *   overwriting syncs faster than extending (docs/rfcs/0001-log-layout.md). They are cut off when
 *   the log ends, or the volume is full: nobody who writes something goes without for them.
 * - A sync that failed is never tried again on the same file: it would succeed without writing what
 *   is lost.
 */
import type { FileSystem, JobQueue } from "@aura/base";
import { AuraError, hasCode } from "@aura/base";
import type { SyncInput } from "./jobs/sync.ts";
import type { LogFile } from "./log-file.ts";

/** Zeros are written ahead in such steps, when half a step is left. */
const FILL_STEP_BYTES = 1024 * 1024;
/** They pay while a sync covers fewer bytes than this on average. */
const FILL_MEAN_BYTES_MAX = 32 * 1024;
/** Syncs that a log has seen before zeros are written ahead of it. */
const FILL_SYNCS_MIN = 16;
/** On a volume with less free space than this, no zeros are written. */
const FILL_FREE_BYTES_MIN = 16 * 1024 * 1024;
/** How long a call waits for the "sync" lane before it looks again, ms. */
const WAIT_SLICE_MS = 100;

/** What syncing needs of the journal and the engine. */
export interface LogSyncPlace {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly queue: JobQueue;
  /** Logs of this process that still exist. */
  readonly files: () => readonly LogFile[];
  /** Highest sequence number handed to the operating system. */
  readonly appendedSeq: () => number;
  /** From which size on a log is followed by the next one. */
  readonly bytesMax: (log: LogFile) => number;
  /** A file is synced in the background when it grew by so many bytes; 0: never. */
  readonly backgroundBytes: number;
  /** A sync failed, whoever asked for it: the manifest has to say so. */
  readonly noteFailed: () => void;
  /** A background sync failed: what was acknowledged may not survive a power loss. */
  readonly onFailed: (error: Error) => void;
  /** Work on a log that was waited for has ended. */
  readonly onIdle: () => void;
  /** A log cannot be written to any more, though what it holds counts. */
  readonly giveUp: (log: LogFile) => void;
}

/** Syncs logs. */
export class LogSync {
  readonly #place: LogSyncPlace;
  readonly #fills = new Set<Promise<void>>();
  /** The history up to this sequence number is durable. */
  durableSeq: number;
  /** Hears when more of the history is durable; must not throw. */
  onDurable: (() => void) | undefined;
  /** Syncs that were asked for, and those of long unsynced files, for stats. */
  count = 0;
  backgroundCount = 0;
  backgroundBytes = 0;

  constructor(place: LogSyncPlace, durableSeq: number) {
    this.#place = place;
    this.durableSeq = durableSeq;
  }

  /** Makes the history up to now durable, on this thread. */
  syncSync(): void {
    const target = this.#place.appendedSeq();
    if (this.durableSeq >= target) return;
    const dirty = this.#place.files().filter((log) => log.isDirty);
    const marks = dirty.map((log) => log.lastSeq);
    const here = dirty.slice(0, 1);
    const elsewhere = dirty.slice(1);
    const ended = this.#syncElsewhere(elsewhere);
    let failure: unknown;
    const syncHere = (log: LogFile): void => {
      try {
        this.#syncFileSync(log);
      } catch (error) {
        failure ??= error;
      }
    };
    here.forEach(syncHere);
    while (!ended()) this.#place.queue.waitSync(WAIT_SLICE_MS);
    // What the lane did not take, or lost its thread over.
    // Not one that was forgotten meanwhile: its operations are durable in tables.
    const open = this.#place.files();
    elsewhere
      .filter((log, i) => log.syncedSeq < marks[i + 1]! && open.includes(log))
      .forEach(syncHere);
    if (failure !== undefined) throw failure as Error;
    this.syncNamesSync();
    this.#noteDurable(target, dirty, marks);
  }

  /** Makes the history up to now durable, on the thread pool. */
  async sync(): Promise<void> {
    const target = this.#place.appendedSeq();
    if (this.durableSeq >= target) return;
    const dirty = this.#place.files().filter((log) => log.isDirty);
    const marks = dirty.map((log) => log.lastSeq);
    const nameless = this.#place.files().filter((log) => !log.nameDurable);
    const work: Promise<void>[] = dirty.map((log) => this.#syncFile(log));
    if (nameless.length > 0) work.push(this.#syncNames(nameless));
    await settleAll(work);
    for (const log of nameless) log.nameDurable = true;
    this.#noteDurable(target, dirty, marks);
  }

  /** Makes durable also what no acknowledgement waits for: everything that the logs hold. */
  syncRestSync(): void {
    this.syncSync();
    for (const { writer } of this.#place.files()) {
      if (writer.failure === undefined && !writer.isSynced) writer.syncSync();
    }
  }

  /** Notes that a sync of a log failed, which ends it. */
  noteFailed(log: LogFile, error: unknown): void {
    if (log.syncFailed) return;
    log.noteSyncFailed(error);
    this.#place.noteFailed();
  }

  /**
   * Makes the names of all logs durable, on this thread. As little as of a file a failed sync of the
   * directory is tried again: logs whose name it was to make durable count as not synced, for good.
   */
  syncNamesSync(): void {
    const { fs, directory } = this.#place;
    const nameless = this.#place.files().filter((log) => !log.nameDurable);
    if (nameless.length === 0) return;
    try {
      fs.syncDirSync(directory);
    } catch (error) {
      this.noteNamesFailed(nameless, error);
      throw error;
    }
    for (const log of nameless) log.nameDurable = true;
  }

  /** Notes that a sync of the directory failed that was to make the names of `logs` durable. */
  noteNamesFailed(logs: readonly LogFile[], error: unknown): void {
    for (const log of logs) log.noteSyncFailed(error);
    this.#place.noteFailed();
  }

  /** Notes that a group was appended to a log. */
  noteAppended(log: LogFile): void {
    const { backgroundBytes } = this.#place;
    if (backgroundBytes === 0 || log.writer.bytes - log.syncBegunBytes < backgroundBytes) return;
    this.#syncInBackground(log);
  }

  /** Notes that all operations up to `seq` are durable in tables. */
  noteFlushed(seq: number): void {
    this.#raiseDurable(seq);
  }

  /** Cuts off what was written ahead of a log that ends, once nothing is under way on it. */
  trim(log: LogFile): void {
    if (log.filling || log.writer.inFlight || log.writer.failure !== undefined) return;
    try {
      log.writer.trimSync();
    } catch {
      this.#place.giveUp(log);
    }
  }

  /** Cuts off what was written ahead of all logs: somebody else needs the space. */
  giveWay(): void {
    for (const log of this.#place.files()) this.trim(log);
  }

  /** Resolves when no zeros are being written. */
  async settle(): Promise<void> {
    while (this.#fills.size > 0) await Promise.allSettled(this.#fills);
  }

  /**
   * Begins to sync files by the "sync" lane, and returns whether all have ended. Begins none while
   * the lane's thread is not up: starting it would take longer than the syncs.
   */
  #syncElsewhere(logs: readonly LogFile[]): () => boolean {
    if (logs.length === 0) return allEnded;
    if (!this.#place.queue.isServed("sync")) {
      // From the next time on.
      const input: SyncInput = { tokens: [] };
      this.#place.queue.submit("sync", "sync", input, ignore, ignore);
      return allEnded;
    }
    let left = 0;
    for (const log of logs) {
      if (log.writer.failure !== undefined || log.syncFailed) continue;
      log.writer.rewriteInFlightSync();
      left++;
      this.#submit(log, () => {
        left--;
      });
    }
    return () => left === 0;
  }

  #syncInBackground(log: LogFile): void {
    if (log.syncsElsewhere > 0 || log.syncFailed || log.writer.failure !== undefined) return;
    this.backgroundCount++;
    this.backgroundBytes += log.contentBytes - log.syncBegunBytes;
    this.#submit(log, () => {
      if (log.syncFailed) this.#place.onFailed(log.writer.failure!);
      this.#place.onIdle();
    });
  }

  /** Gives the sync of a log to the "sync" lane. What is being appended to it is not covered. */
  #submit(log: LogFile, ended: () => void): void {
    const { lastSeq } = log;
    const bytes = log.contentBytes;
    const input: SyncInput = { tokens: [log.writer.token] };
    log.syncsElsewhere++;
    log.syncBegunBytes = log.writer.bytes;
    this.#place.queue.submit(
      "sync",
      "sync",
      input,
      () => {
        log.syncsElsewhere--;
        if (log.writer.failure === undefined) log.writer.noteSynced(bytes);
        log.noteSynced(lastSeq);
        ended();
      },
      (error) => {
        log.syncsElsewhere--;
        // Cancelled, or the thread was lost: nothing is known of the disk.
        const unknown = hasCode(error, "AURA_ABORTED") || hasCode(error, "AURA_WORKER");
        if (!unknown) this.noteFailed(log, error);
        ended();
      },
    );
  }

  async #syncFile(log: LogFile): Promise<void> {
    if (log.writer.failure !== undefined) {
      this.#syncFileSync(log);
      return;
    }
    log.syncBegunBytes = log.writer.bytes;
    try {
      await log.writer.sync();
    } catch (error) {
      this.noteFailed(log, error);
      throw error;
    }
  }

  /** A failed write ends a log, yet what stands before it is history and is synced like the rest. */
  #syncFileSync(log: LogFile): void {
    const { writer } = log;
    const { failure, path } = writer;
    // The writer knows of a failure first: its caller on the thread pool is told in a later turn.
    if (log.syncFailed || writer.syncFailed) {
      throw failure ?? new AuraError("AURA_IO", `a sync of ${path} failed`);
    }
    log.syncBegunBytes = writer.bytes;
    try {
      if (failure === undefined) writer.syncSync();
      else writer.syncRestSync();
    } catch (error) {
      this.noteFailed(log, error);
      throw error;
    }
  }

  async #syncNames(logs: readonly LogFile[]): Promise<void> {
    const { fs, directory } = this.#place;
    try {
      await fs.syncDir(directory);
    } catch (error) {
      this.noteNamesFailed(logs, error);
      throw error;
    }
  }

  #noteDurable(target: number, logs: readonly LogFile[], marks: readonly number[]): void {
    this.count++;
    this.#raiseDurable(target);
    for (let i = 0; i < logs.length; i++) {
      logs[i]!.noteSynced(marks[i]!);
      this.#fillAhead(logs[i]!);
    }
  }

  #raiseDurable(seq: number): void {
    if (seq <= this.durableSeq) return;
    this.durableSeq = seq;
    this.onDurable?.();
  }

  /** Writes zeros ahead of a log in which small groups are synced. */
  #fillAhead(log: LogFile): void {
    const { writer } = log;
    const covered = writer.bytes - log.coveredBytes;
    log.coveredBytes = writer.bytes;
    log.syncs++;
    log.meanSyncedBytes += (covered - log.meanSyncedBytes) / Math.min(log.syncs, FILL_SYNCS_MIN);
    if (log.syncs < FILL_SYNCS_MIN || log.meanSyncedBytes > FILL_MEAN_BYTES_MAX) return;
    if (log.sealed || log.filling || writer.failure !== undefined) return;
    const end = Math.min(writer.bytes + FILL_STEP_BYTES, this.#place.bytesMax(log));
    if (end - writer.filledTo < FILL_STEP_BYTES / 2 && writer.filledTo > writer.bytes) return;
    if (end <= writer.bytes || !this.#hasSpare()) return;
    log.filling = true;
    const fill = writer
      .zeroFillAhead(end - writer.bytes)
      .catch((error: Error) => this.#fillFailed(log, error))
      .then(() => {
        log.filling = false;
        this.#fills.delete(fill);
        if (log.sealed) this.trim(log);
        this.#place.onIdle();
      });
    this.#fills.add(fill);
  }

  #fillFailed(log: LogFile, error: Error): void {
    this.#place.giveUp(log);
    if (!log.writer.syncFailed) return;
    this.noteFailed(log, error);
    this.#place.onFailed(error);
  }

  /** Whether the volume has space that nobody else will want soon. */
  #hasSpare(): boolean {
    const { fs, directory } = this.#place;
    try {
      return fs.freeBytesSync(directory) >= FILL_FREE_BYTES_MIN;
    } catch {
      return false;
    }
  }
}

function allEnded(): boolean {
  return true;
}

function ignore(): void {
  // A thread that does not come up shows at the next sync.
}

/** Waits for all, then throws the first failure: nothing is left running behind an error. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
