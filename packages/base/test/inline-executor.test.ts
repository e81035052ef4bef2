import { describe, expect, it } from "vitest";
import { AuraError } from "../src/errors.ts";
import type { JobBody, JobContext, JobQueue, JobTable } from "../src/executor.ts";
import { inlineExecutor } from "../src/inline-executor.ts";
import { SimFs, simRuntime } from "../src/testing/index.ts";

const log: string[] = [];

const jobs: JobTable = {
  count: function* ({ name, slices }: { name: string; slices: number }) {
    for (let i = 1; i < slices; i++) {
      log.push(`${name}${i}`);
      yield;
    }
    log.push(`${name}${slices}`);
    return { name };
  } as JobBody,
  hold: function* (_input: unknown, context: JobContext) {
    const file = context.fs.openSync("/held", "create");
    try {
      for (;;) yield;
    } finally {
      file.closeSync();
    }
  } as JobBody,
  // biome-ignore lint/correctness/useYield: a job of one slice.
  fail: function* () {
    throw new AuraError("AURA_OUT_OF_SPACE", "no room");
  },
  unclonable: function* () {
    return () => 0;
  },
};

function setup(clocked = false) {
  log.length = 0;
  const runtime = simRuntime(1, { turns: "manual", tickMs: clocked ? 1 : 0 });
  const fs = new SimFs();
  const clock = clocked ? { clock: runtime.clock, sliceMs: 2 } : {};
  const executor = inlineExecutor({ fs, jobs, scheduler: runtime.scheduler, ...clock });
  return { runtime, fs, executor };
}

function submit(queue: JobQueue, lane: "flush" | "merge" | "sync", name: string, input: unknown) {
  const seen: unknown[] = [];
  const job = queue.submit(
    lane,
    name,
    input,
    (output) => seen.push(output),
    (error) => seen.push((error as { code?: string }).code ?? error.name),
  );
  return { seen, cancel: () => job.cancel() };
}

