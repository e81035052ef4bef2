/**
 * Recovery: from the files of a directory to a state that can go on.
 *
 * Order: read the manifest, replay the logs (replay.ts; nothing is changed so far), sync the logs
 * that still count, write a new manifest that fixes how far each old log is valid, and only then
 * delete what nothing refers to. A crash at any point leaves a directory that recovers to the same
 * history. No old file is appended to, no number is used again.
 */
import type { FileSystem, Random } from "@aura/base";
import { AuraError, corruption } from "@aura/base";
import type { VoidRange } from "./edit.ts";
import { snapshotEdit } from "./edit.ts";
import {
  BALLAST_NAME,
  COPY_SUFFIX,
  CURRENT_NAME,
  CURRENT_TMP_NAME,
  DAMAGED_SUFFIX,
  filePath,
  LOCK_NAME,
  parseFileName,
} from "./file-names.ts";
import type { Identity, ManifestState } from "./manifest.ts";
import { ManifestWriter, readManifest } from "./manifest.ts";
import type { Memtables } from "./memtables.ts";
import type { OldLog } from "./old-logs.ts";
import type { Replayed } from "./replay.ts";
import { replayLogs } from "./replay.ts";
import type { ResolvedSettings } from "./settings.ts";
import type { Version } from "./version.ts";
import { emptyVersion } from "./version.ts";

const COPY_BYTES = 1024 * 1024;

/** A database that is ready to go on. */
export interface Recovered {
  readonly identity: Identity;
  readonly version: Version;
  readonly nextNumber: number;
  /** Highest sequence number given so far, lost ones included. All below is durable or lost. */
  readonly lastSeq: number;
  readonly memtables: Memtables;
  readonly manifest: ManifestWriter;
  /** Logs with a lower number count only if they are among `oldLogs`. */
  readonly logFloor: number;
  /** Sequence numbers without operations that later recoveries still have to know. */
  readonly voids: readonly VoidRange[];
  /** Logs of earlier processes that hold unflushed operations or values. */
  readonly oldLogs: readonly OldLog[];
  readonly created: boolean;
  readonly operationsReplayed: number;
  readonly cut: Replayed["cut"];
  /** Files that nothing refers to. */
  readonly orphans: readonly string[];
}

/** What recovery works with. */
export interface RecoveryPlace {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly random: Random;
  readonly settings: ResolvedSettings;
  readonly makeMemtables: (lastSeq: number) => Memtables;
}

/** Opens what is there, or creates it. The directory exists and is locked. */
export function recover(place: RecoveryPlace): Recovered {
  const { fs, directory, settings } = place;
  const read = readManifest(fs, directory);
  if (read === undefined) return create(place);
  const state = { ...read, syncFailed: read.syncFailed || hasWord(fs, directory) };
  if (settings.errorIfExists) {
    throw new AuraError("AURA_INVALID_ARGUMENT", `${directory} holds a database already`);
  }
  checkTables(fs, directory, state);
  const memtables = place.makeMemtables(state.version.flushedSeq);
  try {
    const replayed = replayLogs(fs, directory, state, memtables, settings.wal.recovery);
    return goOn(place, state, memtables, replayed);
  } catch (error) {
    memtables.close();
    throw error;
  }
}

/** Whether an open before this one did not come to its end while it made logs durable. */
function hasWord(fs: FileSystem, directory: string): boolean {
  return fs.listSync(directory).some((name) => isDraft(name));
}

function isDraft(name: string): boolean {
  const base = name.slice(0, -COPY_SUFFIX.length);
  return name.endsWith(COPY_SUFFIX) && parseFileName(base) !== undefined;
}

function create(place: RecoveryPlace): Recovered {
  const { fs, directory, random, settings } = place;
  const leftovers: string[] = [];
  for (const name of fs.listSync(directory)) {
    const parsed = parseFileName(name);
    // A manifest without CURRENT is a creation that did not come to its end; any other file of ours
    // is made only after CURRENT is durable.
    if (parsed !== undefined && parsed.kind !== "manifest") {
      throw corruption(`${directory}/${CURRENT_NAME}`, 0, `missing, though ${name} is there`);
    }
    if (parsed !== undefined || name === CURRENT_TMP_NAME) leftovers.push(`${directory}/${name}`);
  }
  if (!settings.createIfMissing) {
    throw new AuraError("AURA_NOT_FOUND", `${directory} holds no database`);
  }
  for (const path of leftovers) fs.unlinkSync(path);
  const databaseUuid = new Uint8Array(16);
  for (let i = 0; i < 16; i++) databaseUuid[i] = random.uint32();
  const identity = { databaseUuid, hashSeed: random.uint32() };
  const version = emptyVersion();
  const counters = { nextNumber: 2, lastSeq: 0 };
  const manifest = ManifestWriter.createSync(
    { fs, directory, random, identity },
    1,
    snapshotEdit(version, counters),
  );
  return {
    identity,
    version,
    nextNumber: counters.nextNumber,
    lastSeq: 0,
    memtables: place.makeMemtables(0),
    manifest,
    logFloor: 0,
    voids: [],
    oldLogs: [],
    created: true,
    operationsReplayed: 0,
    cut: undefined,
    orphans: [],
  };
}

