/**
 * Separated values, read where their pointers lead or found in the cache.
 *
 * A file is named by its number; whether it is a log with values (`vlog`) or a segment of relocated
 * ones (`seg`) the version knows, or, for a log that no table refers to yet, the directory.
 */
import { AuraError, corruption, type FileSystem } from "@aura/base";
import type { BlockCache } from "@aura/sst";
import { POINTER_BYTES, PointerReader, type ValueParts, ValueReader } from "@aura/vlog";
import { filePath } from "./file-names.ts";
import { ValueCache } from "./value-cache.ts";
import type { ValueLocality } from "./value-locality.ts";
import type { SegmentKind } from "./version.ts";
import type { WorkCounts } from "./work-counts.ts";

/** Where values are. */
export interface ValueStoreOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  /** Files open at once, 1 or more. */
  readonly maxOpenFiles: number;
  /** What the current version says of a number. */
  readonly kindOf: (number: number) => SegmentKind | undefined;
  /** Where hot values are kept. */
  readonly cache: BlockCache;
  /** A scan has read so many values of keys in a range, by so many reads (value-locality.ts). */
  readonly onScanned?: ValueLocality["note"];
}

/** Reads separated values. What it returns is verified, fresh and the caller's. */
export class ValueStore {
  /** Values of this database that are kept in memory. */
  readonly cache: ValueCache;
  readonly #options: ValueStoreOptions;
  readonly #reader: ValueReader;
  readonly #pointer = new PointerReader();
  /** Where reads are counted, and some of them timed. */
  counts: Pick<WorkCounts, "beginValue" | "endValue"> | undefined;
  #closed = false;

  constructor(options: ValueStoreOptions) {
    this.#options = options;
    this.cache = new ValueCache(options.cache);
    const pathOf = (number: number): string => this.#pathOf(number);
    this.#reader = new ValueReader(options.fs, pathOf, options.maxOpenFiles);
  }

  /** Files that are open. */
  get openCount(): number {
    return this.#reader.openCount;
  }

  /**
   * Reads the value that the pointer bytes[start, end) names, on this thread; `key[keyStart,
   * keyEnd)` is its key. Throws AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_NOT_FOUND, AURA_IO, AURA_CLOSED.
   */
  readSync(
    bytes: Uint8Array,
    start: number,
    end: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Buffer {
    const { file, offset, stored, raw, codec } = this.decode(bytes, start, end);
    this.#assertOpen();
    const startMs = this.counts?.beginValue() ?? -1;
    const cached = this.cache.find(file, offset, raw);
    if (cached !== undefined) {
      if (startMs >= 0) this.counts?.endValue(startMs);
      return cached;
    }
    const space = this.cache.spaceOf(file);
    const value = this.#reader.readSync(file, offset, stored, raw, codec, key, keyStart, keyEnd);
    this.cache.note(space, offset, value);
    if (startMs >= 0) this.counts?.endValue(startMs);
    return value;
  }

  /**
   * As `readSync`, through the thread pool. The pointer is read at once; the key must not change
   * before the promise settles.
   */
  async read(
    bytes: Uint8Array,
    start: number,
    end: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Promise<Buffer> {
    const { file, offset, stored, raw, codec } = this.decode(bytes, start, end);
    this.#assertOpen();
    this.counts?.beginValue();
    const cached = this.cache.find(file, offset, raw);
    if (cached !== undefined) return cached;
    const space = this.cache.spaceOf(file);
    const value = await this.#reader.read(file, offset, stored, raw, codec, key, keyStart, keyEnd);
    this.cache.note(space, offset, value);
    return value;
  }

  /** Returns the value at a place if it is in memory: the caller's own copy. */
  cached(file: number, offset: number, raw: number): Buffer | undefined {
    return this.cache.peek(file, offset, raw);
  }

  /** Opens the value of a pointer for reading parts of it, on this thread. */
  openSync(bytes: Uint8Array, key: Uint8Array): ValueParts {
    const { file, offset, stored, raw, codec } = this.decode(bytes, 0, bytes.length);
    this.#assertOpen();
    return this.#reader.openSync(file, offset, stored, raw, codec, key, 0, key.length);
  }

  /** As `openSync`, through the thread pool. */
  open(bytes: Uint8Array, key: Uint8Array): Promise<ValueParts> {
    const { file, offset, stored, raw, codec } = this.decode(bytes, 0, bytes.length);
    this.#assertOpen();
    return this.#reader.open(file, offset, stored, raw, codec, key, 0, key.length);
  }

  /** Returns bytes [start, end) of a file, unverified, for `takeFrom`. */
  fetchSync(file: number, start: number, end: number): Buffer {
    this.#assertOpen();
    return this.#reader.fetchSync(file, start, end);
  }

  /** As `fetchSync`, through the thread pool. */
  fetch(file: number, start: number, end: number): Promise<Buffer> {
    this.#assertOpen();
    return this.#reader.fetch(file, start, end);
  }

  /**
   * Returns the value of the pointer at `pointers[at]` out of what `fetch` got from `start` on,
   * verified; a view of it unless it was compressed. `isKept`: it counts as read for the cache.
   */
  takeFrom(
    bytes: Buffer,
    start: number,
    pointers: Uint8Array,
    at: number,
    key: Uint8Array,
    isKept: boolean,
  ): Buffer {
    const { file, offset, stored, raw, codec } = this.decode(pointers, at, at + POINTER_BYTES);
    this.counts?.beginValue();
    const value = this.#reader.takeFrom(bytes, start, file, offset, stored, raw, codec, key);
    if (isKept) this.cache.note(this.cache.spaceOf(file), offset, value);
    return value;
  }

  /** Notes what a scan has read, from the first key to the last one. */
  noteScanned(
    first: Uint8Array,
    last: Uint8Array,
    values: number,
    bytes: number,
    reads: number,
  ): void {
    this.#options.onScanned?.(first, last, values, bytes, reads);
  }

  /** Takes a pointer apart. The result is valid until the next call of this store. */
  decode(bytes: Uint8Array, start: number, end: number): Readonly<PointerReader> {
    if (this.#pointer.read(bytes, start, end)) return this.#pointer;
    throw corruption(this.#options.directory, 0, "an entry holds a pointer of the wrong size");
  }

  /** Closes a file, behind reads under way. It is going away. */
  forget(number: number): void {
    this.cache.forget(number);
    this.#reader.forget(number);
  }

  /** Closes all files, behind reads under way; none is read any more. Idempotent. */
  closeAll(): void {
    this.#closed = true;
    this.cache.forgetAll();
    this.#reader.closeSync();
  }

  #assertOpen(): void {
    if (this.#closed) throw new AuraError("AURA_CLOSED", "the database is closed");
  }

  #pathOf(number: number): string {
    const { fs, directory, kindOf } = this.#options;
    const kind = kindOf(number);
    if (kind !== undefined) return filePath(directory, number, kind);
    const path = filePath(directory, number, "vlog");
    if (fs.existsSync(path)) return path;
    const relocated = filePath(directory, number, "seg");
    return fs.existsSync(relocated) ? relocated : path;
  }
}

/** Longer values are never read on this thread by an asynchronous call, bytes. */
export const SYNC_VALUE_BYTES_MAX: number = 256 * 1024;
