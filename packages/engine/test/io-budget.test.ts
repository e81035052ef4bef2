/** The budget of background I/O: tokens by priority, the rate, and the account of bytes. */
import type { JobContext } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { IoBudget, IoCause, IoPriority, type IoShare, takeTokens } from "../src/io-budget.ts";
import { meteredFs } from "../src/jobs/metered-fs.ts";
import { bounded, faultSettings } from "./support/fault-run.ts";
import { directory } from "./support/names-run.ts";

const MIB = 1024 * 1024;

/** A job with a thread of its own, whose waits move a clock. */
function job(share: IoShare, clock = { ms: 1000 }, isCancelled = (): boolean => false) {
  const fs = new SimFs();
  const waits: number[] = [];
  const context: JobContext = {
    fs,
    isCancelled,
    pause: (ms) => {
      waits.push(ms);
      clock.ms += ms;
    },
    nowMs: () => clock.ms,
  };
  const file = meteredFs(context, share).openSync("/file.sst", "create");
  let at = 0;
  const write = (bytes: number): void => {
    file.writeSync(new Uint8Array(bytes), at);
    at += bytes;
  };
  return { write, waits, clock, fs, context };
}

describe("tokens", () => {
  test("hold a job to its rate, whatever the size of its writes", () => {
    for (const bytes of [100, 4096, 65536, MIB]) {
      const budget = new IoBudget(8 * MIB);
      const { write, clock } = job(budget.mergeShare(1, IoPriority.other));
      const startMs = clock.ms;
      for (let written = 0; written < 4 * MIB; written += bytes) write(bytes);
      expect(clock.ms - startMs).toBeGreaterThan(400);
      expect(clock.ms - startMs).toBeLessThan(650);
      expect(budget.stats().waitedMs).toBeGreaterThan(300);
      const { written } = budget.stats().merges[1]!;
      expect(written).toBeGreaterThanOrEqual(4 * MIB);
    }
  });

  test("are found first by the higher priority; a flush never waits", () => {
    const budget = new IoBudget(1 * MIB);
    const { words } = budget.flushShare();
    const { flush, levelZero, relocation, other } = IoPriority;
    takeTokens(words, 0, other, 1000);
    expect(takeTokens(words, 500, flush, 1000)).toBe(0);
    const missing = [flush, levelZero, relocation, other].map((p) => takeTokens(words, 0, p, 1001));
    expect(missing[0]).toBe(0);
    expect(missing[1]).toBeGreaterThan(300);
    expect(missing[2]).toBeGreaterThan(missing[1]! + 20);
    expect(missing[3]).toBeGreaterThan(missing[2]! + 20);
    const { write, waits } = job(budget.flushShare());
    write(4 * MIB);
    expect(waits).toEqual([]);
  });

  test("are not waited for without end, nor by a job that is cancelled", () => {
    const budget = new IoBudget(1 * MIB);
    takeTokens(budget.flushShare().words, 1 << 20, IoPriority.flush, 1000);
    const starving = job(budget.mergeShare(1, IoPriority.other));
    starving.write(MIB);
    expect(starving.clock.ms - 1000).toBeLessThan(5100);
    expect(starving.waits.length).toBeGreaterThan(10);
    const cancelled = job(budget.mergeShare(1, IoPriority.other), { ms: 9000 }, () => true);
    cancelled.write(MIB);
    expect(cancelled.waits).toEqual([]);
  });

  test("are not asked for without a limit, nor on the owner's thread", () => {
    const free = job(new IoBudget("auto").mergeShare(1, IoPriority.other));
    free.write(64 * MIB);
    expect(free.waits).toEqual([]);
    const budget = new IoBudget(65536);
    const fs = new SimFs();
    const inline = meteredFs({ fs, isCancelled: () => false }, budget.flushShare());
    inline.openSync("/x", "create").writeSync(new Uint8Array(MIB), 0);
    expect(budget.stats().flush).toEqual({ read: 0, written: MIB });
  });
});

test("auto: no limit while somebody waits or debt grows, else what the writes of late ask for", () => {
  const budget = new IoBudget("auto");
  const rate = (): number | undefined => budget.stats().bytesPerSecond;
  expect(rate()).toBe(undefined);
  budget.tune(0.1, 1000, false);
  expect(rate()).toBe(64 * MIB);
  budget.tune(0.25, 100 * MIB, false);
  expect(rate()).toBe(150 * MIB);
  budget.tune(0.5, 100 * MIB, false);
  expect(rate()).toBe(undefined);
  budget.tune(0.1, 100 * MIB, true);
  expect(rate()).toBe(undefined);
  const fixed = new IoBudget(MIB);
  fixed.tune(1, 0, true);
  expect(fixed.stats().bytesPerSecond).toBe(MIB);
});

