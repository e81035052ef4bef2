/**
 * Log writer: appends frames to one new file.
 *
 * Guarantees: frames stand one behind the other without a gap; a frame that an append returned is
 * with the operating system, as are all frames before it; after a failed write or sync the file is
 * given up for good and every later call says so. Nothing is durable before a sync that began after
 * the append returned.
 */
import {
  AuraError,
  assert,
  encodeFileHeader,
  type FileHandle,
  type FileHeader,
  type FileSystem,
  ioError,
  SEQ_MAX,
  type Uid,
} from "@aura/base";
import { FRAME_HEADER_BYTES, FrameFlag } from "./frame.ts";
import { FrameParts } from "./frame-parts.ts";
import { LongFrame } from "./long-frame.ts";
import { SyncHandles } from "./sync-handles.ts";
import { ZERO_FILL_BYTES_MAX, ZeroFill } from "./zero-fill.ts";

/** What a new log is given. */
export interface LogSettings {
  /** Header of the file; its type, number and uid are the caller's choice. */
  readonly header: FileHeader;
  /** Opaque bytes that stand in front of the first frame, in a frame of their own. */
  readonly preamble: Uint8Array;
}

/** An append on the thread pool. */
interface Flight {
  readonly offset: number;
  readonly stampBefore: number;
  readonly checksumBefore: number;
  /** Its bytes were also written from this thread: its fate no longer hangs on the thread pool. */
  rewritten: boolean;
  /** The file failed before its bytes were known to be written. */
  lost: boolean;
}

/** Appends frames to one new file. Not shared between threads. */
export class LogWriter {
  readonly path: string;
  readonly number: number;
  readonly uid: Uid;
  readonly #file: FileHandle;
  readonly #parts: FrameParts = new FrameParts();
  readonly #fill: ZeroFill;
  readonly #syncs: SyncHandles;
  #flightParts: FrameParts | undefined;
  #flight: Flight | undefined;
  /** A long frame is open. */
  #isLong = false;
  #bytes = 0;
  #syncedBytes = 0;
  /** The file was cut off since the last sync on this thread or its pool. */
  #trimmed = false;
  #frames = 0;
  #lastStamp = 0;
  #lastChecksum = 0;
  #failure: Error | undefined;
  /** A sync of the file failed: pages may be lost that a later sync would not miss. */
  #syncFailed = false;
  #closing = false;
  #closed = false;
  /** Work on the thread pool that still uses the file. */
  readonly #pending = new Set<Promise<unknown>>();

  private constructor(fs: FileSystem, path: string, file: FileHandle, header: FileHeader) {
    this.path = path;
    this.number = header.number;
    this.uid = header.uid;
    this.#file = file;
    this.#syncs = new SyncHandles(fs, file);
    this.#fill = new ZeroFill(file, () => this.#syncs.sync());
  }

  /**
   * Creates the file and writes its header and preamble in one write. Neither the content nor the
   * name is durable yet: the caller syncs the log and its directory before it relies on them. When
   * that fails, no file is left, if it can be removed.
   */
  static createSync(fs: FileSystem, path: string, settings: LogSettings): LogWriter {
    const head = encodeFileHeader(settings.header);
    const file = fs.openSync(path, "create");
    let log: LogWriter;
    try {
      log = new LogWriter(fs, path, file, settings.header);
      const frame = log.#parts;
      const flags = FrameFlag.preamble;
      frame.assemble(log.uid, head.length, [settings.preamble], [], 0, 0, flags, 0);
      file.writevSync([head, ...frame.all()], 0);
      log.#bytes = head.length + frame.bytes;
      log.#lastChecksum = frame.checksum;
      frame.clear();
    } catch (error) {
      removeSync(fs, file);
      throw error;
    }
    return log;
  }

  /** End of the log: offset of the next frame. Counts an append in flight. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Where the payload of the next frame will stand. */
  get payloadOffset(): number {
    return this.#bytes + FRAME_HEADER_BYTES;
  }

  /** The file is durable up to here, as far as syncs through this writer know. */
  get syncedBytes(): number {
    return this.#syncedBytes;
  }

  /** Nothing was written or cut off that no sync through this writer covers. */
  get isSynced(): boolean {
    return this.#syncedBytes >= this.#bytes && !this.#trimmed;
  }

