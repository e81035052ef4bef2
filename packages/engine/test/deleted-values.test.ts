/** Values that are deleted leave the disk: a program that only deletes fills no memtable. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { simulatedJobs } from "../src/job-lanes.ts";
import { Recount } from "./support/recount.ts";
import {
  directory,
  GONE,
  KEYS,
  keyOf,
  load,
  open,
  SEGMENT,
  settings,
  turns,
  VALUE,
  valueBytes,
} from "./support/value-garbage.ts";

const WAYS: Record<string, (db: AuraDB) => Promise<void>> = {
  "by key": async (db) => {
    for (let i = 0; i < GONE; i++) await db.delete(keyOf(i));
  },
  "by range": (db) => db.deleteRange({ lt: keyOf(GONE) }),
  "by some ranges": async (db) => {
    for (let i = 0; i < 9; i++) {
      await db.deleteRange({ gte: keyOf((GONE / 9) * i), lt: keyOf((GONE / 9) * (i + 1)) });
    }
  },
  "by many ranges": async (db) => {
    for (let i = 0; i < GONE; i += 4) {
      await db.deleteRange({ gte: keyOf(i), lt: keyOf(i + 4) });
    }
  },
};

describe.each(["in memory", "in tables"])("values %s that are deleted", (where) => {
  test.each(Object.keys(WAYS))(
    "%s go without being asked for",
    { timeout: 60_000 },
    async (way) => {
      const fs = new SimFs();
      const db = await load(fs, where);
      await WAYS[way]!(db);
      await turns(db);
      const live = (KEYS - GONE) * VALUE;
      // Of a small value log, four segments may be garbage, and as much in memory.
      const files = valueBytes(fs);
      expect(files, JSON.stringify(db.stats().valueLog)).toBeLessThan(live + 10 * SEGMENT);
      await db.idle();
      expect(valueBytes(fs), JSON.stringify(db.stats().valueLog)).toBeLessThan(live + 4 * SEGMENT);
      new Recount(fs, directory).check();
      expect([...db.keysSync()].length).toBe(KEYS - GONE);
      await db.close();
    },
  );

  test.each(Object.keys(WAYS))("%s before a kill go after it", { timeout: 60_000 }, async (way) => {
    const fs = new SimFs();
    const db = await load(fs, where);
    await WAYS[way]!(db);
    const image = fs.processKill();
    await db.close();
    const again = await open(image);
    await again.idle();
    const live = (KEYS - GONE) * VALUE;
    expect(valueBytes(image)).toBeLessThan(live + 4 * SEGMENT);
    await again.close();
  });
});

test("what is known of deletes is taken off what lives", async () => {
  const fs = new SimFs();
  const db = await load(fs, "in tables");
  const before = db.stats().valueLog.liveBytes;
  for (let i = 0; i < 8; i++) db.deleteSync(keyOf(i));
  // Of keys that are not there, and that are gone already, nothing goes.
  for (let i = 0; i < 8; i++) db.deleteSync(keyOf(i));
  for (let i = 0; i < 100; i++) db.deleteSync(`nothing ${i}`);
  const taken = before - db.stats().valueLog.liveBytes;
  expect(taken).toBeGreaterThan(8 * VALUE);
  expect(taken).toBeLessThan(11 * VALUE);
  db.putSync(keyOf(600), Buffer.alloc(VALUE));
  const put = db.stats().valueLog.liveBytes;
  db.deleteSync(keyOf(600));
  expect(put - db.stats().valueLog.liveBytes).toBeGreaterThan(VALUE);
  await db.close();
});

test("the same range, deleted time and again, does not flush each time", async () => {
  const db = await load(new SimFs(), "in tables");
  const { count } = db.stats().flushes;
  for (let i = 0; i < 200; i++) await db.deleteRange({ gte: keyOf(10), lt: keyOf(400) });
  expect(db.stats().flushes.count - count).toBeLessThan(10);
  await db.close();
});

const HELD: Record<string, (db: AuraDB) => Promise<void>> = {
  ...WAYS,
  overwritten: async (db) => {
    for (let i = 0; i < GONE; i++) await db.put(keyOf(i), Buffer.alloc(VALUE / 4, i));
  },
};

test.each(Object.keys(HELD))("what a snapshot held goes when it ends: %s", async (way) => {
  const fs = new SimFs();
  const runtime = simRuntime(5, { tickMs: 0.01, autoAdvance: true });
  const executor = simulatedJobs(fs, runtime);
  const db = await AuraDB.open(directory, settings, { fs, runtime, executor });
  for (let i = 0; i < KEYS; i++) await db.put(keyOf(i), Buffer.alloc(VALUE, i));
  await db.compact();
  const snapshot = db.snapshot();
  await HELD[way]!(db);
  await db.flush();
  await db.idle();
  expect([...db.keysSync({ snapshot })].length).toBe(KEYS);
  expect(valueBytes(fs)).toBeGreaterThan(KEYS * VALUE);
  snapshot.release();
  runtime.advance(1000);
  await turns(db);
  const live = (KEYS - GONE) * VALUE + (way === "overwritten" ? (GONE * VALUE) / 4 : 0);
  const said = JSON.stringify(db.stats().valueLog);
  expect(valueBytes(fs), said).toBeLessThan(live + 10 * SEGMENT);
  await db.close();
});
