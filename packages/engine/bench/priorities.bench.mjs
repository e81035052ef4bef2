/**
 * What a bulk load does to other calls: point reads and puts of a paced foreground, alone, beside a
 * load of normal priority, and beside one of low priority (batches of 100 entries, each awaited).
 * "late" is how much later than planned a round of the foreground began: what the load holds the
 * thread for. 16 B keys, values of 100 B, level os, no compression.
 *
 *   node packages/engine/bench/priorities.bench.mjs [--seconds 8] [--rounds 3] [--batch 100] [--dir DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "8" },
    rounds: { type: "string", default: "3" },
    batch: { type: "string", default: "100" },
    dir: { type: "string", default: tmpdir() },
  },
});
const BATCH = Number(options.batch);
const MIB = 1048576;
const PRELOADED = 400_000;
const ROUND_MS = 2;
const GETS = 10;
const PUTS = 5;

const { load } = await bundleEngine("priorities");
const { AuraDB, WriteBatch } = await load("index");

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state;
}
const keyOf = (n) => `key-${String(n).padStart(12, "0")}`;

async function bulk(db, priority, isOver) {
  const value = Buffer.alloc(100, 3);
  let entries = 0;
  while (!isOver()) {
    const batch = new WriteBatch();
    for (let k = 0; k < BATCH; k++)
      batch.put(`bulk${random().toString(16).padStart(12, "0")}`, value);
    await db.write(batch, { priority });
    entries += BATCH;
  }
  return entries;
}

async function foreground(db, seconds) {
  const times = { get: [], put: [], late: [] };
  const value = Buffer.alloc(100, 5);
  const start = performance.now();
  let dueMs = start;
  while (performance.now() - start < seconds * 1000) {
    dueMs += ROUND_MS;
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
    times.late.push(Math.max(0, performance.now() - dueMs));
    // What could not be held is not made up for.
    dueMs = Math.max(dueMs, performance.now() - ROUND_MS);
    for (let i = 0; i < GETS; i++) {
      const key = keyOf(random() % PRELOADED);
      const begin = performance.now();
      await db.get(key);
      times.get.push(performance.now() - begin);
    }
    for (let i = 0; i < PUTS; i++) {
      const key = keyOf(random() % PRELOADED);
      const begin = performance.now();
      await db.put(key, value);
      times.put.push(performance.now() - begin);
    }
  }
  return times;
}

function shown(times) {
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  return [0.5, 0.99, 0.999].map((share) => `${(at(share) * 1000).toFixed(0)}`).join("/");
}

async function phase(priority) {
  const directory = mkdtempSync(join(options.dir, "aura-priorities-"));
  try {
    const db = await AuraDB.open(directory, {
      table: { compression: "none" },
      memtable: { maxSize: 16 * MIB },
      compaction: { baseLevelSize: 64 * MIB },
    });
    const value = Buffer.alloc(100, 1);
    for (let i = 0; i < PRELOADED; i += 1000) {
      const batch = new WriteBatch();
      for (let k = 0; k < 1000; k++) batch.put(keyOf(i + k), value);
      await db.write(batch);
    }
    await db.flush();
    await db.idle();
    await foreground(db, 1);
    let over = false;
    const load = priority === undefined ? 0 : bulk(db, priority, () => over);
    const times = await foreground(db, Number(options.seconds));
    over = true;
    const entries = await load;
    await db.close();
    const rate = (entries / Number(options.seconds) / 1000).toFixed(0);
    console.log(
      `${(priority ?? "alone").padEnd(7)} p50/p99/p99.9 in us: get ${shown(times.get)}, put ${shown(times.put)},`,
      `late ${shown(times.late)}; bulk ${rate}k entries/s`,
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

for (let round = 0; round < Number(options.rounds); round++) {
  for (const priority of [undefined, "normal", "low"]) await phase(priority);
}
