/** The contract of an adapter, over every store. */
import { describe, expect, inject, test } from "vitest";
import { createDataSet } from "../src/data-set.ts";
import { composeNames } from "../src/names.ts";
import { OpsBench } from "../src/ops-bench.ts";
import { budgetOf, setupOf } from "../src/ops-run.ts";
import { parseOptions } from "../src/options.ts";
import type { PhaseResult } from "../src/result.ts";
import { StoreBench } from "../src/store-bench.ts";
import { auraStore } from "../src/stores/aura.ts";
import { loadStore } from "../src/stores/catalog.ts";
import { raw } from "../src/stores/raw.ts";
import { type Entries, meetTerms, type Store, type StoreKind } from "../src/stores/store.ts";
import { workloadOf } from "../src/workloads/catalog.ts";
import { smallBudget, temporaryFolder } from "./support/folder.ts";
import { mapStore } from "./support/map-store.ts";

const COUNT = 6000;
const data = createDataSet(composeNames(COUNT, 3), 3);

const kinds: Readonly<Record<string, () => Promise<StoreKind>>> = {
  map: async () => mapStore(),
  aura: async () => auraStore({ workerUrl: new URL(inject("workerUrl")) }),
  rocksdb: () => loadStore("rocksdb"),
  "classic-level": () => loadStore("classic-level"),
  lmdb: () => loadStore("lmdb"),
  "better-sqlite3": () => loadStore("better-sqlite3"),
};

/** Its native part comes by an install script: it may be missing, and then it is left out. */
const hasSqlite = await loadStore("better-sqlite3").then(
  () => true,
  () => false,
);
if (!hasSqlite) delete (kinds as Record<string, unknown>)["better-sqlite3"];

/** Runs all phases of a workload. */
async function runWorkload(
  kind: StoreKind,
  path: string,
  argv: string,
): Promise<readonly Omit<PhaseResult, "startedMs">[]> {
  const options = parseOptions(argv.split(" "));
  const workload = workloadOf(options.workloads[0]!);
  const setup = setupOf(workload, options);
  const { durability, compression } = budgetOf(workload, options, setup);
  const budget = { ...smallBudget, durability, compression };
  const bench = new OpsBench(kind, path, { budget, setup });
  await bench.open();
  const phases: Omit<PhaseResult, "startedMs">[] = [];
  for (const [index, plan] of workload.phases(setup.sizes).entries()) {
    bench.begin(index);
    await bench.slice({ ops: plan.ops });
    phases.push(await bench.finish());
  }
  await bench.close();
  return phases;
}

const key = (text: string): Buffer => Buffer.from(text);

async function collect(entries: AsyncIterable<Entries>): Promise<string[]> {
  const found: string[] = [];
  for await (const { keys, values } of entries) {
    expect(keys.length).toBe(values.length);
    for (const [i, name] of keys.entries()) {
      found.push(`${Buffer.from(name)}=${Buffer.from(values[i]!)}`);
    }
  }
  return found;
}

function textOf(value: Uint8Array | null | undefined): string | undefined {
  return value === null || value === undefined ? undefined : Buffer.from(value).toString();
}

