/** One run of the main job, from folders to exit code. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { forkHost, type HostSetup, type StartHost } from "./bench-host.ts";
import { BLOB_BYTES, createDataSet, type DataSet, saveDataSet } from "./data-set.ts";
import { formatBytes, formatCount, formatMs } from "./format.ts";
import { describeMachine, freeBytes, type Machine } from "./machine.ts";
import { composeNames, parseNames } from "./names.ts";
import { NamesJob, type StoreResult, sizesFor } from "./names-job.ts";
import { type NamesOptions, UsageError } from "./options.ts";
import { type Output, ProgressView } from "./progress.ts";
import { renderTable } from "./report.ts";
import { BATCH_ENTRIES, BATCHES_IN_FLIGHT } from "./store-bench.ts";
import type { Budget } from "./stores/store.ts";

const MIB = 2 ** 20;

/** The cache is as large as the one of `rocksdb-native`, which cannot be set. */
const BUDGET: Budget = {
  memtableBytes: 64 * MIB,
  memtableCount: 3,
  cacheBytes: 32 * MIB,
  blobBytesMin: 1024,
};

/** Disk that a store may need for a while, as a multiple of keys and values. */
const DISK_FACTOR = 3;

/** Exit codes: 0 all is right; 1 a store failed or gave back wrong values; 130 interrupted. */
const FAILED = 1;
const INTERRUPTED = 130;

/**
 * Runs the job and prints what was measured, also when it ends early. Returns the exit code. Throws
 * UsageError for options that cannot be met.
 */
export async function runNames(
  options: NamesOptions,
  output: Output,
  signal: AbortSignal,
  startHost: StartHost = forkHost,
): Promise<number> {
  const startedAt = performance.now();
  const folder = makeFolder(options.dir);
  const dataFolder = join(folder, "data");
  const print = (text: string): void => void output.write(`${text}\n`);
  try {
    const machine = describeMachine(folder);
    printMachine(machine, options, print);
    const progress = new ProgressView(output);
    const data = prepareData(options, progress);
    await saveTo(dataFolder, data);
    const userBytes = printData(data, print);
    const sizes = sizesFor(data.count);
    const needed = (userBytes * DISK_FACTOR + sizes.blobs * BLOB_BYTES) * options.stores.length;
    if (freeBytes(folder) < needed) {
      const free = formatBytes(freeBytes(folder));
      throw new UsageError(`${folder}: ${free} free, about ${formatBytes(needed)} needed\n`);
    }

    const stores = options.stores.map((store): HostSetup => {
      return { store, path: join(folder, store), dataFolder, budget: BUDGET };
    });
    const job = new NamesJob({ stores, sizes, startHost, progress, signal });
    const failure = await job.run().then(
      () => undefined,
      (error: Error) => error,
    );

    print("");
    for (const result of job.results) printStore(result, print);
    print(renderTable(job.results));
    print(notesFor(job.results));
    const mismatches = job.mismatches;
    print(`values read back that were wrong: ${formatCount(mismatches)}`);
    print(`whole job: ${formatMs(performance.now() - startedAt)}`);
    if (options.json !== undefined) {
      const raw = { machine, options, budget: BUDGET, sizes, userBytes, stores: job.results };
      const ended = { mismatches, failure: failure?.message };
      writeFileSync(options.json, `${JSON.stringify({ ...raw, ...ended }, undefined, 2)}\n`);
    }
    if (signal.aborted) {
      print("interrupted: the table holds what ran");
      return INTERRUPTED;
    }
    if (failure !== undefined) {
      print(`failed: ${failure.message}`);
      if (!existsSync(dataFolder)) print(`${folder}: somebody removed this folder meanwhile`);
    }
    return failure === undefined && mismatches === 0 ? 0 : FAILED;
  } finally {
    rmSync(options.dir === undefined ? folder : dataFolder, { recursive: true, force: true });
  }
}

function makeFolder(given: string | undefined): string {
  if (given === undefined) return mkdtempSync(join(tmpdir(), "aura-bench-"));
  const folder = resolve(given);
  mkdirSync(folder, { recursive: true });
  if (readdirSync(folder).length > 0) throw new UsageError(`${folder} is not empty\n`);
  return folder;
}

function prepareData(options: NamesOptions, progress: ProgressView): DataSet {
  const { count, data, seed } = options;
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

async function saveTo(folder: string, data: DataSet): Promise<void> {
  mkdirSync(folder);
  await saveDataSet(data, folder);
}

function printMachine(
  machine: Machine,
  options: NamesOptions,
  print: (text: string) => void,
): void {
  const memory = formatBytes(machine.memoryBytes);
  print(`${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.system}`);
  print(`Node ${machine.node}, ${machine.fileSystem}, seed ${options.seed}`);
  if (machine.load > machine.cores) {
    print(`note: the machine is busy (load ${machine.load.toFixed(1)}): the slices will spread`);
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

function printStore({ name, description }: StoreResult, print: (text: string) => void): void {
  if (description === undefined) return;
  const { version, flags, facts } = description;
  print(`${name}: ${description.package} ${version}`);
  print(`  set: ${flatten(flags)}`);
  if (Object.keys(facts).length > 0) print(`  says: ${flatten(facts)}`);
}

function flatten(values: Readonly<Record<string, unknown>>, prefix = ""): string {
  const parts = Object.entries(values).map(([name, value]) =>
    typeof value === "object" && value !== null
      ? flatten(value as Record<string, unknown>, `${prefix}${name}.`)
      : `${prefix}${name}=${value}`,
  );
  return parts.join(" ");
}

function notesFor(results: readonly StoreResult[]): string {
  const notes: string[] = [];
  if (results.length > 1) {
    notes.push("ratio: how many times better the first store is, as measured; below 1: worse");
    notes.push("slices: smallest, median and largest ratio of one slice");
  }
  if (results.some(({ description }) => description?.hasSync === false)) {
    notes.push("in brackets: no sync API, so what stands against it is its awaited call");
  }
  notes.push("RSS: above what the process held before, the data of the run included");
  return notes.join("\n");
}
