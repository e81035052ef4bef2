/**
 * Commit where it is hard: writes beyond the memtables, appends that are still under way, buffered
 * operations, and logs that cannot be made, written or synced.
 */
import { SeededRandom } from "@aura/base";
import { type PlannedFault, type SimErrorName, SimFs, simRuntime } from "@aura/base/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { LogSync } from "../src/log-sync.ts";
import { directory, openSim, smallSettings } from "./support/names-run.ts";

/** Holds an append of over 1 MiB: such a group is appended on the thread pool. */
const roomySettings: Settings = {
  memtable: { maxSize: 4 << 20, maxCount: 2 },
  valueLog: { separationThreshold: 1 << 20 },
};
const LARGE_GROUP_COUNT = 2000;
const largeGroupValue = "y".repeat(700);

afterEach(() => {
  vi.restoreAllMocks();
});

/** A file system whose asynchronous calls can be held back. */
function makeHoldingFs(): { fs: SimFs; hold: () => void; held: () => number; release: () => void } {
  const tasks: (() => void)[] = [];
  let holding = false;
  const schedule = (task: () => void): void => {
    if (holding) tasks.push(task);
    else queueMicrotask(task);
  };
  return {
    fs: new SimFs({ schedule }),
    hold: () => {
      holding = true;
    },
    held: () => tasks.length,
    release: () => {
      holding = false;
      for (const task of tasks.splice(0)) task();
    },
  };
}

/** Lets `count` turns of the event loop go by. */
async function turn(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

function makeBatch(keys: readonly string[], value: string): WriteBatch {
  const batch = new WriteBatch();
  for (const key of keys) batch.put(key, value);
  return batch;
}

function makeKeys(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}

function countMissing(db: AuraDB, keys: readonly string[]): number {
  return keys.filter((key) => db.getSync(key) === undefined).length;
}

/** The code of the error that `work` ends with, or undefined. */
async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return undefined;
}

/** Makes the next `create` of a log fail, once. */
function failNextLog(fs: SimFs, error: SimErrorName = "EMFILE"): PlannedFault {
  return fs.failAt({ at: (kind, path) => kind === "create" && path.endsWith(".wal"), error });
}

/** The values of `names` in an image, by name. */
async function readImage(
  image: SimFs,
  names: readonly string[],
): Promise<Record<string, string | undefined>> {
  const db = await openSim(image);
  const values = names.map((name) => [name, db.getSync(name)?.toString()] as const);
  await db.close();
  return Object.fromEntries(values);
}

describe("batches that nobody awaits, more than the memtables hold", () => {
  const BATCHES = 30;
  const SEEDS = [1, 2, 3];

  async function burst(how: "getSync" | "putSync", seed: number): Promise<object> {
    const fs = new SimFs();
    const random = new SeededRandom(seed);
    const db = await openSim(fs, {
      memtable: { maxSize: 262144, maxCount: 2 },
      valueLog: { separationThreshold: 8192 },
    });
    const count = { acknowledged: 0, rejected: 0 };
    const keys: string[] = [];
    for (let i = 0; i < BATCHES; i++) {
      const own = makeKeys(`b${i}/`, 1 + random.below(75));
      keys.push(...own);
      db.write(makeBatch(own, "x".repeat(3000))).then(
        () => count.acknowledged++,
        () => count.rejected++,
      );
    }
    if (how === "getSync") db.getSync("nothing");
    else db.putSync("another", "1");
    for (let i = 0; i < 1000 && count.acknowledged + count.rejected < BATCHES; i++) await turn(1);
    const missing = countMissing(db, keys);
    const stalled = db.stats().stalls > 0;
    const again = await openSim(fs.processKill());
    const missingAfterKill = countMissing(again, keys);
    await again.close();
    await db.close();
    return { ...count, missing, missingAfterKill, stalled };
  }

  test.each(["getSync", "putSync"] as const)("are all written when a %s comes", async (how) => {
    for (const seed of SEEDS) {
      expect(await burst(how, seed), `seed ${seed}`).toEqual({
        acknowledged: BATCHES,
        rejected: 0,
        missing: 0,
        missingAfterKill: 0,
        stalled: true,
      });
    }
  });
});

