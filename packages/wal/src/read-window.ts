/**
 * Read window: a sliding view of a file, filled in chunks. It never holds more than the larger of one
 * chunk and one requested range, and never reads beyond its limit. Chunks grow from small to large:
 * who looks at the end of a log again and again reads little each time.
 */
import { corruption, type FileHandle } from "@aura/base";

const CHUNK_BYTES_MIN = 16 * 1024;
const CHUNK_BYTES_MAX = 1024 * 1024;
const NOTHING = new Uint8Array(0);

/** A sliding view of [0, limit) of a file. */
export class ReadWindow {
  readonly #file: FileHandle;
  /** The file may get shorter under the window: what is missing then is no damage. */
  readonly #mayShrink: boolean;
  #chunkBytes = CHUNK_BYTES_MIN;
  /** Nothing is read behind it. A file that got shorter lowers it. */
  limit: number;
  /** Valid until the next `ensure`, `load` or `drop`, which may replace it. */
  bytes: Uint8Array = NOTHING;
  /** File offset of `bytes[0]`. */
  start = 0;
  /** File offset behind the last byte held. */
  end = 0;

  constructor(file: FileHandle, limit: number, mayShrink = false) {
    this.#file = file;
    this.limit = limit;
    this.#mayShrink = mayShrink;
  }

  /** Returns whether [offset, offset + length) is resident. */
  holds(offset: number, length: number): boolean {
    return offset >= this.start && offset + length <= this.end;
  }

  /**
   * Makes [offset, offset + length) of the file resident, and what follows it as far as there is
   * room. Returns the index of `offset` in `bytes`, or -1 when the file ends before (it may shrink).
   * Precondition: offset + length <= limit.
   */
  ensure(offset: number, length: number): number {
    if (!this.holds(offset, length)) {
      const room = this.#makeRoom(offset, length);
      this.#noteRead(this.#file.readSync(room, this.end), room.length);
    }
    return this.holds(offset, length) ? offset - this.start : -1;
  }

  /** As `ensure`, through the thread pool. Nothing else may be called until it settles. */
  async load(offset: number, length: number): Promise<void> {
    if (this.holds(offset, length)) return;
    const room = this.#makeRoom(offset, length);
    this.#noteRead(await this.#file.read(room, this.end), room.length);
  }

  /** Forgets all bytes, which may have changed, and goes on with small chunks. */
  drop(): void {
    this.start = 0;
    this.end = 0;
    this.#chunkBytes = CHUNK_BYTES_MIN;
    // What one large frame needed is not kept for the small ones that may follow.
    if (this.bytes.length > CHUNK_BYTES_MAX) this.bytes = NOTHING;
  }

  /** Moves `bytes` to begin at `offset` and returns the part behind what is held: what to fill. */
  #makeRoom(offset: number, length: number): Uint8Array {
    const room = Math.min(Math.max(length, this.#chunkBytes), this.limit - offset);
    const held = offset >= this.start && offset < this.end ? this.end - offset : 0;
    if (this.bytes.length < room) {
      const grown = new Uint8Array(room);
      if (held > 0) grown.set(this.bytes.subarray(offset - this.start, this.end - this.start));
      this.bytes = grown;
    } else if (held > 0) {
      this.bytes.copyWithin(0, offset - this.start, this.end - this.start);
    }
    this.#chunkBytes = Math.min(this.#chunkBytes * 2, CHUNK_BYTES_MAX);
    this.start = offset;
    this.end = offset + held;
    return this.bytes.subarray(held, room);
  }

  #noteRead(read: number, wanted: number): void {
    this.end += read;
    if (read === wanted) return;
    if (!this.#mayShrink) throw corruption(this.#file.path, this.end, "the file got shorter");
    this.limit = this.end;
  }
}

/** Returns whether bytes[start, end) are all zero. */
export function allZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}
