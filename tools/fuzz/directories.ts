/**
 * Targets that work with a directory of which one file is hostile. The first byte of an input chooses
 * the directory, the second its file; the rest takes that file's place.
 */
import { hasCode } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { AuraDB, repair, type Settings, WriteBatch } from "@aura/engine";
import { ChangeDecoder } from "../../packages/engine/src/change-group.ts";
import { FarValues } from "../../packages/engine/src/far-values.ts";
import { filePath } from "../../packages/engine/src/file-names.ts";
import { type Identity, readManifest } from "../../packages/engine/src/manifest.ts";
import { salvageTable } from "../../packages/engine/src/salvage-table.ts";
import type { TableMeta } from "../../packages/engine/src/version.ts";
import { directory, type Subject } from "../../packages/engine/test/support/damaged-world.ts";
import { learnedIndex } from "../../packages/learned-index/src/index.ts";
import { Table } from "../../packages/sst/src/index.ts";
import { ValueReader } from "../../packages/vlog/src/index.ts";
import { readLog } from "../../packages/wal/src/index.ts";
import { mendHeader, mendLog, mendRecords, mendTable } from "./checksums.ts";
import { attempt, bounded, isTyped, type Target } from "./target.ts";

/** A directory before anything happens to it. */
export interface Home {
  readonly fs: SimFs;
  readonly settings: Settings;
}

/** A directory with its hostile file. */
interface Placed extends Home {
  readonly path: string;
}

const PLACE_BYTES = 2;
/** A longer file is no seed: changes would hit its values only. */
const SEED_BYTES_MAX = 128 << 10;
/** Opening, merging and closing a small database, with memtables of its settings. */
const OPEN_BYTES = 32 << 20;
/** A repair opens what it mended with default settings, and their memtables. */
const REPAIR_BYTES = 512 << 20;
const REPAIR_MEMTABLE_BYTES = 64 << 20;

/** A directory whose groups are spread over logs: the values of one stand in others. */
export async function spreadHome(): Promise<Home> {
  const settings: Settings = {
    seed: 7,
    valueLog: { writeQueues: 2, separationThreshold: 100 },
    memtable: { maxSize: 262144, maxCount: 3 },
    compaction: { automatic: false },
    cache: { capacity: 0 },
  };
  const fs = new SimFs();
  const db = await AuraDB.open(directory, settings, { fs, runtime: simRuntime(7) });
  await db.put("v1", "in its own frame ".repeat(20));
  const batch = new WriteBatch().put("inline", "1");
  for (let at = 0; at < 4; at++) batch.put(`far ${at}`, Buffer.alloc(300_000 + at, `${at};`));
  await db.write(batch);
  db.putSync("last", "1", { sync: true });
  const image = fs.processKill();
  await db.close();
  return { fs: image, settings };
}

/** The directories as they were killed. */
export function homesOf(subjects: readonly Subject[], spread: Home): Home[] {
  return [...subjects.map(({ images, settings }) => ({ fs: images.killed, settings })), spread];
}

function filesOf({ fs }: Home): string[] {
  return fs.list(directory).filter((path) => !path.endsWith("/LOCK"));
}

function seedsOf(homes: readonly Home[], kinds: RegExp): Uint8Array[] {
  return homes.flatMap((home, at) =>
    filesOf(home).flatMap((path, file) => {
      const bytes = home.fs.readFile(path);
      const isSeed = kinds.test(path) && bytes.length > 0 && bytes.length <= SEED_BYTES_MAX;
      return isSeed ? [Buffer.concat([Buffer.from([at, file]), bytes])] : [];
    }),
  );
}

function choose<T>(all: readonly T[], byte = 0): T {
  return all[byte % all.length]!;
}

/** Returns a copy of the directory that an input chooses, with the rest of it as one of its files. */
function place(homes: readonly Home[], bytes: Uint8Array): Placed {
  const { fs, settings } = choose(homes, bytes[0]);
  const path = choose(filesOf({ fs, settings }), bytes[1]);
  const copy = fs.processKill();
  copy.writeFile(path, bytes.subarray(PLACE_BYTES));
  return { fs: copy, settings, path };
}

/** Mends the file of an input, as what its name says that it is. */
function mendPlaced(homes: readonly Home[], bytes: Uint8Array): void {
  const home = choose(homes, bytes[0]);
  const path = choose(filesOf(home), bytes[1]);
  const file = bytes.subarray(PLACE_BYTES);
  if (path.endsWith(".sst")) mendTable(file);
  else if (path.endsWith(".seg")) mendRecords(file, 64, file.length, mendHeader(file));
  else if (/log$|wal$|manifest$/.test(path)) mendLog(file, path.endsWith(".manifest"));
  else mendHeader(file);
}

/** Opens, reads in every way, writes, merges and closes: each of it does its work or says what is wrong. */
async function runOpen({ fs, settings }: Placed): Promise<void> {
  const components = { fs, runtime: simRuntime(9, { autoAdvance: true }) };
  const db = await AuraDB.open(directory, settings, components);
  db.events.on("backgroundError", () => undefined);
  try {
    for (const key of ["", "k0003", "k0072", "v3", "far 1", "log a", "never"]) {
      attempt(() => db.getSync(key));
      await attemptLater(db.get(key));
    }
    for (const reverse of [false, true]) {
      attempt(() => {
        const scan = db.scanSync({ reverse });
        bounded(() => !scan.next().done);
      });
    }
    attempt(() => db.putSync("written", "behind it"));
    await attemptLater(db.flush());
    await attemptLater(db.compact());
  } finally {
    await attemptLater(db.close());
  }
  const { problems } = await AuraDB.verify(directory, { fs, runtime: simRuntime(9) });
  refuseUntyped(problems);
}

