import { compareKeys, hasCode, SeededRandom } from "@aura/base";
import { createMemtable } from "@aura/memtable";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MergeCursor } from "../src/merge-cursor.ts";
import {
  bytesOf,
  compareEntries,
  drawHistory,
  type Entry,
  entryAt,
  FakeCursor,
  fakesOf,
  put,
  settleSync,
  standsOn,
} from "./support/fake-cursor.ts";

/** Walks at random and compares every position with a sorted array. */
async function walk(seed: number, waits: number, isAsync: boolean): Promise<void> {
  const random = new SeededRandom(seed);
  const history = drawHistory(random, random.below(120), 1 + random.below(40));
  const sorted = history.toSorted(compareEntries);
  const options = { waits, random, slowLoads: isAsync };
  const cursor = new MergeCursor(fakesOf(history, 1 + random.below(12), options));
  let at = -1;
  for (let step = 0; step < 120; step++) {
    const key = bytesOf(`k${random.below(45)}`);
    const from = sorted.findIndex((entry) => compareKeys(entry.key, key) >= 0);
    const index = from < 0 ? sorted.length : from;
    switch (random.below(8)) {
      case 0:
        cursor.first();
        at = 0;
        break;
      case 1:
        cursor.last();
        at = sorted.length - 1;
        break;
      case 2:
        cursor.seek(key, 0, key.length);
        at = index;
        break;
      case 3:
        cursor.seekBefore(key, 0, key.length);
        at = index - 1;
        break;
      default:
        if (!cursor.valid) continue;
        if (random.below(2) === 0) {
          cursor.next();
          at++;
        } else {
          cursor.prev();
          at--;
        }
    }
    while (cursor.pending) {
      if (cursor.valid) expect.unreachable("pending and valid");
      if (isAsync) await cursor.load();
      else cursor.loadSync();
    }
    if (!standsOn(cursor, sorted[at])) expect(entryAt(cursor)).toEqual(sorted[at] ?? "the end");
  }
}

function forward(cursor: MergeCursor): Entry[] {
  const entries: Entry[] = [];
  cursor.first();
  for (settleSync(cursor); cursor.valid; settleSync(cursor)) {
    entries.push(entryAt(cursor));
    cursor.next();
  }
  return entries;
}

describe("MergeCursor", () => {
  test("is a sorted array, in both directions", () => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, 0, false)),
      { numRuns: 150 },
    );
  });

  test("is a sorted array when children wait for blocks", () => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, 30, false)),
      { numRuns: 100 },
    );
  });

  test("is a sorted array when children load side by side", () => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, 30, true)),
      { numRuns: 30 },
    );
  });

  test("has no entry without children, or with empty ones", () => {
    for (const children of [[], [new FakeCursor([]), new FakeCursor([])]]) {
      const cursor = new MergeCursor(children);
      cursor.first();
      expect([cursor.valid, cursor.pending, cursor.failed]).toEqual([false, false, false]);
      cursor.last();
      expect(cursor.valid).toBe(false);
    }
  });

  test("closes its children", () => {
    const children = [new FakeCursor([put("a", 1)]), new FakeCursor([])];
    const cursor = new MergeCursor(children);
    cursor.first();
    cursor.close();
    expect(children.map((child) => child.closed)).toEqual([true, true]);
    expect(cursor.valid).toBe(false);
  });

  test("reads on and back through a memtable that grows under it", () => {
    const table = createMemtable("skiplist", new SharedArrayBuffer(65536), { seed: 1 });
    const add = (key: string, seq: number): void => {
      const { key: bytes, value } = put(key, seq);
      expect(table.add(seq, 1, bytes, 0, bytes.length, value, 0, value.length)).toBe(true);
    };
    for (const [i, key] of ["a", "m", "z"].entries()) add(key, i + 1);
    const other = new FakeCursor([put("b", 10), put("n", 11), put("y", 12)]);
    const cursor = new MergeCursor([table.cursor(), other]);
    cursor.seek(bytesOf("n"), 0, 1);
    expect(entryAt(cursor)).toEqual(put("n", 11));
    // Behind and in front of the current entry, on both sides of where the memtable's cursor stands.
    for (const [i, key] of ["ma", "o", "x", "zz"].entries()) add(key, 20 + i);
    const seen: string[] = [];
    for (cursor.prev(); cursor.valid; cursor.prev()) {
      seen.push(String.fromCharCode(...entryAt(cursor).key));
    }
    expect(seen).toEqual(["ma", "m", "b", "a"]);
    cursor.seekBefore(bytesOf("n"), 0, 1);
    add("mb", 30);
    add("mz", 31);
    const ahead: string[] = [];
    for (cursor.next(); cursor.valid; cursor.next()) {
      ahead.push(String.fromCharCode(...entryAt(cursor).key));
    }
    expect(ahead).toEqual(["mb", "mz", "n", "o", "x", "y", "z", "zz"]);
  });

  describe("when a child cannot be read", () => {
    const history = Array.from({ length: 40 }, (_, i) => put(`k${i % 10}`, i + 1));
    const sorted = history.toSorted(compareEntries);

    test("throws, and is not at its end", () => {
      for (let child = 0; child < 4; child++) {
        for (const move of ["first", "last", "next", "prev"] as const) {
          const children = fakesOf(history, 4, {});
          const cursor = new MergeCursor(children);
          if (move === "next") cursor.first();
          if (move === "prev") cursor.last();
          children[child]!.failNext = true;
          let error: unknown;
          try {
            for (let i = 0; i < 40; i++) {
              cursor[move]();
              if (!cursor.valid) break;
            }
          } catch (caught) {
            error = caught;
          }
          expect(hasCode(error, "AURA_IO")).toBe(true);
          expect([cursor.valid, cursor.pending, cursor.failed]).toEqual([false, false, true]);
          expect(forward(cursor)).toEqual(sorted);
          expect(cursor.failed).toBe(false);
        }
      }
    });

    test("throws from a load, when the other loads are through as well", async () => {
      const random = new SeededRandom(7);
      for (let child = 0; child < 4; child++) {
        const children = fakesOf(history, 4, { waits: 60, random, slowLoads: true });
        const cursor = new MergeCursor(children);
        for (;;) {
          cursor.first();
          if (children[child]!.pending) break;
        }
        children[child]!.failNext = true;
        await expect(
          (async () => {
            while (cursor.pending) await cursor.load();
          })(),
        ).rejects.toMatchObject({ code: "AURA_IO" });
        expect([cursor.valid, cursor.pending, cursor.failed]).toEqual([false, false, true]);
        const moves = children.map((fake) => fake.moves);
        for (let i = 0; i < 60; i++) await Promise.resolve();
        expect(children.map((fake) => fake.moves)).toEqual(moves);
        expect(forward(cursor)).toEqual(sorted);
      }
    });
  });
});
