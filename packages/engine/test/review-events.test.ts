import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { openSim, smallSettings } from "./support/names-run.ts";

const pad = "x".repeat(300);
test("a listener of 'stall' or 'flush' writes", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  const out: string[] = [];
  let n = 0;
  let calls = 0;
  db.events.on("stall", () => { calls++; try { db.putSync(`event/${n}`, "e"); n++; } catch (e) { if (out.length < 4) out.push(`in listener: ${String(e)}`); } });
  let acked = 0;
  for (let i = 0; i < 5000; i++) {
    try { db.putSync(`k${i}`, pad); acked++; } catch (e) { if (out.length < 4) out.push(`put ${i}: ${String(e)}`); }
  }
  out.push(`acked ${acked} of 5000, events ${n}, calls ${calls}, ${JSON.stringify(db.stats().flushes)} stalls ${db.stats().stalls}`);
  let lost = 0;
  for (let i = 0; i < 5000; i++) if (db.getSync(`k${i}`) === undefined) lost++;
  out.push(`missing now ${lost}`);
  try {
    const again = await openSim(fs.processKill());
    lost = 0;
    for (let i = 0; i < 5000; i++) if (again.getSync(`k${i}`) === undefined) lost++;
    out.push(`after kill missing ${lost}`);
    await again.close();
  } catch (e) { out.push(`after kill: ${String(e)}`); }
  console.log(out.join("\n"));
  expect(out.join()).toContain("after kill missing 0");
  expect(acked).toBe(5000);
});

test("flush listener that puts, sync loop", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  const out: string[] = [];
  let n = 0;
  let calls = 0;
  db.events.on("flush", () => { calls++; try { db.putSync(`event/${n}`, "e"); n++; } catch (e) { if (out.length < 4) out.push(`in listener: ${String(e)}`); } });
  let acked = 0;
  for (let i = 0; i < 5000; i++) {
    try { db.putSync(`k${i}`, pad); acked++; } catch (e) { if (out.length < 4) out.push(`put ${i}: ${String(e)}`); }
  }
  out.push(`acked ${acked} of 5000, events ${n}, calls ${calls}, ${JSON.stringify(db.stats().flushes)} stalls ${db.stats().stalls}`);
  try {
    const again = await openSim(fs.processKill());
    let lost = 0;
    for (let i = 0; i < 5000; i++) if (again.getSync(`k${i}`) === undefined) lost++;
    out.push(`after kill missing ${lost}`);
    await again.close();
  } catch (e) { out.push(`after kill: ${String(e)}`); }
  console.log(out.join("\n"));
  expect(out.join()).toContain("after kill missing 0");
  expect(acked).toBe(5000);
});

test("a listener of 'flush' throws", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  const out: string[] = [];
  db.events.once("flush", () => { throw new Error("listener"); });
  let settled = 0;
  for (let i = 0; i < 5000; i++) db.put(`k${i}`, pad).then(() => { settled++; }, (e) => { settled++; if (out.length < 5) out.push(String(e)); });
  const uncaught: string[] = [];
  const on = (e: Error) => { uncaught.push(e.message); };
  process.on("uncaughtException", on);
  for (let t = 0; t < 3000 && settled < 5000; t++) await new Promise((r) => setImmediate(r));
  process.off("uncaughtException", on);
  out.push(`settled ${settled} of 5000, uncaught: ${uncaught}`);
  console.log(out.join("\n"));
  expect(settled).toBe(5000);
});

test("a listener of 'segmentRemoved' throws", async () => {
  const fs = new SimFs();
  const db = await openSim(fs, { ...smallSettings, compaction: { ...smallSettings.compaction, automatic: false } });
  const out: string[] = [];
  const big = "v".repeat(2000);
  db.events.on("segmentRemoved", () => { throw new Error("listener"); });
  const uncaught: string[] = [];
  const on = (e: Error) => { uncaught.push(e.message); };
  process.on("uncaughtException", on);
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 40; i++) db.putSync(`k${i}`, `${round}${big}`);
    try { await db.flush(); } catch (e) { out.push(`flush: ${String(e)}`); }
    try { await db.compact(); } catch (e) { out.push(`compact: ${String(e)}`); }
  }
  await new Promise((r) => setTimeout(r, 50));
  process.off("uncaughtException", on);
  const s = db.stats();
  out.push(`uncaught ${uncaught.length}; segments ${s.values.segments}, files ${fs.list("/db").filter((p) => /vlog|seg/.test(p)).length}, amp ${s.values.spaceAmplification}, memtables ${s.memtables.count}`);
  let wrong = 0;
  for (let i = 0; i < 40; i++) if (db.getSync(`k${i}`)?.toString() !== `5${big}`) wrong++;
  out.push(`wrong ${wrong}`);
  try { await db.close(); } catch (e) { out.push(`close ${String(e)}`); }
  console.log(out.join("\n"));
  expect(uncaught.length).toBe(0);
});
