import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB, WriteBatch } from "../src/index.ts";
import { openSim, smallSettings } from "./support/names-run.ts";
test("buffered: bounded delay under a loop that never turns", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(1);
  const db = await AuraDB.open("/db", smallSettings, { fs, runtime });
  for (let i = 0; i < 100; i++) { db.putSync(`k${i}`, `v${i}`, { durability: "buffered" }); runtime.clock.moveTo(i * 100); }
  const again = await openSim(fs.processKill());
  let n = 0; for (let i = 0; i < 100; i++) if (again.getSync(`k${i}`) !== undefined) n++;
  console.log(`after a kill ${n} of 100 writes that were made over 10 s (bufferedDelayMs 10)`);
  expect(n).toBeGreaterThan(90);
});
test("buffered writes that cannot be written: nothing behind them is acknowledged", async () => {
  const fs = new SimFs();
  const db = await openSim(fs);
  db.putSync("x", "1"); await db.flush();
  db.putSync("buffered", "1", { durability: "buffered" });
  const batch = (p: string) => { const b = new WriteBatch(); for (let i = 0; i < 400; i++) b.put(`${p}${i}`, "v".repeat(300)); return b; };
  const out: string[] = [];
  const a = db.write(batch("a")).then(() => out.push("a acknowledged"), (e) => out.push(`a ${String(e)}`));
  const b = db.write(batch("b")).then(() => out.push("b acknowledged"), (e) => out.push(`b ${String(e)}`));
  fs.failAt({ at: (kind, path) => kind === "create" && path.endsWith(".wal"), error: "EMFILE" });
  fs.failAt({ at: (kind, path) => kind === "create" && path.endsWith(".wal"), error: "EMFILE" });
  try { db.getSync("x"); } catch (e) { out.push(String(e)); }
  await a; await b;
  out.push(`failure: ${db.stats().failure}`);
  let r = "opened";
  try { const again = await openSim(fs.processKill()); r = `b0 ${again.getSync("b0")?.length} buffered ${again.getSync("buffered")}`; } catch (e) { r = String(e); }
  console.log(`${out.join("\n")}\nafter kill: ${r}`);
  expect(out.includes("b acknowledged") && !r.includes("b0 300")).toBe(false);
});
