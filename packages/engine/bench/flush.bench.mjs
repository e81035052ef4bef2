/**
 * How long memory takes to become tables: batches of 1,000 new keys of 16 B with values of 100 B are
 * written, then drained (`flush`, `idle`), into one new database after the other. Workers are
 * cold in the first, which is told apart; of the others the median.
 *
 *   node packages/engine/bench/flush.bench.mjs [--batches 1000] [--databases 5] [--dir DIR]
 *        [--engine DIST]
 *
 * `--engine`: the built engine (a directory `dist`) of another tree, to compare with.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: flags } = parseArgs({
  options: {
    batches: { type: "string", default: "1000" },
    databases: { type: "string", default: "5" },
    dir: { type: "string", default: tmpdir() },
    engine: { type: "string", default: "" },
  },
});
const { AuraDB, WriteBatch } = await import(
  flags.engine === ""
    ? (await bundleEngine("flush")).urlOf("index")
    : pathToFileURL(join(flags.engine, "index.js")).href
);

let state = 1;
function draw() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state;
}
const value = Buffer.alloc(100, 7);
const keys = Array.from({ length: 1000 }, () => Buffer.alloc(16));
const batch = new WriteBatch();

async function round() {
  const path = mkdtempSync(join(flags.dir, "aura-flush-"));
  const db = await AuraDB.open(path, { table: { compression: "none" } });
  const cpu = process.cpuUsage();
  const start = performance.now();
  let longest = 0;
  for (let i = 0; i < Number(flags.batches); i++) {
    batch.clear();
    for (const key of keys) {
      for (let at = 0; at < 16; at += 4) key.writeInt32LE(draw(), at);
      batch.put(key, value);
    }
    const before = performance.now();
    await db.write(batch);
    longest = Math.max(longest, performance.now() - before);
  }
  const written = performance.now() - start;
  await db.flush();
  await db.idle();
  const total = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  await db.close();
  rmSync(path, { recursive: true, force: true });
  return { written, drain: total - written, total, cpu: (user + system) / 1000, longest };
}

const rounds = [];
for (let i = 0; i < Number(flags.databases); i++) rounds.push(await round());
const median = (list, of) => list.map(of).sort((a, b) => a - b)[list.length >> 1];
function print(name, list) {
  if (list.length === 0) return;
  const shown = ["written", "drain", "total", "cpu", "longest"].map(
    (field) => `${field} ${median(list, (each) => each[field]).toFixed(0)}`,
  );
  console.log(`${name.padEnd(6)} ${shown.join(", ")} ms`);
}
print("first", rounds.slice(0, 1));
print("others", rounds.slice(1));
console.log(`peak ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);
