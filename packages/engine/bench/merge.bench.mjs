/**
 * Fixed work for the job functions themselves, no engine around: merge and flush on this thread,
 * beside a control that reads, checksums (4 KiB pieces) and writes the same bytes and syncs them.
 * Uncompressed, 16 B keys, filter and model built in the same pass. Median of the rounds; wall and
 * CPU time of the process. Scenarios take turns, so that a busy machine disturbs all alike.
 *
 *   node packages/engine/bench/merge.bench.mjs [--rounds 5] [--only NAME] [--scale 1] [--dir DIR]
 *     [--without-model]   merges without a model beside those with one, in turns
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundle } from "../../../scripts/bundle.mjs";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    scale: { type: "string", default: "1" },
    dir: { type: "string", default: tmpdir() },
    "without-model": { type: "boolean", default: false },
  },
});
const ROUNDS = Number(options.rounds);
const SCALE = Number(options.scale);
const KEY_BYTES = 16;
const POINTER_KIND = 2;
const CONTROL_PIECE = 4096;
const CONTROL_READ = 1 << 20;
const MEMTABLE_BYTES = 128 << 20;

const { load } = await bundle("merge", {
  jobs: "engine/src/jobs/job-table.ts",
  output: "engine/src/jobs/table-output.ts",
  base: "base/src/index.ts",
  memtable: "memtable/src/index.ts",
});
const { engineJobs } = await load("jobs");
const { OutputNumbers, TableOutput } = await load("output");
const { contentHash, hashReady, nodeFileSystem } = await load("base");
const { ArenaPool, createMemtable } = await load("memtable");
await hashReady();

const directory = mkdtempSync(join(options.dir, "aura-merge-"));
let nextNumber = 1;

function outputSettings(folder, learnedIndex = true) {
  const firstNumber = nextNumber;
  nextNumber += 1000;
  return {
    directory: folder,
    databaseUuid: new Uint8Array(16).fill(7),
    hashSeed: 1,
    blockBytes: 4096,
    codec: 0,
    valueCodec: 0,
    bloomBitsPerKey: 10,
    learnedIndex,
    tableBytesMax: 64 << 20,
    firstNumber,
    numberCount: 1000,
    uidSeed: firstNumber,
  };
}

/** Numbers 0 to count - 1, scattered: the bits of a key, 10 decimal digits behind "key-00". */
function putKey(key, n) {
  let rest = n;
  for (let at = KEY_BYTES - 1; at >= 6; at--) {
    key[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
}

/** Writes a run of the ascending key numbers. */
function writeRun(folder, numbers, seqFrom, valueBytes, tag) {
  const settings = outputSettings(folder);
  const output = new TableOutput(nodeFileSystem, settings, new OutputNumbers(settings));
  const key = Buffer.from("key-00".padEnd(KEY_BYTES, "0"));
  const value = new Uint8Array(valueBytes);
  for (let i = 0; i < valueBytes; i++) value[i] = Math.imul(i + 1, 0x9e3779b1) >>> 13;
  if (tag === POINTER_KIND) value.fill(0).set([5, 0, 0, 0]);
  for (let i = 0; i < numbers.length; i++) {
    putKey(key, numbers[i]);
    if (tag !== POINTER_KIND) value[i % valueBytes] = i;
    output.add(key, 0, KEY_BYTES, seqFrom + i, tag, value, 0, valueBytes);
    if (tag === POINTER_KIND) output.noteReference(5, 100);
  }
  return output.finishSync();
}

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 0x100000000;
}

/** Draws ascending numbers below `space` for each run; `shared`: every run may draw any number. */
function draw(sizes, space, shared) {
  const runs = sizes.map(() => []);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  for (let n = 0; n < space; n++) {
    if (shared) {
      for (let r = 0; r < runs.length; r++) if (random() < sizes[r] / space) runs[r].push(n);
    } else {
      let at = random() * total;
      let r = 0;
      while (r < sizes.length - 1 && at >= sizes[r]) at -= sizes[r++];
      runs[r].push(n * 997);
    }
  }
  return runs;
}

/** Stretches of `length` neighbours, in turns: inputs that hardly interleave. */
function stretches(count, runCount, length) {
  const runs = Array.from({ length: runCount }, () => []);
  for (let n = 0; n < count; n++) runs[Math.floor(n / length) % runCount].push(n * 997);
  return runs;
}

const thousand = 1000 * SCALE;
const scenarios = {
  "5 runs, 100 B": () => ({
    runs: draw(
      [250, 250, 250, 250, 1000].map((n) => n * thousand),
      2000 * thousand,
      false,
    ),
    valueBytes: 100,
  }),
  "2 runs, 100 B": () => ({
    runs: draw(
      [200, 1800].map((n) => n * thousand),
      2000 * thousand,
      false,
    ),
    valueBytes: 100,
  }),
  "4 runs, half overwritten": () => ({
    runs: draw(
      [500, 500, 500, 500].map((n) => n * thousand),
      1000 * thousand,
      true,
    ),
    valueBytes: 100,
  }),
  "not interleaved, 100 B": () => ({
    runs: stretches(2000 * thousand, 2, 20_000),
    valueBytes: 100,
  }),
  "5 runs, 4 KiB values": () => ({
    runs: draw(
      [10, 10, 10, 10, 40].map((n) => n * thousand),
      80 * thousand,
      false,
    ),
    valueBytes: 4096,
  }),
  "5 runs, pointers": () => ({
    runs: draw(
      [250, 250, 250, 250, 1000].map((n) => n * thousand),
      2000 * thousand,
      false,
    ),
    valueBytes: 20,
    tag: POINTER_KIND,
  }),
};

function prepare(name) {
  const { runs, valueBytes, tag = 1 } = scenarios[name]();
  const folder = join(directory, name.replaceAll(/\W/g, "-"));
  mkdirSync(folder);
  let seq = 1;
  const slices = runs.toReversed().map((numbers) => {
    const tables = writeRun(folder, numbers, seq, valueBytes, tag);
    seq += numbers.length;
    return tables;
  });
  return { folder, slices: slices.reverse() };
}

function finish(generator) {
  for (;;) {
    const step = generator.next();
    if (step.done) return step.value;
  }
}

const context = { fs: nodeFileSystem, isCancelled: () => false };

function merge({ folder, slices }, learnedIndex = true) {
  const input = {
    slices,
    older: [],
    output: outputSettings(folder, learnedIndex),
    snapshots: [],
    drain: [],
    segmentKinds: [[5, "vlog"]],
  };
  return finish(engineJobs.merge(input, context));
}

function pathOf(folder, number) {
  return join(folder, `${String(number).padStart(6, "0")}.sst`);
}

/** Reads, checksums and writes the bytes of the inputs. */
function control({ folder, slices }) {
  const chunk = new Uint8Array(CONTROL_READ);
  let sum = 0;
  for (const { number } of slices.flat()) {
    const source = nodeFileSystem.openSync(pathOf(folder, number), "read");
    const path = join(folder, "control");
    const target = nodeFileSystem.openSync(path, "create");
    for (let at = 0; ; ) {
      const read = source.readSync(chunk, at);
      if (read === 0) break;
      for (let i = 0; i + CONTROL_PIECE <= read; i += CONTROL_PIECE) {
        sum ^= contentHash(chunk, i, i + CONTROL_PIECE);
      }
      target.writeSync(chunk.subarray(0, read), at);
      at += read;
    }
    target.syncSync();
    target.closeSync();
    source.closeSync();
    rmSync(path);
  }
  return sum;
}

function timed(work) {
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  const result = work();
  const wallMs = Number(process.hrtime.bigint() - start) / 1e6;
  const used = process.cpuUsage(cpu);
  return { result, wallMs, cpuMs: (used.user + used.system) / 1000 };
}

function median(values) {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** A memtable of scattered keys, to flush. */
function fillMemtable(count) {
  const buffer = new ArenaPool().acquire(MEMTABLE_BYTES);
  const memtable = createMemtable("hash-runs", buffer, { seed: 1 });
  const key = Buffer.from("key-00".padEnd(KEY_BYTES, "0"));
  const value = new Uint8Array(100).fill(9);
  for (let i = 0; i < count; i++) {
    putKey(key, Math.imul(i, 0x9e3779b1) >>> 0);
    memtable.add(i + 1, 1, key, 0, KEY_BYTES, value, 0, value.length);
  }
  return memtable;
}

const wanted = Object.keys(scenarios).filter((name) => (options.only ?? name) === name);
const prepared = new Map(wanted.map((name) => [name, prepare(name)]));
const times = new Map(wanted.map((name) => [name, { merge: [], plain: [], control: [] }]));
for (let round = 0; round < ROUNDS; round++) {
  for (const name of wanted) {
    const work = prepared.get(name);
    const merged = timed(() => merge(work));
    for (const { number } of merged.result.tables) rmSync(pathOf(work.folder, number));
    times.get(name).merge.push(merged);
    if (options["without-model"]) {
      const plain = timed(() => merge(work, false));
      for (const { number } of plain.result.tables) rmSync(pathOf(work.folder, number));
      times.get(name).plain.push(plain);
    }
    times.get(name).control.push(timed(() => control(work)));
  }
}
console.log(
  `${"merge".padEnd(28)} entries/s   ns/entry (CPU)   MiB/s in   control MiB/s   of control`,
);
for (const [name, { merge: merges, plain, control: controls }] of times) {
  const { entriesRead, bytesRead } = merges[0].result;
  const wallMs = median(merges.map((m) => m.wallMs));
  const cpuMs = median(merges.map((m) => m.cpuMs));
  const controlMs = median(controls.map((m) => m.wallMs));
  const mib = bytesRead / 1048576;
  console.log(
    name.padEnd(28),
    `${(entriesRead / wallMs / 1000).toFixed(2).padStart(6)} M`,
    `${((wallMs * 1e6) / entriesRead).toFixed(0).padStart(9)} (${((cpuMs * 1e6) / entriesRead).toFixed(0)})`.padEnd(
      20,
    ),
    (mib / (wallMs / 1000)).toFixed(0).padStart(8),
    (mib / (controlMs / 1000)).toFixed(0).padStart(14),
    `${((controlMs / wallMs) * 100).toFixed(0)} %`.padStart(12),
  );
  if (plain.length > 0) {
    const plainMs = median(plain.map((m) => m.cpuMs));
    const pairs = merges.map((m, i) => m.cpuMs / plain[i].cpuMs);
    const bytes = (runs) => runs[0].result.tables.reduce((sum, table) => sum + table.bytes, 0);
    console.log(
      `  CPU with a model / without: ${(cpuMs / plainMs).toFixed(3)} (median of pairs ${median(pairs).toFixed(3)}), bytes ${(bytes(merges) / bytes(plain)).toFixed(4)}`,
    );
  }
}
if (options.only === undefined || options.only === "flush") {
  const count = 400 * thousand;
  const memtable = fillMemtable(count);
  const folder = join(directory, "flush");
  mkdirSync(folder);
  const flushes = [];
  for (let round = 0; round < ROUNDS; round++) {
    const input = {
      memtable: memtable.share(),
      ranges: [],
      output: outputSettings(folder),
      snapshots: [],
      syncTokens: [],
    };
    const flushed = timed(() => finish(engineJobs.flush(input, context)));
    for (const { number } of flushed.result.tables) rmSync(pathOf(folder, number));
    flushes.push(flushed);
  }
  const wallMs = median(flushes.map((m) => m.wallMs));
  const cpuMs = median(flushes.map((m) => m.cpuMs));
  console.log(
    "flush".padEnd(28),
    `${(count / wallMs / 1000).toFixed(2).padStart(6)} M`,
    `${((wallMs * 1e6) / count).toFixed(0).padStart(9)} (${((cpuMs * 1e6) / count).toFixed(0)})`,
  );
}
rmSync(directory, { recursive: true, force: true });
