/**
 * The best shape in closed form.
 *
 * A level of target T times the one above, with K runs, costs per window
 *   f(K) = (K + 1) / 2 * R + (T / K + 1) / 2 * W
 * with R = seconds that all look-ups and scans of a window take for one more run there, and W = seconds
 * to merge the bytes of a window once. So K* = sqrt(T W / R), clamped to [1, T]. With Monkey the rate of
 * false positives grows T times per level, so that R_i = a T^(i-1) + b, 1 / K_i^2 is of that form too,
 * and three levels that follow each other have
 *   1 / K_3^2 - 1 / K_2^2 = T (1 / K_2^2 - 1 / K_1^2),
 * which is Lemma 5.1 of RusKey (Mo, Chen, Luo, Shan, SIGMOD 2024); with the same rate everywhere K is
 * the same everywhere. Likewise for the trigger of level 0: n memtables are merged with a base level of
 * b memtables, (n - 1) / 2 R + (b / n) W, so n* = sqrt(2 b W / R).
 *
 * Where the whole numbers that may be chosen lie apart, and where levels depend on each other, the
 * cost model (cost-model.ts) decides between neighbours: a descent along one coordinate after another.
 */
import { type CostAnswer, type CostQuestion, predictedCost } from "./cost-model.ts";
import { type Choices, nearestIndex, sketchOf, type TreeSetting } from "./tree-setting.ts";

const LN2_SQUARED = Math.LN2 ** 2;
const SWEEPS_MAX = 4;
/**
 * The model is off by a few per cent, and a search among hundreds of settings finds where: levels of different
 * K have to save more than that.
 */
const UNEVEN_GAIN = 0.04;

/** Returns K* = sqrt(fanout * mergeSeconds / runSeconds), in [1, fanout]. */
export function optimalRuns(fanout: number, mergeSeconds: number, runSeconds: number): number {
  if (!(runSeconds > 0)) return mergeSeconds > 0 ? fanout : 1;
  return Math.min(fanout, Math.max(1, Math.sqrt((fanout * mergeSeconds) / runSeconds)));
}

/** Returns K of the level below two with K1 and K2 (Lemma 5.1), in [1, fanout]. */
export function propagatedRuns(k1: number, k2: number, fanout: number): number {
  const inverse = 1 / k2 ** 2 + fanout * (1 / k2 ** 2 - 1 / k1 ** 2);
  if (!(inverse > 0)) return fanout;
  return Math.min(fanout, Math.max(1, 1 / Math.sqrt(inverse)));
}

/** Returns where the closed form puts trigger and runs, as indexes of the choices. */
export function closedFormSetting(question: CostQuestion, choices: Choices): TreeSetting {
  const { profile, workload, costs, filters } = question;
  const { targets, flushBytes } = profile;
  const mergeSeconds = workload.flushedBytes * costs.mergedByte;
  const last = targets.at(-1)!;
  const uniform = filters.bits === 0 ? 1 : Math.exp(-filters.bits * LN2_SQUARED);
  const runSeconds = (bytes: number): number => {
    // With Monkey a run's rate is in proportion to its keys, and that of the last level is about uniform.
    const rate = filters.allocation === "monkey" ? (uniform * bytes) / last : uniform;
    return (
      workload.reads * (costs.probe + Math.min(1, rate) * costs.blockRead) +
      workload.scans * costs.seek
    );
  };
  let above = flushBytes;
  const runs = targets.map((bytes) => {
    const fanout = Math.max(1, bytes / above);
    above = bytes;
    const best = optimalRuns(fanout, mergeSeconds, runSeconds(bytes));
    return choices.runs[nearestIndex(choices.runs, best)]!;
  });
  const perRun = runSeconds(flushBytes);
  const baseMemtables = targets[0]! / flushBytes;
  const trigger = perRun > 0 ? Math.sqrt((2 * baseMemtables * mergeSeconds) / perRun) : Infinity;
  const wanted = Math.min(Math.max(trigger, 1), 100);
  return { trigger: choices.triggers[nearestIndex(choices.triggers, wanted)]!, runs };
}

/** A setting and what it is predicted to cost. */
export interface PricedSetting {
  readonly setting: TreeSetting;
  readonly seconds: number;
}

/** Prices a setting, seconds per window; Infinity: it may not be chosen. */
export type Pricing = (setting: TreeSetting) => number;

/** Returns the cheapest setting that a descent from `start` finds. */
export function descend(start: TreeSetting, choices: Choices, priceOf: Pricing): PricedSetting {
  let best = { setting: start, seconds: priceOf(start) };
  for (let sweep = 0; sweep < SWEEPS_MAX; sweep++) {
    const before = best;
    for (let place = 0; place <= start.runs.length; place++) {
      const values = place === 0 ? choices.triggers : choices.runs;
      for (const value of values) {
        const setting = withValue(best.setting, place, value);
        const seconds = priceOf(setting);
        if (seconds < best.seconds) best = { setting, seconds };
      }
    }
    if (best === before) break;
  }
  return best;
}

/**
 * Returns the cheapest setting that descents from here, from the closed form, and from the best with the
 * same K everywhere find, or that last one where they save little more. Every setting is priced once.
 */
export function cheapest(
  question: CostQuestion,
  choices: Choices,
  here: TreeSetting,
  priceOf: Pricing,
): PricedSetting {
  const known = new Map<string, number>();
  const price = (setting: TreeSetting): number => {
    const key = `${setting.trigger},${setting.runs.join()}`;
    let seconds = known.get(key);
    if (seconds === undefined) {
      seconds = priceOf(setting);
      known.set(key, seconds);
    }
    return seconds;
  };
  const even = bestEven(here, choices, price);
  let best = descend(here, choices, price);
  for (const start of [closedFormSetting(question, choices), even.setting]) {
    const found = descend(start, choices, price);
    if (found.seconds < best.seconds) best = found;
  }
  return best.seconds < even.seconds * (1 - UNEVEN_GAIN) ? best : even;
}

/** Returns the cheapest setting with the same K in all levels: what depends on each other moves together. */
function bestEven(here: TreeSetting, choices: Choices, price: Pricing): PricedSetting {
  let best = { setting: here, seconds: Number.POSITIVE_INFINITY };
  for (const trigger of choices.triggers) {
    for (const k of choices.runs) {
      const setting = { trigger, runs: here.runs.map(() => k) };
      const seconds = price(setting);
      if (seconds < best.seconds) best = { setting, seconds };
    }
  }
  return best;
}

/** Returns a setting with another value: place 0 is the trigger, i the i-th level. */
function withValue(setting: TreeSetting, place: number, value: number): TreeSetting {
  if (place === 0) return { trigger: value, runs: setting.runs };
  const runs = setting.runs.slice();
  runs[place - 1] = value;
  return { trigger: setting.trigger, runs };
}

/** Returns the seconds per window that the cost model says. */
export function priceByModel(question: CostQuestion): Pricing {
  return (setting) => answerFor(question, setting).total;
}

/** Returns what the cost model says of a setting. */
export function answerFor(question: CostQuestion, setting: TreeSetting): CostAnswer {
  return predictedCost(question, sketchOf(setting, question.profile.base));
}
