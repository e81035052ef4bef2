/** The public surface: what it refuses, and that bytes belong to whom they belong. */
import { existsSync, mkdirSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { nodeFileSystem } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import {
  AuraDB,
  type AuraErrorCode,
  createEngineWithConfig,
  EngineBuilder,
  type Settings,
  WriteBatch,
} from "../src/index.ts";
import { resolveSettings } from "../src/settings.ts";
import { leaveOpen } from "./support/leaks.ts";
import { openReal, withDirectory } from "./support/open-real.ts";

const world = (fs: SimFs = new SimFs()) => ({ fs, runtime: simRuntime(4) });
const small: Settings = { memtable: { maxSize: 262144 }, valueLog: { separationThreshold: 64 } };

function coded(code: AuraErrorCode, message?: RegExp): object {
  return expect.objectContaining({
    code,
    ...(message === undefined ? {} : { message: expect.stringMatching(message) }),
  });
}

async function withDb(work: (db: AuraDB, fs: SimFs) => Promise<void>): Promise<void> {
  const fs = new SimFs();
  const db = await AuraDB.open("/db", small, world(fs));
  try {
    await work(db, fs);
  } finally {
    await db.close();
  }
  expect(fs.openPaths()).toEqual([]);
}

describe("settings", () => {
  test.each<[string, unknown]>([
    ["settings.walls", { walls: 1 }],
    ["settings.wal.sync", { wal: { sync: true } }],
    ["settings.__proto__x", { __proto__x: 1 }],
    ["settings.constructor", { constructor: 1 }],
    ["settings.wal", { wal: 3 }],
    ["settings.wal", { wal: [] }],
    ["settings.wal.syncPolicy", { wal: { syncPolicy: "fsync" } }],
    ["settings.wal.maxFileSize", { wal: { maxFileSize: 1024 } }],
    ["settings.wal.maxFileSize", { wal: { maxFileSize: 65536.5 } }],
    ["settings.wal.maxFileSize", { wal: { maxFileSize: "64 MiB" } }],
    ["settings.wal.maxFileSize", { wal: { maxFileSize: Number.NaN } }],
    ["settings.memtable.maxSize", { memtable: { maxSize: 2 ** 31 } }],
    ["settings.memtable.maxCount", { memtable: { maxCount: 1 } }],
    ["settings.memtable.maxCount", { memtable: { maxCount: 2.5 } }],
    ["settings.valueLog.separationThreshold", { valueLog: { separationThreshold: 0 } }],
    ["settings.valueLog.spaceAmplificationMax", { valueLog: { spaceAmplificationMax: 1 } }],
    ["settings.table.compression", { table: { compression: "zip" } }],
    ["settings.compaction.l0Trigger", { compaction: { l0Trigger: 1.5 } }],
    ["settings.compaction.automatic", { compaction: { automatic: 1 } }],
    ["settings.cache.capacity", { cache: { capacity: -1 } }],
    ["settings.maxOpenFiles", { maxOpenFiles: 15 }],
    ["settings.createIfMissing", { createIfMissing: "yes" }],
    ["settings.seed", { seed: -1 }],
  ])("%s is named: %j", async (field, settings) => {
    const fs = new SimFs();
    const open = AuraDB.open("/db", settings as Settings, world(fs));
    await expect(open).rejects.toEqual(coded("AURA_INVALID_ARGUMENT"));
    await expect(open).rejects.toThrow(`${field}:`);
    expect(fs.list()).toEqual([]);
  });

  test("null and text are no settings", () => {
    for (const given of [null, "x", 5, []]) {
      expect(() => resolveSettings(given as unknown as Settings)).toThrow(
        coded("AURA_INVALID_ARGUMENT", /^settings: expected an object/),
      );
    }
  });

  test("every field has a default within its own range, and results are frozen", () => {
    const defaults = resolveSettings();
    expect(resolveSettings(defaults)).toEqual(defaults);
    expect(Object.isFrozen(defaults.wal)).toBe(true);
    expect(defaults.wal.maxFileSize).toBe(64 << 20);
    expect(defaults.valueLog.separationThreshold).toBe(1024);
  });
});

describe("opening", () => {
  test("a bad path, a missing database, one that must not exist", async () => {
    for (const path of ["", "/a\0b", 5 as unknown as string]) {
      await expect(AuraDB.open(path, {}, world())).rejects.toEqual(
        coded("AURA_INVALID_ARGUMENT", /path/),
      );
    }
    const fs = new SimFs();
    const absent = AuraDB.open("/db", { createIfMissing: false }, world(fs));
    await expect(absent).rejects.toEqual(coded("AURA_NOT_FOUND"));
    expect(fs.list()).toEqual([]);
    await (await AuraDB.open("/db", small, world(fs))).close();
    const again = AuraDB.open("/db", { ...small, errorIfExists: true }, world(fs));
    await expect(again).rejects.toEqual(coded("AURA_INVALID_ARGUMENT"));
    await (await AuraDB.open("/db/", { ...small, createIfMissing: false }, world(fs))).close();
  });

  test("the builder and the one-object form are the same settings", async () => {
    const fs = new SimFs();
    await expect(new EngineBuilder().build(world(fs))).rejects.toEqual(
      coded("AURA_INVALID_ARGUMENT", /withDbPath/),
    );
    const builder = new EngineBuilder()
      .withDbPath("/db")
      .withWal({ syncPolicy: "sync" })
      .withWal({ maxFileSize: 65536 })
      .withValueLog({ separationThreshold: 64 })
      .withMemtable({ maxSize: 262144 })
      .withTable({ blockSize: 512 })
      .withLearnedIndex({ modelType: "none" })
      .withCompaction({ automatic: false })
      .withCache({ capacity: 0 })
      .withSettings({ seed: 3 });
    const db = await builder.build(world(fs));
    await db.put("k", "v");
    // The first group says that the policy of both calls is in force.
    expect(db.stats().durableSeq).toBe(1);
    expect(db.stats().cache.capacity).toBe(0);
    await db.close();
    const wrong = new EngineBuilder().withDbPath("/db").withTable({ blockSize: 1 });
    await expect(wrong.build(world(fs))).rejects.toThrow(/settings\.table\.blockSize/);
    const second = await createEngineWithConfig({ dbPath: "/db", ...small }, world(fs));
    expect(second.getSync("k")?.toString()).toBe("v");
    await second.close();
  });

  test("destroy removes a database and nothing else", async () => {
    const fs = new SimFs();
    await expect(AuraDB.destroy("/db", world(fs))).rejects.toEqual(coded("AURA_NOT_FOUND"));
    const db = await AuraDB.open("/db", small, world(fs));
    await db.put("k", "v".repeat(100));
    await db.flush();
    await db.put("l", "w");
    await expect(AuraDB.destroy("/db", world(fs))).rejects.toEqual(coded("AURA_LOCKED"));
    expect(db.getSync("k")?.length).toBe(100);
    await db.close();
    fs.writeFile("/db/notes.txt", Buffer.from("mine"));
    fs.writeFile("/db/1.sst", Buffer.from("not a name of ours"));
    await AuraDB.destroy("/db", world(fs));
    expect(fs.list("/db")).toEqual(["/db/1.sst", "/db/LOCK", "/db/notes.txt"]);
    const fresh = await AuraDB.open("/db", small, world(fs));
    expect(fresh.getSync("k")).toBeUndefined();
    await fresh.close();
  });

  test("verify of a missing database, of an empty directory, of an open one", async () => {
    const fs = new SimFs();
    await expect(AuraDB.verify("/db", world(fs))).rejects.toEqual(coded("AURA_NOT_FOUND"));
    fs.makeDirectorySync("/db");
    await expect(AuraDB.verify("/db", world(fs))).rejects.toEqual(coded("AURA_NOT_FOUND"));
    const db = await AuraDB.open("/db", small, world(fs));
    await expect(AuraDB.verify("/db", world(fs))).rejects.toEqual(coded("AURA_LOCKED"));
    await db.put("k", "v".repeat(80));
    await db.flush();
    await db.close();
    expect(await AuraDB.verify("/db", world(fs))).toMatchObject({
      tables: 1,
      entries: 1,
      segments: 1,
      values: 1,
      problems: [],
    });
    const [table] = fs.list("/db").filter((path) => path.endsWith(".sst"));
    fs.flipBits(table!, 70, 1);
    expect((await AuraDB.verify("/db", world(fs))).problems.length).toBeGreaterThan(0);
  });
});

describe("keys, values and options", () => {
  test("limits: the longest key is kept, one byte more is refused everywhere", async () => {
    await withDb(async (db) => {
      const longest = Buffer.alloc(65535, 7);
      db.putSync(longest, "here");
      expect((await db.get(longest))?.toString()).toBe("here");
      const key = Buffer.alloc(65536, 7);
      const refused = coded("AURA_KEY_TOO_LONG");
      await expect(db.put(key, "v")).rejects.toEqual(refused);
      await expect(db.delete(key)).rejects.toEqual(refused);
      await expect(db.get(key)).rejects.toEqual(refused);
      await expect(db.has(key)).rejects.toEqual(refused);
      await expect(db.getMany([key])).rejects.toEqual(refused);
      await expect(db.compact({ gte: key })).rejects.toEqual(refused);
      for (const call of [
        () => db.putSync(key, "v"),
        () => db.deleteSync(key),
        () => db.getSync(key),
        () => db.hasSync(key),
        () => new WriteBatch().put(key, "v"),
        () => new WriteBatch().delete(key),
        () => [...db.scanSync({ gte: key })],
      ]) {
        expect(call).toThrow(refused);
      }
      // A value length is looked at before any byte of it.
      const value = Buffer.alloc(0);
      Object.defineProperties(value, {
        length: { value: 2 ** 32 },
        byteLength: { value: 2 ** 32 },
      });
      await expect(db.put("k", value)).rejects.toEqual(coded("AURA_VALUE_TOO_LONG"));
      const batch = new WriteBatch();
      for (let i = 0; i < 400; i++) batch.put(`${i}`.padEnd(1000), "");
      await expect(db.write(batch)).rejects.toEqual(coded("AURA_BATCH_TOO_LARGE"));
      expect(() => db.writeSync(batch)).toThrow(coded("AURA_BATCH_TOO_LARGE"));
      await db.write(new WriteBatch());
      expect(db.stats().lastSeq).toBe(1);
    });
  });

  test("lone surrogates and what is no key are refused", async () => {
    await withDb(async (db) => {
      for (const text of ["\ud800", "a\udc00", "\ud800\ud800"]) {
        const refused = coded("AURA_INVALID_ARGUMENT", /lone surrogate/);
        await expect(db.put(text, "v")).rejects.toEqual(refused);
        await expect(db.put("k", text)).rejects.toEqual(refused);
        expect(() => db.getSync(text)).toThrow(refused);
        expect(() => new WriteBatch().put("k", text)).toThrow(refused);
      }
      for (const key of [null, undefined, 5, {}, [], new ArrayBuffer(4)]) {
        const refused = coded("AURA_INVALID_ARGUMENT", /must be a string or a Uint8Array/);
        await expect(db.put(key as string, "v")).rejects.toEqual(refused);
        await expect(db.put("k", key as string)).rejects.toEqual(refused);
        await expect(db.get(key as string)).rejects.toEqual(refused);
      }
      await db.putString("\u{1f511}", "\u{1f512}");
      expect(await db.getString("\u{1f511}")).toBe("\u{1f512}");
      expect(db.getSync(Buffer.from("\u{1f511}"))?.toString()).toBe("\u{1f512}");
      const found: [string, string][] = [];
      for await (const entry of db.scanStrings()) found.push(entry);
      expect(found).toEqual([["\u{1f511}", "\u{1f512}"]]);
    });
  });

  test("options: unknown fields and values of another type are refused", async () => {
    await withDb(async (db) => {
      const refused = coded("AURA_INVALID_ARGUMENT");
      for (const range of [{ from: "a" }, { limit: -1 }, { limit: 1.5 }, { reverse: 1 }, null]) {
        expect(() => [...db.scanSync(range as object)]).toThrow(refused);
      }
      expect(() => db.cursor({ limit: 1 } as object)).toThrow(refused);
      expect(() => db.scanSync({ signal: 1 as never }).next()).toThrow(refused);
      await expect(db.compact({ from: "a" } as object)).rejects.toEqual(refused);
      await expect(db.compact({ gte: "b", lte: "a" })).rejects.toEqual(refused);
      await expect(db.compact(null as never)).rejects.toEqual(refused);
      for (const options of [null, { signal: 5 }, { onProgress: 1 }, { from: "a" }]) {
        await expect(db.compact({}, options as never)).rejects.toEqual(refused);
      }
      await db.compact({ gte: "b", lte: "b" });
      await expect(db.put("k", "v", { durability: "disk" as never })).rejects.toEqual(refused);
      await expect(db.getMany("k" as never)).rejects.toEqual(refused);
      await expect(db.write({} as WriteBatch)).rejects.toEqual(refused);
      const signal = AbortSignal.abort();
      await expect(db.put("k", "v", { signal })).rejects.toEqual(coded("AURA_ABORTED"));
      await expect(db.compact({}, { signal })).rejects.toEqual(coded("AURA_ABORTED"));
      expect(db.hasSync("k")).toBe(false);
      const other = await AuraDB.open("/other", small, world());
      const foreign = other.snapshot();
      await expect(db.get("k", { snapshot: foreign })).rejects.toEqual(refused);
      expect(() => [...db.scanSync({ snapshot: foreign })]).toThrow(refused);
      foreign.release();
      await other.close();
    });
  });
});

test("a signal that is none is refused before anything is done, whoever it is given to", async () => {
  await withDb(async (db) => {
    const refused = coded("AURA_INVALID_ARGUMENT", /signal/);
    // The last one is no listener's friend: nothing could be taken back of what waits for it.
    for (const signal of [null, 1, "abort", {}, { aborted: false }] as never[]) {
      const first = db.put("first", "of its run");
      await expect(db.put("k", "v", { signal })).rejects.toEqual(refused);
      await expect(db.delete("first", { signal })).rejects.toEqual(refused);
      await expect(db.write(new WriteBatch().put("k", "v"), { signal })).rejects.toEqual(refused);
      expect(() => db.putSync("k", "v", { signal })).toThrow(refused);
      expect(() => db.submit(new WriteBatch().put("k", "v"), { signal })).toThrow(refused);
      expect(() => db.createWriteStream("k", { signal })).toThrow(refused);
      expect(() => db.createReadStream("first", { signal })).toThrow(refused);
      expect(() => db.changes({ signal })).toThrow(refused);
      await first;
    }
    expect(db.stats().changeFeeds.open).toBe(0);
    expect([...db.keysSync()].map(String)).toEqual(["first"]);
  });
});

test("a level that is said twice is said the same", async () => {
  await withDb(async (db) => {
    const refused = coded("AURA_INVALID_ARGUMENT", /sync/);
    for (const options of [
      { sync: "yes" },
      { sync: null },
      { sync: 1, durability: "sync" },
      { sync: true, durability: "os" },
      { sync: true, durability: "buffered" },
      { sync: false, durability: "sync" },
    ] as never[]) {
      await expect(db.put("k", "v", options)).rejects.toEqual(refused);
      expect(() => db.deleteSync("k", options)).toThrow(refused);
    }
    expect(db.hasSync("k")).toBe(false);
    db.putSync("k", "1", { sync: true, durability: "sync" });
    db.putSync("k", "2", { sync: false, durability: "os" });
    db.putSync("k", "3", { sync: false, durability: "buffered" });
    expect(db.getSync("k")?.toString()).toBe("3");
  });
});

test("a closed database refuses everything, and closing twice is one close", async () => {
  leaveOpen();
  const fs = new SimFs();
  const db = await AuraDB.open("/db", small, world(fs));
  await db.put("k", "v");
  const snapshot = db.snapshot();
  const cursor = db.cursor();
  const scan = db.scan();
  await scan.next();
  const late = db.put("late", "admitted before the close");
  const left: number[] = [];
  db.events.on("cursorLeft", ({ count }) => left.push(count));
  const closing = db.close();
  expect(db.close()).toBe(closing);
  expect(db.closed).toBe(true);
  const closed = coded("AURA_CLOSED");
  await expect(db.get("k")).rejects.toEqual(closed);
  await closing;
  await late;
  expect(left.length).toBe(1);
  expect(snapshot.released).toBe(true);
  for (const call of [
    () => db.getSync("k"),
    () => db.hasSync("k"),
    () => db.putSync("k", "v"),
    () => db.deleteSync("k"),
    () => db.writeSync(new WriteBatch()),
    () => db.scan(),
    () => db.scanSync(),
    () => db.keys(),
    () => db.keysSync(),
    () => db.values(),
    () => db.valuesSync(),
    () => db.cursor(),
    () => db.snapshot(),
    () => db.syncSync(),
    () => db.stats(),
    () => cursor.firstSync(),
  ]) {
    expect(call, String(call)).toThrow(closed);
  }
  for (const call of [
    () => db.put("k", "v"),
    () => db.delete("k"),
    () => db.write(new WriteBatch()),
    () => db.has("k"),
    () => db.getMany(["k"]),
    () => db.sync(),
    () => db.flush(),
    () => db.compact(),
    () => db.idle(),
  ]) {
    await expect(call(), String(call)).rejects.toEqual(closed);
  }
  expect(fs.openPaths()).toEqual([]);
  const again = await AuraDB.open("/db", small, world(fs));
  expect(again.getSync("late")?.toString()).toBe("admitted before the close");
  await again.close();
});

test("a call that waits when the database is closed ends", async () => {
  const fs = new SimFs();
  const db = await AuraDB.open("/db", small, world(fs));
  await db.put("k", "v");
  fs.failAt({
    at: (kind, path) => kind === "create" && path.endsWith(".sst"),
    error: "EIO",
    sticky: true,
  });
  db.events.on("backgroundError", () => undefined);
  // Time stands still: the flush that failed is never tried again.
  const flush = db.flush();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const waiting = Promise.allSettled([flush, db.idle(), db.compact()]);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await db.close();
  for (const result of await waiting) {
    expect(result).toEqual({ status: "rejected", reason: coded("AURA_CLOSED") });
  }
});

test("bytes are copied on the way in and fresh on the way out", async () => {
  await withDb(async (db) => {
    const key = Buffer.from("key-0");
    const tiny = Buffer.alloc(10, "t");
    const large = Buffer.alloc(500, "L");
    const batch = new WriteBatch().put(key, tiny);
    key.write("key-1");
    batch.put(key, large);
    const promises = [db.write(batch)];
    batch.clear().put("never", "written");
    for (const [i, value] of [tiny, large].entries()) {
      for (const level of ["buffered", "os", "sync"] as const) {
        const own = Buffer.from(value);
        key.write(`k-${level[0]}${i}`);
        promises.push(db.put(key, own, { durability: level }));
        own.fill(0);
        key.fill(0x41);
        const ownSync = Buffer.from(value);
        key.write(`s-${level[0]}${i}`);
        db.putSync(key, ownSync, { durability: level });
        ownSync.fill(0);
        key.fill(0x41);
      }
    }
    await Promise.all(promises);
    const read = async (): Promise<string[]> => {
      const lines: string[] = [];
      const take = (name: Buffer, value: Buffer): void => {
        lines.push(`${name.toString()}=${value.toString()}`);
        // Nobody but the caller may see this.
        name.fill(0xee);
        value.fill(0xee);
      };
      for await (const [name, value] of db.scan()) take(name, value);
      for (const [name, value] of db.scanSync({ reverse: true })) take(name, value);
      const names = lines.slice(0, lines.length / 2).map((line) => line.slice(0, 5));
      for (const name of names) {
        take(Buffer.from(name), db.getSync(name)!);
        take(Buffer.from(name), (await db.get(name))!);
      }
      for (const [i, value] of (await db.getMany(names)).entries()) {
        take(Buffer.from(names[i]!), value!);
      }
      const cursor = db.cursor();
      for (let more = cursor.firstSync(); more; more = cursor.nextSync()) {
        take(cursor.key, cursor.value);
      }
      for (const [name, value] of cursor.firstSync() ? cursor.nextManySync(100) : [])
        take(name, value);
      cursor.close();
      return lines;
    };
    const first = await read();
    expect(first.length).toBeGreaterThan(14 * 6);
    const states = new Set(first);
    expect(states.size).toBe(14);
    for (const line of states)
      expect([`t`.repeat(10), `L`.repeat(500)]).toContain(line.split("=")[1]);
    expect(new Set(await read())).toEqual(states);
    await db.flush();
    expect(new Set(await read())).toEqual(states);
    await db.compact();
    expect(new Set(await read())).toEqual(states);
  });
});

test("the state of an un-awaited put is there at once; batches are whole", async () => {
  await withDb(async (db) => {
    const first = db.put("a", "1");
    const second = db.write(new WriteBatch().put("b", "2").delete("a").put("a", "3"));
    expect(db.getSync("a")?.toString()).toBe("3");
    expect([...db.keysSync()].map(String)).toEqual(["a", "b"]);
    await Promise.all([first, second]);
    const batch = new WriteBatch().put("c", "4");
    await db.write(batch);
    await db.write(batch.delete("b"));
    expect(await db.has("b")).toBe(false);
    expect(batch.length).toBe(2);
  });
});

test("flushes and compactions are announced when they begin and when they end", async () => {
  const db = await AuraDB.open("/db", small, world(new SimFs()));
  const seen: string[] = [];
  for (const name of ["flushStarted", "flush", "compactionStarted", "compaction"] as const) {
    db.events.on(name, () => seen.push(name));
  }
  for (let i = 0; i < 3; i++) {
    await db.put("a", `${i}`);
    await db.put("z", `${i}`);
    await db.flush();
  }
  await db.compact();
  await new Promise((resolve) => setImmediate(resolve));
  await db.close();
  expect(seen.filter((name) => name.startsWith("flush"))).toEqual(
    Array.from({ length: 3 }, () => ["flushStarted", "flush"]).flat(),
  );
  const merges = seen.filter((name) => name.startsWith("compaction"));
  expect(merges.length).toBeGreaterThan(0);
  expect(merges.length % 2).toBe(0);
  for (const [i, name] of merges.entries()) {
    expect(name).toBe(i % 2 === 0 ? "compactionStarted" : "compaction");
  }
});

test("without a loadable worker, work goes on inline and one event says so", async () => {
  await withDirectory(async (directory) => {
    const workerUrl = pathToFileURL(`${directory}/no-such-worker.mjs`);
    const db = await AuraDB.open(`${directory}/db`, small, { workerUrl });
    const seen: string[] = [];
    db.events.on("workersUnavailable", ({ error }) => seen.push(error.message));
    db.events.on("backgroundError", ({ error }) => seen.push(`background: ${error.message}`));
    for (let i = 0; i < 5000; i++) db.putSync(`key-${i}`, `value-${i}`.repeat(i % 20));
    await db.flush();
    await db.compact();
    await db.idle();
    for (let i = 0; i < 5000; i += 11) {
      expect(db.getSync(`key-${i}`)?.toString()).toBe(`value-${i}`.repeat(i % 20));
    }
    expect(seen.length).toBe(1);
    expect(seen[0]).not.toMatch(/^background/);
    await db.close();
    expect((await AuraDB.verify(`${directory}/db`)).problems).toEqual([]);
  });
});

test("a second handle on the real disk is refused, and names the holder", async () => {
  await withDirectory(async (directory) => {
    mkdirSync(`${directory}/db`);
    const db = await openReal(`${directory}/db`);
    await expect(openReal(`${directory}/db`)).rejects.toEqual(
      coded("AURA_LOCKED", /already open in this process/),
    );
    await db.close();
    await (await openReal(`${directory}/db`)).close();
    await AuraDB.destroy(`${directory}/db`, { fs: nodeFileSystem });
    expect(existsSync(`${directory}/db/CURRENT`)).toBe(false);
  });
});
