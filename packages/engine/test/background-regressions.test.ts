/**
 * Background work where it is hard: a flush that fails, a worker that dies, more tables than
 * expected, garbage that a snapshot held, and logs of another memtable size.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import type { CodecName } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, inject, test } from "vitest";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { codecHere } from "./support/codecs-here.ts";
import { directory, openSim, smallSettings } from "./support/names-run.ts";
import { withDirectory } from "./support/open-real.ts";

const PUTS = 6000;
const pad = "x".repeat(300);

function makeBatch(count: number, value: string): WriteBatch {
  const batch = new WriteBatch();
  for (let i = 0; i < count; i++) batch.put(`k${i}`, value);
  return batch;
}

function countMissing(db: AuraDB, count: number): number {
  let missing = 0;
  for (let i = 0; i < count; i++) if (db.getSync(`k${i}`) === undefined) missing++;
  return missing;
}

function countEntries(db: AuraDB): number {
  return db.stats().levels.reduce((sum, level) => sum + level.entries, 0);
}

function countTableBytes(db: AuraDB): number {
  return db.stats().levels.reduce((sum, level) => sum + level.bytes, 0);
}

test("a flush that failed once is made again for a putSync that needs its room", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  const fault = fs.failAt({
    at: (kind, path) => kind === "create" && path.endsWith(".sst"),
    error: "EMFILE",
  });
  for (let i = 0; i < PUTS; i++) db.putSync(`k${i}`, pad);
  expect(fault.fired).toBe(1);
  expect(db.stats().flushes.count).toBeGreaterThan(0);
  expect(db.stats().failure).toBe(undefined);
  expect(countMissing(db, PUTS)).toBe(0);
  await db.close();
});

test("a compaction that writes without compression has numbers for all of its tables", async () => {
  const entries = 12000;
  const settings = (compression: CodecName): Settings => ({
    ...smallSettings,
    valueLog: { separationThreshold: 65536 },
    memtable: { maxSize: 4 << 20 },
    table: { maxSize: 65536, compression },
    compaction: { automatic: false },
  });
  const fs = new SimFs();
  const packed = await openSim(fs, settings(codecHere("lz4")));
  for (let i = 0; i < entries; i++) packed.putSync(`k${i}`, "abcdefgh".repeat(400));
  await packed.flush();
  const packedBytes = countTableBytes(packed);
  await packed.close();
  const db = await openSim(fs, settings("none"));
  await db.compact();
  expect(countTableBytes(db)).toBeGreaterThan(10 * packedBytes);
  expect(countEntries(db)).toBe(entries);
  await db.close();
});

test("a compaction after a snapshot was released drops what the snapshot held", async () => {
  const db = await openSim(new SimFs());
  const value = "v".repeat(5000);
  for (let i = 0; i < 100; i++) db.putSync(`k${i}`, value + i);
  const snapshot = db.snapshot();
  for (let i = 0; i < 100; i++) db.deleteSync(`k${i}`);
  await db.compact();
  await db.idle();
  expect(db.stats().values.liveBytes).toBeGreaterThan(100 * value.length);
  snapshot.release();
  await db.compact();
  await db.idle();
  expect(db.stats().values.liveBytes).toBe(0);
  expect(db.stats().values.segments).toBe(0);
  expect(countEntries(db)).toBe(0);
  await db.close();
});

describe("logs of a larger memtable", () => {
  test("open with a smaller one, although a batch exceeds it", async () => {
    const count = 3000;
    const fs = new SimFs();
    const db = await openSim(fs, { memtable: { maxSize: 4 << 20 } });
    db.writeSync(makeBatch(count, pad));
    const image = fs.processKill();
    await db.close();
    for (const left of [image, fs]) {
      const again = await openSim(left, smallSettings);
      expect(countMissing(again, count)).toBe(0);
      await again.close();
    }
  });

  test("are verified, although a batch exceeds the default", async () => {
    const count = 75000;
    const fs = new SimFs();
    const db = await openSim(fs, { memtable: { maxSize: 256 << 20 } });
    db.writeSync(makeBatch(count, "x".repeat(1000)));
    await db.close();
    const report = await AuraDB.verify(directory, { fs, runtime: simRuntime(1) });
    expect(report.problems).toEqual([]);
    expect(report.entries + report.operationsInLogs).toBe(count);
  });
});

describe("a worker that dies at its first sync", () => {
  interface Place {
    readonly path: string;
    readonly workerUrl: URL;
    readonly died: () => boolean;
  }

  /** Runs `work` with a directory and a worker entry whose thread ends once, in a flush. */
  async function withMortalWorker(work: (place: Place) => Promise<void>): Promise<void> {
    await withDirectory(async (root) => {
      const mark = `${root}/died`;
      const entry = `${root}/worker.mjs`;
      mkdirSync(`${root}/db`);
      writeFileSync(
        entry,
        `import fs from "node:fs";
        import { syncBuiltinESMExports } from "node:module";
        for (const name of ["fsyncSync", "fdatasyncSync"]) {
          const sync = fs[name];
          fs[name] = (...args) => {
            if (fs.existsSync(${JSON.stringify(mark)})) return sync(...args);
            fs.writeFileSync(${JSON.stringify(mark)}, "");
            process.exit(1);
          };
        }
        syncBuiltinESMExports();
        await import(${JSON.stringify(inject("workerUrl"))});`,
      );
      const workerUrl = pathToFileURL(entry);
      await work({ path: `${root}/db`, workerUrl, died: () => existsSync(mark) });
    });
  }

  test("is replaced, said once, and nothing is lost", async () => {
    await withMortalWorker(async ({ path, workerUrl, died }) => {
      // Without background syncs, the first sync of a thread is one of a flush.
      const settings = { ...smallSettings, wal: { ...smallSettings.wal, backgroundSyncBytes: 0 } };
      const db = await AuraDB.open(path, settings, { workerUrl });
      const events: string[] = [];
      db.events.on("backgroundError", ({ activity, severity }) => {
        events.push(`${severity} ${activity}`);
      });
      for (let i = 0; i < PUTS; i++) await db.put(`k${i}`, pad);
      await db.flush();
      expect(died()).toBe(true);
      expect(events).toEqual(["soft flush"]);
      expect(countMissing(db, PUTS)).toBe(0);
      await db.close();
      expect((await AuraDB.verify(path)).problems).toEqual([]);
    });
  });

  test("is replaced for a loop of putSync that never turns", async () => {
    await withMortalWorker(async ({ path, workerUrl, died }) => {
      const db = await AuraDB.open(path, smallSettings, { workerUrl });
      for (let i = 0; i < PUTS; i++) db.putSync(`k${i}`, pad);
      expect(died()).toBe(true);
      expect(db.stats().flushes.count).toBeGreaterThan(0);
      expect(countMissing(db, PUTS)).toBe(0);
      await db.close();
      expect((await AuraDB.verify(path)).problems).toEqual([]);
    });
  });
});

test("a log with values that all died before their flush is removed with it", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  db.putSync("k", pad.repeat(20));
  db.putSync("k", "short");
  expect(fs.list(directory).filter((path) => path.endsWith(".vlog"))).toHaveLength(1);
  await db.flush();
  await db.idle();
  expect(fs.list(directory).filter((path) => path.endsWith(".vlog"))).toEqual([]);
  await db.close();
});
