/** Priorities: who stands back behind whom, and what is kept of it by sync, flush and close. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, type Priority, WriteBatch } from "../src/index.ts";
import { bounded, faultSettings } from "./support/fault-run.ts";
import { directory } from "./support/names-run.ts";

async function open() {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open(directory, faultSettings, { fs, runtime });
  /** Low writes that come after this are held: others are at work. */
  const makeBusy = async (): Promise<void> => {
    db.getSync("x");
    await db.put("low 0", "v".repeat(200), { priority: "low" });
  };
  return { fs, runtime, db, makeBusy };
}

test("an unknown priority is refused by name, in every kind of write", async () => {
  const { db } = await open();
  const options = { priority: "urgent" as Priority };
  const refused = expect.objectContaining({
    code: "AURA_INVALID_ARGUMENT",
    message: expect.stringMatching(/priority.*high, normal or low.*urgent/) as string,
  });
  await expect(db.put("k", "v", options)).rejects.toEqual(refused);
  await expect(db.delete("k", options)).rejects.toEqual(refused);
  await expect(db.write(new WriteBatch().put("k", "v"), options)).rejects.toEqual(refused);
  expect(() => db.putSync("k", "v", options)).toThrow(refused);
  expect(() => db.deleteSync("k", options)).toThrow(refused);
  expect(() => db.writeSync(new WriteBatch().put("k", "v"), options)).toThrow(refused);
  expect(() => db.createWriteStream("k", options)).toThrow(refused);
  await expect(db.get("k", options as object)).rejects.toEqual(
    expect.objectContaining({ code: "AURA_INVALID_ARGUMENT" }),
  );
  expect(db.getSync("k")).toBe(undefined);
  await db.close();
});

test("alone, a low write is like any other", async () => {
  const { db } = await open();
  for (let i = 0; i < 100; i++) void db.put(`k${i}`, "v", { priority: "low" });
  expect(db.getSync("k99")?.toString()).toBe("v");
  expect(db.stats().admission.heldWrites).toBe(0);
  await db.close();
});

test("low writes stand back behind others, in order, and are appended as time goes by", async () => {
  const { db, runtime, makeBusy } = await open();
  await makeBusy();
  const order: string[] = [];
  const value = "v".repeat(100);
  for (let i = 0; i < 400; i++) {
    void db.put(`low ${i}`, value + i, { priority: "low" }).then(() => order.push(`low ${i}`));
  }
  const batch = new WriteBatch().put("low batch", value).delete("low 7");
  void db.write(batch, { priority: "low" }).then(() => order.push("batch"));
  batch.clear();
  await db.put("high", "v", { priority: "high" }).then(() => order.push("high"));
  await db.put("normal", "v").then(() => order.push("normal"));
  expect(order).toEqual(["high", "normal"]);
  expect(db.getSync("low 399")).toBe(undefined);
  const { heldBytes } = db.stats().admission;
  expect(heldBytes).toBeGreaterThan(400 * 100);
  for (let i = 0; db.stats().admission.heldBytes > 0; i++) {
    expect(i).toBeLessThan(100);
    db.getSync("x");
    runtime.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
    // About 8 KiB a ms, in portions of 16 KiB.
    expect(heldBytes - db.stats().admission.heldBytes).toBeLessThan((i + 4) * 9 * 1024);
  }
  await new Promise((resolve) => setImmediate(resolve));
  const lows = Array.from({ length: 400 }, (_, i) => `low ${i}`);
  expect(order).toEqual(["high", "normal", ...lows, "batch"]);
  expect(db.getSync("low 399")?.toString()).toBe(`${value}399`);
  expect(db.getSync("low batch")?.toString()).toBe(value);
  expect(db.getSync("low 7")).toBe(undefined);
  await db.close();
});

test("a held write can be taken back, and is carried out by sync, flush and close", async () => {
  for (const how of ["sync", "syncSync", "flush", "close", "putSync"] as const) {
    const { db, fs, runtime, makeBusy } = await open();
    await makeBusy();
    const controller = new AbortController();
    const first = db.put("first", "1", { priority: "low" });
    const aborted = db.put("aborted", "x", { priority: "low", signal: controller.signal });
    const second = db.put("second", "2", { priority: "low", durability: "sync" });
    expect(db.stats().admission.heldWrites).toBe(3);
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: "AURA_ABORTED" });
    if (how === "syncSync") db.syncSync();
    else if (how === "putSync") db.putSync("last", "3", { priority: "low" });
    else await bounded(how, db[how](), runtime);
    await bounded("first", Promise.all([first, second]), runtime);
    if (how !== "close") {
      expect(db.getSync("second")?.toString()).toBe("2");
      await db.close();
    }
    const again = await AuraDB.open(directory, faultSettings, { fs, runtime });
    expect(again.getSync("first")?.toString()).toBe("1");
    expect(again.getSync("aborted")).toBe(undefined);
    await again.close();
  }
});

test("what is held is bounded by a memtable", async () => {
  const { db, makeBusy, runtime } = await open();
  await makeBusy();
  const value = "v".repeat(250);
  const all: Promise<void>[] = [];
  for (let i = 0; i < 2000; i++) {
    all.push(db.put(`k${i}`, value, { priority: "low" }));
    expect(db.stats().admission.heldBytes).toBeLessThanOrEqual(262144);
  }
  await bounded("close", db.close(), runtime);
  await Promise.all(all);
});

test("held writes of a database that fails are refused, not forgotten", async () => {
  const { db, fs, runtime, makeBusy } = await open();
  await makeBusy();
  const held = db.put("held", "1", { priority: "low" });
  held.catch(() => undefined);
  fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
  expect(() => db.putSync("k", "v", { sync: true })).toThrow();
  runtime.advance(1000);
  await expect(held).rejects.toMatchObject({ code: "AURA_READ_ONLY" });
  await db.close();
});
