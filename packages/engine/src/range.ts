/**
 * Ranges as callers give them, checked and brought into one form: keys >= `lower` and < `upper`.
 * The bytes of bounds are copied. Bounds that contradict each other make an empty range.
 */
import { AuraError, compareKeys } from "@aura/base";
import { prefixEnd } from "./byte-buffer.ts";
import type { Bytes } from "./bytes-in.ts";
import { keyBytes } from "./bytes-in.ts";
import { shown } from "./shown-value.ts";
import type { Snapshot } from "./snapshot.ts";

/** Which keys a scan or cursor shows, and how. All parts are optional. */
export interface RangeOptions {
  /** Keys above this one. */
  readonly gt?: Bytes | undefined;
  /** Keys from this one on. */
  readonly gte?: Bytes | undefined;
  /** Keys below this one. */
  readonly lt?: Bytes | undefined;
  /** Keys up to this one. */
  readonly lte?: Bytes | undefined;
  /** Keys that begin with these bytes. */
  readonly prefix?: Bytes | undefined;
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined;
  /** A state to read instead of the present one. */
  readonly snapshot?: Snapshot | undefined;
  /** Ends an asynchronous call with AURA_ABORTED. Synchronous calls look at it when they begin. */
  readonly signal?: AbortSignal | undefined;
}

/** As `RangeOptions`, for a scan. */
export interface ScanOptions extends RangeOptions {
  /** Most entries to give: a whole number, or Infinity (the default). */
  readonly limit?: number | undefined;
}

/** A range in its one form. */
export interface ParsedRange {
  /** Inclusive; undefined: from the first key on. */
  readonly lower: Uint8Array | undefined;
  /** Exclusive; undefined: to the last key. */
  readonly upper: Uint8Array | undefined;
  /** No key can be in it. */
  readonly empty: boolean;
  readonly reverse: boolean;
  readonly limit: number;
  readonly snapshot: Snapshot | undefined;
  readonly signal: AbortSignal | undefined;
}

const CURSOR_OPTIONS = ["gt", "gte", "lt", "lte", "prefix", "reverse", "snapshot", "signal"];
const SCAN_OPTIONS = [...CURSOR_OPTIONS, "limit"];

/** Checks the range of a scan. Throws AURA_INVALID_ARGUMENT or AURA_KEY_TOO_LONG. */
export function parseScanRange(options: ScanOptions = {}): ParsedRange {
  return parse(options, SCAN_OPTIONS);
}

/** Checks the range of a cursor: as of a scan, but without `limit`. */
export function parseCursorRange(options: RangeOptions = {}): ParsedRange {
  return parse(options, CURSOR_OPTIONS);
}

function parse(options: ScanOptions, known: readonly string[]): ParsedRange {
  if (typeof options !== "object" || options === null) {
    throw invalid("range", "an object", options);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      `range.${name}: unknown; known: ${known.join(", ")}`,
    );
  }
  const { gt, gte, lt, lte, prefix, reverse = false, limit = Number.POSITIVE_INFINITY } = options;
  if (typeof reverse !== "boolean") throw invalid("range.reverse", "true or false", reverse);
  if (!(Number.isSafeInteger(limit) || limit === Number.POSITIVE_INFINITY) || limit < 0) {
    throw invalid("range.limit", "a whole number from 0 on, or Infinity", limit);
  }
  const { signal, snapshot } = options;
  if (signal !== undefined && typeof signal?.aborted !== "boolean") {
    throw invalid("range.signal", "an AbortSignal", signal);
  }
  let lower: Uint8Array | undefined;
  let upper: Uint8Array | undefined;
  if (gte !== undefined) lower = higher(lower, new Uint8Array(keyBytes(gte)));
  if (gt !== undefined) lower = higher(lower, behind(keyBytes(gt)));
  if (lt !== undefined) upper = lowest(upper, new Uint8Array(keyBytes(lt)));
  if (lte !== undefined) upper = lowest(upper, behind(keyBytes(lte)));
  if (prefix !== undefined) {
    const start = new Uint8Array(keyBytes(prefix));
    lower = higher(lower, start);
    upper = lowest(upper, prefixEnd(start));
  }
  const empty =
    limit === 0 || (lower !== undefined && upper !== undefined && compareKeys(lower, upper) >= 0);
  return { lower, upper, empty, reverse, limit, snapshot, signal };
}

/** Returns the first key above `key`: the same with a zero byte behind. */
export function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

function higher(a: Uint8Array | undefined, b: Uint8Array): Uint8Array {
  return a === undefined || compareKeys(a, b) < 0 ? b : a;
}

function lowest(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined) return b;
  return b === undefined || compareKeys(a, b) < 0 ? a : b;
}

function invalid(path: string, expected: string, actual: unknown): AuraError {
  return new AuraError(
    "AURA_INVALID_ARGUMENT",
    `${path}: expected ${expected}, got ${shown(actual)}`,
  );
}
