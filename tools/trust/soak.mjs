/**
 * Soak: a constant working set, all background work, for as long as asked: `node tools/trust/soak.mjs
 * --minutes 60`. Memory, descriptors, files and the delay of the event loop have to stay flat: their
 * slopes are fitted over the second half. Needs the built packages (`npm run build`).
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { AuraDB, WriteBatch } from "@aura/engine";
import { Chance } from "./history.mjs";
import { addSlice } from "./results.mjs";

const KIB = 1024;
const MIB = 1024 * KIB;
const KEYS = 20_000;
const SAMPLE_MS = 1000;
/** Per ten minutes: more than noise of the collector, less than any leak per operation. */
const MEMORY_SLOPE_MAX = 24 * MIB;
const FILES_SLOPE_MAX = 20;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
    results: { type: "string" },
  },
});
const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
const chance = new Chance(seed, 11);
const folder = mkdtempSync(join(tmpdir(), "aura-soak-"));
const directory = join(folder, "db");
const descriptors = () => readdirSync("/proc/self/fd").length;
const before = descriptors();

const settings = {
  memtable: { maxSize: 2 * MIB },
  table: { maxSize: MIB },
  valueLog: { maxSegmentSize: 2 * MIB },
  wal: { maxFileSize: MIB },
  compaction: { baseLevelSize: 4 * MIB, fanout: 4 },
  cache: { capacity: 4 * MIB },
};
let db = await AuraDB.open(directory, settings);
const loop = monitorEventLoopDelay({ resolution: 10 });
loop.enable();

async function turn() {
  const batch = new WriteBatch();
  for (let i = 0; i < 50; i++) {
    const key = `key ${chance.below(KEYS)}`;
    if (chance.below(8) === 0) batch.delete(key);
    else batch.put(key, Buffer.alloc(chance.pick([20, 100, 900, 1500, 3000]), chance.next() & 255));
  }
  await db.write(batch, { durability: chance.below(20) === 0 ? "sync" : "os" });
  for (let i = 0; i < 20; i++) await db.get(`key ${chance.below(KEYS)}`);
  const dice = chance.below(400);
  if (dice < 8) for await (const _ of db.scan({ gte: `key ${chance.below(KEYS)}`, limit: 200 }));
  else if (dice < 12) {
    const snapshot = db.snapshot();
    db.getSync(`key ${chance.below(KEYS)}`, { snapshot });
    snapshot.release();
  } else if (dice < 14) {
    const from = chance.below(KEYS - 20);
    await db.deleteRange({ gte: `key ${from}`, lt: `key ${from}9` });
  } else if (dice === 14) {
    await db.close();
    db = await AuraDB.open(directory, settings);
  } else if (dice === 15) await db.flush();
}

const samples = [];
const startedMs = performance.now();
const endMs = startedMs + minutes * 60_000;
let turns = 0;
for (let nextMs = startedMs + SAMPLE_MS; performance.now() < endMs; turns++) {
  await turn();
  if (performance.now() < nextMs) continue;
  nextMs = performance.now() + SAMPLE_MS;
  const { rss, arrayBuffers, external, heapUsed } = process.memoryUsage();
  const names = readdirSync(directory);
  let bytes = 0;
  for (const name of names) {
    try {
      bytes += statSync(join(directory, name)).size;
    } catch {
      // Removed meanwhile.
    }
  }
  samples.push({
    ms: performance.now() - startedMs,
    ...{ rss, arrayBuffers, external, heapUsed, files: names.length, bytes },
    descriptors: descriptors(),
    delayMs: loop.percentile(99) / 1e6,
  });
  loop.reset();
}

/** Growth of a field in ten minutes, by least squares over the second half. */
function slopeOf(field) {
  const half = samples.slice(samples.length >> 1);
  const meanX = half.reduce((sum, one) => sum + one.ms, 0) / half.length;
  const meanY = half.reduce((sum, one) => sum + one[field], 0) / half.length;
  let above = 0;
  let below = 0;
  for (const one of half) {
    above += (one.ms - meanX) * (one[field] - meanY);
    below += (one.ms - meanX) ** 2;
  }
  return Math.round((above / below) * 600_000);
}

await db.idle();
await db.close();
const { problems } = await AuraDB.verify(directory);
const left = descriptors() - before;
const slopes = Object.fromEntries(
  ["rss", "arrayBuffers", "heapUsed", "files", "descriptors", "bytes"].map((name) => [
    name,
    slopeOf(name),
  ]),
);
const most = Math.max(...samples.map(({ rss }) => rss));
const delayMs = Math.round(Math.max(...samples.slice(3).map((one) => one.delayMs)));
const wrong = [];
// Short runs have not warmed up: their slopes say nothing.
if (minutes >= 10) {
  for (const name of ["arrayBuffers", "heapUsed"]) {
    if (slopes[name] > MEMORY_SLOPE_MAX)
      wrong.push(`${name} grows by ${slopes[name]} in ten minutes`);
  }
  for (const name of ["files", "descriptors"]) {
    if (slopes[name] > FILES_SLOPE_MAX)
      wrong.push(`${name} grow by ${slopes[name]} in ten minutes`);
  }
}
// Worker threads, which stay, have a few of their own.
if (left > 40) wrong.push(`${left} descriptors are open after the close`);
wrong.push(...problems);
rmSync(folder, { recursive: true, force: true });
for (const line of wrong) console.log(line);
const sum = { seed, minutes, turns, slopes, mostRss: most, delayMs, descriptorsLeft: left };
console.log(JSON.stringify(sum));
if (values.results !== undefined) addSlice(values.results, { ...sum, wrong });
process.exitCode = wrong.length === 0 ? 0 : 1;
