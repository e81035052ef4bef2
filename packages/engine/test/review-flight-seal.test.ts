import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
test("flush() seals the log that an append in flight goes to", async () => {
  const held: (() => void)[] = [];
  let hold = false;
  const fs = new SimFs({ schedule: (task) => { if (hold) held.push(task); else queueMicrotask(task); } });
  const settings = { memtable: { maxSize: 4 << 20, maxCount: 2 }, valueLog: { separationThreshold: 1 << 20 } };
  const runtime = simRuntime(1);
  const db = await AuraDB.open("/db", settings, { fs, runtime });
  db.putSync("first", "1");
  const f1 = db.flush();
  await null; await null; await null; await null; // sealed: no room for another memtable
  db.putSync("second", "2");
  const f2 = db.flush(); // waits for the first
  await null; await null;
  hold = true;
  let acked = 0;
  const all: Promise<void>[] = [];
  for (let i = 0; i < 2000; i++) all.push(db.put(`k${i}`, "y".repeat(700), { sync: true }).then(() => { acked++; }));
  await f1; await f2; // the append is still under way on the thread pool
  for (let i = 0; i < 50; i++) await new Promise((r) => setImmediate(r));
  console.log("held writes", held.length, "acked", acked, fs.list("/db").filter((p) => /wal/.test(p)));
  hold = false;
  for (const task of held.splice(0)) task();
  await Promise.all(all);
  for (let i = 0; i < 50; i++) await new Promise((r) => setImmediate(r));
  console.log("acked at level sync:", acked, fs.list("/db").filter((p) => /wal/.test(p)));
  for (const [name, image] of [["kill", fs.processKill()], ["power", fs.crash({ data: "none" })]] as const) {
    try {
      const again = await AuraDB.open("/db", settings, { fs: image, runtime: simRuntime(2) });
      let lost = 0;
      for (let i = 0; i < 2000; i++) if (again.getSync(`k${i}`) === undefined) lost++;
      console.log(`${name}: lost ${lost} of ${acked}`);
      expect(lost).toBe(0);
      await again.close();
    } catch (e) { console.log(name, String(e)); throw e; }
  }
});
