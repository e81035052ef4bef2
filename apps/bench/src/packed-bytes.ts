/**
 * Millions of short byte strings in two typed arrays: 4 bytes of overhead each, and nothing for the
 * garbage collector to walk.
 */

/** An immutable list of byte strings: string i is bytes[ends[i - 1], ends[i]). */
export class PackedBytes {
  readonly bytes: Buffer;
  readonly ends: Uint32Array;

  constructor(bytes: Buffer, ends: Uint32Array) {
    if ((ends.at(-1) ?? 0) !== bytes.length) throw new Error("packed bytes: lengths do not agree");
    this.bytes = bytes;
    this.ends = ends;
  }

  get count(): number {
    return this.ends.length;
  }

  start(index: number): number {
    return index === 0 ? 0 : this.ends[index - 1]!;
  }

  end(index: number): number {
    return this.ends[index]!;
  }

  /** Returns a view of string `index`; the bytes are shared. */
  at(index: number): Buffer {
    return this.bytes.subarray(this.start(index), this.end(index));
  }
}

/** Bytes that a list can hold: its ends are 32 bits wide. */
const BYTES_MAX = 2 ** 32 - 1;

/** Collects byte strings. The last one can be taken back, which is how doubles are dropped. */
export class PackedBytesBuilder {
  #bytes: Buffer = Buffer.allocUnsafe(1 << 16);
  #ends: Uint32Array = new Uint32Array(1 << 12);
  #count = 0;
  #length = 0;

  /** Number of finished strings. */
  get count(): number {
    return this.#count;
  }

  /** The bytes so far: borrowed until the next call that appends. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Offset behind the last byte appended, the unfinished string included. */
  get length(): number {
    return this.#length;
  }

  start(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!;
  }

  end(index: number): number {
    return this.#ends[index]!;
  }

  /** Appends to the unfinished string. */
  append(source: Uint8Array, start = 0, end: number = source.length): this {
    const length = this.#length + end - start;
    if (length > this.#bytes.length) this.#grow(length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = start; i < end; i++) bytes[at++] = source[i]!;
    this.#length = length;
    return this;
  }

  /** Appends one byte to the unfinished string. */
  appendByte(byte: number): this {
    if (this.#length === this.#bytes.length) this.#grow(this.#length + 1);
    this.#bytes[this.#length++] = byte;
    return this;
  }

  /** Ends the unfinished string and returns its index. */
  finish(): number {
    if (this.#count === this.#ends.length) {
      const ends = new Uint32Array(this.#ends.length * 2);
      ends.set(this.#ends);
      this.#ends = ends;
    }
    this.#ends[this.#count] = this.#length;
    return this.#count++;
  }

  /** Takes the last finished string back. */
  dropLast(): void {
    this.#count--;
    this.#length = this.start(this.#count);
  }

  /** Returns the list of all finished strings; the builder is not to be used any more. */
  build(): PackedBytes {
    const length = this.#count === 0 ? 0 : this.end(this.#count - 1);
    return new PackedBytes(this.#bytes.subarray(0, length), this.#ends.subarray(0, this.#count));
  }

  #grow(length: number): void {
    if (length > BYTES_MAX) throw new Error(`more than ${BYTES_MAX} bytes of names`);
    const bytes = Buffer.allocUnsafe(Math.min(BYTES_MAX, Math.max(length, this.#bytes.length * 2)));
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
  }
}
