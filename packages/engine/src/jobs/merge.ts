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
import { AuraError, assert, compareBytes, isKnownTag, Kind } from "@aura/base";
import { learnedIndex } from "@aura/learned-index";
import { BlockCache, Table } from "@aura/sst";
import { POINTER_BYTES, PointerReader, recordBytes } from "@aura/vlog";
import type { SegmentChange, SegmentSeal } from "../edit.ts";
import { filePath } from "../file-names.ts";
import { MergeCursor } from "../merge-cursor.ts";
import { RunCursor } from "../run-cursor.ts";
import type { SegmentKind, TableMeta } from "../version.ts";
import { SegmentTally } from "./segment-tally.ts";
import { Survivors } from "./survivors.ts";
import type { TableOutputSettings } from "./table-output.ts";
import { OutputNumbers, TableOutput } from "./table-output.ts";
import { MOVER_SLICE_BYTES, type PackedValues, ValueMover } from "./value-mover.ts";

/** Key bounds of a table, inclusive. */
export interface KeyBounds {
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
}

/** What a merge reads and how it writes. Structured-cloneable. */
export interface MergeInput {
  /** Run slices in read order: newest first. */
  readonly slices: readonly (readonly TableMeta[])[];
  /** Tables that may hold older versions of the merged keys, per run, in key order. */
  readonly older: readonly (readonly KeyBounds[])[];
  readonly output: TableOutputSettings;
  /** Sequence numbers of the open snapshots, ascending. */
  readonly snapshots: readonly number[];
  /** Segments whose values move to a new one. */
  readonly drain: readonly number[];
  /** Kinds of all segments that the input refers to. */
  readonly segmentKinds: readonly (readonly [number, SegmentKind])[];
}

/** What a merge wrote. */
export interface MergeOutput {
  readonly tables: TableMeta[];
  readonly segmentChanges: SegmentChange[];
  /** The segment that relocated values went to, if there were any. */
  readonly segmentSeal: SegmentSeal | undefined;
  readonly entriesRead: number;
  readonly entriesWritten: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly bytesRelocated: number;
  readonly valuesPacked: PackedValues;
}

const SLICE_ENTRIES = 2048;

/** The job body. */
export function* mergeJob(
  input: MergeInput,
  context: JobContext,
): Generator<void, MergeOutput, void> {
  const merge = new Merge(input, context.fs);
  let complete = false;
  try {
    const cursor = merge.cursor;
    let sinceSlice = 0;
    let sliceStart = 0;
    for (cursor.first(); cursor.valid; cursor.next()) {
      merge.step();
      if (++sinceSlice < SLICE_ENTRIES && merge.movedBytes - sliceStart < MOVER_SLICE_BYTES)
        continue;
      sinceSlice = 0;
      sliceStart = merge.movedBytes;
      yield;
    }
    // The end of a cursor that failed is not the end of the data.
    assert(!cursor.failed && !cursor.pending, "the merge read its input to the end");
    const output = merge.finishSync();
    complete = true;
    return output;
  } finally {
    // Reached by a failure and by a cancelled job alike.
    if (!complete) merge.discardSync();
    merge.closeSync();
  }
}

class Merge {
  readonly cursor: MergeCursor;
  readonly #input: MergeInput;
  readonly #fs: FileSystem;
  readonly #open = new Map<number, Table>();
  readonly #cache = new BlockCache({ capacityBytes: 0 });
  readonly #numbers: OutputNumbers;
  readonly #output: TableOutput;
  readonly #survivors: Survivors;
  readonly #tally = new SegmentTally();
  readonly #kinds: ReadonlyMap<number, SegmentKind>;
  readonly #drain: ReadonlySet<number>;
  readonly #older: OlderRuns;
  readonly #pointer = new PointerReader();
  readonly #mover: ValueMover;
  readonly #key = new Uint8Array(65536);
  #keyBytes = -1;
  #entriesRead = 0;
  #entriesDropped = 0;

  constructor(input: MergeInput, fs: FileSystem) {
    this.#input = input;
    this.#fs = fs;
    this.#numbers = new OutputNumbers(input.output);
    this.#output = new TableOutput(fs, input.output, this.#numbers);
    this.#survivors = new Survivors(input.snapshots);
    const kinds = new Map(input.segmentKinds);
    this.#kinds = kinds;
    this.#mover = new ValueMover(fs, input.output, this.#numbers, (number) => kinds.get(number)!);
    this.#drain = new Set(input.drain);
    this.#older = new OlderRuns(input.older);
    const open = (meta: TableMeta): Table => this.#table(meta);
    this.cursor = new MergeCursor(input.slices.map((tables) => new RunCursor(tables, open, true)));
  }

