/**
 * Lines through an ascending sequence: which stretches of it lie near a line, and which lines.
 *
 * Value i of the sequence is to be line(i) plus a small number of `width` bits. Wider numbers let a
 * line run on; each line costs `SEGMENT_BITS`. For several widths the sequence is cut greedily into
 * the longest stretches that a line fits (`LineFit`), and a shortest path over these stretches,
 * their beginnings and their ends gives the cheapest cut with mixed widths (Boffa, Ferragina,
 * Vinciguerra: "A learned approach to design compressed rank/select data structures", 2022, section
 * 5). Width 0 are stretches of equal distances, found exactly.
 *
 * Three fits. "optimal": the fewest stretches possible for a width (O'Rourke 1981), with the two
 * hulls of the PGM-index (Ferragina, Vinciguerra 2020). "cone": lines that begin at a value
 * (shrinking cone; Galakatos et al., FITing-Tree, 2019): up to twice the stretches, in less time.
 * "spline": lines from value to value, so that a stretch needs no slope (greedy spline corridor;
 * Neumann, Michel 2008; RadixSpline 2020). Cost: linear, times the number of widths.
 */

/** How stretches are found. */
export type FitMethod = "optimal" | "cone" | "spline";

/** Values [start, next start): floor(slope * (i - start)) + base + 0 to 2^width - 1. */
export interface Segment {
  readonly start: number;
  readonly slope: number;
  readonly base: number;
  readonly width: number;
}

/** What a segment costs in memory, bits: 33 bytes. */
const SEGMENT_BITS: number = 33 * 8;
/** Bits of a residual at most. */
export const WIDTH_MAX = 30;
/** Narrow widths are tried where they leave at most one stretch per so many values. */
const NARROW_VALUES_MIN = 12;
const NARROW_WIDTHS = [1, 3] as const;
/** With stretches of equal distances of this length on average, no other width is tried. */
const EVEN_VALUES_MIN = 100;
/** Values that tell whether narrow widths are worth a try. */
const SAMPLE = 256;
/** Narrower widths are tried until one alone would cost so much more than the best one. */
const COST_RISE_MAX = 1.1;

/**
 * Returns segments of the ascending integers `values` (below 2^53). No line is off by more than
 * `errorMax` where that can be. Empty for no values.
 */
export function fitSegments(values: Float64Array, errorMax: number, method: FitMethod): Segment[] {
  const count = values.length;
  if (count === 0) return [];
  const widest = Math.min(Math.max(Math.ceil(Math.log2(2 * errorMax + 1)), 1), WIDTH_MAX);
  const fit = new LineFit(count);
  if (method === "spline") return cheapestSpline(values, widest, fit);
  const widths = [0];
  const cuts = [cutEven(values)];
  // Blocks that were cut at even distances need no bits.
  if (cuts[0]!.length * EVEN_VALUES_MIN <= count)
    return segmentsOf(values, widths, cuts, method, fit);
  const sample = values.subarray(0, SAMPLE);
  for (const width of NARROW_WIDTHS) {
    if (width >= widest) continue;
    const stretches = cut(sample, width, method, fit).length;
    if (stretches * NARROW_VALUES_MIN > sample.length) continue;
    widths.push(width);
    cuts.push(cut(values, width, method, fit));
  }
  let least = Number.POSITIVE_INFINITY;
  for (let width = widest; width > 0 && !widths.includes(width); width -= 2) {
    const starts = cut(values, width, method, fit);
    widths.push(width);
    cuts.push(starts);
    const cost = starts.length * SEGMENT_BITS + count * width;
    if (cost > least * COST_RISE_MAX) break;
    least = Math.min(least, cost);
  }
  return segmentsOf(values, widths, cuts, method, fit);
}

function segmentsOf(
  values: Float64Array,
  widths: readonly number[],
  cuts: readonly Uint32Array[],
  method: FitMethod,
  fit: LineFit,
): Segment[] {
  const segments: Segment[] = [];
  for (const [start, end, width] of cheapestCuts(values.length, widths, cuts, method)) {
    segments.push(segmentOf(values, start, end, slopeOf(values, start, end, width, method, fit)));
  }
  return segments;
}

