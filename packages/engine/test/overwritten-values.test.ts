/** Values that stand apart and are overwritten by inline ones: as much garbage as if they were deleted. */
import { SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, WriteBatch } from "../src/index.ts";
import { Recount } from "./support/recount.ts";
import {
  BOUND,
  directory,
  GONE,
  KEYS,
  KIB,
  keyOf,
  load,
  open,
  SEGMENT,
  settings,
  turns,
  VALUE,
  valueBytes,
} from "./support/value-garbage.ts";

const RECORD = 64;
const small = (index: number): Buffer => Buffer.alloc(16, index);

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

test("what inline values took away is not lost when merges drop what deletes did", {
  timeout: 120_000,
}, async () => {
  const fs = new SimFs();
  const compaction = { mode: "leveled", l0Trigger: 2, baseLevelSize: SEGMENT, fanout: 4 } as const;
  const runtime = simRuntime(5, { autoAdvance: true });
  const opened = { ...settings, memtable: { maxSize: 256 * KIB }, compaction };
  const db = await AuraDB.open(directory, opened, { fs, runtime });
  const random = new SeededRandom(7);
  const keys = 2300;
  const sizes: number[] = [];
  let live = 0;
  for (let key = 0; key < keys; key++) {
    sizes.push(KIB + random.below(2 * VALUE));
    await db.put(keyOf(key), Buffer.alloc(sizes[key]!, key));
    live += sizes[key]! + RECORD;
  }
  let worst = 0;
  for (let i = 0; i < 1800; i++) {
    const key = random.below(keys);
    if (i < 320) await db.delete(keyOf(key));
    else await db.put(keyOf(key), small(i));
    if (sizes[key]! > 0) live -= sizes[key]! + RECORD;
    sizes[key] = 0;
    worst = Math.max(worst, valueBytes(fs) / Math.max(BOUND * live, live + 4 * SEGMENT));
  }
  expect(worst).toBeLessThan(1);
  await db.close();
});
