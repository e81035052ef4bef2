import { describe, expect, it } from "vitest";
import {
  type CompactionChoice,
  flexiblePolicy,
  type LevelView,
  type TreeView,
} from "../src/index.ts";
import { level, refersTo, run, table, tree } from "./tree-views.ts";

const policy = flexiblePolicy({
  fanout: 4,
  l0Trigger: 2,
  baseLevelBytes: 1000,
  tableBytesMin: 100,
  tableBytesMax: 400,
  levelCount: 4,
  dynamicLevelBytes: false,
  mergeBytesMax: 5000,
  relocateBytesMax: 1000,
  relocateTablesMax: 3,
});

const none: LevelView = level();

function choose(view: TreeView): CompactionChoice {
  return policy.choose(view);
}

/** All tables that a choice names. */
function named(choice: CompactionChoice): number[] {
  if (choice.kind === "idle") return [];
  if (choice.kind === "move") return [...choice.tables];
  return choice.inputs.flatMap((input) => [...input.tables]);
}

describe("level 0", () => {
  it("waits for the trigger", () => {
    expect(choose(tree([level(run(table(1, "a", "z", 500)))]))).toEqual({ kind: "idle" });
  });

  it("takes the oldest run, what meets it, and what it meets below", () => {
    const base = run(table(10, "a", "c", 100), table(11, "m", "p", 100), table(12, "x", "z", 100));
    const view = tree([
      level(run(table(2, "c", "n", 90)), run(table(1, "b", "d", 90))),
      level(base),
    ]);
    expect(choose(view)).toEqual({
      kind: "merge",
      inputs: [
        { level: 0, tables: [1, 2] },
        { level: 1, tables: [10, 11] },
      ],
      outputLevel: 1,
      outputRunId: base.id,
      reason: "level-0",
      tableBytesMax: 100,
      drain: [],
    });
  });

  it("never leaves out an older table that a chosen newer one meets", () => {
    // 3 meets 1 and 2; 2 does not meet 1. Without 2, keys d and e of 3 would sink below it.
    const runs = [
      run(table(3, "b", "e", 50)),
      run(table(2, "d", "f", 50)),
      run(table(1, "a", "c", 50)),
    ];
    expect(named(choose(tree([level(...runs)]))).sort()).toEqual([1, 2, 3]);
  });

  it("leaves newer runs for later when the input gets too large", () => {
    const runs = [5, 4, 3, 2, 1].map((number) => run(table(number, "a", "z", 2000)));
    const last = level(run(table(9, "z5", "z6", 20_000)));
    expect(named(choose(tree([level(...runs), none, none, last])))).toEqual([1, 2]);
    // In a small tree a merge is no larger than two base levels, but for what it must read.
    expect(named(choose(tree([level(...runs)])))).toEqual([1]);
  });

  it("goes down beside a damaged table; what is newer and meets it stays", () => {
    const base = run(table(10, "a", "f", 100), table(11, "g", "p", 100), table(12, "q", "z", 100));
    const view = tree([
      level(
        run(table(5, "b", "c", 90), table(6, "h", "i", 90), table(7, "r", "s", 90)),
        run(table(2, "a", "d", 90), table(3, "h", "n", 90), table(4, "q", "y", 90)),
      ),
      level(base),
    ]);
    expect(named(choose({ ...view, damaged: new Set([3]) })).sort()).toEqual(
      [10, 11, 12, 2, 4, 5, 7].sort(),
    );
    // Below, it divides what may go down; 6 and 3 meet it.
    expect(named(choose({ ...view, damaged: new Set([11]) })).sort()).toEqual([10, 2, 5]);
    expect(named(choose({ ...view, damaged: new Set([10, 11]) })).sort()).toEqual([12, 4, 7]);
  });

  it("moves an oldest run that meets nothing", () => {
    const oldest = run(table(1, "a", "c", 50), table(2, "d", "e", 50));
    const view = tree([
      level(run(table(3, "f", "g", 50)), oldest),
      level(run(table(9, "x", "y", 9))),
    ]);
    expect(choose(view)).toEqual({
      kind: "move",
      level: 0,
      runId: oldest.id,
      tables: [1, 2],
      toLevel: 1,
      toRunId: view.levels[1]!.runs[0]!.id,
    });
  });

  it("does not move a run whose last key is the first key of a table below", () => {
    const view = tree([
      level(run(table(2, "p", "q", 50)), run(table(1, "a", "c", 50))),
      level(run(table(9, "c", "d", 50))),
    ]);
    const choice = choose(view);
    expect(choice.kind).toBe("merge");
    expect(named(choice)).toEqual([1, 9]);
  });

  it("starts no second merge while one runs, even when ranges are apart", () => {
    const runs = [
      run(table(3, "x", "z", 50)),
      run(table(2, "m", "n", 50)),
      run(table(1, "a", "c", 50)),
    ];
    expect(choose(tree([level(...runs)], [1]))).toEqual({ kind: "idle" });
  });
});

