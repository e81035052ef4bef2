import { hasCode } from "@aura/base";
import { describe, expect, it } from "vitest";
import {
  activeCapacity,
  flexiblePolicy,
  levelTargets,
  modeShape,
  receptionOf,
  reshaped,
  runsMax,
  treeGeometry,
} from "../src/index.ts";
import { level, run, table, tree } from "./tree-views.ts";

const geometry = treeGeometry({ fanout: 5, levelCount: 4, baseLevelBytes: 4000 });
const none = level();
const tiered = modeShape("tiered", geometry, 4);

describe("shapes", () => {
  it("of the modes differ in their runs per level", () => {
    const runs = (mode: "leveled" | "tiered" | "lazy-leveled"): number[] =>
      [1, 2, 3].map((index) => runsMax(modeShape(mode, geometry, 4), index));
    expect(runs("leveled")).toEqual([1, 1, 1]);
    expect(runs("tiered")).toEqual([4, 4, 4]);
    expect(runs("lazy-leveled")).toEqual([4, 4, 1]);
  });

  it("take the last level for those beyond the end", () => {
    const shape = reshaped(tiered, { levels: [{ runs: 3 }, { runs: 2 }] });
    expect([1, 2, 3, 9].map((index) => runsMax(shape, index))).toEqual([3, 2, 2, 2]);
    expect(shape.name).toBe("custom");
    expect(shape.l0Trigger).toBe(4);
  });

  it("are refused by field", () => {
    const wrong: [string, object][] = [
      ["l0Trigger", { l0Trigger: 0 }],
      ["l0Trigger", { l0Trigger: 1.5 }],
      ["levels", { levels: [] }],
      ["levels", { levels: 3 }],
      ["levels[0]", { levels: [null] }],
      ["levels[1].runs", { levels: [{ runs: 1 }, { runs: 0 }] }],
      ["levels[0].runs", { levels: [{}] }],
      ["levels[0].filterBits", { levels: [{ runs: 1, filterBits: 33 }] }],
      ["levels[0].depth", { levels: [{ runs: 1, depth: 1 }] }],
      ["separationThreshold", { separationThreshold: 1 }],
      ["speed", { speed: 1 }],
    ];
    for (const [field, change] of wrong) {
      let error: unknown;
      try {
        reshaped(tiered, change);
      } catch (e) {
        error = e;
      }
      expect(hasCode(error, "AURA_INVALID_ARGUMENT"), field).toBe(true);
      expect(String(error)).toContain(field);
    }
  });
});

describe("what arrives at a level", () => {
  const last = level(run(table(30, "a", "z", 100_000)));

  function receptions(runs: readonly number[], shape = tiered): string {
    const sizes = runs.map((bytes, i) => run(table(10 + i, "a", "z", bytes)));
    const view = tree([none, none, level(...sizes), last]);
    return receptionOf(shape, levelTargets(view, geometry), 2, view.levels[2]);
  }

  it("joins the active run until that has its share of the level", () => {
    // The level may have 20,000 bytes in four runs.
    expect(receptions([])).toBe("new");
    expect(receptions([4999, 9000])).toBe("active");
    expect(receptions([5000])).toBe("new");
    const targets = levelTargets(tree([none, none, none, last]), geometry);
    expect(activeCapacity(tiered, targets, 3)).toBe(25_000);
  });

  it("sees another capacity when K changes, and nothing else changes", () => {
    const half = reshaped(tiered, { levels: [{ runs: 2 }] });
    expect(receptions([5000], half)).toBe("active");
    expect(receptions([10_000], half)).toBe("new");
    expect(receptions([19_000, 500, 600], modeShape("leveled", geometry, 4))).toBe("active");
  });

  it("is merged with all runs of a last level that has as many as it may", () => {
    const receive = (bytes: readonly number[], mode: "leveled" | "tiered"): string => {
      const runs = bytes.map((size, i) => run(table(i, "a", "z", size)));
      const view = tree([none, none, none, level(...runs)]);
      const shape = modeShape(mode, geometry, 4);
      return receptionOf(shape, levelTargets(view, geometry), 3, view.levels[3]);
    };
    expect(receive([9000], "leveled")).toBe("active");
    expect(receive([10, 9000], "leveled")).toBe("merge-all");
    expect(receive([10, 3000, 3000, 3000], "tiered")).toBe("active");
    expect(receive([3000, 3000, 3000], "tiered")).toBe("new");
    expect(receive([3000, 3000, 3000, 3000], "tiered")).toBe("merge-all");
  });
});

describe("a change of shape", () => {
  it("asks for nothing by itself", () => {
    const policy = flexiblePolicy({ fanout: 5, levelCount: 4, baseLevelBytes: 4000 });
    const runs = [1, 2, 3, 4].map((n) => run(table(n, "a", "z", 4000)));
    const view = tree([none, none, level(...runs), level(run(table(30, "a", "z", 100_000)))]);
    for (const mode of ["tiered", "leveled", "lazy-leveled"] as const) {
      policy.reshape(modeShape(mode, geometry, 4));
      expect(policy.name).toBe(mode);
      expect(policy.choose(view)).toEqual({ kind: "idle" });
    }
  });
});

