/**
 * Repair: brings a damaged database back to where it opens, verifies, and answers for what is left.
 *
 * Kept: every table that is sound; of the others what can be read (salvage-table.ts); of the logs the
 * history up to the first damage, never anything behind it. So what comes out is, key by key, a value
 * that was there, or nothing: a delete that was in tables or in that part of the logs holds for good.
 * Logs that cannot be read are renamed (`.damaged`), not removed. What a later build wrote is not damage:
 * a database that has such a file is refused, and stays as it is.
 *
 * New tables are written first, then a new manifest, so a crash leaves either the damaged database or
 * the mended one. Take a copy before: what was lost is known only to the old files.
 */
import type { FileSystem } from "@aura/base";
import { AuraError, FileType, hashReady, type Random } from "@aura/base";
import { learnedIndex } from "@aura/learned-index";
import { Table } from "@aura/sst";
import { ValueReader } from "@aura/vlog";
import { logStartMissing, readLog } from "@aura/wal";
import { AuraDB } from "./aura-db.ts";
import { ByteReader } from "./byte-buffer.ts";
import type { Components } from "./components.ts";
import { resolveComponents } from "./components.ts";
import { directoryOf } from "./database-directory.ts";
import { snapshotEdit } from "./edit.ts";
import { DAMAGED_SUFFIX, filePath, LOCK_NAME, parseFileName } from "./file-names.ts";
import { decodePreamble } from "./log-preamble.ts";
import type { Identity, ManifestState } from "./manifest.ts";
import { ManifestWriter, readManifest } from "./manifest.ts";
import { salvageManifest } from "./salvage-manifest.ts";
import { isDamage, type SalvagedTable, salvageTable } from "./salvage-table.ts";
import { type SegmentMeta, type TableMeta, Version } from "./version.ts";

/** What a repair did. */
export interface RepairReport {
  /** `sound`; `cut`: damaged, the version behind its last whole edit was taken. */
  readonly manifest: "sound" | "cut";
  /** Tables that are kept as they were. */
  readonly tablesSound: number;
  /** Tables that were written anew. */
  readonly tablesRewritten: readonly {
    readonly file: string;
    readonly entriesKept: number;
    readonly entriesLost: number;
    readonly valuesLost: number;
  }[];
  /** Names of logs that could not be read, now with `.damaged` behind. */
  readonly logsSetAside: readonly string[];
  /** Sequence numbers that are lost at the end of the history; 0: none is known of. */
  readonly seqsLost: number;
  /** What `AuraDB.verify` finds afterwards. */
  readonly problems: readonly string[];
}

const OPEN_FILES = 64;

/**
 * Repairs the database in the directory `path`, which is not open. Throws AURA_CORRUPTION when not
 * even the beginning of a manifest can be read (deleted keys could come back), AURA_UNSUPPORTED when a
 * file is of a later build (nothing was changed), AURA_NOT_FOUND, AURA_LOCKED, AURA_IO.
 */
export async function repair(
  path: string,
  components: Partial<Components> = {},
): Promise<RepairReport> {
  const directory = directoryOf(path);
  const { fs, runtime } = resolveComponents(components);
  if (!fs.existsSync(directory)) {
    throw new AuraError("AURA_NOT_FOUND", `${directory} is not there`);
  }
  const lock = await fs.lock(`${directory}/${LOCK_NAME}`, "repair");
  let mended: Mended;
  try {
    await hashReady();
    mended = mend(fs, runtime.random, directory);
  } finally {
    lock.releaseSync();
  }
  const logsSetAside = [...mended.logsSetAside];
  const seqsLost = await replay(path, components, logsSetAside);
  const { problems } = await AuraDB.verify(path, components);
  return { ...mended, logsSetAside, seqsLost, problems };
}

