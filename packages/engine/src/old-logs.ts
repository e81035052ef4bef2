/**
 * The logs of earlier processes: which of them may hold operations that are not in tables yet, and how
 * far each is to be read. What a later log, the manifest or a power loss says of one is applied here;
 * nothing is read but heads. Changes no file.
 */
import type { FileSystem } from "@aura/base";
import { type AuraError, corruption, FileType, hasCode } from "@aura/base";
import {
  FRAME_HEADER_BYTES,
  type LogReader,
  logStartMissing,
  logStartTorn,
  readLog,
} from "@aura/wal";
import { ByteReader } from "./byte-buffer.ts";
import type { LogValidity } from "./edit.ts";
import { filePath, parseFileName } from "./file-names.ts";
import type { StreamKind } from "./log-file.ts";
import type { LogPreamble } from "./log-preamble.ts";
import { decodePreamble } from "./log-preamble.ts";
import type { ManifestState } from "./manifest.ts";

/** A log of an earlier process. */
export interface OldLog extends LogValidity {
  readonly path: string;
  /** No operation of it counts. */
  readonly empty: boolean;
  /** It has values that groups of other logs name, and no groups. */
  readonly valuesAlone: boolean;
}

/** A log that is read. */
export interface OpenLog {
  readonly kind: StreamKind;
  readonly number: number;
  readonly reader: LogReader;
  readonly preamble: LogPreamble;
  /** On a frame that has not been taken yet. */
  ahead: boolean;
  /** Offset behind, and last sequence number of, the last frame that counts. */
  validBytes: number;
  lastSeq: number;
}

/** What became of the logs that are not open. */
export interface PassedLogs {
  readonly settled: OldLog[];
  /** Why logs could not be opened; undefined: one that cannot be ends the replay. */
  readonly unreadable: AuraError[] | undefined;
}

/** Opens the logs that may hold operations above the flushed sequence number. */
export function openLogs(
  fs: FileSystem,
  directory: string,
  state: ManifestState,
  { settled, unreadable }: PassedLogs,
): OpenLog[] {
  const found: { kind: StreamKind; number: number; path: string }[] = [];
  for (const name of fs.listSync(directory)) {
    const parsed = parseFileName(name);
    if (parsed === undefined || (parsed.kind !== "wal" && parsed.kind !== "vlog")) continue;
    const { kind, number } = parsed;
    found.push({ kind, number, path: filePath(directory, number, kind) });
  }
  const known = new Map<number, number>();
  for (const validity of state.logs.values()) known.set(validity.number, validity.validBytes);
  const { flushedSeq } = state.version;
  const open: OpenLog[] = [];
  try {
    for (const { kind, number, path } of found) {
      const validity = state.logs.get(number);
      // An earlier recovery was done with it; a power loss undid its removal.
      if (validity === undefined && number < state.logFloor) continue;
      const segment = kind === "vlog" ? state.version.segments.get(number) : undefined;
      const sealedSeq = Math.min(
        validity?.lastSeq ?? Number.MAX_SAFE_INTEGER,
        segment?.lastSeq ?? Number.MAX_SAFE_INTEGER,
      );
      if (sealedSeq <= flushedSeq) {
        const validBytes = validity?.validBytes ?? segment?.fileBytes ?? 0;
        const lastSeq = sealedSeq;
        const valuesAlone = false; // whether it is, nobody asks any more
        settled.push({ kind, number, path, validBytes, lastSeq, empty: false, valuesAlone });
        continue;
      }
      try {
        const log = openLog(fs, { kind, number, path }, state, known.get(number));
        if (log !== undefined) open.push(log);
      } catch (error) {
        // Not one with values that tables refer to: repair knows what to do with those.
        const isNamed = state.version.segments.has(number);
        if (unreadable === undefined || isNamed || !hasCode(error, "AURA_CORRUPTION")) throw error;
        unreadable.push(error as AuraError);
      }
    }
    applyPoison(fs, open, state, known);
  } catch (error) {
    for (const log of open) log.reader.closeSync();
    throw error;
  }
  return open;
}

/** Reopens logs that a later log declared valid only up to a length. */
function applyPoison(
  fs: FileSystem,
  open: OpenLog[],
  state: ManifestState,
  known: ReadonlyMap<number, number>,
): void {
  const limits = new Map<number, number>();
  for (const log of open) {
    for (const poisoned of log.preamble.poisoned) limits.set(poisoned.number, poisoned.validBytes);
  }
  open.forEach((log, i) => {
    const limit = limits.get(log.number);
    if (limit === undefined || known.has(log.number) || limit >= log.reader.fileBytes) return;
    log.reader.closeSync();
    const { kind, number } = log;
    const again = openLog(fs, { kind, number, path: log.reader.path }, state, limit);
    if (again === undefined)
      throw corruption(log.reader.path, 0, "the log changed while it was read");
    open[i] = again;
  });
}

/** Opens one log, up to `validBytes` if that is known. Returns undefined when nothing was ever in it. */
export function openLog(
  fs: FileSystem,
  place: { kind: StreamKind; number: number; path: string },
  state: ManifestState,
  validBytes: number | undefined,
): OpenLog | undefined {
  const { kind, number, path } = place;
  let reader: LogReader;
  try {
    reader = readLog(fs, path, validBytes === undefined ? {} : { validBytes });
  } catch (error) {
    // A log whose creation no sync covered may be cut off in its header, or, after a power loss, have
    // anything there: nothing is in it.
    if (!hasCode(error, "AURA_CORRUPTION") || validBytes !== undefined) throw error;
    if (logStartMissing(fs, path)) return undefined;
    const { databaseUuid } = state.identity;
    if (mayBeTorn(state, number) && logStartTorn(fs, path, databaseUuid)) return undefined;
    throw error;
  }
  try {
    const { header } = reader;
    const type = kind === "wal" ? FileType.wal : FileType.valueLog;
    const ours = Buffer.from(header.databaseUuid).equals(state.identity.databaseUuid);
    if (header.type !== type || header.number !== number || !ours) {
      throw corruption(path, 0, "the file is not the log that its name says");
    }
    const preamble = decodePreamble(new ByteReader(reader.preamble, path, 0));
    return {
      kind,
      number,
      reader,
      preamble,
      ahead: false,
      validBytes: frameEnd(reader),
      lastSeq: preamble.createdAtSeq,
    };
  } catch (error) {
    reader.closeSync();
    throw error;
  }
}

/** Whether power was lost since a log was made, and nothing vouches for it. */
function mayBeTorn(state: ManifestState, number: number): boolean {
  return !state.sameBoot && state.clean === undefined && !state.version.segments.has(number);
}

/** Offset in the file behind the current frame. */
export function frameEnd(reader: LogReader): number {
  return reader.offset + FRAME_HEADER_BYTES + (reader.attachedEnd - reader.coveredStart);
}
