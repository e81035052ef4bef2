/**
 * Separated values: follows encoded pointers to the files that hold the values.
 *
 * A file is named by its number; whether it is a log with values (`vlog`) or a segment of relocated
 * ones (`seg`) the version knows, or, for a log that no table refers to yet, the directory.
 */
import { corruption, type FileSystem } from "@aura/base";
import { PointerReader, ValueReader } from "@aura/vlog";
import { filePath } from "./file-names.ts";
import type { SegmentKind } from "./version.ts";

/** Where values are. */
export interface ValueStoreOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  /** Files open at once, 1 or more. */
  readonly maxOpenFiles: number;
  /** What the current version says of a number. */
  readonly kindOf: (number: number) => SegmentKind | undefined;
}

/** Reads separated values. What it returns is verified, fresh and the caller's. */
export class ValueStore {
  /** Values read, and their bytes as stored. */
  reads = 0;
  bytesRead = 0;
  readonly #options: ValueStoreOptions;
  readonly #reader: ValueReader;
  readonly #pointer = new PointerReader();

  constructor(options: ValueStoreOptions) {
    this.#options = options;
    const pathOf = (number: number): string => this.#pathOf(number);
    this.#reader = new ValueReader(options.fs, pathOf, options.maxOpenFiles);
  }

  /** Files that are open. */
  get openCount(): number {
    return this.#reader.openCount;
  }

  /**
   * Reads the value that the pointer bytes[start, end) names, on this thread; `key[keyStart,
   * keyEnd)` is its key. Throws AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_NOT_FOUND, AURA_IO.
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
    this.#count(stored);
    return this.#reader.readSync(file, offset, stored, raw, codec, key, keyStart, keyEnd);
  }

  /**
   * As `readSync`, through the thread pool. The pointer is read at once; the key must not change
   * before the promise settles.
   */
  read(
    bytes: Uint8Array,
    start: number,
    end: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
  ): Promise<Buffer> {
    const { file, offset, stored, raw, codec } = this.decode(bytes, start, end);
    this.#count(stored);
    return this.#reader.read(file, offset, stored, raw, codec, key, keyStart, keyEnd);
  }

  /** Takes a pointer apart. The result is valid until the next call of this store. */
  decode(bytes: Uint8Array, start: number, end: number): Readonly<PointerReader> {
    if (this.#pointer.read(bytes, start, end)) return this.#pointer;
    throw corruption(this.#options.directory, 0, "an entry holds a pointer of the wrong size");
  }

  /** Closes a file, behind reads under way. It is going away. */
  forget(number: number): void {
    this.#reader.forget(number);
  }

  /** Closes all files, behind reads under way. Idempotent. */
  closeAll(): void {
    this.#reader.closeSync();
  }

  #count(stored: number): void {
    this.reads++;
    this.bytesRead += stored;
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
