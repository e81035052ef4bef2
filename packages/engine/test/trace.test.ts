/** Traces of the real engine: what was called is what is read back, and nothing else changes. */
import { hashReady } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { readTrace } from "../src/trace.ts";
import { openReal, withDirectory } from "./support/open-real.ts";
import { readBack } from "./support/trace-records.ts";

const settings: Settings = { seed: 5, valueLog: { separationThreshold: 100 } };
const file = "/trace";

async function withDb(
  work: (db: AuraDB, fs: SimFs) => Promise<void>,
  fs: SimFs = new SimFs(),
): Promise<void> {
  const runtime = simRuntime(9, { tickMs: 0.01, autoAdvance: true });
  const db = await AuraDB.open("/db", settings, { fs, runtime });
  try {
    await work(db, fs);
  } finally {
    await db.close();
  }
}

const read = (kind: string, key: string, sync = false, snapshot = false) => ({
  kind,
  key,
  sync,
  snapshot,
  group: -1,
});
const put = (key: string, valueLength: number, sync = false, durability = "os", group = -1) => ({
  kind: "put",
  key,
  valueLength,
  sync,
  durability,
  group,
});
const del = (key: string, sync = false, durability = "os", group = -1) => ({
  kind: "delete",
  key,
  sync,
  durability,
  group,
});

const delRange = (
  lower: string | undefined,
  upper: string | undefined,
  sync = false,
  durability = "os",
  group = -1,
) => ({ kind: "deleteRange", lower, upper, sync, durability, group });

/** Calls of every kind, and the records that they must make, in their order. */
async function callEverything(db: AuraDB): Promise<object[]> {
  const batch = new WriteBatch().put("b/1", "x".repeat(300)).delete("b/2").put("b/3", "");
  await db.put("a/1", "one");
  db.putSync("a/2", "two", { durability: "sync" });
  await db.putString("a/3", "three", { durability: "buffered" });
  await db.write(batch);
  db.writeSync(new WriteBatch().delete("b/1"), { sync: true });
  db.writeSync(new WriteBatch());
  await db.delete("a/9");
  db.deleteSync("a/8");
  await db.get("a/1");
  db.getSync("a/2");
  await db.getString("a/3");
  await db.has("a/1");
  db.hasSync("a/7");
  await db.getMany(["a/1", "zz", "a/2"]);
  const snapshot = db.snapshot();
  await db.get("a/1", { snapshot });
  const { limit } = { limit: Number.POSITIVE_INFINITY };
  for await (const _ of db.scan({ prefix: "a/", snapshot })) void _;
  for (const _ of db.keysSync({ gt: "a/1", lte: "a/3", reverse: true, limit: 1 })) void _;
  for (const _ of db.valuesSync({ limit: 0 })) void _;
  let left = 2;
  for await (const _ of db.values()) if (--left === 0) break;
  for (const _ of db.scanSync({ gte: "q" })) void _;
  snapshot.release();
  const cursor = db.cursor({ gte: "a/" });
  cursor.seekSync("a/2");
  cursor.nextSync();
  await cursor.seek("b/2");
  await cursor.last();
  cursor.prevSync();
  cursor.close();
  const many = db.cursor({ lt: "a/3" });
  await many.nextMany(10);
  many.close();
  many.close();
  await db.deleteRange({ gte: "c/", lt: "d" }, { durability: "sync" });
  db.deleteRangeSync({ gt: "c/" });
  await db.write(new WriteBatch().put("c/1", "1").deleteRange({ lte: "c/2" }).delete("c/3"));
  await db.deleteRange({ gte: "c", lt: "c" });
  // Refused before they reach the engine: no record.
  await db.put("k", 5 as never).catch(() => undefined);
  await db.get("k", { wrong: true } as never).catch(() => undefined);
  const scan = { lower: undefined, upper: undefined, reverse: false, limit, sync: false };
  return [
    put("a/1", 3),
    put("a/2", 3, true, "sync"),
    put("a/3", 5, false, "buffered"),
    put("b/1", 300, false, "os", 0),
    del("b/2", false, "os", 0),
    put("b/3", 0, false, "os", 0),
    del("b/1", true, "sync", 1),
    del("a/9"),
    del("a/8", true),
    read("get", "a/1"),
    read("get", "a/2", true),
    read("get", "a/3"),
    read("has", "a/1"),
    read("has", "a/7", true),
    ...["a/1", "zz", "a/2"].map((key) => ({ ...read("getMany", key), group: 2 })),
    read("get", "a/1", false, true),
    { ...scan, kind: "scan", scan: 0, shape: "entries", lower: "a/", upper: "a0", snapshot: true },
    { kind: "scanEnd", scan: 0, taken: 3 },
    {
      ...{ ...scan, kind: "scan", scan: 1, shape: "keys", lower: "a/1\0", upper: "a/3\0" },
      ...{ reverse: true, limit: 1, sync: true, snapshot: false },
    },
    { kind: "scanEnd", scan: 1, taken: 1 },
    { ...scan, kind: "scan", scan: 2, shape: "values", snapshot: false },
    { kind: "scanEnd", scan: 2, taken: 2 },
    { ...scan, kind: "scan", scan: 3, shape: "entries", lower: "q", sync: true, snapshot: false },
    { kind: "scanEnd", scan: 3, taken: 0 },
    { ...scan, kind: "scan", scan: 4, shape: "cursor", lower: "a/", snapshot: false },
    { kind: "seek", scan: 4, taken: 0, place: "key", key: "a/2" },
    { kind: "seek", scan: 4, taken: 2, place: "key", key: "b/2" },
    { kind: "seek", scan: 4, taken: 1, place: "last" },
    { kind: "scanEnd", scan: 4, taken: 2 },
    { ...scan, kind: "scan", scan: 5, shape: "cursor", upper: "a/3", snapshot: false },
    { kind: "seek", scan: 5, taken: 0, place: "first" },
    { kind: "scanEnd", scan: 5, taken: 2 },
    // A range delete is a batch of one.
    delRange("c/", "d", false, "sync", 3),
    delRange("c/\0", undefined, true, "os", 4),
    put("c/1", 1, false, "os", 5),
    delRange(undefined, "c/2\0", false, "os", 5),
    del("c/3", false, "os", 5),
  ];
}

