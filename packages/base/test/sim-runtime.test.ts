import { describe, expect, it } from "vitest";
import { SimFs, simRuntime } from "../src/testing/index.ts";

describe("simRuntime", () => {
  it("stands still until it is moved, and runs timers at their time", () => {
    const runtime = simRuntime(1);
    const { clock, scheduler } = runtime;
    const start = clock.wallMs();
    const seen: string[] = [];
    const note = (name: string) => () => seen.push(`${name}@${clock.monotonicMs()}`);
    scheduler.after(20, note("b"));
    scheduler.after(10, () => {
      note("a")();
      scheduler.after(5, note("a2"));
      scheduler.after(100, note("late"));
    });
    scheduler.after(20, note("c"));
    scheduler.after(12, note("cancelled")).cancel();
    expect(clock.monotonicMs()).toBe(0);
    runtime.advance(30);
    expect(seen).toEqual(["a@10", "a2@15", "b@20", "c@20"]);
    expect([clock.monotonicMs(), clock.wallMs() - start, scheduler.pending]).toEqual([30, 30, 1]);
    clock.jumpWall(-86_400_000);
    expect([clock.monotonicMs(), clock.wallMs() - start]).toEqual([30, 30 - 86_400_000]);
  });

  it("runs tasks by hand: those that wait, not those that they add", () => {
    const runtime = simRuntime(1, { turns: "manual" });
    const seen: number[] = [];
    runtime.scheduler.nextTurn(() => {
      seen.push(1);
      runtime.scheduler.nextTurn(() => seen.push(3));
    });
    runtime.scheduler.nextTurn(() => seen.push(2));
    runtime.scheduler.after(0, () => seen.push(0));
    expect(runtime.turn()).toBe(true);
    expect(seen).toEqual([0, 1, 2]);
    expect([runtime.turn(), runtime.turn()]).toEqual([true, false]);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  it("runs tasks in turns of the real loop, and afterThis before them", async () => {
    const { scheduler } = simRuntime(1);
    const seen: string[] = [];
    await new Promise<void>((resolve) => {
      scheduler.nextTurn(() => seen.push("turn"));
      scheduler.nextTurn(resolve);
      scheduler.afterThis(() => seen.push("after this"));
      seen.push("this");
    });
    expect(seen).toEqual(["this", "after this", "turn"]);
  });

  it("orders tasks by the seed alone", () => {
    const orderOf = (seed: number): string => {
      const { scheduler, random, turn } = simRuntime(seed, { turns: "manual", order: "random" });
      const seen: number[] = [];
      for (let i = 0; i < 10; i++) scheduler.nextTurn(() => seen.push(i));
      random.uint32();
      turn();
      expect([...seen].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      return seen.join();
    };
    expect(orderOf(1)).toBe(orderOf(1));
    expect(new Set([1, 2, 3, 4].map(orderOf)).size).toBeGreaterThan(2);
    // The code under test draws the same numbers, whatever the order of turns drew.
    const fifo = simRuntime(7);
    const mixed = simRuntime(7, { turns: "manual", order: "random" });
    for (let i = 0; i < 5; i++) mixed.scheduler.nextTurn(() => undefined);
    mixed.turn();
    expect(mixed.random.uint32()).toBe(fifo.random.uint32());
  });

  it("jumps to the next timer by itself when nothing else waits", async () => {
    const { clock, scheduler } = simRuntime(1, { autoAdvance: true });
    await new Promise<void>((resolve) => {
      scheduler.after(60_000, () => scheduler.after(60_000, resolve));
    });
    expect(clock.monotonicMs()).toBe(120_000);
    expect(scheduler.pending).toBe(0);
  });

  it("moves at each reading when told so", () => {
    const { clock } = simRuntime(1, { tickMs: 2 });
    expect([clock.monotonicMs(), clock.monotonicMs(), clock.nowMs]).toEqual([2, 4, 4]);
  });

  it("decides what of a file system finishes first", async () => {
    const runtime = simRuntime(3, { turns: "manual", order: "random" });
    const fs = new SimFs({ schedule: (task) => runtime.scheduler.nextTurn(task) });
    const handle = fs.openSync("/a", "create");
    const seen: number[] = [];
    const writes = [0, 1, 2, 3, 4, 5].map((i) =>
      handle.write(new Uint8Array([i]), i).then(() => seen.push(i)),
    );
    expect(handle.sizeSync()).toBe(0);
    runtime.turn();
    await Promise.all(writes);
    expect(seen).not.toEqual([0, 1, 2, 3, 4, 5]);
    expect([...fs.readFile("/a")]).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
