/**
 * Segment reader: walks the records of a `segment` file and tells how it ends.
 *
 * A record is handed out only when it verifies. Behind a record whose head verified the next one
 * can be found even when the value is damaged: `skipBad` goes on there.
 */
import {
  AuraError,
  corruption,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHandle,
  type FileHeader,
  type FileSystem,
  FileType,
  KEY_BYTES_MAX,
} from "@aura/base";
import { ReadWindow } from "./read-window.ts";
import { RECORD_HEADER_BYTES, RecordView } from "./record.ts";

/** How to scan a segment. */
export interface ScanSettings {
  /** The segment counts as ending here, whatever stands behind it; a shorter file is `truncated`. */
  readonly validBytes?: number;
}

/** How a segment ends. */
export interface SegmentEnd {
  /**
   * `clean`: the file ends with a whole record. `zeros`: zeros to the end of the file. `truncated`:
   * the file ends inside a record. `bad`: bytes that are no record, or one that fails its check.
   */
  readonly kind: "clean" | "zeros" | "truncated" | "bad";
  /** Offset behind the last good record. */
  readonly offset: number;
  readonly reason: string;
}

/**
 * Opens the segment at `path`. Throws AURA_NOT_FOUND, AURA_CORRUPTION (file header; not a segment),
 * AURA_UNSUPPORTED (a later build's file).
 */
export function scanSegment(
  fs: FileSystem,
  path: string,
  settings: ScanSettings = {},
): SegmentReader {
  const file = fs.openSync(path, "read");
  try {
    return new SegmentReader(file, settings.validBytes);
  } catch (error) {
    file.closeSync();
    throw error;
  }
}

/** The records of one segment, in order. Not shared between threads. */
export class SegmentReader {
  readonly path: string;
  readonly header: FileHeader;
  /** Bytes of the file when it was opened. */
  readonly fileBytes: number;
  /** Offset of the current record. */
  offset = 0;
  /** The current record; its places are in `bytes`. Borrowed until the next `next`. */
  readonly record: RecordView = new RecordView();
  /** Borrowed until the next `next`: holds the current record. */
  bytes: Uint8Array = new Uint8Array(0);
  /** Where the current record begins in `bytes`; it ends at `record.valueEnd`. */
  recordStart = 0;
  /** How the segment ends; undefined while `next` returns true. */
  end: SegmentEnd | undefined;

  readonly #file: FileHandle;
  readonly #window: ReadWindow;
  readonly #limit: number;
  readonly #wantedBytes: number;
  #next = FILE_HEADER_BYTES;
  /** Behind the bad record, when its head verified. */
  #behindBad: number | undefined;

  /** Use `scanSegment`. Takes over `file`, unless it throws. */
  constructor(file: FileHandle, validBytes: number | undefined) {
    this.path = file.path;
    this.#file = file;
    this.fileBytes = file.sizeSync();
    this.#wantedBytes = validBytes ?? this.fileBytes;
    this.#limit = Math.min(this.#wantedBytes, this.fileBytes);
    this.#window = new ReadWindow(file, this.#limit);
    if (this.#limit < FILE_HEADER_BYTES) throw corruption(this.path, 0, "no whole file header");
    const at = this.#window.ensure(0, FILE_HEADER_BYTES);
    const head = this.#window.bytes.slice(at, at + FILE_HEADER_BYTES);
    this.header = decodeFileHeader(head, this.path);
    if (this.header.type !== FileType.segment) throw corruption(this.path, 4, "not a segment");
  }

  /**
   * Moves to the next record. Returns false, with `end` set, when there is no good one. Throws
   * AURA_UNSUPPORTED for a record of a later build.
   */
  next(): boolean {
    if (this.end !== undefined) return false;
    const offset = this.#next;
    const remaining = this.#limit - offset;
    if (remaining <= 0) return this.#stopAtEnd();
    const headBytes = Math.min(remaining, RECORD_HEADER_BYTES + KEY_BYTES_MAX);
    let at = this.#window.ensure(offset, headBytes);
    const record = this.record;
    const { uid } = this.header;
    if (!record.readHead(this.#window.bytes, at, at + headBytes, uid, offset)) {
      return this.#stopAtHead();
    }
    const whole = record.bytes;
    if (whole > remaining) return this.#stop("truncated", "the value is cut");
    at = this.#window.ensure(offset, whole);
    if (!record.read(this.#window.bytes, at, at + whole, uid, offset)) {
      this.#behindBad = offset + whole;
      return this.#stop("bad", "the value fails its check");
    }
    this.offset = offset;
    this.bytes = this.#window.bytes;
    this.recordStart = at;
    this.#next = offset + whole;
    return true;
  }

  /**
   * After an end at a record with a good head and a damaged value: makes the next `next` go on
   * behind it. Returns whether that is so. For salvage.
   */
  skipBad(): boolean {
    if (this.#behindBad === undefined) return false;
    this.#next = this.#behindBad;
    this.#behindBad = undefined;
    this.end = undefined;
    return true;
  }

  /** Closes the file. Idempotent. */
  closeSync(): void {
    this.#file.closeSync();
  }

  #stopAtEnd(): false {
    if (this.#wantedBytes <= this.#limit) return this.#stop("clean", "end of the file");
    return this.#stop("truncated", `the file is shorter than ${this.#wantedBytes} bytes`);
  }

  #stopAtHead(): false {
    const { problem } = this.record;
    if (problem === "unsupported") {
      throw new AuraError("AURA_UNSUPPORTED", `${this.path}: a record of a later build`, {
        file: this.path,
        offset: this.#next,
      });
    }
    if (this.#restIsZero()) return this.#stop("zeros", "zeros to the end");
    // A damaged key length may claim more than there is: "truncated" is no proof.
    if (problem === "cut") return this.#stop("truncated", "the head of a record is cut");
    return this.#stop("bad", "the head of a record fails its check");
  }

  #restIsZero(): boolean {
    for (let offset = this.#next; offset < this.#limit; ) {
      let at = this.#window.ensure(offset, 1);
      const { bytes, start, end } = this.#window;
      for (; at < end - start; at++) if (bytes[at] !== 0) return false;
      offset = end;
    }
    return true;
  }

  #stop(kind: SegmentEnd["kind"], reason: string): false {
    this.end = { kind, offset: this.#next, reason };
    return false;
  }
}
