import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import { Trial, type TrialSettings } from "../src/index.ts";

const settings: TrialSettings = {
  blockWindows: 4,
  leadWindows: 1,
  confidence: 0.95,
  windowsMax: 128,
};

/** Runs a trial to its end; `b` takes `factor` times as long as `a`, and the workload drifts. */
function ended(seed: number, factor: number): Trial["verdict"] {
  const random = new SeededRandom(seed);
  const trial = new Trial(settings);
  for (let i = 0; i < 2000; i++) {
    const noise = 0.9 + (random.below(1001) / 1000) * 0.2;
    const drift = 1 + i / 10_000;
    const verdict = trial.note(noise * drift * (trial.turn === "b" ? factor : 1));
    if (verdict.winner !== undefined) return verdict;
  }
  throw new Error("it did not end");
}

test("finds what is better, and says how sure it is", () => {
  for (let seed = 1; seed <= 20; seed++) {
    expect(ended(seed, 0.9).winner).toBe("b");
    expect(ended(seed, 1.1).winner).toBe("a");
    expect(ended(seed, 1.1).confidence).toBeGreaterThan(0.95);
  }
});

test("keeps neither of two that are the same, but for as much doubt as is allowed", () => {
  let wrong = 0;
  for (let seed = 1; seed <= 200; seed++) if (ended(seed, 1).winner !== "none") wrong++;
  expect(wrong / 200).toBeLessThan(0.1);
});

test("takes turns so that both see early and late windows, and leaves out what is no number", () => {
  const trial = new Trial(settings);
  let turns = "";
  for (let i = 0; i < 32; i++) {
    if (i % 4 === 0) turns += trial.turn;
    trial.note(Number.NaN);
  }
  expect(turns).toBe("abbaabba");
  expect(trial.verdict.winner).toBe(undefined);
});
