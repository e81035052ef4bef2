/**
 * Replay: reads the logs of earlier processes into memtables, in sequence order, and decides where
 * the history ends and whether that end is a torn tail or damage.
 *
 * Logs of both streams are merged by sequence number. The history ends at the first number that is
 * missing and not void. What ends it is a torn tail only if nothing says that more was durable:
 *
 * - a durable watermark (in any frame that verifies, also behind a bad one) above the end: damage;
 * - all logs made under the running kernel (no power was lost since): only a last frame is torn that
 *   the file cuts off, or that ends in zeros filled ahead of it; anything else is damage;
 * - a clean close promised exact files and a last sequence number: any difference is damage.
 *
 * Damage refuses the open (AURA_CORRUPTION, file and offset), unless the caller asked to salvage.
 * Replay changes no file. It is idempotent: its result depends on the files alone.
 */
import type { FileSystem } from "@aura/base";
import { AuraError, corruption, FileType, hasCode, Kind } from "@aura/base";
import { POINTER_BYTES, RecordView } from "@aura/vlog";
import {
  FRAME_HEADER_BYTES,
  type LogReader,
  logStartMissing,
  logStartTorn,
  readLog,
} from "@aura/wal";
import { ByteReader } from "./byte-buffer.ts";
import type { LogValidity, VoidRange } from "./edit.ts";
import { FarValues } from "./far-values.ts";
import { fileName, filePath, parseFileName } from "./file-names.ts";
import type { StreamKind } from "./log-file.ts";
import type { LogPreamble } from "./log-preamble.ts";
import { decodePreamble } from "./log-preamble.ts";
import type { ManifestState } from "./manifest.ts";
import type { Memtables } from "./memtables.ts";
import { OperationReader } from "./operations.ts";
import { rangeBytesMax } from "./range-tombstones.ts";
import type { ResolvedSettings } from "./settings.ts";

/** A log of an earlier process. */
export interface OldLog extends LogValidity {
  readonly path: string;
  /** No operation of it counts. */
  readonly empty: boolean;
  /** It has values that groups of other logs name, and no groups. */
  readonly valuesAlone: boolean;
}

/** What replay found. */
export interface Replayed {
  readonly logs: readonly OldLog[];
  /** Logs that could not be read at all: passed over, to salvage the rest. */
  readonly damagedLogs: readonly string[];
  readonly voids: readonly VoidRange[];
  /** Highest sequence number that must not be given again. */
  readonly lastSeq: number;
  readonly operations: number;
  /** Set when the end of the history was cut: why, and how many sequence numbers are lost. */
  readonly cut: { readonly reason: string; readonly lostSeqs: number } | undefined;
}

