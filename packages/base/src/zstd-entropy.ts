/**
 * The entropy coding of Zstandard: finite-state (FSE) and Huffman tables, and the bit stream that is
 * read from its end. RFC 8878, section 4.
 *
 * Tables come out of `read*` ready for decoding; every input that is no table is `NotZstd`. Bits are
 * loaded four bytes at a time from memory that has room on both sides (`BITS_MARGIN_BYTES`), and a
 * reader that went beyond the start of its stream is found out at the latest by `isAtStart`.
 */

/** Thrown inside the decoder for anything that is not what the format allows. */
export class NotZstd extends Error {}

/** Bytes around a bit stream that may be loaded, though they never count. */
export const BITS_MARGIN_BYTES = 8;

/** A finite-state table: per state the symbol, the bits to read, and the state to add them to. */
export interface FseTable {
  readonly accuracy: number;
  /** symbol | bits << 8 | next state << 16. */
  readonly states: Int32Array;
}

/** A Huffman table: for each value of the next `bits` bits the symbol | length << 8. */
export interface HuffmanTable {
  readonly bits: number;
  readonly codes: Uint16Array;
}

const HUFFMAN_BITS_MAX = 11;
const WEIGHT_ACCURACY_MAX = 6;
const WEIGHT_SYMBOL_MAX = 12;

/** Bits of a stream, read from its end towards its start. */
export class BackwardBits {
  /** Bits below this position are not read yet; positions count from the start of the memory. */
  position = 0;
  #start = 0;
  readonly #view: DataView;