/** Returns where stretches of equal distances begin. */
function cutEven(values: Float64Array): Uint32Array {
  const starts: number[] = [];
  const count = values.length;
  for (let i = 0; i < count; ) {
    starts.push(i);
    const distance = i + 1 < count ? values[i + 1]! - values[i]! : 0;
    i++;
    while (i < count && values[i]! - values[i - 1]! === distance) i++;
  }
  return Uint32Array.from(starts);
}

function errorOf(width: number): number {
  return (2 ** width - 1) / 2;
}

/** Returns where the longest stretches begin that lines of a width fit. */
function cut(values: Float64Array, width: number, method: FitMethod, fit: LineFit): Uint32Array {
  const starts: number[] = [];
  const error = errorOf(width);
  let open = false;
  for (let i = 0; i < values.length; i++) {
    if (open && fit.add(i, values[i]!)) continue;
    starts.push(i);
    fit.begin(i, values[i]!, error, method);
    open = true;
  }
  return Uint32Array.from(starts);
}

/** Returns the cheapest way through stretches of several widths: start, end, width of each part. */
function cheapestCuts(
  count: number,
  widths: readonly number[],
  cuts: readonly Uint32Array[],
  method: FitMethod,
): [start: number, end: number, width: number][] {
  const cost = new Float64Array(count + 1).fill(Number.POSITIVE_INFINITY);
  const from = new Uint32Array(count + 1);
  const by = new Uint8Array(count + 1);
  const at = new Uint32Array(widths.length);
  cost[0] = 0;
  for (let i = 0; i < count; i++) {
    // Parts that end here: the beginnings of the stretches around.
    for (let w = 0; w < widths.length; w++) {
      const starts = cuts[w]!;
      let stretch = at[w]!;
      if (stretch + 1 < starts.length && starts[stretch + 1]! <= i) at[w] = ++stretch;
      const start = starts[stretch]!;
      if (start === i) continue;
      const price = cost[start]! + SEGMENT_BITS + (i - start) * widths[w]!;
      if (price < cost[i]!) {
        cost[i] = price;
        from[i] = start;
        by[i] = w;
      }
    }
    // Parts that begin here: the rests of those stretches. The rest of a cone needs another origin.
    for (let w = 0; w < widths.length; w++) {
      if (method === "cone" && w > 0 && cuts[w]![at[w]!]! !== i) continue;
      const starts = cuts[w]!;
      const end = at[w]! + 1 < starts.length ? starts[at[w]! + 1]! : count;
      const price = cost[i]! + SEGMENT_BITS + (end - i) * widths[w]!;
      if (price < cost[end]!) {
        cost[end] = price;
        from[end] = i;
        by[end] = w;
      }
    }
  }
  const parts: [number, number, number][] = [];
  for (let end = count; end > 0; end = from[end]!) {
    parts.push([from[end]!, end, widths[by[end]!]!]);
  }
  return parts.reverse();
}

function slopeOf(
  values: Float64Array,
  start: number,
  end: number,
  width: number,
  method: FitMethod,
  fit: LineFit,
): number {
  if (width === 0) return end - start > 1 ? values[start + 1]! - values[start]! : 0;
  fit.begin(start, values[start]!, errorOf(width), method);
  for (let i = start + 1; i < end; i++) fit.add(i, values[i]!);
  return fit.slope;
}

function segmentOf(values: Float64Array, start: number, end: number, slope: number): Segment {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = start; i < end; i++) {
    const off = values[i]! - Math.floor(slope * (i - start));
    if (off < low) low = off;
    if (off > high) high = off;
  }
  return { start, slope, base: low, width: Math.ceil(Math.log2(high - low + 1)) };
}