interface OpenLog {
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

/** Replays the logs in `directory` into `memtables`. */
export function replayLogs(
  fs: FileSystem,
  directory: string,
  state: ManifestState,
  memtables: Memtables,
  mode: ResolvedSettings["wal"]["recovery"],
): Replayed {
  const settled: OldLog[] = [];
  const unreadable: AuraError[] = [];
  const passed = { settled, unreadable: mode === "salvage" ? unreadable : undefined };
  const open = openLogs(fs, directory, state, passed);
  const openNamed = (number: number): OpenLog | undefined => {
    const path = filePath(directory, number, "vlog");
    // It begins below the floor: a stream outlasted what raised that.
    return openLog(fs, { kind: "vlog", number, path }, state, undefined);
  };
  try {
    const far = new FarValues(fs, directory);
    const history = new History(state, { open, openNamed, far }, memtables);
    history.run();
    const cut = history.judge(fs, directory, mode, unreadable[0]);
    for (const log of open) {
      const { kind, number, validBytes, lastSeq, reader, preamble } = log;
      const { valuesAlone, createdAtSeq } = preamble;
      const isNamed = valuesAlone && state.version.segments.has(number);
      const empty = lastSeq === createdAtSeq && !isNamed;
      // Values whose group was never written, or of a stream that was not ended.
      if (empty && valuesAlone) continue;
      settled.push({ kind, number, validBytes, lastSeq, path: reader.path, empty, valuesAlone });
    }
    settled.sort((a, b) => a.number - b.number);
    return {
      logs: settled,
      damagedLogs: unreadable.map(({ file }) => file!),
      voids: history.voidsAfter(),
      lastSeq: history.maxSeen,
      operations: history.operations,
      cut,
    };
  } finally {
    for (const log of open) log.reader.closeSync();
  }
}

/** What became of the logs that are not open. */
interface PassedLogs {
  readonly settled: OldLog[];
  /** Why logs could not be opened; undefined: one that cannot be ends the replay. */
  readonly unreadable: AuraError[] | undefined;
}

/** Opens the logs that may hold operations above the flushed sequence number. */
function openLogs(
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

function openLog(
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

/** What a history is read from. */
interface HistoryLogs {
  /** Grows by what `openNamed` opens. */
  readonly open: OpenLog[];
  /** Opens a log of values alone that was passed over. */
  readonly openNamed: (number: number) => OpenLog | undefined;
  readonly far: FarValues;
}

/** The merge of all logs, and what it says about the end. */
class History {
  readonly #state: ManifestState;
  readonly #open: OpenLog[];
  readonly #openNamed: (number: number) => OpenLog | undefined;
  readonly #far: FarValues;
  readonly #memtables: Memtables;
  readonly #operationReader = new OperationReader();
  readonly #record = new RecordView();
  /** Logs of values alone that the frame checked last names. */
  readonly #farFiles = new Set<number>();
  readonly #voids: VoidRange[];
  #expected: number;
  operations = 0;
  maxSeen: number;
  #durableSeen: number;
  #gap: string | undefined;

  constructor(state: ManifestState, { open, openNamed, far }: HistoryLogs, memtables: Memtables) {
    this.#state = state;
    this.#open = open;
    this.#openNamed = openNamed;
    this.#far = far;
    this.#memtables = memtables;
    const vouching = vouchingLogs(open);
    this.#voids = [...state.voids, ...vouching.flatMap((log) => log.preamble.voids)];
    this.#voids.sort((a, b) => a.first - b.first);
    this.#expected = this.#skipVoids(state.version.flushedSeq + 1);
    this.maxSeen = Math.max(state.lastSeq, state.version.flushedSeq);
    this.#durableSeen = state.version.flushedSeq;
    for (const log of vouching) this.maxSeen = Math.max(this.maxSeen, log.preamble.createdAtSeq);
    for (const range of this.#voids) this.maxSeen = Math.max(this.maxSeen, range.last);
  }

  /** The logs with groups. */
  get #histories(): OpenLog[] {
    return this.#open.filter((log) => !log.preamble.valuesAlone);
  }

  /** The last sequence number of the history that was recovered. */
  get cutSeq(): number {
    return this.#expected - 1;
  }

  /** Reads until the history ends. */
  run(): void {
    try {
      this.#merge();
    } finally {
      this.#far.close();
    }
    this.#readOn();
  }

  #merge(): void {
    for (const log of this.#open) this.#advance(log);
    for (;;) {
      let next: OpenLog | undefined;
      for (const log of this.#open) {
        if (log.ahead && (next === undefined || log.reader.first < next.reader.first)) next = log;
      }
      if (next === undefined) break;
      if (!this.#take(next)) break;
      this.#advance(next);
    }
  }

  /** Decides what the end is. Throws AURA_CORRUPTION for damage, unless it is to be salvaged. */
  judge(
    fs: FileSystem,
    directory: string,
    mode: ResolvedSettings["wal"]["recovery"],
    unreadable: AuraError | undefined,
  ): Replayed["cut"] {
    const damage = unreadable ?? this.#damage(fs, directory, mode);
    if (damage !== undefined && mode !== "salvage") throw damage;
    const torn = this.#tornEnd();
    const lostSeqs = this.maxSeen - this.cutSeq;
    if (torn === undefined && lostSeqs <= 0 && unreadable === undefined) return undefined;
    const reason = damage?.message ?? torn ?? "later sequence numbers were given";
    if (mode === "absolute") {
      throw new AuraError("AURA_CORRUPTION", `the history is cut (${reason}); recovery: absolute`, {
        ...(damage === undefined ? {} : { cause: damage }),
      });
    }
    return { reason, lostSeqs: Math.max(0, lostSeqs) };
  }

  /** Void ranges from now on: those that still matter, and what was lost at the end. */
  voidsAfter(): VoidRange[] {
    const { flushedSeq } = this.#state.version;
    const voids: VoidRange[] = [];
    for (const range of this.#voids) {
      if (range.last <= flushedSeq || range.first > this.cutSeq) continue;
      if (voids.some((other) => other.first === range.first && other.last === range.last)) continue;
      voids.push(range);
    }
    if (this.maxSeen > this.cutSeq) voids.push({ first: this.cutSeq + 1, last: this.maxSeen });
    return voids;
  }

  /** Moves a log to its next frame with operations above the flushed sequence number. */
  #advance(log: OpenLog): void {
    const { reader } = log;
    log.ahead = false;
    while (reader.next()) {
      if (reader.count === 0) {
        if (this.#gap === undefined) log.validBytes = frameEnd(reader);
        continue;
      }
      const last = reader.first + reader.count - 1;
      if (last > this.maxSeen) this.maxSeen = last;
      if (last > this.#state.version.flushedSeq) {
        log.ahead = true;
        return;
      }
      log.validBytes = frameEnd(reader);
      log.lastSeq = last;
    }
    if (log.preamble.valuesAlone) log.validBytes = reader.end!.offset;
  }

  /** Applies the frame that a log stands on. Returns false when the history ends before it. */
  #take(log: OpenLog): boolean {
    const { reader } = log;
    if (reader.first > this.#expected) {
      this.#gap = `sequence number ${this.#expected} is missing`;
      return false;
    }
    if (reader.first < this.#expected) {
      throw corruption(reader.path, reader.offset, "a group repeats sequence numbers");
    }
    const room = this.#check(log);
    if (room < 0) {
      reader.reject("a value fails its check");
      log.ahead = false;
      return false;
    }
    this.#memtables.makeRoom(room);
    const count = this.#memtables.apply(
      reader.bytes,
      reader.coveredStart,
      reader.coveredEnd,
      reader.first,
      log.number,
      attachedPlace(reader),
    );
    if (count !== reader.count) {
      throw corruption(reader.path, reader.offset, "a group with another number of operations");
    }
    this.operations += count;
    log.validBytes = frameEnd(reader);
    log.lastSeq = reader.first + count - 1;
    if (this.#farFiles.size > 0) {
      for (const file of this.#farFiles) this.#noteNamed(file, log.lastSeq);
    }
    this.#expected = this.#skipVoids(log.lastSeq + 1);
    return true;
  }

  /** Notes that a group which ends with `seq` has a value in the log `file`. */
  #noteNamed(file: number, seq: number): void {
    let log = this.#open.find(({ number }) => number === file);
    if (log === undefined) {
      log = this.#openNamed(file);
      if (log === undefined) return;
      this.#open.push(log);
      this.#advance(log);
    }
    log.lastSeq = seq;
  }

  /** Verifies the separated values of a frame. Returns the memtable bytes it needs, or -1. */
  #check(log: OpenLog): number {
    const { reader } = log;
    const operations = this.#operationReader;
    const { table } = this.#memtables.active;
    operations.reset(
      reader.bytes,
      reader.coveredStart,
      reader.coveredEnd,
      reader.path,
      reader.offset,
    );
    const attachedOffset = attachedPlace(reader);
    if (this.#farFiles.size > 0) this.#farFiles.clear();
    let room = 0;
    while (operations.next()) {
      const keyLength = operations.keyEnd - operations.keyStart;
      if (operations.tag === Kind.rangeDelete) {
        room += rangeBytesMax(keyLength, operations.rangeEnd.length);
        continue;
      }
      if (operations.tag !== Kind.pointer) {
        const value =
          operations.tag === Kind.value ? operations.valueEnd - operations.valueStart : 0;
        room += table.entryBytesMax(keyLength, value);
        continue;
      }
      room += table.entryBytesMax(keyLength, POINTER_BYTES);
      if (operations.file !== 0) {
        if (!this.#far.isSound(operations, reader.bytes)) return -1;
        this.#farFiles.add(operations.file);
        continue;
      }
      const at = reader.attachedStart + operations.offset;
      const place = attachedOffset + operations.offset;
      if (at >= reader.attachedEnd) return -1;
      const { uid } = reader.header;
      if (!this.#record.read(reader.bytes, at, reader.attachedEnd, uid, place)) return -1;
      const sameKey = this.#record.keyEnd - this.#record.keyStart === keyLength;
      if (!sameKey || this.#record.stored !== operations.stored) return -1;
    }
    return room;
  }

  /** After the end: gathers what the rest of the logs says. */
  #readOn(): void {
    for (const log of this.#open) {
      const { reader } = log;
      while (log.ahead || reader.next()) {
        log.ahead = false;
        if (reader.count === 0) continue;
        this.maxSeen = Math.max(this.maxSeen, reader.first + reader.count - 1);
      }
      const end = reader.end!;
      // What stands behind the values that groups name is no history.
      if (log.preamble.valuesAlone) continue;
      if (end.kind !== "clean") reader.scanOn();
      for (const frame of [end.frame, reader.laterFrame]) {
        if (frame === undefined || frame.count === 0) continue;
        this.maxSeen = Math.max(this.maxSeen, frame.first + frame.count - 1);
      }
      this.#durableSeen = Math.max(this.#durableSeen, reader.durableSeen);
    }
  }

  #damage(
    fs: FileSystem,
    directory: string,
    mode: ResolvedSettings["wal"]["recovery"],
  ): AuraError | undefined {
    const { clean, version } = this.#state;
    const at = this.#endPlace();
    if (clean !== undefined) {
      for (const { name, bytes } of clean.files) {
        const path = `${directory}/${name}`;
        if (!fs.existsSync(path)) return corruption(path, 0, "missing after a clean close");
        const actual = fs.fileBytesSync(path);
        if (actual !== bytes) return corruption(path, Math.min(actual, bytes), "wrong length");
      }
      if (this.cutSeq < clean.lastSeq || this.#tornEnd() !== undefined) {
        return corruption(at.path, at.offset, "damage after a clean close");
      }
    }
    if (this.#durableSeen > this.cutSeq) {
      const what = `history up to ${this.#durableSeen} was durable, but ends at ${this.cutSeq}`;
      return corruption(at.path, at.offset, what);
    }
    const bootId = fs.bootId();
    const sameBoot =
      !this.#state.syncFailed && this.#open.every((log) => log.preamble.bootId === bootId);
    if (this.#open.length === 0 || (!sameBoot && mode !== "tolerate-tail")) return undefined;
    // Without a power loss only what was not written whole is torn; with one, any last frame may be.
    const isTorn = ({ reader }: OpenLog): boolean =>
      reader.cutOff || (!sameBoot && reader.end?.kind === "bad" && reader.laterFrame === undefined);
    const cutOff = this.#histories.filter(isTorn);
    const bad = this.#histories.some((log) => log.reader.end?.kind === "bad" && !isTorn(log));
    if (bad || this.#gap !== undefined || cutOff.length > 1) {
      const why = sameBoot
        ? "damaged, though no power was lost since it was written"
        : "more than a last frame is torn; recovery: tolerate-tail";
      return corruption(at.path, at.offset, why);
    }
    // A cut-off last frame may carry the numbers behind the end; nothing else may.
    let highest = Math.max(version.flushedSeq, this.cutSeq);
    for (const log of cutOff) {
      const frame = log.reader.end?.frame;
      if (frame !== undefined) highest = Math.max(highest, frame.first + frame.count - 1);
    }
    if (this.maxSeen > highest)
      return corruption(at.path, at.offset, "the end of a log is missing");
    return undefined;
  }

  /** Returns why the history does not end with a whole frame, or undefined. */
  #tornEnd(): string | undefined {
    if (this.#gap !== undefined) return this.#gap;
    const vouched = this.#state.clean?.files;
    for (const log of this.#histories) {
      // A clean close names the files that count. Another one is a leftover: its removal failed.
      const name = fileName(log.number, log.kind);
      if (vouched !== undefined && !vouched.some((file) => file.name === name)) continue;
      const end = log.reader.end!;
      const holed = end.kind === "zeros" && log.reader.laterFrame !== undefined;
      if (end.kind === "bad" || end.kind === "truncated" || holed) {
        return `${log.reader.path}: ${end.reason} at offset ${end.offset}`;
      }
    }
    return undefined;
  }

  #endPlace(): { path: string; offset: number } {
    const logs = this.#histories;
    const log =
      logs.find((candidate) => candidate.reader.end?.kind === "bad") ??
      logs.find((candidate) => candidate.reader.end?.kind === "truncated") ??
      logs.at(-1);
    return { path: log?.reader.path ?? "log", offset: log?.reader.end?.offset ?? 0 };
  }

  #skipVoids(seq: number): number {
    if (this.#voids.length === 0) return seq;
    let next = seq;
    for (const range of this.#voids) {
      if (range.first <= next && next <= range.last) next = range.last + 1;
    }
    return next;
  }
}

/**
 * Returns the logs whose preamble tells which sequence numbers were given. One that was made to void a
 * failed group, and could not be made durable, does not: the group was cut off and its numbers were
 * given again, so that the logs made after it say that fewer had been given.
 */
function vouchingLogs(open: readonly OpenLog[]): OpenLog[] {
  let least = Number.POSITIVE_INFINITY;
  const newestFirst = [...open].sort((a, b) => b.number - a.number);
  return newestFirst.filter(({ preamble }) => {
    least = Math.min(least, preamble.createdAtSeq);
    return preamble.createdAtSeq === least;
  });
}

/** Offset in the file of the current frame's attached part. */
function attachedPlace(reader: LogReader): number {
  return reader.offset + FRAME_HEADER_BYTES + (reader.attachedStart - reader.coveredStart);
}

/** Offset in the file behind the current frame. */
function frameEnd(reader: LogReader): number {
  return reader.offset + FRAME_HEADER_BYTES + (reader.attachedEnd - reader.coveredStart);
}
