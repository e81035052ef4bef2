/**
 * The manifest: the log of version edits, and the CURRENT file that names the one in force.
 * Documented in docs/formats/manifest.md.
 *
 * A manifest begins with a full snapshot; every open starts a new one, and so does a failed append
 * (nothing is ever written behind a failed write). A new manifest takes force by CURRENT.tmp,
 * fsync, rename, fsync of the directory. Edits are chained by the hash of the record before, so a
 * record that is lost, repeated or exchanged is noticed.
 */
import type { FileSystem, Random, Uid } from "@aura/base";
import {
  AuraError,
  contentHash,
  corruption,
  decodeFileHeader,
  encodeFileHeader,
  FILE_HEADER_BYTES,
  FileType,
  hasCode,
} from "@aura/base";
import { LogWriter, readLog } from "@aura/wal";
import { ByteBuffer, ByteReader } from "./byte-buffer.ts";
import type { CleanClose, LogValidity, VersionEdit, VoidRange } from "./edit.ts";
import { applyEdit } from "./edit.ts";
import { decodeEdit, EDIT_CLASS, encodeEdit, SKIPPABLE_CLASS_MIN } from "./edit-format.ts";
import { CURRENT_NAME, CURRENT_TMP_NAME, filePath } from "./file-names.ts";
import type { Version } from "./version.ts";
import { emptyVersion } from "./version.ts";

/** What identifies a database for as long as it lives. */
export interface Identity {
  /** 16 random bytes. */
  readonly databaseUuid: Uint8Array;
  /** Seed of the key hash that all filters share. */
  readonly hashSeed: number;
}

/** A manifest is followed by a new one from this size on. */
export const MANIFEST_BYTES_MAX: number = 4 * 1024 * 1024;

/** Draws a random file uid. */
export function drawUid(random: Random): Uid {
  return { lo: random.uint32(), hi: random.uint32() };
}

/** Where a manifest is made. */
export interface ManifestPlace {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly random: Random;
  readonly identity: Identity;
}

/** Appends edits to the manifest in force. */
export class ManifestWriter {
  readonly number: number;
  readonly #log: LogWriter;
  readonly #record = new ByteBuffer(4096);
  #previous = 0;
  #edits = 0;
  #durable = 0;

  private constructor(number: number, log: LogWriter) {
    this.number = number;
    this.#log = log;
  }

  /**
   * Writes a new manifest that begins with `snapshot` and puts it in force. When this returns, the
   * manifest and CURRENT are durable. When it throws, the one before is in force, or (if only the
   * last directory sync failed) either. One that CURRENT cannot name is removed.
   */
  static createSync(place: ManifestPlace, number: number, snapshot: VersionEdit): ManifestWriter {
    const { fs, directory, identity } = place;
    const preamble = new ByteBuffer();
    preamble.u32(identity.hashSeed);
    preamble.blob(Buffer.from(fs.bootId()));
    const log = LogWriter.createSync(fs, filePath(directory, number, "manifest"), {
      header: {
        type: FileType.manifest,
        databaseUuid: identity.databaseUuid,
        uid: drawUid(place.random),
        number,
      },
      preamble: preamble.copy(),
    });
    const writer = new ManifestWriter(number, log);
    let mayBeNamed = false;
    try {
      writer.appendSync(snapshot);
      log.syncSync();
      writer.#durable = writer.#edits;
      fs.syncDirSync(directory);
      const draft = draftCurrent(place, number);
      // From here on CURRENT may name it, whatever fails.
      mayBeNamed = true;
      fs.renameSync(draft, `${directory}/${CURRENT_NAME}`);
      fs.syncDirSync(directory);
    } catch (error) {
      try {
        writer.closeSync();
      } finally {
        if (!mayBeNamed) removeUnnamed(fs, filePath(directory, number, "manifest"));
      }
      throw error;
    }
    return writer;
  }

  /** Size of the file. */
  get bytes(): number {
    return this.#log.bytes;
  }

  /** Names the open file to a sync job. */
  get token(): number {
    return this.#log.token;
  }

  /** Number of edits written so far. */
  get edits(): number {
    return this.#edits;
  }

