import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { compareWithBaseline, findChanges, readBaseline } from "../src/baseline.ts";
import type { Clock } from "../src/clock.ts";
import { OpsJob } from "../src/ops-job.ts";
import { budgetOf, setupOf } from "../src/ops-run.ts";
import { parseOptions } from "../src/options.ts";
import { Random } from "../src/random.ts";
import type { BenchResult, PhaseResult, RunResult } from "../src/result.ts";
import type { StoreKind } from "../src/stores/store.ts";
import { workloadOf } from "../src/workloads/catalog.ts";
import { temporaryFolder } from "./support/folder.ts";
import { localOpsHosts } from "./support/local-host.ts";
import { mapStore } from "./support/map-store.ts";

function phaseOf(rate: number, counts: Readonly<Record<string, number>> = {}): PhaseResult {
  return {
    name: "run",
    startedMs: 0,
    ops: 1_000_000,
    bytes: 1,
    ms: (1_000_000 / rate) * 1000,
    latency: {},
    series: [],
    background: [],
    cpuMs: { user: 0, system: 0 },
    diskBytes: 0,
    peakRssBytes: 1,
    counts,
  };
}

function resultOf(runs: readonly RunResult[]): BenchResult {
  const stores = [...new Set(runs.map(({ store }) => store))];
  return {
    format: 1,
    startedAt: "2026-01-01T00:00:00.000Z",
    command: "",
    machine: {
      cpu: "",
      cores: 1,
      memoryBytes: 1,
      system: "",
      node: "",
      fileSystem: "",
      load: 0,
    },
    options: {},
    stores: stores.map((store) => ({ store, package: store, version: "0", flags: {} })),
    runs,
  };
}

/** A result of three repeats: rates spread by 2 %, all of a run times `machine`, those of aura times `speed`. */
function synthetic(
  seed: number,
  options: { speed?: number; machine?: number; peer?: boolean } = {},
): BenchResult {
  const { speed = 1, machine = 1, peer = true } = options;
  const random = new Random(seed, 1);
  const runs: RunResult[] = [];
  for (let repeat = 0; repeat < 3; repeat++) {
    // What disturbs a repeat hits both stores.
    const weather = machine * (0.97 + 0.06 * random.unit());
    const rate = (base: number): number => base * weather * (0.99 + 0.02 * random.unit());
    const stores = peer ? (["aura", "rocksdb"] as const) : (["aura"] as const);
    for (const store of stores) {
      const phase = phaseOf(rate(store === "aura" ? 200_000 * speed : 90_000));
      runs.push({ workload: "ycsb-a", store, repeat, phases: [phase] });
    }
  }
  return resultOf(runs);
}

describe("findChanges", () => {
  test("names a slowdown of 10 %, and says what it was compared with", () => {
    for (let seed = 0; seed < 50; seed++) {
      const changes = findChanges(synthetic(seed), synthetic(seed + 1000, { speed: 0.9 }));
      expect(changes).toHaveLength(1);
      expect(changes[0]).toMatchObject({
        workload: "ycsb-a",
        store: "aura",
        phase: "run",
        title: "throughput",
        against: "rocksdb",
      });
      expect(changes[0]!.factor).toBeGreaterThan(0.87);
      expect(changes[0]!.factor).toBeLessThan(0.93);
    }
    const { text, countsGrew } = compareWithBaseline(synthetic(1), synthetic(2, { speed: 0.9 }));
    expect(text).toMatch(/ycsb-a run, aura: throughput \d+ % WORSE, as a ratio to rocksdb/);
    expect(countsGrew).toBe(false);
  });

  test("names nothing when nothing changed, not even on a slower machine", () => {
    for (let seed = 0; seed < 200; seed++) {
      const machine = 0.7 + 0.002 * seed;
      expect(findChanges(synthetic(seed), synthetic(seed + 1000, { machine }))).toEqual([]);
    }
    const same = compareWithBaseline(synthetic(1), synthetic(2));
    expect(same.text).toContain("nothing changed beyond the noise");
  });

  test("without another store the noise of the machine counts", () => {
    for (let seed = 0; seed < 100; seed++) {
      const before = synthetic(seed, { peer: false });
      expect(findChanges(before, synthetic(seed + 1000, { peer: false }))).toEqual([]);
      const slow = findChanges(before, synthetic(seed + 1000, { peer: false, speed: 0.8 }));
      expect(slow).toHaveLength(1);
      expect(slow[0]!.against).toBeUndefined();
    }
  });

  test("short phases, and ratios of values that spread far, name nothing", () => {
    const short = (result: BenchResult): BenchResult => ({
      ...result,
      runs: result.runs.map((run) => ({
        ...run,
        phases: run.phases.map((phase) => ({ ...phase, ms: phase.ms / 50, ops: phase.ops / 50 })),
      })),
    });
    expect(findChanges(short(synthetic(1)), short(synthetic(2, { speed: 0.6 })))).toEqual([]);
    const wild = (result: BenchResult): BenchResult => ({
      ...result,
      runs: result.runs.map((run) => ({
        ...run,
        phases: run.phases.map((phase) => ({ ...phase, ms: phase.ms * (1 + run.repeat / 4) })),
      })),
    });
    expect(findChanges(wild(synthetic(1)), wild(synthetic(2, { speed: 0.92 })))).toEqual([]);
    expect(findChanges(wild(synthetic(1)), wild(synthetic(2, { speed: 0.7 })))).toHaveLength(1);
  });

  test("a speedup is one, and one repeat names large changes only", () => {
    const [better] = findChanges(synthetic(1), synthetic(2, { speed: 1.2 }));
    expect(better!.factor).toBeGreaterThan(1.15);
    const single = (speed: number): BenchResult => {
      const { runs, ...rest } = synthetic(3, { speed });
      return { ...rest, runs: runs.filter(({ repeat }) => repeat === 0) };
    };
    expect(findChanges(single(1), single(0.85))).toEqual([]);
    expect(findChanges(single(1), single(0.5))).toHaveLength(1);
    expect(compareWithBaseline(single(1), single(1)).text).toContain("fewer than 3 repeats");
  });

  test("counts that grow by over 5 % fail, whatever the repeats; fewer do not", () => {
    const counted = (syncs: number, blocks: number): BenchResult =>
      resultOf([
        {
          workload: "counts",
          store: "aura",
          repeat: 0,
          phases: [phaseOf(1000, { syncs, blocks, none: 0 })],
        },
      ]);
    const compare = (syncs: number, blocks: number) =>
      compareWithBaseline(counted(1, 2), counted(syncs, blocks));
    expect(compare(1.04, 2).countsGrew).toBe(false);
    const grown = compare(1.06, 2);
    expect(grown.countsGrew).toBe(true);
    expect(grown.text).toContain("syncs per operation");
    expect(grown.text).toContain("GREW: this fails the run (1.000 to 1.060)");
    const fewer = compare(1, 1);
    expect(fewer.countsGrew).toBe(false);
    expect(fewer.text).toContain("blocks per operation fell (2.000 to 1.000)");
  });
});

