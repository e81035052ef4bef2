/**
 * The parts that reads work with, over a simulated disk: a history of puts and deletes, laid out
 * over an active and a sealed memtable, tables of level 0 and runs of deeper levels, with some of
 * the values in a segment.
 */
import { FileType, Kind, SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { learnedIndex } from "@aura/learned-index";
import { TableWriter } from "@aura/sst";
import { encodePointer, POINTER_BYTES, recordBytes, SegmentWriter } from "@aura/vlog";
import { AdaptiveReads } from "../../src/adaptive-reads.ts";
import { DatabaseEmitter } from "../../src/events.ts";
import { filePath } from "../../src/file-names.ts";
import { Health } from "../../src/health.ts";
import type { ReadParts } from "../../src/lookup.ts";
import { Memtables } from "../../src/memtables.ts";
import { SnapshotList } from "../../src/snapshot.ts";
import { TableStore } from "../../src/table-store.ts";
import { TurnKeeper } from "../../src/turn-keeper.ts";
import { ValueStore } from "../../src/value-store.ts";
import {
  LEVEL_COUNT_MAX,
  type Level,
  type Run,
  type SegmentMeta,
  type TableMeta,
  Version,
} from "../../src/version.ts";
import { VersionSet } from "../../src/version-set.ts";
import { WorkCounts } from "../../src/work-counts.ts";
import { compareEntries, type Entry, visibleAt } from "./fake-cursor.ts";

export const directory = "/db";
const databaseUuid = new Uint8Array(16).fill(7);
const hashSeed = 99;
const SEGMENT = 500;

/** How the fixture is made. */
export interface FixtureOptions {
  readonly cacheBytes?: number;
  readonly maxOpenFiles?: number;
  /** Share of puts whose value is in the segment, percent. Default 30. */
  readonly apart?: number;
  /** Misses of asynchronous reads go to the thread pool. Default false: on this thread. */
  readonly pooled?: boolean;
  /** Everything is in the active memtable. Default false. */
  readonly memoryOnly?: boolean;
  readonly runtime?: SimRuntime;
  readonly blockBytes?: number;
}

class PooledReads extends AdaptiveReads {
  override maySync(): boolean {
    return false;
  }
}

/** A readable database without a write side. */
export class ReadFixture {
  readonly fs: SimFs;
  readonly parts: ReadParts;
  readonly history: readonly Entry[];
  readonly lastSeq: number;
  readonly blockBytes: number;
  #nextNumber = 1;

  constructor(history: readonly Entry[], seed: number, options: FixtureOptions = {}) {
    this.history = history;
    this.lastSeq = history.length;
    this.blockBytes = options.blockBytes ?? 256;
    this.fs = new SimFs();
    this.fs.makeDirectorySync(directory);
    const random = new SeededRandom(seed);
    const runtime = options.runtime ?? simRuntime(seed);
    const stored = this.#separate(history, random, options.apart ?? 30);
    // Cuts of the history, oldest part first: level 2, level 1, three of level 0, two memtables.
    const cuts = [0];
    for (let i = 0; i < 6; i++) cuts.push(random.below(history.length + 1));
    cuts.push(history.length);
    cuts.sort((a, b) => a - b);
    if (options.memoryOnly === true) cuts.fill(0, 0, 7);
    const part = (i: number): Entry[] => stored.slice(cuts[i], cuts[i + 1]);
    const levels: Level[] = Array.from({ length: LEVEL_COUNT_MAX }, () => ({ runs: [] }));
    const run = (i: number, tables: number): Run[] => {
      const entries = part(i).sort(compareEntries);
      return entries.length === 0 ? [] : [{ id: i + 1, tables: this.#writeRun(entries, tables) }];
    };
    levels[2] = { runs: run(0, 4) };
    levels[1] = { runs: run(1, 2) };
    levels[0] = { runs: [...run(4, 1), ...run(3, 1), ...run(2, 1)] };
    const memtables = new Memtables(
      { implementation: "art", bytes: 1024 * 1024, countMax: 4 },
      () => random.uint32(),
      0,
    );
    for (const i of [5, 6]) {
      for (const { seq, tag, key, value } of part(i)) {
        memtables.active.table.add(seq, tag, key, 0, key.length, value, 0, value.length);
      }
      if (i === 5 && memtables.active.table.entryCount > 0) memtables.seal();
    }
    const segments = new Map<number, SegmentMeta>([[SEGMENT, segmentMeta()]]);
    const versions = new VersionSet(new Version(1, levels, segments, 0));
    const maxOpenFiles = options.maxOpenFiles ?? 64;
    const identity = { databaseUuid, hashSeed };
    const cacheBytes = options.cacheBytes ?? 256 * 1024;
    const tables = new TableStore({ fs: this.fs, directory, identity, maxOpenFiles, cacheBytes });
    this.parts = {
      memtables,
      versions,
      tables,
      values: new ValueStore({
        fs: this.fs,
        directory,
        maxOpenFiles: 4,
        kindOf: (number) => versions.current.segments.get(number)?.kind,
        cache: tables.cache,
      }),
      snapshots: new SnapshotList(),
      health: new Health(),
      turns: new TurnKeeper(runtime),
      runtime,
      counts: new WorkCounts(runtime.clock),
      reads: options.pooled === true ? new PooledReads(runtime) : new AdaptiveReads(runtime),
      cursors: new Set(),
      events: new DatabaseEmitter(runtime.scheduler),
      hashSeed,
      tracing: { recorder: undefined },
      visibleSeq: () => this.lastSeq,
    };
  }

  /** What a reader at `seq` sees, in key order. */
  modelAt(seq: number): Entry[] {
    return visibleAt(this.history, seq);
  }

  /** Paths of all tables. */
  tablePaths(): string[] {
    return [...this.parts.versions.current.tables()].map(({ number }) =>
      filePath(directory, number, "sst"),
    );
  }

  get segmentPath(): string {
    return filePath(directory, SEGMENT, "seg");
  }

  /** Closes tables, values and memtables. */
  close(): void {
    this.parts.tables.closeAll();
    this.parts.values.closeAll();
    this.parts.memtables.close();
  }

  /** Puts some of the values into the segment. Returns the entries as the tree has them. */
  #separate(history: readonly Entry[], random: SeededRandom, percent: number): Entry[] {
    const segment = SegmentWriter.createSync(this.fs, this.segmentPath, {
      header: {
        type: FileType.segment,
        databaseUuid,
        uid: { lo: 5, hi: 6 },
        number: SEGMENT,
      },
    });
    const stored = history.map((entry) => {
      if (entry.tag !== Kind.value || random.below(100) >= percent) return entry;
      const { key, seq, value } = entry;
      const { length } = value;
      const offset = segment.append(0, key, 0, key.length, seq, Kind.pointer, value, length, 0);
      const pointer = new Uint8Array(POINTER_BYTES);
      encodePointer(pointer, 0, SEGMENT, offset, length, length, 0);
      return { key, seq, tag: Kind.pointer, value: pointer };
    });
    segment.finishSync();
    segment.closeSync();
    return stored;
  }

  #writeRun(entries: readonly Entry[], tableCount: number): TableMeta[] {
    const tables: TableMeta[] = [];
    const share = Math.ceil(entries.length / tableCount);
    let start = 0;
    while (start < entries.length) {
      let end = Math.min(start + share, entries.length);
      // The versions of a key stay together.
      while (end < entries.length && sameKey(entries[end - 1]!, entries[end]!)) end++;
      tables.push(this.#writeTable(entries.slice(start, end)));
      start = end;
    }
    return tables;
  }

  #writeTable(entries: readonly Entry[]): TableMeta {
    const number = this.#nextNumber++;
    const uid = { lo: number, hi: 77 };
    const file = this.fs.openSync(filePath(directory, number, "sst"), "create");
    const writer = new TableWriter(file, {
      databaseUuid,
      uid,
      number,
      keyspace: 0,
      settings: {
        blockBytes: this.blockBytes,
        hashSeed,
        index: [learnedIndex({ errorBlocks: 1 })],
      },
    });
    for (const { key, seq, tag, value } of entries) {
      writer.add(key, 0, key.length, seq, tag, value, 0, value.length);
      if (tag === Kind.pointer) writer.noteReference(SEGMENT, recordBytes(key.length, 1));
    }
    const summary = writer.finishSync();
    file.syncSync();
    file.closeSync();
    return {
      ...summary,
      number,
      uid,
      bytes: summary.fileBytes,
      shadowedCount: 0,
      rangeDeleteCount: 0,
      largestIsExclusive: false,
    };
  }
}

function sameKey(a: Entry, b: Entry): boolean {
  return compareEntries({ ...a, seq: 0 }, { ...b, seq: 0 }) === 0;
}

function segmentMeta(): SegmentMeta {
  return {
    number: SEGMENT,
    kind: "seg",
    totalCount: 1000,
    totalBytes: 1e6,
    deadCount: 0,
    deadBytes: 0,
    fileBytes: 1,
    lastSeq: 0,
  };
}
