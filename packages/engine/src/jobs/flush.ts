/**
 * Flush: writes a sealed memtable, read in place, into tables of level 0. With compression of
 * values, those that shrink move from their log to a new segment here, away from the writer's thread
 * (docs/rfcs/0004-value-compression.md).
 *
 * Before it returns, every log that holds values of the memtable is synced, the tables and the
 * segment are synced, and their names are durable: the edit that installs them may be written at
 * once.
 */
import type { JobContext } from "@aura/base";
import { AuraError, assert, compareBytes, isKnownTag, Kind } from "@aura/base";
import type { MemtableShare } from "@aura/memtable";
import { attachMemtable } from "@aura/memtable";
import { POINTER_BYTES, PointerReader, recordBytes } from "@aura/vlog";
import type { SegmentChange, SegmentSeal } from "../edit.ts";
import type { IoShare } from "../io-budget.ts";
import { fragmentRanges, type RangeTombstone } from "../range-fragmenter.ts";
import type { TableMeta } from "../version.ts";
import { BusyTime, type JobTimes } from "./busy-time.ts";
import { meteredFs } from "./metered-fs.ts";
import { CoverSweep, RangePieces } from "./range-drop.ts";
import { SegmentTally } from "./segment-tally.ts";
import { Survivors } from "./survivors.ts";
import type { TableOutputSettings } from "./table-output.ts";
import { OutputNumbers, TableOutput } from "./table-output.ts";
import { MOVER_SLICE_BYTES, type PackedValues, ValueMover } from "./value-mover.ts";

/** What a flush reads and how it writes. Structured-cloneable. */
export interface FlushInput {
  readonly memtable: MemtableShare;
  /** Its range tombstones. */
  readonly ranges: readonly RangeTombstone[];
  readonly output: TableOutputSettings;
  /** Sequence numbers of the open snapshots, ascending. */
  readonly snapshots: readonly number[];
  /** Open log files with values that no sync has covered. */
  readonly syncTokens: readonly number[];
  readonly io?: IoShare;
}

/** What a flush wrote. */
export interface FlushOutput extends JobTimes {
  readonly tables: TableMeta[];
  readonly segmentChanges: SegmentChange[];
  /** The segments that compressed values went to. */
  readonly segmentSeals: SegmentSeal[];
  readonly valuesPacked: PackedValues;
  readonly entriesRead: number;
  /** Records of values whose entry was dropped: overwritten or deleted in the same memtable. */
  readonly valueBytesDropped: number;
  readonly entriesWritten: number;
  readonly bytesWritten: number;
}

/** Entries between two slices. */
const SLICE_ENTRIES = 4096;

/** The job body. */
export function* flushJob(
  input: FlushInput,
  context: JobContext,
): Generator<void, FlushOutput, void> {
  const busy = new BusyTime(context);
  for (const token of input.syncTokens) busy.syncedIn(() => syncLog(context, token));
  const cursor = attachMemtable(input.memtable).cursor();
  const survivors = new Survivors(input.snapshots);
  const tally = new SegmentTally();
  const pointer = new PointerReader();
  const numbers = new OutputNumbers(input.output);
  const fs = meteredFs(context, input.io, busy);
  const output = new TableOutput(fs, input.output, numbers);
  let cover: CoverSweep | undefined;
  if (input.ranges.length > 0) {
    const fragments = fragmentRanges(input.ranges, input.snapshots);
    cover = new CoverSweep(fragments, input.snapshots);
    output.ranges = new RangePieces(fragments);
  }
  const mover = new ValueMover(fs, input.output, numbers, () => "vlog");
  let entriesRead = 0;
  let valueBytesDropped = 0;
  let sliceStart = 0;
  let previousBytes: Uint8Array = cursor.keyBytes;
  let previousStart = 0;
  let previousEnd = -1;
  let complete = false;
  try {
    for (cursor.first(); cursor.valid; cursor.next()) {
      const { keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd } = cursor;
      assert(isKnownTag(tag), "a memtable holds known kinds");
      // The arena does not move: the previous key can be compared in place.
      const newKey =
        previousEnd < 0 ||
        compareBytes(previousBytes, previousStart, previousEnd, keyBytes, keyStart, keyEnd) !== 0;
      previousBytes = keyBytes;
      previousStart = keyStart;
      previousEnd = keyEnd;
      const keep =
        survivors.keep(newKey, seq) && cover?.covers(keyBytes, keyStart, keyEnd, seq, tag) !== true;
      if (tag !== Kind.pointer) {
        if (keep)
          output.add(keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd);
      } else {
        assert(pointer.read(valueBytes, valueStart, valueEnd), "a pointer of 20 bytes");
        const bytes = recordBytes(keyEnd - keyStart, pointer.stored);
        tally.noteNew(pointer.file, "vlog", bytes);
        const moved = keep
          ? mover.shrink(pointer, keyBytes, keyStart, keyEnd, seq, tag)
          : undefined;
        if (!keep) {
          tally.noteDead(pointer.file, "vlog", bytes);
          valueBytesDropped += bytes;
        } else if (moved === undefined) {
          output.add(keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd);
          output.noteReference(pointer.file, bytes);
        } else {
          tally.noteDead(pointer.file, "vlog", bytes);
          tally.noteNew(moved, "seg", mover.bytes);
          output.add(keyBytes, keyStart, keyEnd, seq, tag, mover.pointer, 0, POINTER_BYTES);
          output.noteReference(moved, mover.bytes);
        }
      }
      if (keep && (!newKey || cover?.isHidden === true)) output.noteShadowed();
      if (++entriesRead % SLICE_ENTRIES === 0 || mover.readBytes - sliceStart > MOVER_SLICE_BYTES) {
        sliceStart = mover.readBytes;
        yield;
      }
    }
    const segmentSeals = mover.finishSync();
    const tables = output.finishSync();
    complete = true;
    return {
      tables,
      segmentChanges: tally.changes(),
      segmentSeals,
      valuesPacked: mover.packed,
      entriesRead,
      valueBytesDropped,
      entriesWritten: output.entryCount,
      bytesWritten: tables.reduce((sum, table) => sum + table.bytes, 0),
      ...busy.spent,
    };
  } finally {
    // Reached by a failure and by a cancelled job alike.
    if (!complete) {
      output.discardSync();
      mover.discardSync();
    }
    mover.closeSync();
  }
}

/** Throws AURA_UNKNOWN_OUTCOME: after a failed sync nothing is known of the pages behind it. */
function syncLog(context: JobContext, token: number): void {
  try {
    context.fs.syncTokenSync(token);
  } catch (cause) {
    throw syncFailed(cause);
  }
}

function syncFailed(cause: unknown): AuraError {
  const message = `a sync of a log with values failed: ${String(cause)}`;
  return new AuraError("AURA_UNKNOWN_OUTCOME", message, { cause });
}
