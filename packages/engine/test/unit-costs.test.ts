import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import { CostFit } from "../src/unit-costs.ts";

/** Look-ups that ask 1 to 8 runs and search 0 to 2 blocks, with noise and pauses. */
function sampled(fit: CostFit, truth: readonly number[], count: number, seed: number): void {
  const random = new SeededRandom(seed);
  for (let i = 0; i < count; i++) {
    const runs = 1 + random.below(8);
    const blocks = random.below(3);
    const noise = 0.7 + random.below(600) / 1000;
    const pause = random.below(100) === 0 ? 200 : 1;
    const seconds = truth[0]! + runs * truth[1]! + blocks * truth[2]!;
    fit.add(seconds * noise * pause, 1, runs, blocks);
  }
}

test("units are told apart, through noise and pauses", () => {
  const truth = [1e-6, 2e-7, 3e-6];
  const fit = new CostFit([5e-7, 5e-7, 5e-7]);
  sampled(fit, truth, 4000, 1);
  const weights = fit.weights!;
  for (const [i, weight] of weights.entries()) {
    expect(weight / truth[i]!, `unit ${i}`).toBeGreaterThan(0.7);
    expect(weight / truth[i]!, `unit ${i}`).toBeLessThan(1.4);
  }
});

test("what has changed is known after a thousand samples", () => {
  const fit = new CostFit([1e-6, 1e-6, 1e-6]);
  sampled(fit, [1e-6, 2e-7, 3e-6], 2000, 1);
  sampled(fit, [1e-6, 2e-7, 9e-6], 2000, 2);
  expect(fit.weights![2]! / 9e-6).toBeGreaterThan(0.8);
});

test("nothing is known of few samples, a unit that never varies stays near its guess", () => {
  const fit = new CostFit([1e-6, 3e-6]);
  expect(fit.weights).toBeUndefined();
  for (let i = 0; i < 15; i++) fit.add(4e-6, 1, 1);
  expect(fit.weights).toBeUndefined();
  for (let i = 0; i < 500; i++) fit.add(4e-6, 1, 1);
  const [base, unit] = fit.weights!;
  expect(base! + unit!).toBeCloseTo(4e-6, 8);
  expect(base!).toBeGreaterThan(0.5e-6);
  expect(unit!).toBeGreaterThan(2e-6);
});

test("no weight is negative, and the same samples give the same weights", () => {
  const make = (): readonly number[] => {
    const fit = new CostFit([1, 1]);
    const random = new SeededRandom(3);
    for (let i = 0; i < 300; i++) {
      const units = random.below(10);
      fit.add(Math.max(0, 10 - units), 1, units);
    }
    return fit.weights!;
  };
  const weights = make();
  expect(Math.min(...weights)).toBeGreaterThanOrEqual(0);
  expect(make()).toEqual(weights);
});
