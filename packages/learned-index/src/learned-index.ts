/**
 * A block index that is a model: it knows the keys' distribution, not the keys.
 *
 * The lower bound of every block but the first becomes a code (`key-encoder.ts`), and the codes
 * become lines with a few bits per block of what each code is off by (`line-fit.ts`). Nothing is
 * lost: the codes of all bounds can be read back, and a code divides keys exactly as its bound does.
 * So a look-up encodes its key, lets a line guess, corrects the guess by the codes around it, and
 * names one block, the right one, for keys that are there and for those that are not. The few bounds
 * that are too long for a code are kept as bytes, and compared only with keys of the same code.
 * When a model is finished it is decoded again and asked for every bound.
 */
import { compareBytes } from "@aura/base";
import { type BlockCutter, EvenCutter } from "./block-cutter.ts";
import { KeyEncoder, type PackedKeys, POSITIONS_MAX, trainAlphabets } from "./key-encoder.ts";
import { type FitMethod, fitSegments } from "./line-fit.ts";
import { LineVector, packResiduals, residualWords } from "./line-vector.ts";
import { type DeepBounds, decodeModel, encodeModel, type Model } from "./model-format.ts";

/** How a learned index is built. Any reader reads all of them. */
export interface LearnedIndexSettings {
  /** What a line may be off by, blocks, 1/16 to 64. Less: fewer steps in a look-up, more segments. Default 1/2. */
  readonly errorBlocks?: number;
  /**
   * "piecewise-linear": free lines, found by bisection. "radix-spline": lines from bound to bound,
   * found through a table. Default "piecewise-linear".
   */
  readonly modelType?: "piecewise-linear" | "radix-spline";
  /** Of free lines: the fewest segments ("optimal", default), or a shrinking cone. */
  readonly segments?: "optimal" | "cone";
  /** Asks for blocks that end where the model needs no bits to say so (`block-cutter.ts`). Default true. */
  readonly cutBlocks?: boolean;
}

/** Builds the index of one table. Fits the builder of the block index port. */
export interface LearnedIndexBuilder {
  /** Adds the lower bound of the next block; the first one is empty. Borrowed. */
  add(lower: Uint8Array): void;
  /** Returns the model, or undefined when it does not pay. */
  finish(): Uint8Array | undefined;
  /** Where blocks should end. */
  readonly cutter: BlockCutter | undefined;
}

/** Finds blocks. Fits the index of the block index port. */
export interface LearnedIndex {
  readonly first: number;
  readonly last: number;
  readonly residentBytes: number;
  locate(key: Uint8Array, start: number, end: number): void;
}

/** Fits the format of the block index port (`BlockIndexFormat` of @aura/sst). */
export interface LearnedIndexFormat {
  readonly name: string;
  builder(): LearnedIndexBuilder;
  decode(bytes: Uint8Array, blockCount: number): LearnedIndex;
}

/** A model of fewer blocks is not worth its head. */
const BLOCKS_MIN = 32;
/** A model must be at most this share of the separators that it replaces in memory. */
const BYTES_SHARE_MAX = 0.75;
/** More segments or deep bounds than one per so many blocks: a look-up would take longer than in separators. */
const BLOCKS_PER_SEGMENT_MIN = 16;
const BLOCKS_PER_DEEP_MIN = 16;
/** The format has 16 bits for its length; a bound may be a longest key and one byte more. */
const PREFIX_BYTES_MAX = 0xffff;
/** What a separator costs in memory beside its bytes. */
const SEPARATOR_BYTES = 8;
/** What a bound that is kept as bytes costs beside them, bits. */
const DEEP_BITS = 64;
/** What lies just below a bound is asked for at one bound of so many, and at each that no code can hold. */
const BELOW_EVERY = 8;
const ERROR_BLOCKS_MIN = 1 / 16;
const ERROR_BLOCKS_MAX = 64;
const ERROR_BLOCKS = 0.5;