  /** The file holds frames, or zeros, up to here. */
  get filledTo(): number {
    return Math.max(this.#fill.filledTo, this.#bytes);
  }

  /** Frames appended, the preamble not counted. */
  get frames(): number {
    return this.#frames;
  }

  /** Last stamp appended, 0 before the first. */
  get lastStamp(): number {
    return this.#lastStamp;
  }

  /** Header checksum of the last frame (of the preamble before the first). */
  get lastChecksum(): number {
    return this.#lastChecksum;
  }

  /** Names the open file to `FileSystem.syncTokenSync` in one other thread, until it is closed. */
  get token(): number {
    return this.#syncs.token;
  }

  /** As `token`, for a second thread: a failure that one of the two is told does not pass the other by. */
  get secondToken(): number {
    return this.#syncs.secondToken;
  }

  /** Why the file was given up, or undefined while it works. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** A sync of the file failed: what it holds may be lost, whatever a later sync says. */
  get syncFailed(): boolean {
    return this.#syncFailed;
  }

  /** An `append` has not settled yet. */
  get inFlight(): boolean {
    return this.#flight !== undefined;
  }

  /**
   * Appends a frame: `covered` pieces, checksummed by the frame, then `attached` pieces, which verify
   * themselves. Stamps `first` to `first + count - 1` must lie above all earlier ones; `durable` is
   * the highest stamp known to be durable. Without payload and stamps the frame is a watermark.
   * Returns the frame's offset; the pieces are not used afterwards. An append in flight is first
   * written again from this thread, so no hole can stay in front of this frame. Throws
   * AURA_BATCH_TOO_LARGE above PAYLOAD_BYTES_MAX (the log stays usable), the error of the file
   * system (the log is given up), then AURA_READ_ONLY, and AURA_CLOSED.
   */
  appendSync(
    covered: readonly Uint8Array[],
    attached: readonly Uint8Array[],
    first: number,
    count: number,
    durable: number,
  ): number {
    this.#admit(first, count, durable);
    if (this.#flight !== undefined) this.rewriteInFlightSync();
    const offset = this.#bytes;
    const frame = this.#parts;
    frame.assemble(this.uid, offset, covered, attached, first, count, 0, durable);
    try {
      this.#writeSync(frame, offset);
    } catch (error) {
      throw this.#fail(error);
    } finally {
      frame.clear();
    }
    this.#advance(frame, first, count);
    return offset;
  }

  /**
   * As `appendSync`, of bytes[FRAME_HEADER_BYTES, end), all covered, without a copy: the frame's header is
   * written in front of them, into the room that the caller has left for it.
   */
  appendFramedSync(
    bytes: Uint8Array,
    end: number,
    first: number,
    count: number,
    durable: number,
  ): number {
    this.#admit(first, count, durable);
    if (this.#flight !== undefined) this.rewriteInFlightSync();
    const offset = this.#bytes;
    const frame = this.#parts;
    frame.frame(this.uid, offset, bytes, end, first, count, durable);
    try {
      this.#writeSync(frame, offset);
    } catch (error) {
      throw this.#fail(error);
    } finally {
      frame.clear();
    }
    this.#advance(frame, first, count);
    return offset;
  }

  /**
   * As `appendSync`, through the thread pool. One at a time. The pieces must not change before the
   * promise settles. It rejects when the file fails before the bytes are written; `bytes` and
   * `lastStamp` have then gone back to what they were before it.
   */
  append(
    covered: readonly Uint8Array[],
    attached: readonly Uint8Array[],
    first: number,
    count: number,
    durable: number,
  ): Promise<number> {
    return this.#track(this.#appendOnPool(covered, attached, first, count, durable, 0));
  }

  /**
   * Appends a frame of values alone, through the thread pool, as `append`: `attached` pieces that
   * frames of other logs refer to. Readers pass it over. Returns the frame's offset.
   */
  appendValues(attached: readonly Uint8Array[]): Promise<number> {
    return this.#track(this.#appendOnPool([], attached, 0, 0, 0, FrameFlag.values));
  }

  /**
   * Begins a frame of values alone whose length is not known yet. Until it ends nothing else is
   * appended, and the log's `bytes` stay where they are: a reader finds no frame there.
   */
  openLongFrame(): LongFrame {
    this.#assertUsable();
    assert(this.#flight === undefined && !this.#isLong, "one append at a time");
    this.#isLong = true;
    const offset = this.#bytes;
    return new LongFrame(this.#file, this.uid, offset, {
      track: (work) => this.#track(work),
      fail: (error) => this.#fail(error),
      assertUsable: () => this.#assertUsable(),
      end: (bytes, checksum) => {
        this.#isLong = false;
        this.#bytes = offset + bytes;
        this.#frames++;
        this.#lastChecksum = checksum;
      },
    });
  }

  /**
   * Writes the bytes of the append in flight, at their place, from this thread. Does nothing when
   * there is none or it was done before.
   */
  rewriteInFlightSync(): void {
    const flight = this.#flight;
    if (flight === undefined || flight.rewritten || flight.lost) return;
    this.#assertUsable();
    try {
      this.#writeSync(this.#flightParts!, flight.offset);
    } catch (error) {
      throw this.#fail(error);
    }
    flight.rewritten = true;
  }

  /**
   * Makes durable what was appended before this call, on the thread pool. A write that fails
   * meanwhile takes nothing away from it; another sync of the file that fails does.
   */
  sync(): Promise<void> {
    return this.#track(this.#syncOnPool());
  }

  /** As `sync`, on this thread. An append in flight is written first and made durable too. */
  syncSync(): void {
    this.#assertUsable();
    this.rewriteInFlightSync();
    const end = this.#bytes;
    this.#trimmed = false;
    try {
      this.#syncs.syncSync();
    } catch (error) {
      this.#syncFailed = true;
      throw this.#fail(error);
    }
    this.#noteSynced(end);
  }

  /**
   * Records that another thread synced this file through `token`, when its end was `bytes`. A sync
   * that failed there must be reported with `giveUp`.
   */
  noteSynced(bytes: number): void {
    assert(bytes <= this.#bytes, "a log cannot be durable beyond its end");
    this.#noteSynced(bytes);
  }

  /** Gives the file up for a failure that was found elsewhere (a sync through `token`). */
  giveUp(cause: unknown): void {
    this.#syncFailed = true;
    this.#fail(cause);
  }

  /**
   * Writes zeros from the log's end up to `bytes` (at most ZERO_FILL_BYTES_MAX) beyond it, on the
   * thread pool, and syncs them. Appends may go on meanwhile. One at a time. A disk that is full
   * before the sync ends it without an error; any other failure gives the file up.
   */
  zeroFillAhead(bytes: number): Promise<void> {
    return this.#track(this.#fillOnPool(bytes));
  }

  /**
   * Cuts off what was zero-filled and not used. Syncs may be under way, appends and fills not. The
   * new length is durable with the next sync.
   */
  trimSync(): void {
    this.#assertUsable();
    assert(this.#flight === undefined, "trim while an append is in flight");
    assert(this.#fill.chunkEnd === 0, "trim while a zero-fill is under way");
    if (this.#fill.filledTo <= this.#bytes) return;
    try {
      this.#file.truncateSync(this.#bytes);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#fill.filledTo = 0;
    this.#trimmed = true;
  }

  /**
   * After a failed write: cuts off whatever it left behind the last whole frame, and makes the file
   * durable, so that nothing of it can come back. Throws when that fails, or a sync failed before.
   */
  cutOffSync(): void {
    assert(this.#failure !== undefined, "a log that works is trimmed");
    if (this.#closed || this.#syncFailed || this.#pending.size > 0)
      throw this.#refusal(this.#failure);
    this.#file.truncateSync(this.#bytes);
    this.syncRestSync();
  }

  /**
   * After a failed write: makes durable what stands before it, on this thread. Throws when that
   * fails, or a sync failed before.
   */
  syncRestSync(): void {
    assert(this.#failure !== undefined, "a log that works is synced");
    if (this.#closed || this.#syncFailed) throw this.#refusal(this.#failure);
    const end = this.#bytes;
    try {
      this.#syncs.syncSync();
    } catch (error) {
      this.#syncFailed = true;
      throw error;
    }
    this.#noteSynced(end);
  }

  /** Waits for what is under way, then closes. Does not sync. */
  async close(): Promise<void> {
    this.#closing = true;
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending);
    this.closeSync();
  }

  /** Trims and closes the file; does not sync. Idempotent. Precondition: nothing is under way. */
  closeSync(): void {
    if (this.#closed) return;
    assert(this.#pending.size === 0, "close while work on the log is under way");
    try {
      if (this.#failure === undefined) this.trimSync();
    } finally {
      this.#closed = true;
      this.#syncs.closeSync();
      this.#file.closeSync();
    }
  }

  #assertUsable(): void {
    if (this.#closed) throw new AuraError("AURA_CLOSED", `${this.path} is closed`);
    if (this.#failure !== undefined) throw this.#refusal(this.#failure);
  }

  #admit(first: number, count: number, durable: number): void {
    this.#assertUsable();
    assert(!this.#isLong, "a long frame ends before the next begins");
    assert(count >= 0 && first >= 0 && first + count <= SEQ_MAX, "stamps out of range");
    assert(durable >= 0 && durable <= SEQ_MAX, "durable stamp out of range");
    assert(count === 0 || first > this.#lastStamp || this.#frames === 0, "stamps must rise");
  }

  #advance(frame: FrameParts, first: number, count: number): void {
    this.#bytes += frame.bytes;
    this.#frames++;
    this.#lastChecksum = frame.checksum;
    if (count > 0) this.#lastStamp = first + count - 1;
  }

  #writeSync(frame: FrameParts, offset: number): void {
    if (this.#fill.chunkEnd > offset) this.#fill.carry(frame.all(), offset);
    if (frame.rest.length === 0) this.#file.writeSync(frame.head, offset);
    else this.#file.writevSync(frame.all(), offset);
  }

  async #appendOnPool(
    covered: readonly Uint8Array[],
    attached: readonly Uint8Array[],
    first: number,
    count: number,
    durable: number,
    flags: number,
  ): Promise<number> {
    assert(this.#flight === undefined, "one append in flight at a time");
    this.#admit(first, count, durable);
    const offset = this.#bytes;
    this.#flightParts ??= new FrameParts();
    const frame = this.#flightParts;
    frame.assemble(this.uid, offset, covered, attached, first, count, flags, durable);
    const flight: Flight = {
      offset,
      stampBefore: this.#lastStamp,
      checksumBefore: this.#lastChecksum,
      rewritten: false,
      lost: false,
    };
    this.#flight = flight;
    this.#advance(frame, first, count);
    try {
      if (this.#fill.chunkEnd > offset) this.#fill.carry(frame.all(), offset);
      if (frame.rest.length === 0) await this.#file.write(frame.head, offset);
      else await this.#file.writev(frame.all(), offset);
    } catch (error) {
      const failure = this.#fail(error);
      if (!flight.rewritten) throw failure;
    } finally {
      this.#flight = undefined;
      frame.clear();
    }
    if (flight.lost) throw this.#refusal(this.#failure!);
    return offset;
  }

  async #syncOnPool(): Promise<void> {
    this.#assertUsable();
    const flight = this.#flight;
    const end = flight === undefined || flight.rewritten ? this.#bytes : flight.offset;
    try {
      await this.#syncs.sync();
    } catch (error) {
      this.#syncFailed = true;
      throw this.#fail(error);
    }
    if (this.#syncFailed) throw this.#refusal(this.#failure!);
    // An append in flight may have been given up since.
    this.#noteSynced(Math.min(end, this.#bytes));
  }

  async #fillOnPool(bytes: number): Promise<void> {
    this.#assertUsable();
    assert(bytes >= 0 && bytes <= ZERO_FILL_BYTES_MAX, "zero-fill out of range");
    assert(this.#fill.chunkEnd === 0, "one zero-fill at a time");
    try {
      await this.#fill.run(
        bytes,
        () => this.#bytes,
        () => this.#failure === undefined && !this.#closing,
      );
    } catch (error) {
      if (this.#fill.syncFailed) this.#syncFailed = true;
      throw this.#fail(error);
    }
  }

  #noteSynced(bytes: number): void {
    if (bytes > this.#syncedBytes) this.#syncedBytes = bytes;
  }

  /** Gives the file up; returns the error to throw. An append that may be unwritten is void. */
  #fail(error: unknown): Error {
    const failure = error instanceof Error ? error : ioError(error, this.path, "log operation");
    if (this.#failure !== undefined) return failure;
    this.#failure = failure;
    const flight = this.#flight;
    if (flight !== undefined && !flight.rewritten) {
      flight.lost = true;
      this.#bytes = flight.offset;
      this.#frames--;
      this.#lastStamp = flight.stampBefore;
      this.#lastChecksum = flight.checksumBefore;
    }
    return failure;
  }

  #refusal(cause: Error): AuraError {
    return new AuraError("AURA_READ_ONLY", `${this.path} was given up after a failure`, {
      cause,
      file: this.path,
    });
  }

  /** Counts `work` as under way until it settles; a rejection is the caller's to see. */
  #track<T>(work: Promise<T>): Promise<T> {
    this.#pending.add(work);
    const done = (): void => {
      this.#pending.delete(work);
    };
    work.then(done, done);
    return work;
  }
}

/** Closes and removes a file that could not be begun. What cannot be removed is left. */
function removeSync(fs: FileSystem, file: FileHandle): void {
  try {
    file.closeSync();
  } finally {
    try {
      fs.unlinkSync(file.path);
    } catch {
      // The failure to tell is the one before this.
    }
  }
}
