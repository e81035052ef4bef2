/**
 * Replay: reads the logs of earlier processes into memtables, in sequence order, to the end of the
 * history; what that end is, history-end.ts decides.
 *
 * Logs of both streams are merged by sequence number. The history ends at the first number that is
 * missing and not void. Replay changes no file. It is idempotent: its result depends on the files
 * alone.
 */
import { type AuraError, corruption, type FileSystem, Kind } from "@aura/base";
import { POINTER_BYTES, RecordView } from "@aura/vlog";
import { FRAME_HEADER_BYTES, type LogReader } from "@aura/wal";
import type { VoidRange } from "./edit.ts";
import { FarValues } from "./far-values.ts";
import { filePath } from "./file-names.ts";
import { type HistoryCut, type HistoryEnd, judgeEnd } from "./history-end.ts";
import type { ManifestState } from "./manifest.ts";
import type { Memtables } from "./memtables.ts";
import { frameEnd, type OldLog, type OpenLog, openLog, openLogs } from "./old-logs.ts";
import { OperationReader } from "./operations.ts";
import { rangeBytesMax } from "./range-tombstones.ts";
import type { ResolvedSettings } from "./settings.ts";

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
  readonly cut: HistoryCut | undefined;
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
    const cut = judgeEnd(history.end, { fs, directory, mode, unreadable: unreadable[0] });
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

/** What a history is read from. */
interface HistoryLogs {
  /** Grows by what `openNamed` opens. */
  readonly open: OpenLog[];
  /** Opens a log of values alone that was passed over. */
  readonly openNamed: (number: number) => OpenLog | undefined;
  readonly far: FarValues;
}

/** The merge of all logs. */
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

  /** What is known of the end, once `run` has reached it. */
  get end(): HistoryEnd {
    return {
      state: this.#state,
      logs: this.#open,
      cutSeq: this.cutSeq,
      maxSeen: this.maxSeen,
      durableSeen: this.#durableSeen,
      gap: this.#gap,
    };
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
