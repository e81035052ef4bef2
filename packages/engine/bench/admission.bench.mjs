/**
 * Puts small entries as fast as they go (16 B keys, values of 100 B, level os, no compression), in
 * batches of `--batch` (1: single puts), each awaited before the next, and waits until nothing is left to do. Prints the time until written and
 * until drained, CPU time, the latency of a put (median, p99, p99.9, longest), and the runs of level
 * 0 over time: with the delay by debt, and without (`admission.delay: false`).
 *
 *   node packages/engine/bench/admission.bench.mjs [--count 10000000] [--rounds 1] [--dir DIR]
 *        [--batch 1000] [--memtable 16] [--root DIR] [--modes delay,free] [--sync]
 *
 * `--root` takes the engine of another checkout (its settings: its own). `--sync` blocks.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "10000000" },
    rounds: { type: "string", default: "1" },
    dir: { type: "string", default: tmpdir() },
    root: { type: "string", default: fileURLToPath(new URL("../../..", import.meta.url)) },
    modes: { type: "string", default: "delay,free" },
    memtable: { type: "string", default: "16" },
    batch: { type: "string", default: "1000" },
    sync: { type: "boolean", default: false },
  },
});
const COUNT = Number(options.count);
const BATCH = Number(options.batch);
const KEY_BYTES = 16;
const VALUE_BYTES = 100;
const MIB = 1048576;
const SAMPLE_MS = 250;

const bundled = await bundleEngine("admission", {}, options.root);
const { AuraDB, WriteBatch } = await bundled.load("index");

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state;
}

/** Latencies in buckets of an eighth of a power of two, from 0.1 us on. */
class Latencies {
  counts = new Float64Array(300);
  maxMs = 0;

  note(ms) {
    if (ms > this.maxMs) this.maxMs = ms;
    this.counts[Math.max(0, Math.ceil(Math.log2(Math.max(ms, 1e-4) / 1e-4) * 8))]++;
  }

  at(share) {
    const total = this.counts.reduce((sum, count) => sum + count, 0);
    let left = total * share;
    for (let i = 0; i < this.counts.length; i++) {
      left -= this.counts[i];
      if (left <= 0) return 1e-4 * 2 ** (i / 8);
    }
    return this.maxMs;
  }
}

async function load(directory, mode) {
  const db = await AuraDB.open(directory, {
    table: { compression: "none" },
    memtable: { maxSize: Number(options.memtable) * MIB, maxCount: 3 },
    compaction: { baseLevelSize: 64 * MIB },
    ...(mode === "free" ? { admission: { delay: false } } : {}),
  });
  const key = Buffer.alloc(KEY_BYTES);
  const value = Buffer.alloc(VALUE_BYTES, 7);
  const latencies = new Latencies();
  const runs = [];
  state = 1;
  const cpu = process.cpuUsage();
  const start = performance.now();
  let sampleMs = start;
  let previous = start;
  for (let i = 0; i < COUNT; i += BATCH) {
    const batch = new WriteBatch();
    for (let k = 0; k < BATCH; k++) {
      key.write(random().toString(16).padStart(8, "0"), 0, "latin1");
      key.write(random().toString(16).padStart(8, "0"), 8, "latin1");
      value.writeUInt32LE(random(), 0);
      if (BATCH > 1) batch.put(key, value);
    }
    const begin = performance.now();
    if (BATCH === 1) {
      if (options.sync) db.putSync(key, value);
      else await db.put(key, value);
    } else if (options.sync) db.writeSync(batch);
    else await db.write(batch);
    previous = performance.now();
    latencies.note(previous - begin);
    if (previous >= sampleMs) {
      sampleMs += SAMPLE_MS;
      runs.push(db.stats().levels[0].runs);
    }
  }
  const writtenMs = performance.now() - start;
  await db.flush();
  await db.idle();
  const drainedMs = performance.now() - start;
  const used = process.cpuUsage(cpu);
  const stats = db.stats();
  await db.close();
  return {
    writtenMs,
    drainedMs,
    cpuMs: (used.user + used.system) / 1000,
    latencies,
    runs,
    stats,
  };
}

function thinned(values, count) {
  const step = Math.max(1, Math.floor(values.length / count));
  return values.filter((_, i) => i % step === 0).join(" ");
}

for (let round = 0; round < Number(options.rounds); round++) {
  for (const mode of options.modes.split(",")) {
    const directory = mkdtempSync(join(options.dir, "aura-admission-"));
    try {
      const { writtenMs, drainedMs, cpuMs, latencies, runs, stats } = await load(directory, mode);
      const us = (share) => `${(latencies.at(share) * 1000).toFixed(1)} us`;
      console.log(
        `${mode}: written ${writtenMs.toFixed(0)} ms, drained ${drainedMs.toFixed(0)} ms, CPU ${cpuMs.toFixed(0)} ms;`,
        `put p50 ${us(0.5)}, p99 ${us(0.99)}, p99.9 ${us(0.999)}, p99.99 ${us(0.9999)},`,
        `longest ${latencies.maxMs.toFixed(1)} ms; level 0 at most ${Math.max(...runs)} runs`,
      );
      console.log(`  level 0 runs over time: ${thinned(runs, 40)}`);
      console.log(
        `  merged ${(stats.compactions.bytesWritten / MIB).toFixed(0)} MiB in ${stats.compactions.merges} merges; stalls ${stats.stalls}`,
      );
      if (stats.admission !== undefined) console.log(`  ${JSON.stringify(stats.admission)}`);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}
