/**
 * Bytes of a workload trace. Documented in docs/formats/trace.md.
 *
 * A trace is a log (docs/formats/wal.md) of file type 7. The preamble holds how the trace was made;
 * a frame is a block of records, numbered by the frame's stamps, so that a jump of the numbers is a
 * gap; a watermark frame is the end mark. Keys and times of a block are deltas within the block: each
 * block is read without the ones before it.
 */
import { AuraError, corruption, getU56, putU56, putVarint, VarintReader } from "@aura/base";

/** What a record tells of. On disk. Never renumber. 9 is kept for merge. */
export const TraceKind = {
  get: 0,
  has: 1,
  getMany: 2,
  put: 3,
  delete: 4,
  scan: 5,
  seek: 6,
  scanEnd: 7,
  deleteRange: 8,
} as const;

/** Flag bits of a record. On disk. Never renumber. */
export const TraceFlag = {
  /** The call was a synchronous one. */
  sync: 1,
  /** It read a snapshot. */
  snapshot: 2,
  /** One of several operations of one call: a batch or `getMany`. */
  member: 4,
  /** A member that is not the first of its call. It has the time of the record before it. */
  continued: 8,
  /** Level of a write: none of these is `os`. */
  buffered: 16,
  durable: 32,
} as const;

/** Bits of a scan's form, above the two that say what it gives. On disk. Never renumber. */
export const ScanForm = { lower: 4, upper: 8, reverse: 16, limit: 32 } as const;

/** What a scan gives: the index is on disk. Never reorder. */
export const SCAN_SHAPES = ["entries", "keys", "values", "cursor"] as const;

/** Where a seek places a cursor: the index is on disk. Never reorder. */
export const SEEK_PLACES = ["first", "last", "key"] as const;

/** A block is closed when its records take this many bytes. */
export const BLOCK_BYTES: number = 64 * 1024;
/** Most bytes of records in a block: one record of two of the longest keys may begin below the limit. */
export const BLOCK_BYTES_MAX: number = 256 * 1024;
/** Most bytes in front of a block's records. */
export const BLOCK_HEAD_BYTES_MAX = 24;

/** How a trace was made. */
export interface TracePreamble {
  /** Wall-clock time of the start, milliseconds since 1970. */
  readonly startedAtMs: number;
  /** One in so many keys is recorded. */
  readonly sampling: number;
  readonly keys: "plain" | "hashed";
}

/** Returns the bytes of a preamble. */
export function encodeTracePreamble(preamble: TracePreamble): Uint8Array {
  const bytes = new Uint8Array(16);
  putU56(bytes, 0, preamble.startedAtMs);
  bytes[7] = preamble.keys === "hashed" ? 1 : 0;
  return bytes.slice(0, putVarint(bytes, 8, preamble.sampling));
}

/** Reads a preamble; `file` names it in errors. Throws AURA_CORRUPTION, AURA_UNSUPPORTED. */
export function decodeTracePreamble(
  bytes: Uint8Array,
  file: string,
  offset: number,
): TracePreamble {
  const sampling = bytes.length < 9 ? -1 : varints.read(bytes, 8, bytes.length);
  if (sampling < 1 || varints.end !== bytes.length) {
    throw corruption(file, offset, "preamble of a wrong form");
  }
  const startedAtMs = getU56(bytes, 0);
  if (startedAtMs > Number.MAX_SAFE_INTEGER) throw corruption(file, offset, "preamble's time");
  const mode = bytes[7]!;
  if (mode > 1) throw unsupportedTrace(file, offset, "form of keys", mode);
  return { startedAtMs, sampling, keys: mode === 1 ? "hashed" : "plain" };
}

const varints = new VarintReader();

/** What stands in front of a block's records. Reused: `read` overwrites the fields. */
export class BlockHead {
  codec = 0;
  /** Time of the first record, microseconds since the start of the trace. */
  startUs = 0;
  /** Bytes of the records before compression. */
  rawBytes = 0;
  /** Where the stored bytes begin. */
  end = 0;

  /** Reads the head in bytes[start, end). Throws AURA_CORRUPTION. */
  read(bytes: Uint8Array, start: number, end: number, file: string, offset: number): void {
    this.codec = start < end ? bytes[start]! : -1;
    this.startUs = varints.read(bytes, start + 1, end);
    this.rawBytes = this.startUs < 0 ? -1 : varints.read(bytes, varints.end, end);
    this.end = varints.end;
    if (this.rawBytes < 0) throw corruption(file, offset, "block head of a wrong form");
    if (this.rawBytes > BLOCK_BYTES_MAX) throw corruption(file, offset, "block too long");
  }
}

/** Writes the head of a block. Returns the bytes. */
export function encodeBlockHead(codec: number, startUs: number, rawBytes: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_HEAD_BYTES_MAX);
  bytes[0] = codec;
  return bytes.subarray(0, putVarint(bytes, putVarint(bytes, 1, startUs), rawBytes));
}

/** Returns the error for bytes that are whole and of a later build. */
export function unsupportedTrace(
  file: string,
  offset: number,
  field: string,
  actual: number,
): AuraError {
  return new AuraError(
    "AURA_UNSUPPORTED",
    `${file}: ${field} ${actual} at offset ${offset} is not known to this build`,
    { file, offset, actual },
  );
}
