/**
 * Decoder for the Snappy block format (the raw one, not the framing format) in plain TypeScript:
 * always there, so that what one runtime compressed another can read without a native module.
 *
 * Safe against any input: it reads only `source`, writes only `target`, and accepts a block only
 * when its own length field names the target's length and it ends exactly where the target does.
 * Format: https://github.com/google/snappy/blob/main/format_description.txt
 */

const LENGTH_BYTES_MAX = 5;

/** From these lengths on, native copies beat a byte loop (measured for LZ4, whose copies are alike). */
const LITERALS_NATIVE_BYTES = 96;
const MATCH_NATIVE_BYTES = 48;
const OVERLAP_NATIVE_BYTES = 256;

/**
 * Decodes the Snappy block `source` into `target`, which must have exactly the decoded length.
 * Returns false when `source` is not a block of that length; `target` is then undefined content.
 */
export function decodeSnappyBlock(source: Uint8Array, target: Uint8Array): boolean {
  const sourceEnd = source.length;
  const targetEnd = target.length;
  let from = lengthEnd(source, targetEnd);
  if (from < 0) return false;
  let to = 0;
  while (from < sourceEnd) {
    const tag = source[from++]!;
    const form = tag & 3;
    if (form === 0) {
      let literals = tag >>> 2;
      if (literals >= 60) {
        const bytes = literals - 59;
        if (bytes > sourceEnd - from) return false;
        literals = 0;
        for (let i = 0; i < bytes; i++) literals += source[from++]! * 2 ** (8 * i);
      }
      literals++;
      if (literals > sourceEnd - from || literals > targetEnd - to) return false;
      if (literals >= LITERALS_NATIVE_BYTES) {
        target.set(source.subarray(from, from + literals), to);
        from += literals;
        to += literals;
      } else {
        const end = to + literals;
        while (to < end) target[to++] = source[from++]!;
      }
      continue;
    }
    let length: number;
    let distance: number;
    if (form === 1) {
      if (from >= sourceEnd) return false;
      length = ((tag >>> 2) & 7) + 4;
      distance = ((tag >>> 5) << 8) | source[from++]!;
    } else {
      const bytes = form === 2 ? 2 : 4;
      if (bytes > sourceEnd - from) return false;
      length = (tag >>> 2) + 1;
      distance = source[from]! | (source[from + 1]! << 8);
      if (bytes === 4) distance += source[from + 2]! * 0x10000 + source[from + 3]! * 0x1000000;
      from += bytes;
    }
    if (distance === 0 || distance > to || length > targetEnd - to) return false;
    // A match may overlap what it writes, and then repeats the bytes between `back` and `to`.
    let back = to - distance;
    const end = to + length;
    if (length >= (distance >= length ? MATCH_NATIVE_BYTES : OVERLAP_NATIVE_BYTES)) {
      while (to < end) {
        const known = Math.min(end - to, to - back); // doubles with each copy
        target.copyWithin(to, back, back + known);
        to += known;
      }
    } else {
      while (to < end) target[to++] = target[back++]!;
    }
  }
  return to === targetEnd;
}

/** Returns whether the block says of itself that it has `length` bytes decoded. */
export function isSnappyBlockOf(source: Uint8Array, length: number): boolean {
  return lengthEnd(source, length) >= 0;
}

/** Returns where the block's length field ends, or -1 when it is none or names another length. */
function lengthEnd(source: Uint8Array, length: number): number {
  let value = 0;
  for (let at = 0; at < Math.min(source.length, LENGTH_BYTES_MAX); at++) {
    const byte = source[at]!;
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return value === length ? at + 1 : -1;
  }
  return -1;
}
