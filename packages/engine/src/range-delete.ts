/** Ranges to delete, as callers give them, checked and brought into one form. */
import { AuraError, compareKeys, KEY_BYTES_MAX, KEYS_END } from "@aura/base";
import { prefixEnd } from "./byte-buffer.ts";
import { parseCursorRange, type RangeOptions } from "./range.ts";
import { shown } from "./shown-value.ts";

/** Which keys a `deleteRange` deletes. Without a bound the range is open on that side. */
export type DeleteRange = Pick<RangeOptions, "gt" | "gte" | "lt" | "lte" | "prefix">;

/** Keys from `begin` on, below `end` (`KEYS_END`: no end). Copies of what the caller gave. */
export interface DeletedRange {
  readonly begin: Uint8Array;
  readonly end: Uint8Array;
}

const KNOWN = ["gt", "gte", "lt", "lte", "prefix"];

/**
 * Returns the keys of a range; undefined when no key can be in it, though its bounds are in order.
 * Throws AURA_INVALID_ARGUMENT (a bound that is unknown or undefined, bounds the wrong way round),
 * AURA_KEY_TOO_LONG.
 */
export function parseDeleteRange(range: DeleteRange): DeletedRange | undefined {
  if (typeof range !== "object" || range === null) {
    throw invalid(`range: expected an object, got ${shown(range)}`);
  }
  const bounds = Object.entries(range);
  // No bounds are all keys. A map, say, holds its bounds elsewhere.
  if (bounds.length === 0 && ![Object.prototype, null].includes(Object.getPrototypeOf(range))) {
    throw invalid("range: expected a plain object, or one with bounds");
  }
  for (const [name, bound] of bounds) {
    if (!KNOWN.includes(name)) throw invalid(`range.${name}: unknown; known: ${KNOWN.join(", ")}`);
    // A bound that was forgotten would delete more than was meant.
    if (bound === undefined)
      throw invalid(`range.${name}: undefined; leave it out for an open end`);
  }
  const { lower, upper } = parseCursorRange(range);
  if (lower !== undefined && upper !== undefined && compareKeys(lower, upper) > 0) {
    throw invalid("range: its lower bound lies above its upper bound");
  }
  const begin = shortened(lower ?? new Uint8Array(0));
  const end = upper === undefined ? KEYS_END : shortened(upper);
  return compareKeys(begin, end) < 0 ? { begin, end } : undefined;
}

/** Returns the bound as a key that may be: behind the longest keys comes a shorter one. */
function shortened(bound: Uint8Array): Uint8Array {
  if (bound.length <= KEY_BYTES_MAX) return bound;
  return prefixEnd(bound.subarray(0, KEY_BYTES_MAX)) ?? KEYS_END;
}

function invalid(message: string): AuraError {
  return new AuraError("AURA_INVALID_ARGUMENT", message);
}
