/**
 * An ascending sequence of integers in little memory: lines, and what each value is off by in a few
 * bits. Any value is read, and the place of any number is found, without unpacking the others.
 */
import { type Segment, WIDTH_MAX } from "./line-fit.ts";

/** Places of bits are 31-bit integers. */
const BITS_MAX = 2 ** 31 - 1;
/** Size of the table that leads to the segments. */
const SLOTS_PER_SEGMENT = 2;
/** Segments that a look-up walks over before it bisects. */
const WALK_MAX = 4;
/** Of `#lines`: first value, base, slope. */
const LINE_WORDS = 3;
/** In place of a width: whole distances and no residuals. */
const EVEN = -1;
/** Of `#places`: start, width, place of the first residual (bits). */
const PLACE_WORDS = 3;

/** The sequence. Values are integers from 0 to 2^53, ascending (equal ones allowed). */
export class LineVector {
  readonly count: number;
  /** Set by `search`: the value that it found. */
  value = 0;
  readonly #lines: Float64Array;
  /** One entry more than segments: `count`. */
  readonly #places: Int32Array;
  /** Residuals, low bit first, segment behind segment; one word of zeros at the end. */
  readonly #words: Uint32Array;
  /** Slot t: the first segment whose first value lies in a slot >= t. */
  readonly #slots: Uint16Array | Uint32Array;
  readonly #slotScale: number;

  /** Keeps `words`. */
  constructor(count: number, segments: readonly Segment[], words: Uint32Array) {
    const segmentCount = segments.length;
    this.count = count;
    this.#words = words;
    this.#lines = new Float64Array(segmentCount * LINE_WORDS);
    this.#places = new Int32Array(segmentCount * PLACE_WORDS + 1);
    let bits = 0;
    for (const [s, { start, slope, base, width }] of segments.entries()) {
      const end = segments[s + 1]?.start ?? count;
      const isEven = width === 0 && slope >= 1 && Number.isInteger(slope);
      this.#places.set([start, isEven ? EVEN : width, bits], s * PLACE_WORDS);
      this.#lines.set([base, base, slope], s * LINE_WORDS);
      this.#lines[s * LINE_WORDS] = valueAt(words, base, slope, bits, width, 0);
      bits += (end - start) * width;
    }
    this.#places[segmentCount * PLACE_WORDS] = count;
    const slotCount = segmentCount * SLOTS_PER_SEGMENT;
    const last = segmentCount === 0 ? 0 : this.#lines[(segmentCount - 1) * LINE_WORDS]!;
    // The last segment begins in the last slot.
    this.#slotScale = last > 0 ? (slotCount - 1) / last : 0;
    const slots =
      segmentCount <= 0xffff ? new Uint16Array(slotCount + 1) : new Uint32Array(slotCount + 1);
    for (let t = 0, s = 0; t <= slotCount; t++) {
      while (s < segmentCount && this.#slotOf(this.#lines[s * LINE_WORDS]!) < t) s++;
      slots[t] = s;
    }
    this.#slots = slots;
  }

  get residentBytes(): number {
    return (
      this.#lines.byteLength +
      this.#places.byteLength +
      this.#words.byteLength +
      this.#slots.byteLength
    );
  }

  /** Returns the number of the last value that is <= `wanted`; -1 when all are above. */
  search(wanted: number): number {
    if (wanted < 0) return -1;
    const segment = this.#segmentOf(wanted);
    if (segment < 0) return -1;
    const line = segment * LINE_WORDS;
    const place = segment * PLACE_WORDS;
    const base = this.#lines[line + 1]!;
    const slope = this.#lines[line + 2]!;
    const start = this.#places[place]!;
    const width = this.#places[place + 1]!;
    const bits = this.#places[place + 2]!;
    const last = this.#places[place + PLACE_WORDS]! - start - 1;
    if (width === EVEN) {
      const steps = Math.floor((wanted - base) / slope);
      const found = steps < last ? steps : last;
      this.value = base + slope * found;
      return start + found;
    }
    const words = this.#words;
    const span = 1 << width;
    if (span <= slope) {
      // The residual moves the guess by one at most: no branch to mispredict.
      const guess = Math.floor((wanted - base - span + 1) / slope);
      const low = guess > 0 ? (guess < last ? guess : last) : 0;
      const next = low < last ? low + 1 : last;
      const behind = next < last ? next + 1 : last;
      const found =
        low +
        Number(valueAt(words, base, slope, bits, width, next) <= wanted && next > low) +
        Number(valueAt(words, base, slope, bits, width, behind) <= wanted && behind > next);
      this.value = valueAt(words, base, slope, bits, width, found);
      // Only a damaged vector has no such value.
      if (this.value <= wanted) return start + found;
    }
    const guess = (wanted - base - span * 0.5) / slope;
    // NaN (nothing over no slope) begins at the front.
    let low = guess >= 1 ? (guess < last ? Math.floor(guess) : last) : 0;
    let high = low;
    let value = valueAt(words, base, slope, bits, width, low);
    let step = 1;
    if (value <= wanted) {
      for (high++; high <= last; high += step, step *= 2) {
        const next = valueAt(words, base, slope, bits, width, high);
        if (next > wanted) break;
        low = high;
        value = next;
      }
      if (high > last) high = last + 1;
    } else {
      for (low--; low > 0; low -= step, step *= 2) {
        value = valueAt(words, base, slope, bits, width, low);
        if (value <= wanted) break;
        high = low;
      }
      if (low <= 0) {
        low = 0;
        value = this.#lines[line]!;
      }
    }
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const between = valueAt(words, base, slope, bits, width, middle);
      if (between <= wanted) {
        low = middle;
        value = between;
      } else high = middle;
    }
    this.value = value;
    return start + low;
  }