  /** `memory` has `BITS_MARGIN_BYTES` of its own on both sides of every stream. */
  constructor(memory: Uint8Array) {
    this.#view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  }

  /** Begins the stream memory[start, end): its highest set bit marks its end. */
  open(start: number, end: number): void {
    if (end <= start) throw new NotZstd("an empty bit stream");
    const last = this.#view.getUint8(end - 1);
    if (last === 0) throw new NotZstd("a bit stream without an end mark");
    this.#start = start * 8;
    this.position = end * 8 - 8 + (31 - Math.clz32(last));
  }

  /** Reads up to 31 bits. */
  read(count: number): number {
    if (count > 24) {
      const high = this.read(count - 16);
      return high * 0x10000 + this.read(16);
    }
    const at = this.position - count;
    if (at < this.#start) throw new NotZstd("a bit stream ends early");
    this.position = at;
    return (this.#view.getUint32(at >>> 3, true) >>> (at & 7)) & ((1 << count) - 1);
  }

  /** As `read`; zeros stand before the start. For streams whose end is found by running out. */
  readBeyond(count: number): number {
    const missing = this.#start - (this.position - count);
    if (missing <= 0) return this.read(count);
    this.position -= count;
    const held = count - missing;
    if (held <= 0) return 0;
    const at = this.#start;
    const bits = (this.#view.getUint32(at >>> 3, true) >>> (at & 7)) & ((1 << held) - 1);
    return bits << missing;
  }

  get isAtStart(): boolean {
    return this.position === this.#start;
  }

  get isBeyondStart(): boolean {
    return this.position < this.#start;
  }

  /** Decodes target[from, to) with a Huffman table; the stream has to end there exactly. */
  decodeHuffman(table: HuffmanTable, target: Uint8Array, from: number, to: number): void {
    const view = this.#view;
    const { bits, codes } = table;
    const mask = (1 << bits) - 1;
    const start = this.#start;
    let position = this.position;
    let at = from;
    // Two symbols per load: 22 bits of the 25 that a load surely has.
    for (; at + 1 < to; at += 2) {
      if (position < start) throw new NotZstd("a Huffman stream ends early");
      const low = position - 2 * bits;
      const loaded = view.getUint32(low >>> 3, true) >>> (low & 7);
      const first = codes[(loaded >>> bits) & mask]!;
      const length = first >>> 8;
      const second = codes[(loaded >>> (bits - length)) & mask]!;
      target[at] = first;
      target[at + 1] = second;
      position -= length + (second >>> 8);
    }
    if (at < to) {
      if (position < start) throw new NotZstd("a Huffman stream ends early");
      const low = position - bits;
      const code = codes[(view.getUint32(low >>> 3, true) >>> (low & 7)) & mask]!;
      target[at] = code;
      position -= code >>> 8;
    }
    if (position !== start) throw new NotZstd("a Huffman stream of another length");
  }
}

/** What `readFseTable` found, and where it ended. */
export interface ReadTable<T> {
  readonly table: T;
  readonly end: number;
}

/** Reads the description of a finite-state table at bytes[start, limit). */
export function readFseTable(
  bytes: Uint8Array,
  start: number,
  limit: number,
  accuracyMax: number,
  symbolMax: number,
): ReadTable<FseTable> {
  let bit = 0;
  const bits = (count: number): number => {
    const at = start + (bit >>> 3);
    // Bytes beyond the limit are zeros here; that the bits end before it is checked below.
    let loaded = 0;
    for (let i = 3; i >= 0; i--) loaded = (loaded << 8) | (at + i < limit ? bytes[at + i]! : 0);
    return (loaded >>> (bit & 7)) & ((1 << count) - 1);
  };
  const accuracy = bits(4) + 5;
  bit = 4;
  if (accuracy > accuracyMax) throw new NotZstd("a table of too high an accuracy");
  const counts = new Int16Array(symbolMax + 1);
  let remaining = 1 << accuracy;
  let symbol = 0;
  while (remaining > 0) {
    if (symbol > symbolMax) throw new NotZstd("a table of too many symbols");
    // A value up to remaining + 1: the low ones take one bit less.
    const width = 32 - Math.clz32(remaining + 1);
    const low = 2 ** width - 1 - (remaining + 1);
    let value = bits(width);
    const short = value & ((1 << (width - 1)) - 1);
    if (short < low) {
      value = short;
      bit += width - 1;
    } else {
      if (value >= 1 << (width - 1)) value -= low;
      bit += width;
    }
    const count = value - 1;
    remaining -= Math.abs(count);
    if (remaining < 0) throw new NotZstd("a table whose counts add up to too much");
    counts[symbol++] = count;
    if (count !== 0) continue;
    for (;;) {
      const zeros = bits(2);
      bit += 2;
      symbol += zeros;
      if (zeros < 3) break;
      if (symbol > symbolMax) throw new NotZstd("a table of too many symbols");
    }
  }
  const end = start + ((bit + 7) >>> 3);
  if (end > limit) throw new NotZstd("a table is cut");
  return { table: fseTable(counts, accuracy), end };
}

/** Returns the table of normalized counts that add up to 2^accuracy; -1 counts as one. */
export function fseTable(counts: ArrayLike<number>, accuracy: number): FseTable {
  const size = 1 << accuracy;
  const mask = size - 1;
  const symbols = new Uint8Array(size);
  const next = new Int32Array(counts.length);
  let high = mask;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    const count = counts[symbol]!;
    next[symbol] = count === -1 ? 1 : count;
    if (count === -1) symbols[high--] = symbol;
  }
  const step = (size >>> 1) + (size >>> 3) + 3;
  let at = 0;
  for (let symbol = 0; symbol < counts.length; symbol++) {
    for (let i = 0; i < counts[symbol]!; i++) {
      symbols[at] = symbol;
      do at = (at + step) & mask;
      while (at > high);
    }
  }
  const states = new Int32Array(size);
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state]!;
    const value = next[symbol]!++;
    const bits = accuracy - (31 - Math.clz32(value));
    states[state] = symbol | (bits << 8) | (((value << bits) - size) << 16);
  }
  return { accuracy, states };
}

/** Returns the table of which every state is `symbol`, and which takes no bits. */
export function fseRun(symbol: number): FseTable {
  return { accuracy: 0, states: Int32Array.of(symbol) };
}

/**
 * Reads the description of a Huffman table at memory[start, limit), which has the margin of a bit
 * stream on both sides.
 */
export function readHuffmanTable(
  memory: Uint8Array,
  start: number,
  limit: number,
): ReadTable<HuffmanTable> {
  if (start >= limit) throw new NotZstd("no Huffman table");
  const head = memory[start]!;
  const weights = new Uint8Array(256);
  if (head >= 128) {
    const count = head - 127;
    const end = start + 1 + ((count + 1) >>> 1);
    if (end > limit) throw new NotZstd("a Huffman table is cut");
    for (let i = 0; i < count; i++) {
      const byte = memory[start + 1 + (i >>> 1)]!;
      weights[i] = (i & 1) === 0 ? byte >>> 4 : byte & 15;
    }
    return { table: huffmanTable(weights, count), end };
  }
  const end = start + 1 + head;
  if (end > limit) throw new NotZstd("a Huffman table is cut");
  const count = readWeights(memory, start + 1, end, weights);
  return { table: huffmanTable(weights, count), end };
}

/** Reads weights that are coded with two interleaved finite-state decoders; returns their number. */
function readWeights(memory: Uint8Array, start: number, end: number, weights: Uint8Array): number {
  const read = readFseTable(memory, start, end, WEIGHT_ACCURACY_MAX, WEIGHT_SYMBOL_MAX);
  const { accuracy, states } = read.table;
  const bits = new BackwardBits(memory);
  bits.open(read.end, end);
  let one = bits.readBeyond(accuracy);
  let other = bits.readBeyond(accuracy);
  if (bits.isBeyondStart) throw new NotZstd("Huffman weights are cut");
  let count = 0;
  for (;;) {
    // Room for these two, and for the last weight of all, which is not coded.
    if (count > 253) throw new NotZstd("too many Huffman weights");
    const entry = states[one]!;
    weights[count++] = entry;
    one = (entry >>> 16) + bits.readBeyond((entry >>> 8) & 0xff);
    if (bits.isBeyondStart) {
      weights[count++] = states[other]!;
      return count;
    }
    const next = one;
    one = other;
    other = next;
  }
}

/** Returns the table of `count` weights and the one that completes them. */
function huffmanTable(weights: Uint8Array, count: number): HuffmanTable {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    if (weights[i]! > HUFFMAN_BITS_MAX + 1) throw new NotZstd("a Huffman weight is too high");
    if (weights[i] !== 0) sum += 1 << (weights[i]! - 1);
  }
  if (sum === 0) throw new NotZstd("a Huffman table without weights");
  const bits = 32 - Math.clz32(sum);
  if (bits > HUFFMAN_BITS_MAX) throw new NotZstd("Huffman codes are too long");
  const rest = (1 << bits) - sum;
  if ((rest & (rest - 1)) !== 0) throw new NotZstd("Huffman weights do not add up");
  weights[count] = 32 - Math.clz32(rest);
  const codes = new Uint16Array(1 << bits);
  let at = 0;
  for (let weight = 1; weight <= bits; weight++) {
    for (let symbol = 0; symbol <= count; symbol++) {
      if (weights[symbol] !== weight) continue;
      const end = at + (1 << (weight - 1));
      codes.fill(symbol | ((bits + 1 - weight) << 8), at, end);
      at = end;
    }
  }
  if (at !== codes.length) throw new NotZstd("Huffman codes do not fill their table");
  return { bits, codes };
}
