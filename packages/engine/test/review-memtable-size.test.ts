import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, WriteBatch } from "../src/index.ts";
import { openSim, smallSettings } from "./support/names-run.ts";
test("reopen with a smaller memtable", async () => {
  const fs = new SimFs();
  const db = await openSim(fs, { memtable: { maxSize: 4 << 20 } });
  const b = new WriteBatch();
  for (let i = 0; i < 3000; i++) b.put(`k${i}`, "x".repeat(300));
  db.writeSync(b);
  await db.close();
  const out: string[] = [];
  try { const again = await openSim(fs, smallSettings); out.push("opened"); await again.close(); } catch (e) { out.push(String(e)); }
  console.log(out.join());
  expect(out[0]).toBe("opened");
});
test("verify of a database with memtables above the default", async () => {
  const fs = new SimFs();
  const db = await openSim(fs, { memtable: { maxSize: 256 << 20 } });
  const b = new WriteBatch();
  const v = "x".repeat(1000);
  for (let i = 0; i < 75000; i++) b.put(`k${i}`, v);
  db.writeSync(b);
  await db.close();
  const report = await AuraDB.verify("/db", { fs, runtime: simRuntime(1) }).catch((e) => e);
  console.log(String(report), report.problems);
  expect(report.problems).toEqual([]);
});
