import { hasCode } from "@aura/base";
import { describe, expect, it } from "vitest";
import { flexiblePolicy, type LevelView, levelTargets, treeGeometry } from "../src/index.ts";
import { level, run, table, tree } from "./tree-views.ts";

const MIB = 1048576;
const none = level();

function sized(mib: number): LevelView {
  return mib === 0 ? none : level(run(table(1, "a", "z", mib * MIB)));
}

function targetsOf(sizes: readonly number[], settings = {}): { base: number; mib: number[] } {
  const targets = levelTargets(tree(sizes.map(sized)), treeGeometry(settings));
  return { base: targets.base, mib: targets.bytes.map((bytes) => Math.round(bytes / MIB)) };
}

describe("dynamic level sizes", () => {
  it("begin at the last level and go up only when it has grown", () => {
    expect(targetsOf([])).toEqual({ base: 6, mib: [0, 0, 0, 0, 0, 0, 64] });
    expect(targetsOf([0, 0, 0, 0, 0, 0, 60])).toEqual({ base: 6, mib: [0, 0, 0, 0, 0, 0, 64] });
    expect(targetsOf([0, 0, 0, 0, 0, 0, 500])).toEqual({
      base: 5,
      mib: [0, 0, 0, 0, 0, 64, 500],
    });
    expect(targetsOf([0, 0, 0, 0, 0, 64, 5000])).toEqual({
      base: 4,
      mib: [0, 0, 0, 0, 64, 500, 5000],
    });
  });

  it("never put the base below a level with tables, nor a target below the base size", () => {
    expect(targetsOf([0, 0, 5, 0, 0, 0, 100])).toEqual({
      base: 2,
      mib: [0, 0, 64, 64, 64, 64, 100],
    });
  });

  it("follow the largest level, wherever it stands", () => {
    expect(targetsOf([0, 0, 0, 0, 0, 5000, 100])).toEqual({
      base: 4,
      mib: [0, 0, 0, 0, 64, 500, 5000],
    });
  });

  it("take a deeper view than levelCount as it is", () => {
    expect(targetsOf([0, 0, 0, 10], { levelCount: 2 })).toEqual({ base: 3, mib: [0, 0, 0, 64] });
  });
});

describe("static level sizes", () => {
  it("begin at level 1", () => {
    const settings = { dynamicLevelBytes: false, levelCount: 4, fanout: 8 };
    expect(targetsOf([1, 1, 1, 9999], settings)).toEqual({ base: 1, mib: [0, 64, 512, 9999] });
  });
});

describe("debt", () => {
  const policy = flexiblePolicy({ dynamicLevelBytes: false, levelCount: 4 });

  it("is zero while nothing is over its target", () => {
    expect(policy.debtBytes(tree([]))).toBe(0);
    expect(policy.debtBytes(tree([sized(500), sized(64), sized(640), sized(9999)]))).toBe(0);
  });

  it("counts what a level has too much, with what it meets below, and passes it on", () => {
    expect(policy.debtBytes(tree([none, sized(84)])) / MIB).toBe(20);
    // 20 MiB move down over 420 MiB: five times as much is rewritten below.
    expect(policy.debtBytes(tree([none, sized(84), sized(420)])) / MIB).toBe(120);
    const passedOn = policy.debtBytes(tree([none, sized(84), sized(640)])) / MIB;
    expect(passedOn).toBeCloseTo(20 * (1 + 640 / 84) + 20, 3);
  });

  it("counts level 0 from the trigger on, with the base level", () => {
    const runs = [1, 2, 3, 4].map((n) => run(table(n, "a", "z", 10 * MIB)));
    expect(policy.debtBytes(tree([level(...runs.slice(1)), sized(10)]))).toBe(0);
    expect(policy.debtBytes(tree([level(...runs), sized(10)])) / MIB).toBe(50);
  });
});

describe("what waits", () => {
  it("is what level 0 has beyond its trigger and levels beyond their targets", () => {
    const policy = flexiblePolicy({ dynamicLevelBytes: false, levelCount: 4 });
    const runs = [1, 2, 3, 4, 5, 6].map((n) => run(table(n, "a", "z", 10 * MIB)));
    expect(policy.waitingBytes(tree([sized(500), sized(64), sized(640), sized(9999)]))).toBe(0);
    expect(policy.waitingBytes(tree([level(...runs.slice(2)), sized(64)]))).toBe(0);
    expect(policy.waitingBytes(tree([level(...runs), sized(84)])) / MIB).toBe(40);
    // A last level is never too large, whatever stands above it.
    expect(policy.waitingBytes(tree([none, sized(64), sized(640), sized(1000)]))).toBe(0);
  });

  it("is nothing while damage may keep it where it is", () => {
    const policy = flexiblePolicy({ dynamicLevelBytes: false, levelCount: 4 });
    const view = tree([none, sized(84), none, sized(9999)]);
    expect(policy.waitingBytes(view)).toBeGreaterThan(0);
    expect(policy.waitingBytes({ ...view, damaged: new Set([1]) })).toBe(0);
  });
});

describe("settings", () => {
  it("are refused by name when out of range", () => {
    const wrong = [
      { fanout: 1 },
      { l0Trigger: 0 },
      { l0Trigger: 2.5 },
      { levelCount: 1 },
      { levelCount: Number.NaN },
      { baseLevelBytes: 0 },
      { tableBytesMin: 100, tableBytesMax: 99 },
      { relocateTablesMax: 0 },
      { relocateBytesMax: -1 },
      { mergeBytesMax: Number.POSITIVE_INFINITY },
    ];
    for (const settings of wrong) {
      let error: unknown;
      try {
        flexiblePolicy(settings);
      } catch (e) {
        error = e;
      }
      expect(hasCode(error, "AURA_INVALID_ARGUMENT")).toBe(true);
      expect(String(error)).toContain(Object.keys(settings)[0]);
    }
  });

  it("have defaults, and a policy ignores outcomes", () => {
    const policy = flexiblePolicy();
    expect(policy.name).toBe("leveled");
    const before = policy.choose(tree([]));
    policy.observe({
      choice: { kind: "move", level: 1, runId: 1, tables: [1], toLevel: 2, toRunId: undefined },
      inputBytes: 1,
      outputBytes: 1,
      inputBytesAbove: 1,
      relocatedBytes: 0,
      durationMs: 1,
    });
    expect(policy.choose(tree([]))).toEqual(before);
  });
});
