/**
 * Verify: reads everything in a database directory and reports what is wrong. Changes nothing.
 *
 * Checked: the manifest and its chain, the logs (as recovery would read them), every table (blocks,
 * order, filter, index, counts, bounds, sequence numbers), the read order (along memtables, level 0
 * and the deeper runs the sequence numbers of a key only fall, those of range tombstones over it too), every pointer (its record is there,
 * verifies, and is of its key), and the count of garbage: referenced bytes = total - dead.
 */
import type { FileSystem } from "@aura/base";
import { AuraError, assert, compareBytes, Kind } from "@aura/base";
import type { RangeFragments } from "@aura/sst";
import { PointerReader, recordBytes, ValueReader } from "@aura/vlog";
import { filePath, parseFileName } from "./file-names.ts";
import type { ManifestState } from "./manifest.ts";
import { readManifest } from "./manifest.ts";
import type { Memtables } from "./memtables.ts";
import { replayLogs } from "./replay.ts";
import { RunCursor } from "./run-cursor.ts";
import { TableStore } from "./table-store.ts";
import { RangeOrder } from "./verify-ranges.ts";
import type { SegmentMeta, TableMeta, Version } from "./version.ts";

/** What verify found. */
export interface VerifyReport {
  readonly tables: number;
  readonly entries: number;
  readonly segments: number;
  /** Pointers followed. */
  readonly values: number;
  /** Operations in the logs that are not in tables yet. */
  readonly operationsInLogs: number;
  /** What is wrong, a sentence each; empty when nothing is. */
  readonly problems: readonly string[];
}

const OPEN_FILES = 64;

/** Verifies the database in `directory`. Precondition: it is locked by the caller. */
export function verifyDirectory(
  fs: FileSystem,
  directory: string,
  makeMemtables: (lastSeq: number) => Memtables,
): VerifyReport {
  const problems: string[] = [];
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  };
  const counts = { tables: 0, entries: 0, segments: 0, values: 0, operationsInLogs: 0 };
  const state = attempt(() => readManifest(fs, directory));
  if (state === undefined) {
    if (problems.length === 0) {
      throw new AuraError("AURA_NOT_FOUND", `${directory} holds no database`);
    }
    return { ...counts, problems };
  }
  const memtables = makeMemtables(state.version.flushedSeq);
  try {
    const replayed = attempt(() => replayLogs(fs, directory, state, memtables, "point-in-time"));
    counts.operationsInLogs = replayed?.operations ?? 0;
  } finally {
    memtables.close();
  }
  const check = new TreeCheck(fs, directory, state, problems);
  try {
    check.run();
  } finally {
    check.close();
  }
  counts.tables = check.tables;
  counts.entries = check.entries;
  counts.values = check.values;
  counts.segments = state.version.segments.size;
  return { ...counts, problems };
}

/** Walks the tree of one version. */
class TreeCheck {
  tables = 0;
  entries = 0;
  values = 0;
  readonly #fs: FileSystem;
  readonly #directory: string;
  readonly #version: Version;
  readonly #problems: string[];
  readonly #tables: TableStore;
  readonly #valueReader: ValueReader;
  readonly #pointer = new PointerReader();
  readonly #referenced = new Map<number, { count: number; bytes: number }>();

