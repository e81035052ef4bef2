/** One run of the command, from folders to exit code: also what ends early leaves table and files. */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { compareWithBaseline, readBaseline } from "./baseline.ts";
import { forkHost, type StartHost } from "./bench-host.ts";
import { formatBytes, formatCount, formatMs } from "./format.ts";
import { describeMachine, type Machine, readCommit } from "./machine.ts";
import { runNames } from "./names-run.ts";
import type { OpsBench } from "./ops-bench.ts";
import { runOps } from "./ops-run.ts";
import { type BenchOptions, NAMES, UsageError } from "./options.ts";
import { type Output, ProgressView } from "./progress.ts";
import { type BenchResult, RESULT_FORMAT, type RunResult, type StoreInfo } from "./result.ts";
import { checkFiles, makeFolder, saveFile } from "./run-files.ts";
import type { StoreBench } from "./store-bench.ts";
import { renderTables } from "./table.ts";

/** Starts the processes of stores. */
export interface Hosts {
  readonly names: StartHost<StoreBench>;
  readonly ops: StartHost<OpsBench>;
}

const forkHosts: Hosts = { names: forkHost, ops: forkHost };

/** Exit codes: 0 all is right; 1 a store failed, gave back wrong values, or counts grew; 130 interrupted. */
const FAILED = 1;
const INTERRUPTED = 130;

/** What a part of a run is given. */
export interface RunContext {
  readonly options: BenchOptions;
  readonly folder: string;
  readonly repeat: number;
  readonly progress: ProgressView;
  readonly signal: AbortSignal;
  readonly hosts: Hosts;
  readonly print: (text: string) => void;
  /** Takes note of a store that took part. */
  readonly noteStore: (info: StoreInfo) => void;
  /** Names of stores that are left out from now on. */
  readonly skipped: Set<string>;
}

/**
 * Runs what was asked for and prints what was measured, also when it ends early. Returns the exit code. Throws
 * UsageError for options that cannot be met.
 */
