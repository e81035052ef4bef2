/**
 * What the delay of writes by garbage that waits above the last level (write-debt.ts) is worth: a simulation
 * of bytes, no clock and no disk. The leveled policy over tables that are only counted, merges at a fixed
 * speed on two lanes, a writer that overwrites everything three times as fast as it is let. Tells the most
 * space over live bytes (tables, the copies of running merges, memtables' logs), how long it took, and how
 * fast merges were the whole time, with the delay and without it. Seconds of CPU, the same each time.
 *
 *   node packages/engine/bench/waiting-garbage.bench.mjs [--live 2048] [--memtable 64] [--base 256]
 *     [--fanout 10] [--merge 110] [--put 200]    MiB, and MiB/s: merges read + write so much on each lane
 */
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build } from "tsup";

const { values: options } = parseArgs({
  options: {
    live: { type: "string", default: "2048" },
    memtable: { type: "string", default: "64" },
    base: { type: "string", default: "256" },
    fanout: { type: "string", default: "10" },
    merge: { type: "string", default: "110" },
    put: { type: "string", default: "200" },
  },
});
const MIB = 1048576;
const ENTRY_BYTES = 128;
const LANES = 2;
const LIVE = Number(options.live) * MIB;
const MEMTABLE = Number(options.memtable) * MIB;
const FANOUT = Number(options.fanout);
const MERGE_PER_MS = (Number(options.merge) * MIB) / 1000;
const PUT_PER_MS = (Number(options.put) * MIB) / 1000;
/** Memtables flush so much faster than merges merge. */
const FLUSH_PER_MS = 4 * MERGE_PER_MS;
const L0_TRIGGER = 4;
const OVERWRITES = 3;

const engine = fileURLToPath(new URL("..", import.meta.url));
const bundle = join(engine, "../base/node_modules/.cache/aura/waiting-garbage");
const rl = fileURLToPath(new URL("../../compaction-rl/src/", import.meta.url));
await build({
  entry: {
    debt: `${engine}/src/write-debt.ts`,
    policy: `${rl}/index.ts`,
    tree: `${rl}/testing/index.ts`,
  },
  config: false,
  outDir: bundle,
  format: "esm",
  target: "node20",
  platform: "node",
  splitting: true,
  silent: true,
  clean: true,
  tsconfig: fileURLToPath(new URL("../../../tsconfig.base.json", import.meta.url)),
  noExternal: [/^@aura\//],
  external: ["xxhash-wasm", "lz4-napi", "fs-native-extensions"],
  esbuildOptions: (settings) => {
    settings.conditions = ["@aura/source"];
  },
});
const load = (name) => import(pathToFileURL(join(bundle, `${name}.js`)).href);
const { WriteDebt } = await load("debt");
const { flexiblePolicy } = await load("policy");
const { SimulatedTree, uniformKeys } = await load("tree");

function simulate(enabled) {
  const policy = flexiblePolicy({
    baseLevelBytes: Number(options.base) * MIB,
    fanout: FANOUT,
    l0Trigger: L0_TRIGGER,
    tableBytesMin: MIB,
    tableBytesMax: Math.max(MIB, (Number(options.base) * MIB) / 16),
    levelCount: 8,
  });
  const tree = new SimulatedTree({
    classes: uniformKeys(LIVE / ENTRY_BYTES),
    entryBytes: ENTRY_BYTES,
    filters: { bits: 10, allocation: "uniform" },
    levelCount: 8,
    policy,
  });
  tree.load(7, 1, 64 * MIB);
  let nowMs = 0;
  const memtables = { sealed: [], active: { table: { usedBytes: 0 } } };
  const debt = new WriteDebt({
    clock: { monotonicMs: () => nowMs, wallMs: () => nowMs },
    memtables,
    memtableBytes: MEMTABLE,
    memtableCountMax: 3,
    l0Trigger: L0_TRIGGER,
    version: () => ({ levels: tree.levels }),
    debtBytes: () => policy.debtBytes(tree.view),
    waitingBytes: () => policy.waitingBytes(tree.view),
    overwriteShare: () => 1,
    fanout: FANOUT,
    enabled,
    onMeasured: () => undefined,
  });
  const jobs = [];
  let flush;
  let written = 0;
  let mostSpace = 0;
  let busyMs = 0;
  let longestMs = 0;
  let evenMs = 0;
  const begin = () => {
    while (jobs.length < LANES) {
      const job = tree.begin();
      if (job === undefined) return;
      debt.noteMergeBegun();
      jobs.push({ job, left: job.inputBytes * 2, begun: nowMs });
    }
  };
  const total = LIVE * OVERWRITES;
  for (; written < total || flush !== undefined || jobs.length > 0; nowMs++) {
    // A put of 64 KiB at most each ms, and none before the last one is paid for.
    if (written < total && nowMs >= evenMs) {
      if (memtables.active.table.usedBytes >= MEMTABLE && memtables.sealed.length < 2) {
        memtables.sealed.push(MEMTABLE);
        memtables.active.table.usedBytes = 0;
      }
      if (memtables.active.table.usedBytes < MEMTABLE) {
        memtables.active.table.usedBytes += PUT_PER_MS;
        written += PUT_PER_MS;
        const cost = PUT_PER_MS * debt.msPerByte;
        longestMs = Math.max(longestMs, (cost * 65536) / PUT_PER_MS);
        evenMs = Math.max(evenMs, nowMs - 4) + cost;
      }
    }
    if (flush === undefined && memtables.sealed.length > 0) flush = { begun: nowMs };
    if (flush !== undefined && nowMs - flush.begun >= MEMTABLE / FLUSH_PER_MS) {
      memtables.sealed.shift();
      tree.flush(MEMTABLE / ENTRY_BYTES);
      debt.noteFlush(MEMTABLE, MEMTABLE, nowMs - flush.begun);
      flush = undefined;
      begin();
    }
    busyMs += jobs.length;
    let copies = 0;
    for (const one of [...jobs]) {
      one.left -= MERGE_PER_MS;
      copies += one.job.inputBytes - Math.max(0, one.left) / 2;
      if (one.left > 0) continue;
      const levels = new Map();
      for (const { level, table } of one.job.inputs) {
        levels.set(level, [...(levels.get(level) ?? []), table]);
      }
      tree.end(one.job);
      jobs.splice(jobs.indexOf(one), 1);
      const slices = [...levels].map(([level, tables]) => ({ level, tables }));
      debt.noteMergeEnded(slices, one.job.inputBytes * 2);
      begin();
    }
    let bytes = copies + memtables.active.table.usedBytes + memtables.sealed.length * MEMTABLE;
    for (const { runs } of tree.levels)
      for (const { tables } of runs) for (const table of tables) bytes += table.bytes;
    mostSpace = Math.max(mostSpace, bytes / LIVE);
  }
  console.log(
    enabled ? "delayed  " : "undelayed",
    `space ${mostSpace.toFixed(2)} at most, ${(nowMs / 1000).toFixed(1)} s until drained,`,
    `lanes busy ${((100 * busyMs) / LANES / nowMs).toFixed(0)} %,`,
    `longest wait for 64 KiB ${longestMs.toFixed(1)} ms`,
  );
}

simulate(true);
simulate(false);
