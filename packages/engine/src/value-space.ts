/**
 * The books of the value log, as far as a version has them: what files take, what tables refer to,
 * and where those tables stand. Pure, and computed once per version.
 *
 * Referenced is not live. A value that was overwritten stays referenced until a merge meets both
 * versions. Only the oldest run of the deepest level is sure to hold one version of each key at most
 * (but for those that snapshots saw); so what it refers to is told apart from the rest.
 */
import type { Run, SegmentMeta, TableMeta, Version } from "./version.ts";

/** Bytes of value files and of what is referred to in them. */
export interface ValueSpace {
  /** Files of sealed segments. */
  readonly fileBytes: number;
  /** Records in sealed segments that tables refer to. */
  readonly referencedBytes: number;
  /** Records that the bottom run refers to, and those that all other tables refer to. */
  readonly bottomBytes: number;
  readonly aboveBytes: number;
  /** Of `aboveBytes`, those of keys that were new when they came (new-keys.ts). */
  readonly aboveNewBytes: number;
  /** Deletes above the bottom run. */
  readonly aboveDeletes: number;
  /** Of the referenced records, about how many bytes only snapshots saw when the table was written. */
  readonly shadowedBytes: number;
  readonly bottomEntries: number;
  readonly tableBytes: number;
  /** Segments that tables of level 0 refer to. */
  readonly levelZero: ReadonlySet<number>;
}

const known = new WeakMap<Version, ValueSpace>();

/** Returns the books of a version. */
export function valueSpace(version: Version): ValueSpace {
  let space = known.get(version);
  if (space === undefined) {
    space = collect(version);
    known.set(version, space);
  }
  return space;
}

/** Returns the run whose versions of keys are the oldest; undefined in an empty tree. */
export function bottomRun(version: Version): Run | undefined {
  return version.levels.findLast(({ runs }) => runs.length > 0)?.runs.at(-1);
}

/** Returns the bytes of records that a table refers to. */
export function referencedBytes(table: TableMeta): number {
  return table.references.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Returns the bytes of a segment's records that tables refer to. */
export function liveBytesOf({ totalBytes, deadBytes }: SegmentMeta): number {
  return totalBytes - deadBytes;
}

function collect(version: Version): ValueSpace {
  let fileBytes = 0;
  let referenced = 0;
  for (const segment of version.segments.values()) {
    if (segment.fileBytes === 0) continue;
    fileBytes += segment.fileBytes;
    referenced += liveBytesOf(segment);
  }
  const bottom = bottomRun(version);
  const sums = {
    bottomBytes: 0,
    aboveBytes: 0,
    aboveNewBytes: 0,
    aboveDeletes: 0,
    bottomEntries: 0,
  };
  let shadowedBytes = 0;
  let tableBytes = 0;
  const levelZero = new Set<number>();
  for (const [level, { runs }] of version.levels.entries()) {
    for (const run of runs) {
      for (const table of run.tables) {
        const bytes = referencedBytes(table);
        tableBytes += table.bytes;
        shadowedBytes += (bytes * table.shadowedCount) / table.entryCount;
        if (level === 0) for (const { segment } of table.references) levelZero.add(segment);
        if (run === bottom) {
          sums.bottomBytes += bytes;
          sums.bottomEntries += table.entryCount;
        } else {
          sums.aboveBytes += bytes;
          sums.aboveNewBytes += Math.min(bytes, table.newKeyBytes ?? 0);
          sums.aboveDeletes += table.deleteCount;
        }
      }
    }
  }
  return { fileBytes, referencedBytes: referenced, ...sums, shadowedBytes, tableBytes, levelZero };
}
