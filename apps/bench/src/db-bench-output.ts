/** Reads what RocksDB's `db_bench` prints with `--histogram=1`. */
import type { Latency } from "./result.ts";

/** One benchmark, as it was printed. */
export interface DbBenchFigures {
  readonly name: string;
  readonly ops: number;
  readonly seconds: number;
  /** As it prints them, in units of 2^20 bytes per second. */
  readonly megabytesPerSecond: number | undefined;
  readonly latency: Latency | undefined;
}

/** What the whole output says. */
export interface DbBenchOutput {
  readonly version: string | undefined;
  /** Built with assertions on, as it warns: slower than a release build. */
  readonly hasAssertions: boolean;
  readonly figures: readonly DbBenchFigures[];
}

const LINE =
  /^(\w+)\s+:\s+[\d.]+ micros\/op (\d+) ops\/sec ([\d.]+) seconds (\d+) operations;(?:\s+([\d.]+) MB\/s)?/;
const SPREAD = /^Count: (\d+)\s+Average: ([\d.]+)/;
const RANGE = /^Min: ([\d.]+)\s+Median: ([\d.]+)\s+Max: ([\d.]+)/;
const PERCENTILES = /(P[\d.]+): ([\d.]+)/g;
/** A bucket: its bounds, count, share and the share up to its end. */
const BUCKET = /^[([]\s*[\d.]+,\s+([\d.]+) \]\s+\d+\s+[\d.]+%\s+([\d.]+)%/;

/** Parses standard output and standard error, one behind the other. */
export function parseDbBench(text: string): DbBenchOutput {
  const figures: DbBenchFigures[] = [];
  const lines = text.split(/\r?\n/);
  for (const [i, line] of lines.entries()) {
    const found = LINE.exec(line);
    if (found === null) continue;
    const [, name = "", , seconds, ops, megabytes] = found;
    figures.push({
      name,
      ops: Number(ops),
      seconds: Number(seconds),
      megabytesPerSecond: megabytes === undefined ? undefined : Number(megabytes),
      latency: parseLatency(lines, i + 1),
    });
  }
  return {
    version: /^RocksDB:\s+version (\S+)/m.exec(text)?.[1],
    hasAssertions: /Assertions are enabled/.test(text),
    figures,
  };
}

/** The histogram behind the line of a benchmark, before the next one. */
function parseLatency(lines: readonly string[], start: number): Latency | undefined {
  const head = lines.slice(start, start + 8).findIndex((line) => SPREAD.test(line));
  if (head < 0 || lines.slice(start, start + head).some((line) => LINE.test(line)))
    return undefined;
  const [spread = "", range = "", percentiles = ""] = lines.slice(start + head);
  const [, count, mean] = SPREAD.exec(spread)!;
  const [, , , max = "0"] = RANGE.exec(range) ?? [];
  const found = new Map([...percentiles.matchAll(PERCENTILES)].map(([, p, us]) => [p, Number(us)]));
  const curve: [number, number][] = [];
  for (let at = start + head + 4; at < lines.length; at++) {
    const bucket = BUCKET.exec(lines[at]!);
    if (bucket === null) break;
    curve.push([Number(bucket[2]), Math.min(Number(max), Number(bucket[1]))]);
  }
  const reach = (percentile: number): number =>
    curve.find(([upTo]) => upTo >= percentile)?.[1] ?? Number(max);
  return {
    count: Number(count),
    meanUs: Number(mean),
    p50Us: found.get("P50") ?? reach(50),
    p90Us: reach(90),
    p99Us: found.get("P99") ?? reach(99),
    p999Us: found.get("P99.9") ?? reach(99.9),
    maxUs: Number(max),
    curve,
  };
}
