import { FilterKind, filterRate } from "@aura/sst";
import { describe, expect, test } from "vitest";
import { allocateFilterBits, type FilterLevel } from "../src/filter-allocation.ts";
import { resolveSettings, type Settings } from "../src/settings.ts";
import { type OutputTarget, planTable } from "../src/table-plan.ts";
import { LEVEL_COUNT_MAX, type TableMeta, Version } from "../src/version.ts";

/** Levels of a tree that is full: each `fanout` times as large as the one above. */
function fullTree(fanout: number, runs: readonly number[]): FilterLevel[] {
  return runs.map((count, i) => ({ entries: 1e6 * fanout ** i, runs: count }));
}

function average(levels: readonly FilterLevel[], bits: ArrayLike<number>): number {
  const keys = levels.reduce((sum, { entries }) => sum + entries, 0);
  return levels.reduce((sum, { entries }, i) => sum + entries * bits[i]!, 0) / keys;
}

/** False positives of a look-up of an absent key, with the rates that Monkey reckons with. */
function falsePositives(levels: readonly FilterLevel[], bits: ArrayLike<number>): number {
  return levels.reduce((sum, { runs }, i) => sum + runs * Math.exp(-bits[i]! * Math.LN2 ** 2), 0);
}

describe("filter bits by level", () => {
  test.each([
    [[1, 1, 1, 1], 0.0329, 0.0117],
    [[3, 3, 3, 1], 0.082, 0.0131],
    [[9, 9, 9, 1], 0.23, 0.0146],
  ])("of levels with %j runs: the sum of false positives", (runs, uniform, least) => {
    const levels = fullTree(10, runs);
    const bits = allocateFilterBits(levels, 10);
    expect(average(levels, bits)).toBeCloseTo(10, 3);
    expect(falsePositives(levels, [10, 10, 10, 10])).toBeCloseTo(uniform, 2);
    // The most bits that a level gets cost a little of the optimum.
    expect(falsePositives(levels, bits)).toBeLessThan(least * 1.1);
  });

  test("no other split of the same bits is better", () => {
    const levels = fullTree(7, [4, 2, 2, 1]);
    for (const average of [5, 8, 12]) {
      const bits = allocateFilterBits(levels, average);
      const least = falsePositives(levels, bits);
      for (let from = 0; from < 4; from++) {
        for (let to = 0; to < 4; to++) {
          const moved = Float64Array.from(bits);
          const amount = 10_000;
          moved[from]! -= amount / levels[from]!.entries;
          moved[to]! += amount / levels[to]!.entries;
          if (moved[from]! < Math.min(4, average) || moved[to]! > 20) continue;
          expect(falsePositives(levels, moved)).toBeGreaterThanOrEqual(least - 1e-9);
        }
      }
    }
  });

  test("stay within bounds, and empty levels get none", () => {
    const levels = [
      { entries: 10, runs: 4 },
      { entries: 0, runs: 0 },
      { entries: 1e9, runs: 1 },
    ];
    const bits = allocateFilterBits(levels, 10);
    expect(bits[0]).toBe(20);
    expect(bits[1]).toBe(0);
    expect(bits[2]).toBeCloseTo(10, 5);
    expect([...allocateFilterBits(levels, 2)][2]).toBeCloseTo(2, 5);
    expect([...allocateFilterBits([], 10)]).toEqual([]);
    expect([...allocateFilterBits([{ entries: 5, runs: 1 }], 0)]).toEqual([0]);
    expect(allocateFilterBits([{ entries: 5, runs: 1 }], 32)[0]).toBe(32);
  });
});

/** A tree with so many entries in one run of each level. */
function treeOf(entries: readonly number[]): Version {
  const levels = Array.from({ length: LEVEL_COUNT_MAX }, (_, i) => {
    const entryCount = entries[i] ?? 0;
    const tables = [{ entryCount } as TableMeta];
    return { runs: entryCount === 0 ? [] : [{ id: i, tables }] };
  });
  return new Version(1, levels, new Map(), 0);
}

