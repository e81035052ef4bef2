/**
 * Loads random entries (16 B keys, values of 100 B, batches of 1,000, level os, no compression) and waits
 * until nothing is left to do: time, CPU time, write amplification and what was written by cause.
 *
 *   node packages/engine/bench/load.bench.mjs [--count 3000000] [--rounds 1] [--value 100] [--dir DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "3000000" },
    rounds: { type: "string", default: "1" },
    value: { type: "string", default: "100" },
    dir: { type: "string", default: tmpdir() },
  },
});
const COUNT = Number(options.count);
const BATCH = 1000;
const KEY_BYTES = 16;
const VALUE_BYTES = Number(options.value);
const MIB = 1048576;

const bundled = await bundleEngine("load");
const { AuraDB, WriteBatch } = await bundled.load("index");

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state;
}

async function load(directory) {
  const db = await AuraDB.open(directory, {
    table: { compression: "none" },
    memtable: { maxSize: 64 * MIB, maxCount: 3 },
  });
  const key = Buffer.alloc(KEY_BYTES);
  const value = Buffer.alloc(VALUE_BYTES, 7);
  state = 1;
  const cpu = process.cpuUsage();
  const start = performance.now();
  for (let i = 0; i < COUNT; i += BATCH) {
    const batch = new WriteBatch();
    for (let k = 0; k < BATCH; k++) {
      // Scattered names: 16 hexadecimal digits.
      key.write(random().toString(16).padStart(8, "0"), 0, "latin1");
      key.write(random().toString(16).padStart(8, "0"), 8, "latin1");
      value.writeUInt32LE(random(), 0);
      batch.put(key, value);
    }
    await db.write(batch);
  }
  const loadedMs = performance.now() - start;
  await db.flush();
  const flushedMs = performance.now() - start;
  await db.idle();
  const drainedMs = performance.now() - start;
  const used = process.cpuUsage(cpu);
  const stats = db.stats();
  await db.close();
  return { loadedMs, flushedMs, drainedMs, cpuMs: (used.user + used.system) / 1000, stats };
}

for (let round = 0; round < Number(options.rounds); round++) {
  const directory = mkdtempSync(join(options.dir, "aura-load-"));
  try {
    const { loadedMs, flushedMs, drainedMs, cpuMs, stats } = await load(directory);
    const { flushes, compactions, log, levels, stalls } = stats;
    const raw = COUNT * (KEY_BYTES + VALUE_BYTES);
    const mib = (bytes) => `${(bytes / MIB).toFixed(0)} MiB`;
    console.log(
      `loaded ${loadedMs.toFixed(0)} ms, flushed ${flushedMs.toFixed(0)} ms, drained ${drainedMs.toFixed(0)} ms`,
      `(${(COUNT / drainedMs).toFixed(0)}k/s), CPU ${cpuMs.toFixed(0)} ms, stalls ${stalls}`,
    );
    console.log(
      `  written: log ${mib(log.bytesAppended)}, flush ${mib(flushes.bytesWritten)} (${flushes.count}),`,
      `merge ${mib(compactions.bytesWritten)} (${compactions.merges} merges, ${compactions.moves} moves);`,
      `amplification ${((flushes.bytesWritten + compactions.bytesWritten) / raw).toFixed(2)}`,
    );
    console.log(
      `  levels: ${levels
        .map((l, i) =>
          l.runs > 0 ? `${i}: ${l.runs} runs ${l.tables} tables ${mib(l.bytes)}` : "",
        )
        .filter(Boolean)
        .join(", ")}`,
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