function goOn(
  place: RecoveryPlace,
  state: ManifestState,
  memtables: Memtables,
  replayed: Replayed,
): Recovered {
  const { fs, directory, random } = place;
  const { version, identity } = state;
  const live = replayed.logs.filter((log) => {
    if (log.lastSeq > version.flushedSeq) return true;
    return log.kind === "vlog" && version.segments.has(log.number);
  });
  makeDurable(place, state, live);
  let nextNumber = state.nextNumber;
  for (const name of fs.listSync(directory)) {
    const parsed = parseFileName(name);
    if (parsed !== undefined && parsed.number >= nextNumber) nextNumber = parsed.number + 1;
  }
  const number = nextNumber++;
  const manifest = ManifestWriter.createSync(
    { fs, directory, random, identity },
    number,
    snapshotEdit(version, {
      nextNumber,
      lastSeq: replayed.lastSeq,
      logs: live,
      logFloor: number,
      voids: replayed.voids,
    }),
  );
  let orphans: string[];
  try {
    if (replayed.damagedLogs.length > 0) {
      // Nobody else could read them either; they are not this recovery's to remove.
      for (const path of replayed.damagedLogs) fs.renameSync(path, `${path}${DAMAGED_SUFFIX}`);
      fs.syncDirSync(directory);
    }
    orphans = findOrphans(fs, directory, version, live, number);
  } catch (error) {
    manifest.closeSync();
    throw error;
  }
  return {
    identity,
    version,
    nextNumber,
    lastSeq: replayed.lastSeq,
    memtables,
    manifest,
    logFloor: number,
    voids: replayed.voids,
    oldLogs: live,
    created: false,
    operationsReplayed: replayed.operations,
    cut: replayed.cut,
    orphans,
  };
}

/**
 * Makes the logs of earlier processes durable: the new manifest will say how far they are valid. A sync
 * that fails must not be tried again by the next open, whatever ends this one, were it the process: so
 * an empty draft stands in the directory meanwhile. It need not be durable: behind a power loss the logs
 * read as the disk has them.
 */
function makeDurable(place: RecoveryPlace, state: ManifestState, live: readonly OldLog[]): void {
  const { fs, directory } = place;
  const { segments, flushedSeq } = state.version;
  const unsure = live.filter((log) => {
    const sealed = (segments.get(log.number)?.fileBytes ?? 0) > 0;
    return !sealed || log.lastSeq > flushedSeq;
  });
  const word = `${filePath(directory, state.number, "manifest")}${COPY_SUFFIX}`;
  const leavesWord = unsure.length > 0 && !fs.existsSync(word);
  if (leavesWord) fs.openSync(word, "create").closeSync();
  for (const log of unsure) {
    if (state.syncFailed || !syncLog(fs, log.path)) rewriteLog(fs, log);
  }
  fs.syncDirSync(directory);
  // One that was there before goes with the orphans.
  if (leavesWord) fs.unlinkSync(word);
}

/** Returns whether the log is durable. A sync that failed must not be tried again. */
function syncLog(fs: FileSystem, path: string): boolean {
  const file = fs.openSync(path, "read");
  try {
    file.syncSync();
    return true;
  } catch {
    return false;
  } finally {
    file.closeSync();
  }
}

/**
 * Makes a log durable of which a sync failed before. The kernel may hold its pages as clean though
 * they never reached the disk, so that another sync would do nothing: what is valid is written anew,
 * to a draft that takes the place of the old one.
 */
function rewriteLog(fs: FileSystem, log: OldLog): void {
  const draft = `${log.path}${COPY_SUFFIX}`;
  if (fs.existsSync(draft)) fs.unlinkSync(draft);
  const source = fs.openSync(log.path, "read");
  try {
    const target = fs.openSync(draft, "create");
    try {
      const chunk = new Uint8Array(Math.min(COPY_BYTES, log.validBytes));
      for (let at = 0; at < log.validBytes; at += chunk.length) {
        const piece = chunk.subarray(0, Math.min(chunk.length, log.validBytes - at));
        const count = source.readSync(piece, at);
        if (count < piece.length) throw corruption(log.path, at + count, "the log was cut off");
        target.writeSync(piece, at);
      }
      target.syncSync();
    } finally {
      target.closeSync();
    }
  } finally {
    source.closeSync();
  }
  fs.renameSync(draft, log.path);
}

/** Every table and sealed segment of the version must be there, at its length. */
function checkTables(fs: FileSystem, directory: string, state: ManifestState): void {
  for (const table of state.version.tables()) {
    const path = filePath(directory, table.number, "sst");
    if (!fs.existsSync(path)) throw corruption(path, 0, "a live table is missing");
    const bytes = fs.fileBytesSync(path);
    if (bytes !== table.bytes) {
      throw corruption(
        path,
        Math.min(bytes, table.bytes),
        `${bytes} bytes instead of ${table.bytes}`,
      );
    }
  }
  for (const segment of state.version.segments.values()) {
    const path = filePath(directory, segment.number, segment.kind);
    if (!fs.existsSync(path)) throw corruption(path, 0, "a live segment is missing");
    if (fs.fileBytesSync(path) < segment.fileBytes) {
      throw corruption(path, fs.fileBytesSync(path), "a live segment is cut off");
    }
  }
}

/** Lists the files of ours that nothing refers to. Anything with another name is left alone. */
function findOrphans(
  fs: FileSystem,
  directory: string,
  version: Version,
  logs: readonly OldLog[],
  manifestNumber: number,
): string[] {
  const live = new Set<string>([CURRENT_NAME, LOCK_NAME, BALLAST_NAME]);
  const keep = (path: string): void => {
    live.add(path.slice(directory.length + 1));
  };
  for (const table of version.tables()) keep(filePath(directory, table.number, "sst"));
  for (const segment of version.segments.values()) {
    keep(filePath(directory, segment.number, segment.kind));
  }
  for (const log of logs) keep(log.path);
  keep(filePath(directory, manifestNumber, "manifest"));
  const orphans: string[] = [];
  for (const name of fs.listSync(directory)) {
    const ours = name === CURRENT_TMP_NAME || parseFileName(name) !== undefined || isDraft(name);
    if (ours && !live.has(name)) orphans.push(`${directory}/${name}`);
  }
  return orphans;
}
