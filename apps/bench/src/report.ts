/**
 * The results as a table. A ratio says how many times better the first store is than the other one, as
 * measured: below 1 it is worse. Beside it stand the smallest, the median and the largest ratio of a
 * slice.
 */
import Table from "cli-table3";
import pc from "picocolors";
import { formatBytes, formatMs, formatRate, formatRatio } from "./format.ts";
import type { FolderCounters, PhaseName, StoreResult } from "./names-job.ts";
import type { Sample } from "./store-bench.ts";

interface Row {
  readonly title: string;
  readonly better: "more" | "less";
  readonly format: (value: number) => string;
  /** The value of a store; `undefined` when it did not come so far. */
  readonly value: (result: StoreResult) => number | undefined;
  /** Values slice by slice. */
  readonly slices?: (result: StoreResult) => number[];
  /** Taken instead for a store that has no such value; its cell stands in brackets. */
  readonly instead?: Row;
}

const perSecond = ({ ops, ms }: Sample): number => (ops / ms) * 1000;
const bytesPerSecond = ({ bytes, ms }: Sample): number => (bytes / ms) * 1000;

function sumOf(samples: readonly Sample[] | undefined): Sample | undefined {
  if (samples === undefined || samples.length === 0) return undefined;
  const sum = { ops: 0, ms: 0, bytes: 0, mismatches: 0 };
  for (const sample of samples) {
    sum.ops += sample.ops;
    sum.ms += sample.ms;
    sum.bytes += sample.bytes;
    sum.mismatches += sample.mismatches;
  }
  return sum;
}

function rateRow(title: string, phase: PhaseName, instead?: Row): Row {
  return {
    title,
    better: "more",
    format: formatRate,
    value: ({ samples }) => map(sumOf(samples[phase]), perSecond),
    slices: ({ samples }) => (samples[phase] ?? []).map(perSecond),
    ...(instead === undefined ? {} : { instead }),
  };
}

function throughputRow(title: string, phase: PhaseName): Row {
  return {
    title,
    better: "more",
    format: (value) => `${formatBytes(value)}/s`,
    value: ({ samples }) => map(sumOf(samples[phase]), bytesPerSecond),
    slices: ({ samples }) => (samples[phase] ?? []).map(bytesPerSecond),
  };
}

function timeRow(title: string, phase: PhaseName): Row {
  return {
    title,
    better: "less",
    format: formatMs,
    value: ({ samples }) => sumOf(samples[phase])?.ms,
  };
}

function latencyRow(title: string, phase: PhaseName, part: "p50Us" | "p99Us"): Row {
  const slices = ({ samples }: StoreResult): number[] =>
    (samples[phase] ?? []).flatMap(({ latency }) => (latency === undefined ? [] : [latency[part]]));
  return {
    title,
    better: "less",
    format: (us) => formatMs(us / 1000),
    value: (result) => median(slices(result)),
    slices,
  };
}

function bytesRow(title: string, value: Row["value"]): Row {
  return { title, better: "less", format: formatBytes, value };
}

/** Peak of the resident memory above what the process held before its store was opened. */
function peakOf(counters: { start?: FolderCounters; end?: FolderCounters }): number | undefined {
  return minus(counters.end?.peakRssBytes, counters.start?.peakRssBytes);
}

const eachRow = rateRow("random get, each awaited", "getEach");
const absentEachRow = rateRow("absent key, each awaited", "absentEach");
const againManyRow = rateRow("get after reopening, 64 at a time", "getManyAgain");

