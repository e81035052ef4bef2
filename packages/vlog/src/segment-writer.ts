/**
 * Segment writer: value records, one behind the other, in one new file of type `segment`.
 *
 * Made for a background job: everything is synchronous and small records leave in large writes.
 * Nothing may be referred to before `finishSync` returned and the file's name was made durable.
 * After a failed write or sync the file is given up for good.
 */
import {
  AuraError,
  assert,
  encodeFileHeader,
  type FileHandle,
  type FileHeader,
  type FileSystem,
  FileType,
  getU16,
  getU32,
  ioError,
  putU32,
  type Uid,
} from "@aura/base";
import { POINTER_FILE_MAX } from "./pointer.ts";
import {
  encodeRecordHead,
  movedChecksum,
  putRecordChecksum,
  RECORD_HEADER_BYTES,
  recordBytes,
  recordHeadBytes,
} from "./record.ts";

const BUFFER_BYTES = 256 * 1024;
/** Pieces of at least this many bytes go out by reference, together with what is buffered. */
const COPY_BYTES_MAX = 64 * 1024;
const HEAD_BUFFERED_BYTES_MAX = BUFFER_BYTES / 2;
const CHECKSUM_BYTES = 4;

/** What a new segment is given. */
export interface SegmentSettings {
  /** Its type must be `segment`. */
  readonly header: FileHeader;
}

/** Appends records to one new segment. */
export class SegmentWriter {
  readonly path: string;
  readonly number: number;
  readonly uid: Uid;
  readonly #file: FileHandle;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #buffered = 0;
  #written = 0;
  #count = 0;
  #failure: Error | undefined;
  #state: "open" | "finished" | "closed" = "open";

  private constructor(path: string, file: FileHandle, header: FileHeader) {
    this.path = path;
    this.number = header.number;
    this.uid = header.uid;
    this.#file = file;
  }

  /** Creates the file. Its header is written with the first records. */
  static createSync(fs: FileSystem, path: string, settings: SegmentSettings): SegmentWriter {
    const { header } = settings;
    assert(header.type === FileType.segment, "a segment's header says so");
    assert(header.number <= POINTER_FILE_MAX, "a pointer cannot name this segment");
    const head = encodeFileHeader(header);
    const segment = new SegmentWriter(path, fs.openSync(path, "create"), header);
    segment.#put(head, 0, head.length);
    return segment;
  }

  /** End of the segment: offset of the next record. */
  get bytes(): number {
    return this.#written + this.#buffered;
  }

  /** Records appended. */
  get count(): number {
    return this.#count;
  }

  /**
   * Appends a record and returns its offset. `value` is the value as stored, `raw` its length
   * before compression with `codec`. Nothing is kept of key and value.
   */
  append(
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
    this.#assertOpen();
    const headBytes = recordHeadBytes(keyEnd - keyStart, value.length);
    // The table of a value of gigabytes does not fit into the buffer.
    const apart = headBytes > HEAD_BUFFERED_BYTES_MAX;
    if (!apart && this.#buffered + headBytes > BUFFER_BYTES) this.#flush(undefined);
    const offset = this.bytes;
    const at = apart ? 0 : this.#buffered;
    const buffer = apart ? new Uint8Array(headBytes) : this.#buffer;
    encodeRecordHead(buffer, at, keyspace, key, keyStart, keyEnd, seq, tag, value, raw, codec);
    putRecordChecksum(buffer, at, this.uid, offset);
    if (apart) this.#put(buffer, 0, headBytes);
    else this.#buffered += headBytes;
    this.#put(value, 0, value.length);
    this.#count++;
    return offset;
  }

  /**
   * Appends a copy of the record `record[start, end)`, which was verified and stands at
   * `sourceOffset` of the file `sourceUid`, and returns its offset. Neither hashed nor decoded: a
   * record that was damaged after it was verified fails its check in the copy too.
   */
  copyRecord(
    record: Uint8Array,
    start: number,
    end: number,
    sourceUid: Uid,
    sourceOffset: number,
  ): number {
    this.#assertOpen();
    assert(end - start >= RECORD_HEADER_BYTES, "not a whole record");
    assert(
      recordBytes(getU16(record, start + 24), getU32(record, start + 4)) === end - start,
      "not one whole record",
    );
    if (this.#buffered + CHECKSUM_BYTES > BUFFER_BYTES) this.#flush(undefined);
    const offset = this.bytes;
    const checksum = getU32(record, start);
    const moved = movedChecksum(checksum, sourceUid, sourceOffset, this.uid, offset);
    putU32(this.#buffer, this.#buffered, moved);
    this.#buffered += CHECKSUM_BYTES;
    this.#put(record, start + CHECKSUM_BYTES, end);
    this.#count++;
    return offset;
  }

  /** Writes what is buffered and makes the content durable (not the name). Nothing can follow. */
  finishSync(): void {
    this.#assertOpen();
    this.#flush(undefined);
    try {
      this.#file.syncSync();
    } catch (error) {
      throw this.#fail(error);
    }
    this.#state = "finished";
  }

  /** Closes the file, finished or not. Idempotent. */
  closeSync(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#file.closeSync();
  }

  #assertOpen(): void {
    if (this.#failure !== undefined) {
      throw new AuraError("AURA_READ_ONLY", `${this.path} was given up after a failure`, {
        cause: this.#failure,
        file: this.path,
      });
    }
    if (this.#state !== "open") throw new AuraError("AURA_CLOSED", `${this.path} is complete`);
  }

  #put(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length < COPY_BYTES_MAX) {
      if (this.#buffered + length > BUFFER_BYTES) this.#flush(undefined);
      const whole = length === bytes.length;
      this.#buffer.set(whole ? bytes : bytes.subarray(start, end), this.#buffered);
      this.#buffered += length;
      return;
    }
    this.#flush(bytes.subarray(start, end));
  }

  /** Writes what is buffered, and `large` behind it. */
  #flush(large: Uint8Array | undefined): void {
    const buffered = this.#buffer.subarray(0, this.#buffered);
    try {
      if (large === undefined) this.#file.writeSync(buffered, this.#written);
      else this.#file.writevSync([buffered, large], this.#written);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#written += buffered.length + (large?.length ?? 0);
    this.#buffered = 0;
  }

  #fail(error: unknown): Error {
    this.#failure ??= error instanceof Error ? error : ioError(error, this.path, "segment write");
    return this.#failure;
  }
}