  /** Bytes of values read to be moved. */
  get movedBytes(): number {
    return this.#mover.readBytes;
  }

  /** Takes in the entry under the cursor. */
  step(): void {
    const { keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd } = this.cursor;
    if (!isKnownTag(tag)) throw new AuraError("AURA_UNSUPPORTED", `entry of unknown kind ${tag}`);
    this.#entriesRead++;
    const newKey = compareBytes(this.#key, 0, this.#keyBytes, keyBytes, keyStart, keyEnd) !== 0;
    if (newKey) {
      this.#key.set(keyBytes.subarray(keyStart, keyEnd));
      this.#keyBytes = keyEnd - keyStart;
    }
    const keep =
      this.#survivors.keep(newKey || this.#entriesRead === 1, seq) &&
      !(tag === Kind.delete && this.#canGo(keyBytes, keyStart, keyEnd));
    if (tag === Kind.pointer) this.#takePointer(keep);
    else if (keep) {
      this.#output.add(keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd);
    } else this.#entriesDropped++;
    if (keep && !newKey) this.#output.noteShadowed();
  }

  finishSync(): MergeOutput {
    let entriesExpected = 0;
    let bytesRead = 0;
    for (const tables of this.#input.slices) {
      for (const table of tables) {
        entriesExpected += table.entryCount;
        bytesRead += table.bytes;
      }
    }
    if (this.#entriesRead !== entriesExpected) {
      throw new AuraError(
        "AURA_CORRUPTION",
        "a merge read another number of entries than its tables hold",
        {
          expected: entriesExpected,
          actual: this.#entriesRead,
        },
      );
    }
    const entriesWritten = this.#output.entryCount;
    assert(
      entriesWritten + this.#entriesDropped === this.#entriesRead,
      "entries read are written or dropped",
    );
    const segmentSeal = this.#mover.finishSync();
    const tables = this.#output.finishSync();
    return {
      tables,
      segmentChanges: this.#tally.changes(),
      segmentSeal,
      entriesRead: this.#entriesRead,
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
    this.cursor.close();
    for (const table of this.#open.values()) table.closeSync();
    this.#mover.closeSync();
  }

  /** A tombstone goes when no snapshot sees beneath it and nothing older lies below. */
  #canGo(key: Uint8Array, start: number, end: number): boolean {
    return this.#survivors.stratum === 0 && !this.#older.mayHold(key, start, end);
  }

  #takePointer(keep: boolean): void {
    const { keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd } = this.cursor;
    const pointer = this.#pointer;
    if (!pointer.read(valueBytes, valueStart, valueEnd)) {
      throw new AuraError("AURA_CORRUPTION", "a table holds a pointer of the wrong size");
    }
    const bytes = recordBytes(keyEnd - keyStart, pointer.stored);
    const kind = this.#kinds.get(pointer.file);
    if (kind === undefined) {
      throw new AuraError("AURA_CORRUPTION", `a table refers to unknown segment ${pointer.file}`);
    }
    if (!keep) {
      this.#entriesDropped++;
      this.#tally.noteDead(pointer.file, kind, bytes);
      return;
    }
    if (!this.#drain.has(pointer.file)) {
      this.#output.add(keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd);
      this.#output.noteReference(pointer.file, bytes);
      return;
    }
    const mover = this.#mover;
    const segment = mover.move(pointer, keyBytes, keyStart, keyEnd, seq, tag);
    this.#output.add(keyBytes, keyStart, keyEnd, seq, tag, mover.pointer, 0, POINTER_BYTES);
    this.#output.noteReference(segment, mover.bytes);
    this.#tally.noteDead(pointer.file, kind, bytes);
    this.#tally.noteNew(segment, "seg", mover.bytes);
  }

  #table(meta: TableMeta): Table {
    let table = this.#open.get(meta.number);
    if (table === undefined) {
      const { directory, databaseUuid, hashSeed } = this.#input.output;
      table = Table.openSync(this.#fs, {
        path: filePath(directory, meta.number, "sst"),
        number: meta.number,
        uid: meta.uid,
        databaseUuid,
        hashSeed,
        indexFormats: [learnedIndex({ errorBlocks: 1 })],
        cache: this.#cache,
      });
      this.#open.set(meta.number, table);
    }
    return table;
  }
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
