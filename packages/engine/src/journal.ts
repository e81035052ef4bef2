/**
 * The journal: the two streams of log files that make writes survive, and what is known of them.
 *
 * Groups without separated values go to `.wal` files, groups with them to `.vlog` files (ops and
 * values in one append; docs/rfcs/0001-log-layout.md). Recovery merges both by sequence number.
 *
 * - A file is created when its first group comes, and followed by the next at its size limit.
 * - What makes the files survive a power loss stands in log-sync.ts.
 * - A failed append poisons its file. Its group's sequence numbers are void: the next log says so
 *   in its preamble, together with the valid length of the poisoned file, and is synced before the
 *   failure is reported, so that the rejected group never reappears. Where no such log can be made,
 *   what was written is cut off and the numbers are given again.
 * - Values may also stand in logs of values alone, which groups name (value-queues.ts,
 *   streamed-value.ts); they are written before the group is, and synced with it.
 * - No file is opened again for append, and no number is used twice.
 */
import type { FileSystem, JobQueue, Random } from "@aura/base";
import { AuraError, assert, FileType, hasCode, ioError } from "@aura/base";
import { FRAME_HEADER_BYTES, LogWriter } from "@aura/wal";
import type { VoidRange } from "./edit.ts";
import { filePath } from "./file-names.ts";
import type { Group } from "./group.ts";
import { LogFile, type StreamKind } from "./log-file.ts";
import type { PoisonedLog } from "./log-preamble.ts";
import { encodePreamble } from "./log-preamble.ts";
import { LogSync } from "./log-sync.ts";
import { drawUid } from "./manifest.ts";
import { FrameAppend, type GroupPlace, type PoolAppend } from "./pool-append.ts";
import { ValueQueues } from "./value-queues.ts";

/** What the journal needs of the engine. */
export interface JournalPlace {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly random: Random;
  readonly queue: JobQueue;
  readonly databaseUuid: Uint8Array;
  readonly walBytesMax: number;
  readonly segmentBytesMax: () => number;
  /** Logs that the values of one large group are spread over; 1: none but the group's own. */
  readonly writeQueues: number;
  readonly takeNumber: () => number;
  /** Frees the space kept for this moment. */
  readonly freeReserve: () => void;
  /** A log is synced in the background when it grew by so many bytes; 0: never. */
  readonly backgroundSyncBytes: number;
  /** A sync of a log failed, whoever asked for it: the manifest has to say so. */
  readonly noteSyncFailed: () => void;
  /** A background sync failed: what was acknowledged may not survive a power loss. */
  readonly onSyncFailed: (error: Error) => void;
  /** Work on a log that kept it from being forgotten has ended. */
  readonly onLogIdle: () => void;
}

/** Where a journal goes on. */
export interface JournalStart {
  /** Highest sequence number given before. */
  readonly lastSeq: number;
  readonly durableSeq: number;
  /** Void ranges that recovery would still need. */
  readonly voids: readonly VoidRange[];
  readonly logFloor: number;
}

