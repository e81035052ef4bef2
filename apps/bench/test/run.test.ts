import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type BenchOptions, parseOptions, UsageError } from "../src/options.ts";
import type { BenchResult } from "../src/result.ts";
import { runBench } from "../src/run.ts";
import { temporaryFolder } from "./support/folder.ts";
import { localRun } from "./support/local-host.ts";
import { type Faults, mapStore } from "./support/map-store.ts";

const defaults = parseOptions(["--workload", "names", "--count", "200"]);

async function run(
  options: Partial<BenchOptions>,
  {
    faults = {},
    signal = new AbortController().signal,
  }: { faults?: Faults; signal?: AbortSignal } = {},
): Promise<{ code: number; text: string; result: BenchResult }> {
  let text = "";
  const json = join(temporaryFolder(), "result.json");
  const output = { write: (part: string) => (text += part) };
  const hosts = localRun(({ store }) => mapStore(store === "aura" ? faults : {}));
  const all = { ...defaults, json, ...options };
  const code = await runBench(all, output, signal, hosts);
  return { code, text, result: JSON.parse(readFileSync(json, "utf8")) as BenchResult };
}

describe("runBench with the names job", () => {
  test("prints stores and table, and writes the result", async () => {
    const { code, text, result } = await run({});
    expect(code).toBe(0);
    expect(text).toContain("200 keys of ");
    expect(text).toContain("rocksdb: map 0.0.0\n  set: kept=in memory");
    expect(text).toMatch(/load until drained .*\/s/);
    expect(text).toContain("values read back that were wrong: 0");
    expect(result).toMatchObject({ format: 1, options: { seed: 1, count: 200 } });
    expect(result.machine.node).toBe(process.version);
    expect(result.stores.map(({ store }) => store)).toEqual(["aura", "rocksdb"]);
    expect(result.runs[1]!.phases[0]).toMatchObject({ name: "load", ops: 200 });
  });

  test("fails with 1 when a value is wrong, and when a store fails", async () => {
    const wrong = await run({}, { faults: { get: () => Buffer.from("x") } });
    expect(wrong.code).toBe(1);
    expect(wrong.text).not.toContain("that were wrong: 0");
    const fail = (method: string) => (method === "drain" ? new Error("no disk") : undefined);
    const failed = await run({}, { faults: { fail } });
    expect(failed.code).toBe(1);
    expect(failed.text).toContain("of it: until accepted");
    expect(failed.text).toContain("failed: no disk");
  });

  test("ends with 130 when interrupted, and leaves table and file of what ran", async () => {
    const interrupt = new AbortController();
    const fail = (method: string) => {
      if (method === "put") interrupt.abort(new Error("interrupted"));
      return undefined;
    };
    const { code, text, result } = await run({}, { faults: { fail }, signal: interrupt.signal });
    expect(code).toBe(130);
    expect(text).toContain("ordered scan");
    expect(text).not.toContain("reopen, drained");
    expect(result.interrupted).toBe(true);
    expect(result.runs[0]!.phases.map(({ name }) => name)).toContain("ordered scan");
  });

  test("takes the user's names, and leaves the databases in the user's folder", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "names.json");
    writeFileSync(data, JSON.stringify(["left-pad", "@scope/name", "ünï", "left-pad"]));
    const dir = join(folder, "databases");
    const { code, text } = await run({ data, dir, stores: ["aura"] });
    expect(code).toBe(0);
    expect(text).toContain("3 keys of ");
    expect(existsSync(dir)).toBe(true);
    expect(readdirSync(dir)).toEqual(["aura"]);
  });

  test("refuses a folder that is not empty, and files that cannot be used", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "names.txt");
    writeFileSync(data, "\n\n");
    await expect(run({ dir: folder })).rejects.toThrow("not empty");
    await expect(run({ data })).rejects.toThrow("none found");
    await expect(run({ data: join(folder, "missing") })).rejects.toThrow("cannot read");
    for (const dir of [data, join(data, "below"), "/proc/not/there"]) {
      await expect(run({ dir }), dir).rejects.toThrow(UsageError);
    }
    const file = join(folder, "missing", "x");
    await expect(run({ json: folder })).rejects.toThrow("--json");
    await expect(run({ report: file })).rejects.toThrow("--report");
    await expect(run({ json: "x", report: "./x" })).rejects.toThrow("the same file");
  });

  test("a file that cannot be written at the end fails the run, and costs nothing else", async () => {
    const folder = temporaryFolder();
    const parent = join(folder, "reports");
    mkdirSync(parent);
    const fail = (method: string) => {
      if (method === "drain") rmSync(parent, { recursive: true, force: true });
      return undefined;
    };
    const report = join(parent, "page.html");
    const { code, text, result } = await run({ report }, { faults: { fail } });
    expect(code).toBe(1);
    expect(text).toContain(`failed: ${report} could not be written`);
    expect(result.runs).toHaveLength(2);
  });
});