describe("plan of a table", () => {
  const plan = (
    table: Settings["table"],
    entries: readonly number[],
    target: OutputTarget | undefined,
  ): ReturnType<typeof planTable> =>
    planTable(resolveSettings({ table: table ?? {} }), treeOf(entries), target);

  test("the first table of a tree has the average; later ones of small levels have more", () => {
    expect(plan({}, [], { level: 0, entries: 1000 }).bloomBitsPerKey).toBeCloseTo(10, 5);
    const full = [4e5, 4e6, 4e7];
    const upper = plan({}, full, { level: 0, entries: 1e5 });
    const middle = plan({}, full, { level: 1, entries: 4e5 });
    const deepest = plan({}, full, { level: 2, entries: 4e6 });
    expect(upper.bloomBitsPerKey).toBeGreaterThan(middle.bloomBitsPerKey + 3);
    expect(middle.bloomBitsPerKey).toBeGreaterThan(deepest.bloomBitsPerKey + 3);
    expect(deepest.bloomBitsPerKey).toBeGreaterThan(9);
    expect(filterRate(deepest.bloomBitsPerKey)).toBeLessThan(0.0115);
  });

  test("what leaves other levels for a table counts where it goes", () => {
    const all = { level: 2, entries: 1300, taken: [100, 200, 1000] };
    expect(plan({}, [100, 200, 1000], all).bloomBitsPerKey).toBeCloseTo(10, 5);
    const { taken: _taken, ...unsaid } = all;
    expect(plan({}, [100, 200, 1000], unsaid).bloomBitsPerKey).toBeLessThan(9.5);
    const half = plan({}, [100, 200, 1000], { ...all, taken: [50, 100, 500] }).bloomBitsPerKey;
    expect(half).toBeGreaterThan(plan({}, [100, 200, 1000], unsaid).bloomBitsPerKey);
    expect(half).toBeLessThan(10);
  });

  test("uniform bits, and none", () => {
    const target = { level: 0, entries: 1000 };
    const uniform = plan({ filterAllocation: "uniform", bloomBitsPerKey: 7 }, [1, 1e6], target);
    expect(uniform.bloomBitsPerKey).toBe(7);
    expect(plan({ bloomBitsPerKey: 0 }, [1, 1e6], target).bloomBitsPerKey).toBe(0);
    expect(plan({ filter: "none" }, [], target).filter).toBe(FilterKind.none);
    expect(plan({ bloomBitsPerKey: 9 }, [5, 1e6], undefined).bloomBitsPerKey).toBe(9);
  });

  test("by level: Ribbon in the deepest one, Bloom above", () => {
    const kindOf = (level: number): number =>
      plan({ filter: "by-level" }, [10, 100, 1000], { level, entries: 5 }).filter;
    expect([0, 1, 2, 3].map(kindOf)).toEqual([
      FilterKind.bloom,
      FilterKind.bloom,
      FilterKind.ribbon,
      FilterKind.ribbon,
    ]);
    const first = plan({ filter: "by-level" }, [], { level: 0, entries: 5 });
    expect(first.filter).toBe(FilterKind.bloom);
    expect(plan({ filter: "ribbon" }, [], undefined).filter).toBe(FilterKind.ribbon);
  });

  test("blocks of one size, or of one per level", () => {
    const sizes = (blockSize: number | number[]): number[] =>
      [0, 1, 2, 7].map((level) => plan({ blockSize }, [], { level, entries: 5 }).blockBytes);
    expect(sizes(2048)).toEqual([2048, 2048, 2048, 2048]);
    expect(sizes([1024, 4096])).toEqual([1024, 4096, 4096, 4096]);
  });
});

test("a size of blocks that is out of range is named, with its level", () => {
  for (const [blockSize, name] of [
    [100, "blockSize"],
    [[4096, 100], "blockSize\\[1\\]"],
    [[], "blockSize"],
    [new Array(9).fill(4096), "blockSize"],
    ["4096", "blockSize"],
    [[4096.5], "blockSize\\[0\\]"],
  ] as const) {
    const settings = { table: { blockSize } } as Settings;
    expect(() => resolveSettings(settings)).toThrow(new RegExp(`settings\\.table\\.${name}`));
  }
});
