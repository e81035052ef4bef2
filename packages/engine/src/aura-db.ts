/**
 * The database: its public operations, each of which delegates. Writes go to commit.ts, reads to
 * lookup.ts and scan.ts, background work to flush.ts and compaction.ts. Nothing here touches a file.
 */
import type { Buffer } from "node:buffer";
import { AuraError, VALUE_BYTES_MAX } from "@aura/base";
import type { AgentWeights } from "@aura/compaction-rl";
import { WriteBatch } from "./batch.ts";
import type { Bytes } from "./bytes-in.ts";
import { keyBytes, valueBytes } from "./bytes-in.ts";
import {
  assertBatch,
  checkOptions,
  checkPriority,
  checkSignal,
  compactionRange,
  isOfSnapshot,
  type KeyRangeOptions,
  levelOf,
  READ_OPTIONS,
  type ReadOptions,
  SUBMIT_OPTIONS,
  WRITE_OPTIONS,
  WRITE_STREAM_OPTIONS,
  type WriteOptions,
  type WriteStreamOptions,
} from "./call-options.ts";
import { type ChangeFeed, type ChangesOptions, closeFeeds, openFeed } from "./change-feed.ts";
import { destroyClosed, verifyClosed } from "./closed-database.ts";
import type { Receipt } from "./commit.ts";
import { type CompactionRequest, requestedShape } from "./compaction-mode.ts";
import type { Components } from "./components.ts";
import { closeCleanly, releaseParts } from "./database-close.ts";
import { DbCursor } from "./db-cursor.ts";
import type { DatabaseEmitter } from "./events.ts";
import { Lookup } from "./lookup.ts";
import type { CompactOptions } from "./manual-compaction.ts";
import type { DatabaseParts } from "./open-parts.ts";
import { openParts } from "./open-parts.ts";
import {
  checkBytes,
  PART_OPTIONS,
  type PartOptions,
  partOf,
  READ_STREAM_OPTIONS,
  type ReadStreamOptions,
  streamRangeOf,
} from "./part-options.ts";
import { whenQuiet } from "./quiet.ts";
import type { RangeOptions, ScanOptions } from "./range.ts";
import { parseCursorRange } from "./range.ts";
import type { DeleteRange } from "./range-delete.ts";
import type { AsyncScan } from "./scan.ts";
import { keys, keysSync, scan, scanSync, values, valuesSync } from "./scan.ts";
import type { Durability, Settings } from "./settings.ts";
import type { Snapshot } from "./snapshot.ts";
import { collectStats, type Stats, type StatsOptions } from "./stats.ts";
import type { DecisionRecord } from "./steering.ts";
import { TraceKind } from "./trace-format.ts";
import type { Trace, TraceOptions, Tracing } from "./tracing.ts";
import { compactAndReclaim } from "./value-reclaim.ts";
import { ValueReadStream, type ValueWriteStream } from "./value-stream.ts";
import type { VerifyReport } from "./verify.ts";
import { openWriteStream } from "./write-stream.ts";

/** Polling step while waiting for background work, ms. */
const WAIT_STEP_MS = 1;

/** An open database. One handle per directory and process. */
export class AuraDB {
  readonly #parts: DatabaseParts;
  readonly #lookup: Lookup;
  readonly #defaultLevel: Durability;
  readonly #tracing: Tracing;
  #closing: Promise<void> | undefined;

  private constructor(parts: DatabaseParts) {
    this.#parts = parts;
    this.#lookup = new Lookup(parts);
    const { syncPolicy } = parts.settings.wal;
    this.#defaultLevel = syncPolicy === "interval" ? "os" : syncPolicy;
    this.#tracing = parts.tracing;
  }

  /**
   * Opens the database in the directory `path`; creates it when absent. Recovers what an earlier
   * process left. Throws AURA_INVALID_ARGUMENT (settings), AURA_LOCKED (names the holder),
   * AURA_CORRUPTION (file and offset; nothing was changed), AURA_UNSUPPORTED, AURA_NOT_FOUND
   * (`createIfMissing: false`), AURA_IO.
   */
  static async open(
    path: string,
    settings: Settings = {},
    components: Partial<Components> = {},
  ): Promise<AuraDB> {
    const parts = await openParts(path, settings, components);
    const { cut } = parts.recovered;
    if (cut !== undefined) {
      // Listeners can only be added once the caller has the database.
      parts.runtime.scheduler.nextTurn(() => parts.events.announce("recoveryCut", cut));
    }
    return new AuraDB(parts);
  }