const ROWS: readonly Row[] = [
  {
    title: "load until drained",
    better: "more",
    format: formatRate,
    value: ({ samples }) => {
      const load = sumOf(samples.load);
      const drain = sumOf(samples.drain);
      if (load === undefined || drain === undefined) return undefined;
      return (load.ops / (load.ms + drain.ms)) * 1000;
    },
  },
  rateRow("  of it: until accepted", "load"),
  eachRow,
  rateRow("random get, 64 at a time", "getMany"),
  rateRow("random get, sync", "getSync", eachRow),
  absentEachRow,
  rateRow("absent key, 64 at a time", "absentMany"),
  rateRow("absent key, sync", "absentSync", absentEachRow),
  rateRow("ordered scan", "scan"),
  rateRow("small put, 64 in flight", "putFlight"),
  rateRow("small put, each awaited", "putEach"),
  latencyRow("  of it: 50th percentile", "putEach", "p50Us"),
  latencyRow("  of it: 99th percentile", "putEach", "p99Us"),
  throughputRow("put blobs of 64 KiB", "putBlobs"),
  throughputRow("get blobs of 64 KiB", "getBlobs"),
  timeRow("close, not drained", "close"),
  timeRow("reopen, a log to read", "reopen"),
  timeRow("close, drained", "closeAgain"),
  timeRow("reopen, drained", "reopenClean"),
  againManyRow,
  rateRow("get after reopening, sync", "getSyncAgain", againManyRow),
  rateRow("ordered scan after reopening", "scanAgain"),
  throughputRow("get blobs after reopening", "getBlobsAgain"),
  bytesRow("size on disk, load drained", ({ counters }) => counters.loaded?.folderBytes),
  bytesRow("bytes written by the load (calls)", ({ counters }) =>
    minus(counters.loaded?.writtenBytes, counters.start?.writtenBytes),
  ),
  bytesRow("bytes written by the load (pages)", ({ counters }) =>
    minus(counters.loaded?.deviceBytes, counters.start?.deviceBytes),
  ),
  bytesRow("peak RSS, load to blobs", ({ counters }) => peakOf(counters)),
  bytesRow("peak RSS, reading again", ({ countersAgain }) => peakOf(countersAgain)),
];

/** Returns the table of what ran, empty for nothing; the first store is compared with the others. */
export function renderTable(results: readonly StoreResult[]): string {
  const [subject, ...peers] = results;
  if (subject === undefined) return "";
  const heads = peers.flatMap(({ name }) => [name as string, "ratio", "slices"]);
  const table = new Table({
    head: ["", subject.name, ...heads],
    colAligns: ["left", "right", ...heads.map(() => "right" as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const row of ROWS) {
    const own = row.value(subject);
    if (own === undefined && peers.every((peer) => row.value(peer) === undefined)) continue;
    const cells = peers.flatMap((peer) => compare(row, subject, peer));
    table.push([row.title, cellOf(row, subject), ...cells]);
  }
  return table.length === 0 ? "" : table.toString();
}

/** Cells of one peer: its value, the ratio, and the spread of the ratio. */
function compare(row: Row, subject: StoreResult, peer: StoreResult): string[] {
  const used = row.value(peer) === undefined ? (row.instead ?? row) : row;
  const own = row.value(subject);
  const other = used.value(peer);
  if (own === undefined || other === undefined) return [cellOf(row, peer), "", ""];
  const ratio = better(row, own, other);
  const shown = ratio >= 1 ? pc.green(formatRatio(ratio)) : pc.red(formatRatio(ratio));
  const ownSlices = row.slices?.(subject) ?? [];
  const otherSlices = used.slices?.(peer) ?? [];
  if (ownSlices.length < 2 || ownSlices.length !== otherSlices.length) {
    return [cellOf(row, peer), shown, ""];
  }
  const ratios = ownSlices.map((value, i) => better(row, value, otherSlices[i]!));
  const spread = [Math.min(...ratios), median(ratios)!, Math.max(...ratios)];
  return [cellOf(row, peer), shown, spread.map(formatRatio).join(" < ")];
}

function better({ better: wanted }: Row, own: number, other: number): number {
  return wanted === "more" ? own / other : other / own;
}

function cellOf(row: Row, result: StoreResult): string {
  const value = row.value(result);
  if (value !== undefined) return row.format(value);
  const instead = row.instead?.value(result);
  return instead === undefined ? "-" : `(${row.format(instead)})`;
}

function map<T, R>(value: T | undefined, convert: (value: T) => R): R | undefined {
  return value === undefined ? undefined : convert(value);
}

function minus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a - b;
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
