/**
 * A contextual bandit that corrects the cost model: it learns by how much the model is off for the setting
 * in force, as a share, a linear function of what the workload asks and what the setting is, and prices
 * settings with that. Where it knows little it takes the lower end of what may be (LinUCB), as far as
 * exploring is wanted: a setting is tried because it may be better.
 *
 * It learns from stretches of windows under one setting, not from single ones: merges come in lumps, and the
 * mean of shares of lumps (of their logarithms even more) is not the share of means.
 *
 * Source: Li, Chu, Langford, Schapire, "A contextual-bandit approach", WWW 2010. The regression forgets
 * slowly, since machines change; what it was sure of beforehand, that the model is right, is not forgotten.
 */
import type { Random } from "@aura/base";
import { cheapest } from "./closed-form.ts";
import type { CostAnswer } from "./cost-model.ts";
import type { Situation, Strategy, Wish } from "./strategy.ts";
import { settingText, type TreeSetting } from "./tree-setting.ts";

/** Figures of a setting in its context. */
export const FEATURES = 10;
/** Weight of what is known beforehand: that the model is right. */
const RIDGE = 20;
/** Windows of a stretch. */
const STRETCH = 8;
/** What each stretch leaves of those before it. */
const MEMORY = 0.999 ** STRETCH;
/** Off by more than this, as a share of what was predicted, a stretch was something else. */
const OFF_MIN = -0.6;
const OFF_MAX = 2;
/** What the model says is corrected by no more than this. */
const CORRECTED_MIN = 0.7;
const CORRECTED_MAX = 1.5;
/** Optimism at an exploration rate of 1. */
const OPTIMISM = 3;

/** The strategy. */
export class BanditStrategy implements Strategy {
  readonly algorithm = "bandit";
  /** Sum of outer products of figures, by row, beside what is known; and the sum of figures times errors. */
  readonly #precision: Float64Array;
  readonly #vector: Float64Array;
  readonly #theta = new Float64Array(FEATURES);
  readonly #rate: number;
  /** The stretch under way: its setting, windows, seconds measured and predicted, sum of figures. */
  #setting = "";
  #windows = 0;
  #measured = 0;
  #predicted = 0;
  readonly #figures = new Float64Array(FEATURES);

  constructor(learningRate: number, weights?: Readonly<Record<string, readonly number[]>>) {
    this.#rate = learningRate;
    this.#precision = new Float64Array(FEATURES * FEATURES);
    this.#vector = new Float64Array(FEATURES);
    if (weights !== undefined) {
      this.#precision.set(weights["precision"]!);
      this.#vector.set(weights["vector"]!);
    }
    this.#solve();
  }

  get parameters(): Readonly<Record<string, readonly number[]>> {
    return {
      precision: this.#precision as unknown as readonly number[],
      vector: this.#vector as unknown as readonly number[],
    };
  }

  get state(): readonly number[] {
    return [this.#windows, this.#measured, this.#predicted, ...this.#figures];
  }

  /** A window; a stretch is weighted by the learning rate, 0.05 counting as its windows. */
  learn({ answer, measured, setting, age }: Situation): void {
    const name = settingText(setting);
    if (name !== this.#setting || age === 0) this.#begin(name);
    const x = featuresOf(answer, setting);
    for (let i = 0; i < FEATURES; i++) this.#figures[i]! += x[i]! / STRETCH;
    this.#measured += measured.total;
    this.#predicted += answer.total;
    if (++this.#windows < STRETCH) return;
    this.#learnFrom(this.#figures, this.#measured / this.#predicted - 1);
    this.#begin(name);
  }

  #begin(setting: string): void {
    this.#setting = setting;
    this.#windows = 0;
    this.#measured = 0;
    this.#predicted = 0;
    this.#figures.fill(0);
  }

  #learnFrom(x: Float64Array, off: number): void {
    const weight = this.#rate * 20 * STRETCH;
    if (weight === 0) return;
    const error = Math.min(OFF_MAX, Math.max(OFF_MIN, off));
    for (let i = 0; i < FEATURES; i++) {
      for (let j = 0; j < FEATURES; j++) {
        const at = i * FEATURES + j;
        this.#precision[at] = this.#precision[at]! * MEMORY + weight * x[i]! * x[j]!;
      }
      this.#vector[i] = this.#vector[i]! * MEMORY + weight * x[i]! * error;
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
    if (optimism > 0) spread = this.#spread(x);
    const factor = Math.min(CORRECTED_MAX, Math.max(CORRECTED_MIN, 1 + mean));
    return answer.total * factor * Math.exp(-optimism * Math.sqrt(spread));
  }

  /** Lower triangle of the root of the precision with what is known beforehand (Cholesky). */
  readonly #root = new Float64Array(FEATURES * FEATURES);

  #solve(): void {
    const root = this.#root;
    for (let i = 0; i < FEATURES; i++) {
      for (let j = 0; j <= i; j++) {
        let rest = this.#precision[i * FEATURES + j]! + (i === j ? RIDGE : 0);
        for (let k = 0; k < j; k++) rest -= root[i * FEATURES + k]! * root[j * FEATURES + k]!;
        // Rounded weights, or such that somebody made up, are as uncertain as nothing at the worst.
        root[i * FEATURES + j] =
          i === j ? Math.sqrt(Math.max(RIDGE / 2, rest)) : rest / root[j * FEATURES + j]!;
      }
    }
    this.#forward(this.#vector, this.#theta);
    for (let i = FEATURES - 1; i >= 0; i--) {
      let rest = this.#theta[i]!;
      for (let k = i + 1; k < FEATURES; k++) rest -= root[k * FEATURES + i]! * this.#theta[k]!;
      this.#theta[i] = rest / root[i * FEATURES + i]!;
    }
  }

  /** Solves root z = x. */
  #forward(x: Float64Array, z: Float64Array): void {
    const root = this.#root;
    for (let i = 0; i < FEATURES; i++) {
      let rest = x[i]!;
      for (let k = 0; k < i; k++) rest -= root[i * FEATURES + k]! * z[k]!;
      z[i] = rest / root[i * FEATURES + i]!;
    }
  }

  /** Returns the variance of the correction for these figures. */
  #spread(x: Float64Array): number {
    const z = new Float64Array(FEATURES);
    this.#forward(x, z);
    let sum = 0;
    for (const one of z) sum += one * one;
    return sum;
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