export async function runBench(
  options: BenchOptions,
  output: Output,
  signal: AbortSignal,
  hosts: Hosts = forkHosts,
): Promise<number> {
  const startedAt = new Date();
  const startedMs = performance.now();
  const print = (text: string): void => void output.write(`${text}\n`);
  const baseline = options.baseline === undefined ? undefined : readBaseline(options.baseline);
  checkFiles(options);
  const folder = makeFolder(options.dir);
  const stores = new Map<string, StoreInfo>();
  const runs: RunResult[] = [];
  try {
    const machine = describeMachine(folder);
    printMachine(machine, options, print);
    const context: Omit<RunContext, "repeat"> = {
      options,
      folder,
      progress: new ProgressView(output),
      signal,
      hosts,
      print,
      noteStore: (info) => void stores.set(info.store, info),
      skipped: new Set(),
    };
    const failure = await runAll(context, runs);
    const commit = readCommit();
    const result: BenchResult = {
      format: RESULT_FORMAT,
      startedAt: startedAt.toISOString(),
      command: commandOf(process.argv.slice(2)),
      machine,
      ...(commit === undefined ? {} : { commit }),
      options: { ...options },
      stores: ordered(stores, options.stores),
      runs,
      ...(signal.aborted ? { interrupted: true } : {}),
    };
    print("");
    for (const store of result.stores) printStore(store, print);
    const tables = renderTables(result, [NAMES]);
    if (tables !== "") print(tables);
    print(notesFor(result));
    const wrong = wrongOf(runs);
    print(`values read back that were wrong: ${formatCount(wrong)}`);
    const unsaved: string[] = [];
    const save = (what: string, file: string, text: string): void => {
      const trouble = saveFile(file, text);
      if (trouble === undefined) print(`${what}: ${resolve(file)}`);
      else unsaved.push(trouble);
    };
    if (options.json !== undefined) {
      save("result", options.json, `${JSON.stringify(result, undefined, 1)}\n`);
    }
    if (options.report !== undefined) {
      const { renderPage } = await import("./page/page.ts");
      save("report", options.report, renderPage(result));
    }
    const changes = baseline === undefined ? undefined : compareWithBaseline(baseline, result);
    if (changes !== undefined) print(changes.text);
    print(`whole run: ${formatMs(performance.now() - startedMs)}`);
    for (const trouble of unsaved) print(`failed: ${trouble}`);
    if (signal.aborted) {
      print("interrupted: tables and files hold what ran");
      return INTERRUPTED;
    }
    const failures = runs.filter((run) => run.failure !== undefined);
    for (const run of failures) print(`failed: ${run.store}, ${run.workload}: ${run.failure}`);
    if (failure !== undefined) print(`failed: ${failure.message}`);
    const isBad = failure !== undefined || failures.length > 0 || wrong > 0 || unsaved.length > 0;
    return isBad || changes?.countsGrew === true ? FAILED : 0;
  } finally {
    if (options.dir === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs all repeats of all workloads; returns what ended it early, if anything did. */
async function runAll(
  context: Omit<RunContext, "repeat">,
  runs: RunResult[],
): Promise<Error | undefined> {
  const { options, signal } = context;
  try {
    for (let repeat = 0; repeat < options.repeat; repeat++) {
      for (const workload of options.workloads) {
        signal.throwIfAborted();
        const part = { ...context, repeat };
        if (workload === NAMES) await runNames(part, runs);
        else await runOps(workload, part, runs);
      }
    }
    return undefined;
  } catch (error) {
    if (error instanceof UsageError || !(error instanceof Error)) throw error;
    return error;
  }
}

function commandOf(argv: readonly string[]): string {
  const quoted = argv.map((text) => (/^[\w./:,=-]+$/.test(text) ? text : JSON.stringify(text)));
  return ["npm run bench --", ...quoted].join(" ");
}

/** In the order of the command line, controls behind. */
function ordered(stores: ReadonlyMap<string, StoreInfo>, names: readonly string[]): StoreInfo[] {
  const rank = (name: string): number =>
    names.includes(name) ? names.indexOf(name) : names.length;
  return [...stores.values()].sort((a, b) => rank(a.store) - rank(b.store));
}

function wrongOf(runs: readonly RunResult[]): number {
  let wrong = 0;
  for (const { phases } of runs) for (const phase of phases) wrong += phase.wrong ?? 0;
  return wrong;
}

function printMachine(
  machine: Machine,
  options: BenchOptions,
  print: (text: string) => void,
): void {
  const memory = formatBytes(machine.memoryBytes);
  print(`${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.system}`);
  print(`Node ${machine.node}, ${machine.fileSystem}, seed ${options.seed}`);
  if (machine.load > machine.cores) {
    print(`note: the machine is busy (load ${machine.load.toFixed(1)}): the figures will spread`);
  }
}

function printStore(info: StoreInfo, print: (text: string) => void): void {
  print(`${info.store}: ${info.package} ${info.version}`);
  if (Object.keys(info.flags).length > 0) print(`  set: ${flatten(info.flags)}`);
  const facts = info.facts ?? {};
  if (Object.keys(facts).length > 0) print(`  says: ${flatten(facts)}`);
  if (info.note !== undefined) print(`  note: ${info.note}`);
}

function flatten(values: Readonly<Record<string, unknown>>, prefix = ""): string {
  const parts = Object.entries(values).map(([name, value]) =>
    typeof value === "object" && value !== null
      ? flatten(value as Record<string, unknown>, `${prefix}${name}.`)
      : `${prefix}${name}=${value}`,
  );
  return parts.join(" ");
}

function notesFor({ stores, runs, options }: BenchResult): string {
  const notes: string[] = [];
  if (stores.length > 1) {
    notes.push("ratio: how many times better the first store is, as measured; below 1: worse");
  }
  if (new Set(runs.map(({ repeat }) => repeat)).size > 1) {
    notes.push(
      "±: half the range of the repeats; repeats: smallest, median and largest ratio of one",
    );
  }
  if (typeof options["rate"] === "number") {
    notes.push("paced: latencies count from when each operation was due");
  }
  return notes.join("\n");
}
