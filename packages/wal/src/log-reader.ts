/**
 * Log reader: walks the frames of one log and tells how it ends.
 *
 * A frame is handed out only when its header and the covered part of its payload verify. The
 * attached part verifies itself: its reader calls `reject` when it does not. Whether an end is a
 * torn tail or corruption is not decided here; the reader gathers what there is to decide it by.
 *
 * The end of a log that is still being written is where the writer was when its bytes were read:
 * `resume` forgets them and looks again. Frames before the end were whole and never change, so none
 * is handed out twice; a frame half written ends the log until it is whole.
 */
import {
  assert,
  contentHash,
  corruption,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHandle,
  type FileHeader,
  type FileSystem,
} from "@aura/base";
import {
  EMPTY_FRAME_START_BYTES,
  FRAME_HEADER_BYTES,
  FrameFlag,
  FrameHeader,
  startsEmptyFrame,
} from "./frame.ts";
import { type FrameStamp, frameStamp, scanForFrames } from "./log-scan.ts";
import { allZero, ReadWindow } from "./read-window.ts";

/** How to read a log. */
export interface ReadLogSettings {
  /** The log counts as ending here, whatever stands behind it; a shorter file is `truncated`. */
  readonly validBytes?: number;
  /**
   * The log is still being written. That the file gets shorter while it is read (zeros filled ahead
   * are cut off when a log ends) is then an end, not damage. Default false.
   */
  readonly live?: boolean;
  /**
   * Frames whose stamps all lie at or below this are passed over by their headers; their payloads
   * are not verified, and not read where they are long. Default 0: none is.
   */
  readonly above?: number;
  /** Offset of the first frame to read, known from an earlier reading or the writer. */
  readonly startAt?: number;
}

/** How a log ends. */
export interface LogEnd {
  /**
   * `clean`: the file ends with a whole frame. `zeros`: an all-zero frame header (zero-fill; see
   * `LogReader.scanOn`). `truncated`: the file ends inside a frame. `bad`: bytes that are no frame,
   * a frame whose payload fails its check, or one that the caller rejected.
   */
  readonly kind: "clean" | "zeros" | "truncated" | "bad";
  /** The log's valid length: the offset behind its last good frame. */
  readonly offset: number;
  readonly reason: string;
  /** The frame at `offset`, when its header verified: the log did get as far as these stamps. */
  readonly frame: FrameStamp | undefined;
}

/**
 * Opens the log at `path`. Throws AURA_NOT_FOUND; AURA_CORRUPTION when the file header or preamble
 * is damaged or missing (see `logStartMissing`, `logStartTorn`); AURA_UNSUPPORTED for a format of a later build.
 */
export function readLog(fs: FileSystem, path: string, settings: ReadLogSettings = {}): LogReader {
  const file = fs.openSync(path, "read");
  try {
    return new LogReader(file, settings);
  } catch (error) {
    file.closeSync();
    throw error;
  }
}

/** The frames of one log, in order. Not shared between threads. */
export class LogReader {
  readonly path: string;
  readonly header: FileHeader;
  /** The log's preamble; the caller's to keep. */
  readonly preamble: Uint8Array;
  /** Bytes of the file when it was opened, or resumed last. */
  fileBytes: number;

  /** Offset of the current frame. */
  offset = 0;
  first = 0;
  count = 0;
  durable = 0;
  /** See `FrameFlag`. */
  flags = 0;
  /** Checksum of the current frame's header (of the preamble's before the first). */
  checksum = 0;
  /** Borrowed until the next `next` or `load`: the payload of the current frame, in two parts. */
  bytes: Uint8Array = new Uint8Array(0);
  coveredStart = 0;
  coveredEnd = 0;
  attachedStart = 0;
  attachedEnd = 0;

  /** Highest durable stamp of all frame headers seen, those that `scanOn` found included. */
  durableSeen = 0;
  /** How the log ends; undefined while `next` returns true. */
  end: LogEnd | undefined;
  /** After `scanOn`: the first frame found behind the end. */
  laterFrame: FrameStamp | undefined;
  /** After `scanOn`: the file holds only zeros from here on; its length when it ends in data. */
  zerosFrom: number | undefined;

  readonly #file: FileHandle;
  readonly #window: ReadWindow;
  readonly #above: number;
  /** Looks at frames that `load` makes resident; the current frame stays what it is. */
  readonly #peeked: FrameHeader = new FrameHeader();
  #validBytes: number | undefined;
  readonly #frame: FrameHeader = new FrameHeader();
  #next = FILE_HEADER_BYTES;