describe.each(Object.entries(kinds))("%s", (_, load) => {
  async function withStore(run: (store: Store) => Promise<void>, path: string): Promise<void> {
    const store = await (await load()).open(path, smallBudget);
    try {
      await run(store);
    } finally {
      await store.close();
    }
  }

  test("gives back what it was given, as long as it is open and after that", async () => {
    const path = `${temporaryFolder()}/db`;
    const check = async (store: Store): Promise<void> => {
      expect(textOf(await store.get(key("b")))).toBe("two");
      expect(textOf(await store.get(key("bb")))).toBeUndefined();
      const many = await store.getMany([key("c"), key("x"), key("a")]);
      expect(many.map(textOf)).toEqual(["3", undefined, "1"]);
      if (store.getSync !== undefined) {
        expect(textOf(store.getSync(key("b")))).toBe("two");
        expect(textOf(store.getSync(key("x")))).toBeUndefined();
      }
    };
    await withStore(async (store) => {
      await store.write({ keys: ["b", "a"].map(key), values: ["2", "1"].map(key) });
      await store.put(key("c"), key("3"));
      await store.put(key("b"), key("two"));
      await check(store);
    }, path);
    await withStore(check, path);
  });

  test("deletes, and does all of it in the calling thread where it can", async () => {
    await withStore(async (store) => {
      await store.put(key("a"), key("1"));
      await store.put(key("b"), key("2"));
      await store.delete(key("a"));
      await store.delete(key("x"));
      expect(textOf(await store.get(key("a")))).toBeUndefined();
      store.putSync?.(key("b"), key("3"));
      store.putSync?.(key("c"), key("4"));
      store.deleteSync?.(key("b"));
      if (store.putSync !== undefined) {
        expect(textOf(await store.get(key("c")))).toBe("4");
        expect(textOf(await store.get(key("b")))).toBeUndefined();
      }
      if (store.scanSync !== undefined) {
        await store.put(key("d"), key("5"));
        const { keys, values } = store.scanSync(key("b"), 5);
        expect(keys.map(textOf)).toEqual(["c", "d"]);
        expect(values.map(textOf)).toEqual(["4", "5"]);
        expect(store.scanSync(key("a"), 1).keys.map(textOf)).toEqual(["c"]);
      }
    }, `${temporaryFolder()}/db`);
  });

  test.each([
    "--workload ycsb-a --count 2000 --ops 2000",
    "--workload ycsb-e --count 1000 --ops 300 --in-flight 8 --compression lz4",
    "--workload ycsb-f --count 1000 --ops 1000 --calls sync",
    "--workload readseq --count 3000",
    "--workload readmissing --count 500 --ops 500",
    "--workload fillrandom --count 300 --durability sync",
    "--workload large-values --count 40 --in-flight 4",
  ])("%s: every answer is right", async (argv) => {
    const path = `${temporaryFolder()}/db`;
    for (const phase of await runWorkload(await load(), path, argv)) {
      expect(phase.wrong).toBe(0);
      expect(phase.ops).toBeGreaterThan(0);
    }
  });

  test("scans in the order of bytes, from a key on, as many as asked for", async () => {
    await withStore(async (store) => {
      const names = ["b", "a", "ab", "z", "ü", "B"];
      await store.write({ keys: names.map(key), values: names.map(key) });
      expect(await collect(store.scan(key("a"), 3))).toEqual(["a=a", "ab=ab", "b=b"]);
      expect(await collect(store.scan(key("aa"), 100))).toEqual(["ab=ab", "b=b", "z=z", "ü=ü"]);
      expect(await collect(store.scan(key("\u{10ffff}"), 1))).toEqual([]);
    }, `${temporaryFolder()}/db`);
  });

  test("goes through the measured calls without a mismatch", async () => {
    const path = `${temporaryFolder()}/db`;
    const kind = await load();
    const bench = new StoreBench(kind, path, smallBudget, data);
    await bench.open();
    expect(bench.describe().package).toBe(kind.name);
    await bench.load(0, 4000);
    await bench.load(4000, COUNT);
    await bench.drain();
    const ways = bench.describe().hasSync
      ? (["each", "many", "sync"] as const)
      : (["each", "many"] as const);
    const samples = [
      await bench.scan(0, COUNT),
      await bench.put("flight", 0, 500),
      await bench.put("each", 500, 1000),
      await bench.putBlobs(0, 10),
      await bench.getBlobs(0, 10, 20),
    ];
    for (const way of ways) {
      samples.push(await bench.get(way, 1, 2000));
      samples.push(await bench.getAbsent(way, 1, 300));
    }
    expect(samples.map(({ mismatches }) => mismatches)).toEqual(samples.map(() => 0));
    await bench.close();

    const again = new StoreBench(kind, path, smallBudget, data);
    await again.open();
    again.assumePuts(0, 1000);
    expect((await again.scan(1000, COUNT)).mismatches).toBe(0);
    expect((await again.getBlobs(1, 10, 20)).mismatches).toBe(0);
    await again.close();
  });
});

describe("the control", () => {
  test("writes as many bytes as it was given, and reads them back", async () => {
    const argv = "--workload large-values --count 50";
    const [write, read, overwrite] = await runWorkload(raw, `${temporaryFolder()}/raw`, argv);
    expect(write!.diskBytes).toBe(write!.bytes);
    expect(overwrite!.diskBytes).toBe(write!.bytes + overwrite!.bytes);
    expect(read!.wrong).toBe(0);
  });

  test("cannot scan", async () => {
    const argv = "--workload seekrandom --count 50 --ops 10";
    await expect(runWorkload(raw, `${temporaryFolder()}/raw`, argv)).rejects.toThrow("cannot scan");
  });
});

test("terms that a store cannot meet are said", () => {
  const kind = { ...mapStore(), cacheBytesFixed: 1024 };
  const { budget, notes } = meetTerms(kind, {
    ...smallBudget,
    durability: "sync",
    compression: "lz4",
  });
  expect(budget).toMatchObject({ durability: "os", compression: "none", cacheBytes: 1024 });
  expect(notes).toHaveLength(3);
  expect(notes[0]).toContain("no level sync");
  expect(meetTerms(mapStore(), smallBudget)).toEqual({ budget: smallBudget, notes: [] });
});

test("AuraDB's counts are the same in each run, but for what its filters let pass", async () => {
  const kind = auraStore({ workerUrl: new URL(inject("workerUrl")) });
  const runs = [];
  for (let i = 0; i < 2; i++) {
    const argv = "--workload counts --count 4000";
    runs.push(await runWorkload(kind, `${temporaryFolder()}/db`, argv));
  }
  for (const [i, { counts, ops }] of runs[0]!.entries()) {
    for (const [name, count] of Object.entries(counts!)) {
      // A false positive reads a block that a later phase then need not read.
      const difference = Math.abs(runs[1]![i]!.counts![name]! - count) * ops;
      expect(difference, name).toBeLessThan(Math.max(3, ops * 0.005));
    }
  }
  expect(runs[0]![0]!.counts).toMatchObject({ syncs: expect.any(Number) });
  expect(runs[0]![0]!.counts!["log bytes"]).toBeGreaterThan(200);
});
