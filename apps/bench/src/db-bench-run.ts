/**
 * RocksDB's own `db_bench`, when it is on the PATH: one process, one thread, the same parameters, run
 * alone after the stores had their turns. What it prints stands beside them.
 */
import { spawn } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { folderBytes } from "./counters.ts";
import { type DbBenchOutput, parseDbBench } from "./db-bench-output.ts";
import type { OpsSetup } from "./ops-bench.ts";
import type { PhaseResult, RunResult } from "./result.ts";
import type { RunContext } from "./run.ts";
import type { Budget } from "./stores/store.ts";
import { dbBench } from "./workloads/db-bench.ts";

/** Its name among the stores. */
const STORE = "db_bench";

/** What is run: a workload, and what the stores were given. */
export interface DbBenchOrder {
  readonly name: string;
  readonly setup: OpsSetup;
  readonly budget: Budget;
}

/** Returns the arguments of db_bench for a workload of its family. */
export function dbBenchArguments({ name, setup, budget }: DbBenchOrder, path: string): string[] {
  const { sizes, keys, valueBytes, compressible, seed } = setup;
  const fills = name.startsWith("fill");
  const benchmarks = fills ? [name] : ["fillseq", "waitforcompaction", name];
  // It counts the entries of readseq, the stores' calls read a thousand of them each.
  const reads = name === "readseq" ? sizes.count : sizes.ops;
  const given: Readonly<Record<string, string | number>> = {
    benchmarks: benchmarks.join(","),
    db: path,
    num: sizes.count,
    reads,
    writes: name === "overwrite" ? sizes.ops : sizes.count,
    key_size: keys.bytes,
    value_size: valueBytes,
    compression_type: budget.compression,
    compression_ratio: 1 - compressible,
    write_buffer_size: budget.memtableBytes,
    max_write_buffer_number: budget.memtableCount,
    cache_size: budget.cacheBytes,
    block_size: 4096,
    bloom_bits: 10,
    max_background_jobs: 6,
    bytes_per_sync: 2 ** 20,
    level_compaction_dynamic_level_bytes: 1,
    enable_blob_files: 1,
    min_blob_size: budget.blobBytesMin,
    sync: budget.durability === "sync" ? 1 : 0,
    threads: 1,
    seed: seed + 1,
    histogram: 1,
  };
  return Object.entries(given).map(([flag, value]) => `--${flag}=${value}`);
}

/** Runs it for a workload of its family and adds what it came to; nothing where it is not installed. */
export async function runDbBench(
  order: DbBenchOrder,
  context: RunContext,
  runs: RunResult[],
): Promise<void> {
  const { folder, repeat, signal, progress, options, skipped } = context;
  if (!dbBench.some(({ name }) => name === order.name) || skipped.has(STORE)) return;
  const program = findProgram();
  if (program === undefined || options.durationMs !== undefined || options.rate !== undefined)
    return;
  const path = join(folder, STORE);
  rmSync(path, { recursive: true, force: true });
  const args = dbBenchArguments(order, path);
  progress.work(`${order.name}, ${STORE}`, 0);
  try {
    const output = parseDbBench(await run(program, args, signal));
    context.noteStore({
      store: STORE,
      package: "rocksdb db_bench",
      version: output.version ?? "unknown",
      flags: Object.fromEntries(args.map((arg) => arg.slice(2).split("=", 2) as [string, string])),
      note:
        "a C++ program, one thread, run alone behind the others; its clock does not wait for background work" +
        (output.hasAssertions ? "; built with assertions on, which makes it slower" : ""),
    });
    const figures = output.figures.find(({ name }) => name === order.name);
    if (figures === undefined) throw new Error("no figures in its output");
    const phase = phaseOf(figures, order, folderBytes(path));
    runs.push({ workload: order.name, store: STORE, repeat, phases: [phase] });
  } catch (error) {
    signal.throwIfAborted();
    skipped.add(STORE);
    context.print(`SKIPPED ${STORE}: ${(error as Error).message}`);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function phaseOf(
  { ops, seconds, megabytesPerSecond = 0, latency }: DbBenchOutput["figures"][number],
  { name, setup }: DbBenchOrder,
  diskBytes: number,
): PhaseResult {
  const isWrite = name.startsWith("fill") || name === "overwrite";
  const kind = name === "overwrite" ? "update" : isWrite ? "insert" : "read";
  const { sizes, keys, valueBytes } = setup;
  return {
    name,
    startedMs: 0,
    ops,
    bytes: megabytesPerSecond * 2 ** 20 * seconds,
    ms: seconds * 1000,
    latency: latency === undefined ? {} : { [kind]: latency },
    series: [],
    background: [],
    cpuMs: { user: 0, system: 0 },
    diskBytes,
    liveBytes: sizes.count * (keys.bytes + valueBytes),
    peakRssBytes: 0,
  };
}

function findProgram(): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, "db_bench")).find((file) => existsSync(file));
}

function run(program: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], signal });
    let text = "";
    let errors = "";
    child.stdout.on("data", (part: Buffer) => {
      text += part.toString("latin1");
    });
    child.stderr.on("data", (part: Buffer) => {
      errors += part.toString("latin1");
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(`${text}\n${errors}`);
      else reject(new Error(`ended with ${code}: ${errors.slice(-300)}`));
    });
  });
}
