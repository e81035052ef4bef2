/** What keeps syncs short: background syncs, zeros ahead of the log's end, several files at once. */
import type { Executor, JobQueue } from "@aura/base";
import { AuraError, FileType } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { LogWriter } from "@aura/wal";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { simulatedJobs } from "../src/job-lanes.ts";
import { LogFile } from "../src/log-file.ts";
import { LogSync, type LogSyncPlace } from "../src/log-sync.ts";
import { bounded, fewTurns } from "./support/fault-run.ts";

const directory = "/db";
const runtime = simRuntime(3);
const KIB = 1024;

function open(fs: SimFs, settings: Settings = {}): Promise<AuraDB> {
  return AuraDB.open(directory, settings, { fs, runtime });
}

function logsOf(fs: SimFs, kind: string): string[] {
  return fs.list(directory).filter((path) => path.endsWith(kind));
}

async function readAll(fs: SimFs): Promise<number> {
  const db = await open(fs);
  const count = [...db.keysSync()].length;
  await bounded("close", db.close(), runtime);
  return count;
}

describe("zeros ahead of a log's end", () => {
  test("are written while small groups are synced, and cut off at close", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let i = 0; i < 60; i++) await db.put(`key ${i}`, "small", { sync: true });
    await fewTurns();
    const [path] = logsOf(fs, ".wal");
    const filled = fs.readFile(path!);
    expect(filled.length).toBeGreaterThan(900 * KIB);
    expect(filled.subarray(100 * KIB).every((byte) => byte === 0)).toBe(true);
    // A kill and a power loss leave them; they are no damage.
    expect(await readAll(fs.processKill())).toBe(60);
    expect(await readAll(fs.crash({ data: "none" }))).toBe(60);
    await bounded("close", db.close(), runtime);
    const closed = fs.readFile(path!).length;
    expect(closed).toBeLessThan(20 * KIB);
    // The record of the clean close names the length, so it has to be durable.
    const image = fs.crash({ data: "none", names: "none" });
    expect(image.readFile(path!).length).toBe(closed);
    expect(await readAll(image)).toBe(60);
  });

  test("do not outgrow the file's limit", async () => {
    const fs = new SimFs();
    const db = await open(fs, { wal: { maxFileSize: 64 * KIB } });
    for (let i = 0; i < 100; i++) await db.put(`key ${i}`, "small", { sync: true });
    await fewTurns();
    const [path] = logsOf(fs, ".wal");
    expect(fs.readFile(path!).length).toBe(64 * KIB);
    await bounded("close", db.close(), runtime);
  });

  test("are not written for large groups, nor for writes at level os", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const value = Buffer.alloc(64 * KIB, 1);
    for (let i = 0; i < 40; i++) await db.put(`key ${i}`, value, { sync: true });
    for (let i = 0; i < 200; i++) await db.put(`small ${i}`, "small");
    await fewTurns();
    const tail = (path: string): number => fs.readFile(path).subarray(-64).filter(Boolean).length;
    for (const path of [...logsOf(fs, ".wal"), ...logsOf(fs, ".vlog")]) {
      expect(tail(path)).toBeGreaterThan(0);
    }
    await bounded("close", db.close(), runtime);
  });

  test("that cannot be written end the log, not the history", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let i = 0; i < 15; i++) await db.put(`key ${i}`, "small", { sync: true });
    // The next put writes its group; the write behind it are zeros.
    let writes = 0;
    fs.failAt({
      at: (kind, path) => kind === "write" && path.endsWith(".wal") && ++writes === 2,
      error: "EIO",
    });
    for (let i = 15; i < 60; i++) {
      await db.put(`key ${i}`, "small", { sync: true });
      await fewTurns();
    }
    expect(db.stats().failure).toBe(undefined);
    expect(logsOf(fs, ".wal").length).toBe(2);
    expect(await readAll(fs.crash({ data: "none" }))).toBe(60);
    await bounded("close", db.close(), runtime);
    expect(await readAll(fs)).toBe(60);
  });
});