describe("what is recorded", () => {
  test("every call, in call order, batches together", () =>
    withDb(async (db, fs) => {
      db.putSync("before", "x");
      const trace = db.trace(file);
      const expected = await callEverything(db);
      const summary = await trace.stop();
      db.putSync("behind", "x");
      const { records, times, numbers, ending } = readBack(file, fs);
      expect(records).toEqual(expected);
      expect(numbers).toEqual(expected.map((_, i) => i + 1));
      expect(times).toEqual([...times].sort((a, b) => a - b));
      expect(times.at(-1)).toBeGreaterThan(times[0]!);
      expect(ending).toBe("complete");
      expect(summary).toEqual({
        operations: expected.length,
        bytes: fs.readFile(file).length,
        dropped: 0,
      });
      expect(await trace.stop()).toBe(summary);
    }));

  test("on the real disk, and closing the database stops it", () =>
    withDirectory(async (directory) => {
      await hashReady();
      const db = await openReal(`${directory}/db`, settings);
      const trace = db.trace(`${directory}/trace`);
      const expected = await callEverything(db);
      await db.close();
      const { records, ending } = readBack(trace.file);
      expect(records).toEqual(expected);
      expect(ending).toBe("complete");
      expect((await trace.stop()).operations).toBe(expected.length);
    }));

  test("how the trace was made, and times from its start on", () =>
    withDb(async (db, fs) => {
      const trace = db.trace(file, { sampling: 3, keys: "hashed" });
      await trace.stop();
      const reader = readTrace(file, { fs });
      const { sampling, keys, startedAtMs } = reader;
      expect({ sampling, keys }).toEqual({ sampling: 3, keys: "hashed" });
      expect(startedAtMs).toBeGreaterThanOrEqual(Date.UTC(2020, 0, 1));
      expect(reader.next()).toBe(false);
      expect(reader.ending?.kind).toBe("complete");
      reader.close();
    }));

  test("many blocks: all of it, the keys of every length", () =>
    withDb(async (db, fs) => {
      const trace = db.trace(file);
      const expected: object[] = [];
      for (let i = 0; i < 6000; i++) {
        const key =
          i % 500 === 499 ? `${i}`.padEnd(65535, "k") : `key/${i * 7919}`.repeat(1 + (i % 3));
        await db.get(key);
        expected.push(read("get", key));
      }
      const batch = new WriteBatch();
      for (let i = 0; i < 5000; i++) batch.put(`batch/${i}`, "");
      await db.write(batch);
      const range = { gt: "x".repeat(65535), lte: "y".repeat(65535) };
      for (const _ of db.scanSync(range)) void _;
      const summary = await trace.stop();
      expect(summary.dropped).toBe(0);
      const { records, ending } = readBack(file, fs);
      expect(records.slice(0, 6000)).toEqual(expected);
      expect(records.slice(6000, 11000).every(({ group }) => group === 0)).toBe(true);
      expect(records.at(-2)).toMatchObject({ kind: "scan", lower: `${range.gt}\0` });
      expect(ending).toBe("complete");
    }));
});

