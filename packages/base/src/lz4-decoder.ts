/**
 * Decoder for the LZ4 block format in plain TypeScript: always there, so that what one runtime
 * compressed another can read without a native module.
 *
 * Safe against any input: it reads only `source`, writes only `target`, and accepts a block only
 * when the block ends exactly where the target does.
 */

const RUN_MASK = 15;
const MATCH_BYTES_MIN = 4;

/** From these lengths on, native copies beat a byte loop (measured). */
const LITERALS_NATIVE_BYTES = 96;
const MATCH_NATIVE_BYTES = 48;
const OVERLAP_NATIVE_BYTES = 256;

/**
 * Decodes the LZ4 block `source` into `target`, which must have exactly the decoded length.
 * Returns false when `source` is not a block of that length; `target` is then undefined content.
 */
export function decodeLz4Block(source: Uint8Array, target: Uint8Array): boolean {
  const sourceEnd = source.length;
  const targetEnd = target.length;
  let from = 0;
  let to = 0;
  while (from < sourceEnd) {
    const token = source[from++]!;

    let literals = token >>> 4;
    if (literals === RUN_MASK) {
      let byte: number;
      do {
        if (from >= sourceEnd) return false;
        byte = source[from++]!;
        literals += byte;
      } while (byte === 255);
    }
    if (literals > sourceEnd - from || literals > targetEnd - to) return false;
    if (literals >= LITERALS_NATIVE_BYTES) {
      target.set(source.subarray(from, from + literals), to);
      from += literals;
      to += literals;
    } else {
      const end = to + literals;
      while (to < end) target[to++] = source[from++]!;
    }
    // The last sequence has literals only.
    if (from === sourceEnd) return to === targetEnd;

    if (sourceEnd - from < 2) return false;
    const distance = source[from]! | (source[from + 1]! << 8);
    from += 2;
    if (distance === 0 || distance > to) return false;
    let length = token & RUN_MASK;
    if (length === RUN_MASK) {
      let byte: number;
      do {
        if (from >= sourceEnd) return false;
        byte = source[from++]!;
        length += byte;
      } while (byte === 255);
    }
    length += MATCH_BYTES_MIN;
    if (length > targetEnd - to) return false;
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
  return false;
}
