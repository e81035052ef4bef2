/**
 * Scans of separated values that overwrites have scattered, with and without rewriting in the order of
 * keys (`valueLog.localityBudget`). Loads N bytes in scrambled order, overwrites them once, uniformly, then
 * scans all of it pass by pass, a range of 1000 entries at a time, and waits for the background between the passes.
 * Prints entries per second of each pass, reads that order would have saved, and bytes rewritten.
 *
 *   node packages/engine/bench/locality.bench.mjs [--mib 256] [--value 1024] [--passes 4] [--rounds 1]
 *        [--budgets 0,0.25,1] [--bound 1.3] [--dir DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    mib: { type: "string", default: "256" },
    value: { type: "string", default: "1024" },
    passes: { type: "string", default: "4" },
    rounds: { type: "string", default: "1" },
    budgets: { type: "string", default: "0,0.25,1" },
    bound: { type: "string", default: "1.3" },
    dir: { type: "string", default: tmpdir() },
  },
});
const MIB = 1048576;
const KEY_BYTES = 16;
const VALUE_BYTES = Number(options.value);
const COUNT = Math.floor((Number(options.mib) * MIB) / (KEY_BYTES + VALUE_BYTES));

const { load } = await bundleEngine("locality");
const { AuraDB } = await load("index");

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state;
}
const keyOf = (index) => String(index).padStart(KEY_BYTES, "0");

async function run(budget) {
  const directory = mkdtempSync(join(options.dir, "aura-locality-"));
  const db = await AuraDB.open(directory, {
    valueLog: { localityBudget: budget, spaceAmplificationMax: Number(options.bound) },
    table: { compression: "none" },
    cache: { capacity: 8 * MIB },
  });
  try {
    state = 12345;
    const value = Buffer.alloc(VALUE_BYTES, 7);
    const stride = 7919;
    for (let i = 0; i < COUNT; i++) await db.put(keyOf((i * stride) % COUNT), value);
    for (let i = 0; i < COUNT; i++) await db.put(keyOf(random() % COUNT), value);
    await db.flush();
    await db.idle();
    const shown = [];
    for (let pass = 0; pass < Number(options.passes); pass++) {
      const before = db.stats().valueLog;
      const start = performance.now();
      let entries = 0;
      for (let from = 0; from < COUNT; from += 1000) {
        for await (const _ of db.scan({ gte: keyOf(from), limit: 1000 })) entries++;
      }
      const ms = performance.now() - start;
      await db.idle();
      const { scatteredReads, localityBytes } = db.stats().valueLog;
      const rate = (entries / ms).toFixed(0);
      const wasted = ((scatteredReads - before.scatteredReads) / entries).toFixed(2);
      shown.push(
        `${rate}k/s (${wasted} reads wasted per entry, then ${((localityBytes - before.localityBytes) / MIB).toFixed(0)} MiB rewritten)`,
      );
    }
    const { localityBytes, relocatedBytes } = db.stats().valueLog;
    const total = (localityBytes / MIB).toFixed(0);
    console.log(
      `budget ${budget}: ${shown.join(", ")}; in all ${total} MiB, relocated ${(relocatedBytes / MIB).toFixed(0)} MiB`,
    );
  } finally {
    await db.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

for (let round = 0; round < Number(options.rounds); round++) {
  for (const budget of options.budgets.split(",")) await run(Number(budget));
}