  /** Returns the last segment whose first value is <= `wanted`, or -1. */
  #segmentOf(wanted: number): number {
    const lines = this.#lines;
    const slots = this.#slots;
    const slot = this.#slotOf(wanted);
    const top = slots.length - 2;
    let high = slots[slot < top ? slot + 1 : top + 1]!;
    for (let steps = 0; steps < WALK_MAX; steps++) {
      if (high === 0) return -1;
      if (lines[(high - 1) * LINE_WORDS]! <= wanted) return high - 1;
      high--;
    }
    let low = slot < top ? slots[slot]! : 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (lines[middle * LINE_WORDS]! <= wanted) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #slotOf(value: number): number {
    return Math.floor(value * this.#slotScale);
  }
}

/** Returns value `i` of the segment whose residuals begin at bit `bits`. */
function valueAt(
  words: Uint32Array,
  base: number,
  slope: number,
  bits: number,
  width: number,
  i: number,
): number {
  const line = base + Math.floor(slope * i);
  if (width === 0) return line;
  const bit = bits + i * width;
  const word = bit >>> 5;
  const shift = bit & 31;
  let residual = words[word]! >>> shift;
  if (shift + width > 32) residual |= words[word + 1]! << (32 - shift);
  return line + (residual & ((1 << width) - 1));
}

/** Returns the residuals of values around their segments; see `LineVector`. */
export function packResiduals(values: Float64Array, segments: readonly Segment[]): Uint32Array {
  const words = new Uint32Array(residualWords(values.length, segments));
  let bit = 0;
  for (const [s, { start, slope, base, width }] of segments.entries()) {
    const end = segments[s + 1]?.start ?? values.length;
    if (width === 0) continue;
    for (let i = start; i < end; i++, bit += width) {
      const residual = values[i]! - base - Math.floor(slope * (i - start));
      const word = bit >>> 5;
      const shift = bit & 31;
      words[word]! |= residual << shift;
      if (shift + width > 32) words[word + 1]! |= residual >>> (32 - shift);
    }
  }
  return words;
}

/** Returns how many words the residuals take. Infinity when they cannot be packed. */
export function residualWords(
  count: number,
  segments: readonly Pick<Segment, "start" | "width">[],
): number {
  let bits = 0;
  for (const [s, { start, width }] of segments.entries()) {
    if (width > WIDTH_MAX) return Number.POSITIVE_INFINITY;
    bits += ((segments[s + 1]?.start ?? count) - start) * width;
  }
  if (bits > BITS_MAX) return Number.POSITIVE_INFINITY;
  return bits === 0 ? 0 : Math.ceil(bits / 32) + 1;
}
