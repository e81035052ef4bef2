/** Results as a run leaves them, made up from a seed: stores that differ, wobble, stall and compact. */
import { Random } from "../../src/random.ts";
import type {
  BenchResult,
  Latency,
  PhaseResult,
  RunResult,
  Slice,
  StoreInfo,
  Work,
} from "../../src/result.ts";
import { RESULT_FORMAT } from "../../src/result.ts";

/** What a made-up run consists of. */
export interface SampleSettings {
  readonly stores?: readonly string[];
  readonly repeats?: number;
  readonly workloads?: readonly string[];
  readonly seed?: number;
}

/** How a store behaves: rates of each kind of operation, size of its tail, whether it compacts. */
interface Character {
  readonly readRate: number;
  readonly writeRate: number;
  readonly tail: number;
  readonly compacts: boolean;
  readonly amplification: number;
  readonly space: number;
  readonly rss: number;
}

const CHARACTERS: readonly Character[] = [
  {
    readRate: 210e3,
    writeRate: 145e3,
    tail: 1,
    compacts: true,
    amplification: 3.1,
    space: 1.16,
    rss: 190,
  },
  {
    readRate: 96e3,
    writeRate: 118e3,
    tail: 1.5,
    compacts: true,
    amplification: 4.9,
    space: 1.22,
    rss: 165,
  },
  {
    readRate: 250e3,
    writeRate: 64e3,
    tail: 0.8,
    compacts: false,
    amplification: 9.4,
    space: 1.95,
    rss: 420,
  },
  {
    readRate: 71e3,
    writeRate: 148e3,
    tail: 1.1,
    compacts: true,
    amplification: 4.2,
    space: 1.3,
    rss: 140,
  },
];

/** Kinds of operations of a workload, with their shares. */
const MIXES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  load: { insert: 1 },
  "ycsb-a": { read: 0.5, update: 0.5 },
  "ycsb-c": { read: 1 },
  "ycsb-e": { scan: 0.95, insert: 0.05 },
};

const WRITES: ReadonlySet<string> = new Set(["insert", "update", "rmw"]);
const SLICE_MS = 500;

/** Returns a result; equal settings give equal results. */
export function sampleResult(settings: SampleSettings = {}): BenchResult {
  const { stores = ["aura"], repeats = 3, workloads = ["load", "ycsb-a"], seed = 1 } = settings;
  const random = new Random(seed);
  const runs: RunResult[] = [];
  for (const workload of workloads) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      stores.forEach((store, i) => {
        const phases = [samplePhase(workload, CHARACTERS[i % CHARACTERS.length]!, random)];
        runs.push({ workload, store, repeat, phases });
      });
    }
  }
  return {
    format: RESULT_FORMAT,
    startedAt: "2025-03-14T09:26:53.589Z",
    command: `npm run bench -- workloads --run ${workloads.join(",")} --compare ${stores.slice(1).join(",")} --repeats ${repeats} --count 2000000 --value-bytes 400 --seed ${seed} --json results.json --page report.html`,
    machine: {
      cpu: "AMD EPYC 7B13",
      cores: 2,
      memoryBytes: 24 * 2 ** 30,
      system: "Linux 6.1.0 x64",
      node: "v20.20.2",
      fileSystem: "ext4",
      load: 0.12,
    },
    commit: "0123456789abcdef0123456789abcdef01234567",
    options: { count: 2_000_000, keyBytes: 24, valueBytes: 400, seed, durability: "none", repeats },
    stores: stores.map((store, i) => sampleStore(store, i)),
    runs,
  };
}

function sampleStore(store: string, position: number): StoreInfo {
  return {
    store,
    package: position === 0 ? "@aura/engine" : `${store}-native`,
    version: `${position}.4.${position + 1}`,
    flags: {
      memtableBytes: 64 * 2 ** 20,
      cacheBytes: 32 * 2 ** 20,
      compression: "none",
      filterPolicy: { bloomBitsPerKey: 10 },
    },
    facts: { "block-cache-capacity": 32 * 2 ** 20, version: "9.7.4" },
    ...(position === 0 ? {} : { note: "Set as its documentation advises." }),
  };
}

