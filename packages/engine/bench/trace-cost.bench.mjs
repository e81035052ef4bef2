/**
 * What a trace costs a call: the same calls with no trace on, with one, with hashed keys, and with one
 * key in a hundred. CPU time of the whole process, so the writing of the trace is in it; nanoseconds
 * per call, median and span of interleaved rounds. Keys of 16 bytes, values of 100. The loop turns
 * every 4096 calls: without, a trace would drop what its buffer cannot hold.
 * Run against the built packages:
 * node packages/engine/bench/trace-cost.bench.mjs [calls] [rounds]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { AuraDB } from "@aura/engine";

const CALLS = Number(process.argv[2] ?? 300_000);
const ROUNDS = Number(process.argv[3] ?? 7);
const KEYS = 4096;
const TURN_MASK = 4095;

const folder = mkdtempSync(`${tmpdir()}/aura-bench-`);
const db = await AuraDB.open(`${folder}/db`, { memtable: { maxSize: 512 * 1024 * 1024 } });
const keys = Array.from({ length: KEYS }, (_, i) =>
  Buffer.from(`user:${String(Math.imul(i, 0x9e3779b1) >>> 0).padStart(11, "0")}`),
);
const value = Buffer.alloc(100, "v");
for (const key of keys) db.putSync(key, value);

const kinds = {
  hasSync: (key) => db.hasSync(key),
  getSync: (key) => db.getSync(key),
  get: (key) => db.get(key),
  putSync: (key) => db.putSync(key, value),
};
const modes = {
  "no trace": undefined,
  trace: {},
  "hashed keys": { keys: "hashed" },
  "1 key in 100": { sampling: 100 },
};

async function nanoseconds(call) {
  const before = process.cpuUsage();
  for (let i = 0; i < CALLS; i++) {
    const answer = call(keys[(i * 7) & (KEYS - 1)]);
    if (answer instanceof Promise) await answer;
    if ((i & TURN_MASK) === 0) await new Promise(setImmediate);
  }
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / CALLS;
}

for (const [kind, call] of Object.entries(kinds)) {
  const times = new Map(Object.keys(modes).map((mode) => [mode, []]));
  let dropped = 0;
  let bytes = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [mode, options] of Object.entries(modes)) {
      const file = `${folder}/${kind}-${mode}-${round}`;
      const trace = options && db.trace(file, options);
      const ns = await nanoseconds(call);
      // The first round warms up.
      if (round > 0) times.get(mode).push(ns);
      const summary = await trace?.stop();
      dropped += summary?.dropped ?? 0;
      if (mode === "trace") bytes = summary.bytes / summary.operations;
      if (trace) rmSync(file);
    }
  }
  const cells = [...times].map(([mode, all]) => {
    all.sort((a, b) => a - b);
    const [least, median, most] = [all[0], all[all.length >> 1], all.at(-1)].map(Math.round);
    return `${mode} ${median} [${least}..${most}]`;
  });
  console.log(`${kind}: ${cells.join(", ")} ns; ${bytes.toFixed(1)} B a call, dropped ${dropped}`);
}
await db.close();
rmSync(folder, { recursive: true });
