/** Values that stand apart and are overwritten by inline ones: as much garbage as if they were deleted. */
import { SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { simulatedJobs } from "../src/job-lanes.ts";
import { Recount } from "./support/recount.ts";

const directory = "/db";
const KIB = 1024;
const KEYS = 520;
const GONE = 468;
const VALUE = 4 * KIB;
const SEGMENT = 64 * KIB;
const BOUND = 1.3;
const RECORD = 64;
const settings: Settings = {
  seed: 3,
  valueLog: { maxSegmentSize: SEGMENT, spaceAmplificationMax: BOUND },
  memtable: { maxSize: 1024 * KIB },
  table: { maxSize: 16 * KIB, blockSize: 512, compression: "none" },
};

const keyOf = (index: number): string => `key ${String(index).padStart(6, "0")}`;
const small = (index: number): Buffer => Buffer.alloc(16, index);

async function open(fs: SimFs): Promise<AuraDB> {
  const runtime = simRuntime(5, { tickMs: 0.01, autoAdvance: true });
  return AuraDB.open(directory, settings, { fs, runtime, executor: simulatedJobs(fs, runtime) });
}

function valueBytes(fs: SimFs): number {
  return fs
    .listSync(directory)
    .filter((name) => /\.(vlog|seg)$/.test(name))
    .reduce((sum, name) => sum + fs.fileBytesSync(`${directory}/${name}`), 0);
}

/** Turns of the event loop: what is under way ends, nothing is asked for. */
async function turns(db: AuraDB): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    db.hasSync("");
  }
}

async function load(fs: SimFs, where: string): Promise<AuraDB> {
  const db = await open(fs);
  for (let i = 0; i < KEYS; i++) await db.put(keyOf(i), Buffer.alloc(VALUE, i));
  if (where === "in memory") return db;
  await db.compact();
  await db.idle();
  return db;
}

const WAYS: Record<string, (db: AuraDB) => Promise<void>> = {
  "one by one": async (db) => {
    for (let i = 0; i < GONE; i++) await db.put(keyOf(i), small(i));
  },
  "by putSync": async (db) => {
    for (let i = 0; i < GONE; i++) db.putSync(keyOf(i), small(i));
  },
  "by batches": async (db) => {
    for (let i = 0; i < GONE; i += 12) {
      const batch = new WriteBatch();
      for (let j = i; j < i + 12; j++) batch.put(keyOf(j), small(j));
      await db.write(batch);
    }
  },
};

describe.each(["in memory", "in tables"])("values %s that inline ones overwrite", (where) => {
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
      expect(valueBytes(fs), JSON.stringify(db.stats().valueLog)).toBeLessThan(live + 10 * SEGMENT);
      await db.idle();
      expect(valueBytes(fs), JSON.stringify(db.stats().valueLog)).toBeLessThan(live + 4 * SEGMENT);
      new Recount(fs, directory).check();
      expect(db.getSync(keyOf(1))).toEqual(small(1));
      expect([...db.keysSync()].length).toBe(KEYS);
      await db.close();
    },
  );

  test("before a kill go after it", { timeout: 60_000 }, async () => {
    const fs = new SimFs();
    const db = await load(fs, where);
    await WAYS["one by one"]!(db);
    const image = fs.processKill();
    await db.close();
    const again = await open(image);
    await again.idle();
    expect(valueBytes(image)).toBeLessThan((KEYS - GONE) * VALUE + 4 * SEGMENT);
    await again.close();
  });
});

test("what is overwritten is taken off what lives, and nothing else", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  for (let i = 0; i < KEYS; i++) await db.put(keyOf(i), i % 2 ? small(i) : Buffer.alloc(VALUE, i));
  await db.compact();
  await db.idle();
  const live = (): number => db.stats().valueLog.liveBytes;
  const before = live();
  // Inline ones take the place of inline ones, also when they were written lately, and of nothing.
  for (let round = 0; round < 3; round++) {
    for (let i = 1; i < KEYS; i += 2) db.putSync(keyOf(i), small(i + round));
    for (let i = 0; i < 100; i++) db.putSync(`nothing ${i}`, small(i));
  }
  expect(live()).toBe(before);
  for (let i = 0; i < 16; i += 2) db.putSync(keyOf(i), small(i));
  expect(before - live()).toBeGreaterThan(8 * VALUE);
  expect(before - live()).toBeLessThan(9 * VALUE);
  // A second time, they are inline already; and a value that never reached a table counts, too.
  for (let i = 0; i < 16; i += 2) db.putSync(keyOf(i), small(i + 1));
  expect(before - live()).toBeLessThan(9 * VALUE);
  db.putSync(keyOf(600), Buffer.alloc(VALUE));
  const put = live();
  db.putSync(keyOf(600), small(1));
  expect(put - live()).toBeGreaterThan(VALUE);
  await db.idle();
  await db.compact();
  expect(live()).toBeGreaterThan(before - 9 * VALUE);
  expect(live()).toBeLessThan(before - 8 * VALUE);
  await db.close();
});

test("the bound holds while values change between inline and apart", {
  timeout: 120_000,
}, async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const recount = new Recount(fs, directory);
  const random = new SeededRandom(Number(process.env["AURA_SEED"] ?? 7));
  const sizes = new Map<number, number>();
  let live = 0;
  const keys = 640;
  for (let step = 0; step < 220; step++) {
    for (let i = 0; i < 8; i++) {
      const key = step < 80 ? step * 8 + i : random.uint32() % keys;
      // Loaded, then ever smaller, then back again.
      const isSmall = step >= 80 && random.uint32() % 100 < (step < 160 ? 80 : 20);
      const bytes = isSmall ? 32 : VALUE;
      db.putSync(keyOf(key), Buffer.alloc(bytes, key));
      const apart = isSmall ? 0 : bytes + RECORD;
      live += apart - (sizes.get(key) ?? 0);
      sizes.set(key, apart);
    }
    const what = `step ${step}: ${JSON.stringify(db.stats().valueLog)}`;
    expect(valueBytes(fs), what).toBeLessThanOrEqual(
      Math.max(BOUND * live, live + 4 * SEGMENT) + SEGMENT,
    );
    if (step % 10 === 0) recount.check();
  }
  await db.close();
});
