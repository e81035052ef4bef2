/** Values of new keys: counted as alive at once, never when that is not sure, and no load waits for them. */
import { SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { simulatedJobs } from "../src/job-lanes.ts";
import { flushedNewKeys, isBottomRun, mergedNewKeys } from "../src/new-keys.ts";
import { LEVEL_COUNT_MAX, type Level, type TableMeta, Version } from "../src/version.ts";

const KIB = 1024;

function tableOf(number: number, bytes: number, more: Partial<TableMeta> = {}): TableMeta {
  return {
    number,
    uid: { lo: number, hi: 0 },
    keyspace: 0,
    bytes: 100,
    entryCount: 10,
    deleteCount: 0,
    shadowedCount: 0,
    rangeDeleteCount: 0,
    largestIsExclusive: false,
    smallestKey: new Uint8Array([1]),
    largestKey: new Uint8Array([9]),
    smallestSeq: 1,
    largestSeq: 2,
    filterBits: 0,
    references: [{ segment: 1, count: 10, bytes }],
    ...more,
  };
}

const newOf = (tables: readonly TableMeta[]): (number | undefined)[] =>
  tables.map(({ newKeyBytes }) => newKeyBytes);

test("a flush takes what it dropped off what was new, and keeps the share of what shrank", () => {
  const memtable = { valueBytes: 1000, newKeyBytes: 600 };
  expect(newOf(flushedNewKeys([tableOf(1, 1000)], memtable, 0))).toEqual([600]);
  expect(newOf(flushedNewKeys([tableOf(1, 800)], memtable, 200))).toEqual([400]);
  expect(newOf(flushedNewKeys([tableOf(1, 500)], memtable, 0))).toEqual([300]);
  expect(newOf(flushedNewKeys([tableOf(1, 400)], memtable, 600))).toEqual([undefined]);
  expect(newOf(flushedNewKeys([tableOf(1, 0)], memtable, 1000))).toEqual([undefined]);
  expect(newOf(flushedNewKeys([], { valueBytes: 0, newKeyBytes: 0 }, 0))).toEqual([]);
});

test("a merge takes what it dropped off what was new; at the bottom all keys are", () => {
  const inputs = [tableOf(1, 500, { newKeyBytes: 500 }), tableOf(2, 500, { newKeyBytes: 100 })];
  const outputs = [tableOf(3, 600), tableOf(4, 200, { shadowedCount: 5 })];
  expect(newOf(mergedNewKeys(inputs, outputs, false))).toEqual([300, 100]);
  expect(newOf(mergedNewKeys(inputs, outputs, true))).toEqual([600, 100]);
  expect(newOf(mergedNewKeys(inputs, [tableOf(3, 300)], false))).toEqual([undefined]);
});

test("the bottom run is what nothing older is below of", () => {
  const tables = [1, 2, 3, 4].map((number) => tableOf(number, 10));
  const run = (id: number): Level["runs"][number] => ({ id, tables: [tables[id - 1]!] });
  const levels: Level[] = Array.from({ length: LEVEL_COUNT_MAX }, () => ({ runs: [] }));
  levels[0] = { runs: [run(1)] };
  levels[3] = { runs: [run(2), run(3)] };
  const version = new Version(1, levels, new Map(), 0);
  expect(isBottomRun(version, [], 3, 3)).toBe(true);
  expect(isBottomRun(version, [], 3, 2)).toBe(false);
  expect(isBottomRun(version, [tables[2]!], 3, 2)).toBe(true);
  // A run that is made in front of the others.
  expect(isBottomRun(version, [tables[0]!], 3, 9)).toBe(false);
  expect(isBottomRun(version, [tables[1]!, tables[2]!], 3, 9)).toBe(true);
  expect(isBottomRun(version, [tables[0]!], 4, 9)).toBe(true);
});

const settings: Settings = {
  seed: 3,
  valueLog: { maxSegmentSize: 64 * KIB, spaceAmplificationMax: 1.3 },
  memtable: { maxSize: 256 * KIB },
  table: { blockSize: 512, compression: "none" },
};

/** Puts values of 4 KiB under `keys`, and says how much work that brought. */
async function load(
  keys: readonly number[],
  table: Settings["table"],
): Promise<{ flushes: number; stalls: number; newBytes: number }> {
  const fs = new SimFs();
  const runtime = simRuntime(2, { tickMs: 0.01, autoAdvance: true });
  const open = (): Promise<AuraDB> =>
    AuraDB.open(
      "/db",
      { ...settings, table: { ...settings.table, ...table } },
      { fs, runtime, executor: simulatedJobs(fs, runtime) },
    );
  let db = await open();
  const half = keys.length / 2;
  for (const [i, key] of keys.entries()) {
    if (i === half) {
      await db.close();
      db = await open();
    }
    if (i === half / 2) await db.flush();
    await db.put(`key ${key}`, Buffer.alloc(4 * KIB, key));
  }
  const { flushes, stalls, valueLog } = db.stats();
  await db.close();
  return { flushes: flushes.count, stalls, newBytes: valueLog.liveBytes };
}

test("a load of new keys is neither flushed early nor held back", async () => {
  const random = new SeededRandom(5);
  const fresh = Array.from({ length: 800 }, (_, i) => i * 1000 + random.below(1000));
  const known = await load(fresh, {});
  expect(known.stalls).toBe(0);
  expect(known.newBytes).toBeGreaterThan(800 * 4 * KIB * 0.99);
  // Without filters nobody knows, and with old keys it is not so.
  const blind = await load(fresh, { filter: "none" });
  expect(blind.flushes).toBeGreaterThan(3 + known.flushes);
  const old = await load(
    fresh.map((_, i) => fresh[i % 200]!),
    {},
  );
  expect(old.flushes).toBeGreaterThan(3 + known.flushes);
});
