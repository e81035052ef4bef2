/**
 * Streamed value: one large value on its way to a log of values alone, of its own, while it comes.
 *
 * What is held in memory is two buffers and four bytes per 64 KiB of the value. The head of its
 * record, which has its length and the hashes of its chunks, stands in front of the value: room is
 * left for the longest one, and the head is written right before the value when the value has ended
 * and its sequence number is known. What is left of the room is a hole. Only then does the group go
 * that names the value; a stream that ends otherwise leaves a file that nobody names, which is
 * removed, here or at the next open.
 */
import { AuraError, assert, Kind, VALUE_BYTES_MAX } from "@aura/base";
import {
  CHUNK_BYTES,
  encodeHashedHead,
  putChunkHash,
  putRecordChecksum,
  putRecordSeq,
  recordHeadBytes,
} from "@aura/vlog";
import { type LongFrame, PAYLOAD_BYTES_MAX } from "@aura/wal";
import type { FarValue } from "./group.ts";
import type { Journal } from "./journal.ts";
import type { LogFile } from "./log-file.ts";
import { KEYSPACE } from "./operations.ts";
import type { StreamRoom } from "./stream-room.ts";

/** A multiple of a chunk. The value is written in pieces of this size. */
const BUFFER_BYTES = 1024 * 1024;

/** What a streamed value works with. */
export interface StreamedValueParts {
  readonly journal: Journal;
  readonly removeFile: (path: string) => void;
  /** What was written is synced each time it grew by so many bytes; 0: never. */
  readonly syncBytes: number;
  readonly room: StreamRoom;
}

/** A value that is written before it is put. One call at a time. */
export class StreamedValue implements FarValue {
  readonly log: LogFile;
  readonly #parts: StreamedValueParts;
  readonly #key: Uint8Array;
  readonly #frame: LongFrame;
  readonly #valueOffset: number;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #other = new Uint8Array(BUFFER_BYTES);
  #buffered = 0;
  /** Bytes of the value handed to the thread pool. */
  #written = 0;
  #syncedBytes = 0;
  /** Bytes that count as written though no log has their length. */
  #roomBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #table = new Uint8Array(1024);
  #head: Uint8Array | undefined;
  #isGivenUp = false;

  /** Creates the file. `size`: the bytes that will come, where that is known. Throws AURA_IO. */
  constructor(parts: StreamedValueParts, key: Uint8Array, size: number | undefined) {
    this.#parts = parts;
    this.#key = key;
    this.log = parts.journal.createValueLog();
    this.#frame = this.log.writer.openLongFrame();
    const headBytes = recordHeadBytes(key.length, size ?? VALUE_BYTES_MAX);
    this.#valueOffset = this.#frame.attachedOffset + headBytes;
  }

  /** Most bytes that a value can have: it is one frame with its head. */
  get bytesMax(): number {
    return PAYLOAD_BYTES_MAX - (this.#valueOffset - this.#frame.attachedOffset);
  }

  /** Offset of the record, once the value has ended. */
  get offset(): number {
    return this.#valueOffset - this.#head!.length;
  }

  get stored(): number {
    return this.#written;
  }

  /** Adds a piece. Nothing of it is kept once this resolves. Rejects when the file fails. */
  async add(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      const count = Math.min(piece.length - at, BUFFER_BYTES - this.#buffered);
      this.#buffer.set(piece.subarray(at, at + count), this.#buffered);
      this.#buffered += count;
      at += count;
      if (this.#buffered === BUFFER_BYTES) await this.#flush();
    }
  }

  /** Resolves when the whole value is with the operating system. Rejects when the file fails. */
  async end(): Promise<void> {
    if (this.#buffered > 0) await this.#flush();
    await this.#writing;
    const table = this.#table.subarray(0, Math.ceil(this.#written / CHUNK_BYTES) * 4);
    this.#head = encodeHashedHead(KEYSPACE, this.#key, Kind.value, table, this.#written);
  }

  /** Writes the head and ends the frame: the value is whole. */
  seal(seq: number): void {
    const head = this.#head!;
    const { offset } = this;
    putRecordSeq(head, 0, seq);
    putRecordChecksum(head, 0, this.log.writer.uid, offset);
    this.#frame.writeSync(head, offset);
    this.#frame.endSync(this.#valueOffset - this.#frame.attachedOffset + this.#written);
    this.#parts.journal.end(this.log);
    this.#giveRoom();
  }

  /**
   * Gives the value up from now on, a call under way included, and removes the file behind what is
   * being written. Precondition: no group names it.
   */
  async discard(): Promise<void> {
    const { journal, removeFile } = this.#parts;
    this.#isGivenUp = true;
    await journal.discard(this.log);
    removeFile(this.log.writer.path);
    this.#giveRoom();
  }

  /** Whether a group names the value, or may do so when the database is opened again. */
  get isNamed(): boolean {
    return this.log.lastSeq > this.log.createdAtSeq;
  }

  /** Hands the buffer to the thread pool; waits for the one before. */
  async #flush(): Promise<void> {
    await this.#writing;
    await this.#parts.room.take(this.#buffered);
    this.#roomBytes += this.#buffered;
    if (this.#isGivenUp) {
      this.#giveRoom();
      throw new AuraError("AURA_ABORTED", "the stream was given up");
    }
    const bytes = this.#buffer.subarray(0, this.#buffered);
    const position = this.#valueOffset + this.#written;
    this.#hash(bytes);
    this.#written += bytes.length;
    assert(this.#written <= this.bytesMax, "the length of a value is checked before");
    this.#buffer = this.#other;
    this.#other = bytes.length === BUFFER_BYTES ? bytes : this.#other;
    this.#buffered = 0;
    this.#writing = this.#write(bytes, position);
    // Whoever comes next awaits it.
    this.#writing.catch(() => undefined);
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    const { syncBytes } = this.#parts;
    await this.#frame.write(bytes, position);
    if (syncBytes === 0 || this.#written - this.#syncedBytes < syncBytes) return;
    this.#syncedBytes = this.#written;
    await this.log.writer.sync();
  }

  #giveRoom(): void {
    this.#parts.room.give(this.#roomBytes);
    this.#roomBytes = 0;
  }

  #hash(bytes: Uint8Array): void {
    let index = this.#written / CHUNK_BYTES;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      if ((index + 1) * 4 > this.#table.length) {
        const grown = new Uint8Array(this.#table.length * 2);
        grown.set(this.#table);
        this.#table = grown;
      }
      putChunkHash(this.#table, index++, bytes, at, Math.min(at + CHUNK_BYTES, bytes.length));
    }
  }
}
