/**
 * Writes beside peers, row by row: 16-byte random keys, random values, no compression, one process
 * per run, stores in turn, medians of `--rounds`. The timed loop records nothing; p99.9 and maximum come
 * from a run of their own behind the last round (`--latency no` leaves it out).
 *
 *   node packages/engine/bench/writes.bench.mjs [--rows await,sync,flight,batch,large,large-sync,middle]
 *        [--rounds 3] [--count 1000000] [--gib 8] [--dir DIR] [--peers a,b] [--latency yes]
 *
 * await: one put after another, awaited. sync: putSync. flight: 64 in flight. batch: batches of 1,000,
 * until background work is drained. middle: 4 KiB, 1 GiB. large: 64 KiB, `--gib`, putSync and 64
 * in flight, beside a raw control that writes the same bytes in the same chunks to files of the
 * same size, in flight in groups as long as ours; "synced behind" also syncs each file on the thread
 * pool when it is full: tables and segments have to be durable at some time. large-sync: the same at
 * level sync, 64 in flight.
 * db_bench (Debian's rocksdb-tools, assertions on) makes keys of its own.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: flags } = parseArgs({
  options: {
    rows: { type: "string", default: "await,sync,flight,batch,middle,large,large-sync" },
    rounds: { type: "string", default: "3" },
    count: { type: "string", default: "1000000" },
    gib: { type: "string", default: "8" },
    dir: { type: "string", default: tmpdir() },
    peers: { type: "string", default: "rocksdb-native,classic-level,lmdb,db_bench,raw" },
    latency: { type: "string", default: "yes" },
    engine: { type: "string", default: "" },
    prof: { type: "string", default: "" },
  },
});
const ROUNDS = Number(flags.rounds);
const COUNT = Number(flags.count);
const GIB = 2 ** 30;
const peers = new Set(flags.peers.split(","));
const here = fileURLToPath(new URL(".", import.meta.url));
const engine =
  flags.engine === ""
    ? (await bundleEngine("writes")).urlOf("index")
    : pathToFileURL(join(flags.engine, "index.js")).href;

function run(task) {
  const path = mkdtempSync(join(flags.dir, "aura-writes-"));
  try {
    if (task.store.startsWith("db_bench")) return runDbBench(path, task);
    const prof =
      flags.prof && task.store === "aura" ? ["--cpu-prof", `--cpu-prof-dir=${flags.prof}`] : [];
    const given = JSON.stringify({ ...task, path, engine });
    const { status, stdout, stderr } = spawnSync(process.execPath, [
      ...prof,
      join(here, "write-child.mjs"),
      given,
    ]);
    if (status !== 0) throw new Error(`${task.store}: ${stderr}`);
    return JSON.parse(stdout.toString());
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function runDbBench(path, { store, count, valueBytes }) {
  const blobs =
    store === "db_bench blob"
      ? ["--enable_blob_files=true", "--min_blob_size=1024", "--blob_file_size=268435456"]
      : [];
  const { status, stdout, stderr } = spawnSync("/usr/bin/db_bench", [
    `--db=${path}`,
    "--benchmarks=fillrandom",
    `--num=${count}`,
    "--key_size=16",
    `--value_size=${valueBytes}`,
    "--compression_type=none",
    "--write_buffer_size=67108864",
    "--max_write_buffer_number=3",
    "--histogram=0",
    ...blobs,
  ]);
  if (status !== 0) throw new Error(`db_bench: ${stderr}`);
  const [, micros] = /fillrandom +: +([\d.]+) micros\/op/.exec(stdout.toString());
  return {
    ms: (micros * count) / 1000,
    drainedMs: Number.NaN,
    cpuMs: Number.NaN,
    rssMiB: Number.NaN,
  };
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];

function compare(title, subjects) {
  const has = ({ store }) =>
    store === "aura" ||
    (peers.has(store.split(" ")[0]) &&
      (!store.startsWith("db_bench") || existsSync("/usr/bin/db_bench")));
  const entrants = subjects.filter(has);
  const seen = entrants.map(() => []);
  const names = entrants.map((task) => task.store);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, task] of entrants.entries()) {
      const given = { ...task, seed: round + 1 };
      if (task.store === "raw") {
        // As many bytes a file, and in flight a group, as ours had in this round.
        const { groups, files } = seen[0][round];
        given.fileBytes = Math.ceil((task.count * task.valueBytes) / files);
        if (task.mode === "async") given.batch = Math.round(task.count / groups);
        names[i] =
          `raw, ${given.batch ?? 1} a group, ${(given.fileBytes / 2 ** 20).toFixed()} MiB a file` +
          (task.behind ? ", synced behind" : "");
      }
      // Nothing of the run before is left to be written.
      spawnSync("sync");
      seen[i].push(run(given));
    }
  }
  console.log(`\n${title}`);
  let ours = [];
  entrants.forEach((task, i) => {
    const { count, valueBytes, drain } = task;
    const of = (field) => median(seen[i].map((each) => each[field]));
    const field = drain ? "drainedMs" : "ms";
    const list = seen[i].map((each) => each[field]);
    if (task.store === "aura") ours = list;
    // Rounds are paired: what disturbs the machine disturbs neighbours.
    const ratio = median(list.map((ms, at) => ms / (ours[at] ?? Number.NaN)));
    const fixed = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits) : "-");
    let tail = "";
    const hasTail =
      flags.latency === "yes" && !task.store.match(/db_bench|raw/) && task.drain !== true;
    if (hasTail) {
      const { p50, p999, max } = run({ ...task, latency: true, seed: 9 });
      tail = `, p50 ${fixed(p50 * 1000, 1)} us, p99.9 ${fixed(p999 * 1000, 0)} us, max ${fixed(max, 1)} ms`;
    }
    console.log(
      `  ${names[i].padEnd(22)} ${fixed((of(field) * 1000) / count).padStart(8)} us each, ` +
        `${fixed((count * (valueBytes + 16)) / 2 ** 20 / (of(field) / 1000), 0).padStart(5)} MiB/s, ` +
        `takes ${fixed(ratio)} times ours (${list.map((ms) => fixed(ms / 1000)).join(" ")} s), ` +
        `CPU ${fixed((of("cpuMs") * 1000) / count)} us, peak ${fixed(of("rssMiB"), 0)} MiB${tail}`,
    );
  });
}

const each = (task, stores) => stores.map((store) => ({ ...task, store }));
const small = { count: COUNT, valueBytes: 100 };
const large = { count: Math.round((Number(flags.gib) * GIB) / 65536), valueBytes: 65536 };
const ALL = ["aura", "rocksdb-native", "classic-level"];
const rows = {
  await: () =>
    compare("await put, one after another, 100 B, os", each({ ...small, mode: "async" }, ALL)),
  sync: () => compare("putSync, 100 B, os", each({ ...small, mode: "sync" }, ["aura", "db_bench"])),
  flight: () =>
    compare("64 puts in flight, 100 B, os", each({ ...small, mode: "async", inFlight: 64 }, ALL)),
  batch: () =>
    compare(
      "batches of 1,000, 100 B, os, until drained",
      each({ ...small, mode: "async", batch: 1000, drain: true }, ALL),
    ),
  middle: () =>
    compare(
      "4 KiB, 1 GiB, 64 in flight, os",
      each({ count: GIB / 4096, valueBytes: 4096, mode: "async", inFlight: 64 }, [...ALL, "lmdb"]),
    ),
  large: () => {
    compare(`64 KiB, ${flags.gib} GiB, putSync, os`, [
      { ...large, store: "aura", mode: "sync" },
      { ...large, store: "raw", mode: "sync" },
      { ...large, store: "raw", mode: "sync", behind: true },
      { ...large, store: "db_bench" },
      { ...large, store: "db_bench blob" },
    ]);
    compare(`64 KiB, ${flags.gib} GiB, 64 in flight, os`, [
      { ...large, store: "aura", mode: "async", inFlight: 64 },
      { ...large, store: "raw", mode: "async" },
      { ...large, store: "raw", mode: "async", behind: true },
    ]);
  },
  "large-sync": () =>
    compare("64 KiB, 1 GiB, 64 in flight, sync", [
      { count: 16384, valueBytes: 65536, sync: true, store: "aura", mode: "async", inFlight: 64 },
      { count: 16384, valueBytes: 65536, sync: true, store: "raw", mode: "async" },
    ]),
};
for (const row of flags.rows.split(",")) rows[row]();
