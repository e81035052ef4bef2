/**
 * Value record: a header of 32 bytes, the key, the stored value. On disk; see docs/formats/vlog.md.
 *
 * The header's checksum covers header and key, the value's hash included, and is bound to file and
 * offset. So a value is hashed once in its life: a record moves to another place by exchanging the
 * place in the header's checksum, and its value needs no copy in front of the write.
 *
 * A long value is hashed in chunks. Their hashes stand in a table in front of the value, and the
 * header has the table's hash in place of the value's: so a part of the value can be read and
 * verified alone.
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

/** A stored value longer than this is hashed in chunks. On disk: never change. */
export const CHUNKED_BYTES_MIN: number = 256 * 1024;
/** Bytes of a chunk; the last one of a value may be shorter. On disk: never change. */
export const CHUNK_BYTES: number = 64 * 1024;
const CHUNK_HASH_BYTES = 4;

/** Returns the bytes of the table of chunk hashes; 0 when the value has none. */
export function chunkTableBytes(stored: number): number {
  return stored > CHUNKED_BYTES_MIN ? Math.ceil(stored / CHUNK_BYTES) * CHUNK_HASH_BYTES : 0;
}

/** Returns the bytes of a record in front of its value. */
export function recordHeadBytes(keyLength: number, stored: number): number {
  return RECORD_HEADER_BYTES + keyLength + chunkTableBytes(stored);
}

/** Returns the bytes of a record. */
export function recordBytes(keyLength: number, stored: number): number {
  return recordHeadBytes(keyLength, stored) + stored;
}

/**
 * Writes everything of a record but its value at `target[at, ...)`, `recordHeadBytes` long, and
 * returns the offset behind it. The value, `value` as it will be stored, is hashed here; its bytes follow the head on disk. The
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
  let end = at + RECORD_HEADER_BYTES;
  for (let i = keyStart; i < keyEnd; i++) target[end++] = key[i]!;
  const tableBytes = chunkTableBytes(value.length);
  if (tableBytes === 0) {
    putU32(target, at + AT_VALUE_HASH, contentHash(value, 0, value.length));
    return end;
  }
  const table = end;
  for (let start = 0; start < value.length; start += CHUNK_BYTES, end += CHUNK_HASH_BYTES) {
    putU32(target, end, contentHash(value, start, Math.min(start + CHUNK_BYTES, value.length)));
  }
  putU32(target, at + AT_VALUE_HASH, contentHash(target, table, end));
  return end;
}

/**
 * Returns what stands in front of a value that was hashed while it was written: `table` has the hashes
 * of its chunks (`putChunkHash`), `stored` is its length, more than CHUNKED_BYTES_MIN. Sequence number
 * and checksum stay open until `putRecordSeq` and `putRecordChecksum`.
 */
export function encodeHashedHead(
  keyspace: number,
  key: Uint8Array,
  tag: number,
  table: Uint8Array,
  stored: number,
): Uint8Array {
  assert(key.length <= KEY_BYTES_MAX && stored <= VALUE_BYTES_MAX, "record out of range");
  assert(stored > CHUNKED_BYTES_MIN, "a value that is hashed in chunks");
  assert(table.length === chunkTableBytes(stored), "a hash for each chunk");
  const head = new Uint8Array(recordHeadBytes(key.length, stored));
  putU32(head, AT_STORED, stored);
  putU32(head, AT_RAW, stored);
  head[AT_TAG] = tag;
  putU32(head, AT_KEYSPACE, keyspace);
  putU16(head, AT_KEY_BYTES, key.length);
  head[AT_CODEC] = Codec.none;
  head.set(key, RECORD_HEADER_BYTES);
  head.set(table, RECORD_HEADER_BYTES + key.length);
  putU32(head, AT_VALUE_HASH, contentHash(table, 0, table.length));
  return head;
}

/** Writes the hash of `chunk[start, end)`, the chunk `index` of a value, into a table of hashes. */
export function putChunkHash(
  table: Uint8Array,
  index: number,
  chunk: Uint8Array,
  start: number,
  end: number,
): void {
  putU32(table, index * CHUNK_HASH_BYTES, contentHash(chunk, start, end));
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
  /** The table of chunk hashes stands between here and the value, if there is one. */
  keyEnd = 0;
  valueStart = 0;
  valueEnd = 0;
  /** After `read` or `readHead` returned false. */
  problem: RecordProblem = "head";
  #valueHash = 0;

  /** Bytes of the record. */
  get bytes(): number {
    return recordBytes(this.keyEnd - this.keyStart, this.stored);
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
    this.valueStart = keyEnd + chunkTableBytes(this.stored);
    this.valueEnd = this.valueStart + this.stored;
    this.#valueHash = getU32(source, at + AT_VALUE_HASH);
    if (source[at + AT_FLAGS] !== 0 || !isKnownTag(this.tag)) return this.#refuse("unsupported");
    if (this.seq > Number.MAX_SAFE_INTEGER) return this.#refuse("unsupported");
    if (this.codec === Codec.none && this.raw !== this.stored) return this.#refuse("unsupported");
    return true;
  }

  /** Verifies the value of the head that was read. Precondition: it is within `source`. */
  checkValue(source: Uint8Array): boolean {
    const { valueStart, valueEnd } = this;
    if (this.keyEnd === valueStart) {
      return contentHash(source, valueStart, valueEnd) === this.#valueHash || this.#refuse("value");
    }
    return (
      (this.checkTable(source) && this.checkChunks(source, valueStart, 0, this.stored)) ||
      this.#refuse("value")
    );
  }

  /** Verifies the table of chunk hashes. Precondition: there is one, and it is within `source`. */
  checkTable(source: Uint8Array): boolean {
    const { keyEnd, valueStart } = this;
    return contentHash(source, keyEnd, valueStart) === this.#valueHash || this.#refuse("value");
  }

  /**
   * Verifies the chunks of the value between `from` and `to`, which stand at `source[at, ...)`. `from`
   * is where a chunk begins, `to` where one or the value ends. `table`, by default `source`, has the
   * table that was verified, where it was read.
   */
  checkChunks(
    source: Uint8Array,
    at: number,
    from: number,
    to: number,
    table: Uint8Array = source,
  ): boolean {
    for (let start = from; start < to; start += CHUNK_BYTES) {
      const end = Math.min(start + CHUNK_BYTES, to);
      const hash = getU32(table, this.keyEnd + (start / CHUNK_BYTES) * CHUNK_HASH_BYTES);
      if (contentHash(source, at + start - from, at + end - from) !== hash) {
        return this.#refuse("value");
      }
    }
    return true;
  }

  #refuse(problem: RecordProblem): false {
    this.problem = problem;
    return false;
  }
}
