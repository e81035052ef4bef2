/**
 * Merge: writes the entries of several run slices, that somebody can still see, into new tables of
 * one level, and moves values out of draining segments on the way (at the same sequence number:
 * nothing is put again, so nothing can be resurrected).
 *
 * Before it returns, the new tables and the new segment are synced and their names are durable. It
 * verifies that entries read = entries written + entries dropped, and that it read as many entries
 * as the tables hold.
 */
import type { FileSystem, JobContext } from "@aura/base";
import {
  AuraError,
  assert,
  commonPrefix,
  compareBytes,
  isKnownTag,
  Kind,
  TRAILER_BYTES,
} from "@aura/base";
import type { LentBytes, ScanPlan, TableIdentity, TableScan } from "@aura/sst";
import { POINTER_BYTES, PointerReader, recordBytes } from "@aura/vlog";
import type { SegmentChange, SegmentSeal } from "../edit.ts";
import { filePath } from "../file-names.ts";
import type { IoShare } from "../io-budget.ts";
import type { Rewrite } from "../value-locality.ts";
import type { SegmentKind, TableMeta } from "../version.ts";
import { BusyTime, type JobTimes } from "./busy-time.ts";
import { meteredFs } from "./metered-fs.ts";
import { CoverSweep, keptFragments, RangePieces, readFragments } from "./range-drop.ts";
import { RunScan, type ScanRange } from "./run-scan.ts";
import { ScanMerge } from "./scan-merge.ts";
import { SegmentTally } from "./segment-tally.ts";
import { Survivors } from "./survivors.ts";
import type { TableOutputSettings } from "./table-output.ts";
import { OutputNumbers, TableOutput } from "./table-output.ts";
import { MOVER_SLICE_BYTES, type PackedValues, ValueMover } from "./value-mover.ts";

/** Key bounds of a table. */
export interface KeyBounds {
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
  /** `largestKey` is the first key behind the table. */
  readonly largestIsExclusive: boolean;
}

/** What a merge reads and how it writes. Structured-cloneable. */
export interface MergeInput {
  /** Run slices in read order: newest first. */
  readonly slices: readonly (readonly TableMeta[])[];
  /** The part of the keys that this job merges, when others merge the rest. */
  readonly range?: ScanRange;
  /** Tables that may hold older versions of the merged keys, per run, in key order. */
  readonly older: readonly (readonly KeyBounds[])[];
  readonly output: TableOutputSettings;
  /** Sequence numbers of the open snapshots, ascending. */
  readonly snapshots: readonly number[];
  /** Segments whose values move to a new one. */
  readonly drain: readonly number[];
  /** Values that move as well, for the sake of their order. */
  readonly rewrite?: Rewrite;
  /** Kinds of all segments that the input refers to. */
  readonly segmentKinds: readonly (readonly [number, SegmentKind])[];
  readonly io?: IoShare;
}

/** What a merge wrote. */
export interface MergeOutput extends JobTimes {
  readonly tables: TableMeta[];
  readonly segmentChanges: SegmentChange[];
  /** The segments that relocated values went to. */
  readonly segmentSeals: SegmentSeal[];
  readonly entriesRead: number;
  readonly entriesWritten: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly bytesRelocated: number;
  readonly valuesPacked: PackedValues;
}

/** Entries between two slices, about. */
const SLICE_ENTRIES = 4096;
/** All read windows together, and the least and most of one. */
const WINDOWS_BYTES = 8 << 20;
const WINDOW_BYTES_MIN = 128 << 10;
const WINDOW_BYTES_MAX = 1 << 20;
/** Where compressed blocks of one input are unpacked; larger ones get memory of their own. */
const UNPACKED_BYTES = 128 << 10;
/** Finished blocks on their way to the disk. */
const OUTPUT_BYTES = (1 << 20) + (64 << 10);

