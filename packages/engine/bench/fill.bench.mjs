/**
 * Fills a database with random puts (16 B keys, values of 100 B by default, batches of 1,000, level os,
 * no compression, memtables of 64 MiB, two background threads), waits until nothing is left to do, and
 * tells time, CPU time, write amplification and space. `--rocksdb` runs db_bench of the same shape after
 * it. `--overwrites 3` writes every key once and then that many times as much again, and tells the
 * largest space of all files over the live bytes at any moment, and after `idle()`.
 * `--undelayed` runs each round without the delay of writes by debt, too.
 *
 *   node packages/engine/bench/fill.bench.mjs [--count 20000000] [--value 100] [--mode leveled]
 *     [--memtable 64] [--base 256] [--overwrites 0] [--rounds 1] [--rocksdb]
 *     [--undelayed] [--dir DIR]
 *
 * Keys are drawn as fillrandom of db_bench draws them: from as many as there are puts, so that about
 * 37 % of the puts overwrite. Smaller counts want smaller memtables and bases, or the tree has no levels: for a tenth of the
 * entries, a tenth of both.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "20000000" },
    value: { type: "string", default: "100" },
    mode: { type: "string", default: "leveled" },
    memtable: { type: "string", default: "64" },
    base: { type: "string", default: "256" },
    overwrites: { type: "string", default: "0" },
    rounds: { type: "string", default: "1" },
    rocksdb: { type: "boolean", default: false },
    undelayed: { type: "boolean", default: false },
    dir: { type: "string", default: tmpdir() },
  },
});
const COUNT = Number(options.count);
const OVERWRITES = Number(options.overwrites);
const VALUE_BYTES = Number(options.value);
const KEY_BYTES = 16;
/** Of Debian's rocksdb-tools. */
const DB_BENCH = ["db", "bench"].join("_");
const BATCH = 1000;
const MIB = 1048576;
const MEMTABLE_BYTES = Number(options.memtable) * MIB;
const BASE_BYTES = Number(options.base) * MIB;
const STORES = [
  "aura",
  ...(options.undelayed ? ["aura, undelayed,"] : []),
  ...(options.rocksdb ? ["rocksdb"] : []),
];
/** How often the space of all files is looked at, in batches. */
const SPACE_EVERY = 20;

const { load } = await bundleEngine("fill");
const { AuraDB, WriteBatch } = await load("index");

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state;
}

function bytesOnDisk(directory) {
  let bytes = 0;
  for (const name of readdirSync(directory)) {
    try {
      bytes += statSync(join(directory, name)).size;
    } catch {
      // Removed meanwhile.
    }
  }
  return bytes;
}

const BITS = Math.ceil(Math.log2(COUNT));

/** A number below COUNT that scatters `n`: a bijection of [0, 2^BITS), walked until it fits. */
function scattered(n) {
  const mask = 2 ** BITS - 1;
  let x = n;
  do {
    x = (Math.imul(x, 0x9e3779b1) + 0x7f4a7c15) & mask;
    x = (x ^ (x >>> (BITS >> 1))) & mask;
  } while (x >= COUNT);
  return x;
}

async function fill(directory, delay) {
  const db = await AuraDB.open(directory, {
    table: { compression: "none", maxSize: Math.min(64 * MIB, BASE_BYTES / 16) },
    memtable: { maxSize: MEMTABLE_BYTES, maxCount: 3 },
    // As long as the memtable: a log that is longer counts against the space of a small database.
    wal: { maxFileSize: MEMTABLE_BYTES },
    compaction: { mode: options.mode, baseLevelSize: BASE_BYTES },
    admission: { delay },
  });
  const reasons = new Map();
  db.events.on("compaction", ({ reason, fromLevel, toLevel, bytesWritten }) => {
    const name = `${reason} ${fromLevel}-${toLevel}`;
    const sum = reasons.get(name) ?? { count: 0, bytes: 0 };
    reasons.set(name, { count: sum.count + 1, bytes: sum.bytes + bytesWritten });
  });
  // As db_bench has them: eight bytes of a number, the rest filled up.
  const key = Buffer.alloc(KEY_BYTES, "0").fill(0, 0, 8);
  const value = Buffer.alloc(VALUE_BYTES, 7);
  const total = COUNT * (1 + OVERWRITES);
  const liveBytes = COUNT * (KEY_BYTES + VALUE_BYTES);
  let mostSpace = 0;
  let mostRuns = 0;
  const delayed = new Map();
  db.events.on("stall", ({ kind, cause, startMs, endMs }) => {
    if (endMs === undefined) return;
    const name = `${kind} for ${cause}`;
    delayed.set(name, (delayed.get(name) ?? 0) + endMs - startMs);
  });
  const latencies = new Float64Array(Math.ceil(total / BATCH));
  state = 1;
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let i = 0; i < total; i += BATCH) {
    const batch = new WriteBatch();
    for (let k = 0; k < BATCH; k++) {
      const isLoad = OVERWRITES > 0 && i + k < COUNT;
      const n = isLoad ? scattered(i + k) : Math.floor((random() / 2 ** 32) * COUNT);
      key.writeUInt32BE(n, 4);
      value.writeUInt32LE(random(), 0);
      batch.put(key, value);
    }
    const begun = performance.now();
    await db.write(batch);
    latencies[i / BATCH] = performance.now() - begun;
    if ((i / BATCH) % SPACE_EVERY > 0) continue;
    mostRuns = Math.max(mostRuns, db.stats().levels[0].runs);
    if (OVERWRITES > 0 && i >= COUNT) {
      mostSpace = Math.max(mostSpace, bytesOnDisk(directory) / liveBytes);
    }
  }
  const loadedMs = performance.now() - start;
  let waiting = true;
  const idle = db.idle().then(() => {
    waiting = false;
  });
  while (waiting) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (OVERWRITES > 0) mostSpace = Math.max(mostSpace, bytesOnDisk(directory) / liveBytes);
  }
  await idle;
  const drainedMs = performance.now() - start;
  const used = process.cpuUsage(cpu);
  const space = bytesOnDisk(directory) / liveBytes;
  const stats = db.stats();
  await db.close();
  const cpuMs = (used.user + used.system) / 1000;
  latencies.sort();
  return {
    ...{ loadedMs, drainedMs, cpuMs, stats, space, mostSpace, mostRuns, reasons, total },
    ...{ latencies, delayed },
  };
}

