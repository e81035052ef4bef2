/**
 * A contextual bandit that corrects the cost model: per window it learns by how much the model is off
 * for the setting in force, as a linear function of what the workload asks and what the setting is, and
 * prices settings with that. Where it knows little it takes the lower end of what may be (LinUCB),
 * as far as exploring is wanted: a setting is tried because it may be better.
 *
 * Source: Li, Chu, Langford, Schapire, "A contextual-bandit approach", WWW 2010. The regression forgets
 * slowly, since machines change.
 */
import type { Random } from "@aura/base";
import { cheapest } from "./closed-form.ts";
import type { CostAnswer } from "./cost-model.ts";
import type { Situation, Strategy, Wish } from "./strategy.ts";
import type { TreeSetting } from "./tree-setting.ts";

/** Figures of a setting in its context. */
export const FEATURES = 10;
/** Weight of what is known beforehand: that the model is right. */
const RIDGE = 20;
/** What each window leaves of those before it. */
const MEMORY = 0.999;
/** Off by more than this, as a logarithm, a window was something else. */
const OFF_MAX = 1.5;
/** Optimism at an exploration rate of 1. */
const OPTIMISM = 3;

/** The strategy. */
export class BanditStrategy implements Strategy {
  readonly algorithm = "bandit";
  /** Inverse of the sum of outer products of figures, by row; and the sum of figures times errors. */
  readonly #inverse: Float64Array;
  readonly #vector: Float64Array;
  readonly #theta = new Float64Array(FEATURES);
  readonly #rate: number;

  constructor(learningRate: number, weights?: Readonly<Record<string, readonly number[]>>) {
    this.#rate = learningRate;
    this.#inverse = new Float64Array(FEATURES * FEATURES);
    for (let i = 0; i < FEATURES; i++) this.#inverse[i * FEATURES + i] = 1 / RIDGE;
    this.#vector = new Float64Array(FEATURES);
    if (weights !== undefined) {
      this.#inverse.set(weights["inverse"]!);
      this.#vector.set(weights["vector"]!);
    }
    this.#solve();
  }

  get parameters(): Readonly<Record<string, readonly number[]>> {
    return {
      inverse: this.#inverse as unknown as readonly number[],
      vector: this.#vector as unknown as readonly number[],
    };
  }

  get state(): readonly number[] {
    return [];
  }

  /** A window: weighted by the learning rate, 0.05 counting as one. */
  learn({ answer, measured, setting }: Situation): void {
    const weight = this.#rate * 20;
    if (weight === 0 || !(measured.total > 0)) return;
    const off = Math.log(measured.total / answer.total);
    const error = Math.min(OFF_MAX, Math.max(-OFF_MAX, off));
    const x = featuresOf(answer, setting);
    const root = Math.sqrt(weight);
    for (let i = 0; i < FEATURES; i++) x[i]! *= root;
    for (let i = 0; i < this.#inverse.length; i++) this.#inverse[i]! /= MEMORY;
    const product = this.#times(x);
    let scale = 1;
    for (let i = 0; i < FEATURES; i++) scale += x[i]! * product[i]!;
    for (let i = 0; i < FEATURES; i++) {
      for (let j = 0; j < FEATURES; j++) {
        this.#inverse[i * FEATURES + j]! -= (product[i]! * product[j]!) / scale;
      }
      // Forgetting leaves the prior: a figure that is never seen stays as uncertain as it was.
      const at = i * FEATURES + i;
      this.#inverse[at] = Math.min(this.#inverse[at]!, 1 / RIDGE);
      this.#vector[i] = this.#vector[i]! * MEMORY + x[i]! * error * root;
    }
    this.#solve();
  }

  choose(situation: Situation, _random: Random, explorationRate: number): Wish {
    const optimism = situation.mayExplore ? explorationRate * OPTIMISM : 0;
    const price = (setting: TreeSetting): number => {
      const answer = situation.allowed(setting);
      if (answer === undefined) return Number.POSITIVE_INFINITY;
      return this.#price(answer, setting, optimism);
    };
    const best = cheapest(situation.question, situation.choices, situation.setting, price);
    const keptSeconds = this.#price(situation.answer, situation.setting, 0);
    return { ...best, keptSeconds, isExploration: false };
  }

  #price(answer: CostAnswer, setting: TreeSetting, optimism: number): number {
    const x = featuresOf(answer, setting);
    let mean = 0;
    for (let i = 0; i < FEATURES; i++) mean += this.#theta[i]! * x[i]!;
    let spread = 0;
    if (optimism > 0) {
      const product = this.#times(x);
      for (let i = 0; i < FEATURES; i++) spread += x[i]! * product[i]!;
    }
    const off = Math.min(OFF_MAX, Math.max(-OFF_MAX, mean));
    return answer.total * Math.exp(off - optimism * Math.sqrt(Math.max(0, spread)));
  }

  #times(x: Float64Array): Float64Array {
    const product = new Float64Array(FEATURES);
    for (let i = 0; i < FEATURES; i++) {
      let sum = 0;
      for (let j = 0; j < FEATURES; j++) sum += this.#inverse[i * FEATURES + j]! * x[j]!;
      product[i] = sum;
    }
    return product;
  }

  #solve(): void {
    this.#theta.set(this.#times(this.#vector));
  }
}

function featuresOf(answer: CostAnswer, setting: TreeSetting): Float64Array {
  const { reads, scans, merges, total } = answer;
  const { runs, trigger } = setting;
  const first = Math.log(runs[0]!);
  const last = Math.log(runs.at(-1)!);
  let inner = 0;
  for (let i = 1; i < runs.length - 1; i++) inner += Math.log(runs[i]!);
  const merging = merges / total;
  const reading = (reads + scans) / total;
  const triggers = Math.log(trigger / 4);
  const x = new Float64Array(FEATURES);
  x[0] = 1;
  x[1] = merging;
  x[2] = reading;
  x[3] = triggers * merging;
  x[4] = triggers * reading;
  x[5] = first * merging;
  x[6] = first * reading;
  x[7] = (last + inner) * merging;
  x[8] = (last + inner) * reading;
  x[9] = scans / total;
  return x;
}