describe("a tiered tree", () => {
  const policy = flexiblePolicy({
    mode: "tiered",
    fanout: 5,
    levelCount: 4,
    baseLevelBytes: 1000,
    l0Trigger: 2,
    dynamicLevelBytes: false,
  });

  it("moves runs of level 0 that are as large as runs of the base level", () => {
    const zero = level(run(table(3, "a", "z", 300)), run(table(2, "a", "z", 300)));
    const one = level(run(table(1, "a", "z", 300)));
    expect(policy.choose(tree([zero, one]))).toEqual({
      kind: "move",
      level: 0,
      runId: zero.runs[1]!.id,
      tables: [2],
      toLevel: 1,
      toRunId: undefined,
    });
  });

  it("merges a full level into a new run, and rewrites nothing of the next level", () => {
    const one = level(...[1, 2, 3, 4].map((n) => run(table(n, "a", "z", 300))));
    const two = level(run(table(9, "a", "z", 4000)));
    expect(policy.choose(tree([none, one, two]))).toMatchObject({
      kind: "merge",
      inputs: [{ level: 1, tables: [1, 2, 3, 4] }],
      outputLevel: 2,
      outputRunId: undefined,
    });
    // The active run of the next level is not full yet: the output joins it.
    expect(policy.choose(tree([none, one, level(run(table(9, "b", "c", 10)))]))).toMatchObject({
      inputs: [
        { level: 1, tables: [1, 2, 3, 4] },
        { level: 2, tables: [9] },
      ],
    });
  });

  it("lets level 0 begin a new run while the level below it is being emptied", () => {
    const zero = level(run(table(6, "a", "z", 90)), run(table(5, "a", "z", 90)));
    const one = level(...[1, 2, 3, 4].map((n) => run(table(n, "a", "z", 300))));
    expect(policy.choose(tree([zero, one], [1, 2, 3, 4]))).toMatchObject({
      kind: "merge",
      inputs: [{ level: 0, tables: [5, 6] }],
      outputLevel: 1,
      outputRunId: undefined,
    });
  });

  it("expects no rewriting below where a new run begins", () => {
    const one = level(...[1, 2, 3, 4].map((n) => run(table(n, "a", "z", 300))));
    expect(policy.debtBytes(tree([none, one]))).toBe(1200);
    expect(policy.debtBytes(tree([none, one, level(run(table(9, "a", "z", 1300)))]))).toBe(1200);
    expect(policy.debtBytes(tree([none, one, level(run(table(9, "a", "z", 600)))]))).toBe(1800);
  });
});

describe("level 0 whose base is busy", () => {
  it("is merged within itself, the newest runs of about one size", () => {
    const policy = flexiblePolicy({ l0Trigger: 2, levelCount: 3, dynamicLevelBytes: false });
    const sizes = [90, 100, 110, 95, 96, 97, 98, 99, 400];
    const runs = sizes.map((bytes, i) => run(table(11 - i, "a", "z", bytes)));
    const view = tree([level(...runs), level(run(table(1, "a", "z", 100)))], [1]);
    expect(policy.choose(view)).toMatchObject({
      kind: "merge",
      inputs: [{ level: 0, tables: [11, 10, 9, 8, 7, 6, 5, 4] }],
      outputLevel: 0,
      outputRunId: runs[7]!.id,
      reason: "intra-level-0",
    });
    const few = tree([level(...runs.slice(2)), level(run(table(1, "a", "z", 100)))], [1]);
    expect(policy.choose(few)).toEqual({ kind: "idle" });
  });
});

describe("old tables", () => {
  const settings = { levelCount: 4, dynamicLevelBytes: false, ttlMs: 1000, periodicMs: 5000 };
  const policy = flexiblePolicy(settings);
  const aged = (number: number, from: string, to: string, createdMs: number) => ({
    ...table(number, from, to, 10),
    createdMs,
  });

  it("go down by a level, deep ones first, and level 0 last", () => {
    const zero = level(run(aged(5, "a", "z", 1)));
    const one = level(run(aged(1, "a", "c", 9500), aged(2, "d", "f", 8000)));
    const two = level(run(aged(3, "e", "g", 9900), aged(4, "h", "k", 100)));
    const three = level(run(aged(9, "i", "j", 9000)));
    const at = (levels: (typeof zero)[]) => policy.choose({ ...tree(levels), nowMs: 10_000 });
    expect(at([zero, one, two, three])).toMatchObject({
      reason: "age",
      inputs: [
        { level: 2, tables: [3, 4] },
        { level: 3, tables: [9] },
      ],
    });
    const young = level(run(two.runs[0]!.tables[0]!));
    expect(at([zero, one, young, three])).toMatchObject({
      reason: "age",
      inputs: [
        { level: 1, tables: [1, 2] },
        { level: 2, tables: [3] },
      ],
    });
    expect(at([zero, none, none, three])).toMatchObject({ kind: "move", level: 0, toLevel: 1 });
    expect(at([none, none, none, three])).toEqual({ kind: "idle" });
  });

  it("are rewritten in place when the period is over, the last level too", () => {
    const three = level(run(aged(9, "i", "j", 4000)));
    expect(policy.choose({ ...tree([none, none, none, three]), nowMs: 10_000 })).toMatchObject({
      reason: "age",
      inputs: [{ level: 3, tables: [9] }],
      outputLevel: 3,
      outputRunId: three.runs[0]!.id,
    });
    expect(policy.choose(tree([none, none, none, three]))).toEqual({ kind: "idle" });
  });
});