/** Opens what was mended and puts into tables what its logs still say. Returns what was cut off. */
async function replay(
  path: string,
  components: Partial<Components>,
  logsSetAside: string[],
): Promise<number> {
  const { fs } = resolveComponents(components);
  for (;;) {
    try {
      const db = await AuraDB.open(path, { wal: { recovery: "salvage" } }, components);
      let seqsLost = 0;
      db.events.on("recoveryCut", (cut) => {
        seqsLost = cut.lostSeqs;
      });
      await db.flush();
      await db.close();
      return seqsLost;
    } catch (error) {
      // A log that says what cannot be: without it, the history ends before it.
      const { file } = error as { readonly file?: string };
      const isLog = file !== undefined && /\.(wal|vlog)$/.test(file) && fs.existsSync(file);
      if (!isLog || !isDamage(error)) throw error;
      setAside(fs, file, logsSetAside);
    }
  }
}

type Mended = Pick<RepairReport, "manifest" | "tablesSound" | "tablesRewritten" | "logsSetAside">;

function mend(fs: FileSystem, random: Random, directory: string): Mended {
  const { state, isSound } = readState(fs, directory);
  const unreadable = unreadableLogs(fs, directory, state);
  let nextNumber = state.nextNumber;
  for (const name of fs.listSync(directory)) {
    nextNumber = Math.max(nextNumber, (parseFileName(name)?.number ?? 0) + 1);
  }
  const rewritten = new Map<number, SalvagedTable>();
  let tablesSound = 0;
  const kinds = state.version.segments;
  const values = new ValueReader(
    fs,
    (number) => filePath(directory, number, kinds.get(number)?.kind ?? "vlog"),
    OPEN_FILES,
  );
  try {
    for (const meta of state.version.tables()) {
      const place = { fs, directory, ...state.identity, values, uidSeed: random.uint32() };
      const salvaged = salvage({ ...place, number: nextNumber }, meta);
      if (salvaged === undefined) tablesSound++;
      else {
        rewritten.set(meta.number, salvaged);
        nextNumber++;
      }
    }
  } catch (error) {
    for (const { meta } of rewritten.values())
      fs.unlinkSync(filePath(directory, meta.number, "sst"));
    throw error;
  } finally {
    values.closeSync();
  }
  const version = mendedVersion(fs, directory, state.version, rewritten);
  const logsSetAside: string[] = [];
  for (const path of unreadable) setAside(fs, path, logsSetAside);
  const manifestNumber = nextNumber++;
  const edit = snapshotEdit(version, {
    nextNumber,
    lastSeq: state.lastSeq,
    logs: [...state.logs.values()].filter(({ number, kind }) =>
      fs.existsSync(filePath(directory, number, kind)),
    ),
    logFloor: state.logFloor,
    voids: state.voids,
  });
  const place = { fs, directory, random, identity: state.identity };
  ManifestWriter.createSync(place, manifestNumber, edit).closeSync();
  const tablesRewritten = [...rewritten].map(([number, { meta: _, ...counts }]) => ({
    file: filePath(directory, number, "sst"),
    ...counts,
  }));
  return { manifest: isSound ? "sound" : "cut", tablesSound, tablesRewritten, logsSetAside };
}

function readState(fs: FileSystem, directory: string): { state: ManifestState; isSound: boolean } {
  let cause: unknown;
  try {
    const state = readManifest(fs, directory);
    if (state !== undefined) return { state, isSound: true };
  } catch (error) {
    if (!isDamage(error)) throw error;
    cause = error;
  }
  const state = salvageManifest(fs, directory);
  if (state !== undefined) return { state, isSound: false };
  const ours = fs.listSync(directory).some((name) => parseFileName(name) !== undefined);
  if (!ours) throw new AuraError("AURA_NOT_FOUND", `${directory} holds no database`);
  throw new AuraError(
    "AURA_CORRUPTION",
    `${directory}: no manifest can be read, so nothing says which tables were alive; ` +
      "taking them all could bring deleted keys back",
    { cause },
  );
}

