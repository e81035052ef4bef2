/** Calls that wait for background work: what fails again and again ends them with its error. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { bounded, directory, faultSettings, fewTurns } from "./support/fault-run.ts";

const opensNothing = (kind: string): boolean => kind === "create" || kind === "open";

function entriesOf(db: AuraDB): number {
  return db.stats().levels.reduce((sum, { entries }) => sum + entries, 0);
}

describe.each([
  ["EMFILE", "AURA_IO"],
  ["EIO", "AURA_IO"],
  ["ENOSPC", "AURA_OUT_OF_SPACE"],
] as const)("flushes that end with %s", (error, code) => {
  test.each(["flush", "compact", "idle"] as const)("end a %s()", async (call) => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
    await db.put("k", "v");
    let failures = 0;
    db.events.on("backgroundError", () => failures++);
    const planned = fs.failAt({ error, sticky: true, at: opensNothing });
    // Nobody but a flush has it sealed.
    const sealing = bounded("flush", db.flush(), runtime).catch((e: unknown) => e);
    await Promise.resolve();
    await expect(bounded(call, db[call](), runtime)).rejects.toMatchObject({ code });
    expect(await sealing).toMatchObject({ code });
    // Whoever comes later waits for the next try.
    const before = failures;
    await expect(bounded(call, db[call](), runtime)).rejects.toMatchObject({ code });
    await fewTurns();
    expect(failures - before).toBe(1);
    expect(db.stats().failure).toBe(undefined);
    planned.remove();
    await bounded(call, db[call](), runtime);
    await db.put("k2", "v");
    expect(entriesOf(db)).toBeGreaterThan(0);
    await bounded("close", db.close(), runtime);
  });

  test.each(["flush", "compact", "idle"] as const)("once do not end a %s()", async (call) => {
    const fs = new SimFs();
    const runtime = simRuntime(1);
    const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
    await db.put("k", "v");
    const planned = fs.failAt({
      error,
      at: (kind, path) => kind === "create" && /sst$/.test(path),
    });
    const sealing = bounded("flush", db.flush(), runtime);
    await bounded(call, db[call](), runtime);
    await sealing;
    expect(planned.fired).toBe(1);
    expect(entriesOf(db)).toBe(1);
    await bounded("close", db.close(), runtime);
  });
});

test("merges that fail again and again end an idle()", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  for (let i = 0; i < 3; i++) {
    for (let k = 0; k < 200; k++) await db.put(`k${k}`, `v${i}`.repeat(20));
    if (i === 2) break;
    await bounded("flush", db.flush(), runtime);
  }
  await bounded("idle", db.idle(), runtime);
  await bounded("flush", db.flush(), runtime);
  const planned = fs.failAt({
    error: "EMFILE",
    sticky: true,
    at: (kind, path) => kind === "create" && path.endsWith(".sst"),
  });
  for (let k = 0; k < 200; k++) await db.put(`k${k}`, "last");
  expect(planned.fired).toBe(0);
  await bounded("flush", db.flush(), runtime).catch(() => undefined);
  await expect(bounded("idle", db.idle(), runtime)).rejects.toMatchObject({ code: "AURA_IO" });
  planned.remove();
  await bounded("idle", db.idle(), runtime);
  expect(db.getSync("k1")?.toString()).toBe("last");
  await bounded("close", db.close(), runtime);
});

test("a merge that failed once, and is not asked for any more, does not count an hour later", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  const fill = async (round: number): Promise<void> => {
    for (let k = 0; k < 200; k++) db.putSync(`k${k}`, `v${round}`.repeat(20));
    await bounded("flush", db.flush(), runtime);
  };
  const failMerge = () =>
    fs.failAt({
      error: "EMFILE",
      at: (kind, path) =>
        kind === "create" && path.endsWith(".sst") && db.stats().levels[0]!.tables > 1,
    });
  db.setCompactionMode({ l0Trigger: 4 });
  await fill(0);
  await fill(1);
  const first = failMerge();
  db.setCompactionMode({ l0Trigger: 2 });
  for (let i = 0; first.fired === 0 && i < 100; i++) await fewTurns();
  db.setCompactionMode({ l0Trigger: 4 });
  await bounded("idle", db.idle(), runtime);
  for (let i = 0; i < 36; i++) {
    runtime.advance(100_000);
    await fewTurns();
  }
  expect(db.stats().compactions.merges).toBe(0);
  const second = failMerge();
  db.setCompactionMode({ l0Trigger: 2 });
  await bounded("idle", db.idle(), runtime);
  expect([first.fired, second.fired]).toEqual([1, 1]);
  expect(db.stats().compactions.merges).toBeGreaterThan(0);
  await bounded("close", db.close(), runtime);
});

test("a compact() that comes while merges wait for room does not wait with them", async () => {
  const fs = new SimFs({ capacity: 40 << 20 });
  const runtime = simRuntime(1);
  const settings: Settings = {
    memtable: { maxSize: 4 << 20 },
    table: { compression: "none" },
    compaction: { l0Trigger: 2, automatic: false },
  };
  const first = await AuraDB.open(directory, settings, { fs, runtime });
  for (let i = 0; i < 12_000; i++) first.putSync(`key ${(i * 7919) % 12_000}`, "v".repeat(1000));
  await first.flush();
  await first.close();
  fs.writeFile("/filler", new Uint8Array(fs.freeBytesSync("/") - (5 << 20)));
  const automatic = { ...settings, compaction: { l0Trigger: 2 } };
  const db = await AuraDB.open(directory, automatic, { fs, runtime });
  for (let i = 0; db.stats().compactions.running > 0; i++) {
    expect(i).toBeLessThan(1000);
    await fewTurns();
  }
  // What the merge has left, somebody else takes.
  fs.writeFile("/more", new Uint8Array(fs.freeBytesSync("/")));
  const full = { code: "AURA_OUT_OF_SPACE" };
  await expect(bounded("compact", db.compact(), runtime)).rejects.toMatchObject(full);
  await expect(bounded("idle", db.idle(), runtime)).rejects.toMatchObject(full);
  for (const path of ["/filler", "/more"]) fs.unlinkSync(path);
  await bounded("compact", db.compact(), runtime);
  expect(db.stats().compactions.merges).toBeGreaterThan(0);
  await bounded("close", db.close(), runtime);
});