async function attemptLater(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    // A database that met damage goes on for reading only.
    if (!isTyped(error) && !hasCode(error, "AURA_READ_ONLY")) throw error;
  }
}

/** What was repaired opens; and where nothing is said to be wrong with it, nothing is. */
async function runRepair({ fs, settings }: Placed): Promise<void> {
  const components = { fs, runtime: simRuntime(9, { autoAdvance: true }) };
  const { problems } = await repair(directory, components);
  if (problems.length > 0) return refuseUntyped(problems);
  try {
    const db = await AuraDB.open(directory, settings, components);
    for (const reverse of [false, true]) for (const _ of db.scanSync({ reverse }));
    await db.close();
  } catch (cause) {
    throw new Error("repaired, nothing found wrong with it, and it is not sound", { cause });
  }
}

/** `verify` tells every error as a problem: those of the runtime are none of the bytes. */
function refuseUntyped(problems: readonly string[]): void {
  const untyped =
    /assertion failed|cannot read|is not (a|iterable|defined)|invalid (array|typed)|out of range/i;
  const found = problems.find((problem) => untyped.test(problem));
  if (found !== undefined) throw new Error(`verify met what is no damage: ${found}`);
}

/** Takes the groups of a log apart, as a feed does; values stand in the directory's other logs. */
async function runChanges({ fs, path }: Placed): Promise<void> {
  if (!/\.(wal|vlog)$/.test(path)) return;
  const far = new FarValues(fs, directory);
  const decoder = new ChangeDecoder(far);
  const log = readLog(fs, path);
  try {
    for (let groups = 0; log.next(); groups++) {
      if (groups > 1000) throw new Error("a log without an end");
      if (log.count > 0) await attemptLater(decoder.decode(log, log.first + (groups % 3)));
    }
  } finally {
    log.closeSync();
    far.close();
  }
}

/** A table that the manifest of its directory names. */
interface KnownTable {
  readonly meta: TableMeta;
  readonly identity: Identity;
}

function tablesOf(home: Home): Map<string, KnownTable> {
  const { version, identity } = readManifest(home.fs.processKill(), directory)!;
  return new Map(
    Array.from(version.tables(), (meta) => [
      filePath(directory, meta.number, "sst"),
      { meta, identity },
    ]),
  );
}

/** Salvages a table; what is written in its place is sound, by the reader's own check. */
function runSalvage(known: ReadonlyMap<string, KnownTable>, { fs, path }: Placed): void {
  const table = known.get(path);
  if (table === undefined) return;
  const { meta, identity } = table;
  const indexFormats = [learnedIndex()];
  const open = ({ number, uid }: TableMeta): Table =>
    Table.openSync(fs, {
      path: filePath(directory, number, "sst"),
      ...{ number, uid, ...identity, indexFormats },
    });
  const kindOf = (number: number): "seg" | "vlog" =>
    fs.existsSync(filePath(directory, number, "seg")) ? "seg" : "vlog";
  const values = new ValueReader(fs, (number) => filePath(directory, number, kindOf(number)), 8);
  let opened: Table | undefined;
  try {
    const settings = { fs, directory, ...identity, values, number: 999_999, uidSeed: 3 };
    const salvaged = salvageTable(settings, meta, () => {
      opened = open(meta);
      return opened;
    });
    if (salvaged !== undefined) verifySalvaged(() => open(salvaged.meta));
  } finally {
    opened?.closeSync();
    values.closeSync();
  }
}

function verifySalvaged(open: () => Table): void {
  try {
    const table = open();
    table.verifySync();
    table.closeSync();
  } catch (cause) {
    throw new Error("what was salvaged is not sound", { cause });
  }
}

/** Returns the targets that work with whole directories. */
export function directoryTargets(homes: readonly Home[]): Target[] {
  const known = homes.map(tablesOf);
  const mend = (bytes: Uint8Array): void => mendPlaced(homes, bytes);
  const target = (
    name: string,
    kinds: RegExp,
    run: (placed: Placed, bytes: Uint8Array) => void | Promise<void>,
  ): Target => ({
    name,
    seeds: seedsOf(homes, kinds),
    mend,
    run: (bytes) => run(place(homes, bytes), bytes),
  });
  return [
    target("changes", /\.(wal|vlog)$/, runChanges),
    target("salvage", /\.sst$/, (placed, bytes) => runSalvage(choose(known, bytes[0]), placed)),
    { ...target("open", /./, runOpen), costs: 10, sumBytesMax: OPEN_BYTES },
    {
      ...target("repair", /./, runRepair),
      // One directory is enough to begin with: a repair takes long.
      seeds: seedsOf(homes.slice(0, 1), /./),
      costs: 60,
      oneBytesMax: REPAIR_MEMTABLE_BYTES,
      sumBytesMax: REPAIR_BYTES,
    },
  ];
}
