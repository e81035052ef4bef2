/**
 * Values on the way out: separated ones, read where their pointers lead, and batches of entries,
 * whose separated values are read together, sorted by place.
 *
 * A file is named by its number; whether it is a log with values (`vlog`) or a segment of relocated
 * ones (`seg`) the version knows, or, for a log that no table refers to yet, the directory.
 */
import { AuraError, assert, corruption, type FileSystem, Kind } from "@aura/base";
import { POINTER_BYTES, PointerReader, ValueReader } from "@aura/vlog";
import { copyView, VIEW_COPY_BYTES_MAX, viewOf } from "./copy-view.ts";
import { filePath } from "./file-names.ts";
import type { SegmentKind } from "./version.ts";
import type { VisibleCursor } from "./visible-cursor.ts";

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
  #closed = false;

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
    this.#begin(stored);
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
    this.#begin(stored);
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

  /** Closes all files, behind reads under way; none is read any more. Idempotent. */
  closeAll(): void {
    this.#closed = true;
    this.#reader.closeSync();
  }

  #begin(stored: number): void {
    if (this.#closed) throw new AuraError("AURA_CLOSED", "the database is closed");
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

/** Decides whether a value is read on this thread, see `AdaptiveReads`. */
export interface ReadTiming {
  maySync(): boolean;
  startMs(): number;
  note(startMs: number): void;
}

/** Longer values are never read on this thread by an asynchronous call, bytes. */
export const SYNC_VALUE_BYTES_MAX: number = 256 * 1024;
/** Values read at one time on the thread pool for one batch. */
const READS_IN_FLIGHT_MAX = 64;
/** Memory for the keys and values of a batch comes in pieces of these sizes, bytes. */
const PIECE_BYTES_MIN = 1024;
const PIECE_BYTES_MAX = 65536;
/** What an entry is expected to take in the first piece, bytes. */
const ENTRY_BYTES_GUESS = 128;
/** Longest copy done byte by byte where there is no view; a native copy costs more up to here. */
const LOOP_COPY_BYTES_MAX = 48;

/** `Buffer.from(memory, start, length)`, without its checks: four times as fast. */
const BufferView = (Buffer as unknown as Record<symbol, unknown>)[Symbol.species] as new (
  memory: ArrayBuffer,
  start: number,
  length: number,
) => Buffer;

/** Returns bytes[start, end) as a buffer of the caller's own. */
export function copyOut(bytes: Uint8Array, start: number, end: number): Buffer {
  const length = end - start;
  // Of the platform's pool, whose bytes are given out once; all of them are set here. A separate
  // allocation would cost ten times as much as the rest of a read from memory.
  const copy = Buffer.allocUnsafe(length);
  copyBytes(copy, 0, bytes, start, end);
  return copy;
}

function copyBytes(
  target: Uint8Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number,
): void {
  if (end - start <= LOOP_COPY_BYTES_MAX) {
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!;
  } else target.set(source.subarray(start, end), at);
}

const NO_VALUE: Buffer = Buffer.alloc(0);
const NO_PIECE = new Uint8Array(0);

/** Entries on their way to the caller, whose memory they are: fresh, shared within a batch only. */
export class EntryBatch {
  readonly keys: Buffer[] = [];
  /** Complete once `resolve` or `resolveSync` is through. */
  readonly values: Buffer[] = [];
  count = 0;
  /** Bytes of keys and values, those to be read included. */
  bytes = 0;
  readonly #wantsKeys: boolean;
  readonly #wantsValues: boolean;
  #piece: Uint8Array<ArrayBuffer> = NO_PIECE;
  #pieceView: DataView = viewOf(NO_PIECE);
  #used = 0;
  #nextPieceBytes: number;
  /** Entries whose value is apart, and their keys. Encoded pointers stand in a row. */
  readonly #apart: number[] = [];
  readonly #apartKeys: Buffer[] = [];
  #pointers: Uint8Array = NO_PIECE;

  /** `countMax`: how many entries it will hold at most. */
  constructor(wantsKeys: boolean, wantsValues: boolean, countMax: number) {
    this.#wantsKeys = wantsKeys;
    this.#wantsValues = wantsValues;
    const guess = Math.max(PIECE_BYTES_MIN, countMax * ENTRY_BYTES_GUESS);
    this.#nextPieceBytes = Math.min(guess, PIECE_BYTES_MAX);
  }

  /** Adds the entry under `cursor`: copies of key and value. Throws AURA_CORRUPTION. */
  add(cursor: VisibleCursor, store: ValueStore): void {
    const { tag, keyBytes, keyStart, keyEnd } = cursor;
    const isApart = tag === Kind.pointer;
    assert(isApart || tag === Kind.value, "a visible entry is a value or a pointer");
    let key: Buffer | undefined;
    if (this.#wantsKeys || isApart) {
      key = this.#copy(keyBytes, cursor.keyView, keyStart, keyEnd);
      if (this.#wantsKeys) this.keys.push(key);
    }
    if (this.#wantsValues) {
      const { valueBytes, valueStart, valueEnd } = cursor;
      if (isApart) {
        this.bytes += store.decode(valueBytes, valueStart, valueEnd).raw;
        this.values.push(NO_VALUE);
        this.#addPointer(key!, valueBytes, valueStart);
      } else this.values.push(this.#copy(valueBytes, cursor.valueView, valueStart, valueEnd));
    }
    this.count++;
  }

  /** Reads the values that are apart, on this thread. */
  resolveSync(store: ValueStore): void {
    for (const i of this.#byPlace(store)) this.#readSync(store, i);
  }

  /** As `resolveSync`; on this thread only as far as `timing` allows. */
  async resolve(store: ValueStore, timing: ReadTiming): Promise<void> {
    const flying = new Set<Promise<void>>();
    const failures: unknown[] = [];
    for (const i of this.#byPlace(store)) {
      const at = i * POINTER_BYTES;
      const { stored } = store.decode(this.#pointers, at, at + POINTER_BYTES);
      if (stored <= SYNC_VALUE_BYTES_MAX && timing.maySync()) {
        const startMs = timing.startMs();
        try {
          this.#readSync(store, i);
        } catch (error) {
          failures.push(error);
        } finally {
          timing.note(startMs);
        }
      } else {
        const flight: Promise<void> = this.#read(store, i)
          .catch((error: unknown) => {
            failures.push(error);
          })
          .then(() => {
            flying.delete(flight);
          });
        flying.add(flight);
        if (flying.size >= READS_IN_FLIGHT_MAX) await Promise.race(flying);
      }
      if (failures.length > 0) break;
    }
    // None may be under way when the files are let go.
    await Promise.all(flying);
    if (failures.length > 0) throw failures[0] as Error;
  }

  #readSync(store: ValueStore, i: number): void {
    const at = i * POINTER_BYTES;
    const key = this.#apartKeys[i]!;
    const end = at + POINTER_BYTES;
    this.values[this.#apart[i]!] = store.readSync(this.#pointers, at, end, key, 0, key.length);
  }

  async #read(store: ValueStore, i: number): Promise<void> {
    const at = i * POINTER_BYTES;
    const key = this.#apartKeys[i]!;
    const end = at + POINTER_BYTES;
    this.values[this.#apart[i]!] = await store.read(this.#pointers, at, end, key, 0, key.length);
  }

  #addPointer(key: Buffer, bytes: Uint8Array, start: number): void {
    const at = this.#apart.length * POINTER_BYTES;
    if (at === this.#pointers.length) {
      const grown = new Uint8Array(Math.max(16 * POINTER_BYTES, at * 2));
      grown.set(this.#pointers);
      this.#pointers = grown;
    }
    copyBytes(this.#pointers, at, bytes, start, start + POINTER_BYTES);
    this.#apart.push(this.count);
    this.#apartKeys.push(key);
  }

  /** Returns the indexes of the pointers, sorted by file and offset. */
  #byPlace(store: ValueStore): number[] {
    const count = this.#apart.length;
    const files: number[] = [];
    const offsets: number[] = [];
    const order: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = i * POINTER_BYTES;
      const { file, offset } = store.decode(this.#pointers, at, at + POINTER_BYTES);
      files.push(file);
      offsets.push(offset);
      order.push(i);
    }
    return order.sort((a, b) => files[a]! - files[b]! || offsets[a]! - offsets[b]!);
  }

  /** Returns a copy of bytes[start, end), which `view` shows too, in this batch's memory. */
  #copy(bytes: Uint8Array, view: DataView, start: number, end: number): Buffer {
    const length = end - start;
    this.bytes += length;
    if (this.#used + length > this.#piece.length) {
      if (length > PIECE_BYTES_MAX / 4) {
        const own = new Uint8Array(length);
        own.set(bytes.subarray(start, end));
        return new BufferView(own.buffer, 0, length);
      }
      this.#piece = new Uint8Array(Math.max(this.#nextPieceBytes, length));
      this.#pieceView = viewOf(this.#piece);
      this.#nextPieceBytes = Math.min(this.#nextPieceBytes * 2, PIECE_BYTES_MAX);
      this.#used = 0;
    }
    const at = this.#used;
    if (length <= VIEW_COPY_BYTES_MAX) copyView(this.#pieceView, at, view, start, end);
    else this.#piece.set(bytes.subarray(start, end), at);
    this.#used = at + length;
    return new BufferView(this.#piece.buffer, at, length);
  }
}
