/** Defects of logs, queues and priorities that were found by attacking them, each as it was found. */
import { once } from "node:events";
import { SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { bounded, directory, faultSettings } from "./support/fault-run.ts";
import { openSim } from "./support/names-run.ts";

const MIB = 1024 * 1024;
const powerCut = { data: "all", names: "none" } as const;

/** Ends writing with a group whose fate nobody knows, all of which is in the log. */
async function failWithUnknownOutcome(fs: SimFs, db: AuraDB): Promise<void> {
  const fault = fs.failAt({
    error: "EIO",
    partial: 1e6,
    sticky: true,
    at: (kind, path) => ["write", "create", "truncate"].includes(kind) && path.endsWith(".wal"),
  });
  expect(() => db.putSync("lost", "?")).toThrow(
    expect.objectContaining({ code: "AURA_UNKNOWN_OUTCOME" }),
  );
  fault.remove();
}

describe("behind a group of unknown fate that resuming has settled", () => {
  test("a power loss that undoes the removal of its log brings nothing of it back", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
    db.putSync("a", "1", { sync: true });
    await failWithUnknownOutcome(fs, db);
    await bounded("resume", db.resume(), runtime);
    const images = [fs.crash(powerCut), fs.processKill()];
    db.putSync("b", "2", { sync: true });
    images.push(fs.crash(powerCut), fs.processKill());
    await bounded("flush", db.flush(), runtime);
    images.push(fs.crash(powerCut), fs.processKill());
    await bounded("close", db.close(), runtime);
    for (const [i, image] of images.entries()) {
      const again = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
      expect(again.getSync("a")?.toString()).toBe("1");
      expect(again.getSync("b")?.toString()).toBe(i < 2 ? undefined : "2");
      expect(again.getSync("lost")).toBe(undefined);
      await again.close();
    }
  });

  test("a stream that was begun before it ends well, and its value survives", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
    const stream = db.createWriteStream("streamed", { sync: true });
    const value = Buffer.alloc(6 * MIB, "streamed ");
    stream.write(value.subarray(0, 5 * MIB));
    db.putSync("a", "1", { sync: true });
    await bounded("drain", once(stream, "drain"));
    await failWithUnknownOutcome(fs, db);
    await bounded("resume", db.resume(), runtime);
    stream.end(value.subarray(5 * MIB));
    await bounded("finish", once(stream, "finish"), runtime);
    for (const image of [fs.crash({ data: "none", names: "none" }), fs.processKill()]) {
      const again = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
      expect(again.getSync("streamed")?.equals(value)).toBe(true);
      await bounded("flush", again.flush(), runtime);
      await again.close();
      const third = await AuraDB.open(directory, faultSettings, { fs: image, runtime });
      expect(third.getSync("streamed")?.equals(value)).toBe(true);
      await third.close();
      expect((await AuraDB.verify(directory, { fs: image, runtime })).problems).toEqual([]);
    }
    await bounded("close", db.close(), runtime);
  });
});

test.each(["low", "high"] as const)("a long stream has its priority: %s", async (priority) => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, {}, { fs, runtime });
  const stream = db.createWriteStream("k", { priority });
  stream.write(Buffer.alloc(5 * MIB));
  await bounded("drain", once(stream, "drain"));
  // Another call, and a low write that has to stand back for it.
  db.getSync("x");
  await db.put("first", Buffer.alloc(64 * 1024), { priority: "low" });
  const second = db.put("second", "v", { priority: "low" });
  const finished = once(stream, "finish");
  stream.end();
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  const held = priority === "low";
  // The low writes come in the order of their calls, when their time has come; a high one at once.
  expect(stream.writableFinished).toBe(!held);
  await bounded("writes", Promise.all([second, finished]), runtime);
  expect(db.hasSync("k")).toBe(true);
  await bounded("close", db.close(), runtime);
});

test("one signal for many writes: aborting them takes one pass", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  const signal = new CountingSignal();
  const controller = signal.controller;
  // A large write in flight holds back what comes behind it.
  const large = db.put("large", Buffer.alloc(2 * MIB, 1));
  const outcomes = Array.from({ length: 500 }, (_, i) =>
    db.put(`k${i}`, "v", { signal: controller.signal }).then(
      () => "written",
      (error: { code: string }) => error.code,
    ),
  );
  const low = db.put("low", "v", { signal: controller.signal, priority: "low" }).then(
    () => "written",
    (error: { code: string }) => error.code,
  );
  controller.abort();
  expect(new Set(await Promise.all(outcomes))).toEqual(new Set(["AURA_ABORTED"]));
  expect(["AURA_ABORTED", "written"]).toContain(await low);
  await large;
  // One listener of the signal for each kind of waiting, not one for each write.
  expect(signal.listeners).toBeLessThanOrEqual(2);
  expect(db.getSync("k0")).toBe(undefined);
  await db.put("behind", "v", { signal: new AbortController().signal });
  expect(db.getSync("behind")?.toString()).toBe("v");
  await db.close();
});

/** Counts the listeners that an AbortSignal is given. */
class CountingSignal {
  listeners = 0;
  readonly controller = new AbortController();

  constructor() {
    const { signal } = this.controller;
    const add = signal.addEventListener.bind(signal);
    signal.addEventListener = (...given: Parameters<typeof add>): void => {
      this.listeners++;
      add(...given);
    };
  }
}