describe("an append that the thread pool has not finished", () => {
  test("is landed by a read, and a large group may follow it at once", async () => {
    const pool = makeHoldingFs();
    const db = await openSim(pool.fs, roomySettings);
    let acknowledged = 0;
    const errors: unknown[] = [];
    const writeGroup = (keys: readonly string[]): void => {
      for (const key of keys) {
        db.put(key, largeGroupValue).then(
          () => acknowledged++,
          (error) => errors.push(error),
        );
      }
    };
    const first = makeKeys("a", LARGE_GROUP_COUNT);
    const second = makeKeys("b", LARGE_GROUP_COUNT);
    pool.hold();
    writeGroup(first);
    await turn(1);
    expect(pool.held()).toBeGreaterThan(0);
    // The first one was alone when it came, and went out at once.
    expect(acknowledged).toBe(1);
    expect(countMissing(db, first)).toBe(0);
    writeGroup(second);
    await turn(1);
    pool.release();
    await turn(50);
    expect(errors).toEqual([]);
    expect(acknowledged).toBe(2 * LARGE_GROUP_COUNT);
    const again = await openSim(pool.fs.processKill(), roomySettings);
    expect(countMissing(again, [...first, ...second])).toBe(0);
    await again.close();
    await db.close();
  });

  test("belongs to its log when a flush ends that log, and its syncs cover it", async () => {
    const pool = makeHoldingFs();
    const db = await openSim(pool.fs, roomySettings);
    db.putSync("first", "1");
    const firstFlush = db.flush();
    for (let i = 0; i < 4; i++) await null;
    db.putSync("second", "2");
    // There is no room for another memtable: this flush waits for the first one.
    const secondFlush = db.flush();
    await null;
    await null;
    pool.hold();
    let acknowledged = 0;
    const keys = makeKeys("k", LARGE_GROUP_COUNT);
    const writes = keys.map(async (key) => {
      await db.put(key, largeGroupValue, { sync: true });
      acknowledged++;
    });
    await firstFlush;
    await secondFlush;
    await turn(50);
    expect(pool.held()).toBeGreaterThan(0);
    expect(acknowledged).toBe(0);
    pool.release();
    await Promise.all(writes);
    expect(acknowledged).toBe(LARGE_GROUP_COUNT);
    await turn(50);
    for (const image of [pool.fs.processKill(), pool.fs.crash({ data: "none" })]) {
      const again = await openSim(image, roomySettings);
      expect(countMissing(again, keys)).toBe(0);
      await again.close();
    }
    await db.close();
  });
});

describe("buffered writes", () => {
  test("reach the log within their delay in a loop that never turns", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, smallSettings, { fs, runtime });
    const keys = makeKeys("k", 100);
    for (const [i, key] of keys.entries()) {
      db.putSync(key, "value", { durability: "buffered" });
      runtime.clock.moveTo(i * 100);
    }
    const again = await openSim(fs.processKill());
    // Only the last one is younger than its delay.
    expect(countMissing(again, keys)).toBeLessThanOrEqual(1);
    await again.close();
    await db.close();
  });

  test("that cannot be written leave nothing acknowledged behind them", async () => {
    const fs = new SimFs();
    const db = await openSim(fs);
    db.putSync("before", "1");
    await db.flush();
    db.putSync("buffered", "1", { durability: "buffered" });
    const outcomes: string[] = [];
    const note = (name: string): Promise<void> =>
      db.write(makeBatch(makeKeys(name, 400), "v".repeat(300))).then(
        () => void outcomes.push(`${name} acknowledged`),
        () => void outcomes.push(`${name} rejected`),
      );
    const faults = [failNextLog(fs, "EIO"), failNextLog(fs, "EIO")];
    const writes = [note("a"), note("b")];
    await codeOf(() => db.getSync("before"));
    await Promise.all(writes);
    expect(faults[0]!.fired).toBe(1);
    expect(outcomes).toEqual(["a rejected", "b rejected"]);
    expect(db.stats().failure).toContain("EIO");
    expect(await readImage(fs.processKill(), ["before", "buffered", "a0", "b0"])).toEqual({
      before: "1",
      buffered: undefined,
      a0: undefined,
      b0: undefined,
    });
  });
});

