/**
 * Present against absent keys of one store, with the block cache warm: nanoseconds of CPU per
 * `getSync`, blocks read in vain, and per level what filters hold, let pass, and should.
 * Run against the built packages: node packages/engine/bench/absent.bench.mjs [keys] [bits] [filter] [allocation]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuraDB } from "@aura/engine";

const COUNT = Number(process.argv[2] ?? 1_000_000);
const bloomBitsPerKey = Number(process.argv[3] ?? 10);
const filter = process.argv[4] ?? "bloom";
const filterAllocation = process.argv[5] ?? "monkey";
const value = Buffer.alloc(100, 7);
const keyOf = (i) => `key-${String(i * 2).padStart(12, "0")}`;
const absentOf = (i) => `key-${String(i * 2 + 1).padStart(12, "0")}`;

let state = 5;
function below(n) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 0x100000000) * n);
}

const directory = mkdtempSync(join(tmpdir(), "aura-absent-"));
const db = await AuraDB.open(directory, {
  seed: 1,
  memtable: { maxSize: 4 << 20 },
  table: { bloomBitsPerKey, filter, filterAllocation, compression: "none", maxSize: 8 << 20 },
  compaction: { baseLevelSize: 16 << 20, fanout: 4 },
  cache: { capacity: 512 << 20 },
});
const start = process.cpuUsage();
for (let i = 0; i < COUNT; i++) {
  db.putSync(keyOf((i * 7919) % COUNT), value);
  if (i % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
}
await db.flush();
await db.idle();
const loaded = process.cpuUsage(start);
console.log(`${COUNT} keys loaded, ${((loaded.user + loaded.system) / 1e6).toFixed(1)} s of CPU`);

const READS = Math.min(COUNT, 400_000);
function least(name, work) {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 3; round++) {
    const began = process.cpuUsage();
    for (let i = 0; i < READS; i++) work(below(COUNT));
    const { user, system } = process.cpuUsage(began);
    best = Math.min(best, ((user + system) * 1000) / READS);
  }
  console.log(`${name.padEnd(10)} ${best.toFixed(0)} ns`);
}
for (let i = 0; i < COUNT; i += 20) db.getSync(keyOf(i));
least("present", (i) => {
  if (db.getSync(keyOf(i)) === undefined) throw new Error(`lost ${keyOf(i)}`);
});
const vain = () => db.stats().levels.reduce((sum, level) => sum + level.filter.passedInVain, 0);
const before = vain();
least("absent", (i) => {
  if (db.getSync(absentOf(i)) !== undefined) throw new Error("found");
});
console.log(
  `false block reads ${(((vain() - before) / (3 * READS)) * 100).toFixed(2)} % of absent look-ups`,
);
for (const [level, { runs, entries, filter: one }] of db.stats().levels.entries()) {
  if (entries === 0) continue;
  const rate = (share) => `${(share * 100).toFixed(4)} %`;
  console.log(
    `level ${level}: ${runs} runs, ${entries} entries, ${one.bitsPerEntry.toFixed(2)} bits each, ` +
      `passed ${rate(one.falsePositiveRate)}, theory ${rate(one.expectedRate)}`,
  );
}
const { capacity, usedBytes, pinnedBytes } = db.stats().cache;
console.log(`cache ${capacity}, used ${usedBytes}, of it filters and indexes ${pinnedBytes}`);
await db.close();
rmSync(directory, { recursive: true });
