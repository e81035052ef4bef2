/** The command line. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { KEY_BYTES_MAX, KEY_BYTES_MIN, KEY_KINDS, type KeyKind } from "./key-table.ts";
import { NAME_COUNT_MAX } from "./names.ts";
import { TRACE } from "./replay.ts";
import { CONTROLS, STORE_NAMES, type StoreName } from "./stores/catalog.ts";
import { COMPRESSIONS, type Compression, DURABILITIES, type Durability } from "./stores/store.ts";
import { WORKLOAD_NAMES } from "./workloads/catalog.ts";
import { DISTRIBUTIONS, type DistributionName } from "./workloads/workload.ts";

/** The job that loads names, reads them back and opens the database again. */
export const NAMES = "names";

/** What a run was asked for. What is `undefined` has a default of its own in each workload. */
export interface BenchOptions {
  readonly workloads: readonly string[];
  /** Records, or names. */
  readonly count: number | undefined;
  readonly ops: number | undefined;
  /** Length of each measured phase. */
  readonly durationMs: number | undefined;
  readonly repeat: number;
  readonly keys: KeyKind;
  readonly keyBytes: number | undefined;
  readonly valueBytes: number | undefined;
  /** Share of each value that repeats itself. */
  readonly compressible: number;
  readonly distribution: DistributionName | undefined;
  readonly inFlight: number;
  readonly sync: boolean;
  readonly rate: number | undefined;
  readonly durability: Durability;
  readonly compression: Compression;
  readonly memtableBytes: number | undefined;
  readonly cacheBytes: number | undefined;
  /** File of the user's own keys. */
  readonly data: string | undefined;
  /** Folder for the databases of the last run, which stay there; `undefined`: a temporary one. */
  readonly dir: string | undefined;
  readonly seed: number;
  /** The stores, the one that is compared with the others first. */
  readonly stores: readonly StoreName[];
  /** Whether plain files and db_bench stand beside the figures that they can be compared with. */
  readonly controls: boolean;
  /** A trace to replay: it is the workload. */
  readonly traceFile: string | undefined;
  readonly traceSpeed: "recorded" | "full";
  readonly json: string | undefined;
  /** File for the page. */
  readonly report: string | undefined;
  readonly baseline: string | undefined;
}

/** Wrong options, with a text for the user; or, with `exitCode` 0, a request for help. */
export class UsageError extends Error {
  readonly exitCode: number;

  constructor(
    message: string,
    options: { readonly cause?: unknown; readonly exitCode?: number } = {},
  ) {
    super(message, { cause: options.cause });
    this.exitCode = options.exitCode ?? 2;
  }
}

/** The store that is compared with the others. */
const SUBJECT: StoreName = "aura";

/** What runs when nothing is asked for. */
const DEFAULT_WORKLOADS: readonly string[] = [NAMES, "ycsb-a", "ycsb-b", "ycsb-c"];

/** Files that the default run leaves in the current folder. */
const DEFAULT_REPORT = "bench-report.html";
const DEFAULT_JSON = "bench-report.json";

/** Options that the names job does not have: what it does is fixed. */
const NOT_FOR_NAMES = [
  "ops",
  "duration",
  "keys",
  "keySize",
  "valueSize",
  "compressible",
  "distribution",
  "inFlight",
  "calls",
  "rate",
  "durability",
  "compression",
  "memtable",
  "cache",
] as const;

const SECOND_MS = 1000;
/** A day. */
const SECONDS_MAX = 86_400;
/** Beyond what any store does in a second. */
const RATE_MAX = 100_000_000;

