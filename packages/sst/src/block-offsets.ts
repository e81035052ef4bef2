/**
 * Where the blocks of a table begin, in one or two bytes per block: blocks have nearly the same
 * length, so in each stretch of 128 the offsets lie near a line, and what they are off by takes a
 * few bits. Any offset is read without the others.
 */

const STRETCH_SHIFT = 7;
const STRETCH = 1 << STRETCH_SHIFT;
/** Wider residuals are not packed. */
const WIDTH_MAX = 30;
/** Places of bits are 31-bit integers. */
const BITS_MAX = 2 ** 31 - 1;

/** Ascending offsets, read-only. */
export class BlockOffsets {
  /** Of each stretch: base, slope. */
  readonly #lines: Float64Array;
  /** Of each stretch: width, place of its first residual (bits). */
  readonly #places: Int32Array;
  readonly #words: Uint32Array;
  /** The offsets themselves, where they lie too far from lines. */
  readonly #plain: Float64Array | undefined;

  /** Copies what it needs of `offsets`. */
  constructor(offsets: Float64Array) {
    const stretches = Math.ceil(offsets.length / STRETCH);
    this.#lines = new Float64Array(stretches * 2);
    this.#places = new Int32Array(stretches * 2);
    let bits = 0;
    let isPlain = false;
    for (let s = 0; s < stretches; s++) {
      const start = s * STRETCH;
      const end = Math.min(start + STRETCH, offsets.length);
      const slope = end - start > 1 ? (offsets[end - 1]! - offsets[start]!) / (end - start - 1) : 0;
      let low = Number.POSITIVE_INFINITY;
      let high = Number.NEGATIVE_INFINITY;
      for (let i = start; i < end; i++) {
        const off = offsets[i]! - Math.floor(slope * (i - start));
        if (off < low) low = off;
        if (off > high) high = off;
      }
      const width = Math.ceil(Math.log2(high - low + 1));
      isPlain ||= width > WIDTH_MAX;
      this.#lines.set([low, slope], s * 2);
      this.#places.set([width, bits], s * 2);
      bits += width * (end - start);
    }
    isPlain ||= bits > BITS_MAX;
    this.#plain = isPlain ? offsets.slice() : undefined;
    this.#words = new Uint32Array(isPlain || bits === 0 ? 0 : (bits >>> 5) + 2);
    if (!isPlain) this.#pack(offsets);
  }

  /** Memory held, bytes. */
  get byteLength(): number {
    const packed = this.#lines.byteLength + this.#places.byteLength + this.#words.byteLength;
    return packed + (this.#plain?.byteLength ?? 0);
  }

  /** Returns offset `i`. */
  at(i: number): number {
    if (this.#plain !== undefined) return this.#plain[i]!;
    const stretch = (i >>> STRETCH_SHIFT) * 2;
    const from = i & (STRETCH - 1);
    const line = this.#lines[stretch]! + Math.floor(this.#lines[stretch + 1]! * from);
    const width = this.#places[stretch]!;
    if (width === 0) return line;
    const bit = this.#places[stretch + 1]! + from * width;
    const word = bit >>> 5;
    const shift = bit & 31;
    let residual = this.#words[word]! >>> shift;
    if (shift + width > 32) residual |= this.#words[word + 1]! << (32 - shift);
    return line + (residual & ((1 << width) - 1));
  }

  #pack(offsets: Float64Array): void {
    const words = this.#words;
    for (let i = 0; i < offsets.length; i++) {
      const stretch = (i >>> STRETCH_SHIFT) * 2;
      const from = i & (STRETCH - 1);
      const width = this.#places[stretch]!;
      if (width === 0) continue;
      const line = this.#lines[stretch]! + Math.floor(this.#lines[stretch + 1]! * from);
      const residual = offsets[i]! - line;
      const bit = this.#places[stretch + 1]! + from * width;
      const shift = bit & 31;
      words[bit >>> 5]! |= residual << shift;
      if (shift + width > 32) words[(bit >>> 5) + 1]! |= residual >>> (32 - shift);
    }
  }
}
