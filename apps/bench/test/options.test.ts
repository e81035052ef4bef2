import { describe, expect, test } from "vitest";
import { parseOptions, UsageError } from "../src/options.ts";

describe("parseOptions", () => {
  test("has a default for everything", () => {
    expect(parseOptions([])).toEqual({
      count: 3_000_000,
      data: undefined,
      dir: undefined,
      seed: 1,
      stores: ["aura", "rocksdb"],
      json: undefined,
    });
  });

  test("takes every option", () => {
    const files = ["--data", "names.json", "--dir", "x", "--json", "out.json"];
    const argv = ["names", "--count", "10_000", "--seed", "7", "--compare", "lmdb,rocksdb"];
    expect(parseOptions([...argv, ...files])).toEqual({
      count: 10_000,
      data: "names.json",
      dir: "x",
      seed: 7,
      stores: ["aura", "lmdb", "rocksdb"],
      json: "out.json",
    });
    expect(parseOptions(["--only", "rocksdb"]).stores).toEqual(["rocksdb"]);
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
    ["--colour", "unknown option"],
    ["names extra", "too many arguments"],
  ])("refuses %s", (text, message) => {
    const parse = () => parseOptions(text.split(" "));
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.objectContaining({ exitCode: 2 }));
  });

  test("gives help when asked, which is no failure", () => {
    for (const argv of [["--help"], ["names", "--help"]]) {
      const ask = () => parseOptions(argv);
      expect(ask).toThrow(UsageError);
      expect(ask).toThrow(expect.objectContaining({ exitCode: 0 }));
    }
    expect(() => parseOptions(["names", "--help"])).toThrow("--compare");
  });
});