function tell(store, run) {
  const { loadedMs, drainedMs, cpuMs, stats, space, mostSpace, mostRuns, reasons, total } = run;
  const { flushes, compactions, levels, stalls } = stats;
  const latency = (share) => run.latencies[Math.floor(share * (run.latencies.length - 1))];
  const raw = total * (KEY_BYTES + VALUE_BYTES);
  const mib = (bytes) => `${(bytes / MIB).toFixed(0)} MiB`;
  console.log(
    `${store} ${options.mode}: loaded ${loadedMs.toFixed(0)} ms, drained ${drainedMs.toFixed(0)} ms`,
    `(${(total / drainedMs).toFixed(0)}k/s), CPU ${cpuMs.toFixed(0)} ms, stalls ${stalls},`,
    `at most ${mostRuns} runs in level 0`,
  );
  const waits = [...run.delayed].map(([name, ms]) => `${name} ${ms.toFixed(0)} ms`);
  console.log(
    `  a batch: p50 ${latency(0.5).toFixed(1)}, p99 ${latency(0.99).toFixed(1)}, p99.9`,
    `${latency(0.999).toFixed(1)}, longest ${latency(1).toFixed(1)} ms; ${waits.join(", ")}`,
  );
  console.log(
    `  written: flush ${mib(flushes.bytesWritten)}, merge ${mib(compactions.bytesWritten)}`,
    `(${compactions.merges} merges, ${compactions.moves} moves);`,
    `amplification ${((flushes.bytesWritten + compactions.bytesWritten) / raw).toFixed(2)}`,
  );
  for (const [name, { count, bytes }] of [...reasons].sort()) {
    console.log(`    ${name}: ${count} merges, ${mib(bytes)}`);
  }
  const filled = levels.map((l, i) => (l.runs > 0 ? `${i}: ${l.runs} runs ${mib(l.bytes)}` : ""));
  console.log(`  levels: ${filled.filter(Boolean).join(", ")}`);
  if (OVERWRITES > 0) {
    console.log(
      `  space over live bytes: ${mostSpace.toFixed(2)} at most, ${space.toFixed(3)} idle`,
    );
  }
}

function rocksdb(directory) {
  const flags = {
    benchmarks: "fillrandom,waitforcompaction,stats",
    db: directory,
    num: COUNT,
    key_size: KEY_BYTES,
    value_size: VALUE_BYTES,
    batch_size: BATCH,
    compression_type: "none",
    write_buffer_size: MEMTABLE_BYTES,
    max_write_buffer_number: 3,
    level0_file_num_compaction_trigger: 4,
    max_bytes_for_level_base: BASE_BYTES,
    max_bytes_for_level_multiplier: 10,
    level_compaction_dynamic_level_bytes: true,
    target_file_size_base: Math.min(64 * MIB, BASE_BYTES / 16),
    max_background_jobs: 2,
    subcompactions: 2,
    bloom_bits: 10,
    seed: 1,
    histogram: false,
  };
  const args = Object.entries(flags).map(([name, flag]) => `--${name}=${flag}`);
  const start = performance.now();
  const run = spawnSync(DB_BENCH, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  const drainedMs = performance.now() - start;
  if (run.status !== 0) {
    console.log(`db_bench: ${run.error?.message ?? run.stderr.slice(-500)}`);
    return;
  }
  const sum = run.stdout.split("\n").findLast((line) => /^ *Sum /.test(line));
  const fillLine = run.stdout.split("\n").find((line) => /^fillrandom/.test(line));
  const cumulative = run.stdout.split("\n").findLast((line) => /^Cumulative compaction/.test(line));
  console.log(`db_bench: ${drainedMs.toFixed(0)} ms with its start and end`);
  for (const line of [fillLine, sum, cumulative]) console.log(`  ${line?.trim()}`);
  const written = Number(/([\d.]+) GB write/.exec(cumulative ?? "")?.[1]);
  const raw = COUNT * (KEY_BYTES + VALUE_BYTES);
  // Its compaction figures count flushes too.
  console.log(`  amplification ${((written * 2 ** 30) / raw).toFixed(2)}`);
}

for (let round = 0; round < Number(options.rounds); round++) {
  for (const store of STORES) {
    const directory = mkdtempSync(join(options.dir, "aura-fill-"));
    try {
      if (store === "rocksdb") rocksdb(directory);
      else tell(store, await fill(directory, store === "aura"));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}
