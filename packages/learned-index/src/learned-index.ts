/**
 * A block index that is a model: it knows the keys' distribution, not the keys.
 *
 * The lower bound of every block (but the first) becomes a code, the codes become a piecewise
 * linear model, and what the model is off by at each bound is kept in one byte. A look-up encodes
 * its key, asks the model for a position, and compares that with the predicted positions of the
 * bounds around it: nearly always one block is left, else two. The model never descends, so keys
 * between two bounds fall between their positions: the range is right for every key, not only for
 * those that the model has seen. All of it is verified when the model is built.
 */
import { KeyEncoder, type PackedKeys, trainAlphabets } from "./key-encoder.ts";
import { decodeModel, encodeModel, type Model, modelBytes } from "./model-format.ts";
import {
  buildSegments,
  findSegment,
  predict,
  type Segments,
  segmentEnd,
} from "./piecewise-linear.ts";

/** How a learned index is built. */
export interface LearnedIndexSettings {
  /** What a prediction may be off by, blocks, 1 to 16. Default 1. */
  readonly errorBlocks?: number;
}

/** Builds the index of one table. Fits the builder of the block index port. */
export interface LearnedIndexBuilder {
  /** Adds the lower bound of the next block; the first one is empty. Borrowed. */
  add(lower: Uint8Array): void;
  /** Returns the model, or undefined when it does not pay. */
  finish(): Uint8Array | undefined;
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
/** More segments than one per so many blocks: the keys have no shape to learn. */
const BLOCKS_PER_SEGMENT_MIN = 8;
/** A model must be at most this share of the separators that it replaces in memory. */
const BYTES_SHARE_MAX = 0.75;
/** What a separator costs in memory beside its bytes. */
const SEPARATOR_BYTES = 8;
const ERROR_BLOCKS_MAX = 16;
const RESIDUAL_MAX = 127;

class ModelBuilder implements LearnedIndexBuilder {
  readonly #errorBlocks: number;
  #bytes: Uint8Array = new Uint8Array(4096);
  #ends = new Float64Array(256);
  #end = 0;
  /** Bounds added, without the first one. */
  #count = -1;

  constructor(errorBlocks: number) {
    this.#errorBlocks = errorBlocks;
  }

