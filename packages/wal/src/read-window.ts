/**
 * Read window: a sliding view of a file, filled in large chunks. Never holds more than the larger
 * of one chunk and one requested range, and never reads beyond the length it was given.
 */
import { corruption, type FileHandle } from "@aura/base";

const CHUNK_BYTES = 1024 * 1024;

/** A sliding view of [0, limit) of a file. */
export class ReadWindow {
  readonly #file: FileHandle;
  readonly #limit: number;
  /** Valid until the next `ensure`, which may replace it. */
  bytes: Uint8Array = new Uint8Array(0);
  /** File offset of `bytes[0]`. */
  start = 0;
  /** File offset behind the last byte held. */
  end = 0;

  constructor(file: FileHandle, limit: number) {
    this.#file = file;
    this.#limit = limit;
  }

  /**
   * Makes [offset, offset + length) of the file resident, and what follows it as far as there is
   * room. Returns the index of `offset` in `bytes`. Precondition: offset + length <= limit.
   */
  ensure(offset: number, length: number): number {
    if (offset >= this.start && offset + length <= this.end) return offset - this.start;
    const room = Math.min(Math.max(length, CHUNK_BYTES), this.#limit - offset);
    const held = offset >= this.start && offset < this.end ? this.end - offset : 0;
    if (this.bytes.length < room) {
      const grown = new Uint8Array(room);
      if (held > 0) grown.set(this.bytes.subarray(offset - this.start, this.end - this.start));
      this.bytes = grown;
    } else if (held > 0) {
      this.bytes.copyWithin(0, offset - this.start, this.end - this.start);
    }
    this.start = offset;
    this.end = offset + held;
    const wanted = room - held;
    const read = this.#file.readSync(this.bytes.subarray(held, room), this.end);
    if (read < wanted) throw corruption(this.#file.path, this.end + read, "the file got shorter");
    this.end += read;
    return 0;
  }
}
