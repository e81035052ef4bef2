import { SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CompactionMode,
  flexiblePolicy,
  levelBytes,
  levelTargets,
  type TreeSettings,
  treeGeometry,
} from "../src/index.ts";
import { ModelTree, settle } from "./model-tree.ts";

const settings = fc.record({
  fanout: fc.constantFrom(2, 4, 10),
  l0Trigger: fc.constantFrom(1, 2, 4),
  baseLevelBytes: fc.constantFrom(1500, 6000),
  tableBytesMin: fc.constantFrom(200, 600),
  tableBytesMax: fc.constantFrom(600, 2000),
  levelCount: fc.constantFrom(2, 3, 5, 7),
  dynamicLevelBytes: fc.boolean(),
  mergeBytesMax: fc.constantFrom(1000, 8000, 1_000_000),
  relocateBytesMax: fc.constantFrom(500, 4000),
  relocateTablesMax: fc.constantFrom(1, 8),
  mode: fc.constantFrom<CompactionMode>("leveled", "tiered", "lazy-leveled"),
});

type KeyPattern = "random" | "ascending" | "descending" | "hot" | "windows";

const workload = fc.record({
  seed: fc.nat(),
  pattern: fc.constantFrom<KeyPattern>("random", "ascending", "descending", "hot", "windows"),
  deletes: fc.constantFrom(0, 20, 60),
  separated: fc.constantFrom(0, 50, 100),
  flushes: fc.integer({ min: 5, max: 40 }),
  keepAll: fc.boolean(),
});

function keysOf(pattern: KeyPattern, flush: number, random: SeededRandom): number[] {
  const count = 5 + random.below(40);
  // Windows lie side by side, overlap a little, or bridge two others.
  const window = random.below(1400);
  const width = 20 + random.below(400);
  return Array.from({ length: count }, (_, i) => {
    if (pattern === "ascending") return flush * 50 + i;
    if (pattern === "descending") return 100_000 - flush * 50 + i;
    if (pattern === "hot") return random.below(3) === 0 ? random.below(2000) : random.below(12);
    if (pattern === "windows") return window + random.below(width);
    return random.below(1500);
  });
}

/** Levels over their target, and level 0 over its trigger. */
function overTarget(tree: ModelTree, given: TreeSettings): string[] {
  const view = tree.view();
  const targets = levelTargets(view, treeGeometry(given));
  const over: string[] = [];
  const l0 = view.levels[0]!.runs.filter((run) => run.tables.length > 0).length;
  if (l0 >= given.l0Trigger!) over.push(`level 0 has ${l0} runs`);
  for (let level = 1; level < view.levels.length; level++) {
    const bytes = levelBytes(view.levels[level]);
    if (bytes > targets.bytes[level]!) over.push(`level ${level} has ${bytes} bytes`);
  }
  return over;
}

/** Starts and ends jobs at random, up to three at a time. */
function work(tree: ModelTree, given: TreeSettings, random: SeededRandom, steps: number): void {
  const policy = flexiblePolicy(given);
  for (let step = 0; step < steps; step++) {
    if (tree.jobs.length > 0 && random.below(2) === 0) {
      tree.finish(random.below(tree.jobs.length));
      tree.check();
    }
    if (tree.jobs.length >= 3) continue;
    const choice = policy.choose(tree.view());
    if (choice.kind === "idle") {
      if (tree.jobs.length > 0) continue;
      expect(overTarget(tree, given)).toEqual([]);
      expect(tree.hasDrainingReference()).toBe(false);
      expect(policy.debtBytes(tree.view())).toBe(0);
      return;
    }
    tree.start(choice);
    tree.check();
  }
}

function finishAll(tree: ModelTree): void {
  while (tree.jobs.length > 0) tree.finish(0);
  tree.check();
}

describe("the flexible policy on a model tree", () => {
  it("keeps the read order with jobs side by side, and settles with nothing left over", () => {
    fc.assert(
      fc.property(settings, workload, (given, load) => {
        const random = new SeededRandom(load.seed);
        const tree = new ModelTree(load.seed, given.levelCount, load.keepAll);
        for (let flush = 0; flush < load.flushes; flush++) {
          const keys = keysOf(load.pattern, flush, random);
          tree.addRun(0, keys, load.deletes, load.separated);
          if (random.below(5) === 0) {
            for (const segment of tree.referencedSegments()) {
              if (random.below(3) === 0) tree.draining.add(segment);
            }
          }
          work(tree, given, random, random.below(6));
        }
        finishAll(tree);
        settle(tree, flexiblePolicy(given).choose, 3000);
        expect(overTarget(tree, given)).toEqual([]);
        expect(tree.hasDrainingReference()).toBe(false);
        expect(flexiblePolicy(given).debtBytes(tree.view())).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it("takes over a tree of many runs per level, whatever its shape", () => {
    fc.assert(
      fc.property(settings, fc.nat(), fc.boolean(), (given, seed, keepAll) => {
        const random = new SeededRandom(seed);
        const tree = new ModelTree(seed, given.levelCount, keepAll);
        // The oldest data first: deep levels, and within a level its oldest run.
        for (let level = given.levelCount - 1; level >= 0; level--) {
          for (let run = random.below(4); run > 0; run--) {
            tree.addRun(level, keysOf("random", run, random), 20, 30);
          }
        }
        tree.check();
        for (const segment of tree.referencedSegments()) {
          if (random.below(2) === 0) tree.draining.add(segment);
        }
        work(tree, given, random, 30);
        finishAll(tree);
        settle(tree, flexiblePolicy(given).choose, 3000);
        expect(overTarget(tree, given)).toEqual([]);
        expect(tree.hasDrainingReference()).toBe(false);
      }),
      { numRuns: 120 },
    );
  });

  it("gives the same choice for the same view, and leaves the view as it is", () => {
    const given = { baseLevelBytes: 2000, tableBytesMin: 300, tableBytesMax: 600, levelCount: 4 };
    const tree = new ModelTree(3, 4, false);
    const random = new SeededRandom(3);
    for (let flush = 0; flush < 30; flush++) {
      tree.addRun(0, keysOf("random", flush, random), 10, 50);
      const before = JSON.stringify(tree.view());
      const choice = flexiblePolicy(given).choose(tree.view());
      expect(flexiblePolicy(given).choose(tree.view())).toEqual(choice);
      expect(JSON.stringify(tree.view())).toBe(before);
      if (choice.kind !== "idle") tree.start(choice);
      finishAll(tree);
    }
  });

  it("settles without rewriting more than the shape of the tree asks for", () => {
    const given = {
      fanout: 4,
      baseLevelBytes: 4000,
      tableBytesMin: 500,
      tableBytesMax: 1000,
      levelCount: 5,
    };
    for (const pattern of ["random", "ascending"] as const) {
      const random = new SeededRandom(11);
      const tree = new ModelTree(11, given.levelCount, true);
      for (let flush = 0; flush < 150; flush++) {
        tree.addRun(0, keysOf(pattern, flush, random), 0, 0);
        settle(tree, flexiblePolicy(given).choose, 1000);
      }
      const bytes = tree.levels.reduce((sum, runs) => sum + levelBytes({ runs }), 0);
      const amplification = tree.writtenBytes / bytes;
      expect(amplification).toBeLessThan(pattern === "ascending" ? 0.01 : 12);
    }
  });
});