class ModelBuilder implements LearnedIndexBuilder {
  readonly cutter: EvenCutter | undefined;
  readonly #settings: LearnedIndexSettings;
  #bytes: Uint8Array = new Uint8Array(4096);
  #ends = new Float64Array(256);
  #end = 0;
  /** Bounds added, without the first one. */
  #count = -1;

  constructor(settings: LearnedIndexSettings) {
    this.#settings = settings;
    this.cutter = settings.cutBlocks === false ? undefined : new EvenCutter();
  }

  add(lower: Uint8Array): void {
    const count = this.#count++;
    if (count === -1) return;
    const start = this.#end;
    const end = start + lower.length;
    // One byte more: see `leadsToAll`.
    if (end >= this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end + 1, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (count === this.#ends.length) {
      const grown = new Float64Array(count * 2);
      grown.set(this.#ends);
      this.#ends = grown;
    }
    for (let i = 0; i < lower.length; i++) this.#bytes[start + i] = lower[i]!;
    this.#ends[count] = end;
    this.#end = end;
  }

  finish(): Uint8Array | undefined {
    const count = this.#count;
    if (count + 1 < BLOCKS_MIN) return undefined;
    const keys: PackedKeys = { bytes: this.#bytes, ends: this.#ends, count };
    const { alphabets, deep } = trainAlphabets(keys, DEEP_BITS, this.cutter?.symbols);
    if (alphabets.prefix.length > PREFIX_BYTES_MAX) return undefined;
    const separatorBytes = this.#end - count * alphabets.prefix.length + count * SEPARATOR_BYTES;
    const deepBounds = takeDeep(keys, deep, alphabets.prefix.length);
    const bytesMax = separatorBytes * BYTES_SHARE_MAX;
    if (deep.length * BLOCKS_PER_DEEP_MIN > count) return undefined;
    const codes = encodeAll(new KeyEncoder(alphabets), keys);
    const { errorBlocks = ERROR_BLOCKS, modelType, segments: method = "optimal" } = this.#settings;
    const fit: FitMethod = modelType === "radix-spline" ? "spline" : method;
    const step = (codes[count - 1]! - codes[0]!) / count;
    const segments = fitSegments(codes, step * errorBlocks, fit);
    if (segments.length > 1 && segments.length * BLOCKS_PER_SEGMENT_MIN > count) return undefined;
    if (residualWords(count, segments) === Number.POSITIVE_INFINITY) return undefined;
    const model: Model = {
      blockCount: count + 1,
      alphabets,
      segments,
      words: packResiduals(codes, segments),
      deep: deepBounds,
    };
    const bytes = encodeModel(model);
    const index = new ModelIndex(decodeModel(bytes, count + 1));
    return index.residentBytes <= bytesMax && leadsToAll(index, keys) ? bytes : undefined;
  }
}

class ModelIndex implements LearnedIndex {
  first = 0;
  last = 0;
  readonly residentBytes: number;
  readonly #encoder: KeyEncoder;
  readonly #codes: LineVector;
  readonly #deep: DeepBounds;
  readonly #prefixBytes: number;

  constructor(model: Model) {
    this.#encoder = new KeyEncoder(model.alphabets);
    this.#codes = new LineVector(model.blockCount - 1, model.segments, model.words);
    this.#deep = model.deep;
    this.#prefixBytes = model.alphabets.prefix.length;
    this.residentBytes =
      this.#encoder.residentBytes + this.#codes.residentBytes + deepResident(model.deep);
  }

  locate(key: Uint8Array, start: number, end: number): void {
    const code = this.#encoder.encode(key, start, end);
    let block = 0;
    if (code === Number.POSITIVE_INFINITY) block = this.#codes.count;
    else if (code >= 0) {
      block = this.#codes.search(code) + 1;
      const { blocks } = this.#deep;
      if (blocks.length > 0 && block > 0 && this.#codes.value === code) {
        block = this.#amongDeep(block, key, start + this.#prefixBytes, end);
      }
    }
    this.first = this.last = block;
  }

  /** Goes back over the deep bounds, from that of `block` on, that are above the key. */
  #amongDeep(block: number, key: Uint8Array, start: number, end: number): number {
    const { blocks, starts, bytes } = this.#deep;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (blocks[middle]! < block) low = middle + 1;
      else high = middle;
    }
    let place = block;
    for (let i = low; i >= 0 && blocks[i] === place; i--, place--) {
      if (compareBytes(bytes, starts[i]!, starts[i + 1]!, key, start, end) <= 0) break;
    }
    return place;
  }
}

function takeDeep(keys: PackedKeys, numbers: Uint32Array, prefixBytes: number): DeepBounds {
  const starts = new Uint32Array(numbers.length + 1);
  for (const [i, n] of numbers.entries()) {
    const start = n === 0 ? 0 : keys.ends[n - 1]!;
    starts[i + 1] = starts[i]! + keys.ends[n]! - start - prefixBytes;
  }
  const bytes = new Uint8Array(starts[numbers.length]!);
  for (const [i, n] of numbers.entries()) {
    const start = n === 0 ? 0 : keys.ends[n - 1]!;
    bytes.set(keys.bytes.subarray(start + prefixBytes, keys.ends[n]!), starts[i]!);
  }
  return { blocks: numbers.map((n) => n + 1), starts, bytes };
}

function deepResident({ blocks, starts, bytes }: DeepBounds): number {
  return blocks.length === 0 ? 0 : blocks.byteLength + starts.byteLength + bytes.length;
}

function encodeAll(encoder: KeyEncoder, keys: PackedKeys): Float64Array {
  const codes = new Float64Array(keys.count);
  for (let i = 0, start = 0; i < keys.count; i++) {
    const end = keys.ends[i]!;
    codes[i] = encoder.encode(keys.bytes, start, end);
    start = end;
  }
  return codes;
}

/**
 * Returns whether every bound leads to its block, and what lies just below some of them to one before.
 * Changes bytes of the keys for a moment; there is room for one more byte behind them.
 */
function leadsToAll(index: LearnedIndex, { bytes, ends, count }: PackedKeys): boolean {
  for (let i = 0, start = 0; i < count; i++) {
    const end = ends[i]!;
    // Of equal bounds the last one counts.
    const nextEnd = i + 1 < count ? ends[i + 1]! : end;
    const isDouble =
      nextEnd - end === end - start && compareBytes(bytes, start, end, bytes, end, nextEnd) === 0;
    index.locate(bytes, start, end);
    if (!isDouble && index.first !== i + 1) return false;
    if (end > start && (i % BELOW_EVERY === 0 || end - start > POSITIONS_MAX)) {
      // The bound without its last byte, or with the byte below, and high behind it.
      const last = bytes[end - 1]!;
      const behind = bytes[end]!;
      bytes[end - 1] = last - 1;
      bytes[end] = 0xff;
      index.locate(bytes, start, last === 0 ? end - 1 : end + 1);
      bytes[end - 1] = last;
      bytes[end] = behind;
      if (index.first > i) return false;
    }
    start = end;
  }
  return true;
}

/**
 * Returns the learned block index as a format for tables. Give it to a table writer (`index`) and
 * to whatever opens the tables. Throws RangeError.
 */
export function learnedIndex(settings: LearnedIndexSettings = {}): LearnedIndexFormat {
  const errorBlocks = settings.errorBlocks ?? ERROR_BLOCKS;
  if (!(errorBlocks >= ERROR_BLOCKS_MIN && errorBlocks <= ERROR_BLOCKS_MAX)) {
    throw new RangeError(
      `errorBlocks: ${errorBlocks} is not in ${ERROR_BLOCKS_MIN} to ${ERROR_BLOCKS_MAX}`,
    );
  }
  return {
    name: "learned",
    builder: () => new ModelBuilder(settings),
    decode: (bytes, blockCount) => new ModelIndex(decodeModel(bytes, blockCount)),
  };
}
