/**
 * What background work does to the caller's event loop.
 *
 * Phase 1 finds the foreground's maximum: puts of 16 B keys and 100 B values, one after another.
 * Phase 2 paces the foreground at 20 % of it while flushes and compactions run (small memtables, so
 * that they never pause), and measures the delay of the event loop (monitorEventLoopDelay,
 * resolution 1 ms). Phase 3 is the control: the same pacing with plain appends of the same bytes,
 * while two plain workers read and write as many bytes as the background work of phase 2 did, in
 * chunks of 256 KiB with a sync per 8 MiB. Phases 2 and 3 alternate; the figure is the difference of
 * the p99.9, each the median of the rounds.
 *
 *   node tools/experiments/event-loop-delay.mjs [--rounds 3] [--seconds 10] [--dir DIR]
 *
 * Needs the built packages.
 */
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { AuraDB } from "@aura/engine";

const CHUNK = 256 * 1024;
const SYNC_BYTES = 8 * 1024 * 1024;

const settings = {
  memtable: { maxSize: 4 << 20 },
  table: { maxSize: 8 << 20, compression: "none" },
  compaction: { baseLevelSize: 16 << 20, l0Trigger: 2 },
};

if (isMainThread) await main();
else await moveBytes(workerData);

/** The control's worker: writes and reads back at the rate that it is given, until told to end. */
async function moveBytes({ path, bytesPerMs }) {
  const file = openSync(path, "w+");
  const chunk = Buffer.alloc(CHUNK, 5);
  const start = performance.now();
  let moved = 0;
  let at = 0;
  let ended = false;
  parentPort.on("message", () => {
    ended = true;
  });
  while (!ended) {
    while (moved < (performance.now() - start) * bytesPerMs) {
      writeSync(file, chunk, 0, CHUNK, at);
      readSync(file, chunk, 0, CHUNK, at);
      moved += 2 * CHUNK;
      at += CHUNK;
      if (at % SYNC_BYTES === 0) fdatasyncSync(file);
      if (at >= 512 * SYNC_BYTES) at = 0;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  closeSync(file);
  parentPort.close();
}

async function main() {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "10" },
      dir: { type: "string" },
    },
  });
  const rounds = Number(values.rounds);
  const seconds = Number(values.seconds);
  const folder = mkdtempSync(join(values.dir ?? tmpdir(), "aura-loop-"));
  try {
    const maximum = await maximumRate(join(folder, "max"));
    console.log(`foreground maximum: ${Math.round(maximum * 1000)} puts/s; paced at 20 %`);
    const engine = [];
    const control = [];
    for (let round = 0; round < rounds; round++) {
      const run = await enginePhase(join(folder, `engine-${round}`), maximum / 5, seconds);
      engine.push(run.delay);
      console.log(`engine : ${show(run.delay)}; background ${mb(run.bytes)} in ${seconds} s`);
      const plain = await controlPhase(folder, maximum / 5, seconds, run.bytes);
      control.push(plain);
      console.log(`control: ${show(plain)}`);
    }
    const p = (runs) => median(runs.map((run) => run.p999));
    console.log(
      `p99.9: engine ${p(engine)} ms, control ${p(control)} ms, difference ${(p(engine) - p(control)).toFixed(1)} ms`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nextKey(key, i) {
  key.writeUInt32BE(Math.imul(i, 0x9e3779b1) >>> 0, 0);
  key.writeUInt32BE(i % 1_000_000, 8);
}

async function maximumRate(path) {
  const db = await AuraDB.open(path, settings);
  const key = Buffer.alloc(16);
  const value = Buffer.alloc(100, 1);
  const count = 400_000;
  const start = performance.now();
  for (let i = 0; i < count; i++) {
    nextKey(key, i);
    db.putSync(key, value);
  }
  const rate = count / (performance.now() - start);
  await db.close();
  return rate;
}

/** Calls `work` at `ratePerMs`, from timers of 1 ms, and returns the delays of the event loop. */
async function paced(ratePerMs, seconds, work) {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  const start = performance.now();
  let done = 0;
  histogram.enable();
  while (performance.now() - start < seconds * 1000) {
    const due = (performance.now() - start) * ratePerMs;
    // At most one millisecond's worth at a time: what is late is not caught up in one go.
    const end = Math.min(due, done + ratePerMs * 2);
    while (done < end) work(done++);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  histogram.disable();
  const at = (percentile) => Number((histogram.percentile(percentile) / 1e6).toFixed(1));
  return {
    p50: at(50),
    p99: at(99),
    p999: at(99.9),
    max: Number((histogram.max / 1e6).toFixed(1)),
  };
}

async function enginePhase(path, ratePerMs, seconds) {
  const db = await AuraDB.open(path, settings);
  const key = Buffer.alloc(16);
  const value = Buffer.alloc(100, 1);
  const delay = await paced(ratePerMs, seconds, (i) => {
    nextKey(key, i);
    db.putSync(key, value);
  });
  const { flushes, compactions } = db.stats();
  const bytes = flushes.bytesWritten + compactions.bytesRead + compactions.bytesWritten;
  await db.close();
  return { delay, bytes };
}

async function controlPhase(folder, ratePerMs, seconds, bytes) {
  const bytesPerMs = bytes / 2 / (seconds * 1000);
  const workers = [0, 1].map(
    (i) =>
      new Worker(new URL(import.meta.url), {
        workerData: { path: join(folder, `plain-${i}`), bytesPerMs },
      }),
  );
  const file = openSync(join(folder, "plain-log"), "w");
  const record = Buffer.alloc(156, 1);
  const delay = await paced(ratePerMs, seconds, () => writeSync(file, record));
  closeSync(file);
  await Promise.all(
    workers.map((worker) => {
      const ended = new Promise((resolve) => worker.on("exit", resolve));
      worker.postMessage("end");
      return ended;
    }),
  );
  return delay;
}

function show({ p50, p99, p999, max }) {
  return `p50 ${p50}, p99 ${p99}, p99.9 ${p999}, max ${max} ms`;
}

function mb(bytes) {
  return `${Math.round(bytes / 1e6)} MB`;
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
}