describe("a log that cannot be created once", () => {
  /** A database whose next write needs a new log, which cannot be created. */
  async function openWithoutLog(): Promise<{ fs: SimFs; db: AuraDB; fault: PlannedFault }> {
    const fs = new SimFs();
    const db = await openSim(fs);
    db.putSync("a", "1");
    await db.flush();
    return { fs, db, fault: failNextLog(fs) };
  }

  test.each(["putSync", "put"] as const)(
    "fails one %s, and what is acknowledged after it survives",
    async (how) => {
      const { fs, db, fault } = await openWithoutLog();
      expect(await codeOf(() => db[how]("b", "2"))).toBe("AURA_IO");
      expect(fault.fired).toBe(1);
      db.putSync("c", "3");
      db.putSync("d", "4", { sync: true });
      expect(db.stats().durableSeq).toBe(db.stats().lastSeq);
      for (const image of [fs.processKill(), fs.crash({ data: "none" })]) {
        expect(await readImage(image, ["a", "b", "c", "d"])).toEqual({
          a: "1",
          b: undefined,
          c: "3",
          d: "4",
        });
      }
      await db.close();
    },
  );

  test("leaves a sync with an end", async () => {
    const { db, fault } = await openWithoutLog();
    expect(await codeOf(() => db.putSync("b", "2"))).toBe("AURA_IO");
    expect(fault.fired).toBe(1);
    const { sync } = LogSync.prototype;
    let syncs = 0;
    // An endless row of syncs never lets a timer run: only the calls themselves can stop it.
    vi.spyOn(LogSync.prototype, "sync").mockImplementation(function (this: LogSync) {
      syncs++;
      return syncs > 10 ? Promise.reject(new Error("syncs without an end")) : sync.call(this);
    });
    expect(await codeOf(() => db.sync())).toBe(undefined);
    expect(syncs).toBeLessThanOrEqual(1);
    expect(db.stats().durableSeq).toBe(db.stats().lastSeq);
    await db.close();
  });
});

describe("a log that fails", () => {
  test("in one append does not end writing, and later writes can be synced", async () => {
    const fs = new SimFs();
    const db = await openSim(fs);
    db.putSync("a", "1");
    const fault = fs.failAt({
      at: (kind, path) => kind === "write" && path.endsWith(".wal"),
      error: "ENOSPC",
    });
    expect(await codeOf(() => db.putSync("b", "2"))).toBe("AURA_OUT_OF_SPACE");
    expect(fault.fired).toBe(1);
    db.putSync("c", "3");
    db.putSync("d", "4", { sync: true });
    db.putSync("e", "5");
    expect(db.stats().failure).toBe(undefined);
    const names = ["a", "b", "c", "d", "e"];
    const synced = { a: "1", b: undefined, c: "3", d: "4" };
    expect(await readImage(fs.processKill(), names)).toEqual({ ...synced, e: "5" });
    expect(await readImage(fs.crash({ data: "none" }), names)).toEqual({ ...synced, e: undefined });
    await db.close();
  });

  test("in one sync that drops its pages opens again with what was synced before", async () => {
    const fs = new SimFs();
    const db = await openSim(fs);
    db.putSync("a", "1");
    db.putSync("large", "v".repeat(1000));
    db.syncSync();
    db.putSync("b", "1");
    db.putSync("large", "w".repeat(1000));
    const fault = fs.failAt({
      at: (kind, path) => kind === "sync" && path.endsWith(".wal"),
      error: "EIO",
      sync: "drop",
    });
    expect(await codeOf(() => db.syncSync())).toBe("AURA_UNKNOWN_OUTCOME");
    expect(fault.fired).toBe(1);
    for (const image of [fs.processKill(), fs.crash({ data: "none" })]) {
      const { a, large } = await readImage(image, ["a", "large"]);
      expect(a).toBe("1");
      expect(large).toMatch(/^(v{1000}|w{1000})$/);
    }
  });
});

