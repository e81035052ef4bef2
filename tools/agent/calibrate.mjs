/**
 * The simulator beside the engine: the same shapes and workloads on both, write amplification and runs that a
 * look-up asks. Fixed work; the engine waits for its merges, so that they end where the simulator's do.
 *
 *   node tools/agent/calibrate.mjs [--windows 24] [--keys 300000] [--dir DIR]
 *
 * What is no prediction is taken from the engine: bytes of an entry, bytes of a memtable that a flush wrote.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { numbersFrom, WINDOW_OPERATIONS } from "./scenarios.mjs";
import { importAgent, importEngine } from "./sources.mjs";

const { values: options } = parseArgs({
  options: {
    windows: { type: "string", default: "24" },
    keys: { type: "string", default: "300000" },
    dir: { type: "string", default: tmpdir() },
  },
});
const KEYS = Number(options.keys);
const WINDOWS = Number(options.windows);
const MIB = 1048576;
const MEMTABLE = MIB;
const BASE = 4 * MIB;
/** Writes between two looks at whether merges run. */
const LOOK = 500;

const agent = await importAgent();
const { AuraDB } = await importEngine();
const geometry = agent.treeGeometry({ baseLevelBytes: BASE });

function shapeOf(runs, trigger) {
  const levels = Array.from({ length: geometry.levelCount - 1 }, () => ({ runs }));
  return agent.reshaped(agent.modeShape("leveled", geometry, trigger), { levels });
}

const mixes = {
  "90 % writes": { reads: 0.1, scans: 0, writes: 0.9, absent: 0.2, scanLength: 1 },
  "50 % writes": { reads: 0.5, scans: 0, writes: 0.5, absent: 0.2, scanLength: 1 },
};
const shapes = [
  [1, 4],
  [2, 8],
  [3, 2],
  [9, 4],
];

const keyOf = (n) => `key${String(n).padStart(13, "0")}`;

/** Takes a shape after the first window and changes nothing any more. */
function recorder(shape, seen) {
  return () => ({
    algorithm: "recorder",
    isFrozen: true,
    freeze: () => {},
    exportWeights: () => ({
      format: "aura-agent",
      version: 1,
      algorithm: "closed-form",
      parameters: {},
    }),
    decide: (observation, inForce) => {
      seen.push(observation);
      const isFirst = observation.window === 0;
      return {
        window: observation.window,
        algorithm: "recorder",
        shape: isFirst ? agent.reshaped(inForce, shape) : undefined,
        reason: "keep",
        detail: "",
        keptSeconds: 0,
        predictedSeconds: 0,
        switchSeconds: 0,
        measured: { reads: 0, scans: 0, writes: 0, merges: 0, stalls: 0, debt: 0, total: 0 },
        phase: 0,
        isExploration: false,
        stateDigest: 0,
      };
    },
  });
}

async function onEngine(directory, { levels, l0Trigger }, mix) {
  const seen = [];
  const db = await AuraDB.open(
    directory,
    {
      seed: 1,
      memtable: { maxSize: MEMTABLE },
      compaction: { mode: "adaptive", baseLevelSize: BASE },
      table: { compression: "none" },
      rlAgent: { windowOperations: WINDOW_OPERATIONS, windowBytes: 1024 * MIB },
    },
    { agent: recorder({ levels, l0Trigger }, seen) },
  );
  const next = numbersFrom(7);
  const value = Buffer.alloc(100, 7);
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const quiet = async () => {
    do await turn();
    while (db.stats().compactions.running > 0 || db.stats().memtables.count > 1);
  };
  for (let i = 0; i < KEYS; i++) {
    db.putSync(keyOf(Math.imul(i, 7919) >= 0 ? (i * 7919) % KEYS : 0), value);
    if (i % LOOK === 0) await quiet();
  }
  await db.flush();
  await db.compact();
  const skipped = seen.length + 2;
  while (seen.length < skipped + WINDOWS) {
    for (let i = 0; i < LOOK; i++) {
      const key = Math.floor(next() * KEYS);
      if (next() < mix.writes) db.putSync(keyOf(key), value);
      else if (next() < mix.absent) db.getSync(`${keyOf(key)}x`);
      else db.getSync(keyOf(key));
    }
    await quiet();
  }
  await db.close();
  return seen.slice(skipped, skipped + WINDOWS);
}

function sum(windows, pick) {
  return windows.reduce((total, window) => total + pick(window), 0);
}

function figures(windows) {
  const written = sum(windows, (w) => w.writtenBytes);
  const tables = sum(windows, (w) => w.flushedBytes + w.mergedBytesWritten);
  const probes = sum(windows, (w) => sum(w.levels, (level) => level.probes));
  return { amplification: tables / written, probes: probes / sum(windows, (w) => w.reads) };
}

function onSimulator(shape, mix, seen) {
  const last = seen.at(-1);
  const bytes = sum(last.levels, (level) => level.bytes);
  const entryBytes = bytes / sum(last.levels, (level) => level.entries);
  const writes = sum(seen, (w) => w.writes);
  const memtableEntryBytes = sum(seen, (w) => w.writtenBytes) / writes;
  const perFlush = sum(seen, (w) => w.writtenBytes) / sum(seen, (w) => w.flushes);
  const simulator = new agent.Simulator({
    geometry,
    shape: agent.modeShape("leveled", geometry, 4),
    memtableBytes: perFlush,
    memtableEntryBytes,
    entryBytes,
    separatedBytes: 0,
    classes: agent.uniformKeys(KEYS),
    loaded: 1,
    filters: { bits: 10, allocation: "monkey" },
    costs: agent.TYPICAL_COSTS,
    mergeSpeed: Number.POSITIVE_INFINITY,
    noise: 0,
    seed: 1,
  });
  simulator.reshape(shape);
  const windows = Array.from({ length: WINDOWS + 2 }, () =>
    simulator.window(mix, WINDOW_OPERATIONS),
  );
  return windows.slice(2);
}

function row(name, real, simulated) {
  const error = (simulated / real - 1) * 100;
  return `${name} engine ${real.toFixed(2).padStart(6)} simulator ${simulated.toFixed(2).padStart(6)} (${error >= 0 ? "+" : ""}${error.toFixed(1)} %)`;
}

const errors = { amplification: [], probes: [] };
for (const [name, mix] of Object.entries(mixes)) {
  for (const [runs, trigger] of shapes) {
    const shape = shapeOf(runs, trigger);
    const directory = mkdtempSync(join(options.dir, "aura-calibrate-"));
    try {
      const seen = await onEngine(directory, shape, mix);
      const real = figures(seen);
      const simulated = figures(onSimulator(shape, mix, seen));
      for (const key of Object.keys(errors))
        errors[key].push(Math.abs(simulated[key] / real[key] - 1));
      console.log(
        `${name}, K ${runs}, trigger ${trigger}: ${row("write amplification", real.amplification, simulated.amplification)}; ` +
          row("probes per read", real.probes, simulated.probes),
      );
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}
for (const [name, list] of Object.entries(errors)) {
  const mean = list.reduce((a, b) => a + b, 0) / list.length;
  const most = Math.max(...list);
  console.log(
    `${name}: error ${(mean * 100).toFixed(1)} % in the mean, ${(most * 100).toFixed(1)} % at most`,
  );
}
