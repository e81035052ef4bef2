import { describe, expect, test } from "vitest";
import {
  parseCursorRange,
  parseScanRange,
  type RangeOptions,
  type ScanOptions,
} from "../src/range.ts";
import { textOf } from "./support/fake-cursor.ts";

describe("parseScanRange", () => {
  test("takes the narrower of two bounds, and knows an empty range", () => {
    const range = parseScanRange({ gt: "a", gte: "c", lt: "x", lte: "q", prefix: "" });
    expect([textOf(range.lower!), textOf(range.upper!)]).toEqual(["c", "q\0"]);
    expect(range.empty).toBe(false);
    for (const empty of [
      { gte: "b", lt: "b" },
      { gt: "b", lte: "b" },
      { gte: "c", lte: "b" },
      { prefix: "a", gte: "b" },
      { limit: 0 },
    ]) {
      expect(parseScanRange(empty).empty).toBe(true);
    }
    expect(parseScanRange({ gte: "b", lte: "b" }).empty).toBe(false);
    expect(parseScanRange({ prefix: new Uint8Array([255, 255]) }).upper).toBeUndefined();
    expect(parseScanRange({ prefix: new Uint8Array([1, 255]) }).upper).toEqual(new Uint8Array([2]));
  });

  test("copies the bytes of bounds", () => {
    for (const names of [["gte", "lt"], ["gt", "lte"], ["prefix"]]) {
      const bounds = Object.fromEntries(names.map((name, i) => [name, Buffer.from(`b${i}`)]));
      const { lower, upper } = parseScanRange(bounds);
      const before = [textOf(lower!), textOf(upper!)];
      for (const bytes of Object.values(bounds)) bytes.fill(0xee);
      expect([textOf(lower!), textOf(upper!)]).toEqual(before);
    }
    const prefix = Buffer.from("c");
    parseScanRange({ prefix });
    expect(prefix.toString()).toBe("c");
  });

  test("refuses what it does not know", () => {
    const invalid = expect.objectContaining({ code: "AURA_INVALID_ARGUMENT" });
    for (const options of [
      { from: "a" },
      { limit: -1 },
      { limit: 1.5 },
      { limit: "3" },
      { reverse: 1 },
      { signal: {} },
      { gte: 3 },
      null,
      "a",
    ]) {
      expect(() => parseScanRange(options as ScanOptions)).toThrow(invalid);
    }
    expect(() => parseScanRange({ from: "a" } as ScanOptions)).toThrow(/range\.from.*gte/);
    expect(() => parseCursorRange({ limit: 1 } as RangeOptions)).toThrow(/range\.limit/);
    expect(parseScanRange({ limit: Number.POSITIVE_INFINITY, gte: undefined }).empty).toBe(false);
    expect(() => parseScanRange({ gte: "x".repeat(65536) })).toThrow(
      expect.objectContaining({ code: "AURA_KEY_TOO_LONG" }),
    );
  });
});
