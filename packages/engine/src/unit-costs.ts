/**
 * What one unit of work takes, from samples of operations that took several units of several kinds: the
 * weights of a sum, all of them 0 or more, that fits the samples best (least squares).
 *
 * Sums are kept, no samples. They fade: about the last `MEMORY` samples count. A sample that took several
 * times what is expected (a pause of the collector, a thread that had to wait) counts as `OUTLIER` times
 * that. Guesses weigh as much as `PRIOR` samples, so that a unit that never varies stays near its guess.
 * The same samples give the same weights.
 */
const MEMORY = 512;
const OUTLIER = 4;
const PRIOR = 4;
/** Fewer samples are no measurement. */
const SAMPLES_MIN = 16;
/** Rounds of the solver at most, and what change of a weight, as a share, ends it. */
const ROUNDS = 64;
const STILL = 1e-4;
/** Samples from one run of the solver to the next. */
const SOLVED_EVERY = 128;

/** Estimates what units cost. */
export class CostFit {
  readonly #guesses: readonly number[];
  /** Sums of products of units, of units and results. Row by row. */
  readonly #products: Float64Array;
  readonly #results: Float64Array;
  #weights: Float64Array;
  /** Samples taken, and as many of them as have not faded. */
  #added = 0;
  #samples = 0;
  #isFresh = true;

  /** `guesses`: what each kind of unit costs, as long as nothing is known. */
  constructor(guesses: readonly number[]) {
    this.#guesses = guesses;
    this.#products = new Float64Array(guesses.length ** 2);
    this.#results = new Float64Array(guesses.length);
    this.#weights = Float64Array.from(guesses);
  }

  /** Adds a sample: what it took, and how many units of each kind. */
  add(result: number, ...units: readonly number[]): void {
    const count = units.length;
    const expected = this.#added < SAMPLES_MIN ? result : this.#expect(units);
    const taken = expected > 0 ? Math.min(result, OUTLIER * expected) : result;
    const fade = 1 - 1 / MEMORY;
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < count; k++) {
        const at = i * count + k;
        this.#products[at] = this.#products[at]! * fade + units[i]! * units[k]!;
      }
      this.#results[i] = this.#results[i]! * fade + units[i]! * taken;
    }
    this.#samples = this.#samples * fade + 1;
    this.#isFresh = false;
    if (++this.#added === SAMPLES_MIN || this.#added % SOLVED_EVERY === 0) this.#solved();
  }

  /** What a unit of each kind takes; undefined as long as there are too few samples. */
  get weights(): readonly number[] | undefined {
    return this.#added < SAMPLES_MIN ? undefined : [...this.#solved()];
  }

  #expect(units: readonly number[]): number {
    const weights = this.#weights;
    return units.reduce((sum, unit, i) => sum + unit * weights[i]!, 0);
  }

  /** Descends one weight after the other, none below 0: the sums are those of a convex function. */
  #solved(): Float64Array {
    if (this.#isFresh) return this.#weights;
    const count = this.#guesses.length;
    const weights = Float64Array.from(this.#guesses);
    let isStill = false;
    for (let round = 0; round < ROUNDS && !isStill; round++) {
      isStill = true;
      for (let i = 0; i < count; i++) {
        const own = this.#products[i * count + i]!;
        const prior = (own * PRIOR) / this.#samples;
        if (own === 0) continue;
        let rest = this.#results[i]! + prior * this.#guesses[i]!;
        for (let k = 0; k < count; k++) {
          if (k !== i) rest -= this.#products[i * count + k]! * weights[k]!;
        }
        const weight = Math.max(0, rest / (own + prior));
        if (Math.abs(weight - weights[i]!) > STILL * weight) isStill = false;
        weights[i] = weight;
      }
    }
    this.#weights = weights;
    this.#isFresh = true;
    return weights;
  }
}
