/** The names job as a part of a run: data, job, its table, and what a result keeps of it. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { HostSetup } from "./bench-host.ts";
import { BLOB_BYTES, createDataSet, type DataSet, saveDataSet } from "./data-set.ts";
import { formatBytes, formatCount } from "./format.ts";
import { freeBytes } from "./machine.ts";
import { composeNames, parseNames } from "./names.ts";
import { NamesJob, type StoreResult, sizesFor } from "./names-job.ts";
import { runResultOf } from "./names-result.ts";
import { NAMES, UsageError } from "./options.ts";
import { renderTable } from "./report.ts";
import type { RunResult } from "./result.ts";
import type { RunContext } from "./run.ts";
import { BATCH_ENTRIES, BATCHES_IN_FLIGHT } from "./store-bench.ts";
import type { Budget } from "./stores/store.ts";

const MIB = 2 ** 20;

/** Names, if nothing else is asked for. */
const NAME_COUNT = 3_000_000;

/** The cache is as large as the one of `rocksdb-native`, which cannot be set. */
const BUDGET: Budget = {
  memtableBytes: 64 * MIB,
  memtableCount: 3,
  cacheBytes: 32 * MIB,
  blobBytesMin: 1024,
  durability: "os",
  compression: "none",
  entryBytes: 200,
};

/** Disk that a store may need for a while, as a multiple of keys and values. */
const DISK_FACTOR = 3;

/** Runs the job once, prints its table and adds what it came to. Throws when it ends early. */
export async function runNames(context: RunContext, runs: RunResult[]): Promise<void> {
  const { options, folder, repeat, progress, signal, hosts, print, skipped } = context;
  const dataFolder = join(folder, "data");
  rmSync(dataFolder, { recursive: true, force: true });
  try {
    const data = prepareData(context);
    mkdirSync(dataFolder);
    await saveDataSet(data, dataFolder);
    const userBytes = printData(data, print);
    const sizes = sizesFor(data.count);
    const names = options.stores.filter((store) => !skipped.has(store));
    const needed = (userBytes * DISK_FACTOR + sizes.blobs * BLOB_BYTES) * names.length;
    if (freeBytes(folder) < needed) {
      const free = formatBytes(freeBytes(folder));
      throw new UsageError(`${folder}: ${free} free, about ${formatBytes(needed)} needed\n`);
    }
    const stores = names.map((store): HostSetup => {
      return { store, path: join(folder, store), dataFolder, budget: BUDGET };
    });
    for (const { path } of stores) rmSync(path, { recursive: true, force: true });
    const job = new NamesJob({ stores, sizes, startHost: hosts.names, progress, signal });
    const failure = await job.run().then(
      () => undefined,
      (error: Error) => error,
    );
    for (const result of job.results) {
      if (result.description === undefined) continue;
      const { hasSync: _, ...told } = result.description;
      context.noteStore({ store: result.name, ...told });
      runs.push(runResultOf(NAMES, repeat, result));
    }
    print(`\n${renderTable(job.results)}\n${notesFor(job.results)}`);
    if (failure !== undefined) {
      if (!existsSync(dataFolder)) print(`${folder}: somebody removed this folder meanwhile`);
      throw failure;
    }
    if (options.dir === undefined) {
      for (const { path } of stores) rmSync(path, { recursive: true, force: true });
    }
  } finally {
    rmSync(dataFolder, { recursive: true, force: true });
  }
}

function prepareData({ options, progress }: RunContext): DataSet {
  const { count = NAME_COUNT, data, seed } = options;
  if (data === undefined) {
    const names = composeNames(count, seed, progress.work("compose names", count));
    progress.work("order names", 0);
    return createDataSet(names, seed);
  }
  let text: string;
  try {
    text = readFileSync(data, "utf8");
  } catch (error) {
    throw new UsageError(`cannot read ${data}: ${(error as Error).message}\n`, { cause: error });
  }
  try {
    return createDataSet(parseNames(text, count), seed);
  } catch (error) {
    throw new UsageError(`${data}: ${(error as Error).message}\n`, { cause: error });
  }
}

/** Prints what the data are; returns the bytes of all keys and values of the load. */
function printData(data: DataSet, print: (text: string) => void): number {
  let valueBytes = 0;
  for (let i = 0; i < data.count; i++) valueBytes += data.value(i, 0).length;
  const keyBytes = data.names.bytes.length;
  const keys = `${formatCount(data.count)} keys of ${(keyBytes / data.count).toFixed(1)} B`;
  print(`${keys}, values of ${(valueBytes / data.count).toFixed(1)} B on average`);
  print(
    `batches of ${BATCH_ENTRIES}, ${BATCHES_IN_FLIGHT} in flight; writes handed to the system, not ` +
      `synced; no compression; memtables ${BUDGET.memtableCount} x ` +
      `${formatBytes(BUDGET.memtableBytes)}, block cache ${formatBytes(BUDGET.cacheBytes)}`,
  );
  return keyBytes + valueBytes;
}

function notesFor(results: readonly StoreResult[]): string {
  const notes: string[] = [];
  if (results.length > 1) notes.push("slices: smallest, median and largest ratio of one slice");
  if (results.some(({ description }) => description?.hasSync === false)) {
    notes.push("in brackets: no sync API, so what stands against it is its awaited call");
  }
  notes.push("RSS: above what the process held before, the data of the run included");
  return notes.join("\n");
}