  constructor(fs: FileSystem, directory: string, state: ManifestState, problems: string[]) {
    this.#fs = fs;
    this.#directory = directory;
    this.#version = state.version;
    this.#problems = problems;
    this.#tables = new TableStore({
      fs,
      directory,
      identity: state.identity,
      maxOpenFiles: OPEN_FILES,
      cacheBytes: 0,
    });
    const kinds = state.version.segments;
    this.#valueReader = new ValueReader(
      fs,
      (number) => filePath(directory, number, kinds.get(number)?.kind ?? "vlog"),
      OPEN_FILES,
    );
  }

  run(): void {
    for (const table of this.#version.tables()) this.#attempt(() => this.#checkTable(table));
    this.#attempt(() => this.#checkReadOrder());
    for (const segment of this.#version.segments.values()) this.#checkSegment(segment);
    for (const number of this.#referenced.keys()) {
      if (!this.#version.segments.has(number)) {
        this.#problems.push(`segment ${number} is referred to but not in the manifest`);
      }
    }
  }

  close(): void {
    this.#tables.closeAll();
    this.#valueReader.closeSync();
  }

  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#problems.push(error instanceof Error ? error.message : String(error));
    }
  }

  #checkTable(meta: TableMeta): void {
    this.tables++;
    const bytes = this.#fs.fileBytesSync(filePath(this.#directory, meta.number, "sst"));
    if (bytes !== meta.bytes) {
      this.#problems.push(`table ${meta.number}: ${bytes} bytes instead of ${meta.bytes}`);
    }
    this.#tables.get(meta).verifySync();
    const cursor = this.#cursor([meta]);
    const references = new Map<number, { count: number; bytes: number }>();
    let entries = 0;
    try {
      for (cursor.first(); cursor.valid; cursor.next()) {
        entries++;
        if (cursor.seq < meta.smallestSeq || cursor.seq > meta.largestSeq) {
          throw new AuraError("AURA_CORRUPTION", `table ${meta.number}: sequence out of its range`);
        }
        if (cursor.tag === Kind.pointer) this.#follow(cursor, references);
      }
      assert(!cursor.failed && !cursor.pending, "the table was read to its end");
    } finally {
      cursor.close();
    }
    this.entries += entries;
    if (entries !== meta.entryCount) {
      this.#problems.push(`table ${meta.number}: ${entries} entries instead of ${meta.entryCount}`);
    }
    for (const { segment, count, bytes } of meta.references) {
      const found = references.get(segment);
      if (found?.count !== count || found.bytes !== bytes) {
        this.#problems.push(`table ${meta.number}: its references to segment ${segment} differ`);
      }
      references.delete(segment);
    }
    if (references.size > 0) this.#problems.push(`table ${meta.number}: references not declared`);
  }

  #cursor(tables: readonly TableMeta[]): RunCursor {
    const store = this.#tables;
    return new RunCursor(
      tables,
      (table) => store.hold(table),
      { mayRead: true },
      (table) => store.release(table),
    );
  }

  #follow(cursor: RunCursor, references: Map<number, { count: number; bytes: number }>): void {
    const pointer = this.#pointer;
    const { keyBytes, keyStart, keyEnd } = cursor;
    assert(pointer.read(cursor.valueBytes, cursor.valueStart, cursor.valueEnd), "a pointer");
    const bytes = recordBytes(keyEnd - keyStart, pointer.stored);
    for (const sums of [references, this.#referenced]) {
      const sum = sums.get(pointer.file) ?? { count: 0, bytes: 0 };
      sum.count++;
      sum.bytes += bytes;
      sums.set(pointer.file, sum);
    }
    this.values++;
    const { file, offset, stored, raw, codec } = pointer;
    this.#attempt(() => {
      this.#valueReader.readSync(file, offset, stored, raw, codec, keyBytes, keyStart, keyEnd);
    });
  }

  /** Merges all runs and checks that newer versions come from runs that are read earlier. */
  #checkReadOrder(): void {
    const cursors: RunCursor[] = [];
    const ranges: RangeFragments[][] = [];
    try {
      for (const level of this.#version.levels) {
        for (const run of level.runs) {
          cursors.push(this.#cursor(run.tables));
          ranges.push(run.tables.flatMap((table) => this.#tables.readRanges(table) ?? []));
        }
      }
      this.#checkMerged(cursors, new RangeOrder(ranges));
    } finally {
      for (const cursor of cursors) cursor.close();
    }
  }

  #checkMerged(cursors: readonly RunCursor[], order: RangeOrder): void {
    order.check();
    for (const cursor of cursors) cursor.first();
    const key = new Uint8Array(65536);
    let keyLength = -1;
    let lastSource = -1;
    for (;;) {
      const source = this.#newest(cursors);
      if (source < 0) break;
      const cursor = cursors[source]!;
      const { keyBytes, keyStart, keyEnd } = cursor;
      const same = compareBytes(key, 0, keyLength, keyBytes, keyStart, keyEnd) === 0;
      if (keyLength >= 0 && same && source < lastSource) {
        throw new AuraError(
          "AURA_CORRUPTION",
          `read order: an older run holds a newer version of a key (sequence ${cursor.seq})`,
        );
      }
      order.checkEntry(source, keyBytes, keyStart, keyEnd, cursor.seq);
      if (!same) key.set(keyBytes.subarray(keyStart, keyEnd));
      keyLength = keyEnd - keyStart;
      lastSource = source;
      cursor.next();
    }
    for (const cursor of cursors) {
      assert(!cursor.failed && !cursor.pending, "every run was read to its end");
    }
  }

  /** Index of the cursor on the smallest key, and among equal keys on the highest sequence. */
  #newest(cursors: readonly RunCursor[]): number {
    let best = -1;
    cursors.forEach((cursor, i) => {
      if (!cursor.valid) return;
      if (best < 0) {
        best = i;
        return;
      }
      const other = cursors[best]!;
      const order = compareBytes(
        cursor.keyBytes,
        cursor.keyStart,
        cursor.keyEnd,
        other.keyBytes,
        other.keyStart,
        other.keyEnd,
      );
      if (order < 0 || (order === 0 && cursor.seq > other.seq)) best = i;
    });
    return best;
  }

  #checkSegment(segment: SegmentMeta): void {
    const found = this.#referenced.get(segment.number) ?? { count: 0, bytes: 0 };
    const liveBytes = segment.totalBytes - segment.deadBytes;
    if (found.bytes !== liveBytes || found.count !== segment.totalCount - segment.deadCount) {
      this.#problems.push(
        `segment ${segment.number}: ${found.bytes} bytes referenced, but total - dead is ${liveBytes}`,
      );
    }
    const path = filePath(this.#directory, segment.number, segment.kind);
    if (!this.#fs.existsSync(path)) this.#problems.push(`${path} is missing`);
    else if (segment.fileBytes > 0 && this.#fs.fileBytesSync(path) < segment.fileBytes) {
      this.#problems.push(`${path} is shorter than when it was sealed`);
    }
  }
}

/** Removes every file of a database. Other files, and the directory if it holds any, stay. */
export function destroyDirectory(
  fs: FileSystem,
  directory: string,
  names: readonly string[],
): void {
  // CURRENT goes first: what is left of a destroy that did not finish is no database any more.
  const ours = fs.listSync(directory).filter((name) => parseFileName(name) !== undefined);
  for (const name of names) {
    if (fs.existsSync(`${directory}/${name}`)) fs.unlinkSync(`${directory}/${name}`);
  }
  fs.syncDirSync(directory);
  for (const name of ours) fs.unlinkSync(`${directory}/${name}`);
  fs.syncDirSync(directory);
}
