/**
 * The bytes of a model. Layout and a worked example: docs/formats/learned-index.md.
 *
 * A decoded model is consistent in itself: lengths add up, segments ascend, slopes are finite and
 * not negative, codes stay exact. Whether it fits the table is not known here.
 */
import { AuraError, getU16, getU32, getU56, putU16, putU32, putU56 } from "@aura/base";
import { type Alphabets, alphabetsAreSound, POSITIONS_MAX } from "./key-encoder.ts";
import { type Segment, WIDTH_MAX } from "./line-fit.ts";
import { residualWords } from "./line-vector.ts";
import { WORDS } from "./symbol-set.ts";

/** A trained model. */
export interface Model {
  readonly blockCount: number;
  readonly alphabets: Alphabets;
  /** Lines through the codes of the bounds of blocks 1, 2, ... */
  readonly segments: readonly Segment[];
  readonly words: Uint32Array;
  readonly deep: DeepBounds;
}

/** Bounds longer than prefix and positions, without the prefix. */
export interface DeepBounds {
  /** Their blocks, ascending. */
  readonly blocks: Uint32Array;
  /** Bound i: bytes[starts[i], starts[i + 1]). */
  readonly starts: Uint32Array;
  readonly bytes: Uint8Array;
}

const HEAD_BYTES = 24;
const BITMAP_BYTES = 33;
const SEGMENT_BYTES = 20;
const DEEP_BYTES = 8;
/** Bases are stored with this added: a line may begin below 0. */
const BASE_BIAS = 2 ** 32;
const BASE_MAX = 2 ** 53;

/** Returns the length of a model's bytes. */
function modelBytes(model: Model): number {
  const { prefix, positions } = model.alphabets;
  return (
    HEAD_BYTES +
    prefix.length +
    positions * BITMAP_BYTES +
    model.segments.length * SEGMENT_BYTES +
    model.words.length * 4 +
    model.deep.blocks.length * DEEP_BYTES +
    model.deep.bytes.length
  );
}

/** Returns the bytes of a model. */
export function encodeModel(model: Model): Uint8Array {
  const { alphabets, segments, words, deep } = model;
  const bytes = new Uint8Array(modelBytes(model));
  const view = new DataView(bytes.buffer);
  putU32(bytes, 0, model.blockCount);
  putU32(bytes, 4, segments.length);
  putU32(bytes, 8, words.length);
  putU32(bytes, 12, deep.blocks.length);
  putU32(bytes, 16, deep.bytes.length);
  putU16(bytes, 20, alphabets.prefix.length);
  bytes[22] = alphabets.positions;
  // 23: reserved, zero
  let at = HEAD_BYTES;
  bytes.set(alphabets.prefix, at);
  at += alphabets.prefix.length;
  for (let i = 0; i < alphabets.positions; i++, at += BITMAP_BYTES) {
    const first = i * WORDS;
    for (let word = 0; word < WORDS - 1; word++) {
      putU32(bytes, at + word * 4, alphabets.bitmaps[first + word]!);
    }
    bytes[at + BITMAP_BYTES - 1] = alphabets.bitmaps[first + WORDS - 1]!;
  }
  for (const { start, slope, base, width } of segments) {
    putU32(bytes, at, start);
    bytes[at + 4] = width;
    putU56(bytes, at + 5, base + BASE_BIAS);
    view.setFloat64(at + 12, slope, true);
    at += SEGMENT_BYTES;
  }
  for (const word of words) {
    putU32(bytes, at, word);
    at += 4;
  }
  for (const [i, block] of deep.blocks.entries()) {
    putU32(bytes, at, block);
    putU32(bytes, at + 4, deep.starts[i + 1]! - deep.starts[i]!);
    at += DEEP_BYTES;
  }
  bytes.set(deep.bytes, at);
  return bytes;
}

