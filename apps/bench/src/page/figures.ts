/**
 * The figures that a report shows of a phase: what each is called, how it is read off a repeat, how
 * it is written, and which way is better. A figure that no store has is left out.
 */
import { formatBytes, formatCount, formatMs, formatRate } from "../format.ts";
import type { PhaseResult } from "../result.ts";
import type { PhaseOutline } from "./outline.ts";
import { type Better, isNumber, ratioOf, type Spread, spreadOf } from "./spread.ts";

/** A figure of all stores. */
export interface Figure {
  readonly title: string;
  /** What a reader must know to read it right. */
  readonly hint?: string;
  /** Under which name the head of the report counts it; without one it does not. */
  readonly topic?: string;
  /** Without it, stores are not compared. */
  readonly better?: Better;
  readonly format: (value: number) => string;
  /** By store, then by repeat. */
  readonly values: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

/** Figures that belong together. */
export interface FigureGroup {
  readonly title: string;
  readonly figures: readonly Figure[];
}

interface Metric extends Omit<Figure, "values"> {
  readonly read: (phase: PhaseResult) => number | undefined;
}

const perSecond = (count: number, ms: number): number => (count / ms) * 1000;

const throughput: Metric = {
  title: "throughput",
  topic: "throughput",
  better: "more",
  format: formatRate,
  read: ({ ops, ms }) => perSecond(ops, ms),
};

const drainedThroughput: Metric = {
  title: "throughput until drained",
  topic: "throughput",
  hint: "operations / (time + time until no background work is left)",
  better: "more",
  format: formatRate,
  read: ({ ops, ms, drainMs }) =>
    drainMs === undefined ? undefined : perSecond(ops, ms + drainMs),
};

const GROUPS: readonly { readonly title: string; readonly metrics: readonly Metric[] }[] = [
  {
    title: "Throughput",
    metrics: [
      throughput,
      drainedThroughput,
      {
        title: "user bytes",
        format: (value) => `${formatBytes(value)}/s`,
        read: ({ bytes, ms }) => perSecond(bytes, ms),
      },
      {
        title: "drain",
        hint: "until no background work is left",
        format: formatMs,
        read: ({ drainMs }) => drainMs,
      },
    ],
  },
  {
    title: "Amplification",
    metrics: [
      {
        title: "write, by calls",
        topic: "bytes written",
        hint: "bytes handed to write calls / bytes of the operations",
        better: "less",
        format: formatFactor,
        read: (phase) => (isReadOnly(phase) ? undefined : over(phase.writtenBytes, phase.bytes)),
      },
      {
        title: "write, by pages",
        hint: "bytes sent to the device / bytes of the operations",
        better: "less",
        format: formatFactor,
        read: (phase) => (isReadOnly(phase) ? undefined : over(phase.deviceBytes, phase.bytes)),
      },
      {
        title: "read",
        hint: "bytes read / bytes of the operations",
        better: "less",
        format: formatFactor,
        read: ({ readBytes, bytes }) => over(readBytes, bytes),
      },
      {
        title: "space",
        topic: "space",
        hint: "bytes on disk / bytes of living keys and values",
        better: "less",
        format: formatFactor,
        read: ({ diskBytes, liveBytes }) => over(diskBytes, liveBytes),
      },
      {
        title: "on disk at the end",
        better: "less",
        format: formatBytes,
        read: ({ diskBytes }) => diskBytes,
      },
    ],
  },
  {
    title: "Memory",
    metrics: [
      {
        title: "peak RSS",
        topic: "peak RSS",
        better: "less",
        format: formatBytes,
        read: ({ peakRssBytes }) => peakRssBytes,
      },
    ],
  },
  {
    title: "CPU, all threads",
    metrics: [
      {
        title: "per operation",
        topic: "CPU per operation",
        better: "less",
        format: formatMs,
        read: ({ cpuMs, ops }) => over(sum(cpuMs), ops),
      },
      {
        title: "cores busy",
        hint: "CPU time / time of the phase, drain included",
        format: (value) => value.toFixed(2),
        read: ({ cpuMs, ms, drainMs = 0 }) => over(sum(cpuMs), ms + drainMs),
      },
      { title: "user", format: formatMs, read: ({ cpuMs }) => cpuMs?.user },
      { title: "system", format: formatMs, read: ({ cpuMs }) => cpuMs?.system },
    ],
  },
  {
    title: "Event-loop delay",
    metrics: (["p50", "p99", "p999", "max"] as const).map((part) => ({
      title: part === "p999" ? "p99.9" : part,
      better: "less",
      format: formatMs,
      read: ({ loopDelayMs }: PhaseResult) => loopDelayMs?.[part],
    })),
  },
];

/** Returns the figures of a phase, group by group. */
export function figuresOf(phase: PhaseOutline): readonly FigureGroup[] {
  const groups = GROUPS.map(({ title, metrics }) => ({
    title,
    figures: metrics.map((metric) => figureOf(phase, metric)).filter(hasValues),
  }));
  const counts = namesOf(phase, ({ counts }) => counts).map((name) =>
    figureOf(phase, { title: name, format: formatExact, read: ({ counts }) => own(counts, name) }),
  );
  const wrong = figureOf(phase, {
    title: "wrong answers",
    format: formatCount,
    read: ({ wrong }) => (wrong === 0 ? undefined : wrong),
  });
  const all = [...groups, { title: "Counts", figures: [...counts, wrong].filter(hasValues) }];
  return all.filter(({ figures }) => figures.length > 0);
}

/** Returns the figures of a phase that lead the report: throughput, and the 99th percentile of each operation. */
export function headlinesOf(phase: PhaseOutline): readonly Figure[] {
  const drained = figureOf(phase, drainedThroughput);
  const rate = hasValues(drained) ? drained : figureOf(phase, throughput);
  const tails = kindsOf(phase).map((kind) =>
    figureOf(phase, {
      title: `p99 ${kind}`,
      topic: "p99 latency",
      better: "less",
      format: (us) => formatMs(us / 1000),
      read: ({ latency }) => own(latency, kind)?.p99Us,
    }),
  );
  return [rate, ...tails].filter(hasValues);
}

/** Returns what a phase takes from the machine: the figures that the head of the report counts, but does not list. */
export function costsOf(phase: PhaseOutline): readonly Figure[] {
  return figuresOf(phase)
    .filter(({ title }) => title !== "Throughput")
    .flatMap(({ figures }) => figures.filter(({ topic }) => topic !== undefined));
}

/** Returns the kinds of operations whose latency a phase has. */
export function kindsOf(phase: PhaseOutline): readonly string[] {
  return namesOf(phase, ({ latency }) => latency);
}

/** Returns the spread of a store's values. */
export function storeSpread(figure: Figure, store: string): Spread | undefined {
  return spreadOf([...(figure.values.get(store)?.values() ?? [])]);
}

/** Returns how many times better the first store is than the second; `undefined` where that has no sense. */
export function compare(figure: Figure, subject: string, peer: string): Spread | undefined {
  const a = figure.values.get(subject);
  const b = figure.values.get(peer);
  if (figure.better === undefined || a === undefined || b === undefined) return undefined;
  return ratioOf(a, b, figure.better);
}

/** Returns an own property of a record that came from outside. */
export function own<T>(
  record: Readonly<Record<string, T>> | undefined,
  name: string,
): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}

