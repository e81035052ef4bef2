/**
 * Traces, read (`@aura/engine/trace`): the records of a workload trace, in the order of the calls.
 *
 * A reader stands on one record at a time and makes nothing per record but the bounds of scans. It
 * gives every whole block in front of a damaged or cut place, then says what is wrong there.
 * The format is in docs/formats/trace.md.
 */
import { Buffer } from "node:buffer";
import {
  AuraError,
  corruption,
  decompress,
  type FileSystem,
  FileType,
  hashReady,
  KEY_BYTES_MAX,
  nodeFileSystem,
  VarintReader,
} from "@aura/base";
import { FrameFlag, type LogReader, readLog } from "@aura/wal";
import {
  BLOCK_BYTES_MAX,
  BLOCK_HEAD_BYTES_MAX,
  BlockHead,
  decodeTracePreamble,
  SCAN_SHAPES,
  ScanForm,
  SEEK_PLACES,
  TraceFlag,
  TraceKind,
  unsupportedTrace,
} from "./trace-format.ts";

/** What a record tells of. `seek` places a cursor; `scanEnd` ends a scan or cursor. */
export type TraceOperation =
  | "get"
  | "has"
  | "getMany"
  | "put"
  | "delete"
  | "scan"
  | "seek"
  | "scanEnd"
  | "deleteRange";

/** How a trace ends. */
export interface TraceEnding {
  /**
   * `complete`: by its end mark. `cut`: the file stops before one, because the process did, or a
   * write failed. `damaged`: bytes that are not what was written.
   */
  readonly kind: "complete" | "cut" | "damaged";
  /** Offset in the file up to which the trace is whole. */
  readonly offset: number;
  readonly reason: string;
}

/** How to read a trace. */
export interface ReadTraceOptions {
  /** Where the file is. Default: the disk. */
  readonly fs?: FileSystem;
  /** Ends quietly where the file is cut or damaged; `ending` says where. Default false: throws. */
  readonly partial?: boolean;
}

const OPERATIONS: readonly TraceOperation[] = [
  "get",
  "has",
  "getMany",
  "put",
  "delete",
  "scan",
  "seek",
  "scanEnd",
  "deleteRange",
];

const KNOWN_FLAGS: number = Object.values(TraceFlag).reduce((all, flag) => all | flag, 0);
const KNOWN_FORM: number = Object.values(ScanForm).reduce((all, bit) => all | bit, 3);

/**
 * Opens the trace in the file `path`. Reads on this thread, a block of about 64 KiB at a time.
 * Throws AURA_NOT_FOUND, AURA_IO, AURA_CORRUPTION (no trace, or its beginning is damaged),
 * AURA_UNSUPPORTED (a later format).
 */
export function readTrace(path: string, options: ReadTraceOptions = {}): TraceReader {
  void hashReady();
  const log = readLog(options.fs ?? nodeFileSystem, path);
  try {
    return new TraceReader(log, options.partial ?? false);
  } catch (error) {
    log.closeSync();
    throw error;
  }
}

/** The records of one trace. To be closed; works with `using`. */
export class TraceReader {
  readonly path: string;
  /** Wall-clock time of the start, milliseconds since 1970. */
  readonly startedAtMs: number;
  /** One in so many keys was recorded. */
  readonly sampling: number;
  readonly keys: "plain" | "hashed";

  /** What the record tells of. The fields that follow are of that record. */
  kind: TraceOperation = "get";
  /** Its number, from 1 on. */
  number = 0;
  /** Records that are missing right in front of it. */
  gap = 0;
  /** Time of the call, microseconds since the start of the trace. Never falls. */
  atUs = 0;
  /** The call was a synchronous one (not known of a `seek` or `scanEnd`). */
  sync = false;
  /** It read a snapshot. */
  snapshot = false;
  /** Level of a put, delete or deleteRange. */
  durability: "buffered" | "os" | "sync" = "os";
  /** Number of the batch or `getMany` that it is part of, from 0 on; else -1. */
  group = -1;
  /**
   * The key stands at keyBytes[0, keyLength), borrowed until the next `next`. Of get, has, getMany,
   * put, delete, and of a seek to a key; else `keyLength` is 0.
   */
  readonly keyBytes: Uint8Array = new Uint8Array(KEY_BYTES_MAX + 1);
  keyLength = 0;
  /** Bytes of the value of a put. */
  valueLength = 0;
  /** Number of the scan or cursor: of scan, seek, scanEnd. */
  scan = -1;
  /** What the scan gives, or that it is a cursor. */
  shape: "entries" | "keys" | "values" | "cursor" = "entries";
  /**
   * Bounds of a scan, cursor or deleteRange: inclusive, exclusive; undefined without one. The caller's
   * own.
   */
  lower: Uint8Array | undefined;
  upper: Uint8Array | undefined;
  reverse = false;
  /** Most entries that a scan was to give. */
  limit: number = Number.POSITIVE_INFINITY;
  /** Where a seek placed the cursor. */
  place: "first" | "last" | "key" = "first";
  /**
   * Of a scanEnd and a seek: entries that were taken since the scan began, or since the cursor was
   * placed before. A cursor's are those that a move came to stand on, and those of `nextMany`.
   */
  taken = 0;

