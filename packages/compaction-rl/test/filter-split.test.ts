/** How filter bits are split over levels: the whole budget, no more, and the same gain everywhere. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type CostQuestion, monkeyBits } from "../src/cost-model.ts";
import { filterSplit } from "../src/filter-split.ts";
import { TYPICAL_COSTS } from "../src/window-seconds.ts";

const LN2_SQUARED = Math.LN2 ** 2;

test("the sum of rates is least: nothing is gained by moving bits from one level to another", () => {
  const level = fc.record({
    entries: fc.oneof(fc.constant(0), fc.double({ min: 1, max: 1e9, noNaN: true })),
    runs: fc.integer({ min: 0, max: 20 }),
    weight: fc.double({ min: 0.01, max: 1, noNaN: true }),
  });
  const levels = fc.array(level, { minLength: 1, maxLength: 8 });
  const budget = fc.double({ min: 1, max: 24, noNaN: true });
  fc.assert(
    fc.property(levels, budget, fc.boolean(), (all, bits, isWeighted) => {
      const entries = all.map((one) => one.entries);
      const runs = all.map((one) => one.runs);
      const weights = isWeighted ? all.map((one) => one.weight) : undefined;
      const split = monkeyBits(entries, runs, bits, weights);
      const keys = entries.reduce((sum, n) => sum + n, 0);
      const used = split.reduce((sum, one, i) => sum + one * entries[i]!, 0);
      const most = Math.max(20, bits);
      const least = Math.min(isWeighted ? 1 : 4, bits);
      const filled = split.filter((_, i) => entries[i]! > 0);
      expect(used).toBeLessThanOrEqual(keys * (bits + 1e-5));
      if (filled.some((one) => one < most)) expect(used).toBeGreaterThan(keys * (bits - 1e-3));
      // What a bit more for a level's keys saves, per bit of memory.
      const gains = split.flatMap((one, i) => {
        if (entries[i] === 0 || one <= least || one >= most) return [];
        const asked = Math.max(1, runs[i]!) * (weights?.[i] ?? 1);
        return [Math.log(asked / entries[i]!) - one * LN2_SQUARED];
      });
      for (const gain of gains) expect(gain).toBeCloseTo(gains[0]!, 6);
    }),
    { numRuns: 300, seed: 11 },
  );
});

function question(absent: number, hitShares: readonly number[]): CostQuestion {
  const workload = { reads: 1000, absentReads: 1000 * absent, scans: 0, scanEntries: 0, writes: 0 };
  const values = { flushedBytes: 1e6, separatedBytes: 0, valueReads: 0, sizes: [] };
  return {
    profile: {
      base: 5,
      targets: [4e6, 40e6],
      runs: [1, 1],
      tableBytes: [1e6, 1e6],
      entryBytes: 100,
      flushBytes: 1e6,
      hitShares,
    },
    workload: { ...workload, ...values },
    costs: TYPICAL_COSTS,
    filters: { bits: 5, allocation: "monkey" },
    horizonBytes: 0,
  };
}

test("a last level that holds every answer gives its bits away; one that is asked in vain keeps them", () => {
  const found = filterSplit(question(0, [0, 0, 1]), [2, 1, 1])!;
  const absent = filterSplit(question(1, [0, 0, 1]), [2, 1, 1])!;
  const even = monkeyBits([20_000, 40_000, 400_000], [2, 1, 1], 5).slice(1);
  expect(absent).toEqual(even.map((bits) => Math.round(bits)));
  expect(found[0]).toBeGreaterThan(absent[0]!);
  expect(found.at(-1)).toBeLessThan(absent.at(-1)!);
  expect(
    filterSplit({ ...question(0, [1]), filters: { bits: 0, allocation: "monkey" } }, [1]),
  ).toBe(undefined);
});
