/**
 * Piecewise linear models of an ascending sequence: shrinking cone, one pass.
 *
 * A model maps a code to a real position. It never descends: within a segment the slope is not
 * negative, and a segment ends at the height at which the next one begins.
 */

/** Segments in ascending order. */
export interface Segments {
  /** Code at which a segment begins. */
  readonly codes: Float64Array;
  /** Position there. */
  readonly positions: Float64Array;
  /** Positions per code. */
  readonly slopes: Float64Array;
  /** Position at which the last segment ends. */
  readonly end: number;
}

/**
 * Returns segments that miss the position i + 1 of code i by at most `error` (more only where more
 * than `error` codes are equal). `codes` ascend, equal ones allowed.
 */
export function buildSegments(codes: Float64Array, error: number): Segments {
  const starts: number[] = [];
  const positions: number[] = [];
  const slopes: number[] = [];
  const count = codes.length;
  let first = 0;
  while (first < count) {
    const origin = codes[first]!;
    let low = 0;
    let high = Number.POSITIVE_INFINITY;
    let next = first + 1;
    for (; next < count; next++) {
      const run = codes[next]! - origin;
      const rise = next - first;
      if (run === 0) {
        if (rise > error) break;
        continue;
      }
      const nextLow = Math.max(low, (rise - error) / run);
      const nextHigh = Math.min(high, (rise + error) / run);
      if (nextLow > nextHigh) break;
      low = nextLow;
      high = nextHigh;
    }
    starts.push(origin);
    positions.push(first + 1);
    slopes.push(high === Number.POSITIVE_INFINITY ? 0 : (low + high) / 2);
    first = next;
  }
  return {
    codes: Float64Array.from(starts),
    positions: Float64Array.from(positions),
    slopes: Float64Array.from(slopes),
    end: count + 1,
  };
}

/** Returns the last segment that begins at or before a code, or -1. */
export function findSegment(segments: Segments, code: number): number {
  const { codes } = segments;
  let low = 0;
  let high = codes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (codes[middle]! <= code) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Returns the position at which a segment ends. */
export function segmentEnd(segments: Segments, segment: number): number {
  const { positions } = segments;
  return segment + 1 < positions.length ? positions[segment + 1]! : segments.end;
}

/** Returns the position of a code in its segment (`findSegment`), 0 without one. Never descends. */
export function predict(segments: Segments, segment: number, code: number): number {
  if (segment < 0) return 0;
  const { codes, positions, slopes } = segments;
  const position = positions[segment]! + slopes[segment]! * (code - codes[segment]!);
  const end = segmentEnd(segments, segment);
  return position < end ? position : end;
}
