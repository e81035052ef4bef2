/**
 * Log stream: the groups of one stream of logs, `.wal` or `.vlog`, in order, from log to log, up to
 * what was appended so far and on from there. One file is open at a time.
 *
 * What is read is bounded by what the journal knows to be appended, so a group that failed or is
 * being written is never seen. A few bytes behind the end of a log that is written to are read on
 * this thread: they are in the page cache. Everything else goes through the thread pool.
 */
import { corruption, type FileSystem } from "@aura/base";
import { type LogReader, readLog } from "@aura/wal";
import type { HistoryLog, LogCatalog } from "./log-catalog.ts";
import type { StreamKind } from "./log-file.ts";

/** Most bytes that are read on this thread in one go. */
const SYNC_READ_BYTES_MAX = 64 * 1024;

/** Walks one stream. */
export class LogStream {
  readonly #kind: StreamKind;
  readonly #fs: FileSystem;
  readonly #catalog: LogCatalog;
  #log: HistoryLog | undefined;
  #reader: LogReader | undefined;
  /** The reader stands on a group that was not passed yet. */
  #ahead = false;
  /** Where groups that are wanted begin in a log that was not opened. */
  #mark: { readonly number: number; readonly bytes: number } | undefined;

  constructor(kind: StreamKind, fs: FileSystem, catalog: LogCatalog) {
    this.#kind = kind;
    this.#fs = fs;
    this.#catalog = catalog;
  }

  /**
   * Moves to the first group with operations at or above `seq`, which never falls, and returns the
   * reader that stands on it; undefined when none was appended so far. One call at a time; not to be
   * closed meanwhile. Throws AURA_CORRUPTION, AURA_IO.
   */
  async head(seq: number): Promise<LogReader | undefined> {
    for (;;) {
      this.closePassed(seq);
      const reader = this.#reader ?? this.#open(seq);
      if (reader === undefined) return undefined;
      if (this.#ahead && reader.first + reader.count > seq) return reader;
      this.#ahead = false;
      const log = this.#log!;
      const behind = log.endBytes - reader.nextOffset;
      if (behind <= 0) {
        if (!log.isEnded) return undefined;
        throw corruption(log.path, reader.nextOffset, `no group up to ${log.lastSeq}`);
      }
      if (reader.end !== undefined) reader.resume(log.endBytes);
      if (behind > SYNC_READ_BYTES_MAX || log.isEnded) await reader.load();
      if (reader.next()) this.#ahead = reader.count > 0;
      else if (reader.end!.kind !== "clean") {
        const { offset, reason } = reader.end!;
        throw corruption(log.path, offset, reason);
      }
    }
  }

  /** Closes a log that has ended and holds nothing at or above `seq`. */
  closePassed(seq: number): void {
    if (this.#log?.isEnded && this.#log.lastSeq < seq) this.closeSync();
  }

  /** Notes where the stream ends, when it holds nothing at or above `seq`: it need not be searched. */
  mark(seq: number): void {
    if (this.#log !== undefined) return;
    const log = this.#catalog.current(this.#kind);
    if (log === undefined || log.lastSeq >= seq) return;
    this.#mark = { number: log.number, bytes: log.endBytes };
  }

  /** Lets go of the file that is open. */
  closeSync(): void {
    this.#ahead = false;
    this.#log = undefined;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.closeSync();
  }

  #open(seq: number): LogReader | undefined {
    const log = this.#catalog.find(this.#kind, seq);
    if (log === undefined) {
      this.mark(seq);
      return undefined;
    }
    const mark = this.#mark;
    this.#mark = undefined;
    const start = mark?.number === log.number ? { startAt: mark.bytes } : {};
    const settings = { validBytes: log.endBytes, above: seq - 1, ...start };
    this.#reader = readLog(this.#fs, log.path, settings);
    this.#log = log;
    return this.#reader;
  }
}