describe("runBench with workloads", () => {
  const small = {
    workloads: ["ycsb-a", "ycsb-d", "ycsb-e", "ycsb-f", "dynamic", "space"],
    count: 300,
    ops: 300,
    repeat: 2,
    controls: false,
  };

  test("runs each on each store in each repeat, and every answer is right", async () => {
    const { code, text, result } = await run(small);
    expect(text).toContain("values read back that were wrong: 0");
    expect(code).toBe(0);
    expect(result.runs).toHaveLength(6 * 2 * 2);
    for (const { phases } of result.runs) {
      expect(phases[0]).toMatchObject({ name: "load", ops: 300, wrong: 0 });
      for (const phase of phases) {
        expect(phase.ms).toBeGreaterThan(0);
        expect(phase.series.reduce((sum, { ops }) => sum + ops, 0)).toBe(phase.ops);
        const counted = Object.values(phase.latency).reduce((sum, { count }) => sum + count, 0);
        if (phase.name !== "load") expect(counted).toBe(phase.ops);
      }
    }
    expect(result.runs.find(({ workload }) => workload === "space")!.phases[1]!.space!.length).toBe(
      11,
    );
    expect(text).toMatch(/ycsb-f.*aura.*rocksdb.*ratio.*repeats/);
  });

  test("with sync calls, one at a time, and by time: every answer is right", async () => {
    for (const change of [{ sync: true }, { inFlight: 1 }, { ops: undefined, durationMs: 60 }]) {
      const { text, result } = await run({ ...small, workloads: ["ycsb-a", "ycsb-e"], ...change });
      expect(text).toContain("values read back that were wrong: 0");
      const timed = result.runs[0]!.phases[1]!;
      if ("durationMs" in change) expect(timed.ms).toBeGreaterThan(55);
    }
  });

  test("names, cities and own files serve as keys; too few of them are refused", async () => {
    const data = join(temporaryFolder(), "keys.txt");
    writeFileSync(data, Array.from({ length: 900 }, (_, i) => `key ${i}`).join("\n"));
    for (const change of [{ keys: "names" }, { keys: "cities" }, { data }] as const) {
      const { text } = await run({ ...small, workloads: ["ycsb-e"], ...change });
      expect(text).toContain("values read back that were wrong: 0");
    }
    await expect(run({ ...small, workloads: ["ycsb-c"], data, count: 901 })).rejects.toThrow(
      "give 900 keys, 901 are needed",
    );
  });

  test("counts wrong answers, whatever the kind of operation", async () => {
    const wrongGet = await run(
      { ...small, workloads: ["ycsb-c"] },
      { faults: { get: (_, value) => Buffer.from(value!).reverse() } },
    );
    expect(wrongGet.code).toBe(1);
    expect(wrongGet.result.runs[0]!.phases[1]!.wrong).toBe(300);
    const wrongScan = await run(
      { ...small, workloads: ["ycsb-e"] },
      {
        faults: { scan: ({ keys, values }) => ({ keys: keys.slice(1), values: values.slice(1) }) },
      },
    );
    expect(wrongScan.result.runs[0]!.phases[1]!.wrong).toBeGreaterThan(250);
  });

  test("a store that fails drops out; the other one goes on", async () => {
    let puts = 0;
    const fail = (method: string) =>
      method === "put" && ++puts > 50 ? new Error("disk on fire") : undefined;
    const { code, text, result } = await run(
      { ...small, workloads: ["ycsb-a"] },
      { faults: { fail } },
    );
    expect(code).toBe(1);
    expect(text).toContain("failed: aura, ycsb-a: disk on fire");
    const [aura, rocksdb] = result.runs;
    expect(aura!.failure).toBe("disk on fire");
    expect(rocksdb!.phases.map(({ name, ops }) => [name, ops])).toEqual([
      ["load", 300],
      ["run", 300],
    ]);
  });

  test("interrupted, it leaves what the slices said", async () => {
    const interrupt = new AbortController();
    let puts = 0;
    const fail = (method: string) => {
      if (method === "put" && ++puts > 100) interrupt.abort(new Error("interrupted"));
      return undefined;
    };
    const { code, text, result } = await run(
      { ...small, workloads: ["ycsb-a"] },
      { faults: { fail }, signal: interrupt.signal },
    );
    expect(code).toBe(130);
    expect(text).toContain("interrupted: tables and files hold what ran");
    expect(result.interrupted).toBe(true);
    const [, partial] = result.runs[0]!.phases;
    expect(partial!.ops).toBeGreaterThan(0);
    expect(partial!.ops).toBeLessThan(300);
  });
});
