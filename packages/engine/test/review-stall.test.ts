import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { WriteBatch } from "../src/index.ts";
import { openSim } from "./support/names-run.ts";

const pad = "x".repeat(300);

async function burst(how: "getSync" | "putSync"): Promise<string> {
  const fs = new SimFs();
  const db = await openSim(fs);
  const log: string[] = [];
  let ok = 0;
  let bad = 0;
  const N = 40;
  const keys: string[][] = [];
  for (let i = 0; i < N; i++) {
    const batch = new WriteBatch();
    const own: string[] = [];
    for (let j = 0; j < (i % 2 === 0 ? 60 : 500); j++) { own.push(`b${i}/${j}`); batch.put(`b${i}/${j}`, pad); }
    keys.push(own);
    db.write(batch).then(() => { ok++; }, (e) => { bad++; if (bad < 3) log.push(`reject ${String(e)}`); });
  }
  try { if (how === "getSync") db.getSync("nothing"); else db.putSync("zz", "1"); } catch (e) { log.push(`${how} threw ${String(e)}`); }
  for (let t = 0; t < 3000 && ok + bad < N; t++) await new Promise((r) => setImmediate(r));
  log.push(`of ${N} batches: acknowledged ${ok}, rejected ${bad}, never settled ${N - ok - bad}`);
  const missing = keys.filter((own) => own.some((k) => db.getSync(k) === undefined)).length;
  log.push(`batches missing in the open database: ${missing}`);
  try {
    const again = await openSim(fs.processKill());
    log.push(`after kill: batches missing ${keys.filter((own) => own.some((k) => again.getSync(k) === undefined)).length}`);
    await again.close();
  } catch (e) { log.push(`reopen after kill: ${String(e)}`); }
  return log.join("\n");
}

test.each(["getSync", "putSync"] as const)("unawaited batches beyond the memtables, then %s", async (how) => {
  const r = await burst(how);
  console.log(r);
  expect(r).toContain("never settled 0");
  expect(r).toContain("after kill: batches missing 0");
});