test("a file that is no result is refused", () => {
  const folder = temporaryFolder();
  const file = join(folder, "x.json");
  expect(() => readBaseline(file)).toThrow("cannot read the baseline");
  writeFileSync(file, "{");
  expect(() => readBaseline(file)).toThrow("cannot read the baseline");
  writeFileSync(file, JSON.stringify({ ...synthetic(1), format: 99 }));
  expect(() => readBaseline(file)).toThrow("no result of format 1");
  const whole = synthetic(1);
  const [run] = whole.runs;
  const broken: unknown[] = [
    null,
    [],
    { format: 1, runs: [{}] },
    { ...whole, startedAt: undefined },
    { ...whole, stores: [{}] },
    { ...whole, runs: [{ ...run, repeat: "0" }] },
    { ...whole, runs: [{ ...run, phases: [null] }] },
    ...["ops", "ms", "latency", "cpuMs"].map((field) => {
      return { ...whole, runs: [{ ...run, phases: [{ ...run!.phases[0], [field]: null }] }] };
    }),
  ];
  for (const value of broken) {
    writeFileSync(file, JSON.stringify(value));
    expect(() => readBaseline(file), JSON.stringify(value)).toThrow("no result of format 1");
  }
  writeFileSync(file, JSON.stringify(synthetic(1)));
  expect(readBaseline(file)).toEqual(synthetic(1));
});

describe("a run of stores that take a fixed time for each operation", () => {
  /** Time that only the stores let pass, each operation a little more or less. */
  class StoreClock implements Clock {
    ms = 0;
    readonly random = new Random(11);
    now(): number {
      return this.ms;
    }
    async sleep(ms: number): Promise<void> {
      this.ms += ms;
    }
    async turn(): Promise<void> {}
    work(ms: number): void {
      this.ms += ms * (0.5 + this.random.unit());
    }
  }

  async function run(auraMs: number): Promise<BenchResult> {
    const clock = new StoreClock();
    const delayed = (ms: number): StoreKind => {
      const kind = mapStore();
      return {
        ...kind,
        open: async (path, budget) => {
          const store = await kind.open(path, budget);
          return {
            ...store,
            get: (key) => {
              clock.work(ms);
              return store.get(key);
            },
            put: (key, value) => {
              clock.work(ms);
              return store.put(key, value);
            },
          };
        },
      };
    };
    const workload = workloadOf("ycsb-b");
    const options = parseOptions(
      "--workload ycsb-b --count 200 --ops 1000 --in-flight 1".split(" "),
    );
    const setup = setupOf(workload, options);
    const budget = budgetOf(workload, options, setup);
    const runs: RunResult[] = [];
    for (let repeat = 0; repeat < 3; repeat++) {
      const folder = temporaryFolder();
      const job = new OpsJob({
        workload: "ycsb-b",
        repeat,
        stores: (["aura", "rocksdb"] as const).map((store) => {
          return { store, path: `${folder}/${store}`, budget, ops: setup };
        }),
        plans: workload.phases(setup.sizes),
        durationMs: undefined,
        startHost: localOpsHosts(({ store }) => delayed(store === "aura" ? auraMs : 2), [], clock),
        progress: { begin: () => {}, step: () => {}, end: () => {} },
        signal: new AbortController().signal,
      });
      await job.run();
      // The rest of a phase was measured in real time, which is not what this is about.
      runs.push(
        ...job.runs.map((one) => ({
          ...one,
          phases: one.phases.map((phase) => ({
            ...phase,
            cpuMs: { user: 0, system: 0 },
            diskBytes: 0,
            writtenBytes: 0,
          })),
        })),
      );
    }
    return resultOf(runs);
  }

  test("10 % more for each is named, the same again is not", async () => {
    const before = await run(1);
    expect(findChanges(before, await run(1))).toEqual([]);
    const titles = findChanges(before, await run(1.11)).map(
      ({ phase, title, factor }) => `${phase} ${title} ${factor < 1 ? "worse" : "better"}`,
    );
    expect(titles).toContain("run throughput worse");
    expect(titles.every((title) => title.endsWith("worse"))).toBe(true);
  });
});