function figureOf(phase: PhaseOutline, { read, ...metric }: Metric): Figure {
  const values = new Map<string, Map<number, number>>();
  for (const [store, repeats] of phase.results) {
    const read_ = new Map<number, number>();
    for (const [repeat, result] of repeats) {
      const value = read(result);
      if (isNumber(value)) read_.set(repeat, value);
    }
    if (read_.size > 0) values.set(store, read_);
  }
  return { ...metric, values };
}

function hasValues({ values }: Figure): boolean {
  return values.size > 0;
}

function namesOf(
  phase: PhaseOutline,
  read: (result: PhaseResult) => Readonly<Record<string, unknown>> | undefined,
): readonly string[] {
  const names = new Set<string>();
  for (const repeats of phase.results.values()) {
    for (const result of repeats.values()) {
      for (const name of Object.keys(read(result) ?? {})) names.add(name);
    }
  }
  return [...names];
}

/** A phase that only reads has no write amplification: what it writes has no user bytes to stand against. */
function isReadOnly({ latency }: PhaseResult): boolean {
  const kinds = Object.keys(latency ?? {});
  return kinds.length > 0 && kinds.every((kind) => /^(read|get|scan|seek|absent)/i.test(kind));
}

function sum(cpuMs: PhaseResult["cpuMs"] | undefined): number | undefined {
  return cpuMs === undefined ? undefined : cpuMs.user + cpuMs.system;
}

function over(part: number | undefined, whole: number | undefined): number | undefined {
  return part === undefined || whole === undefined || whole <= 0 ? undefined : part / whole;
}

function formatFactor(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

function formatExact(value: number): string {
  return Number.isInteger(value) ? formatCount(value) : String(Number(value.toPrecision(4)));
}
