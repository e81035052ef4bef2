/**
 * What a database was asked and what its background did, as plain counters since it was opened. Whoever
 * steers the tree takes differences of them over a window of work (agent-window.ts).
 *
 * On the paths of reads and writes a counter costs an increment. No clock is read for an operation but
 * one in `READ_SAMPLE` look-ups and one in `SCAN_SAMPLE` cursors, and only while `samples` is on.
 */
import type { Clock } from "@aura/base";
import type { JobTimes } from "./jobs/busy-time.ts";
import type { Search } from "./lookup-state.ts";
import { CostFit } from "./unit-costs.ts";
import { LEVEL_COUNT_MAX, type TableMeta } from "./version.ts";
import type { MergedTables } from "./write-debt.ts";

const READ_SAMPLE = 64;
const VALUE_SAMPLE = 64;
const SCAN_SAMPLE = 8;
/** Not sampled, and no call is looked at. */
const NEVER = -1;

/** Bytes and time of background work. */
export interface JobWork extends JobTimes {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly bytesRelocated: number;
}

/** One sampled scan: how long it was at work, and on what. */
export class ScanSample {
  readonly #clock: Clock;
  #startMs = 0;
  ms = 0;
  runs = 0;
  entries = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(): void {
    this.#startMs = this.#clock.monotonicMs();
  }

  end(): void {
    this.ms += this.#clock.monotonicMs() - this.#startMs;
  }
}

/** The counters. */
export class WorkCounts {
  readonly #clock: Clock;
  #untilRead = NEVER;
  #untilScan = NEVER;
  #untilValue = NEVER;
  /** Calls that read or write; at `lookAt` of them `onLook` is called, once. */
  calls = 0;
  lookAt: number = NEVER;
  onLook: () => void = () => undefined;
  /** Tables are about to leave their level. */
  onLeaving: (level: number, tables: readonly TableMeta[]) => void = () => undefined;
  /** Keys looked up, and those that no memtable and no table had a version of. */
  reads = 0;
  absentReads = 0;
  /** Times that a cursor was placed, runs and memtables it was placed in, entries handed out. */
  scans = 0;
  seeks = 0;
  scanEntries = 0;
  /** Values fetched that are apart from the tree. */
  valueReads = 0;
  flushes = 0;
  /** Bytes of tables that flushes wrote, of the memtables they wrote, of values beside those. */
  flushedBytes = 0;
  memtableBytes = 0;
  separatedBytes = 0;
  mergedBytesRead = 0;
  mergedBytesWritten = 0;
  relocatedBytes = 0;
  /** Time that jobs waited for the device, ms. */
  deviceMs = 0;
  /** By level: bytes that merges read there, and that flushes and merges wrote to it. */
  readonly levelRead: Float64Array = new Float64Array(LEVEL_COUNT_MAX);
  readonly levelWritten: Float64Array = new Float64Array(LEVEL_COUNT_MAX);
  /** Seconds: of a look-up, a run it asks, a block it searches. */
  readonly readCosts: CostFit = new CostFit([1e-6, 2e-7, 1e-6]);
  /** Seconds: of placing a cursor, a run it is placed in, an entry. */
  readonly scanCosts: CostFit = new CostFit([5e-6, 3e-6, 2e-7]);
  /** Seconds of a byte that a flush writes, and of one that a merge reads. */
  readonly flushCosts: CostFit = new CostFit([1e-8]);
  readonly mergeCosts: CostFit = new CostFit([1e-8]);
  /** Seconds of fetching a value that is apart, on this thread. */
  readonly valueCosts: CostFit = new CostFit([2e-6]);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Samples operations, or no more. */
  set samples(isOn: boolean) {
    this.#untilRead = isOn ? READ_SAMPLE : NEVER;
    this.#untilScan = isOn ? SCAN_SAMPLE : NEVER;
    this.#untilValue = isOn ? VALUE_SAMPLE : NEVER;
  }

  /** Counts a call. */
  called(): void {
    if (++this.calls === this.lookAt) this.onLook();
  }

  /** Counts a look-up; returns when it began if it is sampled, else a negative number. */
  beginRead(): number {
    this.reads++;
    return this.#untilRead > 0 && --this.#untilRead === 0 ? this.#sampleRead() : NEVER;
  }

  /** Takes in a sampled look-up that asked tables. */
  endRead(startMs: number, { asked, hit }: Search): void {
    const seconds = (this.#clock.monotonicMs() - startMs) / 1000;
    if (seconds > 0) this.readCosts.add(seconds, 1, asked, hit.searched);
  }

  /** Counts a value that is fetched; returns when that began if it is sampled, else a negative number. */
  beginValue(): number {
    this.valueReads++;
    if (this.#untilValue <= 0 || --this.#untilValue > 0) return NEVER;
    this.#untilValue = VALUE_SAMPLE;
    return this.#clock.monotonicMs();
  }

  /** Takes in a sampled fetch. */
  endValue(startMs: number): void {
    const seconds = (this.#clock.monotonicMs() - startMs) / 1000;
    if (seconds > 0) this.valueCosts.add(seconds, 1);
  }

  /** Counts a cursor that is opened; returns what it is sampled with, if it is. */
  beginScan(): ScanSample | undefined {
    if (this.#untilScan <= 0 || --this.#untilScan > 0) return undefined;
    this.#untilScan = SCAN_SAMPLE;
    return new ScanSample(this.#clock);
  }

  /** Takes in a sampled scan. */
  endScan({ ms, runs, entries }: ScanSample): void {
    if (ms > 0 && runs > 0) this.scanCosts.add(ms / 1000, 1, runs, entries);
  }

  /** Notes a flush: bytes of its memtable, of values beside it, and what the job did. */
  noteFlush(memtableBytes: number, valueBytes: number, work: JobWork): void {
    this.flushes++;
    this.memtableBytes += memtableBytes;
    this.separatedBytes += valueBytes;
    this.flushedBytes += work.bytesWritten;
    this.levelWritten[0]! += work.bytesWritten;
    this.deviceMs += work.deviceMs;
    if (work.busyMs > 0 && work.bytesWritten > 0)
      this.flushCosts.add(work.busyMs / 1000, work.bytesWritten);
  }

  /** Notes a merge of tables of some levels. */
  noteMerge(inputs: readonly MergedTables[], outputLevel: number, work: JobWork): void {
    for (const { level, tables } of inputs) {
      for (const { bytes } of tables) this.levelRead[level]! += bytes;
    }
    this.levelWritten[outputLevel]! += work.bytesWritten;
    this.mergedBytesRead += work.bytesRead;
    this.mergedBytesWritten += work.bytesWritten;
    this.relocatedBytes += work.bytesRelocated;
    this.deviceMs += work.deviceMs;
    // What copies values says little about what merging costs.
    if (work.busyMs > 0 && work.bytesRead > 0 && work.bytesRelocated === 0)
      this.mergeCosts.add(work.busyMs / 1000, work.bytesRead);
  }

  #sampleRead(): number {
    this.#untilRead = READ_SAMPLE;
    return this.#clock.monotonicMs();
  }
}
