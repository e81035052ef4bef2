/** Values that scans find scattered are written again in the order of their keys, within the budget. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { Recount } from "./support/recount.ts";

const directory = "/db";
const KIB = 1024;
const COUNT = 600;
const VALUE_BYTES = 2 * KIB;
const settings: Settings = {
  seed: 3,
  memtable: { maxSize: 256 * KIB },
  table: { maxSize: 64 * KIB, blockSize: 512, compression: "none" },
  cache: { capacity: 0 },
};

const keyOf = (index: number): string => `key ${String(index).padStart(6, "0")}`;
const bytesOf = (index: number): Buffer => Buffer.alloc(VALUE_BYTES, `${index} `);

/** A database whose values stand in another order than their keys. */
async function scattered(fs: SimFs, localityBudget: number): Promise<AuraDB> {
  const valueLog = { maxSegmentSize: 256 * KIB, spaceAmplificationMax: 4, localityBudget };
  const db = await AuraDB.open(
    directory,
    { ...settings, valueLog },
    { fs, runtime: simRuntime(1) },
  );
  for (let i = 0; i < COUNT; i++) {
    const index = (i * 227) % COUNT;
    db.putSync(keyOf(index), bytesOf(index));
  }
  await db.compact();
  await db.idle();
  return db;
}

/** Scans all keys, few at a time; returns the reads that order would have saved. */
function scanAll(db: AuraDB): number {
  const before = db.stats().valueLog.scatteredReads;
  for (let from = 0; from < COUNT; from += 10) {
    const found = [...db.scanSync({ gte: keyOf(from), limit: 10 })];
    expect(found.map(([key]) => key.toString())).toEqual(
      Array.from({ length: 10 }, (_, i) => keyOf(from + i)),
    );
    for (const [i, [, value]] of found.entries()) {
      expect(value.equals(bytesOf(from + i))).toBe(true);
    }
  }
  return db.stats().valueLog.scatteredReads - before;
}

test("what a scan pays for is put in order, once, and counted by its cause", async () => {
  const fs = new SimFs();
  const db = await scattered(fs, 10);
  const wasted = scanAll(db);
  expect(wasted).toBeGreaterThan(COUNT / 2);
  await db.idle();
  const { valueLog, compactions, io } = db.stats();
  expect(valueLog.localityBytes).toBeGreaterThan((COUNT * VALUE_BYTES) / 2);
  expect(valueLog.relocatedBytes).toBe(0);
  expect(compactions.byReason["locality"]?.merges).toBeGreaterThan(0);
  expect(io.locality.written).toBeGreaterThanOrEqual(valueLog.localityBytes);
  expect(io.relocation.written).toBe(0);
  new Recount(fs, directory).check();
  // The rest of a range may need another pass; then nothing is wasted, and nothing rewritten.
  scanAll(db);
  await db.idle();
  const { localityBytes } = db.stats().valueLog;
  expect(scanAll(db)).toBeLessThan(wasted / 4);
  await db.idle();
  expect(db.stats().valueLog.localityBytes - localityBytes).toBeLessThan(
    COUNT * VALUE_BYTES * 0.25,
  );
  await db.close();
});

test("never beyond the budget, and not at all without one", async () => {
  for (const budget of [0, 0.3]) {
    const db = await scattered(new SimFs(), budget);
    for (let pass = 0; pass < 4; pass++) {
      scanAll(db);
      await db.idle();
    }
    const { localityBytes, liveBytes } = db.stats().valueLog;
    if (budget === 0) expect(localityBytes).toBe(0);
    else expect(localityBytes).toBeGreaterThan(0);
    // A merge ends with the value that reaches its limit.
    expect(localityBytes).toBeLessThanOrEqual(budget * liveBytes + VALUE_BYTES + 64);
    await db.close();
  }
});
