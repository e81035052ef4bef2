/** Options of calls that read a part of a value, checked. */
import { AuraError, VALUE_BYTES_MAX } from "@aura/base";
import { checkOptions, checkSignal } from "./call-options.ts";
import { shown } from "./shown-value.ts";
import type { Snapshot } from "./snapshot.ts";
import type { ValueStreamRange } from "./value-stream.ts";

/** Options of `read`: which part of a value. */
export interface PartOptions {
  /** Reads the state that the snapshot holds. */
  readonly snapshot?: Snapshot;
  /** First byte. Default 0. */
  readonly offset?: number;
  /** Most bytes to read. Default: to the end of the value. */
  readonly length?: number;
}

/** Options of `createReadStream`; as of `fs.createReadStream`. */
export interface ReadStreamOptions {
  /** Reads the state that the snapshot holds. */
  readonly snapshot?: Snapshot;
  /** First byte. Default 0. */
  readonly start?: number;
  /** Last byte, inclusive. Default: the last of the value. */
  readonly end?: number;
  /** Bytes of a piece, 1 to 64 MiB. Default 256 KiB. */
  readonly highWaterMark?: number;
  /** Ends the stream with an AbortError. */
  readonly signal?: AbortSignal;
}

/** Names of the options of `read`. */
export const PART_OPTIONS: readonly string[] = ["snapshot", "offset", "length"];
/** Names of the options of `createReadStream`. */
export const READ_STREAM_OPTIONS: readonly string[] = [
  ...["snapshot", "start", "end", "highWaterMark", "signal"],
];
const PIECE_BYTES = 256 * 1024;
const PIECE_BYTES_MAX = 64 * 1024 * 1024;

/** Returns bytes [start, end) of a value. Throws AURA_INVALID_ARGUMENT. */
export function partOf(options: PartOptions): { start: number; end: number } {
  checkOptions(options, PART_OPTIONS);
  const { offset = 0, length = VALUE_BYTES_MAX } = options;
  checkBytes("offset", offset);
  checkBytes("length", length);
  return { start: offset, end: offset + length };
}

/** Throws AURA_INVALID_ARGUMENT. */
export function streamRangeOf(options: ReadStreamOptions): ValueStreamRange {
  checkOptions(options, READ_STREAM_OPTIONS);
  const { start = 0, end = VALUE_BYTES_MAX, highWaterMark = PIECE_BYTES, signal } = options;
  checkBytes("start", start);
  checkBytes("end", end);
  checkBytes("highWaterMark", highWaterMark, PIECE_BYTES_MAX);
  checkSignal(signal);
  return { start, end, highWaterMark: Math.max(1, highWaterMark), signal };
}

/** Throws AURA_INVALID_ARGUMENT unless `value` is a number of bytes up to `max`. */
export function checkBytes(
  name: string,
  value: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= max) return;
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `options.${name}: expected a whole number from 0 to ${max}, got ${shown(value)}`,
  );
}