/** Appends groups. */
export class Journal {
  /** Makes durable what was appended. */
  readonly syncs: LogSync;
  readonly #place: JournalPlace;
  readonly #current: Record<StreamKind, LogFile | undefined> = { wal: undefined, vlog: undefined };
  readonly #queues: ValueQueues;
  #files: LogFile[] = [];
  #voids: VoidRange[] = [];
  #poisoned: PoisonedLog[] = [];
  readonly #closing = new Set<Promise<void>>();
  readonly #appends = {
    finishAppend: (log: LogFile, group: Group): void => {
      assert(
        log.writer.lastStamp === group.lastSeq,
        "a group in the log is acknowledged, no other",
      );
      this.#appended(log, group);
    },
    fail: (log: LogFile, group: Group, cause: unknown): Error => this.fail(log, group, cause),
  };
  /** Highest sequence number handed to the operating system. */
  appendedSeq: number;
  /** Logs with a lower number hold no group that counts, unless the manifest names them. */
  logFloor: number;
  /** Groups and bytes appended, for stats. */
  groupsAppended = 0;
  bytesAppended = 0;
  /** Hears of each group that was appended; must not throw. */
  onAppended: (() => void) | undefined;

  constructor(place: JournalPlace, start: JournalStart) {
    this.#place = place;
    this.appendedSeq = start.lastSeq;
    this.logFloor = start.logFloor;
    this.#voids = [...start.voids];
    const sync = {
      fs: place.fs,
      directory: place.directory,
      queue: place.queue,
      files: () => this.#files,
      appendedSeq: () => this.appendedSeq,
      bytesMax: (log: LogFile) => this.#bytesMax(log.kind),
      backgroundBytes: place.backgroundSyncBytes,
      noteFailed: place.noteSyncFailed,
      onFailed: place.onSyncFailed,
      onIdle: place.onLogIdle,
      giveUp: (log: LogFile) => this.#giveUp(log),
    };
    this.syncs = new LogSync(sync, start.durableSeq);
    this.#queues = new ValueQueues({
      count: place.writeQueues,
      createLog: () => this.createValueLog(),
      endLog: (log) => this.end(log),
      bytesMax: place.segmentBytesMax,
      giveUp: (log) => this.#giveUp(log),
      freeReserve: place.freeReserve,
      appendSync: (group) => this.appendSync(group),
    });
  }

  /** Logs of this process that still exist, oldest first. */
  get files(): readonly LogFile[] {
    return this.#files;
  }

  /** Void ranges that recovery would still need. */
  get voids(): readonly VoidRange[] {
    return this.#voids;
  }

  /** Appends a group on this thread. On failure its sequence numbers are void and the error is thrown. */
  appendSync(group: Group): GroupPlace {
    const { log, place } = this.#prepareOrVoid(group);
    try {
      this.#writeSync(log, group);
    } catch (error) {
      throw this.fail(log, group, error);
    }
    this.#appended(log, group);
    return place;
  }

  /**
   * Appends a group that is visible already (`buffered` writes): when its file fails, the group is
   * written to the next one under the same sequence numbers. May be called again after a failure.
   */
  appendVisibleSync(group: Group): void {
    let log: LogFile | undefined;
    try {
      log = this.#prepare(group).log;
      this.#writeSync(log, group);
      this.#appended(log, group);
    } catch (error) {
      if (log !== undefined) this.#giveUp(log);
      if (hasCode(error, "AURA_OUT_OF_SPACE")) this.#place.freeReserve();
      const next = this.#create("wal");
      this.#writeSync(next, group);
      this.#appended(next, group);
    }
  }

  /** Begins to append a group on the thread pool. */
  beginAppend(group: Group): PoolAppend {
    const spread = this.#queues.takes(group) ? this.#queues.begin(group) : undefined;
    if (spread !== undefined) return spread;
    const { log, place } = this.#prepareOrVoid(group);
    const written = log.writer.append(
      [group.operations],
      group.attachedParts(),
      group.firstSeq,
      group.count,
      this.syncs.durableSeq,
    );
    return new FrameAppend(this.#appends, log, group, { place, written });
  }

  /** Whether the log that a group would go to is still being written to by the thread pool. */
  isPoolBusy(group: Group): boolean {
    return this.#current[kindOf(group)]?.writer.inFlight === true;
  }

  /** Creates a log of values alone. Groups name it in `valueLogs`; its owner ends or discards it. */
  createValueLog(): LogFile {
    return this.#create("vlog", true);
  }

  /** Nothing is appended to a log any more. */
  end(log: LogFile): void {
    log.sealed = true;
    this.syncs.trim(log);
  }

  /** Forgets a log of values that no group names, at once. Resolves when its file is closed. */
  async discard(log: LogFile): Promise<void> {
    assert(log.valuesAlone && log.lastSeq === log.createdAtSeq, "no group has values in it");
    this.#files = this.#files.filter((other) => other !== log);
    const closed = log.writer.close().catch(() => undefined);
    this.#closing.add(closed);
    await closed;
    this.#closing.delete(closed);
  }

  /**
   * Gives up a file (undefined: none could be made) and the group whose write failed. Returns the
   * error to report: `cause` when the group can never reappear, else AURA_UNKNOWN_OUTCOME. That is
   * so when a new log that voids its numbers is durable, or when what was written of it is cut off;
   * then `appendedSeq` is what it was, and the numbers may be given again: nobody has seen them.
   */
  fail(log: LogFile | undefined, group: Group, cause: unknown): Error {
    const path = log?.writer.path ?? this.#place.directory;
    const known = cause instanceof Error ? cause : ioError(cause, path, "append");
    if (hasCode(cause, "AURA_OUT_OF_SPACE")) this.#place.freeReserve();
    // Without a file nothing was written.
    if (log === undefined) return known;
    this.#giveUp(log);
    const before = this.appendedSeq;
    this.#voids.push({ first: group.firstSeq, last: group.lastSeq });
    this.appendedSeq = group.lastSeq;
    let next: LogFile | undefined;
    try {
      next = this.#create(log.kind);
      next.writer.syncSync();
      this.#place.fs.syncDirSync(this.#place.directory);
      next.nameDurable = true;
      return known;
    } catch (second) {
      // The new log was synced: what failed is the directory's sync.
      const isNameless = next?.writer.syncFailed === false;
      if (next?.writer.syncFailed) this.syncs.noteFailed(next, second);
      // No edit may say that these numbers were reached: recovery would miss what is not there.
      this.appendedSeq = before;
      this.#voids.pop();
      // They are given again. What is left of the log that voids them is taken back by every log made
      // after it (replay.ts): so the next group has to go to one of those.
      this.endFiles();
      try {
        log.writer.cutOffSync();
        return known;
      } catch {
        if (log.writer.syncFailed) this.syncs.noteFailed(log, cause);
        return new AuraError(
          "AURA_UNKNOWN_OUTCOME",
          `a write failed and no new log could be made; reopen to know whether it survived: ${String(second)}`,
          { cause, file: path },
        );
      } finally {
        if (isNameless) this.#noteNamesFailed(second);
      }
    }
  }

  /** The history stands in logs that may have no name after a power loss, whatever a later sync says. */
  #noteNamesFailed(error: unknown): void {
    const nameless = this.#files.filter((log) => !log.nameDurable);
    this.syncs.noteNamesFailed(nameless, error);
    if (nameless.some((log) => log.lastSeq > log.createdAtSeq)) {
      this.#place.onSyncFailed(ioError(error, this.#place.directory, "sync"));
    }
  }

  /** Files whose values a flush up to `seq` may name and that no sync has covered yet. */
  unsyncedValueLogs(seq: number): LogFile[] {
    return this.#files.filter(
      (log) => log.kind === "vlog" && log.createdAtSeq < seq && log.isDirty,
    );
  }

  /** Notes that all operations up to `seq` are durable in tables. */
  noteFlushed(seq: number): void {
    this.syncs.noteFlushed(seq);
    this.#voids = this.#voids.filter((range) => range.last > seq);
  }

  /** Ends the current file of a stream: the next group begins a new one. */
  seal(kind: StreamKind): void {
    const log = this.#current[kind];
    if (kind === "vlog") this.#queues.end();
    if (log === undefined) return;
    this.#current[kind] = undefined;
    this.end(log);
  }

  /** Ends the files of both streams for good, failed or not. */
  endFiles(): void {
    this.#queues.end();
    for (const log of Object.values(this.#current)) {
      if (log === undefined) continue;
      if (log.syncFailed || log.writer.failure !== undefined) this.#giveUp(log);
      else this.seal(log.kind);
    }
  }

  /** Begins a new log behind `lastSeq`, which is durable; below it no log counts any more. */
  beginAnewSync(lastSeq: number): void {
    this.endFiles();
    this.appendedSeq = lastSeq;
    this.#poisoned = [];
    const log = this.#create("wal");
    log.writer.syncSync();
    this.syncs.syncNamesSync();
    // A power loss may undo the removal of what was before it.
    this.logFloor = log.number;
  }

  /** Closes and forgets files whose operations are all durable in tables, unless work uses them. */
  forget(obsolete: (log: LogFile) => boolean): LogFile[] {
    const gone = this.#files.filter((log) => log.sealed && log.isIdle && obsolete(log));
    for (const log of gone) {
      // A sync may still be under way: the file closes behind it. Its content does not matter.
      const closed = log.writer.close().catch(() => undefined);
      this.#closing.add(closed);
      void closed.then(() => this.#closing.delete(closed));
    }
    this.#files = this.#files.filter((log) => !gone.includes(log));
    return gone;
  }

  /**
   * Appends an empty group that carries the durable watermark, so that a later reader can tell a
   * torn tail from damage. Needs no sync of its own.
   */
  appendWatermarkSync(): void {
    const log = this.#current.wal ?? this.#current.vlog;
    const { durableSeq } = this.syncs;
    if (log === undefined || durableSeq === 0) return;
    try {
      log.writer.appendSync([], [], this.appendedSeq + 1, 0, durableSeq);
    } catch (error) {
      // Nothing is lost with a watermark; the next group goes to a new file.
      this.#giveUp(log);
      try {
        // No log may come to say how far this one is valid: half a frame must not stay at its end.
        log.writer.cutOffSync();
      } catch {
        if (log.writer.syncFailed) this.syncs.noteFailed(log, error);
      }
    }
  }

  /** Resolves when no zeros are being written ahead, and none are left. */
  async settle(): Promise<void> {
    await this.syncs.settle();
    for (const log of this.#files) this.syncs.trim(log);
  }

  /** Closes all files, behind what is under way; throws the first error after trying all. */
  async close(): Promise<void> {
    const closing = this.#files.map((log) => log.writer.close());
    this.#files = [];
    await settleAll([...closing, ...this.#closing]);
  }

  #writeSync({ writer }: LogFile, group: Group): void {
    const { covered, firstSeq, count } = group;
    const { durableSeq } = this.syncs;
    if (group.attachedBytes === 0) {
      writer.appendFramedSync(covered.bytes, covered.length, firstSeq, count, durableSeq);
    } else {
      const attached = group.attachedParts();
      writer.appendSync([group.operations], attached, firstSeq, count, durableSeq);
    }
  }

  #giveUp(log: LogFile): void {
    if (this.#poisoned.some(({ number }) => number === log.number)) return;
    log.sealed = true;
    if (this.#current[log.kind] === log) this.#current[log.kind] = undefined;
    this.#poisoned.push({ number: log.number, validBytes: log.writer.bytes });
  }

  #prepareOrVoid(group: Group): { log: LogFile; place: GroupPlace } {
    try {
      return this.#prepare(group);
    } catch (error) {
      throw this.fail(undefined, group, error);
    }
  }

  #prepare(group: Group): { log: LogFile; place: GroupPlace } {
    assert(group.count > 0, "an empty group is not appended");
    assert(group.firstSeq === this.appendedSeq + 1, "groups leave in order and without a gap");
    const log = this.#fileFor(kindOf(group));
    const attachedOffset = log.writer.bytes + group.covered.length;
    if (group.attachedBytes > 0) group.place(log.writer.uid, attachedOffset);
    return { log, place: { file: log.number, attachedOffset } };
  }

  #appended(log: LogFile, group: Group): void {
    log.lastSeq = group.lastSeq;
    log.contentBytes = log.writer.bytes;
    this.appendedSeq = group.lastSeq;
    this.groupsAppended++;
    this.bytesAppended += group.bytes + FRAME_HEADER_BYTES;
    if (group.valueLogs.length > 0) this.#noteValues(group);
    this.syncs.noteAppended(log);
    if (this.onAppended !== undefined) this.onAppended();
  }

  #noteValues(group: Group): void {
    for (const log of group.valueLogs) {
      this.bytesAppended += log.writer.bytes - log.contentBytes;
      log.lastSeq = group.lastSeq;
      log.contentBytes = log.writer.bytes;
      this.syncs.noteAppended(log);
    }
  }

  #fileFor(kind: StreamKind): LogFile {
    let log = this.#current[kind];
    if (log?.writer.failure !== undefined) {
      // Given up for something that no group was waiting for.
      this.#giveUp(log);
      log = undefined;
    }
    if (log !== undefined && log.writer.bytes < this.#bytesMax(kind)) return log;
    this.seal(kind);
    return this.#create(kind);
  }

  #bytesMax(kind: StreamKind): number {
    return kind === "wal" ? this.#place.walBytesMax : this.#place.segmentBytesMax();
  }

  #create(kind: StreamKind, valuesAlone = false): LogFile {
    const { fs, directory, databaseUuid } = this.#place;
    const number = this.#place.takeNumber();
    const predecessor = valuesAlone
      ? undefined
      : this.#files.findLast((log) => log.kind === kind && !log.valuesAlone);
    const writer = LogWriter.createSync(fs, filePath(directory, number, kind), {
      header: {
        type: kind === "wal" ? FileType.wal : FileType.valueLog,
        databaseUuid,
        uid: drawUid(this.#place.random),
        number,
      },
      preamble: encodePreamble({
        createdAtSeq: this.appendedSeq,
        bootId: fs.bootId(),
        predecessor: predecessor && {
          number: predecessor.number,
          bytes: predecessor.writer.bytes,
          lastSeq: predecessor.lastSeq,
          checksum: predecessor.writer.lastChecksum,
        },
        voids: this.#voids,
        poisoned: this.#poisoned,
        valuesAlone,
      }),
    });
    const log = new LogFile(kind, writer, this.appendedSeq, valuesAlone);
    this.#files.push(log);
    if (!valuesAlone) this.#current[kind] = log;
    return log;
  }
}

function kindOf(group: Group): StreamKind {
  return group.attachedBytes > 0 ? "vlog" : "wal";
}

/** Waits for all, then throws the first failure: nothing is left running behind an error. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
