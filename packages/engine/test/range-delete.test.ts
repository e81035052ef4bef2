import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, type DeleteRange, WriteBatch } from "../src/index.ts";
import { Recount } from "./support/recount.ts";

const settings = {
  memtable: { maxSize: 262144 },
  valueLog: { separationThreshold: 200 },
  table: { maxSize: 16384, blockSize: 512 },
  compaction: { l0Trigger: 2, baseLevelSize: 65536, fanout: 2 },
} as const;
const open = (fs: SimFs): Promise<AuraDB> =>
  AuraDB.open("/db", settings, { fs, runtime: simRuntime(1) });
const keyOf = (i: number): string => `k${String(i).padStart(5, "0")}`;
const keysIn = (db: AuraDB, reverse = false): string[] =>
  [...db.keysSync({ reverse })].map((key) => key.toString());

test("deletes what it says, whichever bounds say it", async () => {
  const all = ["", "\0", "a", "a\0", "b", "c", "\u{7f}"];
  const cases: [DeleteRange, string[]][] = [
    [{}, []],
    [{ gte: "b" }, ["", "\0", "a", "a\0"]],
    [{ gt: "a", lt: "c" }, ["", "\0", "a", "c", "\u{7f}"]],
    [{ lte: "a" }, ["a\0", "b", "c", "\u{7f}"]],
    [{ prefix: "a" }, ["", "\0", "b", "c", "\u{7f}"]],
    [{ gte: "b", lt: "b" }, all],
  ];
  for (const [range, left] of cases) {
    const db = await open(new SimFs());
    for (const key of all) db.putSync(key, "v");
    db.deleteRangeSync(range);
    expect(keysIn(db)).toEqual(left);
    expect(keysIn(db, true)).toEqual(left.toReversed());
    for (const key of all) expect(db.hasSync(key)).toBe(left.includes(key));
    await db.flush();
    expect(keysIn(db)).toEqual(left);
    await db.close();
  }
});

test("refuses bounds the wrong way round, unknown and undefined", async () => {
  const db = await open(new SimFs());
  const elsewhere = new Map([["gte", "a"]]);
  const wrong = [
    { gte: "b", lt: "a" },
    { gte: undefined },
    { from: "a" },
    undefined,
    { lt: 3 },
    elsewhere,
  ];
  for (const range of wrong) {
    const call = db.deleteRange(range as DeleteRange);
    await expect(call).rejects.toMatchObject({ code: "AURA_INVALID_ARGUMENT" });
  }
  expect(db.stats().lastSeq).toBe(0);
  await db.close();
});

test("in a batch the order decides", async () => {
  const db = await open(new SimFs());
  const batch = new WriteBatch().put("a", "1").put("b", "1").deleteRange({ gte: "a", lt: "c" });
  await db.write(batch.put("b", "2"));
  expect(keysIn(db)).toEqual(["b"]);
  await db.close();
});

test("nothing comes back: snapshots, flushes, compactions, reopens, values apart", async () => {
  const fs = new SimFs();
  let db = await open(fs);
  const value = "x".repeat(300);
  for (let i = 0; i < 1500; i++) db.putSync(keyOf(i), value + i);
  await db.compact();
  const before = db.snapshot();
  db.deleteRangeSync({ gte: keyOf(200), lt: keyOf(1300) });
  db.putSync(keyOf(700), "new");
  const wanted = Array.from({ length: 1500 }, (_, i) => keyOf(i)).filter(
    (key) => key < keyOf(200) || key >= keyOf(1300) || key === keyOf(700),
  );
  const check = (): void => {
    expect(keysIn(db)).toEqual(wanted);
    expect(keysIn(db, true)).toEqual(wanted.toReversed());
    for (let i = 0; i < 1500; i += 9) expect(db.hasSync(keyOf(i))).toBe(wanted.includes(keyOf(i)));
    expect(db.getSync(keyOf(700))?.toString()).toBe("new");
  };
  check();
  await db.flush();
  check();
  await db.compact({ gte: keyOf(600), lte: keyOf(650) });
  check();
  expect([...db.keysSync({ snapshot: before })].length).toBe(1500);
  expect(db.getSync(keyOf(900), { snapshot: before })?.toString()).toBe(`${value}900`);
  before.release();
  await db.compact();
  await db.idle();
  check();
  // The values that were covered are garbage, and the tombstone has nothing left to cover.
  expect(db.stats().values.liveBytes).toBeLessThan(420 * 350);
  await db.close();
  const report = await AuraDB.verify("/db", { fs, runtime: simRuntime(1) });
  expect(report.problems).toEqual([]);
  expect(report.entries).toBe(wanted.length);
  db = await open(fs);
  check();
  await db.close();
});