  /** Removes a closed database. Throws AURA_LOCKED when it is open, AURA_NOT_FOUND. */
  static destroy(path: string, components: Partial<Components> = {}): Promise<void> {
    return destroyClosed(path, components);
  }

  /** Reads a closed database whole and reports what is wrong with it. Changes nothing. */
  static verify(path: string, components: Partial<Components> = {}): Promise<VerifyReport> {
    return verifyClosed(path, components);
  }

  /** Events of the background work. */
  get events(): DatabaseEmitter {
    return this.#parts.events;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /** Writes one key. Resolves at the level that was asked for. Bytes are copied before it returns. */
  put(key: Bytes, value: Bytes, options?: WriteOptions): Promise<void> {
    try {
      const level = this.#levelOf(options);
      const k = keyBytes(key);
      const v = valueBytes(value);
      this.#tracing.recorder?.put(k, v.length, level, false);
      return this.#parts.writes.one(k, v, level, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** As `put`, on this thread. */
  putSync(key: Bytes, value: Bytes, options?: WriteOptions): void {
    const level = this.#levelOf(options);
    const k = keyBytes(key);
    const v = valueBytes(value);
    this.#tracing.recorder?.put(k, v.length, level, true);
    this.#parts.writes.oneSync(k, v, level, options);
  }

  /** Deletes one key, whether it is there or not. */
  delete(key: Bytes, options?: WriteOptions): Promise<void> {
    try {
      const level = this.#levelOf(options);
      const k = keyBytes(key);
      this.#tracing.recorder?.delete(k, level, false);
      return this.#parts.writes.one(k, undefined, level, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** As `delete`, on this thread. */
  deleteSync(key: Bytes, options?: WriteOptions): void {
    const level = this.#levelOf(options);
    const k = keyBytes(key);
    this.#tracing.recorder?.delete(k, level, true);
    this.#parts.writes.oneSync(k, undefined, level, options);
  }

  /**
   * Deletes every key of a range, open where it has no bound: one operation; no key is read. An empty
   * range changes nothing. Level `buffered` counts as `os`. See `WriteBatch`.
   */
  async deleteRange(range: DeleteRange, options?: WriteOptions): Promise<void> {
    await this.write(new WriteBatch().deleteRange(range), options);
  }

  /** As `deleteRange`, on this thread. */
  deleteRangeSync(range: DeleteRange, options?: WriteOptions): void {
    this.writeSync(new WriteBatch().deleteRange(range), options);
  }

  /** Writes a batch: all of it or nothing. Bytes are copied before it returns. */
  write(batch: WriteBatch, options?: WriteOptions): Promise<void> {
    try {
      const level = this.#levelOf(options);
      assertBatch(batch);
      this.#tracing.recorder?.batch(batch.encoded, level, false);
      return this.#parts.writes.batch(batch, level, options);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** As `write`, on this thread. */
  writeSync(batch: WriteBatch, options?: WriteOptions): void {
    const level = this.#levelOf(options);
    assertBatch(batch);
    this.#tracing.recorder?.batch(batch.encoded, level, true);
    this.#parts.writes.batchSync(batch, level, options);
  }

  /**
   * As `write`, for whoever wants to know both: `committed` resolves at level `os`, `durable` when
   * the batch survives power loss.
   */
  submit(batch: WriteBatch, options: { readonly signal?: AbortSignal } = {}): Receipt {
    checkOptions(options, SUBMIT_OPTIONS);
    this.#levelOf(options);
    assertBatch(batch);
    this.#tracing.recorder?.batch(batch.encoded, "sync", false);
    return this.#parts.committer.submit(batch, options.signal);
  }

  /** Returns the value of a key, the caller's own bytes, or undefined. */
  get(key: Bytes, options?: ReadOptions): Promise<Buffer | undefined> {
    try {
      const k = this.#readKey(key);
      const seq = this.#seqOf(options);
      this.#tracing.recorder?.read(TraceKind.get, k, false, isOfSnapshot(options));
      return this.#lookup.find(k, seq);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** As `get`; blocks this thread while the disk is read. */
  getSync(key: Bytes, options?: ReadOptions): Buffer | undefined {
    const k = this.#readKey(key);
    const seq = this.#seqOf(options);
    this.#tracing.recorder?.read(TraceKind.get, k, true, isOfSnapshot(options));
    return this.#lookup.findSync(k, seq);
  }

  /** Returns the values of several keys, as one state of the database has them. */
  async getMany(keys: readonly Bytes[], options?: ReadOptions): Promise<(Buffer | undefined)[]> {
    if (!Array.isArray(keys)) {
      throw new AuraError("AURA_INVALID_ARGUMENT", "keys: expected an array");
    }
    // Not `map`, which passes over what an array has no entry for.
    const borrowed = Array.from(keys, (key) => this.#readKey(key));
    const seq = this.#seqOf(options);
    this.#tracing.recorder?.getMany(borrowed, isOfSnapshot(options));
    return this.#lookup.findMany(borrowed, seq);
  }

  /** Returns whether a key is there. Reads no value. */
  has(key: Bytes, options?: ReadOptions): Promise<boolean> {
    try {
      const k = this.#readKey(key);
      const seq = this.#seqOf(options);
      this.#tracing.recorder?.read(TraceKind.has, k, false, isOfSnapshot(options));
      return this.#lookup.has(k, seq);
    } catch (error) {
      return Promise.reject(error as Error);
    }
  }

  /** As `has`, on this thread. */
  hasSync(key: Bytes, options?: ReadOptions): boolean {
    const k = this.#readKey(key);
    const seq = this.#seqOf(options);
    this.#tracing.recorder?.read(TraceKind.has, k, true, isOfSnapshot(options));
    return this.#lookup.hasSync(k, seq);
  }

  /**
   * Returns a part of a value: up to `length` bytes from `offset` on, fewer at its end; undefined when
   * there is no value. What is returned was verified. Of a separated, uncompressed value above
   * 256 KiB only the 64 KiB chunks that the part touches are read; other values are read whole.
   */
  async read(key: Bytes, options: PartOptions = {}): Promise<Buffer | undefined> {
    const own = new Uint8Array(this.#readKey(key));
    const { start, end } = partOf(options);
    const value = await this.#lookup.open(own, this.#seqOf(options, PART_OPTIONS));
    try {
      return await value?.read(start, end);
    } finally {
      value?.release();
    }
  }

  /** As `read`; blocks this thread while the disk is read. */
  readSync(key: Bytes, options: PartOptions = {}): Buffer | undefined {
    const { start, end } = partOf(options);
    const value = this.#lookup.openSync(this.#readKey(key), this.#seqOf(options, PART_OPTIONS));
    try {
      return value?.readSync(start, end);
    } finally {
      value?.release();
    }
  }

  /**
   * Returns the value of this moment as a stream of bytes. Fails with AURA_NOT_FOUND when there is
   * none. Pieces are verified as in `read`. It holds the value's file until it ends or is destroyed.
   */
  createReadStream(key: Bytes, options: ReadStreamOptions = {}): ValueReadStream {
    const own = new Uint8Array(this.#readKey(key));
    const seq = this.#seqOf(options, READ_STREAM_OPTIONS);
    return new ValueReadStream(this.#parts, this.#lookup, own, seq, streamRangeOf(options));
  }

  /**
   * Returns a stream that takes a value in pieces and puts it when it is ended: `finish` comes when
   * the write has reached its level, and nothing is visible before. Destroyed, it leaves nothing.
   * No more than 4 MiB and its buffers are held in memory; a longer value, of fewer than 2^32 bytes
   * with its head, goes to a file of its own while it comes, and always stands apart.
   */
  createWriteStream(key: Bytes, options: WriteStreamOptions = {}): ValueWriteStream {
    checkOptions(options, WRITE_STREAM_OPTIONS);
    const { size, ...write } = options;
    if (size !== undefined) checkBytes("size", size, VALUE_BYTES_MAX);
    const level = this.#levelOf(write);
    const own = new Uint8Array(keyBytes(key));
    const put = (value: Buffer): Promise<void> => this.put(own, value, write);
    return openWriteStream(this.#parts, { key: own, level, write, size, put });
  }

  /** The entries of a range, in key order. One state of the database; closes itself at the end. */
  scan(options?: ScanOptions): AsyncScan<[Buffer, Buffer]> {
    this.#assertOpen();
    return scan(this.#parts, options);
  }

  /** As `scan`, on this thread. */
  scanSync(options?: ScanOptions): Generator<[Buffer, Buffer], void, void> {
    this.#assertOpen();
    return scanSync(this.#parts, options);
  }

  /** The keys of a range. Never touches the value log. */
  keys(options?: ScanOptions): AsyncScan<Buffer> {
    this.#assertOpen();
    return keys(this.#parts, options);
  }

  /** As `keys`, on this thread. */
  keysSync(options?: ScanOptions): Generator<Buffer, void, void> {
    this.#assertOpen();
    return keysSync(this.#parts, options);
  }

  /** The values of a range. */
  values(options?: ScanOptions): AsyncScan<Buffer> {
    this.#assertOpen();
    return values(this.#parts, options);
  }

  /** As `values`, on this thread. */
  valuesSync(options?: ScanOptions): Generator<Buffer, void, void> {
    this.#assertOpen();
    return valuesSync(this.#parts, options);
  }

  /** The entries of a range as strings, decoded as UTF-8. */
  async *scanStrings(options?: ScanOptions): AsyncGenerator<[string, string], void, void> {
    for await (const [key, value] of this.scan(options)) {
      yield [key.toString("utf8"), value.toString("utf8")];
    }
  }

  /** A cursor over a range: seeks, and moves both ways. To be closed by the caller. */
  cursor(options?: RangeOptions): DbCursor {
    this.#assertOpen();
    return new DbCursor(this.#parts, parseCursorRange(options));
  }

  /** As `put`, of strings. */
  putString(key: string, value: string, options?: WriteOptions): Promise<void> {
    return this.put(key, value, options);
  }

  /** As `get`, decoded as UTF-8. */
  async getString(key: string, options?: ReadOptions): Promise<string | undefined> {
    return (await this.get(key, options))?.toString("utf8");
  }

  /** Returns the present state, readable until it is released. Works with `using`. */
  snapshot(): Snapshot {
    this.#assertOpen();
    return this.#parts.snapshots.create(this.#parts.visibleSeq());
  }

  /**
   * The committed groups above the sequence number `since`, in order, and on with those written
   * later. Their logs are kept from this call on, until they were handed out or the feed ends. Throws
   * AURA_HISTORY_GONE when some are gone already (`expected`: the oldest that can be had), AURA_ABORTED.
   */
  changes(options?: ChangesOptions): ChangeFeed {
    this.#assertOpen();
    return openFeed(this.#parts, options);
  }

  /** Makes everything that was written so far survive power loss. */
  async sync(): Promise<void> {
    this.#assertOpen();
    this.#parts.health.assertWritable();
    await this.#parts.writes.sync();
  }

  /** As `sync`, on this thread. */
  syncSync(): void {
    this.#assertOpen();
    this.#parts.health.assertWritable();
    this.#parts.writes.syncSync();
  }

  /**
   * Brings everything that was written so far from memory into tables. Throws what a flush failed with,
   * twice in a row; in the background it is tried on.
   */
  async flush(): Promise<void> {
    this.#assertOpen();
    const { committer, memtables, journal, health, writes, flusher } = this.#parts;
    health.assertWritable();
    writes.settleSync();
    journal.seal("vlog");
    const isVain = flusher.vainTries.watch();
    await this.#until(() => memtables.maySeal || memtables.active.isEmpty || isVain());
    committer.sealMemtable();
    // Sequence numbers that a crash took are in no memtable: what is sealed by now counts.
    const target = memtables.sealed.at(-1)?.lastSeq ?? 0;
    await this.#until(() => this.#parts.versions.current.flushedSeq >= target || isVain());
    await this.#until(() => this.#parts.tree.durable);
  }

  /**
   * Compacts a range of keys (default: all), flushed first, down to the deepest level: overwritten
   * versions, deletes and the values they named go, but for what snapshots see. Throws
   * AURA_INVALID_ARGUMENT, what a merge failed with, and as `flush`.
   */
  async compact(range: KeyRangeOptions = {}, options: CompactOptions = {}): Promise<void> {
    this.#assertOpen();
    const { compactor } = this.#parts;
    const bounds = compactionRange(range, options);
    const until = (isDone: () => boolean): Promise<void> => this.#until(isDone);
    await this.flush();
    compactor.hold();
    try {
      const isVain = compactor.vainTries.watch();
      // What an aborted one would wait for may take its time.
      await until(() => !compactor.busy || options.signal?.aborted === true || isVain());
      await compactor.awaited(() => compactAndReclaim(this.#parts, bounds, options, until));
    } finally {
      compactor.release();
    }
  }

  /** Changes the shape of the tree until the close; rewrites nothing. Throws AURA_INVALID_ARGUMENT. */
  setCompactionMode(request: CompactionRequest): void {
    this.#assertOpen();
    const { compactor, settings, steering } = this.#parts;
    if (request === "adaptive") {
      steering.start();
      return;
    }
    const shape = requestedShape(request, compactor.shape, settings);
    steering.stop();
    compactor.reshape(shape);
  }

  /** The last decisions of the mode `adaptive`, the newest at the end: plain data, also for replays. */
  decisions(): readonly DecisionRecord[] {
    return this.#parts.steering.decisions;
  }

  /** What the agent has learned: plain data for `rlAgent.weights`. Nothing of it is in the database. */
  exportAgent(): AgentWeights {
    return this.#parts.steering.exportWeights();
  }

  /**
   * Resolves when no background work is left: nothing to flush, to compact, to sync or to remove. Throws
   * what a flush or a merge failed with, twice in a row; in the background it is tried on.
   */
  async idle(): Promise<void> {
    this.#assertOpen();
    await whenQuiet(this.#parts, (isDone) => this.#until(isDone));
  }

  /** Leaves read-only if that is provably safe (resume.ts). Throws AURA_READ_ONLY (why not), AURA_CLOSED. */
  async resume(): Promise<void> {
    this.#assertOpen();
    await this.#parts.resumer.resume();
  }

  /**
   * Begins to record the calls of this database (reads, writes, scans; key bytes and value lengths,
   * never values) in a new file, until the trace is stopped or the database closed. Costs a few
   * hundred nanoseconds a call; a failed or slow disk ends or thins the trace and touches nothing
   * else. Read it with `readTrace` of `@aura/engine/trace`. Throws AURA_INVALID_ARGUMENT (an
   * option; a trace is on; the file exists), AURA_NOT_FOUND (no such directory), AURA_IO.
   */
  trace(file: string, options?: TraceOptions): Trace {
    this.#assertOpen();
    return this.#tracing.start(file, options);
  }

  /** Statistics, as of now. With `{ segments: true }` those of each value segment, too. */
  stats(options: StatsOptions = {}): Stats {
    this.#assertOpen();
    return collectStats(this.#parts, options);
  }

  /**
   * Closes the database: what was admitted is written, everything is made durable and marked as
   * closed cleanly, background work ends. Idempotent. Throws when a sync failed and no call said so
   * yet; the directory is released all the same.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const parts = this.#parts;
    const { committer, compactor, health, queue, cursors, events } = parts;
    if (cursors.size > 0) events.announce("cursorLeft", { count: cursors.size });
    for (const cursor of [...cursors]) cursor.close();
    parts.snapshots.releaseAll();
    const feedsClosed = closeFeeds(parts.feeds);
    if (this.#tracing.on) await this.#tracing.end();
    let failure: unknown;
    try {
      parts.writes.releaseAll();
      await committer.quiesce();
    } catch (error) {
      failure = error;
    }
    await feedsClosed;
    failure ??= health.untold;
    health.close();
    compactor.cancel();
    try {
      await this.#until(() => queue.outstanding === 0, true);
      if (health.failure === undefined && failure === undefined) await closeCleanly(parts);
    } catch (error) {
      failure ??= error;
    }
    const left = await releaseParts(parts);
    // Events that the close announced come before its promise.
    await parts.turns.turn();
    failure ??= left;
    if (failure !== undefined) throw failure as Error;
  }

  /**
   * Waits until `condition` holds, letting background work go on. Keeps the process alive. A
   * database that is closed or read-only meanwhile ends the wait, but for that of the close itself.
   */
  async #until(condition: () => boolean, closing = false): Promise<void> {
    const { queue, runtime, turns, health } = this.#parts;
    for (;;) {
      queue.poll();
      if (condition()) return;
      if (!closing) health.assertWritable();
      if (this.#parts.inline) await turns.turn();
      else {
        await new Promise<void>((resolve) => {
          runtime.scheduler.after(WAIT_STEP_MS, resolve, true);
        });
      }
    }
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new AuraError("AURA_CLOSED", "the database is closed");
  }

  #levelOf(options: WriteOptions | undefined): Durability {
    this.#assertOpen();
    if (options === undefined) return this.#defaultLevel;
    checkOptions(options, WRITE_OPTIONS);
    const { signal, priority } = options;
    if (priority !== undefined) checkPriority(priority);
    checkSignal(signal);
    if (signal?.aborted) {
      throw new AuraError("AURA_ABORTED", "the write was aborted", { cause: signal.reason });
    }
    return levelOf(options) ?? this.#defaultLevel;
  }

  #readKey(key: Bytes): Uint8Array {
    this.#assertOpen();
    return keyBytes(key);
  }

  #seqOf(options: ReadOptions | undefined, known = READ_OPTIONS): number {
    const { visibleSeq, snapshots } = this.#parts;
    if (options !== undefined) checkOptions(options, known);
    const seq = visibleSeq();
    return options?.snapshot === undefined ? seq : snapshots.seqOf(options.snapshot);
  }
}
