/**
 * Pointer: what the tree stores in place of a separated value. On disk; see docs/formats/vlog.md.
 *
 * It names a record by file and offset and says how long its value is, stored and raw. The record's
 * own length needs the key's length as well, which whoever follows a pointer has at hand.
 */
import { assert, getU32, getU48, putU32, putU48 } from "@aura/base";

/** Bytes of an encoded pointer. */
export const POINTER_BYTES = 20;

/** Highest file number that a pointer can name. */
export const POINTER_FILE_MAX = 0xffffffff;

const AT_FILE = 0;
const AT_OFFSET = 4;
const AT_STORED = 10;
const AT_RAW = 14;
const AT_CODEC = 18;
const AT_RESERVED = 19;
const OFFSET_MAX = 0xffffffffffff;

/** Writes a pointer at `target[at, at + POINTER_BYTES)`. */
export function encodePointer(
  target: Uint8Array,
  at: number,
  file: number,
  offset: number,
  stored: number,
  raw: number,
  codec: number,
): void {
  assert(file <= POINTER_FILE_MAX && offset <= OFFSET_MAX, "pointer out of range");
  putU32(target, at + AT_FILE, file);
  putU48(target, at + AT_OFFSET, offset);
  putU32(target, at + AT_STORED, stored);
  putU32(target, at + AT_RAW, raw);
  target[at + AT_CODEC] = codec;
  target[at + AT_RESERVED] = 0;
}

/** Reads pointers without allocating. */
export class PointerReader {
  /** Number of the file that holds the record. */
  file = 0;
  /** Where the record begins in it. */
  offset = 0;
  /** Bytes of the value as stored. */
  stored = 0;
  /** Bytes of the value as the caller gets it. */
  raw = 0;
  codec = 0;

  /** Reads the pointer that fills `source[start, end)`. Returns false when that is none. */
  read(source: Uint8Array, start: number, end: number): boolean {
    if (end - start !== POINTER_BYTES || source[start + AT_RESERVED] !== 0) return false;
    this.file = getU32(source, start + AT_FILE);
    this.offset = getU48(source, start + AT_OFFSET);
    this.stored = getU32(source, start + AT_STORED);
    this.raw = getU32(source, start + AT_RAW);
    this.codec = source[start + AT_CODEC]!;
    return true;
  }
}
