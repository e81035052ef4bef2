/**
 * Random trees, random loads, random changes of shape at any moment, jobs side by side: along the
 * read order the sequences of a key only fall, and no version is lost. AURA_TREE_CHOICES=100000
 * takes more choices, AURA_TREE_SEED another beginning.
 */
import { SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import {
  type CompactionPolicy,
  flexiblePolicy,
  levelTargets,
  modeShape,
  reshaped,
  runsMax,
  type TreeSettings,
  treeGeometry,
} from "../src/index.ts";
import { ModelTree, settle } from "./model-tree.ts";

const CHOICES = Number(process.env["AURA_TREE_CHOICES"] ?? "20000");
const SEED = Number(process.env["AURA_TREE_SEED"] ?? "1");

interface Tally {
  choices: number;
  switches: number;
  damaged: number;
  reasons: Map<string, number>;
}

function settingsOf(
  random: SeededRandom,
): Required<Pick<TreeSettings, "levelCount">> & TreeSettings {
  const pick = <T>(...values: readonly T[]): T => values[random.below(values.length)]!;
  return {
    mode: pick("leveled", "tiered", "lazy-leveled"),
    fanout: pick(2, 4, 10),
    l0Trigger: pick(1, 2, 4),
    baseLevelBytes: pick(300, 900),
    tableBytesMin: pick(100, 200),
    tableBytesMax: pick(200, 500),
    levelCount: pick(2, 3, 5),
    dynamicLevelBytes: random.below(2) === 0,
    mergeBytesMax: pick(400, 2000, 1_000_000),
    relocateBytesMax: pick(300, 900),
    relocateTablesMax: pick(1, 8),
    ttlMs: pick(0, 0, 40),
    periodicMs: pick(0, 0, 90),
  };
}

function switchShape(policy: CompactionPolicy, given: TreeSettings, random: SeededRandom): void {
  const geometry = treeGeometry(given);
  const dice = random.below(4);
  if (dice < 3) {
    const mode = (["leveled", "tiered", "lazy-leveled"] as const)[dice]!;
    policy.reshape(modeShape(mode, geometry, 1 + random.below(4)));
    return;
  }
  const levels = Array.from({ length: 1 + random.below(4) }, () => ({ runs: 1 + random.below(5) }));
  const isEager = random.below(2) === 0;
  policy.reshape(reshaped(policy.shape, { levels, l0Trigger: 1 + random.below(4), isEager }));
}

function keysOf(random: SeededRandom, width: number): number[] {
  const from = random.below(4) === 0 ? random.below(300) : 0;
  return Array.from({ length: 2 + random.below(12) }, () => from + random.below(width));
}

function live(seed: number, tally: Tally): void {
  const random = new SeededRandom(seed);
  const given = settingsOf(random);
  const policy = flexiblePolicy(given);
  const tree = new ModelTree(seed, given.levelCount, random.below(4) === 0);
  tree.nowMs = 1;
  const deletes = [0, 20, 90][random.below(3)]!;
  const width = [8, 60, 300][random.below(3)]!;
  const switchEvery = 2 + random.below(20);
  const isDamaging = random.below(4) === 0;
  for (let step = 0; step < 120; step++) {
    tree.nowMs += random.below(4);
    if (random.below(switchEvery) === 0) {
      switchShape(policy, given, random);
      tally.switches++;
    }
    const dice = random.below(10);
    if (dice < 4) tree.addRun(0, keysOf(random, width), deletes, random.below(3) * 50);
    if (dice === 4 && random.below(4) === 0) {
      for (const segment of tree.referencedSegments()) {
        if (random.below(3) === 0) tree.draining.add(segment);
      }
    }
    if (isDamaging && random.below(30) === 0) tree.damageOne();
    if (tree.jobs.length > 0 && random.below(2) === 0) tree.finish(random.below(tree.jobs.length));
    for (let more = 1 + random.below(3); more > 0 && tree.jobs.length < 3; more--) {
      const choice = policy.choose(tree.view());
      tally.choices++;
      const reason = choice.kind === "merge" ? choice.reason : choice.kind;
      tally.reasons.set(reason, (tally.reasons.get(reason) ?? 0) + 1);
      if (choice.kind === "idle") break;
      tree.start(choice);
    }
    tree.check();
  }
  while (tree.jobs.length > 0) tree.finish(0);
  tally.choices += settle(tree, policy.choose, 3000).length;
  tally.damaged += tree.damaged.size;
  if (tree.damaged.size > 0) return;
  const view = tree.view();
  const targets = levelTargets(view, treeGeometry(given));
  for (let level = 1; level < targets.last; level++) {
    const bytes = view.levels[level]!.runs.flatMap((run) => run.tables.map((table) => table.bytes));
    expect(bytes.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(targets.bytes[level]!);
  }
}

test("the read order holds through any change of shape", () => {
  const tally: Tally = { choices: 0, switches: 0, damaged: 0, reasons: new Map() };
  for (let seed = SEED; tally.choices < CHOICES; seed++) {
    try {
      live(seed, tally);
    } catch (cause) {
      throw new Error(`AURA_TREE_SEED=${seed}: ${(cause as Error).message}`, { cause });
    }
  }
  // The run means nothing unless it went through all of it.
  expect(tally.switches).toBeGreaterThan(CHOICES / 100);
  expect(tally.damaged).toBeGreaterThan(CHOICES / 1000);
  const reasons = ["level-0", "intra-level-0", "level-size", "relocate", "age", "deletes", "move"];
  for (const reason of reasons) expect(tally.reasons.get(reason), reason).toBeGreaterThan(5);
});

test("a tree of one shape comes to have no more runs than it asks for, and half as many again", () => {
  for (const mode of ["leveled", "tiered", "lazy-leveled"] as const) {
    const given = {
      mode,
      fanout: 4,
      levelCount: 5,
      baseLevelBytes: 3000,
      tableBytesMin: 300,
      tableBytesMax: 600,
    };
    const policy = flexiblePolicy(given);
    const random = new SeededRandom(5);
    const tree = new ModelTree(5, given.levelCount, false);
    for (let flush = 0; flush < 150; flush++) {
      const keys = Array.from({ length: 30 }, () => random.below(5000));
      tree.addRun(0, keys, 0, 0);
      settle(tree, policy.choose, 1000);
      for (let level = 1; level < given.levelCount; level++) {
        const runs = tree.levels[level]!.filter(({ tables }) => tables.length > 0).length;
        expect(runs, `${mode}, level ${level}`).toBeLessThanOrEqual(
          Math.ceil(1.5 * runsMax(policy.shape, level)),
        );
      }
    }
  }
});

test("a tiered tree rewrites far less than a leveled one", () => {
  const written = (["tiered", "leveled"] as const).map((mode) => {
    const given = {
      mode,
      fanout: 6,
      levelCount: 5,
      baseLevelBytes: 3600,
      tableBytesMin: 300,
      tableBytesMax: 600,
    };
    const policy = flexiblePolicy(given);
    const random = new SeededRandom(7);
    const tree = new ModelTree(7, given.levelCount, false);
    for (let flush = 0; flush < 150; flush++) {
      const keys = Array.from({ length: 30 }, () => random.below(3000));
      tree.addRun(0, keys, 0, 0);
      settle(tree, policy.choose, 1000);
    }
    return tree.writtenBytes;
  });
  expect(written[0]!).toBeLessThan(written[1]! / 1.3);
});

test("a tree that was tiered becomes leveled as data flows through it", () => {
  const given = { mode: "tiered", fanout: 4, levelCount: 4, baseLevelBytes: 3000 } as const;
  const sizes = { tableBytesMin: 300, tableBytesMax: 600, l0Trigger: 2 };
  const policy = flexiblePolicy({ ...given, ...sizes });
  const random = new SeededRandom(9);
  const tree = new ModelTree(9, given.levelCount, false);
  const runs = (): number =>
    Math.max(...tree.levels.slice(1).map((l) => l.filter((r) => r.tables.length > 0).length));
  const load = (flushes: number): void => {
    for (let flush = 0; flush < flushes; flush++) {
      tree.addRun(
        0,
        Array.from({ length: 30 }, () => random.below(2000)),
        0,
        0,
      );
      settle(tree, policy.choose, 1000);
    }
  };
  load(60);
  while (runs() < 3) load(1);
  policy.reshape(modeShape("leveled", treeGeometry(given), 2));
  const before = tree.writtenBytes;
  expect(settle(tree, policy.choose, 1000)).toEqual([]);
  expect(tree.writtenBytes).toBe(before);
  for (let flush = 0; flush < 300 && runs() > 1; flush++) {
    load(1);
  }
  expect(runs()).toBe(1);
});
