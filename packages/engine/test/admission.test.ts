/** Writes that wait: what debt costs, how answers are delayed, and what that does to level 0. */

import { SimFs, simRuntime } from "@aura/base/testing";
import { flexiblePolicy, type TreeView } from "@aura/compaction-rl";
import { describe, expect, test } from "vitest";
import { DelayedAnswers } from "../src/delayed-answers.ts";
import { AuraDB, type Settings, type StallEvent, WriteBatch } from "../src/index.ts";
import { simulatedJobs } from "../src/job-lanes.ts";
import type { Memtables } from "../src/memtables.ts";
import type { Version } from "../src/version.ts";
import { WriteDebt } from "../src/write-debt.ts";
import { directory } from "./support/names-run.ts";

const MEMTABLE = 1000;
const TREE = { baseLevelBytes: 10 * MEMTABLE, fanout: 10, tableBytesMin: 1 };

/** Debt over a tree that a test sets. */
function world(countMax = 3) {
  const state = { sealed: 0, used: 0, runs: 0, debtBytes: 0, overwriteShare: 0, base: 0 };
  const policy = flexiblePolicy({ ...TREE, levelCount: 3, l0Trigger: 4 });
  const runtime = simRuntime(1);
  const memtables = {
    get sealed() {
      return Array.from({ length: state.sealed });
    },
    get active() {
      return { table: { usedBytes: state.used } };
    },
  } as unknown as Memtables;
  const levels = () => {
    const run = { tables: [{ bytes: MEMTABLE }] };
    const level = (bytes: number) => ({ runs: [{ tables: [{ bytes }] }] });
    const runs = Array.from({ length: state.runs }, () => run);
    return { levels: [{ runs }, level(state.base), level(100 * MEMTABLE)] };
  };
  const debt = new WriteDebt({
    clock: runtime.clock,
    memtables,
    memtableBytes: MEMTABLE,
    memtableCountMax: countMax,
    l0Trigger: 4,
    // Runs of level 0 as long as a memtable, 100 times that in the last level.
    version: () => levels() as unknown as Version,
    waitingBytes: () => policy.waitingBytes(levels() as unknown as TreeView),
    debtBytes: () => state.debtBytes,
    overwriteShare: () => state.overwriteShare,
    fanout: TREE.fanout,
    enabled: true,
    onMeasured: () => undefined,
  });
  return { state, debt, runtime };
}

describe("debt", () => {
  test("begins sooner where what waits in level 0 is garbage below, and is bounded", () => {
    const { state, debt } = world();
    debt.noteFlush(1000, 1000, 10);
    const costOf = (runs: number, overwriteShare: number): number => {
      Object.assign(state, { runs, overwriteShare });
      debt.noteVersion();
      return debt.msPerByte;
    };
    expect(costOf(10, 0)).toBe(0);
    // Up to the trigger it goes down anyway.
    expect(costOf(4, 1)).toBe(0);
    expect(costOf(6, 1)).toBe(0);
    const costs = [7, 10, 13].map((runs) => costOf(runs, 1));
    expect(costs).toEqual([...costs].sort((a, b) => a - b));
    expect(costs[0]).toBeGreaterThan(0);
    expect(costOf(10, 0.75)).toBeLessThan(costs[1]!);
    expect(costOf(10, 0.75)).toBeGreaterThan(0);
    expect(costOf(10, 0.5)).toBe(0);
    state.base = 10 * MEMTABLE;
    expect(costOf(4, 1)).toBe(0);
    state.base = 20 * MEMTABLE;
    expect(costOf(4, 1)).toBeGreaterThan(0);
    state.base = 0;
    costOf(10, 1);
    expect(debt.cause).toBe("compaction");
    expect(debt.urgency).toBeGreaterThan(1);
    expect(costOf(30, 1) / costOf(13, 1)).toBeLessThan(4);
  });

  test("costs nothing below its thresholds, and then ever more, without a step", () => {
    for (const countMax of [2, 3, 4, 16]) {
      const { state, debt } = world(countMax);
      debt.noteFlush(1000, 1000, 10);
      let before = 0;
      let begun = 0;
      for (let used = 0; used <= countMax * MEMTABLE; used++) {
        state.sealed = Math.min(countMax - 1, Math.floor(used / MEMTABLE));
        state.used = used - state.sealed * MEMTABLE;
        const cost = debt.msPerByte;
        expect(cost).toBeGreaterThanOrEqual(before);
        // At most what a byte may add: 2 d / rate, with d from 0 to 1 over a third of the memory.
        expect(cost - before).toBeLessThanOrEqual(2 / 100 / (MEMTABLE * (countMax / 3)) + 1e-9);
        if (begun === 0 && cost > 0) begun = used;
        before = cost;
      }
      expect(begun / (countMax * MEMTABLE)).toBeGreaterThanOrEqual(0.5);
      // Full: writes come at half of the rate at which flushes work.
      expect(before).toBeCloseTo(2 / 100, 6);
    }
  });

  test("of level 0 and of levels below costs at the measured rate", () => {
    const { state, debt, runtime } = world();
    state.runs = 8;
    debt.noteVersion();
    debt.noteMergeBegun();
    runtime.advance(50);
    debt.noteMergeEnded([{ level: 0, tables: [{ bytes: 5000 }] }], 20_000);
    debt.noteFlush(1000, 1000, 1);
    expect(debt.msPerByte).toBe(0);
    state.runs = 26;
    debt.noteVersion();
    expect(debt.msPerByte).toBeCloseTo(1 / 100, 6); // half way from 16 to 36 runs: as fast as it drains
    expect(debt.cause).toBe("level-0");
    state.runs = 0;
    state.debtBytes = 400 * 150_000; // 150 s of merges at 400 bytes/ms: half way from 60 to 240 s
    debt.noteVersion();
    expect(debt.cause).toBe("compaction");
    const { drainBytesPerSecond } = debt.stats().compaction;
    expect((debt.msPerByte * drainBytesPerSecond) / 1000).toBeCloseTo(1, 0);
  });

  test("that was there before is no price of what is flushed now", () => {
    const { state, debt, runtime } = world();
    state.debtBytes = 30e9;
    debt.noteVersion();
    debt.noteMergeBegun();
    runtime.advance(50);
    debt.noteMergeEnded([], 20_000);
    debt.noteFlush(1000, 1000, 1);
    expect(debt.cause).toBe("compaction");
    // Half of the speed of merges, 400 bytes/ms, by what a flushed byte costs them: 21 of them.
    expect(1 / debt.msPerByte).toBeCloseTo(400 / 20 / 2, 6);
    // Nor does more debt than the limit stop writes altogether.
    state.debtBytes = 60e9;
    debt.noteVersion();
    expect(1 / debt.msPerByte).toBeCloseTo(400 / 100 / 2, 6);
  });

  test("slows low priority down first", () => {
    const { state, debt } = world();
    debt.noteFlush(1000, 1000, 10);
    state.sealed = 1;
    state.used = 500;
    debt.noteVersion();
    expect(debt.msPerByte).toBe(0);
    expect(debt.lowMsPerByte).toBeGreaterThan(0);
    state.sealed = 2;
    expect(debt.lowMsPerByte).toBeGreaterThan(2.9 * debt.msPerByte);
    state.sealed = 0;
    state.used = 900;
    expect(debt.lowMsPerByte).toBe(0);
  });
});

