/** The command line of the main job. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { NAME_COUNT_MAX } from "./names.ts";
import { STORE_NAMES, type StoreName } from "./stores/catalog.ts";

/** What the main job was asked for. */
export interface NamesOptions {
  /** Names to compose, or the most to take from `data`. */
  readonly count: number;
  /** File of the user's own names. */
  readonly data: string | undefined;
  /** Folder for the databases, which stay there; `undefined`: a temporary one. */
  readonly dir: string | undefined;
  readonly seed: number;
  /** The stores, the one that is compared with the others first. */
  readonly stores: readonly StoreName[];
  /** File for the raw results. */
  readonly json: string | undefined;
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

/** Returns the options of `argv`, without node and script. Throws UsageError. */
export function parseOptions(argv: readonly string[]): NamesOptions {
  let texts = "";
  const collect = (text: string): void => {
    texts += text;
  };
  let parsed: NamesOptions | undefined;
  const program = new Command("bench")
    .description("Measures AuraDB beside other stores.")
    .exitOverride()
    .configureOutput({ writeOut: collect, writeErr: collect });
  program
    .command("names", { isDefault: true })
    .description("loads the same names into each store side by side, and reads them back")
    .allowExcessArguments(false)
    .addOption(
      new Option("--count <n>", "number of names; with --data, the most to take")
        .argParser(parseCount)
        .default(3_000_000),
    )
    .option("--data <file>", "own names: a JSON array of strings, or one name a line")
    .option("--dir <folder>", "new or empty folder; the databases stay there (default: temporary)")
    .addOption(new Option("--seed <n>", "seed of all chance").argParser(parseSeed).default(1))
    .addOption(
      new Option("--compare <stores>", "stores to compare AuraDB with, separated by commas")
        .argParser(parseStores)
        .default(["rocksdb"]),
    )
    .addOption(
      new Option("--only <store>", "runs a single store")
        .choices([...STORE_NAMES])
        .conflicts("compare"),
    )
    .option("--json <file>", "file for the raw results")
    .exitOverride()
    .configureOutput({ writeOut: collect, writeErr: collect })
    .action((given: Given) => {
      const { compare, only, ...rest } = given;
      const stores = only === undefined ? [SUBJECT, ...compare] : [only];
      parsed = { data: undefined, dir: undefined, json: undefined, ...rest, stores };
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
  readonly count: number;
  readonly seed: number;
  readonly compare: readonly StoreName[];
  readonly only?: StoreName;
  readonly data?: string;
  readonly dir?: string;
  readonly json?: string;
}

function parseCount(text: string): number {
  return parseWhole(text, 1, NAME_COUNT_MAX);
}

function parseSeed(text: string): number {
  return parseWhole(text, 0, Number.MAX_SAFE_INTEGER);
}

function parseWhole(text: string, min: number, max: number): number {
  const value = /^\d[\d_]*$/.test(text) ? Number(text.replaceAll("_", "")) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
}

function parseStores(text: string): StoreName[] {
  const names = text.split(",").map((name) => name.trim());
  const known = STORE_NAMES.filter((name) => name !== SUBJECT);
  for (const [i, name] of names.entries()) {
    if (!known.includes(name as StoreName)) {
      throw new InvalidArgumentError(`"${name}" is none of ${known.join(", ")}.`);
    }
    if (names.indexOf(name) !== i) throw new InvalidArgumentError(`"${name}" is named twice.`);
  }
  return names as StoreName[];
}
