/**
 * Log catalog: which logs hold the history, and which of them somebody still reads.
 *
 * A log whose operations are all durable in tables is removed, unless a pin needs it: then its file
 * stays until the pin has moved past it or is gone. A `.vlog` that became a segment of the tree
 * leaves with the tree's last reference to it, or with the last pin, whatever comes later. Pins are
 * not durable: what they held is an orphan to the next open. A pin for which more is kept than it
 * may hold is told to let go.
 *
 * Above `floorSeq` the history is whole: every operation stands in a log that exists, and every
 * number without an operation is known to be void.
 */

import type { VoidRange } from "./edit.ts";
import { filePath } from "./file-names.ts";
import type { Journal } from "./journal.ts";
import type { LogFile, StreamKind } from "./log-file.ts";
import type { OldLog } from "./old-logs.ts";
import type { SegmentMeta } from "./version.ts";

/** A log with a part of the history. */
export interface HistoryLog {
  readonly kind: StreamKind;
  readonly number: number;
  readonly path: string;
  /** It has values that groups of other logs name, and no groups. */
  readonly valuesAlone: boolean;
  /** Highest sequence number in it. Grows until it has ended. */
  readonly lastSeq: number;
  /** End of its last group. What stands behind it is not part of the history. */
  readonly endBytes: number;
  /** No group will be added. */
  readonly isEnded: boolean;
}

/** Somebody who reads logs. */
export interface LogPin {
  /** Logs with operations above this sequence number are needed. Only grows. */
  readonly seq: number;
  /** Most bytes of logs that may exist for this pin alone. */
  readonly pinBytesMax: number;
  /** A group was appended. Runs inside the append: it must be short and must not throw. */
  noteAppended(): void;
  /** More of the history is durable. As `noteAppended`. */
  noteDurable(): void;
  /** It holds `bytes` of logs, more than it may: it has to let go. What follows `seq` stays. */
  noteTooFar(bytes: number, seq: number): void;
  /** Operations that it has not read, up to `seq`, are in no log: it has to let go. */
  noteLost(seq: number): void;
  /** A log that no pin needs any more leaves. */
  noteLogLeft(): void;
}

/** What the catalog works with. */
export interface LogCatalogPlace {
  readonly directory: string;
  readonly journal: Journal;
  /** Logs of earlier processes that still count; the owner takes out what does not. */
  readonly oldLogs: readonly OldLog[];
  /** All operations up to here were in tables at open. */
  readonly flushedSeq: number;
  readonly removeFiles: (paths: readonly string[]) => void;
}

/** A log that is kept for pins alone, or (`goes` is false) for the tree as well. */
interface KeptLog extends HistoryLog {
  goes: boolean;
}

/** Finds logs and holds back their removal. */
export class LogCatalog {
  readonly #place: LogCatalogPlace;
  readonly #pins = new Set<LogPin>();
  #kept: KeptLog[] = [];
  /** Segments that the tree has dropped while their log was still with the journal. */
  readonly #dropped = new Set<number>();
  #voids: VoidRange[] = [];
  /** The oldest sequence number from which on the history is whole. */
  floorSeq: number;

  constructor(place: LogCatalogPlace) {
    this.#place = place;
    this.floorSeq = place.flushedSeq;
  }

  /** Highest sequence number handed to the operating system. */
  get appendedSeq(): number {
    return this.#place.journal.appendedSeq;
  }

  /** The history up to here is durable. */
  get durableSeq(): number {
    return this.#place.journal.syncs.durableSeq;
  }

  /** Files that exist only because of pins, and their bytes. */
  pinned(): { readonly files: number; readonly bytes: number } {
    const held = this.#kept.filter((log) => log.goes);
    return { files: held.length, bytes: held.reduce((sum, log) => sum + log.endBytes, 0) };
  }

  /** Adds a pin. Precondition: its `seq` is at or above `floorSeq`. */
  pin(pin: LogPin): void {
    this.#pins.add(pin);
    this.#place.journal.onAppended ??= () => {
      for (const each of this.#pins) each.noteAppended();
    };
    this.#place.journal.syncs.onDurable ??= () => {
      for (const each of this.#pins) each.noteDurable();
    };
  }

