/**
 * Bytes: the key order, fixed-width little-endian integers, and varints.
 *
 * Keys are ordered by unsigned bytes, a prefix before its extensions. A byte loop is used on
 * purpose: a native compare costs more than the whole loop for keys under about 100 bytes.
 * Integers above 32 bits are doubles up to 2^53 - 1; no BigInt and no bit operator touches them.
 */

/** Compares two byte ranges in key order. Returns a negative number, zero or a positive number. */
export function compareBytes(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const aLength = aEnd - aStart;
  const bLength = bEnd - bStart;
  const length = aLength < bLength ? aLength : bLength;
  for (let i = 0; i < length; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/** Compares two keys in key order. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  return compareBytes(a, 0, a.length, b, 0, b.length);
}

/** Returns the length of the common prefix of two byte ranges. */
export function commonPrefix(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): number {
  const length = Math.min(aEnd - aStart, bEnd - bStart);
  let i = 0;
  while (i < length && a[aStart + i] === b[bStart + i]) i++;
  return i;
}

export function putU16(target: Uint8Array, at: number, value: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
}

export function getU16(source: Uint8Array, at: number): number {
  return source[at]! | (source[at + 1]! << 8);
}

export function putU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value;
  target[at + 1] = value >>> 8;
  target[at + 2] = value >>> 16;
  target[at + 3] = value >>> 24;
}

export function getU32(source: Uint8Array, at: number): number {
  return (
    (source[at]! | (source[at + 1]! << 8) | (source[at + 2]! << 16) | (source[at + 3]! << 24)) >>> 0
  );
}

/** Writes six bytes; `value` < 2^48. */
export function putU48(target: Uint8Array, at: number, value: number): void {
  putU32(target, at, value >>> 0);
  putU16(target, at + 4, Math.floor(value / 0x100000000));
}

export function getU48(source: Uint8Array, at: number): number {
  return getU32(source, at) + getU16(source, at + 4) * 0x100000000;
}

/** Writes seven bytes; `value` <= 2^53 - 1. */
export function putU56(target: Uint8Array, at: number, value: number): void {
  putU32(target, at, value >>> 0);
  const high = Math.floor(value / 0x100000000);
  target[at + 4] = high;
  target[at + 5] = high >>> 8;
  target[at + 6] = high >>> 16;
}

/** Reads seven bytes. The result may exceed 2^53 - 1 in corrupt input; the caller checks. */
export function getU56(source: Uint8Array, at: number): number {
  const high = source[at + 4]! | (source[at + 5]! << 8) | (source[at + 6]! << 16);
  return getU32(source, at) + high * 0x100000000;
}

/** Longest varint: 53 bits in groups of seven. */
export const VARINT_BYTES_MAX = 8;

/** Returns how many bytes `putVarint` writes for `value`, 0 <= value <= 2^53 - 1. */
export function varintBytes(value: number): number {
  let bytes = 1;
  let rest = value;
  while (rest >= 128) {
    rest = rest < 0x80000000 ? rest >>> 7 : Math.floor(rest / 128);
    bytes++;
  }
  return bytes;
}

/** Writes a LEB128 varint, 0 <= value <= 2^53 - 1. Returns the offset behind it. */
export function putVarint(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let offset = at;
  while (rest >= 0x80000000) {
    target[offset++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    target[offset++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  target[offset++] = rest;
  return offset;
}

/**
 * Reads varints without allocating: `read` returns the value and leaves `end` behind it.
 * A varint that is truncated by `limit`, overlong or above 2^53 - 1 yields -1.
 */
export class VarintReader {
  end = 0;

  read(source: Uint8Array, at: number, limit: number): number {
    let value = 0;
    let scale = 1;
    let offset = at;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      if (offset >= limit) return -1;
      const byte = source[offset++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        this.end = offset;
        return value <= Number.MAX_SAFE_INTEGER ? value : -1;
      }
      scale *= 128;
    }
    return -1;
  }
}
