/**
 * What a window asks of the tree: reads, scans and writes per window, and the tree that they meet, in
 * the terms of the cost model. Windows differ by chance, so the figures are smoothed; a change of the
 * workload (change-point.ts) begins them anew.
 */
import type { LevelObservation, WindowObservation } from "./agent.ts";
import type { TreeGeometry } from "./settings.ts";
import { tableBytesFor } from "./targets.ts";

/** Work of one window. */
export interface Workload {
  readonly reads: number;
  readonly absentReads: number;
  readonly scans: number;
  readonly scanEntries: number;
  readonly writes: number;
  /** Bytes that flushes write for it. */
  readonly flushedBytes: number;
  /** Bytes that go to the value log, and values fetched from there. */
  readonly separatedBytes: number;
  readonly valueReads: number;
  /** Values written, by powers of two of their size; empty: not known. */
  readonly sizes: readonly number[];
}

/** The levels below level 0 that hold data or will, from the base level to the last one. */
export interface TreeProfile {
  readonly base: number;
  /** Bytes that each of them should have; the last one: that it has, about, with each key once. */
  readonly targets: readonly number[];
  /** Runs that they have. */
  readonly runs: readonly number[];
  /** Bytes at which their tables are cut. */
  readonly tableBytes: readonly number[];
  /** Bytes of an entry in tables. */
  readonly entryBytes: number;
  /** Bytes of a table that one flush makes. */
  readonly flushBytes: number;
  /** Of look-ups with an answer: the share that has it in level 0, in the base level, and so on. */
  readonly hitShares: readonly number[];
}

const ENTRY_BYTES = 128;
/** Answers from tables that say where answers are. */
const HITS_MIN = 100;

/** Returns the work of a window. */
export function workloadOf(o: WindowObservation): Workload {
  return {
    reads: o.reads,
    absentReads: o.absentReads,
    scans: o.scans,
    scanEntries: o.scanEntries,
    writes: o.writes,
    // Flushes come in steps: what was written says more about a window than what was flushed.
    flushedBytes: o.writtenBytes,
    separatedBytes: o.separatedBytes,
    valueReads: o.valueReads ?? 0,
    sizes: o.valueSizes ?? [],
  };
}

/** Returns `old` moved by `share` towards `latest`. */
export function smoothed(old: Workload, latest: Workload, share: number): Workload {
  const mix = (a: number, b: number): number => a + (b - a) * share;
  return {
    reads: mix(old.reads, latest.reads),
    absentReads: mix(old.absentReads, latest.absentReads),
    scans: mix(old.scans, latest.scans),
    scanEntries: mix(old.scanEntries, latest.scanEntries),
    writes: mix(old.writes, latest.writes),
    flushedBytes: mix(old.flushedBytes, latest.flushedBytes),
    separatedBytes: mix(old.separatedBytes, latest.separatedBytes),
    valueReads: mix(old.valueReads, latest.valueReads),
    sizes: latest.sizes.map((count, i) => mix(old.sizes[i] ?? 0, count)),
  };
}

/** Returns the levels of an observed tree; undefined while nothing lies below level 0. */
export function profileOf(
  levels: readonly LevelObservation[],
  memtableBytes: number,
  geometry: TreeGeometry,
): TreeProfile | undefined {
  let last = levels.length - 1;
  while (last > 0 && levels[last]!.bytes === 0) last--;
  if (last === 0) return undefined;
  let base = 1;
  while (base < last && levels[base]!.targetBytes === 0) base++;
  let bytes = 0;
  let entries = 0;
  for (let level = base; level <= last; level++) {
    bytes += levels[level]!.bytes;
    entries += levels[level]!.entries;
  }
  const lastBytes = Math.max(1, onceBytes(levels[last]!));
  const targets: number[] = [];
  for (let level = base; level < last; level++) {
    // Sizes follow the last level, and that holds more or less garbage: what counts is without it.
    const target = geometry.dynamicLevelBytes
      ? Math.max(geometry.baseLevelBytes, lastBytes / geometry.fanout ** (last - level))
      : levels[level]!.targetBytes;
    targets.push(Math.max(1, target));
  }
  targets.push(lastBytes);
  const tableBytes = targets.map((target) => tableBytesFor(target, geometry));
  const entryBytes = entries > 0 ? Math.max(8, bytes / entries) : ENTRY_BYTES;
  const hitShares = sharesOf(levels, base, last);
  const runs = levels.slice(base, last + 1).map((level) => level.runs);
  return { base, targets, runs, tableBytes, entryBytes, flushBytes: memtableBytes, hitShares };
}

/** Returns about how many bytes a level would have with each key once: newer runs are parts of it. */
function onceBytes({ bytes, runs, runsMax }: LevelObservation): number {
  if (runs <= 1) return bytes;
  return bytes * Math.max(1 / runs, 1 - (runs - 1) / Math.max(runsMax, runs));
}

/** Returns where look-ups found their keys; by size, where too few did. */
function sharesOf(levels: readonly LevelObservation[], base: number, last: number): number[] {
  const used = [levels[0]!, ...levels.slice(base, last + 1)];
  let hits = 0;
  let entries = 0;
  for (const level of used) {
    hits += level.hits;
    entries += level.entries;
  }
  if (hits >= HITS_MIN) return used.map((level) => level.hits / hits);
  return used.map((level) => (entries > 0 ? level.entries / entries : 0));
}