  /** Takes a pin away. Idempotent. */
  unpin(pin: LogPin): void {
    if (!this.#pins.delete(pin)) return;
    if (this.#pins.size === 0) {
      this.#place.journal.onAppended = undefined;
      this.#place.journal.syncs.onDurable = undefined;
    }
    this.notePinMoved();
  }

  /** Removes what no pin needs any more. To be called after a pin's `seq` has grown. */
  notePinMoved(): void {
    if (this.#kept.length === 0) return;
    const free = this.#kept.filter((log) => !this.#isPinned(log.lastSeq));
    if (free.length === 0) return;
    this.#kept = this.#kept.filter((log) => !free.includes(log));
    for (const log of free) this.#raiseFloor(log.lastSeq);
    this.#tellLeft();
    this.#place.removeFiles(free.filter((log) => log.goes).map((log) => log.path));
  }

  /**
   * The log is done with by journal and recovery. Returns whether its file is to be removed now;
   * `goes`: nothing but a pin may need it.
   */
  leave(log: LogFile | OldLog, goes: boolean): boolean {
    const mayGo = this.#dropped.delete(log.number) || goes;
    if (isEmpty(log)) return mayGo;
    if (this.#isPinned(log.lastSeq)) {
      this.#kept.push({ ...this.#described(log), goes: mayGo });
      // Oldest first: that is also the order in which they go.
      this.#kept.sort((a, b) => a.number - b.number);
      this.#boundPins();
      return false;
    }
    this.#raiseFloor(log.lastSeq);
    this.#tellLeft();
    return mayGo;
  }

  /** The tree has dropped a segment. Returns whether its file stays for a pin. */
  keepsSegment(segment: SegmentMeta): boolean {
    const { kind, number, lastSeq } = segment;
    if (kind !== "vlog") return false;
    const kept = this.#kept.find((log) => log.number === number);
    if (kept !== undefined) {
      kept.goes = true;
      this.#boundPins();
    } else if (this.#isPinned(lastSeq)) this.#dropped.add(number);
    else {
      this.#raiseFloor(lastSeq);
      return false;
    }
    return true;
  }

  /** Operations up to `seq` were never written to a log, though they are in tables. */
  noteLost(seq: number): void {
    this.#raiseFloor(seq);
    for (const pin of [...this.#pins]) if (pin.seq < seq) pin.noteLost(seq);
  }

  /** The journal is about to forget void ranges that are flushed: a reader of its logs needs them. */
  keepVoids(): void {
    const { voids } = this.#place.journal;
    if (voids.length + this.#voids.length === 0) return;
    const known = this.#voids.filter((range) => range.last > this.floorSeq);
    const isNew = (range: VoidRange): boolean => known.every(({ first }) => first !== range.first);
    this.#voids = [...known, ...voids.filter(isNew)];
  }

  /** Returns the last number of the void range that holds `seq`, undefined if there is none. */
  voidEnd(seq: number): number | undefined {
    const holds = (range: VoidRange): boolean => range.first <= seq && seq <= range.last;
    return (this.#voids.find(holds) ?? this.#place.journal.voids.find(holds))?.last;
  }

  /** Returns the first log of a stream that holds operations at or above `seq`. */
  find(kind: StreamKind, seq: number): HistoryLog | undefined {
    const { journal, oldLogs } = this.#place;
    let found: LogFile | OldLog | KeptLog | undefined;
    for (const logs of [this.#kept, oldLogs, journal.files]) {
      for (const log of logs) {
        if (log.kind !== kind || log.valuesAlone || log.lastSeq < seq || isEmpty(log)) continue;
        if (found === undefined || log.number < found.number) found = log;
      }
    }
    return found === undefined ? undefined : this.#described(found);
  }

  /** Returns the log of a stream that groups are appended to at present. */
  current(kind: StreamKind): HistoryLog | undefined {
    const log = this.#place.journal.files.findLast(
      (each) => each.kind === kind && !each.sealed && !each.valuesAlone,
    );
    return log === undefined ? undefined : this.#described(log);
  }

  /** Tells pins for which more is kept than they may hold. */
  #boundPins(): void {
    for (const pin of [...this.#pins]) {
      let bytes = 0;
      let lastSeq = pin.seq;
      for (const log of this.#kept) {
        if (!log.goes || log.lastSeq <= pin.seq) continue;
        bytes += log.endBytes;
        if (log.lastSeq > lastSeq) lastSeq = log.lastSeq;
      }
      if (bytes > pin.pinBytesMax) pin.noteTooFar(bytes, lastSeq);
    }
  }

  #isPinned(seq: number): boolean {
    for (const pin of this.#pins) if (pin.seq < seq) return true;
    return false;
  }

  #tellLeft(): void {
    for (const pin of this.#pins) pin.noteLogLeft();
  }

  #raiseFloor(seq: number): void {
    if (seq > this.floorSeq) this.floorSeq = seq;
  }

  #described(log: LogFile | OldLog | KeptLog): HistoryLog {
    if ("endBytes" in log) return log;
    const { kind, number, lastSeq, valuesAlone } = log;
    const path = filePath(this.#place.directory, number, kind);
    const ended = { kind, number, path, lastSeq, valuesAlone, isEnded: true };
    if ("validBytes" in log) return { ...ended, endBytes: log.validBytes };
    if (log.sealed) return { ...ended, endBytes: log.contentBytes };
    return new LiveLog(log, path);
  }
}

/** Whether a log holds no group: its `lastSeq` is the one given before it was made. */
function isEmpty(log: LogFile | OldLog | KeptLog): boolean {
  if ("endBytes" in log) return false; // is not kept
  return "empty" in log ? log.empty : log.lastSeq === log.createdAtSeq;
}

/** A log that is appended to. */
class LiveLog implements HistoryLog {
  readonly path: string;
  readonly #log: LogFile;

  constructor(log: LogFile, path: string) {
    this.#log = log;
    this.path = path;
  }

  get kind(): StreamKind {
    return this.#log.kind;
  }

  get valuesAlone(): boolean {
    return this.#log.valuesAlone;
  }

  get number(): number {
    return this.#log.number;
  }

  get lastSeq(): number {
    return this.#log.lastSeq;
  }

  get endBytes(): number {
    return this.#log.contentBytes;
  }

  get isEnded(): boolean {
    return this.#log.sealed;
  }
}
