import { SeededRandom } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { WriteBatch } from "../src/index.ts";
import { openSim } from "./support/names-run.ts";

const pad = "x".repeat(3000);

async function burst(how: "getSync" | "putSync", seed: number): Promise<string> {
  const fs = new SimFs();
  const random = new SeededRandom(seed);
  const db = await openSim(fs, { memtable: { maxSize: 262144, maxCount: 2 }, valueLog: { separationThreshold: 8192 } });
  const log: string[] = [];
  let ok = 0;
  let bad = 0;
  const N = 30;
  const keys: string[][] = [];
  for (let i = 0; i < N; i++) {
    const batch = new WriteBatch();
    const own: string[] = [];
    const size = 1 + random.below(75);
    for (let j = 0; j < size; j++) { own.push(`b${i}/${j}`); batch.put(`b${i}/${j}`, pad); }
    keys.push(own);
    db.write(batch).then(() => { ok++; }, (e) => { bad++; if (bad < 3) log.push(`reject ${String(e)}`); });
  }
  try { if (how === "getSync") db.getSync("nothing"); else db.putSync("zz", "1"); } catch (e) { log.push(`${how} threw ${String(e)}`); }
  for (let t = 0; t < 1000 && ok + bad < N; t++) await new Promise((r) => setImmediate(r));
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
  for (let seed = 1; seed <= 10; seed++) {
    const r = await burst(how, seed);
    if (r.includes("never settled 0") && r.includes("after kill: batches missing 0")) continue;
    console.log(`seed ${seed}\n${r}`);
    expect(r).toContain("after kill: batches missing 0");
  }
}, 60000);