  /** Use `readLog`. Takes over `file`, unless it throws. */
  constructor(file: FileHandle, settings: ReadLogSettings) {
    const { validBytes, live = false, above = 0, startAt } = settings;
    this.path = file.path;
    this.#file = file;
    this.#above = above;
    this.fileBytes = file.sizeSync();
    this.#validBytes = validBytes;
    const limit = Math.min(validBytes ?? this.fileBytes, this.fileBytes);
    this.#window = new ReadWindow(file, limit, live);
    const at = limit < FILE_HEADER_BYTES ? -1 : this.#window.ensure(0, FILE_HEADER_BYTES);
    if (at < 0) throw corruption(this.path, 0, "no whole file header");
    const head = this.#window.bytes.slice(at, at + FILE_HEADER_BYTES);
    this.header = decodeFileHeader(head, this.path);
    if (!this.#step() || (this.flags & FrameFlag.preamble) === 0) {
      throw corruption(this.path, FILE_HEADER_BYTES, this.#endReason("no preamble"));
    }
    this.preamble = this.bytes.slice(this.coveredStart, this.coveredEnd);
    if (startAt !== undefined) {
      assert(startAt >= this.#next, "a log is read from behind its preamble");
      this.#next = startAt;
    }
  }

  /** Offset behind the current frame: where the next one begins. */
  get nextOffset(): number {
    return this.#next;
  }

  /** Moves to the next frame. Returns false, with `end` set, when there is no good one. */
  next(): boolean {
    if (this.end !== undefined || !this.#step()) return false;
    if ((this.flags & FrameFlag.preamble) === 0) return true;
    this.#next = this.offset;
    return this.#stop("bad", "a second preamble");
  }

  /**
   * Reads what the next `next` needs through the thread pool, so that it reads no file itself. The
   * current frame's bytes are gone. Nothing else may be called until it settles. Throws AURA_IO,
   * AURA_CORRUPTION.
   */
  async load(): Promise<void> {
    while (this.end === undefined) {
      const length = this.#neededBytes();
      if (length === 0 || this.#window.holds(this.#next, length)) return;
      await this.#window.load(this.#next, length);
    }
  }

  /**
   * After the end: looks at the file again and lets `next` go on behind the last good frame, with
   * what was written meanwhile. Bytes that were read and are no frame (zeros, half a frame, a frame
   * that was rejected) are read anew. `validBytes` is the log's new valid length, if it is known; the
   * file's own length is used without it. Does nothing before the end. Costs one `fstat`; the next
   * `next` reads a few KiB. What it does not do is wait: when to call it is the caller's choice.
   */
  resume(validBytes?: number): void {
    if (this.end === undefined) return;
    this.fileBytes = this.#file.sizeSync();
    this.#validBytes = validBytes;
    this.#window.drop();
    this.#window.limit = Math.min(validBytes ?? this.fileBytes, this.fileBytes);
    this.end = undefined;
    this.laterFrame = undefined;
    this.zerosFrom = undefined;
  }

  /** Declares the current frame bad: its attached part does not verify. The log ends before it. */
  reject(reason: string): void {
    if (this.end !== undefined || this.offset < FILE_HEADER_BYTES) return;
    this.#next = this.offset;
    this.#stop("bad", reason, frameStamp(this.#frame, this.offset));
  }

  /**
   * After the end: reads the rest of the file for frames that the log wrote behind it, and sets
   * `laterFrame`, `durableSeen` and `zerosFrom`. Reads everything once; call it only when needed.
   */
  scanOn(): void {
    const end = this.end;
    if (end === undefined || this.zerosFrom !== undefined) return;
    // The frame at the end itself, if there is one, is known already.
    const known = end.frame === undefined ? 0 : 1;
    const { limit } = this.#window;
    const from = Math.min(limit, end.offset + known);
    const scan = scanForFrames(this.#window, this.header.uid, from, limit);
    this.laterFrame = scan.laterFrame;
    this.zerosFrom = scan.zerosFrom;
    if (scan.durable > this.durableSeen) this.durableSeen = scan.durable;
  }

  /**
   * After `scanOn`: the log ends with a frame that was not finished, and nothing follows it. Either
   * the file ends in the frame, or zeros that were filled ahead begin in it: what a process leaves
   * that was killed while it wrote.
   */
  get cutOff(): boolean {
    const { end, zerosFrom } = this;
    if (end === undefined || zerosFrom === undefined || this.laterFrame !== undefined) return false;
    if (end.kind !== "bad") return end.kind === "truncated";
    const frameEnd = end.offset + (end.frame?.bytes ?? FRAME_HEADER_BYTES);
    return zerosFrom < frameEnd && frameEnd < this.#window.limit;
  }

  /**
   * After `scanOn`: the frame that the log is `cutOff` in was an empty one, a watermark, so that no stamp
   * is lost with it. False also where too little of it is left to tell.
   */
  get cutOffInWatermark(): boolean {
    if (!this.cutOff || this.end!.frame !== undefined) return false;
    const { offset } = this.end!;
    if (this.#window.limit - offset < EMPTY_FRAME_START_BYTES) return false;
    const at = this.#window.ensure(offset, EMPTY_FRAME_START_BYTES);
    return at >= 0 && startsEmptyFrame(this.#window.bytes, at);
  }

  /** Closes the file. Idempotent. */
  closeSync(): void {
    this.#file.closeSync();
  }

  #step(): boolean {
    for (;;) {
      const offset = this.#next;
      const window = this.#window;
      const remaining = window.limit - offset;
      if (remaining <= 0) return this.#stopAtEnd();
      const headerBytes = Math.min(remaining, FRAME_HEADER_BYTES);
      const at = window.ensure(offset, headerBytes);
      if (at < 0) continue; // the file got shorter
      if (allZero(window.bytes, at, at + headerBytes)) return this.#stop("zeros", "zeros");
      if (remaining < FRAME_HEADER_BYTES) return this.#stop("truncated", "the frame header is cut");
      const frame = this.#frame;
      if (!frame.read(window.bytes, at, this.header.uid, offset)) {
        return this.#stop("bad", "the frame header fails its check");
      }
      if (frame.durable > this.durableSeen) this.durableSeen = frame.durable;
      const { frameBytes } = frame;
      if (frameBytes > remaining) {
        return this.#stop("truncated", "the payload is cut", frameStamp(frame, offset));
      }
      if (this.#isPassed(frame)) {
        this.#next = offset + frameBytes;
        continue;
      }
      const start = window.ensure(offset, frameBytes) + FRAME_HEADER_BYTES;
      if (start < FRAME_HEADER_BYTES) continue; // the file got shorter
      const coveredEnd = start + frame.coveredBytes;
      if (contentHash(window.bytes, start, coveredEnd) !== frame.payloadChecksum) {
        return this.#stop("bad", "the payload fails its check", frameStamp(frame, offset));
      }
      this.offset = offset;
      this.first = frame.first;
      this.count = frame.count;
      this.durable = frame.durable;
      this.flags = frame.flags;
      this.checksum = frame.checksum;
      this.bytes = window.bytes;
      this.coveredStart = start;
      this.coveredEnd = coveredEnd;
      this.attachedStart = coveredEnd;
      this.attachedEnd = coveredEnd + frame.attachedBytes;
      this.#next = offset + frameBytes;
      return true;
    }
  }

  /** Returns how many bytes from `#next` on the next step looks at, as far as that is known. */
  #neededBytes(): number {
    const { limit } = this.#window;
    for (;;) {
      const offset = this.#next;
      const remaining = Math.max(0, limit - offset);
      if (remaining < FRAME_HEADER_BYTES) return remaining;
      if (!this.#window.holds(offset, FRAME_HEADER_BYTES)) return FRAME_HEADER_BYTES;
      const { bytes, start } = this.#window;
      const frame = this.#peeked;
      if (!frame.read(bytes, offset - start, this.header.uid, offset)) return FRAME_HEADER_BYTES;
      const { frameBytes } = frame;
      if (frameBytes > remaining) return FRAME_HEADER_BYTES;
      if (!this.#isPassed(frame)) return frameBytes;
      if (frame.durable > this.durableSeen) this.durableSeen = frame.durable;
      this.#next = offset + frameBytes;
    }
  }

  /** Whether a frame is passed over: it has values alone, or the caller wants only higher stamps. */
  #isPassed(frame: FrameHeader): boolean {
    if ((frame.flags & FrameFlag.values) !== 0) return true;
    return frame.count > 0 && frame.first + frame.count - 1 <= this.#above;
  }

  #stopAtEnd(): false {
    const expected = this.#validBytes;
    if (expected === undefined || expected <= this.#window.limit) {
      return this.#stop("clean", "end of the file");
    }
    return this.#stop("truncated", `the file is shorter than ${expected} bytes`);
  }

  #stop(kind: LogEnd["kind"], reason: string, frame?: FrameStamp): false {
    this.end = { kind, offset: this.#next, reason, frame };
    return false;
  }

  #endReason(otherwise: string): string {
    return this.end?.reason ?? otherwise;
  }
}