function salvage(
  place: Parameters<typeof salvageTable>[0],
  meta: TableMeta,
): SalvagedTable | undefined {
  const { fs, directory, databaseUuid, hashSeed } = place;
  const { number, uid } = meta;
  const path = filePath(directory, number, "sst");
  let table: Table | undefined;
  try {
    return salvageTable(place, meta, () => {
      const indexFormats = [learnedIndex()];
      table = Table.openSync(fs, { path, number, uid, databaseUuid, hashSeed, indexFormats });
      if (fs.fileBytesSync(path) !== meta.bytes) {
        throw new AuraError("AURA_CORRUPTION", `${path}: of another length`, { file: path });
      }
      return table;
    });
  } finally {
    table?.closeSync();
  }
}

/** The version with the tables that were written anew, and with segments as they are. */
function mendedVersion(
  fs: FileSystem,
  directory: string,
  version: Version,
  rewritten: ReadonlyMap<number, SalvagedTable>,
): Version {
  const levels = version.levels.map(({ runs }) => ({
    runs: runs.map(({ id, tables }) => ({
      id,
      tables: tables.map((table) => rewritten.get(table.number)?.meta ?? table),
    })),
  }));
  const sums = new Map<number, { count: number; bytes: number }>();
  for (const { runs } of levels) {
    for (const { references } of runs.flatMap(({ tables }) => tables)) {
      for (const { segment, count, bytes } of references) {
        const sum = sums.get(segment) ?? { count: 0, bytes: 0 };
        sums.set(segment, { count: sum.count + count, bytes: sum.bytes + bytes });
      }
    }
  }
  const segments = new Map<number, SegmentMeta>();
  for (const [number, segment] of version.segments) {
    const path = filePath(directory, number, segment.kind);
    const live = sums.get(number) ?? { count: 0, bytes: 0 };
    const isThere = fs.existsSync(path);
    if (!isThere && live.count === 0) continue;
    segments.set(number, {
      ...segment,
      deadCount: segment.totalCount - live.count,
      deadBytes: segment.totalBytes - live.bytes,
      fileBytes: Math.min(segment.fileBytes, isThere ? fs.fileBytesSync(path) : 0),
    });
  }
  return new Version(version.id, levels, segments, version.flushedSeq);
}

/** Paths of the logs that replay could not even begin with. Throws AURA_UNSUPPORTED, AURA_IO. */
function unreadableLogs(
  fs: FileSystem,
  directory: string,
  { identity, version }: ManifestState,
): string[] {
  const paths: string[] = [];
  for (const name of fs.listSync(directory)) {
    const parsed = parseFileName(name);
    if (parsed === undefined || (parsed.kind !== "wal" && parsed.kind !== "vlog")) continue;
    const segment = version.segments.get(parsed.number);
    // Its operations are in tables, and its values were read.
    if (segment !== undefined && segment.lastSeq <= version.flushedSeq) continue;
    const path = filePath(directory, parsed.number, parsed.kind);
    if (!isLog(fs, path, parsed, identity)) paths.push(path);
  }
  return paths;
}

function isLog(
  fs: FileSystem,
  path: string,
  { number, kind }: { readonly number: number; readonly kind: string },
  identity: Identity,
): boolean {
  try {
    const log = readLog(fs, path);
    try {
      decodePreamble(new ByteReader(log.preamble, path, 0));
      const { header } = log;
      const isKind = header.type === (kind === "wal" ? FileType.wal : FileType.valueLog);
      const isOurs = Buffer.from(header.databaseUuid).equals(identity.databaseUuid);
      return isKind && isOurs && header.number === number;
    } finally {
      log.closeSync();
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    return logStartMissing(fs, path);
  }
}

function setAside(fs: FileSystem, path: string, names: string[]): void {
  fs.renameSync(path, `${path}${DAMAGED_SUFFIX}`);
  fs.syncDirSync(path.slice(0, path.lastIndexOf("/")));
  names.push(path.slice(path.lastIndexOf("/") + 1));
}