describe("inlineExecutor", () => {
  it("runs a slice of each lane per turn, the jobs of a lane in order", () => {
    const { runtime, executor } = setup();
    const queue = executor.open();
    const one = submit(queue, "flush", "count", { name: "a", slices: 2 });
    const two = submit(queue, "merge", "count", { name: "b", slices: 3 });
    const three = submit(executor.open(), "flush", "count", { name: "c", slices: 1 });
    expect(log).toEqual([]);
    runtime.turn();
    expect(log).toEqual(["a1", "b1"]);
    runtime.turn();
    expect(one.seen).toEqual([{ name: "a" }]);
    expect(queue.outstanding).toBe(1);
    runtime.turn();
    runtime.turn();
    expect(log).toEqual(["a1", "b1", "a2", "b2", "c1", "b3"]);
    expect([two.seen, three.seen]).toEqual([[{ name: "b" }], [{ name: "c" }]]);
    expect(queue.outstanding).toBe(0);
    expect(runtime.turn()).toBe(false);
  });

  it("blocks until a completion of this queue ran, and keeps those of others", () => {
    const { runtime, executor } = setup();
    const [mine, other] = [executor.open(), executor.open()];
    const theirs = submit(other, "flush", "count", { name: "o", slices: 2 });
    const one = submit(mine, "flush", "count", { name: "m", slices: 2 });
    expect(mine.waitSync(1000)).toBe(true);
    expect(one.seen).toEqual([{ name: "m" }]);
    expect(theirs.seen).toEqual([]);
    runtime.turn();
    expect(theirs.seen).toEqual([{ name: "o" }]);
    expect(mine.waitSync(1000)).toBe(false);
    const two = submit(mine, "flush", "count", { name: "n", slices: 2 });
    const again = submit(other, "flush", "count", { name: "p", slices: 1 });
    expect(other.waitSync(1000)).toBe(true);
    expect(again.seen).toHaveLength(1);
    expect(two.seen).toEqual([]);
    mine.poll();
    expect(two.seen).toHaveLength(1);
    while (runtime.turn());
    expect(two.seen).toHaveLength(1);
  });

  it("holds sliceMs and the limit of waitSync when it has a clock", () => {
    const { runtime, executor } = setup(true);
    const queue = executor.open();
    submit(queue, "flush", "count", { name: "a", slices: 30 });
    runtime.turn();
    expect(log.length).toBe(2);
    expect(queue.waitSync(5)).toBe(false);
    expect(log.length).toBeLessThan(10);
    expect(queue.waitSync(1000)).toBe(true);
  });

  it("reports errors, unknown jobs and results that no thread could send", () => {
    const { executor } = setup();
    const queue = executor.open();
    const seen = ["fail", "toString", "unclonable"].map((name) => {
      const job = submit(queue, "flush", name, undefined);
      queue.waitSync(1);
      return job.seen;
    });
    expect(seen).toEqual([["AURA_OUT_OF_SPACE"], ["AURA_INVALID_ARGUMENT"], [25]]);
    expect(() => submit(queue, "flush", "count", () => 0)).toThrow();
    expect(queue.outstanding).toBe(0);
  });

  it("clones bytes and shares shared memory", () => {
    const shared = new Int32Array(new SharedArrayBuffer(4));
    const bytes = new Uint8Array([1]);
    const table: JobTable = {
      // biome-ignore lint/correctness/useYield: a job of one slice.
      touch: function* (input: { shared: Int32Array; bytes: Uint8Array }) {
        input.shared[0] = 7;
        input.bytes[0] = 7;
        return input.bytes;
      } as JobBody,
    };
    const { runtime, fs } = setup();
    const queue = inlineExecutor({ fs, jobs: table, scheduler: runtime.scheduler }).open();
    submit(queue, "flush", "touch", { shared, bytes });
    bytes[0] = 9;
    queue.waitSync(1);
    expect([shared[0], bytes[0]]).toEqual([7, 9]);
  });

  it("leaves a cancelled job at its next yield, and never begins one that waits", async () => {
    const { runtime, fs, executor } = setup();
    const queue = executor.open();
    const running = submit(queue, "merge", "hold", undefined);
    const waiting = submit(queue, "merge", "count", { name: "w", slices: 1 });
    runtime.turn();
    runtime.turn();
    expect(fs.openHandles).toBe(1);
    waiting.cancel();
    waiting.cancel();
    expect(waiting.seen).toEqual([]);
    runtime.turn();
    expect(waiting.seen).toEqual(["AURA_ABORTED"]);
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
    });
    await Promise.resolve();
    expect(closed).toBe(false);
    while (runtime.turn());
    await closing;
    expect(running.seen).toEqual(["AURA_ABORTED"]);
    expect(fs.openHandles).toBe(0);
    expect(log).toEqual([]);
    expect(() => submit(queue, "flush", "count", {})).toThrow(/closed/);
    await queue.close();
  });

  it("goes on with the next completion when one throws", () => {
    const { runtime, executor } = setup();
    const queue = executor.open();
    const fail = (): void => {
      throw new Error("from the owner");
    };
    queue.submit("flush", "count", { name: "a", slices: 1 }, fail, fail);
    expect(() => queue.waitSync(1)).toThrow("from the owner");
    // Two that are ready at once, in a turn of their own.
    const bad = queue.submit("flush", "count", { name: "b", slices: 1 }, fail, fail);
    const next = submit(queue, "sync", "count", { name: "c", slices: 1 });
    bad.cancel();
    next.cancel();
    expect(() => {
      while (runtime.turn());
    }).toThrow("from the owner");
    expect([next.seen, queue.outstanding]).toEqual([[], 1]);
    while (runtime.turn());
    expect(next.seen).toEqual(["AURA_ABORTED"]);
  });

  it("lets a completion submit, poll and wait", () => {
    const { executor } = setup();
    const queue = executor.open();
    const seen: string[] = [];
    const next = (name: string) => () => {
      seen.push(name);
      if (seen.length > 3) return;
      queue.submit("flush", "count", { name, slices: 2 }, next(`${name}+`), () =>
        seen.push("error"),
      );
      if (seen.length === 2) queue.waitSync(1);
    };
    next("a")();
    while (queue.waitSync(1));
    expect(seen).toEqual(["a", "a+", "a++", "a+++"]);
  });
});