function samplePhase(workload: string, store: Character, random: Random): PhaseResult {
  const mix = Object.entries(MIXES[workload] ?? { read: 0.5, update: 0.5 });
  const writeShare = mix.reduce((sum, [kind, share]) => sum + (WRITES.has(kind) ? share : 0), 0);
  const slow = mix.some(([kind]) => kind === "scan") ? 0.04 : 1;
  const wobble = 1 + (random.unit() - 0.5) * 0.16;
  const usPerOp = (1e6 * writeShare) / store.writeRate + (1e6 * (1 - writeShare)) / store.readRate;
  const rate = (wobble * slow * 1e6) / usPerOp;
  const ops = Math.round(slow * 2_000_000);
  const background =
    writeShare > 0 && store.compacts ? sampleWork((ops / rate) * 1000, random) : [];
  const series = sampleSeries(ops, rate, store, background, random);
  const last = series.at(-1)!;
  const ms = last.atMs + Math.max(20, Math.min(SLICE_MS, (last.ops / rate) * 1000));
  const bytes = ops * 424;
  const latency = Object.fromEntries(
    mix.map(([kind, share]) => [kind, sampleLatency(ops * share, 1e6 / rate, store, random)]),
  );
  const drainMs = 300 + random.below(900);
  const writtenBytes = bytes * writeShare * store.amplification * wobble;
  return {
    name: workload === "load" ? "load" : "run",
    startedMs: 0,
    ops,
    bytes,
    ms,
    ...(writeShare > 0 ? { drainMs } : {}),
    wrong: 0,
    latency,
    series,
    background,
    loopDelayMs: {
      p50: 1.1 * store.tail,
      p99: 2.4 * store.tail * wobble,
      p999: 6 * store.tail,
      max: 14 * store.tail * wobble,
    },
    cpuMs: { user: ms * 1.1 * wobble, system: ms * 0.21 * store.tail },
    writtenBytes,
    deviceBytes: writtenBytes * 0.93,
    readBytes: bytes * (1 - writeShare) * 1.4,
    diskBytes: 2_000_000 * 424 * store.space,
    liveBytes: 2_000_000 * 424,
    peakRssBytes: store.rss * 2 ** 20 * wobble,
    counts: { syncs: 0, "blocks read per operation": store.tail * 0.83 },
    space: series.map(({ atMs }, i) => ({
      atMs,
      diskBytes: (i + 1) * 1e6 * (store.space + 0.12 * Math.sin(i / 3)),
      liveBytes: (i + 1) * 1e6,
    })),
  };
}

function sampleWork(ms: number, random: Random): Work[] {
  const works: Work[] = [];
  for (let at = 400; at < ms; at += 900 + random.below(500)) {
    works.push({ fromMs: at, toMs: at + 180 + random.below(120), kind: "flush" });
    if (random.unit() < 0.4) {
      works.push({ fromMs: at + 100, toMs: at + 900 + random.below(1500), kind: "compaction" });
    }
    if (random.unit() < 0.1) works.push({ fromMs: at, toMs: at + 700, kind: "gc" });
  }
  works.push({ fromMs: ms, toMs: ms + 600, kind: "drain" });
  return works;
}

function sampleSeries(
  ops: number,
  rate: number,
  store: Character,
  background: readonly Work[],
  random: Random,
): Slice[] {
  const slices: Slice[] = [];
  for (let left = ops, atMs = 0; left > 0; atMs += SLICE_MS) {
    const busy = background.some(
      ({ kind, fromMs, toMs }) => kind === "compaction" && fromMs < atMs + SLICE_MS && toMs > atMs,
    );
    const speed = (busy ? 0.82 : 1.05) * (0.95 + random.unit() * 0.1);
    const done = Math.min(left, Math.round((rate * SLICE_MS * speed) / 1000));
    const p99Us = (1e6 / rate) * 9 * store.tail * (busy ? 2.6 : 1) * (0.8 + random.unit() * 0.4);
    slices.push({ atMs, ops: done, p99Us, maxUs: p99Us * 12 });
    left -= done;
  }
  return slices;
}

/** A body around the mean, and a tail that grows by a power of what is left. */
function sampleLatency(ops: number, meanUs: number, store: Character, random: Random): Latency {
  const count = Math.max(1, Math.round(ops));
  const wobble = 0.92 + random.unit() * 0.16;
  const at = (percentile: number): number => {
    const left = Math.max(1 - percentile / 100, 1 / count);
    const body = meanUs * 0.55 * (1 + (percentile / 100) ** 2);
    const pause = percentile > 99.95 ? 900 * store.tail : 0;
    return wobble * (body + meanUs * 0.35 * store.tail * left ** -0.55 + pause);
  };
  const curve: [number, number][] = [];
  for (let x = 0; 10 ** x < count; x += 0.06) {
    const percentile = 100 - 100 / 10 ** x;
    curve.push([percentile, at(percentile)]);
  }
  curve.push([100, at(100) * 1.3]);
  return {
    count,
    meanUs: at(50) * 1.35,
    p50Us: at(50),
    p90Us: at(90),
    p99Us: at(99),
    p999Us: at(99.9),
    maxUs: at(100) * 1.3,
    curve,
  };
}

/** Returns a result whose names and texts try to be more than text. */
export function hostileResult(): BenchResult {
  const break_ = "</script><script>alert(1)</script>";
  const image = `"><img src=x onerror=alert(1)>'`;
  const result = sampleResult({
    stores: [break_, "constructor", `<b onmouseover="alert(1)">\u202e\u0000`],
    workloads: ["<!--<script>", "__proto__", image, "\u2028\ud800"],
    repeats: 2,
  });
  // Through JSON, as a file would come: there `__proto__` is a name like any other.
  const text = JSON.stringify(result)
    .replaceAll('"read":{"count"', '"__proto__":{"count"')
    .replaceAll('"kind":"gc"', `"kind":${JSON.stringify(image)}`);
  const read = JSON.parse(text) as BenchResult;
  const runs = read.runs.map((run, i) => (i === 3 ? { ...run, failure: break_ } : run));
  const flags = { [break_]: image, nested: { [image]: break_ } };
  const stores = read.stores.map((store) => ({ ...store, flags, note: image, version: break_ }));
  return { ...read, stores, runs, command: `${break_} ${image}`, commit: break_, startedAt: image };
}
