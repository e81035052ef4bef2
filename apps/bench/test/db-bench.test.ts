import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseDbBench } from "../src/db-bench-output.ts";
import { dbBenchArguments } from "../src/db-bench-run.ts";
import { budgetOf, setupOf } from "../src/ops-run.ts";
import { parseOptions } from "../src/options.ts";
import { workloadOf } from "../src/workloads/catalog.ts";

/** What db_bench 7.8.3 of Debian printed, as it was. */
const real = readFileSync(new URL("./support/db-bench-7.8.3.txt", import.meta.url), "latin1");

describe("parseDbBench", () => {
  const output = parseDbBench(real);

  test("finds version, warning and all benchmarks", () => {
    expect(output.version).toBe("7.8.3");
    expect(output.hasAssertions).toBe(true);
    expect(output.figures.map(({ name }) => name)).toEqual([
      "fillseq",
      "overwrite",
      "readrandom",
      "readmissing",
      "readseq",
      "seekrandom",
      "readwhilewriting",
    ]);
  });

  test("reads figures and latencies", () => {
    expect(output.figures[0]!.latency).toMatchObject({
      count: 20_000,
      meanUs: 3.1222,
      p50Us: 1.63,
      p99Us: 4.67,
      maxUs: 7508,
    });
    const [fill, , read, missing] = output.figures;
    expect(fill).toMatchObject({ ops: 20_000, seconds: 0.062, megabytesPerSecond: 35.4 });
    expect(read!.ops).toBe(20_000);
    expect(missing!.megabytesPerSecond).toBeUndefined();
    for (const { latency, ops } of output.figures) {
      expect(latency!.p50Us).toBeLessThanOrEqual(latency!.p90Us + 1);
      expect(latency!.p90Us).toBeLessThanOrEqual(latency!.p999Us * 1.5);
      expect(latency!.curve.at(-1)![0]).toBe(100);
      expect(latency!.count).toBeGreaterThanOrEqual(ops * 0.5);
    }
  });

  test("finds nothing in what is no output of it", () => {
    expect(parseDbBench("").figures).toEqual([]);
    expect(parseDbBench("readrandom : failed\nCount: 3")).toEqual({
      version: undefined,
      hasAssertions: false,
      figures: [],
    });
    const cut = real.slice(0, real.indexOf("Percentiles"));
    expect(parseDbBench(cut).figures).toHaveLength(1);
  });
});

test("it is given the parameters of the stores", () => {
  const argv = "--workload readrandom --count 1000 --ops 500 --value-size 200 --durability sync";
  const options = parseOptions(argv.split(" "));
  const workload = workloadOf("readrandom");
  const setup = setupOf(workload, options);
  const order = { name: "readrandom", setup, budget: budgetOf(workload, options, setup) };
  expect(dbBenchArguments(order, "/x")).toEqual(
    expect.arrayContaining([
      "--benchmarks=fillseq,waitforcompaction,readrandom",
      "--num=1000",
      "--reads=500",
      "--key_size=16",
      "--value_size=200",
      "--sync=1",
      "--compression_type=none",
      "--cache_size=33554432",
    ]),
  );
});
