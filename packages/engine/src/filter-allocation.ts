/**
 * How many filter bits the keys of each level get, for a total that is given (Dayan, Athanassoulis
 * and Idreos 2017, "Monkey: optimal navigable key-value store", section 4.1).
 *
 * A look-up of a key that is nowhere asks every run, so what it costs is the sum of all runs'
 * false-positive rates. The sum is least where one more bit saves the same everywhere: with rates
 * exp(-bits ln(2)^2), where the rate of a level is in proportion to its keys per run. Small levels get
 * far better filters for next to nothing. Within bounds the same holds for those that are not at one.
 */

/** A level as the allocation sees it. */
export interface FilterLevel {
  /** Keys that it holds. */
  readonly entries: number;
  /** Runs that a look-up asks. */
  readonly runs: number;
}

/** Least bits of a level, if the average is not less; most, behind which nothing is gained. */
const BITS_MIN = 4;
const BITS_MAX = 20;
const LN2_SQUARED = Math.LN2 ** 2;
/** Halvings of an interval of about 2000: far below a hundredth of a bit. */
const STEPS = 48;

/**
 * Returns the bits per key of each level, 0 for one without keys: on average over all keys
 * `bitsPerKey` (bits of a Bloom filter), and with the least sum of false-positive rates, each
 * counted as often as its level has runs.
 */
export function allocateFilterBits(
  levels: readonly FilterLevel[],
  bitsPerKey: number,
): Float64Array {
  const least = Math.min(BITS_MIN, bitsPerKey);
  const most = Math.max(BITS_MAX, bitsPerKey);
  const keys = levels.reduce((sum, { entries }) => sum + entries, 0);
  // The multiplier of the constraint, as a logarithm: the larger, the fewer bits.
  let low = -1000;
  let high = 1000;
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2;
    let bits = 0;
    for (const level of levels) bits += level.entries * bitsOf(level, middle, least, most);
    if (bits > keys * bitsPerKey) low = middle;
    else high = middle;
  }
  return Float64Array.from(levels, (level) =>
    level.entries > 0 ? bitsOf(level, high, least, most) : 0,
  );
}

function bitsOf(
  { entries, runs }: FilterLevel,
  multiplier: number,
  least: number,
  most: number,
): number {
  if (entries === 0) return 0;
  const bits = -(multiplier + Math.log(entries / Math.max(runs, 1))) / LN2_SQUARED;
  return Math.min(Math.max(bits, least), most);
}