/** Returns the options of `argv`, without node and script. Throws UsageError. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  let texts = "";
  const collect = (text: string): void => {
    texts += text;
  };
  let parsed: BenchOptions | undefined;
  const program = new Command("bench")
    .description("Measures AuraDB beside other stores.")
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: collect, writeErr: collect });
  for (const option of allOptions()) program.addOption(option);
  program.action((given: Given) => {
    parsed = optionsOf(given, (name) => program.getOptionValueSource(name) === "cli");
  });
  try {
    program.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const exitCode = error.exitCode === 0 ? 0 : 2;
    throw new UsageError(texts || error.message, { cause: error, exitCode });
  }
  if (parsed === undefined) throw new UsageError(program.helpInformation());
  return parsed;
}

interface Given {
  readonly workload: readonly string[];
  readonly count?: number;
  readonly ops?: number;
  readonly duration?: number;
  readonly repeat: number;
  readonly keys: KeyKind;
  readonly keySize?: number;
  readonly valueSize?: number;
  readonly compressible: number;
  readonly distribution?: DistributionName;
  readonly inFlight: number;
  readonly calls: "sync" | "async";
  readonly rate?: number;
  readonly durability: Durability;
  readonly compression: Compression;
  readonly memtable?: number;
  readonly cache?: number;
  readonly compare: readonly StoreName[];
  readonly compareRocksdb?: boolean;
  readonly only?: StoreName;
  readonly controls: boolean;
  readonly data?: string;
  readonly dir?: string;
  readonly seed: number;
  readonly traceFile?: string;
  readonly traceSpeed: "recorded" | "full";
  readonly json?: string;
  readonly report?: string;
  readonly baseline?: string;
}

function allOptions(): Option[] {
  const option = (flags: string, text: string): Option => new Option(flags, text);
  return [
    option("--workload <names>", `of ${[NAMES, ...WORKLOAD_NAMES].join(", ")}; separated by commas`)
      .argParser(parseWorkloads)
      .default(DEFAULT_WORKLOADS, DEFAULT_WORKLOADS.join(",")),
    option("--compare <stores>", "stores to compare AuraDB with, separated by commas")
      .argParser(parseStores)
      .default(["rocksdb"], "rocksdb"),
    option("--compare-rocksdb", "the same as --compare rocksdb").conflicts(["compare", "only"]),
    option("--only <store>", "runs a single store")
      .choices([...STORE_NAMES])
      .conflicts("compare"),
    option("--count <n>", "records, or names; with --data, at most").argParser(parseCount),
    option("--ops <n>", "operations of each measured phase").argParser(parseCount),
    option("--duration <s>", "seconds of each measured phase, instead of --ops").argParser(
      parseSeconds,
    ),
    option("--repeat <n>", "repeats of all, interleaved").argParser(parseRepeat).default(1),
    option("--keys <kind>", "what keys look like")
      .choices([...KEY_KINDS])
      .default("synthetic"),
    option("--key-size <bytes>", "bytes of a synthetic key").argParser(parseKeyBytes),
    option("--value-size <bytes>", "bytes of a value: 1000, 64k, 1m").argParser(parseValueBytes),
    option("--compressible <share>", "share of a value that repeats itself, 0 to 0.99")
      .argParser(parseShare)
      .default(0),
    option("--distribution <name>", "how records are asked for").choices([...DISTRIBUTIONS]),
    option("--in-flight <n>", "operations on their way at once; 1: each is awaited")
      .argParser(parseInFlight)
      .default(64),
    option("--calls <kind>", "sync: in the calling thread, where a store can")
      .choices(["async", "sync"])
      .default("async"),
    option("--rate <n>", "operations per second; latencies count from when each was due").argParser(
      parseRate,
    ),
    option("--durability <level>", "what an acknowledged write survives")
      .choices([...DURABILITIES])
      .default("os"),
    option("--compression <name>", "of tables and values")
      .choices([...COMPRESSIONS])
      .default("none"),
    option("--memtable <bytes>", "bytes of a memtable (64m)").argParser(parseMemory),
    option("--cache <bytes>", "bytes of the block cache (32m)").argParser(parseMemory),
    option("--no-controls", "no plain files and no db_bench beside the stores"),
    option("--data <file>", "own keys: a JSON array of strings, or one a line"),
    option("--dir <folder>", "new or empty folder; the databases stay there (default: temporary)"),
    option("--seed <n>", "seed of all chance").argParser(parseSeed).default(1),
    option("--trace-file <file>", "replays a trace of AuraDB, RocksDB or Twitter").conflicts([
      "workload",
      "rate",
      "duration",
      "count",
      "keys",
      "data",
    ]),
    option("--trace-speed <kind>", "with --trace-file; recorded: each operation when it was made")
      .choices(["recorded", "full"])
      .default("full"),
    option("--json <file>", `file for the result (default run: ${DEFAULT_JSON})`),
    option("--report <file>", `file for the page (default run: ${DEFAULT_REPORT})`),
    option("--baseline <file>", "result of an earlier run to compare with"),
  ];
}

function optionsOf(given: Given, isGiven: (name: string) => boolean): BenchOptions {
  const { only, compare, traceFile } = given;
  const workload = traceFile === undefined ? given.workload : [TRACE];
  const isDefault = traceFile === undefined && !isGiven("workload");
  if (workload.includes(NAMES)) {
    const wrong = NOT_FOR_NAMES.find(isGiven);
    if (wrong !== undefined) {
      const flag = wrong.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      throw new UsageError(
        `error: --${flag} is not for the workload ${NAMES}, which is fixed; choose others with --workload\n`,
      );
    }
  }
  if (given.duration !== undefined && given.ops !== undefined) {
    throw new UsageError("error: --duration and --ops exclude each other\n");
  }
  if (traceFile === undefined && isGiven("traceSpeed")) {
    throw new UsageError("error: --trace-speed needs --trace-file\n");
  }
  return {
    workloads: workload,
    count: given.count,
    ops: given.ops,
    durationMs: given.duration === undefined ? undefined : given.duration * SECOND_MS,
    repeat: given.repeat,
    keys: given.keys,
    keyBytes: given.keySize,
    valueBytes: given.valueSize,
    compressible: given.compressible,
    distribution: given.distribution,
    inFlight: given.inFlight,
    sync: given.calls === "sync",
    rate: given.rate,
    durability: given.durability,
    compression: given.compression,
    memtableBytes: given.memtable,
    cacheBytes: given.cache,
    data: given.data,
    dir: given.dir,
    seed: given.seed,
    stores: only === undefined ? [SUBJECT, ...compare] : [only],
    controls: given.controls,
    traceFile,
    traceSpeed: given.traceSpeed,
    json: given.json ?? (isDefault ? DEFAULT_JSON : undefined),
    report: given.report ?? (isDefault ? DEFAULT_REPORT : undefined),
    baseline: given.baseline,
  };
}

function parseCount(text: string): number {
  return parseWhole(text, 1, NAME_COUNT_MAX);
}

function parseSeed(text: string): number {
  return parseWhole(text, 0, Number.MAX_SAFE_INTEGER);
}

function parseRepeat(text: string): number {
  return parseWhole(text, 1, 100);
}

function parseInFlight(text: string): number {
  return parseWhole(text, 1, 2048);
}

function parseWhole(text: string, min: number, max: number): number {
  const value = /^\d[\d_]*$/.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
}

function parseSeconds(text: string): number {
  return parsePositive(text, SECONDS_MAX);
}

function parseRate(text: string): number {
  return parsePositive(text, RATE_MAX);
}

function parsePositive(text: string, max: number): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value > 0 && value <= max) return value;
  throw new InvalidArgumentError(`Expected a number above 0, at most ${max}.`);
}

function parseShare(text: string): number {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= 0.99) return value;
  throw new InvalidArgumentError("Expected a share from 0 to 0.99.");
}

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

function parseBytes(text: string, min: number, max: number): number {
  const [, digits = "", unit = ""] = /^(\d[\d_]*)([kmg]?)$/i.exec(text) ?? [];
  const value =
    digits === "" ? -1 : Number(digits.replaceAll("_", "")) * UNITS[unit.toLowerCase()]!;
  if (value >= min && value <= max) return value;
  throw new InvalidArgumentError(`Expected bytes from ${min} to ${max}, such as 1000, 64k or 1m.`);
}

function parseKeyBytes(text: string): number {
  return parseBytes(text, KEY_BYTES_MIN, KEY_BYTES_MAX);
}

function parseValueBytes(text: string): number {
  return parseBytes(text, 1, 64 * 2 ** 20);
}

function parseMemory(text: string): number {
  return parseBytes(text, 2 ** 18, 2 ** 30);
}

function parseWorkloads(text: string): string[] {
  return parseList(text, [NAMES, ...WORKLOAD_NAMES]);
}

function parseStores(text: string): StoreName[] {
  const known = STORE_NAMES.filter((name) => name !== SUBJECT);
  return parseList(text, [
    ...known.filter((name) => !CONTROLS.includes(name)),
    ...CONTROLS,
  ]) as StoreName[];
}

function parseList(text: string, known: readonly string[]): string[] {
  const names = text.split(",").map((name) => name.trim());
  for (const [i, name] of names.entries()) {
    if (!known.includes(name)) {
      throw new InvalidArgumentError(`"${name}" is none of ${known.join(", ")}.`);
    }
    if (names.indexOf(name) !== i) throw new InvalidArgumentError(`"${name}" is named twice.`);
  }
  return names;
}
