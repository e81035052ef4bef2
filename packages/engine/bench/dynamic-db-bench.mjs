/**
 * The phases of the dynamic benchmark as far as RocksDB's own benchmark has their like: one run of it per
 * phase on one database, no JavaScript in between. Leveled and universal. Its look-ups draw from the same
 * number of keys; reads and writes of one phase are mixed by `readrandomwriterandom`; scans and writes can
 * not be, and come one after the other. Debian builds it with assertions.
 */
import { spawnSync } from "node:child_process";
import { ROUND, SCAN_ENTRIES, TREES, WORKLOADS } from "./dynamic-phases.mjs";

const DB_BENCH = ["db", "bench"].join("_");

function invoke(directory, tree, style, seed, benchmark, counts, more = {}) {
  const isUniversal = style === "universal";
  const flags = {
    benchmarks: `${benchmark},waitforcompaction`,
    db: directory,
    num: tree.keys,
    ...counts,
    key_size: 16,
    value_size: tree.valueBytes,
    compression_type: "none",
    write_buffer_size: tree.rocksMemtableBytes,
    max_write_buffer_number: 3,
    max_bytes_for_level_base: tree.baseBytes,
    target_file_size_base: Math.max(65536, tree.baseBytes / 16),
    level0_file_num_compaction_trigger: 4,
    level_compaction_dynamic_level_bytes: !isUniversal,
    compaction_style: isUniversal ? 1 : 0,
    max_background_jobs: 2,
    bloom_bits: 10,
    cache_size: tree.cacheBytes,
    enable_blob_files: tree.valueBytes >= 1024,
    min_blob_size: 1024,
    enable_blob_garbage_collection: true,
    seed,
    ...more,
  };
  const args = Object.entries(flags).map(([name, flag]) => `--${name}=${flag}`);
  const run = spawnSync(DB_BENCH, args, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (run.status !== 0)
    throw new Error(`db_bench: ${run.error?.message ?? run.stderr.slice(-500)}`);
  const first = benchmark.split(",")[0];
  const line = run.stdout.split("\n").find((one) => one.startsWith(first)) ?? "";
  const micros = Number(/([\d.]+) micros\/op/.exec(line)?.[1]);
  const waited = run.stdout.split("\n").find((one) => one.startsWith("waitforcompaction")) ?? "";
  // Waiting for the compactions is told in seconds.
  const seconds = Number(/finished in ([\d.]+) (?:seconds|s)/.exec(waited)?.[1] ?? 0);
  return { micros, drainMs: seconds * 1000 };
}

/** Runs `db-bench-level` or `db-bench-universal`; returns a result as `dynamic-run.mjs` does. */
export function runDbBench(directory, treeName, workload, config, seed, turnovers) {
  const tree = TREES[treeName];
  const style = config.slice("db-bench-".length);
  const existing = { use_existing_db: true };
  invoke(directory, tree, style, seed, "fillseq", {}, {});
  let drainMs = 0;
  const phases = WORKLOADS[workload](tree, turnovers).map((phase) => {
    const { writes, scans } = phase.mixAt(0.5);
    const runs = [];
    const count = (share) => Math.max(1, Math.round(phase.ops * share));
    const add = (benchmark, ops, counts, more) => {
      const { micros, drainMs: waited } = invoke(directory, tree, style, seed, benchmark, counts, {
        ...existing,
        ...more,
      });
      runs.push((micros * ops) / 1000);
      drainMs += waited;
    };
    if (scans > 0) {
      add("overwrite", count(writes), { writes: count(writes) }, { batch_size: ROUND });
      add("seekrandom", count(scans), { reads: count(scans) }, { seek_nexts: SCAN_ENTRIES - 1 });
    } else if (writes === 1) {
      add("overwrite", phase.ops, { writes: phase.ops }, { batch_size: ROUND });
    } else if (writes === 0) add("readrandom", phase.ops, { reads: phase.ops });
    else {
      const ops = { reads: phase.ops, writes: phase.ops };
      add("readrandomwriterandom", phase.ops, ops, {
        readwritepercent: Math.round(100 * (1 - writes)),
      });
    }
    const ms = runs.reduce((sum, one) => sum + one, 0);
    return { name: phase.name, ops: phase.ops, ms, found: 0, slices: [], windows: [0, 0] };
  });
  const facts = {};
  const head = { config, seed, tree: treeName, workload };
  return { ...head, phases, drainMs, facts, space: 0, cpuMs: Number.NaN, records: [] };
}
