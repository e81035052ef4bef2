/**
 * A value that is read in parts. What is handed out was verified: the chunks that a part touches are
 * read whole and checked against the record's table, which the record's checksum vouches for. The
 * rest of the value is neither read nor checked.
 */
import { Buffer } from "node:buffer";
import { assert, corruption } from "@aura/base";
import type { OpenFiles } from "./open-files.ts";
import { CHUNK_BYTES, type RecordView } from "./record.ts";
import { fetch, fetchSync } from "./value-fetch.ts";

/** A record whose head was verified. */
interface Chunked {
  readonly number: number;
  readonly offset: number;
  /** Header, key and table. */
  readonly head: Buffer;
  readonly record: RecordView;
}

/** A value open for reading. Its file must not be forgotten meanwhile. */
export class ValueParts {
  /** Bytes of the value. */
  readonly bytes: number;
  readonly #files: OpenFiles;
  readonly #whole: Buffer | undefined;
  readonly #chunked: Chunked | undefined;

  /** @internal Made by `ValueReader`. Takes over a value that was read whole. */
  constructor(files: OpenFiles, value: Buffer | Chunked) {
    this.#files = files;
    const isWhole = Buffer.isBuffer(value);
    this.#whole = isWhole ? value : undefined;
    this.#chunked = isWhole ? undefined : value;
    this.bytes = isWhole ? value.length : value.record.raw;
  }

  /**
   * Returns the bytes [start, end) of the value, on this thread; they are the caller's, and may share
   * memory with other parts. Precondition: 0 <= start <= end <= `bytes`. Throws AURA_CORRUPTION, AURA_IO.
   */
  readSync(start: number, end: number): Buffer {
    this.#assertRange(start, end);
    const chunked = this.#chunked;
    if (chunked === undefined) return this.#whole!.subarray(start, end);
    if (start === end) return Buffer.alloc(0);
    const { from, to } = this.#chunksOf(start, end);
    const file = this.#files.use(chunked.number);
    const bytes = fetchSync(file, this.#placeOf(chunked, from), to - from);
    return this.#take(chunked, bytes, from, to, start, end);
  }

  /** As `readSync`, through the thread pool. */
  async read(start: number, end: number): Promise<Buffer> {
    const chunked = this.#chunked;
    if (chunked === undefined || start === end) return this.readSync(start, end);
    this.#assertRange(start, end);
    const { from, to } = this.#chunksOf(start, end);
    const place = this.#placeOf(chunked, from);
    const { bytes } = await fetch(this.#files, chunked.number, place, to - from);
    return this.#take(chunked, bytes, from, to, start, end);
  }

  #assertRange(start: number, end: number): void {
    assert(0 <= start && start <= end && end <= this.bytes, "a part within the value");
  }

  #chunksOf(start: number, end: number): { from: number; to: number } {
    const from = Math.floor(start / CHUNK_BYTES) * CHUNK_BYTES;
    const to = Math.min(Math.ceil(end / CHUNK_BYTES) * CHUNK_BYTES, this.bytes);
    return { from, to };
  }

  #placeOf({ offset, record }: Chunked, at: number): number {
    return offset + record.valueStart + at;
  }

  #take(
    { number, offset, head, record }: Chunked,
    bytes: Buffer,
    from: number,
    to: number,
    start: number,
    end: number,
  ): Buffer {
    if (!record.checkChunks(bytes, 0, from, to, head)) {
      const { path } = this.#files.use(number);
      throw corruption(path, offset, `a value fails its check between its bytes ${from} and ${to}`);
    }
    return bytes.subarray(start - from, end - from);
  }
}
