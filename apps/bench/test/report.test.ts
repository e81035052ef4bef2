import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { formatBytes, formatMs, formatRate } from "../src/format.ts";
import type { StoreResult } from "../src/names-job.ts";
import { renderTable } from "../src/report.ts";

function resultOf(name: "aura" | "rocksdb", ms: number, folderBytes: number): StoreResult {
  const sample = (ops: number) => ({ ops, ms, bytes: ops * 100, mismatches: 0 });
  const none = {
    writtenBytes: undefined,
    deviceBytes: undefined,
    readBytes: undefined,
    peakRssBytes: undefined,
  };
  return {
    name,
    description: undefined,
    samples: {
      load: [sample(1000), sample(1000)],
      drain: [sample(1)],
      getEach: [sample(500), sample(1500)],
      ...(name === "aura" ? { getSync: [sample(4000)] } : {}),
      reopenClean: [sample(1)],
    },
    counters: { start: { ...none, folderBytes: 0 }, loaded: { ...none, folderBytes } },
    countersAgain: {},
  };
}

function rowOf(table: string, title: string): string[] {
  const line = stripVTControlCharacters(table)
    .split("\n")
    .find((text) => text.includes(title));
  return (line ?? "").split("│").map((cell) => cell.trim());
}

test("a ratio above 1 means better, for rates and for sizes", () => {
  const table = renderTable([resultOf("aura", 100, 2000), resultOf("rocksdb", 50, 1000)]);
  expect(rowOf(table, "load until drained").slice(2, 5)).toEqual(["6.67k/s", "13.3k/s", "0.50"]);
  expect(rowOf(table, "random get, each").slice(4, 6)).toEqual(["0.50", "0.50 < 0.50 < 0.50"]);
  expect(rowOf(table, "reopen, drained").slice(2, 5)).toEqual(["100 ms", "50.0 ms", "0.50"]);
  expect(rowOf(table, "size on disk").slice(2, 5)).toEqual(["1.95 KiB", "1000 B", "0.50"]);
});

test("a store without sync gets is compared by its awaited ones, in brackets", () => {
  const table = renderTable([resultOf("aura", 100, 1), resultOf("rocksdb", 100, 1)]);
  expect(rowOf(table, "random get, sync").slice(2, 5)).toEqual(["40.0k/s", "(10.0k/s)", "4.00"]);
});

test("what was not measured has no row", () => {
  const table = renderTable([resultOf("aura", 100, 1)]);
  expect(table).not.toContain("blobs");
  expect(table).not.toContain("RSS");
  expect(renderTable([])).toBe("");
  const nothing = { description: undefined, samples: {}, counters: {}, countersAgain: {} };
  expect(renderTable([{ name: "aura", ...nothing }])).toBe("");
});

test("formats", () => {
  expect([formatRate(950), formatRate(12_345), formatRate(2_500_000)]).toEqual([
    "950/s",
    "12.3k/s",
    "2.50M/s",
  ]);
  expect([formatBytes(0), formatBytes(1536), formatBytes(3 * 2 ** 30)]).toEqual([
    "0.00 B",
    "1.50 KiB",
    "3.00 GiB",
  ]);
  expect([formatMs(0.0042), formatMs(12), formatMs(61_000)]).toEqual([
    "4.20 µs",
    "12.0 ms",
    "61.0 s",
  ]);
});
