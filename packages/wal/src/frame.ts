/**
 * Frame header: the 36 bytes in front of every payload of a log. On disk; see docs/formats/wal.md.
 *
 * The header carries two checksums. Its own covers the rest of the header and is bound to the file
 * and the offset, so a header that verifies was written by this log at this place: its lengths and
 * stamps can be trusted even where the payload was lost, and no bytes of a caller can pass for one.
 * The other covers the first part of the payload. The rest, the attached part, is bytes that verify
 * themselves (value records): they are not hashed twice.
 */
import { contentHash, getU32, getU56, placeMix, putU32, putU56, type Uid } from "@aura/base";

/** Bytes of a frame header. */
export const FRAME_HEADER_BYTES = 36;

/** Longest payload of a frame, bytes: header and payload together fit one buffer. */
export const PAYLOAD_BYTES_MAX: number = 0xffffffff - FRAME_HEADER_BYTES;

/** Flag bits of a frame. On disk. Never renumber. */
export const FrameFlag = {
  /** No payload and no stamps: only says how far the history is known to be durable. */
  watermark: 1,
  /** The frame behind the file header; its payload is the log's preamble. */
  preamble: 2,
  /** No stamps and no covered part: its attached part is named by frames of other logs. */
  values: 4,
} as const;

const FLAGS_KNOWN = FrameFlag.watermark | FrameFlag.preamble | FrameFlag.values;

const AT_PAYLOAD_CHECKSUM = 4;
const AT_COVERED_BYTES = 8;
const AT_ATTACHED_BYTES = 12;
const AT_COUNT = 16;
const AT_FIRST = 20;
const AT_FLAGS = 27;
const AT_DURABLE = 28;
const AT_PAD = 35;
/** Highest byte of a seven-byte number that is at most 2^53 - 1. */
const TOP_BYTE_MAX = 0x1f;

/** Writes a frame header for the frame at `offset` of the file `uid`. Returns its checksum. */
export function putFrameHeader(
  target: Uint8Array,
  at: number,
  uid: Uid,
  offset: number,
  payloadChecksum: number,
  coveredBytes: number,
  attachedBytes: number,
  first: number,
  count: number,
  flags: number,
  durable: number,
): number {
  putU32(target, at + AT_PAYLOAD_CHECKSUM, payloadChecksum);
  putU32(target, at + AT_COVERED_BYTES, coveredBytes);
  putU32(target, at + AT_ATTACHED_BYTES, attachedBytes);
  putU32(target, at + AT_COUNT, count);
  putU56(target, at + AT_FIRST, first);
  target[at + AT_FLAGS] = flags;
  putU56(target, at + AT_DURABLE, durable);
  target[at + AT_PAD] = 0;
  const hash = contentHash(target, at + AT_PAYLOAD_CHECKSUM, at + FRAME_HEADER_BYTES);
  const checksum = (hash ^ placeMix(uid, offset)) >>> 0;
  putU32(target, at, checksum);
  return checksum;
}

/** So much of a header has to be there for `startsEmptyFrame`. */
export const EMPTY_FRAME_START_BYTES: number = AT_COVERED_BYTES;

/**
 * Returns whether the header that begins at `source[at]`, of which EMPTY_FRAME_START_BYTES are there, is
 * that of a frame without a covered part: no frame with stamps begins like that.
 */
export function startsEmptyFrame(source: Uint8Array, at: number): boolean {
  return getU32(source, at + AT_PAYLOAD_CHECKSUM) === contentHash(source, at, at);
}

/** A decoded frame header. Reused: `read` overwrites the fields. */
export class FrameHeader {
  /** The header's own checksum, as stored. */
  checksum = 0;
  /** Content hash of the covered part. */
  payloadChecksum = 0;
  coveredBytes = 0;
  attachedBytes = 0;
  count = 0;
  first = 0;
  flags = 0;
  durable = 0;

  /** Bytes of the whole frame. */
  get frameBytes(): number {
    return FRAME_HEADER_BYTES + this.coveredBytes + this.attachedBytes;
  }

  /**
   * Decodes the header at `source[at, at + FRAME_HEADER_BYTES)`, which stands at `offset` of the
   * file `uid`. Returns false, with the fields undefined, unless it is whole and in its place. The
   * cheap tests come first, so that scanning for a header hashes next to nothing.
   */
  read(source: Uint8Array, at: number, uid: Uid, offset: number): boolean {
    if (source[at + AT_PAD] !== 0) return false;
    const flags = source[at + AT_FLAGS]!;
    if (flags > FLAGS_KNOWN) return false;
    if (source[at + AT_FIRST + 6]! > TOP_BYTE_MAX) return false;
    if (source[at + AT_DURABLE + 6]! > TOP_BYTE_MAX) return false;
    const coveredBytes = getU32(source, at + AT_COVERED_BYTES);
    const attachedBytes = getU32(source, at + AT_ATTACHED_BYTES);
    if (coveredBytes + attachedBytes > PAYLOAD_BYTES_MAX) return false;
    const count = getU32(source, at + AT_COUNT);
    const empty = coveredBytes === 0 && attachedBytes === 0 && count === 0;
    // An all-zero header fails here: an empty frame says what it is.
    if (empty && flags === 0) return false;
    if (!empty && (flags & FrameFlag.watermark) !== 0) return false;
    const isBare = coveredBytes === 0 && count === 0;
    if ((flags & FrameFlag.values) !== 0 && !isBare) return false;
    const checksum = getU32(source, at);
    const hash = contentHash(source, at + AT_PAYLOAD_CHECKSUM, at + FRAME_HEADER_BYTES);
    if (checksum !== (hash ^ placeMix(uid, offset)) >>> 0) return false;
    this.checksum = checksum;
    this.payloadChecksum = getU32(source, at + AT_PAYLOAD_CHECKSUM);
    this.coveredBytes = coveredBytes;
    this.attachedBytes = attachedBytes;
    this.count = count;
    this.first = getU56(source, at + AT_FIRST);
    this.flags = flags;
    this.durable = getU56(source, at + AT_DURABLE);
    return true;
  }
}
