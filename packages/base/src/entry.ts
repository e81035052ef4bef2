/**
 * Entries: what a version of a key is, in memory and on disk.
 *
 * Internal key order: user key ascending (unsigned bytes), then sequence number descending.
 * On disk a sequence number takes 7 bytes and is followed by one tag byte: the kind in the low
 * four bits, flags above. On disk. Never renumber.
 */
import { getU56, putU32, putU56 } from "./bytes.ts";

/** Kinds of entries. On disk. Never renumber. */
export const Kind = {
  delete: 0,
  value: 1,
  pointer: 2,
  rangeDelete: 3,
  merge: 4,
  mergePointer: 5,
} as const;

/** Flag bits of a tag byte, above the kind. Reserved: nothing sets them yet. On disk. */
export const TagFlag = {
  /** The value field begins with a varint: expiry, milliseconds since 1970. */
  expiry: 0x10,
  /** The value field (behind an expiry) begins with a 7-byte user timestamp. */
  userTimestamp: 0x20,
} as const;

/** Highest sequence number: exact in a double. */
export const SEQ_MAX: number = Number.MAX_SAFE_INTEGER;
/** Longest user key, bytes. */
export const KEY_BYTES_MAX = 65535;
/**
 * Above every key, since it is longer than any and all 0xff: the exclusive end of a range that has
 * none. Compared like a key; formats write it as a mark. Shared: never written to.
 */
export const KEYS_END: Uint8Array = new Uint8Array(KEY_BYTES_MAX + 1).fill(0xff);

/** Returns whether bytes stand for `KEYS_END`; a copy of it counts. */
export function isKeysEnd(key: Uint8Array): boolean {
  return key.length > KEY_BYTES_MAX;
}

/** Longest value, bytes. */
export const VALUE_BYTES_MAX = 4294967295;
/** Bytes of the trailer behind a user key on disk: sequence (7) and tag (1). */
export const TRAILER_BYTES = 8;

/** Writes the 8-byte trailer: sequence, then tag. */
export function putTrailer(target: Uint8Array, at: number, seq: number, tag: number): void {
  putU56(target, at, seq);
  target[at + 7] = tag;
}

/** Returns the sequence number of a trailer. */
export function trailerSeq(source: Uint8Array, at: number): number {
  return getU56(source, at);
}

/** Returns the tag byte of a trailer. */
export function trailerTag(source: Uint8Array, at: number): number {
  return source[at + 7]!;
}

/** Returns whether this build can read an entry with this tag: a known kind and no flag. */
export function isKnownTag(tag: number): boolean {
  return tag <= Kind.pointer;
}

/** A 64-bit identity as two unsigned 32-bit halves. */
export interface Uid {
  readonly lo: number;
  readonly hi: number;
}

/** Writes a uid in eight bytes, low half first. */
export function putUid(target: Uint8Array, at: number, uid: Uid): void {
  putU32(target, at, uid.lo);
  putU32(target, at + 4, uid.hi);
}