describe("zeros on a volume that is nearly full", () => {
  const CAPACITY = 24 * KIB * KIB;

  test("are not written", async () => {
    const fs = new SimFs({ capacity: 12 * KIB * KIB });
    const db = await open(fs);
    for (let i = 0; i < 60; i++) await db.put(`key ${i}`, "small", { sync: true });
    await fewTurns();
    expect(fs.readFile(logsOf(fs, ".wal")[0]!).length).toBeLessThan(20 * KIB);
    await bounded("close", db.close(), runtime);
  });

  test("give way to a write that needs the space", async () => {
    const fs = new SimFs({ capacity: CAPACITY });
    const db = await open(fs);
    for (let i = 0; i < 60; i++) await db.put(`key ${i}`, "small", { sync: true });
    await fewTurns();
    const [path] = logsOf(fs, ".wal");
    expect(fs.readFile(path!).length).toBeGreaterThan(900 * KIB);
    // Somebody else takes what is left; a value that needs more than nothing meets a full volume.
    const other = fs.openSync("/other", "create");
    other.writeSync(new Uint8Array(fs.freeBytesSync("/") - 64 * KIB), 0);
    expect(() => db.putSync("large", Buffer.alloc(256 * KIB, 1))).toThrow(
      expect.objectContaining({ code: "AURA_OUT_OF_SPACE" }),
    );
    expect(fs.readFile(path!).length).toBeLessThan(20 * KIB);
    expect(await readAll(fs.processKill())).toBe(60);
    other.closeSync();
    fs.unlinkSync("/other");
    runtime.advance(200);
    await db.put("large", Buffer.alloc(256 * KIB, 1), { sync: true });
    await bounded("close", db.close(), runtime);
    expect(await readAll(fs)).toBe(61);
  });
});

test("an append that fails while its log is synced takes nothing from that sync", async () => {
  const tasks: (() => void)[] = [];
  let isHeld = false;
  const fs = new SimFs({ schedule: (task) => (isHeld ? tasks.push(task) : queueMicrotask(task)) });
  const db = await open(fs);
  isHeld = true;
  const first = db.put("first", "1", { sync: true });
  fs.failAt({ at: (kind, path) => kind === "write" && path.endsWith(".wal"), error: "EIO" });
  expect(() => db.putSync("second", "2")).toThrow(expect.objectContaining({ code: "AURA_IO" }));
  isHeld = false;
  for (const task of tasks.splice(0)) task();
  await bounded("the put", first, runtime);
  expect(db.stats().failure).toBe(undefined);
  db.putSync("third", "3", { sync: true });
  expect(await readAll(fs.crash({ data: "none", names: "none" }))).toBe(2);
  await bounded("close", db.close(), runtime);
  expect(await readAll(fs)).toBe(2);
});

test("a sync of zeros that fails ends writing: it was the log's sync too", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  for (let i = 0; i < 15; i++) await db.put(`key ${i}`, "small", { sync: true });
  // One sync is the put's, the next one that of the zeros behind it.
  let syncs = 0;
  fs.failAt({
    at: (kind, path) => kind === "sync" && path.endsWith(".wal") && ++syncs === 2,
    error: "ENOSPC",
  });
  await db.put("last", "small", { sync: true });
  await fewTurns();
  expect(db.stats().failure).toContain("ENOSPC");
  await db.close().catch(() => undefined);
  expect(await readAll(fs.processKill())).toBe(16);
});