test("a database of range deletes alone is replayed, flushed and compacted to nothing", async () => {
  const fs = new SimFs();
  let db = await open(fs);
  db.deleteRangeSync({ lt: "m" });
  await db.deleteRange({ gte: "m" }, { sync: true });
  await db.close();
  db = await open(fs);
  await db.flush();
  expect(db.stats().levels[0]!.tables).toBe(1);
  expect(keysIn(db)).toEqual([]);
  await db.compact();
  await db.close();
  const report = await AuraDB.verify("/db", { fs, runtime: simRuntime(1) });
  expect(report.problems).toEqual([]);
});

test("the feed hands them out, and a replica follows", async () => {
  const db = await open(new SimFs());
  db.putSync("a", "1");
  db.deleteRangeSync({ gte: "a", lt: "b" });
  db.deleteRangeSync({ gt: "x" });
  const feed = db.changes({ since: 0 });
  const seen: unknown[] = [];
  while (seen.length < 3) seen.push(...(await feed.next()).value!.changes);
  expect(seen.slice(1)).toEqual([
    { type: "deleteRange", seq: 2, key: Buffer.from("a"), end: Buffer.from("b") },
    { type: "deleteRange", seq: 3, key: Buffer.from("x\0"), end: undefined },
  ]);
  await feed.return();
  await db.close();
});

test("a scan goes past a deleted stretch by seeking, not entry by entry", async () => {
  const db = await open(new SimFs());
  for (let i = 0; i < 1200; i++) db.putSync(keyOf(i), "v".repeat(100));
  await db.compact();
  db.deleteRangeSync({ gte: keyOf(1), lt: keyOf(1199) });
  const read = (): number => {
    const { hits, misses } = db.stats().cache;
    return hits + misses;
  };
  for (const reverse of [false, true]) {
    const start = read();
    expect(keysIn(db, reverse).length).toBe(2);
    expect(read() - start).toBeLessThan(20);
  }
  await db.close();
});

/** A database with two tables of values apart, all of whose keys are below `end`. */
async function filled(fs: SimFs, end: string): Promise<AuraDB> {
  const db = await open(fs);
  for (let i = 0; keyOf(i) < end; i++) db.putSync(keyOf(i), "x".repeat(i % 2 === 0 ? 300 : 100));
  await db.compact();
  return db;
}

test("tables that lie wholly under a tombstone go without being read", async () => {
  const fs = new SimFs();
  let db = await filled(fs, keyOf(4800));
  const tables = db.stats().levels.reduce((sum, level) => sum + level.tables, 0);
  expect(tables).toBeGreaterThan(5);
  const { bytesRead } = db.stats().compactions;
  db.deleteRangeSync({ gte: keyOf(100), lt: keyOf(4700) });
  await db.flush();
  await db.idle();
  const { compactions, values } = db.stats();
  expect(compactions.drops).toBeGreaterThan(tables / 2);
  expect(compactions.drops).toBeLessThan(tables);
  // What was merged since is the rest of the tables, at most.
  expect(compactions.bytesRead - bytesRead).toBeLessThan(bytesRead / 2);
  expect(values.liveBytes).toBeLessThan((300 * 2400) / 4);
  await db.close();
  new Recount(fs, "/db").check();
  expect((await AuraDB.verify("/db", { fs, runtime: simRuntime(1) })).problems).toEqual([]);
  db = await open(fs);
  expect(keysIn(db)).toEqual(
    Array.from({ length: 4800 }, (_, i) => keyOf(i)).filter((_, i) => i < 100 || i >= 4700),
  );
  await db.close();
});

test("a table stays as long as a snapshot sees it, or a newer key is in it", async () => {
  const db = await filled(new SimFs(), keyOf(300));
  const snapshot = db.snapshot();
  db.deleteRangeSync({});
  await db.flush();
  await db.idle();
  expect(db.stats().compactions.drops).toBe(0);
  expect([...db.keysSync({ snapshot })].length).toBe(300);
  snapshot.release();
  const later = db.snapshot();
  await db.idle();
  expect(db.stats().compactions.drops).toBeGreaterThan(0);
  expect([...db.keysSync({ snapshot: later })]).toEqual([]);
  later.release();
  db.putSync(keyOf(5), "new");
  await db.flush();
  await db.idle();
  expect(keysIn(db)).toEqual([keyOf(5)]);
  await db.close();
});

test("a damaged table under a tombstone goes too", async () => {
  const fs = new SimFs();
  let db = await filled(fs, keyOf(300));
  await db.close();
  const victim = fs.list("/db").findLast((path) => path.endsWith(".sst"))!;
  fs.flipBits(victim, 100, 0x10);
  db = await open(fs);
  db.deleteRangeSync({ gte: "k" });
  await db.flush();
  await db.idle();
  expect(keysIn(db)).toEqual([]);
  await db.close();
  expect((await AuraDB.verify("/db", { fs, runtime: simRuntime(1) })).problems).toEqual([]);
});
