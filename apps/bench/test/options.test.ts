import { describe, expect, test } from "vitest";
import { parseOptions, UsageError } from "../src/options.ts";

describe("parseOptions", () => {
  test("has a default for everything", () => {
    expect(parseOptions([])).toEqual({
      workloads: ["names", "ycsb-a", "ycsb-b", "ycsb-c"],
      count: undefined,
      ops: undefined,
      durationMs: undefined,
      repeat: 1,
      keys: "synthetic",
      keyBytes: undefined,
      valueBytes: undefined,
      compressible: 0,
      distribution: undefined,
      inFlight: 64,
      sync: false,
      rate: undefined,
      durability: "os",
      compression: "none",
      memtableBytes: undefined,
      cacheBytes: undefined,
      data: undefined,
      dir: undefined,
      seed: 1,
      stores: ["aura", "rocksdb"],
      controls: true,
      traceFile: undefined,
      traceSpeed: "full",
      json: "bench-report.json",
      report: "bench-report.html",
      baseline: undefined,
    });
    const { json, report } = parseOptions(["--workload", "ycsb-a"]);
    expect([json, report]).toEqual([undefined, undefined]);
  });

  test("a trace is the workload", () => {
    const argv = "--trace-file x.trace --trace-speed recorded --ops 50 --report page.html";
    expect(parseOptions(argv.split(" "))).toMatchObject({
      workloads: ["trace"],
      traceFile: "x.trace",
      traceSpeed: "recorded",
      ops: 50,
      json: undefined,
      report: "page.html",
    });
  });

  test("takes every option", () => {
    const argv =
      "--workload ycsb-a,space --count 10_000 --duration 2.5 --repeat 3 --keys names --key-size 40 " +
      "--value-size 64k --compressible .5 --distribution uniform --in-flight 1 --calls sync " +
      "--rate 5000 --durability sync --compression lz4 --memtable 16m --cache 8M --no-controls " +
      "--data names.json --dir x --seed 7 --compare lmdb,better-sqlite3 --json out.json " +
      "--baseline old.json";
    expect(parseOptions(argv.split(" "))).toEqual({
      workloads: ["ycsb-a", "space"],
      count: 10_000,
      ops: undefined,
      durationMs: 2500,
      repeat: 3,
      keys: "names",
      keyBytes: 40,
      valueBytes: 65_536,
      compressible: 0.5,
      distribution: "uniform",
      inFlight: 1,
      sync: true,
      rate: 5000,
      durability: "sync",
      compression: "lz4",
      memtableBytes: 16 * 2 ** 20,
      cacheBytes: 8 * 2 ** 20,
      data: "names.json",
      dir: "x",
      seed: 7,
      stores: ["aura", "lmdb", "better-sqlite3"],
      controls: false,
      traceFile: undefined,
      traceSpeed: "full",
      json: "out.json",
      report: undefined,
      baseline: "old.json",
    });
    expect(parseOptions(["--only", "rocksdb"]).stores).toEqual(["rocksdb"]);
    expect(parseOptions(["--compare-rocksdb"]).stores).toEqual(["aura", "rocksdb"]);
  });

  test.each([
    ["--count 0", "whole number"],
    ["--count 1e6", "whole number"],
    ["--count", "argument missing"],
    ["--seed -1", "whole number"],
    ["--only leveldb", "Allowed choices"],
    ["--compare rocksdb,aura", '"aura" is none of'],
    ["--compare lmdb,lmdb", "named twice"],
    ["--only aura --compare lmdb", "cannot be used with"],
    ["--compare lmdb --compare-rocksdb", "cannot be used with"],
    ["--colour", "unknown option"],
    ["extra", "too many arguments"],
    ["--workload ycsb-z", '"ycsb-z" is none of names, ycsb-a'],
    ["--workload ycsb-a,ycsb-a", "named twice"],
    ["--workload ycsb-a --value-size 1x", "such as 1000, 64k or 1m"],
    ["--workload ycsb-a --value-size 1g", "Expected bytes"],
    ["--workload ycsb-a --key-size 4", "Expected bytes from 12"],
    ["--workload ycsb-a --compressible 1", "share from 0 to 0.99"],
    ["--workload ycsb-a --rate 0", "above 0"],
    ["--workload ycsb-a --rate 1000000000", "at most 100000000"],
    ["--workload ycsb-a --duration 86401", "at most 86400"],
    ["--workload ycsb-a --trace-speed full", "--trace-speed needs --trace-file"],
    ["--workload ycsb-a --duration 1 --ops 5", "exclude each other"],
    ["--workload ycsb-a --in-flight 0", "whole number"],
    ["--workload ycsb-a --durability disk", "Allowed choices"],
    ["--trace-file x --workload ycsb-a", "cannot be used with"],
    ["--trace-file x --trace-speed slow", "Allowed choices"],
    ["--durability sync", "--durability is not for the workload names"],
    ["--value-size 10", "--value-size is not for the workload names"],
  ])("refuses %s", (text, message) => {
    const parse = () => parseOptions(text.split(" "));
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.objectContaining({ exitCode: 2 }));
  });

  test("gives help when asked, which is no failure", () => {
    const ask = () => parseOptions(["--help"]);
    expect(ask).toThrow(UsageError);
    expect(ask).toThrow(expect.objectContaining({ exitCode: 0 }));
    expect(ask).toThrow("--compare");
  });
});
