/** Writes of nothing: empty batches, ranges that hold no key. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test, vi } from "vitest";
import { AuraDB, WriteBatch } from "../src/index.ts";
import { bounded } from "./support/fault-run.ts";

const directory = "/db";
const runtime = simRuntime(2);
const LARGE = "large ".repeat(60);

function open(fs: SimFs): Promise<AuraDB> {
  return AuraDB.open(directory, { valueLog: { separationThreshold: 200 } }, { fs, runtime });
}

async function contentOf(fs: SimFs): Promise<Record<string, string>> {
  const db = await open(fs);
  const entries = [...db.scanSync()].map(([k, v]) => [k.toString(), v.toString()]);
  await db.close();
  return Object.fromEntries(entries) as Record<string, string>;
}

test("carries what came before it to its level", async () => {
  const nothing = { gte: "b", lt: "b" };
  const writes: [string, (db: AuraDB, options?: { sync: true }) => void | Promise<void>][] = [
    ["write", (db, options) => db.write(new WriteBatch(), options)],
    ["writeSync", (db, options) => db.writeSync(new WriteBatch(), options)],
    ["deleteRange", (db, options) => db.deleteRange(nothing, options)],
    ["deleteRangeSync", (db, options) => db.deleteRangeSync(nothing, options)],
    ["low", (db, options) => db.write(new WriteBatch(), { ...options, priority: "low" })],
    ["submit", (db) => db.submit(new WriteBatch()).durable],
  ];
  for (const [name, write] of writes) {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("wal", "at level os");
    // One that is not awaited, and holds more than nothing, goes before it.
    const before = db.put("vlog", LARGE);
    await write(db, { sync: true });
    await before;
    const wanted = { wal: "at level os", vlog: LARGE };
    expect(await contentOf(fs.crash({ data: "none", names: "none" })), name).toEqual(wanted);
    // At level os it takes along what is buffered.
    db.putSync("buffered", "1", { durability: "buffered" });
    expect(await contentOf(fs.processKill()), name).toEqual(wanted);
    await write(db);
    expect(await contentOf(fs.processKill()), name).toEqual({ ...wanted, buffered: "1" });
    expect(db.stats().lastSeq, name).toBe(3);
    await db.close();
  }
});

test("is answered though the next write of its group is taken back", async () => {
  const db = await open(new SimFs());
  // Two in one run: the next are queued.
  await Promise.all([db.put("a", "1"), db.put("b", "1")]);
  const empty = db.write(new WriteBatch());
  const noMemory = vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation(() => {
    throw new RangeError("Array buffer allocation failed");
  });
  const put = db.put("c", new Uint8Array(3_000_000));
  noMemory.mockRestore();
  await expect(put).rejects.toThrow("allocation failed");
  await bounded("the empty write", empty, runtime);
  expect(db.getSync("c")).toBe(undefined);
  await db.close();
});

test("is refused where a write would be", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  db.putSync("a", "1");
  fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
  const unknown = expect.objectContaining({ code: "AURA_UNKNOWN_OUTCOME" });
  expect(() => db.writeSync(new WriteBatch(), { sync: true })).toThrow(unknown);
  const readOnly = expect.objectContaining({ code: "AURA_READ_ONLY" });
  await expect(db.write(new WriteBatch())).rejects.toEqual(readOnly);
  expect(() => db.deleteRangeSync({ gte: "b", lt: "b" })).toThrow(readOnly);
  expect(db.getSync("a")?.toString()).toBe("1");
  await db.close().catch(() => undefined);
});
