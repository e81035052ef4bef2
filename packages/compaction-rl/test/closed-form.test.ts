import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import {
  closedFormSetting,
  descend,
  optimalRuns,
  priceByModel,
  propagatedRuns,
} from "../src/closed-form.ts";
import type { CostQuestion } from "../src/cost-model.ts";
import { choicesOf, type TreeSetting } from "../src/tree-setting.ts";
import { TYPICAL_COSTS } from "../src/window-seconds.ts";

const choices = choicesOf({ fanout: 10 });

function questionOf(random: SeededRandom): CostQuestion {
  const between = (min: number, max: number): number =>
    min + (random.below(1001) / 1000) * (max - min);
  const base = 4 * 2 ** 20;
  const reads = between(0, 20_000);
  const writes = between(100, 20_000);
  return {
    profile: {
      base: 4,
      targets: [base, base * between(2, 10), base * between(20, 100)],
      runs: [1, 1, 1],
      tableBytes: [base / 4, base / 4, base],
      entryBytes: 120,
      flushBytes: 2 ** 20,
      hitShares: [0.05, 0.05, 0.1, 0.8],
    },
    workload: {
      reads,
      absentReads: reads * between(0, 1),
      scans: between(0, 2000),
      scanEntries: 10_000,
      writes,
      separatedBytes: 0,
      valueReads: 0,
      sizes: [],
      flushedBytes: writes * 140,
    },
    costs: TYPICAL_COSTS,
    filters: { bits: 10, allocation: "monkey" },
    horizonBytes: Number.POSITIVE_INFINITY,
  };
}

test("K* is where brute force finds the least cost of a level", () => {
  const random = new SeededRandom(1);
  for (let i = 0; i < 200; i++) {
    const fanout = 2 + random.below(18);
    const mergeSeconds = (1 + random.below(1000)) / 1000;
    const runSeconds = (1 + random.below(1000)) / 1000;
    const cost = (k: number): number =>
      ((k + 1) / 2) * runSeconds + ((fanout / k + 1) / 2) * mergeSeconds;
    let best = 1;
    for (let k = 1; k <= fanout; k += 0.001) if (cost(k) < cost(best)) best = k;
    expect(optimalRuns(fanout, mergeSeconds, runSeconds)).toBeCloseTo(best, 1);
  }
  expect(optimalRuns(10, 1, 0)).toBe(10);
  expect(optimalRuns(10, 0, 1)).toBe(1);
});

test("Lemma 5.1 is the closed form of levels whose false positives grow by the fanout", () => {
  const fanout = 10;
  const k = [0, 1, 2].map((level) => optimalRuns(fanout, 1, 0.12 + 0.002 * fanout ** level));
  expect(propagatedRuns(k[0]!, k[1]!, fanout)).toBeCloseTo(k[2]!, 9);
  // The example of the paper: (9, 7) gives 3, then 1.
  expect(Math.round(propagatedRuns(9, 7, fanout))).toBe(3);
  expect(Math.round(propagatedRuns(7, propagatedRuns(9, 7, fanout), fanout))).toBe(1);
  // Uniform filters: the same K everywhere.
  expect(propagatedRuns(4, 4, fanout)).toBeCloseTo(4, 9);
  expect(propagatedRuns(2, 9, fanout)).toBe(fanout);
});

test("the descent finds what brute force over the cost model finds, within a hundredth", () => {
  const random = new SeededRandom(2);
  let worst = 0;
  for (let i = 0; i < 100; i++) {
    const question = questionOf(random);
    const price = priceByModel(question);
    const found = descend(closedFormSetting(question, choices), choices, price);
    expect(found.seconds).toBe(price(found.setting));
    worst = Math.max(worst, found.seconds / bruteForce(price) - 1);
  }
  expect(worst).toBeLessThan(0.01);
});

function bruteForce(price: (setting: TreeSetting) => number): number {
  let least = Number.POSITIVE_INFINITY;
  for (const trigger of choices.triggers) {
    for (const a of choices.runs) {
      for (const b of choices.runs) {
        for (const c of choices.runs) {
          least = Math.min(least, price({ trigger, runs: [a, b, c] }));
        }
      }
    }
  }
  return least;
}