/** The job body. */
export function* mergeJob(
  input: MergeInput,
  context: JobContext,
): Generator<void, MergeOutput, void> {
  const busy = new BusyTime(context);
  const merge = new Merge(input, meteredFs(context, input.io, busy));
  let complete = false;
  try {
    merge.begin();
    let sliceEnd = SLICE_ENTRIES;
    let sliceMoved = 0;
    while (merge.step()) {
      if (merge.entriesRead < sliceEnd && merge.movedBytes - sliceMoved < MOVER_SLICE_BYTES)
        continue;
      sliceEnd = merge.entriesRead + SLICE_ENTRIES;
      sliceMoved = merge.movedBytes;
      yield;
    }
    const output = merge.finishSync();
    complete = true;
    return { ...output, ...busy.spent };
  } finally {
    // Reached by a failure and by a cancelled job alike.
    if (!complete) merge.discardSync();
    merge.closeSync();
  }
}

class Merge {
  entriesRead = 0;
  readonly #input: MergeInput;
  readonly #fs: FileSystem;
  readonly #memory: MergeMemory;
  readonly #runs: RunScan[];
  readonly #numbers: OutputNumbers;
  readonly #output: TableOutput;
  readonly #survivors: Survivors;
  readonly #tally = new SegmentTally();
  readonly #kinds: ReadonlyMap<number, SegmentKind>;
  readonly #drain: ReadonlySet<number>;
  readonly #older: OlderRuns;
  readonly #pointer = new PointerReader();
  readonly #mover: ValueMover;
  /** Key of the entry that is looked at by itself. */
  readonly #key = new Uint8Array(65536);
  readonly #lastKey = new Uint8Array(65536);
  /** What the range tombstones of the input cover; undefined when it has none. */
  #cover: CoverSweep | undefined;
  #order!: ScanMerge;
  #entriesDropped = 0;

