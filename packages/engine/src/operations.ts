/**
 * Bytes of operations in a log group. Documented in docs/formats/group.md.
 *
 * operation := tag u8, keyspace varint, key length varint, key, body
 * body      := (delete) nothing
 *            | (value) length varint, bytes
 *            | (pointer) attached offset varint, stored varint, raw varint, codec u8
 *            | (range delete) end length + 1 varint, end    the key is the begin; 0: no end
 *            | (pointer, far) offset varint, stored varint, raw varint, codec u8 + 0x80, file varint
 *
 * A group is one frame of a log: it is there whole or not at all. Its operations have consecutive
 * sequence numbers, beginning with the frame's first stamp. The value of a pointer operation stands
 * in the same frame, in its attached part, at the given offset; or, if it is far, at an offset of
 * another file, a log of values alone.
 */
import {
  compareBytes,
  corruption,
  isKeysEnd,
  isKnownTag,
  KEY_BYTES_MAX,
  KEYS_END,
  Kind,
  VarintReader,
  varintBytes,
} from "@aura/base";
import type { ByteBuffer } from "./byte-buffer.ts";

/** Keyspace of every operation: a database has one keyspace so far. */
export const KEYSPACE = 0;

/** Appends a delete. */
export function encodeDelete(out: ByteBuffer, key: Uint8Array, start: number, end: number): void {
  encodeHead(out, Kind.delete, key, start, end);
}

/** Appends a put with its value inline. */
export function encodePut(
  out: ByteBuffer,
  key: Uint8Array,
  start: number,
  end: number,
  value: Uint8Array,
): void {
  // Once: the memory of another thread may grow meanwhile.
  const { length } = value;
  encodeHead(out, Kind.value, key, start, end);
  out.varint(length);
  out.range(value, 0, length);
}

/** Bit of a pointer's codec byte: the value stands in another file. On disk. */
const FAR = 0x80;

/**
 * Appends a put whose value stands in the attached part at `offset`, or, with a `file`, at `offset`
 * of that.
 */
export function encodePointerPut(
  out: ByteBuffer,
  key: Uint8Array,
  start: number,
  end: number,
  file: number,
  offset: number,
  stored: number,
  raw: number,
  codec: number,
): void {
  encodeHead(out, Kind.pointer, key, start, end);
  out.varint(offset);
  out.varint(stored);
  out.varint(raw);
  out.u8(file === 0 ? codec : codec | FAR);
  if (file !== 0) out.varint(file);
}

/** Appends a range delete: keys from `begin` on, below `end`. */
export function encodeRangeDelete(out: ByteBuffer, begin: Uint8Array, end: Uint8Array): void {
  encodeHead(out, Kind.rangeDelete, begin, 0, begin.length);
  if (isKeysEnd(end)) {
    out.varint(0);
    return;
  }
  out.varint(end.length + 1);
  out.range(end, 0, end.length);
}

function encodeHead(
  out: ByteBuffer,
  tag: number,
  key: Uint8Array,
  start: number,
  end: number,
): void {
  const length = end - start;
  out.reserve(16 + length);
  const bytes = out.bytes;
  bytes[out.length++] = tag;
  bytes[out.length++] = KEYSPACE;
  out.varint(length);
  out.range(key, start, end);
}

/** Returns the bytes of an operation in front of its key. */
export function operationHeadBytes(keyLength: number): number {
  return 2 + varintBytes(keyLength);
}

const varints = new VarintReader();

/** Walks the operations of a group without allocating. */
export class OperationReader {
  tag = 0;
  keyStart = 0;
  keyEnd = 0;
  /** Inline value, for tag `value`. */
  valueStart = 0;
  valueEnd = 0;
  /** End of a range delete, unless it has none; its begin is the key. */
  rangeEndStart = 0;
  rangeEndEnd = 0;
  rangeHasEnd = false;
  /**
   * Place of a separated value, for tag `pointer`: an offset in the attached part of the frame, or in
   * the log of values `file` if that is not 0.
   */
  file = 0;
  offset = 0;
  stored = 0;
  raw = 0;
  codec = 0;

  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #path = "";
  #frame = 0;

  /** Begins with bytes[start, end); `file` and `offset` name the frame in errors. */
  reset(bytes: Uint8Array, start: number, end: number, file: string, offset: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#path = file;
    this.#frame = offset;
  }

  /** Index behind the operation that it stands on. */
  get end(): number {
    return this.#at;
  }

  /** Moves to the next operation; false at the end. Throws AURA_CORRUPTION. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const bytes = this.#bytes;
    this.tag = bytes[this.#at++]!;
    if (!isKnownTag(this.tag) && this.tag !== Kind.rangeDelete)
      this.#fail(`operation of unknown kind ${this.tag}`);
    if (this.#varint() !== KEYSPACE) this.#fail("operation for an unknown keyspace");
    const keyLength = this.#varint();
    if (keyLength > KEY_BYTES_MAX) this.#fail("key too long");
    this.keyStart = this.#at;
    this.keyEnd = this.#take(keyLength);
    if (this.tag === Kind.value) {
      const length = this.#varint();
      this.valueStart = this.#at;
      this.valueEnd = this.#take(length);
    } else if (this.tag === Kind.pointer) {
      this.offset = this.#varint();
      this.stored = this.#varint();
      this.raw = this.#varint();
      const codec = bytes[this.#at]!;
      this.#take(1);
      this.codec = codec & ~FAR;
      this.file = 0;
      if (codec >= FAR) {
        this.file = this.#varint();
        if (this.file === 0) this.#fail("a value in no file");
      }
    } else if (this.tag === Kind.rangeDelete) this.#readRangeEnd();
    return true;
  }

  /** Copy of the end of a range delete: `KEYS_END` for none. */
  get rangeEnd(): Uint8Array {
    if (!this.rangeHasEnd) return KEYS_END;
    return new Uint8Array(this.#bytes.subarray(this.rangeEndStart, this.rangeEndEnd));
  }

  #readRangeEnd(): void {
    const length = this.#varint() - 1;
    if (length > KEY_BYTES_MAX) this.#fail("key too long");
    this.rangeHasEnd = length >= 0;
    this.rangeEndStart = this.#at;
    this.rangeEndEnd = this.#take(Math.max(0, length));
    if (!this.rangeHasEnd) return;
    const { keyStart, keyEnd, rangeEndStart, rangeEndEnd } = this;
    const bytes = this.#bytes;
    if (compareBytes(bytes, keyStart, keyEnd, bytes, rangeEndStart, rangeEndEnd) >= 0) {
      this.#fail("range delete without keys");
    }
  }

  #varint(): number {
    const bytes = this.#bytes;
    if (this.#at < this.#end && bytes[this.#at]! < 128) return bytes[this.#at++]!;
    const value = varints.read(bytes, this.#at, this.#end);
    if (value < 0) this.#fail("bad varint");
    this.#at = varints.end;
    return value;
  }

  #take(count: number): number {
    if (count > this.#end - this.#at) this.#fail("operation ends early");
    this.#at += count;
    return this.#at;
  }

  #fail(what: string): never {
    throw corruption(this.#path, this.#frame, what);
  }
}