  /** Appends an edit; handed to the operating system when this returns, durable after a sync. */
  appendSync(edit: VersionEdit): void {
    const record = this.#record;
    record.length = 0;
    record.u8(EDIT_CLASS);
    record.u32(this.#previous);
    encodeEdit(record, edit);
    const covered = record.bytes.subarray(0, record.length);
    this.#log.appendSync([covered], [], this.#edits + 1, 1, this.#durable);
    this.#previous = contentHash(record.bytes, 0, record.length);
    this.#edits++;
  }

  /** Makes all edits durable, on this thread. */
  syncSync(): void {
    this.#log.syncSync();
    this.#durable = this.#edits;
  }

  /** Tells the writer that a sync made the first `edits` edits durable. */
  noteDurable(edits: number): void {
    if (edits > this.#durable) this.#durable = edits;
  }

  closeSync(): void {
    this.#log.closeSync();
  }
}

/** Removes a manifest that nothing names: whoever tries again and again would leave one each time. */
function removeUnnamed(fs: FileSystem, path: string): void {
  try {
    fs.unlinkSync(path);
  } catch {
    // It is an orphan for the next open.
  }
}

/** Writes what is to be CURRENT to a draft, durable but for its name, and returns its path. */
function draftCurrent(place: ManifestPlace, number: number): string {
  const { fs, directory } = place;
  const tmp = `${directory}/${CURRENT_TMP_NAME}`;
  if (fs.existsSync(tmp)) fs.unlinkSync(tmp);
  const file = fs.openSync(tmp, "create");
  try {
    const header = encodeFileHeader({
      type: FileType.current,
      databaseUuid: place.identity.databaseUuid,
      uid: drawUid(place.random),
      number,
    });
    file.writeSync(header, 0);
    file.syncSync();
  } finally {
    file.closeSync();
  }
  return tmp;
}

/** What the manifest says. */
export interface ManifestState {
  readonly number: number;
  readonly identity: Identity;
  readonly version: Version;
  readonly nextNumber: number;
  readonly lastSeq: number;
  readonly logs: ReadonlyMap<number, LogValidity>;
  /** Logs with a lower number count only if `logs` lists them. */
  readonly logFloor: number;
  /** It was made under the running kernel: no power was lost since. */
  readonly sameBoot: boolean;
  readonly voids: readonly VoidRange[];
  /** Set when the last record is a clean close. */
  readonly clean: CleanClose | undefined;
  /** A sync failed since: logs may lack what was never durable, though no power was lost. */
  readonly syncFailed: boolean;
}

/** Returns the number of the manifest in force, or undefined when there is no CURRENT. */
function readCurrent(
  fs: FileSystem,
  directory: string,
): { number: number; databaseUuid: Uint8Array } | undefined {
  const path = `${directory}/${CURRENT_NAME}`;
  if (!fs.existsSync(path)) return undefined;
  const file = fs.openSync(path, "read");
  try {
    const bytes = new Uint8Array(FILE_HEADER_BYTES + 1);
    const count = file.readSync(bytes, 0);
    const header = decodeFileHeader(bytes.subarray(0, count), path);
    if (header.type !== FileType.current) throw corruption(path, 4, "not a CURRENT file");
    if (count > FILE_HEADER_BYTES)
      throw corruption(path, FILE_HEADER_BYTES, "bytes behind the end");
    return { number: header.number, databaseUuid: header.databaseUuid };
  } finally {
    file.closeSync();
  }
}

/** Whether CURRENT names the manifest `number`, as far as it can be read. */
export function isInForce(fs: FileSystem, directory: string, number: number): boolean {
  try {
    return readCurrent(fs, directory)?.number === number;
  } catch {
    return false;
  }
}

/** Reads the manifest in force. Undefined when there is no CURRENT. Changes nothing. */
export function readManifest(fs: FileSystem, directory: string): ManifestState | undefined {
  const current = readCurrent(fs, directory);
  if (current === undefined) return undefined;
  const path = filePath(directory, current.number, "manifest");
  if (!fs.existsSync(path)) throw corruption(path, 0, "CURRENT names a manifest that is missing");
  const log = readLog(fs, path);
  try {
    const { header } = log;
    if (
      header.type !== FileType.manifest ||
      header.number !== current.number ||
      !Buffer.from(header.databaseUuid).equals(current.databaseUuid)
    ) {
      throw corruption(path, 0, "the file is not the manifest that CURRENT names");
    }
    const preamble = new ByteReader(log.preamble, path, FILE_HEADER_BYTES);
    const identity = { databaseUuid: header.databaseUuid, hashSeed: preamble.u32() };
    const sameBoot = Buffer.from(preamble.blob()).toString() === fs.bootId();
    let version = emptyVersion();
    let last: VersionEdit | undefined;
    let syncFailed = false;
    let logFloor = 0;
    let previous = 0;
    let lastStamp = 0;
    const logs = new Map<number, LogValidity>();
    const voids: VoidRange[] = [];
    while (log.next()) {
      if (log.count === 0) continue;
      lastStamp = log.first;
      const reader = new ByteReader(log.bytes, path, log.offset, log.coveredStart, log.coveredEnd);
      const recordClass = reader.u8();
      if (reader.u32() !== previous) throw corruption(path, log.offset, "broken chain of edits");
      previous = contentHash(log.bytes, log.coveredStart, log.coveredEnd);
      if (recordClass >= SKIPPABLE_CLASS_MIN) continue;
      if (recordClass !== EDIT_CLASS) {
        throw new AuraError("AURA_UNSUPPORTED", `${path}: unknown record class ${recordClass}`);
      }
      last = decodeEdit(reader);
      syncFailed ||= last.syncFailed === true;
      logFloor = last.logFloor ?? logFloor;
      version = applyManifestEdit(version, last, path, log.offset);
      for (const entry of last.logs ?? []) logs.set(entry.number, entry);
      voids.push(...(last.voids ?? []));
    }
    const end = log.end!;
    if (end.kind !== "clean") log.scanOn();
    const torn = end.kind !== "clean";
    // A record is only referred to by later ones once it is durable, so a torn last one is harmless.
    const damaged = torn && (lastStamp < log.durableSeen || (sameBoot && end.kind === "bad"));
    if (last === undefined || damaged) {
      throw corruption(path, end.offset, last === undefined ? "no edit" : "damaged edit");
    }
    return {
      number: current.number,
      identity,
      version,
      nextNumber: last.nextNumber,
      lastSeq: last.lastSeq,
      logs,
      logFloor,
      sameBoot,
      voids,
      clean: torn ? undefined : last.clean,
      syncFailed,
    };
  } finally {
    log.closeSync();
  }
}

function applyManifestEdit(
  version: Version,
  edit: VersionEdit,
  path: string,
  offset: number,
): Version {
  try {
    return applyEdit(version, edit);
  } catch (cause) {
    if (hasCode(cause, "AURA_UNSUPPORTED")) throw cause;
    throw misfit(path, offset, cause);
  }
}

function misfit(file: string, offset: number, cause: unknown): AuraError {
  const message = `${file}: the edit at offset ${offset} does not fit`;
  return new AuraError("AURA_CORRUPTION", message, { cause, file, offset });
}