describe("a log that no sync has covered may hold anything after a power loss", () => {
  const settings: Settings = { ...faultSettings, wal: { maxFileSize: 65536 } };

  test("in its head as well: nothing of it was promised", async () => {
    let damaged = 0;
    for (let seed = 0; seed < 80; seed++) {
      const fs = new SimFs({ seed });
      const runtime = simRuntime(1);
      const db = await AuraDB.open(directory, settings, { fs, runtime });
      db.putSync("a", "1", { sync: true });
      const random = new SeededRandom(seed);
      for (let i = 0; i < 3; i++)
        db.putSync(`large${i}`, Buffer.alloc(600 + random.below(9000), 7));
      const image = fs.crash({ seed, gaps: "garbage" });
      const vlog = image.list(directory).find((path) => path.endsWith(".vlog"));
      const head = vlog === undefined ? undefined : image.readFile(vlog).subarray(0, 4);
      if (head !== undefined && head.length === 4 && head.readUInt32LE(0) !== 0) damaged++;
      const again = await AuraDB.open(directory, settings, { fs: image, runtime });
      expect(again.getSync("a")?.toString()).toBe("1");
      again.putSync("b", "2");
      await again.close();
      expect((await AuraDB.verify(directory, { fs: image, runtime })).problems).toEqual([]);
      await db.close();
    }
    expect(damaged).toBeGreaterThan(5);
  });

  test("but damage to the head of one that a sync has covered refuses", async () => {
    for (const kind of [".wal", ".vlog"]) {
      for (const at of [0, 5, 12, 41, 60, 64, 70, 90, 110]) {
        const fs = new SimFs();
        const runtime = simRuntime(1);
        const db = await AuraDB.open(directory, settings, { fs, runtime });
        const value = kind === ".wal" ? "small" : Buffer.alloc(700, 1);
        for (let i = 0; i < 5; i++) db.putSync(`k${i}`, value, { sync: true });
        const image = fs.crash({ data: "none", names: "none" });
        const log = image.list(directory).find((path) => path.endsWith(kind))!;
        image.flipBits(log, at, 0x10);
        await expect(
          AuraDB.open(directory, settings, { fs: image, runtime }),
          `${kind} ${at}`,
        ).rejects.toThrow(expect.objectContaining({ file: log }));
        await db.close();
      }
    }
  });

  test("and so does any without a power loss", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, settings, { fs, runtime });
    db.putSync("large", Buffer.alloc(700, 1));
    const image = fs.processKill();
    const log = image.list(directory).find((path) => path.endsWith(".vlog"))!;
    image.flipBits(log, 2, 0x10);
    await expect(AuraDB.open(directory, settings, { fs: image, runtime })).rejects.toThrow(
      expect.objectContaining({ code: "AURA_CORRUPTION" }),
    );
    await db.close();
  });
});

test("the interval syncs again once there is room, though nobody writes any more", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const settings: Settings = {
    wal: { syncPolicy: "interval", syncIntervalMs: 30, bufferedDelayMs: 60_000 },
  };
  const db = await AuraDB.open(directory, settings, { fs, runtime });
  db.putSync("a", "1", { durability: "buffered" });
  const isLog = (kind: string, path: string): boolean =>
    (kind === "write" || kind === "create") && /\.(wal|vlog)$/.test(path);
  const fault = fs.failAt({ error: "ENOSPC", sticky: true, at: isLog });
  runtime.advance(40);
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  expect(fault.fired).toBeGreaterThan(0);
  expect(db.stats().failure).toBe(undefined);
  fault.remove();
  for (let i = 0; i < 10; i++) {
    runtime.advance(40);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const image = fs.crash({ data: "none", names: "none" });
  const again = await AuraDB.open(directory, settings, { fs: image, runtime });
  expect(again.getSync("a")?.toString()).toBe("1");
  await again.close();
  await bounded("close", db.close(), runtime);
});

describe("a full group", () => {
  const value = (i: number): Buffer => Buffer.alloc(60_000, `${i} `);

  test("leaves within the run that filled it; what it copied stays until the thread pool is done", async () => {
    const tasks: (() => void)[] = [];
    let isHeld = false;
    const fs = new SimFs({
      schedule: (task) => {
        if (isHeld) tasks.push(task);
        else queueMicrotask(task);
      },
    });
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, { wal: { backgroundSyncBytes: 0 } }, { fs, runtime });
    const writes = [db.put("x", "1"), db.put("y", "1")];
    await Promise.all(writes);
    isHeld = true;
    for (let i = 0; i < 50; i++) writes.push(db.put(`k${i}`, value(i)));
    expect(tasks.length).toBe(1);
    // A read lands what is in flight; the thread pool still has its bytes to write.
    expect(db.getSync("k49")?.equals(value(49))).toBe(true);
    for (let i = 50; i < 150; i++) writes.push(db.put(`k${i}`, value(i)));
    db.getSync("k149");
    isHeld = false;
    for (const task of tasks.splice(0)) task();
    await bounded("writes", Promise.all(writes), runtime);
    for (const image of [fs, fs.processKill()]) {
      const other =
        image === fs ? db : await AuraDB.open(directory, {}, { fs: image, runtime: simRuntime(2) });
      for (let i = 0; i < 150; i++) expect(other.getSync(`k${i}`)?.equals(value(i))).toBe(true);
      await bounded("close", other.close(), runtime);
    }
  });
});
