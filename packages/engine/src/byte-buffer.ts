/**
 * A growable byte buffer to write records into, and a bounds-checked reader to take them apart.
 * The reader throws AURA_CORRUPTION before it reads or allocates past what is there.
 */
import {
  corruption,
  getU32,
  getU56,
  putU32,
  putU56,
  putVarint,
  VARINT_BYTES_MAX,
  VarintReader,
} from "@aura/base";

/** Append-only bytes; `bytes` is valid up to `length` and moves when the buffer grows. */
export class ByteBuffer {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Makes room for `more` bytes behind `length`. */
  reserve(more: number): void {
    const need = this.length + more;
    if (need <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(need, this.bytes.length * 2));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  u8(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    putU32(this.bytes, this.length, value);
    this.length += 4;
  }

  seq(value: number): void {
    this.reserve(7);
    putU56(this.bytes, this.length, value);
    this.length += 7;
  }

  varint(value: number): void {
    this.reserve(VARINT_BYTES_MAX);
    this.length = putVarint(this.bytes, this.length, value);
  }

  /** Appends source[start, end). Short ranges are copied by a loop, which beats a native call. */
  range(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.reserve(count);
    if (count > 64) {
      const isWhole = start === 0 && end === source.length;
      this.bytes.set(isWhole ? source : source.subarray(start, end), this.length);
    } else {
      const bytes = this.bytes;
      const at = this.length;
      for (let i = 0; i < count; i++) bytes[at + i] = source[start + i]!;
    }
    this.length += count;
  }

  /** Appends a varint length and the bytes. */
  blob(source: Uint8Array): void {
    this.varint(source.length);
    this.range(source, 0, source.length);
  }

  /** Returns a copy of what was written. */
  copy(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }
}

const varints = new VarintReader();

/** Takes bytes apart. `file` and `base` name the place in errors. */
export class ByteReader {
  at: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #file: string;
  readonly #base: number;

  constructor(
    bytes: Uint8Array,
    file: string,
    base: number,
    start = 0,
    end: number = bytes.length,
  ) {
    this.#bytes = bytes;
    this.#file = file;
    this.#base = base;
    this.at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.at >= this.#end;
  }

  u8(): number {
    this.#need(1);
    return this.#bytes[this.at++]!;
  }

  u32(): number {
    this.#need(4);
    this.at += 4;
    return getU32(this.#bytes, this.at - 4);
  }

  seq(): number {
    this.#need(7);
    this.at += 7;
    const value = getU56(this.#bytes, this.at - 7);
    if (value > Number.MAX_SAFE_INTEGER) this.fail("sequence number above 2^53 - 1");
    return value;
  }

  varint(): number {
    const value = varints.read(this.#bytes, this.at, this.#end);
    if (value < 0) this.fail("bad varint");
    this.at = varints.end;
    return value;
  }

  /** Returns a copy of a length-prefixed byte string. */
  blob(): Uint8Array {
    const length = this.varint();
    this.#need(length);
    this.at += length;
    // Not slice: of a Buffer that would be a view.
    return new Uint8Array(this.#bytes.subarray(this.at - length, this.at));
  }

  /** Returns a reader over a length-prefixed part, and moves behind it. */
  part(): ByteReader {
    const length = this.varint();
    this.#need(length);
    this.at += length;
    return new ByteReader(this.#bytes, this.#file, this.#base, this.at - length, this.at);
  }

  fail(what: string): never {
    throw corruption(this.#file, this.#base + this.at, what);
  }

  #need(count: number): void {
    if (count > this.#end - this.at) this.fail("record ends early");
  }
}

/** Returns the first key above every key that starts with `prefix`, or undefined if none is. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = new Uint8Array(prefix.subarray(0, length));
  end[length - 1]!++;
  return end;
}