/** A file system whose value logs hold back pool writes, and fail what `failed` is called for. */
function holdingFs(kind: "fill" | "sync") {
  const inner = new SimFs();
  const state = { hold: false, fail: undefined as (() => void) | undefined, go: () => {} };
  const over = <T extends object>(target: T, own: Partial<T>): T =>
    new Proxy(target, {
      get: (_, name) => {
        const value = Reflect.get(name in own ? own : target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  const failing = (): Promise<void> =>
    new Promise((_, reject) => {
      state.fail = () => reject(new AuraError("AURA_IO", "EIO"));
    });
  const fs = over(inner, {
    openSync: (path, mode) => {
      const file = inner.openSync(path, mode);
      if (!path.endsWith(".vlog")) return file;
      return over(file, {
        write: (bytes, at) =>
          kind === "fill" && state.fail === undefined ? failing() : file.write(bytes, at),
        sync: () => (kind === "sync" && state.hold ? failing() : file.sync()),
        writev: (parts, at) =>
          !state.hold
            ? file.writev(parts, at)
            : new Promise((resolve, reject) => {
                state.go = () => void file.writev(parts, at).then(resolve, reject);
              }),
      });
    },
  });
  return { inner, fs, state };
}

test.each(["fill", "sync"] as const)(
  "an append in flight is given up when its log fails by a %s, and not acknowledged",
  async (kind) => {
    const { inner, fs, state } = holdingFs(kind);
    const settings: Settings = { valueLog: { separationThreshold: 1024 } };
    const db = await AuraDB.open(directory, settings, { fs, runtime });
    for (let i = 0; i < 20; i++) await db.put(`s${i}`, Buffer.alloc(2048), { sync: true });
    state.hold = true;
    const synced = kind === "sync" ? db.put("z", Buffer.alloc(2048), { sync: true }) : undefined;
    synced?.catch(() => undefined);
    await fewTurns();
    let outcome = "pending";
    db.put("k", Buffer.alloc(2 << 20, 7)).then(
      () => {
        outcome = "acknowledged";
      },
      () => {
        outcome = "rejected";
      },
    );
    await fewTurns();
    expect(state.fail).toBeDefined();
    state.fail!();
    await fewTurns();
    expect(db.getSync("k")).toBe(undefined);
    await fewTurns();
    expect(outcome).toBe("rejected");
    state.hold = false;
    state.go();
    await fewTurns();
    await bounded("close", db.close(), runtime);
    const again = await open(inner);
    expect(again.getSync("k")).toBe(undefined);
    expect([...again.keysSync()].length).toBeGreaterThanOrEqual(20);
    await again.close();
  },
);

describe("a log that grows without a sync", () => {
  const settings: Settings = {
    wal: { backgroundSyncBytes: 64 * KIB },
    valueLog: { separationThreshold: 8 * KIB },
  };

  test.each([
    ["wal", 1 * KIB],
    ["vlog", 16 * KIB],
  ] as const)("is synced in the background: %s", async (kind, valueBytes) => {
    const fs = new SimFs();
    const db = await open(fs, settings);
    await db.sync();
    db.putSync("first", "1", { sync: true });
    const value = Buffer.alloc(valueBytes, 1);
    for (let i = 0; i < (600 * KIB) / valueBytes; i++) {
      db.putSync(`key ${i}`, value);
      if (i % 8 === 0) await fewTurns();
    }
    await fewTurns();
    const { log } = db.stats();
    expect(log.syncs).toBe(1);
    expect(log.backgroundSyncs).toBeGreaterThanOrEqual(4);
    const [path] = logsOf(fs, `.${kind}`);
    const durable = fs.crash({ data: "none", names: "all" }).readFile(path!).length;
    expect(durable).toBeGreaterThan(400 * KIB);
    await bounded("close", db.close(), runtime);
  });

  test("is not, when that is turned off", async () => {
    const fs = new SimFs();
    const db = await open(fs, { wal: { backgroundSyncBytes: 0 } });
    for (let i = 0; i < 600; i++) db.putSync(`key ${i}`, Buffer.alloc(900));
    await fewTurns();
    expect(db.stats().log.backgroundSyncs).toBe(0);
    await bounded("close", db.close(), runtime);
  });

  test("ends writing when that sync fails: what was acknowledged may be lost", async () => {
    const fs = new SimFs();
    const db = await open(fs, settings);
    const events: string[] = [];
    db.events.on("backgroundError", ({ severity, activity }) => {
      events.push(`${severity} ${activity}`);
    });
    db.putSync("durable", "1", { sync: true });
    fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith(".wal"), error: "EIO" });
    for (let i = 0; i < 66; i++) db.putSync(`key ${i}`, Buffer.alloc(1000));
    await fewTurns();
    expect(events).toEqual(["hard sync"]);
    expect(db.getSync("key 65")?.length).toBe(1000);
    await expect(bounded("close", db.close(), runtime)).rejects.toThrow(/EIO/);
    const image = await open(fs.crash({ data: "none" }));
    expect(image.getSync("durable")?.toString()).toBe("1");
    await bounded("close", image.close(), runtime);
  });
});

test("a flush and the lane of syncs have an open file each: what fails is told to both", async () => {
  const fs = new SimFs();
  const tokens: Record<string, number[]> = { sync: [], flush: [] };
  const inner = simulatedJobs(fs, runtime);
  const executor: Executor = {
    kind: inner.kind,
    open() {
      const queue = inner.open();
      const submit: JobQueue["submit"] = (lane, name, input, done, failed) => {
        const given = input as { tokens?: number[]; syncTokens?: number[] };
        if (lane === "sync") tokens["sync"]!.push(...given.tokens!);
        if (name === "flush") tokens["flush"]!.push(...given.syncTokens!);
        return queue.submit(lane, name, input, done, failed);
      };
      return new Proxy(queue, {
        get: (target, name) => {
          if (name === "submit") return submit;
          const value: unknown = Reflect.get(target, name);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
  };
  const settings: Settings = { wal: { backgroundSyncBytes: 64 * KIB } };
  const db = await AuraDB.open(directory, settings, { fs, runtime, executor });
  for (let i = 0; i < 9; i++) db.putSync(`k${i}`, Buffer.alloc(20 * KIB, i));
  await db.flush();
  expect(tokens["sync"]).not.toEqual([]);
  expect(tokens["flush"]).toHaveLength(1);
  expect(tokens["sync"]).not.toContain(tokens["flush"]![0]);
  await bounded("close", db.close(), runtime);
  expect(fs.openPaths()).toEqual([]);
});

describe("several files in one call", () => {
  /** Three logs with one unsynced group each, and what happened in which order. */
  function threeLogs(served: boolean, lose = false) {
    const fs = new SimFs();
    fs.makeDirectorySync(directory);
    fs.syncDirSync("/");
    const steps: string[] = [];
    const jobs: { done: () => void; failed: (error: Error) => void; tokens: number[] }[] = [];
    const files = [1, 2, 3].map((number) => {
      const writer = LogWriter.createSync(fs, `${directory}/${number}`, {
        header: {
          type: FileType.wal,
          databaseUuid: new Uint8Array(16),
          uid: { lo: number, hi: 0 },
          number,
        },
        preamble: new Uint8Array(1),
      });
      const log = new LogFile("wal", writer, 0);
      writer.appendSync([new Uint8Array(9)], [], number, 1, 0);
      log.lastSeq = number;
      log.contentBytes = writer.bytes;
      const { syncSync } = writer;
      writer.syncSync = () => {
        steps.push(`here ${number}`);
        syncSync.call(writer);
      };
      return log;
    });
    const queue = {
      outstanding: 0,
      isServed: () => served,
      submit: (_lane, _name, input, done, failed) => {
        const { tokens } = input as { tokens: number[] };
        steps.push(`begin ${tokens.length}`);
        jobs.push({ done: done as () => void, failed, tokens });
        return { cancel: () => undefined };
      },
      waitSync: () => {
        const job = jobs.shift();
        if (job === undefined) throw new Error("waits for nothing");
        steps.push("wait");
        if (lose) job.failed(Object.assign(new Error("lost"), { code: "AURA_WORKER" }));
        else {
          for (const token of job.tokens) fs.syncTokenSync(token);
          job.done();
        }
        return true;
      },
      poll: () => undefined,
      close: async () => undefined,
    } as JobQueue;
    const place: LogSyncPlace = {
      fs,
      directory,
      queue,
      files: () => files,
      appendedSeq: () => 3,
      bytesMax: () => 1e6,
      backgroundBytes: 0,
      noteFailed: () => undefined,
      onFailed: () => undefined,
      onIdle: () => undefined,
      giveUp: () => undefined,
    };
    return { fs, files, steps, sync: new LogSync(place, 0) };
  }

  const durable = (fs: SimFs): number[] => {
    const image = fs.crash({ data: "none", names: "none" });
    return image.list(directory).map((path) => image.readFile(path).length);
  };

  test("are synced at once: the lane works while this thread does", () => {
    const { fs, files, steps, sync } = threeLogs(true);
    sync.syncSync();
    expect(steps).toEqual(["begin 1", "begin 1", "here 1", "wait", "wait"]);
    expect(sync.durableSeq).toBe(3);
    expect(durable(fs)).toEqual(files.map(({ writer }) => writer.bytes));
  });

  test("are synced here while the lane has no thread, which is started for the next time", () => {
    const { fs, files, steps, sync } = threeLogs(false);
    sync.syncSync();
    expect(steps).toEqual(["begin 0", "here 1", "here 2", "here 3"]);
    expect(durable(fs)).toEqual(files.map(({ writer }) => writer.bytes));
  });

  test("are synced here when the lane loses its thread", () => {
    const { fs, files, steps, sync } = threeLogs(true, true);
    sync.syncSync();
    expect(steps.slice(-2)).toEqual(["here 2", "here 3"]);
    expect(durable(fs)).toEqual(files.map(({ writer }) => writer.bytes));
  });

  test("are not durable when one of them failed elsewhere", () => {
    const { fs, files, sync } = threeLogs(true);
    fs.failAt({ at: (kind, path) => kind === "sync" && path.endsWith("/3"), error: "EIO" });
    const original = files[2]!;
    expect(() => sync.syncSync()).toThrow(/EIO/);
    expect(original.syncedSeq).toBe(0);
    expect(sync.durableSeq).toBe(0);
  });
});