/** Reads a model of a table of `blockCount` blocks. Keeps no view. Throws AURA_CORRUPTION. */
export function decodeModel(bytes: Uint8Array, blockCount: number): Model {
  if (bytes.length < HEAD_BYTES) throw damaged("head");
  const segmentCount = getU32(bytes, 4);
  const wordCount = getU32(bytes, 8);
  const deepCount = getU32(bytes, 12);
  const deepBytes = getU32(bytes, 16);
  const prefixBytes = getU16(bytes, 20);
  const positions = bytes[22]!;
  const length =
    HEAD_BYTES +
    prefixBytes +
    positions * BITMAP_BYTES +
    segmentCount * SEGMENT_BYTES +
    wordCount * 4 +
    deepCount * DEEP_BYTES +
    deepBytes;
  const fits =
    getU32(bytes, 0) === blockCount &&
    blockCount > 1 &&
    segmentCount >= 1 &&
    segmentCount < blockCount &&
    deepCount < blockCount &&
    positions <= POSITIONS_MAX &&
    bytes[23] === 0 &&
    length === bytes.length;
  if (!fits) throw damaged("lengths");
  let at = HEAD_BYTES + prefixBytes;
  const alphabets = {
    prefix: bytes.slice(HEAD_BYTES, at),
    positions,
    bitmaps: decodeBitmaps(bytes, at, positions),
  };
  if (!alphabetsAreSound(alphabets)) throw damaged("alphabets");
  at += positions * BITMAP_BYTES;
  const segments = decodeSegments(bytes, at, segmentCount, blockCount - 1);
  if (residualWords(blockCount - 1, segments) !== wordCount) throw damaged("residuals");
  at += segmentCount * SEGMENT_BYTES;
  const words = new Uint32Array(wordCount);
  for (let i = 0; i < wordCount; i++, at += 4) words[i] = getU32(bytes, at);
  const deep = decodeDeep(bytes, at, deepCount, deepBytes, blockCount);
  return { blockCount, alphabets, segments, words, deep };
}

function decodeBitmaps(bytes: Uint8Array, start: number, positions: number): Uint32Array {
  const bitmaps = new Uint32Array(positions * WORDS);
  for (let i = 0, at = start; i < positions; i++, at += BITMAP_BYTES) {
    const first = i * WORDS;
    for (let word = 0; word < WORDS - 1; word++) {
      bitmaps[first + word] = getU32(bytes, at + word * 4);
    }
    bitmaps[first + WORDS - 1] = bytes[at + BITMAP_BYTES - 1]!;
  }
  return bitmaps;
}

function decodeSegments(
  bytes: Uint8Array,
  start: number,
  segmentCount: number,
  valueCount: number,
): Segment[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const segments: Segment[] = [];
  let before = -1;
  for (let i = 0, at = start; i < segmentCount; i++, at += SEGMENT_BYTES) {
    const first = getU32(bytes, at);
    const width = bytes[at + 4]!;
    const base = getU56(bytes, at + 5) - BASE_BIAS;
    const slope = view.getFloat64(at + 12, true);
    const sound =
      (i === 0 ? first === 0 : first > before) &&
      first < valueCount &&
      width <= WIDTH_MAX &&
      base <= BASE_MAX &&
      slope >= 0 &&
      slope <= BASE_MAX;
    if (!sound) throw damaged(`segment ${i}`);
    before = first;
    segments.push({ start: first, slope, base, width });
  }
  return segments;
}

function decodeDeep(
  bytes: Uint8Array,
  start: number,
  count: number,
  byteCount: number,
  blockCount: number,
): DeepBounds {
  const blocks = new Uint32Array(count);
  const starts = new Uint32Array(count + 1);
  let before = 0;
  let total = 0;
  let at = start;
  for (let i = 0; i < count; i++, at += DEEP_BYTES) {
    blocks[i] = getU32(bytes, at);
    total += getU32(bytes, at + 4);
    starts[i + 1] = total;
    const sound = blocks[i]! > before && blocks[i]! < blockCount && total <= byteCount;
    if (!sound) throw damaged(`deep bound ${i}`);
    before = blocks[i]!;
  }
  if (total !== byteCount) throw damaged("deep bounds");
  return { blocks, starts, bytes: bytes.slice(at, at + byteCount) };
}

function damaged(what: string): AuraError {
  return new AuraError("AURA_CORRUPTION", `learned index: ${what}`);
}
