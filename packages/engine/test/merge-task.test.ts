/** Merges in parts: how they are cut, what becomes of them when a part fails, several at a time. */
import { AuraError, compareKeys, type Executor, type JobQueue, SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { simulatedJobs } from "../src/job-lanes.ts";
import type { MergeInput, MergeOutput } from "../src/jobs/merge.ts";
import { cutRanges, type MergePlan, MergeTask } from "../src/merge-task.ts";
import type { TableMeta } from "../src/version.ts";

function keyOf(n: number): Uint8Array {
  return new Uint8Array([n >>> 8, n]);
}

function tableOf(smallest: number, largest: number, bytes: number): TableMeta {
  return {
    number: smallest,
    uid: { lo: 0, hi: 0 },
    keyspace: 0,
    bytes,
    entryCount: 10,
    deleteCount: 0,
    shadowedCount: 0,
    rangeDeleteCount: 0,
    largestIsExclusive: false,
    smallestKey: keyOf(smallest),
    largestKey: keyOf(largest),
    smallestSeq: 1,
    largestSeq: 2,
    filterBits: 0,
    references: [],
  };
}

test("ranges follow each other without a gap and are about as large as asked for", () => {
  const random = new SeededRandom(4);
  for (let round = 0; round < 200; round++) {
    const tables = Array.from({ length: 1 + random.below(30) }, () => {
      const smallest = random.below(1000);
      return tableOf(smallest, smallest + random.below(60), 50 + random.below(100));
    });
    const partBytes = 100 + random.below(2000);
    const total = tables.reduce((sum, { bytes }) => sum + bytes, 0);
    const ranges = cutRanges(tables, partBytes);
    expect(ranges[0]!.from).toBe(undefined);
    expect(ranges.at(-1)!.to).toBe(undefined);
    expect(ranges.length).toBeLessThanOrEqual(Math.max(1, total / partBytes + 1));
    for (let i = 1; i < ranges.length; i++) {
      expect(ranges[i]!.from).toBe(ranges[i - 1]!.to);
      if (i > 1) expect(compareKeys(ranges[i - 1]!.from!, ranges[i]!.from!)).toBeLessThan(0);
    }
  }
});

test("tables that lie in one heap are one part", () => {
  const heap = [tableOf(1, 900, 1000), tableOf(1, 900, 1000), tableOf(1, 900, 1000)];
  expect(cutRanges(heap, 100)).toEqual([{ from: undefined, to: undefined }]);
});

function outputOf(entriesRead: number): MergeOutput {
  return {
    tables: [],
    segmentChanges: [],
    segmentSeals: [],
    entriesRead,
    entriesWritten: 0,
    bytesRead: 0,
    bytesWritten: 0,
    bytesRelocated: 0,
    busyMs: 0,
    deviceMs: 0,
    valuesPacked: { count: 0, rawBytes: 0, storedBytes: 0 },
  };
}

interface Part {
  readonly onDone: (output: MergeOutput) => void;
  readonly onError: (error: Error) => void;
  cancelled: boolean;
}

function begin(parts: number): { task: MergeTask; running: Part[]; next: () => void } {
  const plan: MergePlan = {
    inputs: [],
    outputLevel: 1,
    outputRunId: undefined,
    tableBytesMax: 100,
    drain: [],
    reason: "test",
  };
  const tables = [tableOf(1, 5, 100), tableOf(6, 9, 100)];
  const slices = [{ level: 0, run: { id: 1, tables }, tables }];
  const inputs = Array.from({ length: parts }, () => ({}) as MergeInput);
  const end = { onDone: () => undefined, onFailed: undefined };
  const task = new MergeTask(plan, slices, inputs, end);
  const running: Part[] = [];
  const next = (): void =>
    task.beginNext(
      (_, onDone, onError) => {
        const part: Part = { onDone, onError, cancelled: false };
        running.push(part);
        return {
          cancel: () => {
            part.cancelled = true;
          },
        };
      },
      () => undefined,
    );
  return { task, running, next };
}

test("a part that fails ends the others, and those not begun never begin", () => {
  const { task, running, next } = begin(3);
  next();
  next();
  expect(task.hasNext).toBe(true);
  running[0]!.onDone(outputOf(10));
  running[1]!.onError(new AuraError("AURA_IO", "no"));
  expect(task.hasNext).toBe(false);
  expect(task.hasEnded).toBe(true);
  expect((task.error as AuraError).code).toBe("AURA_IO");
  expect(task.outputs.length).toBe(1);
});

test("parts that are cancelled are waited for", () => {
  const { task, running, next } = begin(2);
  next();
  next();
  task.cancel();
  expect(running.map(({ cancelled }) => cancelled)).toEqual([true, true]);
  expect(task.hasEnded).toBe(false);
  for (const part of running) part.onError(new AuraError("AURA_ABORTED", "cancelled"));
  expect(task.hasEnded).toBe(true);
});

test("parts that together read too few or too many entries are found out", () => {
  for (const [counts, isRight] of [
    [[12, 8], true],
    [[12, 7], false],
    [[12, 9], false],
  ] as const) {
    const { task, running, next } = begin(2);
    next();
    next();
    running[0]!.onDone(outputOf(counts[0]));
    running[1]!.onDone(outputOf(counts[1]));
    expect(task.hasEnded).toBe(true);
    expect(task.miscount() === undefined).toBe(isRight);
  }
});

/** Runs jobs inline; the merges that `fails` names are lost with their worker. */
function losingJobs(
  fs: SimFs,
  fails: (nth: number) => boolean,
): { executor: Executor; runtime: ReturnType<typeof simRuntime>; most: () => number } {
  const runtime = simRuntime(7);
  const inner = simulatedJobs(fs, runtime);
  let nth = 0;
  let running = 0;
  let most = 0;
  const open = (): JobQueue => {
    const queue = inner.open();
    return {
      get outstanding() {
        return queue.outstanding;
      },
      isServed: (lane) => queue.isServed(lane),
      submit: (lane, name, input, onDone, onError) => {
        if (name !== "merge") return queue.submit(lane, name, input, onDone, onError);
        running++;
        most = Math.max(most, running);
        const isLost = fails(++nth);
        return queue.submit(
          lane,
          isLost ? "no such job" : name,
          input,
          (output) => {
            running--;
            onDone(output);
          },
          (error) => {
            running--;
            onError(isLost ? new AuraError("AURA_WORKER", "the worker was lost") : error);
          },
        );
      },
      poll: () => queue.poll(),
      waitSync: (ms) => queue.waitSync(ms),
      close: () => queue.close(),
    };
  };
  return { executor: { kind: "inline", open }, runtime, most: () => most };
}

test("merges run two parts at a time when somebody waits; a lost worker is an event and a new try", async () => {
  const fs = new SimFs();
  const { executor, runtime, most } = losingJobs(fs, (nth) => nth === 2 || nth === 9);
  const db = await AuraDB.open(
    "/db",
    {
      seed: 3,
      memtable: { maxSize: 262144 },
      table: { maxSize: 65536, compression: "none" },
      compaction: { l0Trigger: 2, baseLevelSize: 65536 * 4, fanout: 4 },
    },
    { fs, runtime, executor },
  );
  const lost: string[] = [];
  db.events.on("backgroundError", ({ severity, activity, error }) => {
    lost.push(`${severity} ${activity} ${(error as AuraError).code}`);
  });
  const random = new SeededRandom(1);
  const expected = new Map<string, string>();
  for (let i = 0; i < 12_000; i++) {
    const key = `key-${random.below(9000)}`;
    const value = `${i}-${"v".repeat(100)}`;
    expected.set(key, value);
    db.putSync(key, value);
  }
  await db.flush();
  // What failed is tried again after a second.
  let isIdle = false;
  const idle = db.idle().then(() => {
    isIdle = true;
  });
  while (!isIdle) {
    runtime.advance(100);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await idle;
  expect(new Set(lost)).toEqual(new Set(["soft compaction AURA_WORKER"]));
  expect(most()).toBe(2);
  const { compactions, levels } = db.stats();
  expect(compactions.merges).toBeGreaterThanOrEqual(1);
  expect(compactions.running).toBe(0);
  expect(levels[0]!.runs).toBeLessThan(2);
  for (const [key, value] of expected) expect(db.getSync(key)?.toString()).toBe(value);
  await db.close();
  expect((await AuraDB.verify("/db", { fs, runtime })).problems).toEqual([]);
});