  /** Records that are known to be missing so far. */
  dropped = 0;
  /** How the trace ends; undefined while `next` returns true. */
  ending: TraceEnding | undefined;

  readonly #log: LogReader;
  readonly #partial: boolean;
  readonly #varints = new VarintReader();
  readonly #head = new BlockHead();
  #failure: Error | undefined;
  #nextNumber = 1;
  #groups = 0;
  /** The last record was a member: one that is continued belongs to its group. */
  #mayContinue = false;
  /** The block: its bytes, where the next record begins, and how many are left. */
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #left = 0;
  #lastKeyLength = 0;

  /** @internal Use `readTrace`. Takes over `log`, unless it throws. */
  constructor(log: LogReader, partial: boolean) {
    this.#log = log;
    this.#partial = partial;
    this.path = log.path;
    if (log.header.type !== FileType.trace) throw corruption(log.path, 4, "not a trace");
    const preamble = decodeTracePreamble(log.preamble, log.path, log.offset);
    this.startedAtMs = preamble.startedAtMs;
    this.sampling = preamble.sampling;
    this.keys = preamble.keys;
  }

  /** The key of the record: a copy, the caller's own. */
  get key(): Buffer {
    return Buffer.from(this.keyBytes.subarray(0, this.keyLength));
  }

  /**
   * Moves to the next record; false, with `ending` set, when there is none. Throws AURA_CORRUPTION
   * at a damaged or cut place (see `partial`), AURA_UNSUPPORTED for a record of a later build.
   */
  next(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.ending !== undefined) return false;
    try {
      this.gap = 0;
      while (this.#left === 0) if (!this.#nextBlock()) return false;
      this.#record();
      this.#left--;
      if (this.#left === 0 && this.#at !== this.#bytes.length) this.#fail("bytes behind the last");
      return true;
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  /** Closes the file. Idempotent. */
  close(): void {
    this.ending ??= { kind: "cut", offset: this.#log.offset, reason: "closed" };
    this.#log.closeSync();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #nextBlock(): boolean {
    const log = this.#log;
    if (!log.next()) return this.#stop("the trace has no end mark: it was not stopped");
    const { offset, first, count } = log;
    if (first < this.#nextNumber) throw corruption(this.path, offset, "records out of order");
    const gap = first - this.#nextNumber;
    this.gap += gap;
    this.dropped += gap;
    if (gap > 0) this.#mayContinue = false;
    this.#nextNumber = first + count;
    if ((log.flags & FrameFlag.watermark) !== 0) {
      if (log.next()) throw corruption(this.path, log.offset, "a block behind the end mark");
      if (log.end?.kind !== "clean") return this.#stop("bytes behind the end mark");
      this.ending = { kind: "complete", offset: log.end.offset, reason: "end mark" };
      return false;
    }
    const { bytes, coveredStart, coveredEnd, attachedEnd } = log;
    const long = coveredEnd - coveredStart > BLOCK_BYTES_MAX + BLOCK_HEAD_BYTES_MAX;
    if (long || attachedEnd !== coveredEnd || count === 0) {
      throw corruption(this.path, offset, "block of a wrong form");
    }
    const head = this.#head;
    head.read(bytes, coveredStart, coveredEnd, this.path, offset);
    this.#bytes = this.#unpack(bytes.subarray(head.end, coveredEnd), head);
    this.#at = 0;
    this.#left = count;
    this.#lastKeyLength = 0;
    this.atUs = Math.max(this.atUs, head.startUs);
    return true;
  }

  #unpack(stored: Uint8Array, head: BlockHead): Uint8Array {
    try {
      return decompress(head.codec, stored, head.rawBytes);
    } catch (cause) {
      throw this.#blockError(cause as AuraError);
    }
  }

  #blockError(cause: AuraError): AuraError {
    const { offset } = this.#log;
    const message = `${this.path}: block at offset ${offset}: ${cause.message}`;
    return new AuraError(cause.code, message, { cause, file: this.path, offset });
  }

  /** Ends the reading where the log does. */
  #stop(otherwise: string): false {
    const { end } = this.#log;
    const offset = end?.offset ?? 0;
    const reason = end === undefined || end.kind === "clean" ? otherwise : end.reason;
    this.ending = { kind: end?.kind === "bad" ? "damaged" : "cut", offset, reason };
    if (this.#partial) return false;
    throw corruption(this.path, offset, reason);
  }

  #record(): void {
    const kind = this.#u8();
    const flags = this.#u8();
    const name = OPERATIONS[kind];
    if (name === undefined) throw unsupportedTrace(this.path, this.#log.offset, "record", kind);
    if ((flags & ~KNOWN_FLAGS) !== 0) {
      throw unsupportedTrace(this.path, this.#log.offset, "record flags", flags);
    }
    this.kind = name;
    this.number = this.#nextNumber - this.#left;
    this.sync = (flags & TraceFlag.sync) !== 0;
    this.snapshot = (flags & TraceFlag.snapshot) !== 0;
    this.durability =
      (flags & TraceFlag.durable) !== 0
        ? "sync"
        : (flags & TraceFlag.buffered) !== 0
          ? "buffered"
          : "os";
    this.#noteGroup(flags);
    if ((flags & TraceFlag.continued) === 0) {
      this.atUs += this.#varint();
      if (this.atUs > Number.MAX_SAFE_INTEGER) this.#fail("time");
    }
    this.keyLength = 0;
    this.valueLength = 0;
    this.scan = -1;
    this.taken = 0;
    this.#body(kind);
  }

  #noteGroup(flags: number): void {
    const member = (flags & TraceFlag.member) !== 0;
    const continued = (flags & TraceFlag.continued) !== 0;
    if (continued && !member) this.#fail("a record that continues nothing");
    // What a gap cut off from its group is a group of its own.
    if (member && !(continued && this.#mayContinue)) this.#groups++;
    this.group = member ? this.#groups - 1 : -1;
    this.#mayContinue = member;
  }

  #body(kind: number): void {
    switch (kind) {
      case TraceKind.put:
        this.#key();
        this.valueLength = this.#varint();
        break;
      case TraceKind.scan:
        this.#scanBody();
        break;
      case TraceKind.deleteRange: {
        const form = this.#u8();
        if ((form & ~(ScanForm.lower | ScanForm.upper)) !== 0) this.#fail("form of a deleteRange");
        this.#bounds(form);
        break;
      }
      case TraceKind.seek: {
        this.scan = this.#varint();
        this.taken = this.#varint();
        const place = SEEK_PLACES[this.#u8()];
        if (place === undefined) this.#fail("place of a seek");
        this.place = place;
        if (place === "key") this.#key();
        break;
      }
      case TraceKind.scanEnd:
        this.scan = this.#varint();
        this.taken = this.#varint();
        break;
      default:
        this.#key();
    }
  }

  #scanBody(): void {
    this.scan = this.#varint();
    const form = this.#u8();
    if ((form & ~KNOWN_FORM) !== 0) this.#fail("form of a scan");
    this.shape = SCAN_SHAPES[form & 3]!;
    this.#bounds(form);
    this.reverse = (form & ScanForm.reverse) !== 0;
    this.limit = (form & ScanForm.limit) === 0 ? Number.POSITIVE_INFINITY : this.#varint();
  }

  #bounds(form: number): void {
    this.lower = (form & ScanForm.lower) === 0 ? undefined : this.#bound();
    this.upper = (form & ScanForm.upper) === 0 ? undefined : this.#bound();
  }

  #bound(): Uint8Array {
    this.#key();
    const { keyLength } = this;
    this.keyLength = 0;
    return this.keyBytes.slice(0, keyLength);
  }

  #key(): void {
    const shared = this.#varint();
    const rest = this.#varint();
    if (shared > this.#lastKeyLength) this.#fail("key");
    // A bound may be one byte longer than a key.
    if (shared + rest > KEY_BYTES_MAX + 1) this.#fail("key too long");
    if (rest > this.#bytes.length - this.#at) this.#fail("key that is cut off");
    const { keyBytes } = this;
    const bytes = this.#bytes;
    const at = this.#at;
    for (let i = 0; i < rest; i++) keyBytes[shared + i] = bytes[at + i]!;
    this.#at += rest;
    this.keyLength = shared + rest;
    this.#lastKeyLength = this.keyLength;
  }

  #u8(): number {
    if (this.#at >= this.#bytes.length) this.#fail("record that is cut off");
    return this.#bytes[this.#at++]!;
  }

  #varint(): number {
    const value = this.#varints.read(this.#bytes, this.#at, this.#bytes.length);
    if (value < 0) this.#fail("number");
    this.#at = this.#varints.end;
    return value;
  }

  #fail(what: string): never {
    const { offset } = this.#log;
    throw new AuraError(
      "AURA_CORRUPTION",
      `${this.path}: ${what} of a wrong form at byte ${this.#at} of the block at offset ${offset}`,
      { file: this.path, offset },
    );
  }
}