/** One width for all: the knots of a stretch are those of its neighbours too. */
function cheapestSpline(values: Float64Array, widest: number, fit: LineFit): Segment[] {
  let best: Segment[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (let width = widest; width >= 0; width--) {
    const starts = splineKnots(values, width === 0 ? 0 : errorOf(width), fit);
    const segments: Segment[] = [];
    let bits = starts.length * SEGMENT_BITS;
    for (let k = 0; k < starts.length; k++) {
      const start = starts[k]!;
      const end = starts[k + 1] ?? values.length;
      const segment = segmentOf(values, start, end, splineSlope(values, start, end));
      segments.push(segment);
      bits += segment.width * (end - start);
    }
    if (bits < least) {
      least = bits;
      best = segments;
    } else if (bits > least * COST_RISE_MAX && width > 1) width = 1;
  }
  return best;
}

/** Returns the slope of the line from value `start` to value `end`, or to the last one. */
function splineSlope(values: Float64Array, start: number, end: number): number {
  const last = Math.min(end, values.length - 1);
  return last > start ? (values[last]! - values[start]!) / (last - start) : 0;
}

/** Returns where lines begin that lead from value to value within `error`. */
function splineKnots(values: Float64Array, error: number, fit: LineFit): number[] {
  const starts = [0];
  const count = values.length;
  fit.begin(0, values[0]!, error, "cone");
  for (let i = 1; i < count; i++) {
    if (fit.reaches(i, values[i]!)) {
      fit.add(i, values[i]!);
      continue;
    }
    starts.push(i - 1);
    fit.begin(i - 1, values[i - 1]!, error, "cone");
    fit.add(i, values[i]!);
  }
  return starts;
}

/** Grows one line at a time. */
class LineFit {
  #isCone = false;
  #error = 0;
  #count = 0;
  #originX = 0;
  #originY = 0;
  /** Cone: slopes that fit. */
  #low = 0;
  #high = 0;
  /** Hulls, relative to the origin: the points above and below the values, first and last ones used. */
  readonly #upperX: Float64Array;
  readonly #upperY: Float64Array;
  readonly #lowerX: Float64Array;
  readonly #lowerY: Float64Array;
  #upperStart = 0;
  #upperEnd = 0;
  #lowerStart = 0;
  #lowerEnd = 0;
  /** The lines of least and greatest slope: from (0, 1) to (2, 3) and from (4, 5) to (6, 7). */
  readonly #extreme = new Float64Array(8);

  constructor(count: number) {
    this.#upperX = new Float64Array(count + 1);
    this.#upperY = new Float64Array(count + 1);
    this.#lowerX = new Float64Array(count + 1);
    this.#lowerY = new Float64Array(count + 1);
  }

  /** Begins a line at a value. */
  begin(x: number, y: number, error: number, method: FitMethod): void {
    this.#isCone = method !== "optimal";
    this.#error = error;
    this.#originX = x;
    this.#originY = y;
    this.#count = 1;
    this.#low = 0;
    this.#high = Number.POSITIVE_INFINITY;
    this.#upperStart = this.#lowerStart = 0;
    this.#upperEnd = this.#lowerEnd = 1;
    this.#upperX[0] = this.#lowerX[0] = 0;
    this.#upperY[0] = error;
    this.#lowerY[0] = -error;
    const e = this.#extreme;
    e[0] = e[4] = 0;
    e[1] = error;
    e[5] = -error;
  }

  /** Returns whether the straight line from the origin to a value passes near all values added. */
  reaches(x: number, y: number): boolean {
    const slope = (y - this.#originY) / (x - this.#originX);
    return slope >= this.#low && slope <= this.#high;
  }

  /** Adds the next value; returns false, with the line as it was, when no line fits it too. */
  add(x: number, y: number): boolean {
    const dx = x - this.#originX;
    const dy = y - this.#originY;
    return this.#isCone ? this.#addToCone(dx, dy) : this.#addToHulls(dx, dy);
  }

  /** A slope that fits all values added. */
  get slope(): number {
    if (this.#count === 1) return 0;
    if (this.#isCone) return (this.#low + this.#high) / 2;
    const e = this.#extreme;
    const low = (e[3]! - e[1]!) / (e[2]! - e[0]!);
    const high = (e[7]! - e[5]!) / (e[6]! - e[4]!);
    return Math.max((low + high) / 2, 0);
  }

  #addToCone(dx: number, dy: number): boolean {
    const low = Math.max(this.#low, (dy - this.#error) / dx);
    const high = Math.min(this.#high, (dy + this.#error) / dx);
    if (low > high) return false;
    this.#low = low;
    this.#high = high;
    this.#count++;
    return true;
  }

  #addToHulls(x: number, y: number): boolean {
    const e = this.#extreme;
    const above = y + this.#error;
    const below = y - this.#error;
    if (this.#count === 1) {
      e[2] = x;
      e[3] = below;
      e[6] = x;
      e[7] = above;
      this.#pushUpper(x, above);
      this.#pushLower(x, below);
      this.#count = 2;
      return true;
    }
    const lowX = e[2]! - e[0]!;
    const lowY = e[3]! - e[1]!;
    const highX = e[6]! - e[4]!;
    const highY = e[7]! - e[5]!;
    if ((above - e[3]!) * lowX < lowY * (x - e[2]!)) return false;
    if ((below - e[7]!) * highX > highY * (x - e[6]!)) return false;
    if ((above - e[5]!) * highX < highY * (x - e[4]!)) this.#lowerGreatest(x, above);
    if ((below - e[1]!) * lowX > lowY * (x - e[0]!)) this.#raiseLeast(x, below);
    this.#count++;
    return true;
  }

  /** The greatest slope falls: its line now ends at (x, y) and touches the lower hull. */
  #lowerGreatest(x: number, y: number): void {
    const hullX = this.#lowerX;
    const hullY = this.#lowerY;
    let best = this.#lowerStart;
    let bestX = x - hullX[best]!;
    let bestY = y - hullY[best]!;
    for (let i = best + 1; i < this.#lowerEnd; i++) {
      const dx = x - hullX[i]!;
      const dy = y - hullY[i]!;
      if (dy * bestX > bestY * dx) break;
      best = i;
      bestX = dx;
      bestY = dy;
    }
    const e = this.#extreme;
    e[4] = hullX[best]!;
    e[5] = hullY[best]!;
    e[6] = x;
    e[7] = y;
    this.#lowerStart = best;
    this.#pushUpper(x, y);
  }

  /** The least slope rises: its line now ends at (x, y) and touches the upper hull. */
  #raiseLeast(x: number, y: number): void {
    const hullX = this.#upperX;
    const hullY = this.#upperY;
    let best = this.#upperStart;
    let bestX = x - hullX[best]!;
    let bestY = y - hullY[best]!;
    for (let i = best + 1; i < this.#upperEnd; i++) {
      const dx = x - hullX[i]!;
      const dy = y - hullY[i]!;
      if (dy * bestX < bestY * dx) break;
      best = i;
      bestX = dx;
      bestY = dy;
    }
    const e = this.#extreme;
    e[0] = hullX[best]!;
    e[1] = hullY[best]!;
    e[2] = x;
    e[3] = y;
    this.#upperStart = best;
    this.#pushLower(x, y);
  }

  /** Adds a point to the hull of the points above: no corner of it points down. */
  #pushUpper(x: number, y: number): void {
    const hullX = this.#upperX;
    const hullY = this.#upperY;
    let end = this.#upperEnd;
    while (end >= this.#upperStart + 2 && turn(hullX, hullY, end, x, y) <= 0) end--;
    hullX[end] = x;
    hullY[end] = y;
    this.#upperEnd = end + 1;
  }

  #pushLower(x: number, y: number): void {
    const hullX = this.#lowerX;
    const hullY = this.#lowerY;
    let end = this.#lowerEnd;
    while (end >= this.#lowerStart + 2 && turn(hullX, hullY, end, x, y) >= 0) end--;
    hullX[end] = x;
    hullY[end] = y;
    this.#lowerEnd = end + 1;
  }
}

/** Cross product of the last edge of a hull and the way to a point: above 0 turns left. */
function turn(hullX: Float64Array, hullY: Float64Array, end: number, x: number, y: number): number {
  const fromX = hullX[end - 2]!;
  const fromY = hullY[end - 2]!;
  return (hullX[end - 1]! - fromX) * (y - fromY) - (hullY[end - 1]! - fromY) * (x - fromX);
}
