/**
 * What the slowest rounds of a workload wait for: on Linux.
 *
 *     npm run build && node tools/experiments/slow-rounds.mjs [--rounds 10000] [--writes 0.95] [--dir DIR]
 *
 * Rounds of 64 operations as in the dynamic benchmark, on its tree of small levels, so that a flush or merge
 * runs nearly always. For all of them, and the slowest 1.5 %: time on the wall, time on a processor, and
 * time in which this thread was ready to run and others had the processors (/proc/thread-self/schedstat); at
 * the end, by thread, what processors the process had. Collections of garbage are counted beside.
 */
import { mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, PerformanceObserver } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { AuraDB, WriteBatch } from "@aura/engine";
import { Draw, drawRound, TREES, Values } from "../../packages/engine/bench/dynamic-phases.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "10000" },
    writes: { type: "string", default: "0.95" },
    dir: { type: "string" },
  },
});
const MIB = 1048576;
const SLOWEST = 0.015;
const count = Number(options.rounds);
const mix = { writes: Number(options.writes), scans: 0 };
const tree = TREES.inline;

const gc = { minor: 0, major: 0, ms: 0 };
const observer = new PerformanceObserver((list) => {
  for (const { detail, duration } of list.getEntries()) {
    if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) gc.minor++;
    else gc.major++;
    gc.ms += duration;
  }
});
observer.observe({ entryTypes: ["gc"] });

const file = openSync("/proc/thread-self/schedstat", "r");
const line = Buffer.alloc(64);
/** Time of this thread on a processor, and ready for one, ms. */
function scheduled() {
  const [cpu, ready] = line.toString("latin1", 0, readSync(file, line, 0, 64, 0)).split(" ");
  return [Number(cpu) / 1e6, Number(ready) / 1e6];
}

const folder = mkdtempSync(join(options.dir ?? tmpdir(), "aura-rounds-"));
const db = await AuraDB.open(folder, {
  memtable: { maxSize: tree.memtableBytes, maxCount: 3 },
  wal: { maxFileSize: 4 * MIB },
  table: { compression: "none", maxSize: tree.baseBytes / 16 },
  cache: { capacity: tree.cacheBytes },
  compaction: { baseLevelSize: tree.baseBytes },
});
const values = new Values(tree.valueBytes);
const draw = new Draw(1017);
const phase = { mixAt: () => mix };
const rounds = [];
for (let i = 0; i < count; i++) {
  const { put, gets } = drawRound(draw, phase, 0, 64, tree.keys, values);
  const [cpu, ready] = scheduled();
  const startMs = performance.now();
  const batch = new WriteBatch();
  for (let k = 0; k < put.keys.length; k++) batch.put(put.keys[k], put.values[k]);
  if (batch.length > 0) await db.write(batch);
  for (const key of gets) await db.get(key);
  const ms = performance.now() - startMs;
  const [cpuThen, readyThen] = scheduled();
  rounds.push({ ms, cpu: cpuThen - cpu, ready: readyThen - ready });
}

rounds.sort((a, b) => a.ms - b.ms);
const at = (share) => rounds[Math.floor((count - 1) * share)].ms.toFixed(2);
const mean = (list, name) =>
  (list.reduce((sum, one) => sum + one[name], 0) / list.length).toFixed(2);
const slowest = rounds.slice(Math.floor(count * (1 - SLOWEST)));
console.log(
  `ms of a round: median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}`,
);
for (const [name, list] of Object.entries({ all: rounds, slowest })) {
  const [ms, cpu, ready] = ["ms", "cpu", "ready"].map((one) => mean(list, one));
  console.log(`${name}: ${ms} ms, on a processor ${cpu}, ready and waiting for one ${ready}`);
}
console.log(`collections: ${gc.minor} minor, ${gc.major} major, ${gc.ms.toFixed(0)} ms in all`);
for (const task of readdirSync("/proc/self/task")) {
  const [cpu] = readFileSync(`/proc/self/task/${task}/schedstat`, "utf8").split(" ");
  const ms = Number(cpu) / 1e6;
  if (ms >= 50) console.log(`thread ${task}: ${ms.toFixed(0)} ms on a processor`);
}
await db.close();
rmSync(folder, { recursive: true, force: true });
