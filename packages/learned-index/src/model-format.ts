/**
 * The bytes of a model. Layout and a worked example: docs/formats/learned-index.md.
 *
 * A decoded model is consistent in itself: lengths add up, codes and positions ascend, slopes are
 * finite and not negative, codes stay exact. Whether it fits the table is not known here.
 */
import { AuraError, getU16, getU32, putU16, putU32 } from "@aura/base";
import { type Alphabets, alphabetsAreSound, BITMAP_BYTES, POSITIONS_MAX } from "./key-encoder.ts";
import type { Segments } from "./piecewise-linear.ts";

/** A trained model. */
export interface Model {
  readonly blockCount: number;
  readonly alphabets: Alphabets;
  readonly segments: Segments;
  /** For block b > 0 at b - 1: where its bound is predicted, less b, in units of `residualScale`. */
  readonly residuals: Int8Array;
  readonly residualScale: number;
  /** Most that a residual is off by rounding. */
  readonly slack: number;
}

const HEAD_BYTES = 32;
const SEGMENT_BYTES = 20;

/** Returns the length of a model's bytes. */
export function modelBytes(model: Model): number {
  const { prefix, bitmaps } = model.alphabets;
  const segmentBytes = model.segments.codes.length * SEGMENT_BYTES;
  const alphabetBytes = prefix.length + bitmaps.length * BITMAP_BYTES;
  return HEAD_BYTES + alphabetBytes + segmentBytes + model.residuals.length;
}

/** Returns the bytes of a model. */
export function encodeModel(model: Model): Uint8Array {
  const { alphabets, segments, residuals } = model;
  const bytes = new Uint8Array(modelBytes(model));
  const view = new DataView(bytes.buffer);
  putU32(bytes, 0, model.blockCount);
  putU32(bytes, 4, segments.codes.length);
  putU16(bytes, 8, alphabets.prefix.length);
  putU16(bytes, 10, alphabets.bitmaps.length);
  // 12: reserved, zero
  view.setFloat64(16, model.residualScale, true);
  view.setFloat64(24, model.slack, true);
  let at = HEAD_BYTES;
  bytes.set(alphabets.prefix, at);
  at += alphabets.prefix.length;
  for (const bitmap of alphabets.bitmaps) {
    bytes.set(bitmap, at);
    at += BITMAP_BYTES;
  }
  for (let i = 0; i < segments.codes.length; i++) {
    view.setFloat64(at, segments.codes[i]!, true);
    view.setFloat64(at + 8, segments.slopes[i]!, true);
    putU32(bytes, at + 16, segments.positions[i]!);
    at += SEGMENT_BYTES;
  }
  bytes.set(new Uint8Array(residuals.buffer, residuals.byteOffset, residuals.length), at);
  return bytes;
}

/** Reads a model of a table of `blockCount` blocks. Keeps no view. Throws AURA_CORRUPTION. */
export function decodeModel(bytes: Uint8Array, blockCount: number): Model {
  if (bytes.length < HEAD_BYTES) throw damaged("head");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const segmentCount = getU32(bytes, 4);
  const prefixBytes = getU16(bytes, 8);
  const positionCount = getU16(bytes, 10);
  const residualCount = getU32(bytes, 0) - 1;
  const length =
    HEAD_BYTES +
    prefixBytes +
    positionCount * BITMAP_BYTES +
    segmentCount * SEGMENT_BYTES +
    residualCount;
  const fits =
    residualCount + 1 === blockCount &&
    segmentCount >= 1 &&
    segmentCount <= residualCount &&
    positionCount <= POSITIONS_MAX &&
    getU32(bytes, 12) === 0 &&
    length === bytes.length;
  if (!fits) throw damaged("lengths");
  const residualScale = view.getFloat64(16, true);
  const slack = view.getFloat64(24, true);
  if (!(residualScale >= 0 && residualScale <= 1 && slack >= 0 && slack <= 1))
    throw damaged("error");
  let at = HEAD_BYTES + prefixBytes;
  const prefix = bytes.slice(HEAD_BYTES, at);
  const bitmaps: Uint8Array[] = [];
  for (let i = 0; i < positionCount; i++, at += BITMAP_BYTES) {
    bitmaps.push(bytes.slice(at, at + BITMAP_BYTES));
  }
  const alphabets = { prefix, bitmaps };
  if (!alphabetsAreSound(alphabets)) throw damaged("alphabets");
  const segments = decodeSegments(bytes, view, at, segmentCount, blockCount);
  at += segmentCount * SEGMENT_BYTES;
  const residuals = new Int8Array(bytes.slice(at).buffer);
  return { blockCount, alphabets, segments, residuals, residualScale, slack };
}

function decodeSegments(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  count: number,
  blockCount: number,
): Segments {
  const codes = new Float64Array(count);
  const slopes = new Float64Array(count);
  const positions = new Float64Array(count);
  let code = 0;
  let position = 1;
  for (let i = 0, at = start; i < count; i++, at += SEGMENT_BYTES) {
    codes[i] = view.getFloat64(at, true);
    slopes[i] = view.getFloat64(at + 8, true);
    positions[i] = getU32(bytes, at + 16);
    const sound =
      codes[i]! >= code &&
      codes[i]! <= Number.MAX_SAFE_INTEGER + 1 &&
      slopes[i]! >= 0 &&
      slopes[i]! < Number.POSITIVE_INFINITY &&
      positions[i]! >= position &&
      positions[i]! < blockCount;
    if (!sound) throw damaged(`segment ${i}`);
    code = codes[i]!;
    position = positions[i]!;
  }
  return { codes, slopes, positions, end: blockCount };
}

function damaged(what: string): AuraError {
  return new AuraError("AURA_CORRUPTION", `learned index: ${what}`);
}