describe("sampling", () => {
  test("keeps the whole history of a key or nothing of it, also in batches", () =>
    withDb(async (db, fs) => {
      const trace = db.trace(file, { sampling: 4 });
      for (let i = 0; i < 400; i++) {
        db.putSync(`k${i}`, "v");
        await db.getMany([`k${i}`, `k${(i + 1) % 400}`]);
        db.writeSync(new WriteBatch().put(`k${i}`, "w").delete(`k${i}`));
        for (const _ of db.scanSync({ gte: `k${i}`, limit: 1 })) void _;
      }
      for (const _ of db.keysSync({ limit: 3 })) void _;
      await trace.stop();
      const { records } = readBack(file, fs);
      const counts = new Map<unknown, number>();
      for (const { key, lower, kind } of records) {
        if (kind !== "scanEnd") counts.set(key ?? lower, (counts.get(key ?? lower) ?? 0) + 1);
      }
      // put, two of getMany, two of a batch, one scan; and the scan that begins at no key.
      expect(counts.get(undefined)).toBe(1);
      counts.delete(undefined);
      expect(new Set(counts.values())).toEqual(new Set([6]));
      expect(counts.size).toBeGreaterThan(60);
      expect(counts.size).toBeLessThan(150);
    }));

  test("chooses the same keys in every trace", () =>
    withDb(async (db, fs) => {
      const chosen = async (path: string): Promise<unknown[]> => {
        const trace = db.trace(path, { sampling: 10 });
        for (let i = 0; i < 200; i++) await db.get(`k${i}`);
        await trace.stop();
        return readBack(path, fs).records.map(({ key }) => key);
      };
      expect(await chosen("/one")).toEqual(await chosen("/two"));
    }));
});

test("hashed keys: equal for equal keys, of the same length, and without the key's bytes", () =>
  withDb(async (db, fs) => {
    const trace = db.trace(file, { keys: "hashed" });
    db.putSync("secret/alpha", "v");
    db.putSync("secret/bravo", "v");
    await db.get("secret/alpha");
    db.writeSync(new WriteBatch().delete("secret/alpha"));
    for (const _ of db.scanSync({ gte: "secret/alpha", lt: "secret/bravo" })) void _;
    await trace.stop();
    const { records } = readBack(file, fs);
    const keys = records.map(({ key }) => key as string | undefined);
    expect(keys[0]).toHaveLength(12);
    expect(keys[0]).not.toBe(keys[1]);
    expect([keys[2], keys[3]]).toEqual([keys[0], keys[0]]);
    expect(records[4]).toMatchObject({ lower: keys[0], upper: keys[1] });
    const bytes = fs.readFile(file);
    expect(bytes.includes("secret")).toBe(false);
    expect(bytes.includes("alpha")).toBe(false);
    const again = db.trace("/again", { keys: "hashed" });
    await db.get("secret/alpha");
    await again.stop();
    expect(readBack("/again", fs).records[0]?.["key"]).not.toBe(keys[0]);
  }));

describe("refusals", () => {
  const invalid = expect.objectContaining({ code: "AURA_INVALID_ARGUMENT" });

  test("a second trace, a file that exists, a wrong option, a closed database", () =>
    withDb(async (db, fs) => {
      fs.writeFile("/there", Buffer.from("x"));
      expect(() => db.trace("/there")).toThrow(invalid);
      expect(fs.readFile("/there").toString()).toBe("x");
      expect(() => db.trace("")).toThrow(invalid);
      expect(() => db.trace("/db/000777.wal")).toThrow(invalid);
      expect(() => db.trace("/no/such/directory")).toThrow(
        expect.objectContaining({ code: "AURA_NOT_FOUND" }),
      );
      for (const options of [
        { sampling: 0 },
        { sampling: 1.5 },
        { keys: "secret" },
        { maxBytes: 1 },
        { bufferBytes: 1 },
        { unknown: 1 },
        null,
      ]) {
        expect(() => db.trace(file, options as never)).toThrow(invalid);
      }
      expect(fs.existsSync(file)).toBe(false);
      await using trace = db.trace(file);
      expect(() => db.trace("/second")).toThrow(invalid);
      expect(fs.existsSync("/second")).toBe(false);
      await trace.stop();
      await db.trace("/second").stop();
      await db.close();
      expect(() => db.trace("/third")).toThrow(expect.objectContaining({ code: "AURA_CLOSED" }));
    }));
});

test("a scan that outlives the trace, and one that outlives the database, have no end", () =>
  withDb(async (db, fs) => {
    for (let i = 0; i < 40; i++) db.putSync(`k${i}`, "v");
    const trace = db.trace(file);
    const scan = db.scan();
    await scan.next();
    const cursor = db.cursor();
    await cursor.next();
    await trace.stop();
    await scan.return();
    const second = db.trace("/second");
    cursor.close();
    for await (const _ of db.scan({ limit: 3 })) void _;
    await second.stop();
    expect(readBack(file, fs).records.map(({ kind }) => kind)).toEqual(["scan", "scan", "seek"]);
    expect(readBack("/second", fs).records.map(({ kind, taken }) => [kind, taken])).toEqual([
      ["scan", undefined],
      ["scanEnd", 3],
    ]);
  }));

test("what is recorded reaches the disk also when no block fills", () =>
  withDb(async (db, fs) => {
    const trace = db.trace(file);
    await db.get("k");
    while (readBack(file, fs).records.length === 0) await new Promise(setImmediate);
    await trace.stop();
    expect(readBack(file, fs).numbers).toEqual([1]);
  }));