test("bytes are counted beyond 32 bits, and relocated values apart", () => {
  const budget = new IoBudget("auto");
  const { context, fs } = job(budget.mergeShare(2, IoPriority.other));
  const merge = meteredFs(context, budget.mergeShare(2, IoPriority.other));
  const moved = merge.openSync("/1.seg", "create");
  moved.writeSync(new Uint8Array(1000), 0);
  const share = { ...budget.mergeShare(7, IoPriority.other), cause: IoCause.backup };
  const big = meteredFs({ ...context, fs: new Endless(fs) as unknown as SimFs }, share);
  const file = big.openSync("/big", "create");
  const chunk = new Uint8Array(512 * MIB);
  for (let i = 0; i < 20; i++) file.writeSync(chunk, 0);
  expect(budget.stats().backup.written).toBe(20 * 512 * MIB);
  expect(budget.stats().relocation.written).toBe(1000);
  expect(budget.stats().merges[2]).toEqual({ read: 0, written: 0 });
});

/** Opens files that take everything and keep nothing. */
class Endless {
  readonly fs: SimFs;
  constructor(fs: SimFs) {
    this.fs = fs;
  }
  openSync(path: string): { path: string; writeSync: () => void } {
    return { path, writeSync: () => undefined };
  }
}

test("a database accounts for every byte of its flushes and merges", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const settings = { ...faultSettings, io: { bytesPerSecond: 65536 } };
  const db = await AuraDB.open(directory, settings, { fs, runtime });
  for (let i = 0; i < 6000; i++) {
    db.putSync(`key ${(i * 7919) % 5003}`, "v".repeat(i % 7 === 0 ? 500 : 100));
  }
  await bounded("flush", db.flush(), runtime);
  await bounded("idle", db.idle(), runtime);
  const { io, flushes, compactions } = db.stats();
  expect(flushes.count).toBeGreaterThan(1);
  expect(compactions.merges).toBeGreaterThan(0);
  expect(io.flush.written).toBe(flushes.bytesWritten);
  const merged = io.merges.reduce((sum, { written }) => sum + written, 0);
  expect(merged).toBe(compactions.bytesWritten - compactions.bytesRelocated);
  expect(io.merges.reduce((sum, { read }) => sum + read, 0)).toBeGreaterThan(merged / 2);
  expect(io.waitedMs).toBe(0);
  expect(io.bytesPerSecond).toBe(65536);
  await db.close();
});

test("by reason, for values moved, for files removed, and for syncs of long logs", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(
    directory,
    { ...faultSettings, wal: { backgroundSyncBytes: 65536 }, valueLog: { maxSegmentSize: 65536 } },
    { fs, runtime },
  );
  for (let i = 0; i < 1500; i++) db.putSync(`key ${(i * 7919) % 503}`, Buffer.alloc(2000, i));
  await bounded("flush", db.flush(), runtime);
  await bounded("compact", db.compact(), runtime);
  await bounded("idle", db.idle(), runtime);
  const { io, compactions, valueLog, removals, log, levels } = db.stats();
  const reasons = Object.values(compactions.byReason);
  const sum = (of: (each: (typeof reasons)[number]) => number): number =>
    reasons.reduce((total, each) => total + of(each), 0);
  expect(sum(({ merges }) => merges)).toBe(compactions.merges);
  expect(sum(({ bytesRead }) => bytesRead)).toBe(compactions.bytesRead);
  expect(sum(({ bytesWritten }) => bytesWritten)).toBe(
    compactions.bytesWritten - compactions.bytesRelocated,
  );
  // With the header of each segment.
  expect(valueLog.relocatedBytes).toBeGreaterThan(0);
  expect(io.relocation.written).toBeGreaterThan(valueLog.relocatedBytes);
  expect(io.relocation.written).toBeLessThan(valueLog.relocatedBytes * 1.05);
  expect(io.relocation.read).toBeGreaterThanOrEqual(valueLog.relocatedBytes);
  const tables = levels.reduce((total, level) => total + level.bytes, 0);
  const written = io.flush.written + io.merges.reduce((total, each) => total + each.written, 0);
  const values = log.bytesAppended + io.relocation.written - valueLog.totalBytes;
  expect(removals.count).toBeGreaterThan(10);
  // What was written is there, or was removed.
  expect(Math.abs(written - tables + values - removals.bytes)).toBeLessThan(removals.bytes / 10);
  expect(log.backgroundSyncs).toBeGreaterThan(5);
  expect(log.backgroundSyncBytes).toBeGreaterThanOrEqual(65536 * log.backgroundSyncs);
  await db.close();
});

test.each([0, "much", 1000, Number.NaN, "Auto"])(
  "a rate of %s is refused by name",
  async (rate) => {
    const settings = { io: { bytesPerSecond: rate as number } };
    await expect(AuraDB.open(directory, settings, { fs: new SimFs() })).rejects.toMatchObject({
      code: "AURA_INVALID_ARGUMENT",
      message: expect.stringMatching(/settings\.io\.bytesPerSecond: expected "auto" or a number/),
    });
  },
);
