/**
 * Flush: writes a sealed memtable, read in place, into tables of level 0.
 *
 * Before it returns, every log that holds values of the memtable is synced, the tables are synced,
 * and their names are durable: the edit that installs them may be written at once.
 */
import type { JobContext } from "@aura/base";
import { AuraError, assert, compareBytes, isKnownTag, Kind } from "@aura/base";
import type { MemtableShare } from "@aura/memtable";
import { attachMemtable } from "@aura/memtable";
import { PointerReader, recordBytes } from "@aura/vlog";
import type { SegmentChange } from "../edit.ts";
import type { TableMeta } from "../version.ts";
import { SegmentTally } from "./segment-tally.ts";
import { Survivors } from "./survivors.ts";
import type { TableOutputSettings } from "./table-output.ts";
import { OutputNumbers, TableOutput } from "./table-output.ts";

/** What a flush reads and how it writes. Structured-cloneable. */
export interface FlushInput {
  readonly memtable: MemtableShare;
  readonly output: TableOutputSettings;
  /** Sequence numbers of the open snapshots, ascending. */
  readonly snapshots: readonly number[];
  /** Open log files with values that no sync has covered. */
  readonly syncTokens: readonly number[];
}

/** What a flush wrote. */
export interface FlushOutput {
  readonly tables: TableMeta[];
  readonly segmentChanges: SegmentChange[];
  readonly entriesRead: number;
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
  for (const token of input.syncTokens) syncLog(context, token);
  const cursor = attachMemtable(input.memtable).cursor();
  const survivors = new Survivors(input.snapshots);
  const tally = new SegmentTally();
  const pointer = new PointerReader();
  const output = new TableOutput(context.fs, input.output, new OutputNumbers(input.output));
  let entriesRead = 0;
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
      const keep = survivors.keep(newKey, seq);
      if (keep) output.add(keyBytes, keyStart, keyEnd, seq, tag, valueBytes, valueStart, valueEnd);
      if (keep && !newKey) output.noteShadowed();
      if (tag === Kind.pointer) {
        assert(pointer.read(valueBytes, valueStart, valueEnd), "a pointer of 20 bytes");
        const bytes = recordBytes(keyEnd - keyStart, pointer.stored);
        tally.noteNew(pointer.file, "vlog", bytes);
        if (keep) output.noteReference(pointer.file, bytes);
        else tally.noteDead(pointer.file, "vlog", bytes);
      }
      if (++entriesRead % SLICE_ENTRIES === 0) yield;
    }
    const tables = output.finishSync();
    complete = true;
    return {
      tables,
      segmentChanges: tally.changes(),
      entriesRead,
      entriesWritten: output.entryCount,
      bytesWritten: tables.reduce((sum, table) => sum + table.bytes, 0),
    };
  } finally {
    // Reached by a failure and by a cancelled job alike.
    if (!complete) output.discardSync();
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