  add(lower: Uint8Array): void {
    const count = this.#count++;
    if (count === -1) return;
    const start = this.#end;
    const end = start + lower.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (count === this.#ends.length) {
      const grown = new Float64Array(count * 2);
      grown.set(this.#ends);
      this.#ends = grown;
    }
    this.#bytes.set(lower, start);
    this.#ends[count] = end;
    this.#end = end;
  }

  finish(): Uint8Array | undefined {
    const count = this.#count;
    if (count + 1 < BLOCKS_MIN) return undefined;
    const keys: PackedKeys = { bytes: this.#bytes, ends: this.#ends, count };
    const alphabets = trainAlphabets(keys);
    const codes = encodeAll(new KeyEncoder(alphabets), keys);
    const segments = buildSegments(codes, this.#errorBlocks);
    if (segments.codes.length * BLOCKS_PER_SEGMENT_MIN > count) return undefined;
    const residuals = takeResiduals(segments, codes);
    if (residuals === undefined) return undefined;
    const model: Model = { blockCount: count + 1, alphabets, segments, ...residuals };
    const separatorBytes = this.#end - count * alphabets.prefix.length + count * SEPARATOR_BYTES;
    if (modelBytes(model) > separatorBytes * BYTES_SHARE_MAX) return undefined;
    const bytes = encodeModel(model);
    return leadsToAll(new ModelIndex(decodeModel(bytes, count + 1)), keys) ? bytes : undefined;
  }
}

class ModelIndex implements LearnedIndex {
  first = 0;
  last = 0;
  readonly residentBytes: number;
  readonly #encoder: KeyEncoder;
  readonly #segments: Segments;
  readonly #residuals: Int8Array;
  readonly #scale: number;
  readonly #slack: number;
  /** Most that a predicted bound is away from its block. */
  readonly #reach: number;

  constructor(model: Model) {
    this.#encoder = new KeyEncoder(model.alphabets);
    this.#segments = model.segments;
    this.#residuals = model.residuals;
    this.#scale = model.residualScale;
    this.#slack = model.slack;
    this.#reach = (RESIDUAL_MAX + 1) * model.residualScale + model.slack;
    this.residentBytes =
      this.#encoder.residentBytes + model.segments.codes.length * 24 + model.residuals.length;
  }

  locate(key: Uint8Array, start: number, end: number): void {
    const residuals = this.#residuals;
    const code = this.#encoder.encode(key, start, end);
    if (code < 0) {
      this.first = this.last = 0;
      return;
    }
    if (code === Number.POSITIVE_INFINITY) {
      this.first = this.last = residuals.length;
      return;
    }
    const segments = this.#segments;
    const segment = findSegment(segments, code);
    const position = predict(segments, segment, code);
    const scale = this.#scale;
    const slack = this.#slack;
    // Bounds that stand for certain below the position are behind us, bounds for certain above it
    // are ahead; between the two the rounded residuals cannot tell. The bounds at which segments
    // begin are known exactly: by their codes.
    const lastMax = segment < 0 ? 0 : segmentEnd(segments, segment) - 1;
    const firstMin = segment < 0 ? 0 : segments.positions[segment]!;
    let last = Math.min(Math.floor(position + this.#reach), lastMax);
    while (last > 0 && last + residuals[last - 1]! * scale - slack > position) last--;
    let first = last;
    while (first > 0 && first + residuals[first - 1]! * scale + slack >= position) first--;
    if (first < firstMin && code > segments.codes[segment]!) first = Math.min(firstMin, last);
    this.first = first;
    this.last = last;
  }
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

/** Returns what the model is off by at each bound; undefined when that is more than a byte can tell. */
function takeResiduals(
  segments: Segments,
  codes: Float64Array,
): Pick<Model, "residuals" | "residualScale" | "slack"> | undefined {
  const count = codes.length;
  const exact = new Float64Array(count);
  let reach = 0;
  for (let i = 0; i < count; i++) {
    exact[i] = predict(segments, findSegment(segments, codes[i]!), codes[i]!) - (i + 1);
    reach = Math.max(reach, Math.abs(exact[i]!));
  }
  if (reach > ERROR_BLOCKS_MAX) return undefined;
  const residualScale = reach / RESIDUAL_MAX;
  const residuals = new Int8Array(count);
  let slack = 0;
  for (let i = 0; i < count; i++) {
    residuals[i] = residualScale === 0 ? 0 : Math.round(exact[i]! / residualScale);
    slack = Math.max(slack, Math.abs(residuals[i]! * residualScale - exact[i]!));
  }
  // Room for the rounding of the sums in `locate`, whose terms are block numbers below 2^28.
  return { residuals, residualScale, slack: slack + 2 ** -20 };
}

/** Returns whether every bound, and what lies just before it, is led to its block. */
function leadsToAll(index: LearnedIndex, keys: PackedKeys): boolean {
  for (let i = 0, start = 0; i < keys.count; i++) {
    const end = keys.ends[i]!;
    index.locate(keys.bytes, start, end);
    if (index.first > i + 1 || index.last < i + 1) return false;
    start = end;
  }
  return true;
}

/**
 * Returns the learned block index as a format for tables. Give it to a table writer (`index`) and
 * to whatever opens the tables.
 */
export function learnedIndex(settings: LearnedIndexSettings = {}): LearnedIndexFormat {
  const errorBlocks = settings.errorBlocks ?? 1;
  if (!(errorBlocks >= 1 && errorBlocks <= ERROR_BLOCKS_MAX)) {
    throw new RangeError(`errorBlocks: ${errorBlocks} is not in 1 to ${ERROR_BLOCKS_MAX}`);
  }
  return {
    name: "learned",
    builder: () => new ModelBuilder(errorBlocks),
    decode: (bytes, blockCount) => new ModelIndex(decodeModel(bytes, blockCount)),
  };
}
