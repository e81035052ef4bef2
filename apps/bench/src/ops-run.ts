/** One workload of one repeat: from options to what each store's process is started with. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { HostSetup } from "./bench-host.ts";
import { runDbBench } from "./db-bench-run.ts";
import { formatBytes, formatCount } from "./format.ts";
import { createKeys, type KeySpec } from "./key-table.ts";
import { freeBytes } from "./machine.ts";
import type { OpsSetup } from "./ops-bench.ts";
import { OpsJob } from "./ops-job.ts";
import { type BenchOptions, UsageError } from "./options.ts";
import { type Replay, type ReplaySpec, readReplay, TRACE } from "./replay.ts";
import type { RunResult } from "./result.ts";
import type { RunContext } from "./run.ts";
import type { StoreName } from "./stores/catalog.ts";
import type { Budget } from "./stores/store.ts";
import { workloadOf } from "./workloads/catalog.ts";
import type { Sizes, Workload } from "./workloads/workload.ts";

const MIB = 2 ** 20;

/** Memory that a store may use. The cache is as large as the one of `rocksdb-native`, which cannot be set. */
const MEMTABLE_BYTES = 64 * MIB;
const MEMTABLE_COUNT = 3;
const CACHE_BYTES = 32 * MIB;
/** Values from this size on are stored apart from the tree, where a store can do so. */
const BLOB_BYTES_MIN = 1024;

/** Disk that a store may need for a while, as a multiple of keys and values. */
const DISK_FACTOR = 3;

/** Inserts of a phase that is bound by its time: as many as this for each second. */
const OPS_PER_SECOND_MAX = 200_000;

/** Returns what a workload is run with. */
export function setupOf(workload: Workload, options: BenchOptions): OpsSetup {
  const count = options.count ?? workload.count;
  const { durationMs, distribution, seed } = options;
  const timed = durationMs === undefined ? undefined : (durationMs / 1000) * OPS_PER_SECOND_MAX;
  const sizes: Sizes = {
    count,
    ops: options.ops ?? timed ?? Math.max(1, Math.floor(workload.ops(count))),
    ...(distribution === undefined ? {} : { distribution }),
  };
  const keys: KeySpec = {
    kind: options.keys,
    file: options.data,
    order: workload.keyOrder,
    bytes: options.keyBytes ?? workload.keyBytes,
    count: count + workload.inserts(sizes),
    seed,
  };
  return {
    workload: workload.name,
    sizes,
    keys,
    valueBytes: options.valueBytes ?? workload.valueBytes,
    compressible: options.compressible,
    calls: {
      sync: options.sync || workload.isSync === true,
      inFlight: options.inFlight,
      rate: options.rate,
    },
    seed,
  };
}

/** Returns what stores are given in a workload. */
export function budgetOf(workload: Workload, options: BenchOptions, setup: OpsSetup): Budget {
  return {
    memtableBytes: options.memtableBytes ?? workload.memtableBytes ?? MEMTABLE_BYTES,
    memtableCount: MEMTABLE_COUNT,
    cacheBytes: options.cacheBytes ?? workload.cacheBytes ?? CACHE_BYTES,
    blobBytesMin: BLOB_BYTES_MIN,
    durability: options.durability,
    compression: options.compression,
    entryBytes: setup.keys.bytes + setup.valueBytes,
  };
}