describe("tables full of deletes", () => {
  const policy = flexiblePolicy({ levelCount: 4, dynamicLevelBytes: false });
  const dense = table(1, "a", "c", 10, { deletes: 80 });

  it("go down, and are rewritten at the end when no snapshot needs them", () => {
    const below = level(run(table(2, "b", "d", 10)));
    expect(policy.choose(tree([none, level(run(dense)), below]))).toMatchObject({
      reason: "deletes",
      outputLevel: 2,
    });
    const view = tree([none, none, none, level(run(dense))]);
    expect(policy.choose(view)).toMatchObject({ reason: "deletes", outputLevel: 3 });
    expect(policy.choose({ ...view, oldestSnapshotSeq: 999 })).toEqual({ kind: "idle" });
    expect(policy.choose({ ...view, oldestSnapshotSeq: 1000 })).toMatchObject({
      reason: "deletes",
    });
  });
});

describe("level 0 full of deletes", () => {
  const policy = flexiblePolicy({ levelCount: 4, dynamicLevelBytes: false });
  const zero = level(run(table(1, "a", "c", 10, { deletes: 100 })));

  it("goes down when its deletes free as much as is rewritten for them", () => {
    // An entry has some five to ten bytes here: 100 deletes are worth one table, not twenty.
    const near = level(run(table(2, "b", "d", 1000)));
    expect(policy.choose(tree([zero, near]))).toMatchObject({
      reason: "deletes",
      inputs: [
        { level: 0, tables: [1] },
        { level: 1, tables: [2] },
      ],
    });
    const sparse = level(run(table(1, "a", "c", 10, { deletes: 20 })));
    expect(policy.choose(tree([sparse, near]))).toEqual({ kind: "idle" });
    const many = Array.from({ length: 20 }, (_, i) =>
      table(i + 2, `b${String.fromCharCode(97 + i)}`, `b${String.fromCharCode(97 + i)}z`, 1000),
    );
    expect(policy.choose(tree([zero, level(run(...many))]))).toEqual({ kind: "idle" });
  });

  it("stays where it would meet nothing", () => {
    const tiered = flexiblePolicy({ levelCount: 4, dynamicLevelBytes: false, mode: "tiered" });
    expect(tiered.choose(tree([zero]))).toEqual({ kind: "idle" });
    const away = level(run(table(2, "m", "n", 10)));
    expect(tiered.choose(tree([zero, away]))).toEqual({ kind: "idle" });
    expect(policy.choose(tree([zero, away]))).toEqual({ kind: "idle" });
  });
});

describe("a tree that somebody waits for", () => {
  const settings = { levelCount: 4, dynamicLevelBytes: false, l0Trigger: 4 };
  const zero = level(run(table(1, "a", "z", 30)));
  const one = level(run(table(2, "a", "z", 30)));
  const last = level(run(table(3, "a", "z", 300)));

  function chosen(dropped: number, levels: (typeof zero)[], isAwaited: boolean): unknown {
    const policy = flexiblePolicy(settings);
    policy.observe({
      choice: {
        kind: "merge",
        inputs: [],
        outputLevel: 3,
        outputRunId: 1,
        reason: "level-size",
        tableBytesMax: 1,
        drain: [],
      },
      inputBytes: 1000,
      outputBytes: 1000 - dropped,
      inputBytesAbove: 100,
      relocatedBytes: 0,
      durationMs: 1,
    });
    return policy.choose({ ...tree(levels), isAwaited });
  }

  it("brings down what merges have shown to free much, level by level", () => {
    expect(chosen(90, [zero, one, none, last], true)).toMatchObject({
      reason: "space",
      inputs: [
        { level: 0, tables: [1] },
        { level: 1, tables: [2] },
      ],
    });
    expect(chosen(90, [none, level(run(table(2, "a", "z", 60))), none, last], true)).toMatchObject({
      kind: "move",
      toLevel: 2,
    });
    expect(chosen(90, [none, none, level(run(table(2, "a", "z", 60))), last], true)).toMatchObject({
      reason: "space",
      outputLevel: 3,
    });
  });

  it("is left alone when little would be freed, or nobody waits", () => {
    expect(chosen(90, [zero, one, none, last], false)).toEqual({ kind: "idle" });
    expect(chosen(10, [zero, one, none, last], true)).toEqual({ kind: "idle" });
    expect(chosen(0, [zero, one, none, last], true)).toEqual({ kind: "idle" });
    expect(chosen(90, [zero, none, none, last], true)).toEqual({ kind: "idle" });
  });
});