describe("levels over their target", () => {
  it("gives the table that meets the fewest bytes for its own", () => {
    const one = run(table(1, "a", "b", 400), table(2, "c", "d", 400), table(3, "e", "f", 400));
    const two = run(table(11, "a", "b", 300), table(12, "c", "d", 100), table(13, "e", "f", 200));
    const choice = choose(tree([none, level(one), level(two)]));
    expect(named(choice)).toEqual([2, 12]);
  });

  it("prefers tables with deletes, and with references to draining segments", () => {
    const two = run(table(11, "a", "b", 300), table(12, "c", "d", 300), table(13, "e", "f", 300));
    const deletes = run(
      table(1, "a", "b", 400),
      table(2, "c", "d", 400, { deletes: 100 }),
      table(3, "e", "f", 400),
    );
    expect(named(choose(tree([none, level(deletes), level(two)])))).toEqual([2, 12]);
    const ranges = run(
      table(1, "a", "b", 400),
      table(2, "c", "d", 400, { rangeDeletes: 3 }),
      table(3, "e", "f", 400),
    );
    expect(named(choose(tree([none, level(ranges), level(two)])))).toEqual([2, 12]);
    const references = run(
      table(1, "a", "b", 1400),
      table(2, "c", "d", 400),
      table(3, "e", "f", 400, { references: [refersTo(7, 5000), refersTo(8, 1)] }),
    );
    const choice = choose(tree([none, level(references), level(two)], [], [7]));
    expect(choice).toMatchObject({ kind: "merge", reason: "level-size", drain: [7] });
    // Its neighbour comes along: no more is rewritten for its bytes.
    expect(named(choice)).toEqual([2, 3, 12, 13]);
  });

  it("moves as many neighbours as the level has too much", () => {
    const one = run(...[1, 2, 3, 4].map((n) => table(n, `k${n}`, `k${n}z`, 400)));
    const choice = choose(tree([none, level(one), level(run(table(9, "x", "y", 10)))]));
    expect(choice).toMatchObject({ kind: "move", level: 1, runId: one.id, toLevel: 2 });
    expect(named(choice)).toEqual([1]);
    const many = run(...[1, 2, 3, 4].map((n) => table(n, `k${n}`, `k${n}z`, 500)));
    expect(named(choose(tree([none, level(many)])))).toEqual([1, 2]);
  });

  it("never parts tables that share a user key, above or below", () => {
    const one = run(table(1, "a", "c", 500), table(2, "c", "e", 500), table(3, "g", "h", 500));
    const two = run(table(11, "d", "f", 10), table(12, "f", "f5", 10), table(13, "g", "z", 900));
    expect(named(choose(tree([none, level(one), level(two)])))).toEqual([1, 2, 11, 12]);
  });

  it("rewrites instead of moving when far too much lies further down", () => {
    const one = run(table(1, "a", "z", 2000));
    const three = run(table(9, "a", "z", 6000));
    const choice = choose(tree([none, level(one), none, level(three)]));
    expect(choice).toMatchObject({ kind: "merge", outputLevel: 2, outputRunId: undefined });
  });

  it("takes all that hangs together in a level of several runs, the oldest run's first", () => {
    const active = run(table(1, "a", "c", 900), table(3, "x", "y", 10));
    const sealed = run(table(2, "a", "b", 900));
    const two = level(run(table(9, "b", "m", 10)));
    expect(named(choose(tree([none, level(active, sealed), two])))).toEqual([1, 2, 3, 9]);
    expect(choose(tree([none, level(active, run(table(2, "d", "e", 900))), two]))).toMatchObject({
      kind: "merge",
      inputs: [
        { level: 1, tables: [2, 3] },
        { level: 2, tables: [9] },
      ],
    });
    expect(choose(tree([none, level(active, run(table(2, "n", "o", 900))), two]))).toMatchObject({
      kind: "move",
      tables: [2],
      toRunId: two.runs[0]!.id,
    });
  });

  it("leaves the last level alone, however large", () => {
    expect(choose(tree([none, none, none, level(run(table(1, "a", "z", 1e12)))]))).toEqual({
      kind: "idle",
    });
  });
});

describe("several runs in a level", () => {
  const runs = [
    run(table(1, "a", "z", 10)),
    run(table(2, "b", "c", 10), table(3, "x", "y", 10)),
    run(table(4, "c", "d", 10), table(5, "m", "n", 10), table(6, "z", "zz", 10)),
  ];

  it("stay while nothing comes in, also when the shape wants one", () => {
    expect(choose(tree([none, none, none, level(...runs)]))).toEqual({ kind: "idle" });
  });

  it("of the last level go into its oldest run with what arrives, in its range", () => {
    const zero = level(run(table(8, "b", "c", 10)), run(table(7, "a5", "c", 10)));
    const dynamic = flexiblePolicy({ l0Trigger: 2, levelCount: 4 });
    const two = [run(table(2, "b", "c", 10), table(3, "x", "y", 10)), runs[2]!];
    expect(dynamic.choose(tree([zero, none, none, level(...two)]))).toMatchObject({
      kind: "merge",
      inputs: [
        { level: 0, tables: [7, 8] },
        { level: 3, tables: [2, 4] },
      ],
      outputLevel: 3,
      outputRunId: runs[2]!.id,
      reason: "level-0",
    });
  });
});

