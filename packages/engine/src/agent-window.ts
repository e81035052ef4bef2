/**
 * Windows of work: what a database did between two moments, as an agent observes it (the port is
 * `WindowObservation` of `@aura/compaction-rl`). A window is made of differences of counters that are
 * there anyway; closing one walks the tables of the tree once.
 *
 * What filters did is counted by table. A table's counts are added up under the level that it is in: when
 * a window closes, and before a merge or a move takes the table from there.
 */
import {
  type LevelObservation,
  runsMax,
  type TreeGeometry,
  type TreeShape,
  targetsOf,
  type UnitCosts,
  type WindowObservation,
} from "@aura/compaction-rl";
import type { Admission } from "./admission.ts";
import type { Memtables } from "./memtables.ts";
import type { TableStore } from "./table-store.ts";
import { valueSpace } from "./value-space.ts";
import { LEVEL_COUNT_MAX, type TableMeta, type Version } from "./version.ts";
import type { WorkCounts } from "./work-counts.ts";

/** What windows are read from. */
export interface WindowSources {
  readonly counts: WorkCounts;
  readonly tables: TableStore;
  readonly memtables: Memtables;
  readonly geometry: TreeGeometry;
  readonly version: () => Version;
  readonly shape: () => TreeShape;
  /** Highest sequence number given. */
  readonly lastSeq: () => number;
  readonly admission: () => Pick<Admission, "stats" | "stallCount">;
  readonly debtBytes: () => number;
  /** Values written, by powers of two of their size, since open. */
  readonly valueSizes: Float64Array;
}

/** Counters as they were at one moment. */
interface Totals {
  readonly reads: number;
  readonly absentReads: number;
  readonly scans: number;
  readonly seeks: number;
  readonly scanEntries: number;
  readonly valueReads: number;
  readonly flushes: number;
  readonly flushedBytes: number;
  readonly mergedBytesRead: number;
  readonly mergedBytesWritten: number;
  readonly relocatedBytes: number;
  readonly deviceSeconds: number;
  readonly writes: number;
  readonly writtenBytes: number;
  readonly separatedBytes: number;
  readonly delaySeconds: number;
  readonly stalls: number;
}

/** What filters of a table did up to a moment. */
interface TableMark {
  readonly denied: number;
  readonly vain: number;
  readonly found: number;
}

const NO_MARK: TableMark = { denied: 0, vain: 0, found: 0 };

/** How much work a window holds so far. */
export interface WorkDone {
  readonly operations: number;
  readonly bytes: number;
}

/** Entries of a scan that count as one operation. */
const ENTRIES_PER_OPERATION = 8;

/** Measures windows, one after the other. */
export class WindowMeter {
  readonly #sources: WindowSources;
  readonly #marks = new Map<number, TableMark>();
  readonly #probes = new Float64Array(LEVEL_COUNT_MAX);
  readonly #vain = new Float64Array(LEVEL_COUNT_MAX);
  readonly #found = new Float64Array(LEVEL_COUNT_MAX);
  #sizes: Float64Array;
  #levelRead = new Float64Array(LEVEL_COUNT_MAX);
  #levelWritten = new Float64Array(LEVEL_COUNT_MAX);
  #start: Totals;

  constructor(sources: WindowSources) {
    this.#sources = sources;
    this.#start = this.#totals();
    this.#sizes = sources.valueSizes.slice();
  }

  /** Begins a window here; what came before is left out. */
  begin(): void {
    this.#marks.clear();
    this.#gather();
    this.#clear();
  }

  /** What was done since the window began. Asked several times a window: reads what it needs alone. */
  get done(): WorkDone {
    const { counts, memtables, lastSeq } = this.#sources;
    const { reads, writes, scans, scanEntries, writtenBytes } = this.#start;
    const entries = (counts.scanEntries - scanEntries) / ENTRIES_PER_OPERATION;
    return {
      operations: counts.reads - reads + lastSeq() - writes + counts.scans - scans + entries,
      bytes: writtenBytesOf(counts, memtables) - writtenBytes,
    };
  }

  /** Tables are about to leave a level: what they were asked there counts for it. */
  noteLeaving(level: number, tables: readonly TableMeta[]): void {
    for (const { number } of tables) {
      this.#take(level, number);
      this.#marks.delete(number);
    }
  }

