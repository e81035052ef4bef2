/**
 * Value record: a header of 32 bytes, the key, the stored value. On disk; see docs/formats/vlog.md.
 *
 * The header's checksum covers header and key, the value's hash included, and is bound to file and
 * offset. So a value is hashed once in its life: a record moves to another place by exchanging the
 * place in the header's checksum, and its value needs no copy in front of the write.
 */
import {
  assert,
  Codec,
  contentHash,
  getU16,
  getU32,
  getU56,
  isKnownTag,
  KEY_BYTES_MAX,
  placeMix,
  putU16,
  putU32,
  putU56,
  type Uid,
  VALUE_BYTES_MAX,
} from "@aura/base";

/** Bytes of a record in front of its key. */
export const RECORD_HEADER_BYTES = 32;

const AT_STORED = 4;
const AT_RAW = 8;
const AT_SEQ = 12;
const AT_TAG = 19;
const AT_KEYSPACE = 20;
const AT_KEY_BYTES = 24;
const AT_CODEC = 26;
const AT_FLAGS = 27;
const AT_VALUE_HASH = 28;

/** Returns the bytes of a record. */
export function recordBytes(keyLength: number, stored: number): number {
  return RECORD_HEADER_BYTES + keyLength + stored;
}

/**
 * Writes header and key of a record at `target[at, ...)` and returns the offset behind them. The
 * value, `value` as it will be stored, is hashed here; its bytes follow the head on disk. The
 * checksum stays open until `putRecordChecksum`: the place need not be known yet.
 */
export function encodeRecordHead(
  target: Uint8Array,
  at: number,
  keyspace: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  seq: number,
  tag: number,
  value: Uint8Array,
  raw: number,
  codec: number,
): number {
  const keyBytes = keyEnd - keyStart;
  assert(keyBytes <= KEY_BYTES_MAX && value.length <= VALUE_BYTES_MAX, "record out of range");
  assert(codec !== Codec.none || raw === value.length, "a value without codec is stored raw");
  putU32(target, at + AT_STORED, value.length);
  putU32(target, at + AT_RAW, raw);
  putU56(target, at + AT_SEQ, seq);
  target[at + AT_TAG] = tag;
  putU32(target, at + AT_KEYSPACE, keyspace);
  putU16(target, at + AT_KEY_BYTES, keyBytes);
  target[at + AT_CODEC] = codec;
  target[at + AT_FLAGS] = 0;
  putU32(target, at + AT_VALUE_HASH, contentHash(value, 0, value.length));
  let end = at + RECORD_HEADER_BYTES;
  for (let i = keyStart; i < keyEnd; i++) target[end++] = key[i]!;
  return end;
}

/** Sets the sequence number of the head at `target[at, ...)`, before its checksum is. */
export function putRecordSeq(target: Uint8Array, at: number, seq: number): void {
  putU56(target, at + AT_SEQ, seq);
}

/**
 * Completes the head at `target[at, ...)` for a record that will stand at `offset` of the file
 * `uid`. Hashes the head only. May be repeated for another place.
 */
export function putRecordChecksum(target: Uint8Array, at: number, uid: Uid, offset: number): void {
  const end = at + RECORD_HEADER_BYTES + getU16(target, at + AT_KEY_BYTES);
  putU32(target, at, contentHash(target, at + AT_STORED, end) ^ placeMix(uid, offset));
}

/** Returns the checksum of a record after a move, from the stored one: nothing is read or hashed. */
export function movedChecksum(
  checksum: number,
  fromUid: Uid,
  fromOffset: number,
  toUid: Uid,
  toOffset: number,
): number {
  return (checksum ^ placeMix(fromUid, fromOffset) ^ placeMix(toUid, toOffset)) >>> 0;
}

/**
 * Why bytes are not a record. `cut`: they end inside it. `head`: header or key fail their check, so
 * its length is unknown. `value`: the value fails its check. `unsupported`: a later build wrote it.
 */
export type RecordProblem = "cut" | "head" | "value" | "unsupported";

/** A record in memory. Reused: `read` overwrites the fields. */
export class RecordView {
  keyspace = 0;
  seq = 0;
  tag = 0;
  codec = 0;
  /** Bytes of the value as stored, and as the caller gets it. */
  stored = 0;
  raw = 0;
  /** Places of key and stored value in the source; the record ends with the value. */
  keyStart = 0;
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** After `read` or `readHead` returned false. */
  problem: RecordProblem = "head";
  #valueHash = 0;

  /** Bytes of the record. */
  get bytes(): number {
    return RECORD_HEADER_BYTES + (this.keyEnd - this.keyStart) + this.stored;
  }

  /**
   * Reads and verifies the record at `source[at, ...)`, which stands at `offset` of the file `uid`.
   * Returns false, with `problem` set, unless it is whole and ends at or before `limit`.
   */
  read(source: Uint8Array, at: number, limit: number, uid: Uid, offset: number): boolean {
    if (!this.readHead(source, at, limit, uid, offset)) return false;
    if (this.valueEnd > limit) return this.#refuse("cut");
    return this.checkValue(source);
  }

  /**
   * As `read`, for header and key only: the value's length can then be trusted, and need not be
   * within `limit`.
   */
  readHead(source: Uint8Array, at: number, limit: number, uid: Uid, offset: number): boolean {
    if (limit - at < RECORD_HEADER_BYTES) return this.#refuse("cut");
    const keyStart = at + RECORD_HEADER_BYTES;
    const keyEnd = keyStart + getU16(source, at + AT_KEY_BYTES);
    if (keyEnd > limit) return this.#refuse("cut");
    const hash = contentHash(source, at + AT_STORED, keyEnd);
    if (getU32(source, at) !== (hash ^ placeMix(uid, offset)) >>> 0) return this.#refuse("head");
    this.stored = getU32(source, at + AT_STORED);
    this.raw = getU32(source, at + AT_RAW);
    this.seq = getU56(source, at + AT_SEQ);
    this.tag = source[at + AT_TAG]!;
    this.keyspace = getU32(source, at + AT_KEYSPACE);
    this.codec = source[at + AT_CODEC]!;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.valueStart = keyEnd;
    this.valueEnd = keyEnd + this.stored;
    this.#valueHash = getU32(source, at + AT_VALUE_HASH);
    if (source[at + AT_FLAGS] !== 0 || !isKnownTag(this.tag)) return this.#refuse("unsupported");
    if (this.seq > Number.MAX_SAFE_INTEGER) return this.#refuse("unsupported");
    if (this.codec === Codec.none && this.raw !== this.stored) return this.#refuse("unsupported");
    return true;
  }

  /** Verifies the value of the head that was read. Precondition: it is within `source`. */
  checkValue(source: Uint8Array): boolean {
    const hash = contentHash(source, this.valueStart, this.valueEnd);
    return hash === this.#valueHash || this.#refuse("value");
  }

  #refuse(problem: RecordProblem): false {
    this.problem = problem;
    return false;
  }
}
