/** Relocation of values by `compact`: what is pinned, crashed into, and failed. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { Recount } from "./support/recount.ts";
import { WatchedFs } from "./support/watched-fs.ts";

const directory = "/db";
const KIB = 1024;
const VALUE_BYTES = 4 * KIB;
const settings: Settings = {
  seed: 3,
  valueLog: { maxSegmentSize: 64 * KIB, spaceAmplificationMax: 1.3 },
  memtable: { maxSize: 256 * KIB },
  table: { maxSize: 16 * KIB, blockSize: 512, compression: "none" },
  cache: { capacity: 0 },
};

const keyOf = (index: number): string => `key ${String(index).padStart(6, "0")}`;
const bytesAt = (index: number, round: number): Buffer => {
  const value = Buffer.alloc(VALUE_BYTES, index & 255);
  value.write(`${index}/${round}`);
  return value;
};

function valueFileBytes(fs: SimFs): number {
  let bytes = 0;
  for (const name of fs.listSync(directory)) {
    if (/\.(vlog|seg)$/.test(name)) bytes += fs.fileBytesSync(`${directory}/${name}`);
  }
  return bytes;
}

test("a cursor's segments stay, and are told apart", async () => {
  const fs = new SimFs();
  const db = await AuraDB.open(directory, settings, { fs, runtime: simRuntime(1) });
  for (let i = 0; i < 64; i++) db.putSync(keyOf(i), bytesAt(i, 0));
  await db.flush();
  const cursor = db.cursor();
  for (let i = 0; i < 64; i++) db.putSync(keyOf(i), bytesAt(i, 1));
  await db.compact();
  // The cursor sees the first round: its versions are kept, as values that nobody else sees.
  expect(db.stats().valueLog.pinnedBytes).toBeGreaterThan(32 * VALUE_BYTES);
  expect(cursor.seekSync(keyOf(5))).toBe(true);
  expect(cursor.value.equals(bytesAt(5, 0))).toBe(true);
  cursor.close();
  await db.compact();
  await db.idle();
  expect(db.stats().valueLog.pinnedBytes).toBe(0);
  expect(valueFileBytes(fs)).toBeLessThan(64 * (VALUE_BYTES + 64) * 1.1);
  await db.close();
});

test("idle begins what it finds: segments that only a released snapshot had held", async () => {
  const fs = new SimFs();
  const db = await AuraDB.open(directory, settings, { fs, runtime: simRuntime(1) });
  for (let i = 0; i < 256; i++) db.putSync(keyOf(i), bytesAt(i, 0));
  await db.flush();
  const snapshot = db.snapshot();
  for (let i = 0; i < 256; i += 2) db.putSync(keyOf(i), bytesAt(i, 1));
  await db.flush();
  await db.idle();
  expect(db.stats().valueLog.pinnedBytes).toBeGreaterThan(100 * VALUE_BYTES);
  snapshot.release();
  // Nobody was told: to look for work is what marks segments, and idle is the first to look.
  await db.idle();
  const { pinnedBytes, amplification } = db.stats().valueLog;
  expect(pinnedBytes).toBe(0);
  expect(amplification).toBeLessThanOrEqual(1.3);
  expect(valueFileBytes(fs)).toBeLessThan(256 * (VALUE_BYTES + 64) * 1.3 + 4 * 64 * KIB);
  await db.close();
});

/** A database whose next `compact` relocates, and what it holds. */
async function beforeRelocation(fs: SimFs, watched: WatchedFs | SimFs): Promise<AuraDB> {
  const db = await AuraDB.open(directory, settings, { fs: watched, runtime: simRuntime(1) });
  expect(fs.listSync(directory).length).toBeGreaterThan(0);
  for (let i = 0; i < 48; i++) db.putSync(keyOf(i), bytesAt(i, 0));
  await db.flush();
  for (let i = 0; i < 48; i += 3) db.putSync(keyOf(i), bytesAt(i, 1));
  db.deleteSync(keyOf(1));
  for (let i = 2; i < 48; i += 6) db.putSync(keyOf(i), `inline ${i}`);
  await db.sync();
  return db;
}

function expectAll(db: AuraDB): void {
  for (let i = 0; i < 48; i++) {
    if (i % 6 === 2) {
      expect(db.getSync(keyOf(i))?.toString()).toBe(`inline ${i}`);
      continue;
    }
    const wanted = i === 1 ? undefined : bytesAt(i, i % 3 === 0 ? 1 : 0);
    expect(db.getSync(keyOf(i))?.toString("latin1", 0, 16)).toBe(wanted?.toString("latin1", 0, 16));
  }
}

test("a crash at any operation of a relocation loses and revives nothing", {
  timeout: 120_000,
}, async () => {
  const sim = new SimFs();
  const images: SimFs[] = [];
  let isArmed = false;
  const watched = new WatchedFs(sim, () => {
    if (isArmed)
      images.push(images.length % 2 === 0 ? sim.crash({ seed: images.length }) : sim.processKill());
  });
  const db = await beforeRelocation(sim, watched);
  isArmed = true;
  await db.compact();
  isArmed = false;
  expect(db.stats().valueLog.relocatedBytes).toBeGreaterThan(0);
  await db.close();
  expect(images.length).toBeGreaterThan(15);
  for (const fs of images) {
    const again = await AuraDB.open(directory, settings, { fs, runtime: simRuntime(2) });
    expectAll(again);
    await again.compact();
    expectAll(again);
    await again.close();
    new Recount(fs, directory).check();
  }
});

test.each(["EIO", "ENOSPC"] as const)(
  "%s in a relocation: nothing lost, done later",
  async (error) => {
    for (let at = 1; at < 40; at += 3) {
      const fs = new SimFs();
      const db = await beforeRelocation(fs, fs);
      await db.flush();
      let left = at;
      fs.failAt({
        at: (kind, path) => kind === "write" && /\.(seg|sst)$/.test(path) && --left <= 0,
        error,
        sticky: true,
      });
      await db.compact().catch((reason: unknown) => {
        expect((reason as { code?: string }).code).toMatch(/^AURA_(IO|OUT_OF_SPACE)$/);
      });
      expectAll(db);
      fs.clearFaults();
      await db.compact();
      expectAll(db);
      new Recount(fs, directory).check();
      await db.close();
    }
  },
);