describe("draining segments", () => {
  const drains = { references: [refersTo(7, 50)] };

  it("comes after level 0 and after a level with twice its target", () => {
    const last = level(run(table(30, "a", "z", 500, drains)));
    const zero = level(run(table(2, "a", "z", 10)), run(table(1, "a", "z", 10)));
    expect(choose(tree([zero, none, none, last], [], [7]))).toMatchObject({ reason: "level-0" });
    const full = level(run(table(10, "a", "c", 1100), table(11, "d", "z", 1100)));
    const below = level(run(table(20, "a", "z", 10)));
    expect(choose(tree([none, full, below, last], [], [7]))).toMatchObject({
      reason: "level-size",
    });
    const slightly = level(run(table(10, "a", "c", 600), table(11, "d", "z", 600)));
    expect(choose(tree([none, slightly, below, last], [], [7]))).toMatchObject({
      reason: "relocate",
    });
  });

  it("rewrites neighbours in place, in bounded batches, and never across a gap", () => {
    const last = run(
      table(1, "a", "b", 100, drains),
      table(2, "c", "d", 100),
      table(3, "e", "f", 100, { references: [refersTo(7, 60)] }),
      table(4, "g", "h", 100, drains),
      table(5, "i", "j", 100, drains),
      table(6, "k", "l", 100, drains),
    );
    const view = tree([none, none, none, level(last)], [], [7]);
    expect(choose(view)).toEqual({
      kind: "merge",
      inputs: [{ level: 3, tables: [3, 4, 5] }],
      outputLevel: 3,
      outputRunId: last.id,
      reason: "relocate",
      tableBytesMax: 400,
      drain: [7],
    });
  });

  it("counts the values to copy as bytes of a batch", () => {
    const heavy = { references: [refersTo(7, 900)] };
    const last = run(table(1, "a", "b", 10, heavy), table(2, "c", "d", 10, heavy));
    expect(named(choose(tree([none, none, none, level(last)], [], [7])))).toEqual([1]);
  });

  it("finishes the segment with the least left, deeper levels first", () => {
    const two = level(
      run(table(1, "a", "b", 10, { references: [refersTo(7, 90), refersTo(8, 9)] })),
    );
    const last = level(run(table(2, "a", "b", 10, { references: [refersTo(9, 50)] })));
    expect(named(choose(tree([none, none, two, last], [], [7, 9])))).toEqual([2]);
    expect(choose(tree([none, none, two, last], [], [7, 8, 9]))).toMatchObject({
      inputs: [{ level: 2, tables: [1] }],
      drain: [7, 8],
    });
  });

  it("reaches level 0 when nothing else is left", () => {
    const zero = run(table(1, "a", "b", 10, drains));
    expect(choose(tree([level(zero)], [], [7]))).toMatchObject({
      inputs: [{ level: 0, tables: [1] }],
      outputLevel: 0,
      outputRunId: zero.id,
      tableBytesMax: 400,
    });
  });

  it("does not move a table that refers to one", () => {
    const one = level(run(table(1, "a", "b", 2500, drains)));
    expect(choose(tree([none, one], [], [7]))).toMatchObject({
      kind: "merge",
      outputLevel: 2,
      drain: [7],
    });
  });
});

describe("running jobs", () => {
  it("keep new jobs out of the gap between their tables, on both of their levels", () => {
    // The output of 1 and 3 may be one table over the gap at level 2: 2 must not get there first.
    const one = run(table(1, "a", "c", 900), table(2, "m", "n", 3000), table(3, "x", "z", 900));
    expect(choose(tree([none, level(one)], [1, 3]))).toEqual({ kind: "idle" });
    const two = run(table(12, "m", "n", 9000));
    expect(choose(tree([none, level(run(table(1, "a", "z", 900))), level(two)], [1]))).toEqual({
      kind: "idle",
    });
  });

  it("leave other ranges and other levels free", () => {
    const one = run(table(1, "a", "c", 900), table(2, "m", "n", 3000));
    expect(named(choose(tree([none, level(one)], [1])))).toEqual([2]);
    const shape = { fanout: 4, baseLevelBytes: 1000, levelCount: 6, dynamicLevelBytes: false };
    const three = level(run(table(31, "a", "c", 70_000)));
    const view = tree([none, level(run(table(1, "a", "c", 900))), none, three], [1]);
    expect(named(flexiblePolicy(shape).choose(view))).toEqual([31]);
  });

  it("of level 0 may end at any level below", () => {
    const zero = level(run(table(1, "a", "z", 10)));
    const three = level(run(table(31, "a", "c", 70_000)));
    const shape = { fanout: 4, baseLevelBytes: 1000, levelCount: 6, dynamicLevelBytes: false };
    const view = tree([zero, none, none, three], [1]);
    expect(flexiblePolicy(shape).choose(view)).toEqual({ kind: "idle" });
  });
});