  constructor(input: MergeInput, fs: FileSystem) {
    this.#input = input;
    this.#fs = fs;
    this.#memory = new MergeMemory(input.slices);
    this.#numbers = new OutputNumbers(input.output);
    this.#output = new TableOutput(fs, input.output, this.#numbers, this.#memory.output);
    this.#survivors = new Survivors(input.snapshots);
    const kinds = new Map(input.segmentKinds);
    this.#kinds = kinds;
    this.#mover = new ValueMover(fs, input.output, this.#numbers, (number) => kinds.get(number)!);
    this.#drain = new Set(input.drain);
    this.#older = new OlderRuns(input.older);
    const shared = sharedPrefix(input.slices);
    this.#runs = input.slices.map(
      (tables, i) =>
        new RunScan(fs, tables, {
          range: input.range ?? {},
          shared,
          window: this.#memory.windows[i]!,
          unpacked: this.#memory.unpacked[i]!,
          identityOf: (meta) => this.#identityOf(meta),
        }),
    );
  }

  /** Bytes of values read to be moved. */
  get movedBytes(): number {
    return this.#mover.readBytes;
  }

  /** Reads the range tombstones and the first blocks. */
  begin(): void {
    this.#beginRanges();
    this.#order = new ScanMerge(this.#runs, this.#input.snapshots.length === 0);
  }

  #beginRanges(): void {
    const { slices, snapshots, older, range = {} } = this.#input;
    const identityOf = (meta: TableMeta): TableIdentity => this.#identityOf(meta);
    const fragments = readFragments(this.#fs, slices.flat(), identityOf, snapshots, range);
    if (fragments === undefined) return;
    this.#cover = new CoverSweep(fragments, snapshots);
    this.#output.ranges = new RangePieces(keptFragments(fragments, snapshots, older));
  }

  /** Takes in the next entries. Returns false at the end. */
  step(): boolean {
    const order = this.#order;
    const { passedOver } = order;
    const hasMore = order.next();
    this.entriesRead += order.passedOver - passedOver;
    this.#entriesDropped += order.passedOver - passedOver;
    if (!hasMore) return false;
    if (order.plan.count > 0) this.#takePlan(order.plan);
    else {
      this.#takeOne(order.single, order.single.at);
      this.entriesRead++;
      order.takeSingle();
    }
    return true;
  }

  /** Takes in entries of which each is the newest of its key. */
  #takePlan(plan: ScanPlan): void {
    const output = this.#output;
    const written = output.entryCount;
    const survivors = this.#input.snapshots.length > 0 ? this.#survivors : undefined;
    const last = plan.count - 1;
    survivors?.keep(true, plan.scans[plan.inputs[last]!]!.seqAt(plan.tos[last]! - 1));
    if (this.#cover !== undefined && this.#isMet(this.#cover, plan)) {
      this.entriesRead += this.#takeUncovered(this.#cover, plan);
    } else if (!plan.hasPointers) {
      while (!plan.isTaken) output.addPlan(plan);
    } else if (this.#drain.size > 0 || this.#input.rewrite !== undefined) this.#takeOneByOne(plan);
    else {
      while (!plan.isTaken) {
        const { next, entry } = plan;
        output.addPlan(plan);
        this.#noteReferences(plan, next, entry);
      }
    }
    this.entriesRead += output.entryCount - written;
  }

  /** Returns whether range tombstones may cover entries of a plan. */
  #isMet(cover: CoverSweep, plan: ScanPlan): boolean {
    const first = plan.scans[plan.inputs[0]!]!;
    const firstEnd = first.copyKey(plan.froms[0]!, this.#key, 0);
    const range = plan.count - 1;
    const last = plan.scans[plan.inputs[range]!]!;
    const lastEnd = last.copyKey(plan.tos[range]! - 1, this.#lastKey, 0);
    return cover.meets(this.#key, 0, firstEnd, this.#lastKey, 0, lastEnd);
  }

  /** Takes in what no range tombstone covers; returns how many entries were dropped. */
  #takeUncovered(cover: CoverSweep, plan: ScanPlan): number {
    const key = this.#key;
    let dropped = 0;
    for (let range = 0; range < plan.count; range++) {
      const scan = plan.scans[plan.inputs[range]!]!;
      const to = plan.tos[range]!;
      for (let i = plan.froms[range]!; i < to; i++) {
        if (!cover.covers(key, 0, scan.copyKey(i, key, 0), scan.seqAt(i), scan.tagAt(i))) {
          this.#write(scan, i);
          if (cover.isHidden) this.#output.noteShadowed();
          continue;
        }
        dropped++;
        this.#drop(scan, i);
      }
    }
    return dropped;
  }

  /** Takes in entries whose values may have to move. */
  #takeOneByOne(plan: ScanPlan): void {
    for (let range = 0; range < plan.count; range++) {
      const scan = plan.scans[plan.inputs[range]!]!;
      const to = plan.tos[range]!;
      for (let i = plan.froms[range]!; i < to; i++) this.#write(scan, i);
    }
  }

  /** Counts the pointers of what was taken from entry `entry` of range `next` on. */
  #noteReferences(plan: ScanPlan, next: number, entry: number): void {
    let segment = -1;
    let bytes = 0;
    let count = 0;
    for (let range = next; range < plan.count; range++) {
      if (range > plan.next) break;
      const scan = plan.scans[plan.inputs[range]!]!;
      const from = range === next ? entry : plan.froms[range]!;
      const to = range === plan.next ? plan.entry : plan.tos[range]!;
      for (let i = from; i < to; i++) {
        if (scan.tagAt(i) !== Kind.pointer) continue;
        const file = this.#readPointer(scan, i);
        if (file !== segment) {
          if (count > 0) this.#output.noteReference(segment, bytes, count);
          this.#kindOf(file);
          segment = file;
          bytes = count = 0;
        }
        bytes += recordBytes(scan.keyBytesAt(i), this.#pointer.stored);
        count++;
      }
    }
    if (count > 0) this.#output.noteReference(segment, bytes, count);
  }

  /** Takes in one entry: keeps it if somebody can see it. */
  #takeOne(scan: TableScan, i: number): void {
    const { isNewKey } = this.#order;
    const tag = scan.tagAt(i);
    if (!isKnownTag(tag)) throw new AuraError("AURA_UNSUPPORTED", `entry of unknown kind ${tag}`);
    const keep =
      this.#survivors.keep(isNewKey, scan.seqAt(i)) &&
      !this.#isCovered(scan, i) &&
      !(tag === Kind.delete && this.#canGo(scan, i));
    if (!keep) {
      this.#drop(scan, i);
      return;
    }
    this.#write(scan, i);
    if (!isNewKey || this.#cover?.isHidden === true) this.#output.noteShadowed();
  }

  #isCovered(scan: TableScan, i: number): boolean {
    const cover = this.#cover;
    if (cover === undefined) return false;
    const end = scan.copyKey(i, this.#key, 0);
    return cover.covers(this.#key, 0, end, scan.seqAt(i), scan.tagAt(i));
  }

  /** Leaves an entry out, and notes that its value is dead. */
  #drop(scan: TableScan, i: number): void {
    this.#entriesDropped++;
    if (scan.tagAt(i) !== Kind.pointer) return;
    const file = this.#readPointer(scan, i);
    const bytes = recordBytes(scan.keyBytesAt(i), this.#pointer.stored);
    this.#tally.noteDead(file, this.#kindOf(file), bytes);
  }

  /** Writes one entry, its value to another segment if it has to move. */
  #write(scan: TableScan, i: number): void {
    const output = this.#output;
    const key = this.#key;
    const keyEnd = scan.copyKey(i, key, 0);
    const seq = scan.seqAt(i);
    const tag = scan.tagAt(i);
    const from = scan.rowStarts[i]! + TRAILER_BYTES;
    const to = scan.rowStarts[i + 1]!;
    if (tag !== Kind.pointer) {
      output.add(key, 0, keyEnd, seq, tag, scan.bytes, from, to);
      return;
    }
    const file = this.#readPointer(scan, i);
    const bytes = recordBytes(keyEnd, this.#pointer.stored);
    const kind = this.#kindOf(file);
    if (!this.#drain.has(file) && !this.#isRewritten(keyEnd)) {
      output.add(key, 0, keyEnd, seq, tag, scan.bytes, from, to);
      output.noteReference(file, bytes);
      return;
    }
    const mover = this.#mover;
    const segment = mover.move(this.#pointer, key, 0, keyEnd, seq, tag);
    output.add(key, 0, keyEnd, seq, tag, mover.pointer, 0, POINTER_BYTES);
    output.noteReference(segment, mover.bytes);
    this.#tally.noteDead(file, kind, bytes);
    this.#tally.noteNew(segment, "seg", mover.bytes);
  }

  /** Whether the value of the key that was copied last is to be written again. */
  #isRewritten(keyEnd: number): boolean {
    const { rewrite } = this.#input;
    if (rewrite === undefined || this.#mover.movedBytes >= rewrite.bytesMax) return false;
    const { from, to } = rewrite;
    return (
      compareBytes(this.#key, 0, keyEnd, from, 0, from.length) >= 0 &&
      compareBytes(this.#key, 0, keyEnd, to, 0, to.length) <= 0
    );
  }

  finishSync(): Omit<MergeOutput, keyof JobTimes> {
    const { range, slices } = this.#input;
    let entriesExpected = 0;
    let bytesRead = 0;
    for (const tables of slices) {
      for (const table of tables) {
        entriesExpected += table.entryCount;
        bytesRead += table.bytes;
      }
    }
    // Of the parts of a merge, the owner adds up what they read.
    if (range === undefined && this.entriesRead !== entriesExpected) {
      throw miscounted(entriesExpected, this.entriesRead);
    }
    const entriesWritten = this.#output.entryCount;
    assert(
      entriesWritten + this.#entriesDropped === this.entriesRead,
      "entries read are written or dropped",
    );
    const segmentSeals = this.#mover.finishSync();
    const tables = this.#output.finishSync();
    return {
      tables,
      segmentChanges: this.#tally.changes(),
      segmentSeals,
      entriesRead: this.entriesRead,
      entriesWritten,
      bytesRead,
      bytesWritten: tables.reduce((sum, table) => sum + table.bytes, 0),
      bytesRelocated: this.#mover.movedBytes,
      valuesPacked: this.#mover.packed,
    };
  }

  discardSync(): void {
    this.#output.discardSync();
    this.#mover.discardSync();
  }

  closeSync(): void {
    for (const run of this.#runs) run.closeSync();
    this.#mover.closeSync();
  }

  /** A tombstone goes when no snapshot sees beneath it and nothing older lies below. */
  #canGo(scan: TableScan, i: number): boolean {
    if (this.#survivors.stratum !== 0) return false;
    return !this.#older.mayHold(this.#key, 0, scan.copyKey(i, this.#key, 0));
  }

  /** Reads the pointer of an entry; returns its file. */
  #readPointer(scan: TableScan, i: number): number {
    const at = scan.rowStarts[i]! + TRAILER_BYTES;
    if (!this.#pointer.read(scan.bytes, at, scan.rowStarts[i + 1]!)) {
      throw new AuraError("AURA_CORRUPTION", "a table holds a pointer of the wrong size");
    }
    return this.#pointer.file;
  }

  #kindOf(file: number): SegmentKind {
    const kind = this.#kinds.get(file);
    if (kind !== undefined) return kind;
    throw new AuraError("AURA_CORRUPTION", `a table refers to unknown segment ${file}`);
  }

  #identityOf({ number, uid }: TableMeta): TableIdentity {
    const { directory, databaseUuid } = this.#input.output;
    return { path: filePath(directory, number, "sst"), number, uid, databaseUuid };
  }
}

/**
 * One array for all that a merge moves: read windows, unpacked blocks, blocks on their way out. What
 * moves inside one array moves faster than between two.
 */
class MergeMemory {
  readonly windows: readonly LentBytes[];
  readonly unpacked: readonly LentBytes[];
  readonly output: LentBytes;

  constructor(slices: readonly (readonly TableMeta[])[]) {
    const share = Math.floor(WINDOWS_BYTES / slices.length);
    const windowBytesMax = Math.min(WINDOW_BYTES_MAX, Math.max(WINDOW_BYTES_MIN, share));
    // Small tables are read at once, and need no more: a window is zeroed before it is used.
    const windowBytes = slices.map((tables) => {
      const longest = tables.reduce((most, table) => Math.max(most, table.bytes), 0);
      return Math.min(windowBytesMax, Math.max(WINDOW_BYTES_MIN, longest));
    });
    const windows = windowBytes.reduce((sum, one) => sum + one, 0);
    const bytes = new Uint8Array(windows + slices.length * UNPACKED_BYTES + OUTPUT_BYTES);
    let end = 0;
    const take = (length: number): LentBytes => {
      end += length;
      return { bytes, start: end - length, end };
    };
    this.windows = windowBytes.map(take);
    this.unpacked = slices.map(() => take(UNPACKED_BYTES));
    this.output = take(OUTPUT_BYTES);
  }
}

/** Returns what the keys of all tables begin with. */
function sharedPrefix(slices: readonly (readonly TableMeta[])[]): Uint8Array {
  let shared: Uint8Array | undefined;
  for (const tables of slices) {
    for (const { smallestKey, largestKey } of tables) {
      shared ??= smallestKey;
      for (const key of [smallestKey, largestKey]) {
        shared = shared.subarray(0, commonPrefix(shared, 0, shared.length, key, 0, key.length));
      }
    }
  }
  return (shared ?? new Uint8Array(0)).slice();
}

function miscounted(expected: number, actual: number): AuraError {
  const message = "a merge read another number of entries than its tables hold";
  return new AuraError("AURA_CORRUPTION", message, { expected, actual });
}

/** Answers, for ascending keys, whether an older run may hold a key. */
class OlderRuns {
  readonly #runs: readonly (readonly KeyBounds[])[];
  readonly #at: Uint32Array;

  constructor(runs: readonly (readonly KeyBounds[])[]) {
    this.#runs = runs;
    this.#at = new Uint32Array(runs.length);
  }

  mayHold(key: Uint8Array, start: number, end: number): boolean {
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs[i]!;
      let at = this.#at[i]!;
      while (at < run.length) {
        const largest = run[at]!.largestKey;
        if (compareBytes(largest, 0, largest.length, key, start, end) >= 0) break;
        at++;
      }
      this.#at[i] = at;
      if (at === run.length) continue;
      const smallest = run[at]!.smallestKey;
      if (compareBytes(smallest, 0, smallest.length, key, start, end) <= 0) return true;
    }
    return false;
  }
}
