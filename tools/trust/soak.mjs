/**
 * Soak: a constant working set, all background work, for as long as asked: `node tools/trust/soak.mjs
 * --minutes 60`. Memory, descriptors, files and the delay of the event loop have to stay flat: the
 * medians of the last quarter stand beside those of the second one, however long it takes. Memory has
 * a bound besides, of what these settings can need. Needs the built packages (`npm run build`).
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
/** What Node, five threads, two memtables, the cache and the collector's slack come to, and half as much again. */
const RSS_MAX = 384 * MIB;
/** More than the noise between two quarters, less than what a leak per operation comes to in minutes. */
const GROWTH_MAX = {
  rss: 48 * MIB,
  arrayBuffers: 16 * MIB,
  heapUsed: 16 * MIB,
  bytes: 32 * MIB,
  files: 40,
  descriptors: 40,
};
const DELAY_FACTOR_MAX = 2;
const DELAY_NOISE_MS = 20;

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
/** Open files, but for those of threads, which stay when a database closes. */
const DESCRIPTORS_OF_THREAD = 5;
const countOf = (what) => readdirSync(`/proc/self/${what}`).length;
const descriptors = () => countOf("fd") - DESCRIPTORS_OF_THREAD * countOf("task");

const settings = {
  memtable: { maxSize: 2 * MIB },
  table: { maxSize: MIB },
  valueLog: { maxSegmentSize: 2 * MIB },
  wal: { maxFileSize: MIB },
  compaction: { baseLevelSize: 4 * MIB, fanout: 4 },
  cache: { capacity: 4 * MIB },
};
let db = await AuraDB.open(directory, settings);
let closedDescriptors;
let reopened = 0;
const loop = monitorEventLoopDelay({ resolution: 10 });
loop.enable();

async function reopen() {
  await db.close();
  reopened++;
  const open = descriptors();
  db = await AuraDB.open(directory, settings);
  return open;
}

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
    await reopen();
  } else if (dice === 15) await db.flush();
}

const samples = [];
const startedMs = performance.now();
const endMs = startedMs + minutes * 60_000;
let turns = 0;
for (let nextMs = startedMs + SAMPLE_MS; performance.now() < endMs; turns++) {
  await turn();
  if (performance.now() > (3 * startedMs + endMs) / 4) closedDescriptors ??= await reopen();
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

/** The median of a field in a quarter of the samples, counted from 0. */
function medianOf(field, quarter) {
  const [from, to] = [quarter, quarter + 1].map((at) => (samples.length * at) >> 2);
  const sorted = samples.slice(from, to).map((one) => one[field]);
  sorted.sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

await db.idle();
await db.close();
const { problems } = await AuraDB.verify(directory);
const left = descriptors() - closedDescriptors;
const mostRss = Math.max(...samples.map(({ rss }) => rss));
const growth = {};
const wrong = [];
for (const [name, most] of Object.entries(GROWTH_MAX)) {
  growth[name] = medianOf(name, 3) - medianOf(name, 1);
  if (growth[name] > most) wrong.push(`${name} grows by ${growth[name]}, more than ${most}`);
}
if (mostRss > RSS_MAX) wrong.push(`${mostRss} bytes are resident, more than ${RSS_MAX}`);
const delaysMs = [1, 3].map((quarter) => Math.round(medianOf("delayMs", quarter)));
if (delaysMs[1] > DELAY_FACTOR_MAX * delaysMs[0] + DELAY_NOISE_MS) {
  wrong.push(`the event loop is ${delaysMs[1]} ms late, ${delaysMs[0]} ms before`);
}
if (left > 0) wrong.push(`${left} descriptors more are open than behind the first close`);
wrong.push(...problems);
rmSync(folder, { recursive: true, force: true });
for (const line of wrong) console.log(line);
const sum = { seed, minutes, turns, reopened, growth, mostRss, delaysMs, descriptorsLeft: left };
console.log(`COUNTS ${JSON.stringify({ soakMinutes: minutes, soakTurns: turns })}`);
console.log(JSON.stringify(sum));
if (values.results !== undefined) addSlice(values.results, { ...sum, wrong });
process.exitCode = wrong.length === 0 ? 0 : 1;
