/** One run of the dynamic benchmark, in a process of its own: an order as JSON in, a result as JSON out. */
import { readFileSync, writeFileSync } from "node:fs";
import { Draw, drawRound, keyOf, ROUND, TREES, Values, WORKLOADS } from "./dynamic-phases.mjs";
import { bytesOnDisk, openAura, openRocks } from "./dynamic-stores.mjs";

/** Operations of a window of latencies. */
const SLICE = 20_480;
const LOAD_BATCH = 1000;

const order = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { directory, bundle, seed, config, workload, turnovers, oracle } = order;
const tree = TREES[order.tree];
const isRocks = config === "rocksdb";
const store = isRocks
  ? await openRocks(directory, tree)
  : await openAura(bundle, directory, tree, config, seed);
const values = new Values(tree.valueBytes);
const phases = WORKLOADS[workload](tree, turnovers);

if (oracle !== undefined) store.setShape(oracle[phases[0].name]);
for (let i = 0; i < tree.keys; i += LOAD_BATCH) {
  const put = { keys: [], values: [] };
  for (let k = i; k < Math.min(tree.keys, i + LOAD_BATCH); k++) {
    put.keys.push(keyOf(k));
    put.values.push(values.next());
  }
  await store.write(put);
}
await store.drain();

/** Runs one phase; its time is that of its calls, without what draws them. */
async function run(phase, draw) {
  const slices = [];
  let times = [];
  let sliceOps = 0;
  let sliceMs = 0;
  let ms = 0;
  let found = 0;
  const end = () => {
    times.sort((a, b) => a - b);
    const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
    slices.push({ ops: sliceOps, ms: sliceMs, p50: at(0.5), p99: at(0.99), max: times.at(-1) });
    times = [];
    sliceOps = 0;
    sliceMs = 0;
  };
  for (let op = 0; op < phase.ops; op += ROUND) {
    const count = Math.min(ROUND, phase.ops - op);
    const round = drawRound(draw, phase, op / phase.ops, count, tree.keys, values);
    const start = performance.now();
    if (round.put.keys.length > 0) await store.write(round.put);
    if (round.gets.length > 0) found += await store.getAll(round.gets);
    for (const from of round.scans) found += await store.scan(from);
    const took = performance.now() - start;
    times.push(took);
    sliceOps += count;
    sliceMs += took;
    ms += took;
    if (sliceOps >= SLICE) end();
  }
  if (sliceOps >= SLICE / 2) end();
  return { name: phase.name, ops: phase.ops, ms, found, slices };
}

const draw = new Draw(seed * 1000 + 17);
const before = store.facts();
const firstWindow = store.windows();
const cpu = process.cpuUsage();
const results = [];
for (const phase of phases) {
  if (oracle !== undefined) store.setShape(oracle[phase.name]);
  const beginWindow = store.windows();
  const result = await run(phase, draw);
  results.push({ ...result, windows: [beginWindow, store.windows()] });
}
const drainStart = performance.now();
await store.drain();
const drainMs = performance.now() - drainStart;
const used = process.cpuUsage(cpu);
const after = store.facts();
const facts = {};
for (const [name, value] of Object.entries(after)) {
  facts[name] = typeof value === "number" ? value - before[name] : value;
}
const records = store.records().filter(({ observation }) => observation.window >= firstWindow);
const space = bytesOnDisk(directory);
await store.close();
writeFileSync(
  order.result,
  JSON.stringify({
    ...{ config, seed, tree: order.tree, workload, phases: results, drainMs, facts, space },
    cpuMs: (used.user + used.system) / 1000,
    records,
  }),
);
