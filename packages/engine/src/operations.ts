/**
 * Bytes of operations in a log group. Documented in docs/formats/group.md.
 *
 * operation := tag u8, keyspace varint, key length varint, key, body
 * body      := (delete) nothing
 *            | (value) length varint, bytes
 *            | (pointer) attached offset varint, stored varint, raw varint, codec u8
 *            | (range delete) end length + 1 varint, end    the key is the begin; 0: no end
 *
 * A group is one frame of a log: it is there whole or not at all. Its operations have consecutive
 * sequence numbers, beginning with the frame's first stamp. Values of pointer operations stand in
 * the same frame, in its attached part, at the given offset; the place of a value is thus known
 * from the frame alone.
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
  encodeHead(out, Kind.value, key, start, end);
  out.varint(value.length);
  out.range(value, 0, value.length);
}

/** Appends a put whose value stands in the attached part at `attachedOffset`. */
export function encodePointerPut(
  out: ByteBuffer,
  key: Uint8Array,
  start: number,
  end: number,
  place: { attachedOffset: number; stored: number; raw: number; codec: number },
): void {
  encodeHead(out, Kind.pointer, key, start, end);
  out.varint(place.attachedOffset);
  out.varint(place.stored);
  out.varint(place.raw);
  out.u8(place.codec);
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
  /** Place of a separated value, for tag `pointer`. */
  attachedOffset = 0;
  stored = 0;
  raw = 0;
  codec = 0;

  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #file = "";
  #offset = 0;

  /** Begins with bytes[start, end); `file` and `offset` name the frame in errors. */
  reset(bytes: Uint8Array, start: number, end: number, file: string, offset: number): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#file = file;
    this.#offset = offset;
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
      this.attachedOffset = this.#varint();
      this.stored = this.#varint();
      this.raw = this.#varint();
      this.codec = bytes[this.#at]!;
      this.#take(1);
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
    throw corruption(this.#file, this.#offset, what);
  }
}