describe("delayed answers", () => {
  test("come in order, at the rate that their costs ask for, by one timer", async () => {
    const runtime = simRuntime(1);
    const answers = new DelayedAnswers(runtime.clock, runtime.scheduler, () => true);
    const order: number[] = [];
    for (let i = 0; i < 1000; i++) {
      void (answers.answer(0.1, 1000) ?? Promise.resolve()).then(() => order.push(i));
      expect(runtime.scheduler.pending).toBeLessThanOrEqual(1);
    }
    runtime.advance(50);
    await new Promise((resolve) => setImmediate(resolve));
    expect(order.length).toBeGreaterThan(490);
    expect(order.length).toBeLessThan(560);
    runtime.advance(60);
    await new Promise((resolve) => setImmediate(resolve));
    expect(order).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(runtime.scheduler.pending).toBe(0);
  });

  test("are given at once when the reason is gone, and never kept beyond their limit", async () => {
    const runtime = simRuntime(1);
    let needed = true;
    const answers = new DelayedAnswers(runtime.clock, runtime.scheduler, () => needed);
    let given = 0;
    for (let i = 0; i < 5; i++) void answers.answer(10_000, 100)!.then(() => given++);
    runtime.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
    expect(given).toBe(5);
    void answers.answer(500, 1000)!.then(() => given++);
    needed = false;
    answers.look();
    await new Promise((resolve) => setImmediate(resolve));
    expect(given).toBe(6);
    expect(answers.charge(0.5, 1000)).toBe(0);
  });
});

const settings: Settings = {
  wal: { backgroundSyncBytes: 0 },
  memtable: { maxSize: 262144, maxCount: 3 },
  table: { maxSize: 65536, compression: "none" },
  compaction: { l0Trigger: 2, baseLevelSize: 262144, fanout: 4 },
};

interface Load {
  readonly runsMax: number;
  readonly stats: ReturnType<AuraDB["stats"]>;
  readonly events: readonly StallEvent[];
}

/** Writes without end, as seen by a clock that moves with each look at it. */
async function load(delay: boolean, sync: boolean): Promise<Load> {
  const fs = new SimFs();
  const runtime = simRuntime(1, { tickMs: 0.05, autoAdvance: true });
  const executor = simulatedJobs(fs, runtime);
  const all = { ...settings, admission: { delay } };
  const db = await AuraDB.open(directory, all, { fs, runtime, executor });
  const events: StallEvent[] = [];
  db.events.on("stall", (event) => events.push(event));
  let runsMax = 0;
  for (let i = 0; i < 1500; i++) {
    const batch = new WriteBatch();
    for (let k = 0; k < 50; k++)
      batch.put(`key ${(i * 7919 + k * 104729) % 99991}`, "v".repeat(80));
    if (sync) db.writeSync(batch);
    else await db.write(batch);
    runsMax = Math.max(runsMax, db.stats().levels[0]!.runs);
  }
  const stats = db.stats();
  await db.close();
  return { runsMax, stats, events };
}

test("level 0 stays bounded under endless load, which it does not without delay", async () => {
  const { runsMax, stats, events } = await load(true, true);
  // At its equilibrium level 0 has something between 8 and 18 runs.
  expect(runsMax).toBeLessThanOrEqual(16);
  expect(stats.admission.delayedWrites).toBeGreaterThan(0);
  expect(stats.admission.delayMs).toBeGreaterThan(0);
  expect(events[0]).toMatchObject({ kind: "delay", phase: "start", endMs: undefined });
  const ended = events.find(({ phase }) => phase === "end")!;
  expect(ended.endMs).toBeGreaterThan(ended.startMs);
  const free = await load(false, true);
  expect(free.stats.admission.delayedWrites).toBe(0);
  expect(free.runsMax).toBeGreaterThan(runsMax);
});

test("promises that wait for debt all resolve, in call order", async () => {
  const { runsMax, stats } = await load(true, false);
  expect(runsMax).toBeLessThanOrEqual(16);
  expect(stats.admission.waiting).toBe(0);
});
