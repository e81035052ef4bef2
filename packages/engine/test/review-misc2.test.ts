import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { openSim, smallSettings } from "./support/names-run.ts";
const pad = "x".repeat(300);
test("buffered writes survive a clean close", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  for (let i = 0; i < 20; i++) db.putSync(`k${i}`, `v${i}`, { durability: "buffered" });
  await db.close();
  const again = await openSim(fs);
  let n = 0; for (let i = 0; i < 20; i++) if (again.getSync(`k${i}`) !== undefined) n++;
  console.log("buffered after close:", n);
  expect(n).toBe(20);
  await again.close();
});
test("buffered: bounded delay under a loop that never turns", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open("/db", smallSettings, { fs, runtime });
  for (let i = 0; i < 100; i++) { db.putSync(`k${i}`, `v${i}`, { durability: "buffered" }); runtime.clock.moveTo(i * 100); }
  const again = await openSim(fs.processKill());
  let n = 0; for (let i = 0; i < 100; i++) if (again.getSync(`k${i}`) !== undefined) n++;
  console.log(`after a kill ${n} of 100 writes that were made over 10 s (bufferedDelayMs 10)`);
  await again.close(); await db.close();
  expect(n).toBeGreaterThan(90);
});
test("compression lz4, then none: compaction has enough numbers", async () => {
  const fs = new SimFs();
  const base = { ...smallSettings, valueLog: { separationThreshold: 65536 }, memtable: { maxSize: 4 << 20 } };
  let db = await openSim(fs, { ...base, table: { maxSize: 65536, compression: "lz4" }, compaction: { automatic: false } });
  for (let i = 0; i < 12000; i++) db.putSync(`k${i}`, "abcdefgh".repeat(400));
  await db.flush();
  await db.close();
  db = await openSim(fs, { ...base, table: { maxSize: 65536, compression: "none" } , compaction: { automatic: false } });
  const r = await db.compact().then(() => "ok", (e) => String(e));
  console.log(r, JSON.stringify(db.stats().levels.slice(0, 2)));
  await db.close();
  expect(r).toBe("ok");
});
test("get in flight, pending reads while close", async () => {
  const fs = new SimFs();
  const db = await openSim(fs, { ...smallSettings, cache: { capacity: 0 } });
  for (let i = 0; i < 2000; i++) db.putSync(`k${i}`, i % 10 === 0 ? "v".repeat(300000) : pad);
  await db.flush();
  const un: string[] = [];
  const on = (e: unknown) => { un.push(String(e)); };
  process.on("unhandledRejection", on);
  const gets = Array.from({ length: 200 }, (_, i) => db.get(`k${i * 10}`).then((v) => `${v?.length}`, (e) => String(e)));
  const it = db.scan(); void it.next(); const c = db.cursor(); void c.next().catch(() => undefined);
  const many = db.getMany(Array.from({ length: 200 }, (_, i) => `k${i}`)).then(() => "ok", (e) => String(e));
  await db.close();
  const set = new Set(await Promise.all(gets));
  console.log([...set], await many, un, fs.openHandles, fs.openPaths());
  await new Promise((r) => setTimeout(r, 20));
  process.off("unhandledRejection", on);
  expect(un).toEqual([]);
  expect(fs.openHandles).toBe(0);
});