test("a sync write acknowledged after a reopen behind a failed sync survives power loss", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  let db = await AuraDB.open("/db", {}, { fs, runtime });
  db.putSync("a", "os");
  fs.failAt({
    at: (kind, path) => kind === "sync" && path.endsWith(".wal"),
    error: "EIO",
    sync: "keep",
  });
  await expect(db.sync()).rejects.toThrow();
  await db.close();
  db = await AuraDB.open("/db", {}, { fs, runtime });
  db.putSync("b", "synced", { sync: true });
  const lost = fs.crash({ data: "none", names: "all" });
  const again = await AuraDB.open("/db", {}, { fs: lost, runtime });
  expect(again.getSync("a")?.toString()).toBe("os");
  expect(again.getSync("b")?.toString()).toBe("synced");
  await again.close();
  await db.close();
});

test("writes that wait for room are refused when a failure ends writing", async () => {
  const fs = new SimFs();
  const memtable = { maxSize: 262144, maxCount: 2 };
  const db = await openSim(fs, { memtable, valueLog: { separationThreshold: 8192 } });
  db.putSync("v", "v".repeat(9000));
  fs.failAt({
    at: (kind, path) => kind.startsWith("sync") && path.endsWith(".vlog"),
    error: "EIO",
  });
  const puts = Array.from({ length: 400 }, (_, i) => db.put(`k${i}`, "x".repeat(3000)));
  const results = await Promise.allSettled(puts);
  const refused = results.filter(({ status }) => status === "rejected");
  expect(refused.length).toBeGreaterThan(0);
  await db.close();
});

test("a log that recovery was done with does not come back by a second power loss", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  db.putSync("a", "v".repeat(20_000));
  let cut = 0;
  for (let seed = 0; seed < 60; seed++) {
    const once = fs.crash({ seed });
    const second = await openSim(once);
    if (second.getSync("a") === undefined) cut++;
    second.putSync("b", "1", { durability: "sync" });
    const twice = once.crash({ seed: seed + 1000 });
    await second.close();
    const third = await openSim(twice);
    expect(third.getSync("b")?.toString()).toBe("1");
    await third.close();
  }
  expect(cut).toBeGreaterThan(0);
  await db.close();
});

test("a watermark that was cut short does not spoil a clean close", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(7);
  const db = await AuraDB.open(directory, smallSettings, { fs, runtime });
  db.putSync("a", "1", { durability: "sync" });
  const fault = fs.failAt({
    at: (kind, path) => kind === "write" && path.endsWith(".wal"),
    error: "ENOSPC",
    partial: 20,
  });
  runtime.advance(50);
  expect(fault.fired).toBe(1);
  await db.close();
  const again = await openSim(fs);
  expect(again.getSync("a")?.toString()).toBe("1");
  await again.close();
});

test("a close says that acknowledged buffered writes were lost", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  db.putSync("b", "2", { durability: "buffered" });
  fs.failAt({
    at: (kind, path) => (kind === "write" || kind === "create") && path.endsWith(".wal"),
    error: "EIO",
    sticky: true,
  });
  await expect(db.put("a", "1")).rejects.toThrow();
  expect(() => db.putSync("c", "3", { durability: "buffered" })).toThrow();
  await expect(db.close()).rejects.toThrow();
  expect(fs.openHandles).toBe(0);
});
