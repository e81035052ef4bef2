import { expect, test } from "vitest";
import {
  decideIndex,
  type IndexDecision,
  type IndexObservation,
  type IndexPlan,
  type IndexTuning,
} from "../src/index-tuner.ts";

const PLAN: IndexPlan = { modelType: "piecewise-linear", errorBlocks: 0.5, blockFactor: 1 };

function seen(change: Partial<IndexObservation>): IndexObservation {
  return {
    level: 2,
    lookups: 5000,
    blocks: 5000,
    blocksRead: 1000,
    tables: 4,
    modelled: 4,
    indexBytes: 1000,
    fileBytes: 1e6,
    searchNs: 100,
    separatorNs: 110,
    ...change,
  };
}

/** Decides once per observation; returns the decisions. */
function run(observations: readonly IndexObservation[], plan = PLAN): IndexDecision[] {
  let tuning: IndexTuning = { plan, advice: undefined };
  return observations.map((observation) => {
    const next = decideIndex(tuning, observation);
    tuning = next.tuning;
    return next.decision;
  });
}

function plansOf(decisions: readonly IndexDecision[]): IndexPlan[] {
  return decisions.map(({ plan }) => plan);
}

test("costs that are as they should be change nothing", () => {
  for (const { changed, plan } of run(Array.from({ length: 10 }, () => seen({})))) {
    expect(changed).toBe(false);
    expect(plan).toEqual(PLAN);
  }
});

test("a change takes the same advice twice", () => {
  const slow = seen({ searchNs: 150 });
  expect(plansOf(run([slow, slow]))).toEqual([PLAN, { ...PLAN, errorBlocks: 0.25 }]);
  expect(plansOf(run([slow, seen({}), slow, seen({})])).every((plan) => plan === PLAN)).toBe(true);
  const reasons = run([slow, slow]).map(({ reason }) => reason);
  expect(reasons).toEqual([
    "to be confirmed: searches are slow: closer lines",
    "searches are slow: closer lines",
  ]);
});

test("too few look-ups say nothing, and forget nothing", () => {
  const slow = seen({ searchNs: 150 });
  const few = seen({ lookups: 999, searchNs: 150 });
  expect(plansOf(run([slow, few, few, slow])).at(-1)!.errorBlocks).toBe(0.25);
  expect(run([few, few, few]).every(({ plan }) => plan === PLAN)).toBe(true);
});

test("a model whose searches stay slow is given up", () => {
  const decisions = run(Array.from({ length: 12 }, () => seen({ searchNs: 150 })));
  expect(decisions.at(-1)!.plan.modelType).toBe("none");
  const none = { ...PLAN, modelType: "none" } as const;
  const after = run(
    Array.from({ length: 4 }, () => seen({ searchNs: 150, modelled: 0 })),
    none,
  );
  expect(after.every(({ changed }) => !changed)).toBe(true);
});

test("a model that was given up is tried again, ever later as long as it stays slow", () => {
  /** Models are slow for so many decisions; without one there is nothing to time. */
  const watch = (slowFor: number, count: number): string[] => {
    let tuning: IndexTuning = { plan: PLAN, advice: undefined };
    return Array.from({ length: count }, (_, i) => {
      const times = { searchNs: i < slowFor ? 150 : 90, separatorNs: 110 };
      const none = { modelled: 0, searchNs: 0, separatorNs: 0 };
      const isNone = tuning.plan.modelType === "none";
      ({ tuning } = decideIndex(tuning, seen(isNone ? none : times)));
      return tuning.plan.modelType;
    });
  };
  const slow = watch(Number.POSITIVE_INFINITY, 200);
  const tries = slow.flatMap((type, i) => (type !== "none" && slow[i - 1] === "none" ? [i] : []));
  expect(tries.length).toBeGreaterThan(2);
  const gaps = tries.slice(1).map((at, i) => at - tries[i]!);
  for (const [i, gap] of gaps.slice(1).entries()) expect(gap).toBeGreaterThan(gaps[i]! * 1.5);
  // Keys that suit models came: one more try, and they stay.
  expect(
    watch(30, 200)
      .slice(100)
      .every((type) => type === "piecewise-linear"),
  ).toBe(true);
  // Who asked for separators keeps them.
  const none = { ...PLAN, modelType: "none" } as const;
  const after = run(
    Array.from({ length: 600 }, () => seen({ modelled: 0 })),
    none,
  );
  expect(after.every(({ plan }) => plan.modelType === "none")).toBe(true);
});

test("blocks that are mostly read get smaller, heavy indexes get larger blocks, within bounds", () => {
  const cold = Array.from({ length: 20 }, () => seen({ blocksRead: 4000 }));
  expect(run(cold).at(-1)!.plan.blockFactor).toBe(0.5);
  const heavy = Array.from({ length: 20 }, () => seen({ blocksRead: 10, indexBytes: 9000 }));
  expect(run(heavy).at(-1)!.plan.blockFactor).toBe(4);
});

test("advice that turns around does not swing the plan", () => {
  const cold = seen({ blocksRead: 4000 });
  const heavy = seen({ blocksRead: 10, indexBytes: 9000 });
  const swinging = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? cold : heavy));
  expect(run(swinging).every(({ plan }) => plan === PLAN)).toBe(true);
});

test("the same observations give the same decisions", () => {
  const observations = Array.from({ length: 30 }, (_, i) =>
    seen({ searchNs: (i * 37) % 200, blocksRead: (i * 911) % 5000, indexBytes: (i * 577) % 9000 }),
  );
  expect(run(observations)).toEqual(run(observations));
});