  /** Closes the window, and begins the next one. */
  end(window: number, isUnsettled: boolean): WindowObservation {
    this.#gather();
    const now = this.#totals();
    const start = this.#start;
    const { version, debtBytes } = this.#sources;
    const levels = this.#levels();
    const { fileBytes, referencedBytes, tableBytes } = valueSpace(version());
    const deepest = levels.findLast(({ bytes }) => bytes > 0)?.bytes ?? 0;
    const since = (name: keyof Totals): number => now[name] - start[name];
    const observation: WindowObservation = {
      window,
      reads: since("reads"),
      absentReads: since("absentReads"),
      blockReads: sumOf(this.#found) + sumOf(this.#vain),
      scans: since("scans"),
      scanEntries: since("scanEntries"),
      seeks: since("seeks"),
      writes: since("writes"),
      writtenBytes: since("writtenBytes"),
      separatedBytes: since("separatedBytes"),
      valueReads: since("valueReads"),
      valueSizes: Array.from(this.#sources.valueSizes, (count, i) => count - this.#sizes[i]!),
      levels,
      flushes: since("flushes"),
      flushedBytes: since("flushedBytes"),
      mergedBytesRead: since("mergedBytesRead"),
      mergedBytesWritten: since("mergedBytesWritten"),
      relocatedBytes: since("relocatedBytes"),
      deviceSeconds: since("deviceSeconds"),
      delaySeconds: since("delaySeconds"),
      stalls: since("stalls"),
      debtBytes: debtBytes(),
      spaceBytes: tableBytes + fileBytes,
      liveBytes: deepest + referencedBytes,
      costs: this.#costs(),
      isUnsettled,
    };
    this.#clear();
    return observation;
  }

  #clear(): void {
    const { counts } = this.#sources;
    this.#start = this.#totals();
    this.#probes.fill(0);
    this.#vain.fill(0);
    this.#found.fill(0);
    this.#sizes = this.#sources.valueSizes.slice();
    this.#levelRead = counts.levelRead.slice();
    this.#levelWritten = counts.levelWritten.slice();
  }

  #totals(): Totals {
    const { counts, memtables, lastSeq, admission } = this.#sources;
    const { stallCount } = admission();
    const { delayMs } = admission().stats();
    let valueBytes = memtables.active.valueBytes;
    for (const sealed of memtables.sealed) valueBytes += sealed.valueBytes;
    return {
      reads: counts.reads,
      absentReads: counts.absentReads,
      scans: counts.scans,
      seeks: counts.seeks,
      scanEntries: counts.scanEntries,
      valueReads: counts.valueReads,
      flushes: counts.flushes,
      flushedBytes: counts.flushedBytes,
      mergedBytesRead: counts.mergedBytesRead,
      mergedBytesWritten: counts.mergedBytesWritten,
      relocatedBytes: counts.relocatedBytes,
      deviceSeconds: counts.deviceMs / 1000,
      writes: lastSeq(),
      writtenBytes: writtenBytesOf(counts, memtables),
      separatedBytes: counts.separatedBytes + valueBytes,
      delaySeconds: delayMs / 1000,
      stalls: stallCount,
    };
  }

  /** Adds up what tables were asked since it was done last, under the levels that they are in. */
  #gather(): void {
    const { levels } = this.#sources.version();
    for (let level = 0; level < levels.length; level++) {
      for (const { tables } of levels[level]!.runs) {
        for (const { number } of tables) this.#take(level, number);
      }
    }
  }

  #take(level: number, number: number): void {
    const counts = this.#sources.tables.countsOf(number);
    if (counts === undefined) return;
    const mark = this.#marks.get(number) ?? NO_MARK;
    const { denied, passedInVain: vain, found } = counts;
    if (denied === mark.denied && vain === mark.vain && found === mark.found) return;
    this.#probes[level]! += denied - mark.denied + (vain - mark.vain) + (found - mark.found);
    this.#vain[level]! += vain - mark.vain;
    this.#found[level]! += found - mark.found;
    this.#marks.set(number, { denied, vain, found });
  }

  #levels(): LevelObservation[] {
    const { counts, geometry, version, shape } = this.#sources;
    const inForce = shape();
    const contents = version().levels.map(contentOf);
    const sizes = contents.map(({ bytes }) => bytes);
    const targets = targetsOf(sizes, geometry);
    return contents.map(
      ({ runs, bytes, entries, bits }, level): LevelObservation => ({
        bytes,
        targetBytes: level < targets.base ? 0 : (targets.bytes[level] ?? 0),
        entries,
        runs,
        runsMax: level === 0 ? inForce.l0Trigger : runsMax(inForce, level),
        filterBits: entries === 0 ? 0 : bits / entries,
        probes: this.#probes[level]!,
        falsePositives: this.#vain[level]!,
        hits: this.#found[level]!,
        bytesRead: counts.levelRead[level]! - this.#levelRead[level]!,
        bytesWritten: counts.levelWritten[level]! - this.#levelWritten[level]!,
      }),
    );
  }

  #costs(): UnitCosts {
    const { counts } = this.#sources;
    const [read, probe, blockRead] = counts.readCosts.weights ?? [];
    const [, seek, scanEntry] = counts.scanCosts.weights ?? [];
    const [flushedByte] = counts.flushCosts.weights ?? [];
    const [mergedByte] = counts.mergeCosts.weights ?? [];
    const [valueRead] = counts.valueCosts.weights ?? [];
    const tables = { read, probe, blockRead, seek, scanEntry, flushedByte, mergedByte };
    const costs = { ...tables, valueRead };
    const known = Object.entries(costs).filter(([, seconds]) => seconds !== undefined);
    return Object.fromEntries(known) as UnitCosts;
  }
}

/** Bytes that memtables took: what is in memory now, and what was when it was flushed. */
function writtenBytesOf(counts: WorkCounts, memtables: Memtables): number {
  return counts.memtableBytes + memtables.usedBytes;
}

/** What a level holds: runs, and bytes, entries and bits of filters of all its tables. */
interface LevelContent {
  readonly runs: number;
  readonly bytes: number;
  readonly entries: number;
  readonly bits: number;
}

function contentOf({ runs }: Version["levels"][number]): LevelContent {
  let bytes = 0;
  let entries = 0;
  let bits = 0;
  for (const { tables } of runs) {
    for (const table of tables) {
      bytes += table.bytes;
      entries += table.entryCount;
      bits += table.filterBits;
    }
  }
  return { runs: runs.length, bytes, entries, bits };
}

function sumOf(numbers: Float64Array): number {
  return numbers.reduce((sum, one) => sum + one, 0);
}