/** Runs one workload on all stores and adds what they came to. Throws when it is interrupted. */
export async function runOps(name: string, context: RunContext, runs: RunResult[]): Promise<void> {
  const { options, folder, repeat, progress, signal, hosts, print, skipped } = context;
  const spec = name === TRACE ? replaySpecOf(options) : undefined;
  const replay = spec === undefined ? undefined : await openReplay(spec);
  const workload = replay?.workload ?? workloadOf(name);
  const setup: OpsSetup = {
    ...setupOf(workload, options),
    ...(spec === undefined ? {} : { replay: spec }),
  };
  if (replay === undefined) checkKeys(setup);
  else if (replay.skipped > 0) print(`left out of the trace: ${replay.skipped} operations`);
  const budget = budgetOf(workload, options, setup);
  const names: StoreName[] = options.stores.filter((store) => !skipped.has(store));
  if (options.controls && workload.rawControl === true && !names.includes("raw")) names.push("raw");
  checkSpace(folder, setup, names.length);
  if (repeat === 0) printSetup(workload, setup, budget, print);
  const stores = names.map((store): HostSetup => {
    return { store, path: join(folder, store), budget, ops: setup };
  });
  const job = new OpsJob({
    workload: name,
    repeat,
    stores,
    plans: workload.phases(setup.sizes),
    durationMs: options.durationMs,
    startHost: hosts.ops,
    progress,
    signal,
  });
  for (const { path } of stores) rmSync(path, { recursive: true, force: true });
  try {
    await job.run();
    if (options.controls) await runDbBench({ name, setup, budget }, context, runs);
  } finally {
    runs.push(...job.runs);
    for (const [store, description] of job.descriptions) {
      const { hasSync: _, ...told } = description;
      context.noteStore({ store, ...told });
    }
    for (const [store, reason] of job.missing) {
      skipped.add(store);
      print(`SKIPPED ${store}: its process could not be started: ${reason}`);
    }
    if (options.dir === undefined) {
      for (const { path } of stores) rmSync(path, { recursive: true, force: true });
    }
  }
}

/** Length of values of which a trace tells none. */
const TRACE_VALUE_BYTES = 100;

function replaySpecOf({ traceFile, traceSpeed, ops, valueBytes }: BenchOptions): ReplaySpec {
  return {
    file: traceFile!,
    speed: traceSpeed,
    opsMax: ops,
    valueBytes: valueBytes ?? TRACE_VALUE_BYTES,
  };
}

/** A trace that cannot be read is a wrong option. */
async function openReplay(spec: ReplaySpec): Promise<Replay> {
  try {
    return await readReplay(spec);
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(`cannot replay ${spec.file}: ${message}\n`, { cause: error });
  }
}

/** Keys that do not suffice are found before any store is started. */
function checkKeys({ keys }: OpsSetup): void {
  if (keys.kind === "synthetic" && keys.file === undefined) return;
  try {
    createKeys(keys);
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n`, { cause: error });
  }
}

function checkSpace(folder: string, { keys, valueBytes }: OpsSetup, stores: number): void {
  const needed = keys.count * (keys.bytes + valueBytes) * DISK_FACTOR * stores;
  if (freeBytes(folder) >= needed) return;
  const free = formatBytes(freeBytes(folder));
  throw new UsageError(`${folder}: ${free} free, about ${formatBytes(needed)} needed\n`);
}

function printSetup(
  workload: Workload,
  { sizes, keys, valueBytes, calls, compressible }: OpsSetup,
  budget: Budget,
  print: (text: string) => void,
): void {
  const width = calls.inFlight === 1 ? "each awaited" : `${calls.inFlight} in flight`;
  const how = calls.sync ? "sync calls" : width;
  const pace = calls.rate === undefined ? "" : `, ${formatCount(calls.rate)} operations/s`;
  const source = keys.file ?? keys.kind;
  print(`${workload.name}: ${workload.about}`);
  print(
    `  ${formatCount(sizes.count)} records, ${source} keys of ${keys.bytes} B, values of ` +
      `${formatBytes(valueBytes)}${compressible > 0 ? ` (${compressible} repeats)` : ""}; ${how}${pace}; ` +
      `level ${budget.durability}, compression ${budget.compression}; memtables ` +
      `${budget.memtableCount} x ${formatBytes(budget.memtableBytes)}, block cache ` +
      `${formatBytes(budget.cacheBytes)}`,
  );
}
