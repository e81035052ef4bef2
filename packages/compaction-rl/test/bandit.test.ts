/** The correction of the cost model: it finds a factor, and it never leaves its bounds, however long it learns. */
import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import { BanditStrategy } from "../src/bandit-strategy.ts";
import type { Situation } from "../src/strategy.ts";

/** A window of a workload with one setting, that takes `factor` times what the model says. */
function windowOf(merging: number, runs: number, factor: number): Situation {
  const answer = { reads: 1 - merging, scans: 0, merges: merging, total: 1 };
  const setting = { trigger: 4, runs: [runs, runs, runs] };
  const measured = { total: factor };
  return { answer, setting, measured, age: 1, mayExplore: false } as unknown as Situation;
}

/** Returns what it thinks that the window takes. */
function priced(bandit: BanditStrategy, situation: Situation): number {
  const choices = { triggers: [4], runs: [1] };
  const profile = { targets: [1], flushBytes: 1 };
  const question = { profile, workload: {}, costs: {}, filters: { bits: 0 } };
  const asked = { ...situation, question, choices, allowed: () => undefined };
  return bandit.choose(asked as unknown as Situation, new SeededRandom(1), 0).keptSeconds;
}

test("finds how far the model is off, by setting, from lumps as well as from even windows", () => {
  for (const isLumpy of [false, true]) {
    const bandit = new BanditStrategy(0.05);
    for (let i = 0; i < 4000; i++) {
      const runs = Math.floor(i / 40) % 2 === 0 ? 1 : 9;
      const off = runs === 1 ? 1 : 1.3;
      // Merges in lumps: nothing in three windows, all of it in the fourth.
      const lump = isLumpy ? (i % 4 === 3 ? off + 1.8 : off - 0.6) : off;
      bandit.learn(windowOf(0.5, runs, lump));
    }
    expect(priced(bandit, windowOf(0.5, 1, 1))).toBeCloseTo(1, 1);
    expect(priced(bandit, windowOf(0.5, 9, 1))).toBeCloseTo(1.3, 1);
  }
});

test("figures that hardly vary for ever do not make it grow without end", () => {
  const bandit = new BanditStrategy(0.05);
  const random = new SeededRandom(3);
  for (let i = 0; i < 100_000; i++) {
    bandit.learn(windowOf(0.5 + random.below(100) * 1e-6, 1, 0.9 + random.below(100) / 500));
  }
  for (const values of Object.values(bandit.parameters)) {
    for (const value of values) expect(Math.abs(value)).toBeLessThan(1e4);
  }
  // What it has never seen it leaves about as the model says.
  expect(priced(bandit, windowOf(0.5, 9, 1))).toBeGreaterThan(0.7);
  expect(priced(bandit, windowOf(0.5, 9, 1))).toBeLessThan(1.5);
});
