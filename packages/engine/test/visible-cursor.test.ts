import { type EntryCursor, hasCode, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MergeCursor } from "../src/merge-cursor.ts";
import { type KeyRange, VisibleCursor } from "../src/visible-cursor.ts";
import {
  bytesOf,
  compareEntries,
  del,
  drawHistory,
  type Entry,
  entryAt,
  FakeCursor,
  fakesOf,
  put,
  settleSync,
  standsOn,
  textOf,
  visibleAt,
} from "./support/fake-cursor.ts";

const EVERYTHING: KeyRange = { lower: undefined, upper: undefined };

async function settle(cursor: EntryCursor, isAsync: boolean): Promise<void> {
  while (cursor.pending) {
    if (cursor.valid) expect.unreachable("pending and valid");
    if (isAsync) await cursor.load();
    else cursor.loadSync();
  }
}

/** Walks at random within random bounds and compares every position with the model. */
async function walk(seed: number, waits: number, isAsync: boolean): Promise<void> {
  const random = new SeededRandom(seed);
  const count = random.below(300);
  // Few keys: many versions of each. Many keys: mostly one.
  const history = drawHistory(random, count, random.below(2) === 0 ? 4 : 60);
  const seq = random.below(count + 2);
  const bound = (): Uint8Array | undefined =>
    random.below(2) === 0 ? undefined : bytesOf(`k${random.below(60)}`);
  const range = { lower: bound(), upper: bound() };
  const model = visibleAt(history, seq).filter(
    ({ key }) =>
      (range.lower === undefined || textOf(key) >= textOf(range.lower)) &&
      (range.upper === undefined || textOf(key) < textOf(range.upper)),
  );
  const options = { waits, random, slowLoads: isAsync };
  const source = new MergeCursor(fakesOf(history, 1 + random.below(6), options));
  const cursor = new VisibleCursor(source, seq, range);
  let at = -1;
  for (let step = 0; step < 60; step++) {
    const key = bytesOf(`k${random.below(64)}`);
    const from = model.findIndex((entry) => textOf(entry.key) >= textOf(key));
    const index = from < 0 ? model.length : from;
    switch (random.below(10)) {
      case 0:
        cursor.first();
        at = 0;
        break;
      case 1:
        cursor.last();
        at = model.length - 1;
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
    await settle(cursor, isAsync);
    if (!standsOn(cursor, model[at])) expect(entryAt(cursor)).toEqual(model[at] ?? "the end");
  }
}

function open(history: readonly Entry[], seq = 1e9, range = EVERYTHING): VisibleCursor {
  return new VisibleCursor(new MergeCursor(fakesOf(history, 3, {})), seq, range);
}

function keysForward(cursor: VisibleCursor): string[] {
  const keys: string[] = [];
  cursor.first();
  for (settleSync(cursor); cursor.valid; settleSync(cursor)) {
    keys.push(textOf(entryAt(cursor).key));
    cursor.next();
  }
  expect(cursor.failed).toBe(false);
  return keys;
}

function keysBackward(cursor: VisibleCursor): string[] {
  const keys: string[] = [];
  cursor.last();
  for (settleSync(cursor); cursor.valid; settleSync(cursor)) {
    keys.push(textOf(entryAt(cursor).key));
    cursor.prev();
  }
  expect(cursor.failed).toBe(false);
  return keys;
}

describe("VisibleCursor", () => {
  test("shows what the model has, at any sequence, within any bounds, both ways", () => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, 0, false)),
      { numRuns: 300 },
    );
  });

  test("shows the same when blocks have to be waited for", () => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, 25, false)),
      { numRuns: 150 },
    );
  });

  test("shows the same when blocks are awaited", () => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, 25, true)),
      { numRuns: 100 },
    );
  });

  test("finds the newest visible of very many versions, and reads on from there both ways", () => {
    const history: Entry[] = [put("a", 1), put("z", 2)];
    for (let seq = 3; seq <= 3000; seq++) history.push(put("m", seq));
    history.push(put("n", 3001));
    for (const seq of [2, 3, 4, 6, 7, 8, 20, 1500, 2999, 3000, 9000]) {
      const expected = visibleAt(history, seq).map((entry) => textOf(entry.value));
      const cursor = open(history, seq);
      const ahead: string[] = [];
      const back: string[] = [];
      cursor.first();
      for (settleSync(cursor); cursor.valid; settleSync(cursor)) {
        ahead.push(textOf(entryAt(cursor).value));
        cursor.next();
      }
      cursor.last();
      for (settleSync(cursor); cursor.valid; settleSync(cursor)) {
        back.unshift(textOf(entryAt(cursor).value));
        cursor.prev();
      }
      expect(ahead).toEqual(expected);
      expect(back).toEqual(expected);
      // A turn on each entry, whichever way it was reached.
      cursor.last();
      settleSync(cursor);
      for (let i = expected.length - 1; i > 0; i--) {
        expect(textOf(entryAt(cursor).value)).toBe(expected[i]);
        for (const [move, at] of [
          ["prev", i - 1],
          ["next", i],
          ["prev", i - 1],
        ] as const) {
          cursor[move]();
          settleSync(cursor);
          expect(textOf(entryAt(cursor).value)).toBe(expected[at]);
        }
      }
    }
  });

  test("leaves a long run of versions by a seek", () => {
    const versions = Array.from({ length: 5000 }, (_, i) => put("m", i + 1));
    const source = new FakeCursor([...versions, put("n", 6000)].sort(compareEntries));
    const cursor = new VisibleCursor(new MergeCursor([source]), 9000, EVERYTHING);
    expect(keysForward(cursor)).toEqual(["m", "n"]);
    expect(source.moves).toBeLessThan(30);
  });

  test("pauses on the way over many hidden entries, and goes on", () => {
    const history: Entry[] = [put("k", 1)];
    for (let i = 0; i < 5000; i++) {
      history.push(put(`m${i}`, history.length + 1));
      history.push(del(`m${i}`, history.length + 1));
    }
    const lastSeq = history.length;
    for (let i = 0; i < 5000; i++) history.push(put(`t${i}`, history.length + 1));
    history.push(put("z", 0));
    for (const moves of [
      ["first", "next", "k", "z"],
      ["last", "prev", "z", "k"],
    ] as const) {
      const cursor = open(history, lastSeq);
      cursor[moves[0]]();
      settleSync(cursor);
      expect(textOf(entryAt(cursor).key)).toBe(moves[2]);
      cursor[moves[1]]();
      let pauses = 0;
      while (cursor.pending) {
        expect(cursor.paused).toBe(true);
        expect(cursor.valid).toBe(false);
        pauses++;
        cursor.loadSync();
      }
      expect(pauses).toBeGreaterThan(5);
      expect(textOf(entryAt(cursor).key)).toBe(moves[3]);
      cursor.close();
    }
  });

  test("does not walk past its bounds over entries that are too new", () => {
    const history = [put("b", 1)];
    for (let i = 0; i < 400; i++) history.push(put(`${i % 2 === 0 ? "a" : "c"}${i}`, 2 + i));
    const sources = fakesOf(history, 1, {});
    const range = { lower: bytesOf("b"), upper: bytesOf("c") };
    const cursor = new VisibleCursor(new MergeCursor(sources), 1, range);
    expect(keysForward(cursor)).toEqual(["b"]);
    expect(keysBackward(cursor)).toEqual(["b"]);
    expect(sources[0]!.moves).toBeLessThan(12);
  });

  test("has nothing between bounds that contradict each other", () => {
    const history = [put("a", 1), put("b", 2), put("c", 3)];
    const range = { lower: bytesOf("c"), upper: bytesOf("b") };
    expect(keysForward(open(history, 9, range))).toEqual([]);
    expect(keysBackward(open(history, 9, range))).toEqual([]);
  });

  test("shows empty keys and keys of the greatest length", () => {
    const longest = "x".repeat(65535);
    const history = [put("", 1, "v"), put(longest, 2, "w"), put(longest, 3, "y")];
    const source = new FakeCursor(history.toSorted(compareEntries));
    source.keyBytes = new Uint8Array(70000);
    const cursor = new VisibleCursor(new MergeCursor([source]), 9, EVERYTHING);
    expect(keysForward(cursor)).toEqual(["", longest]);
    expect(keysBackward(cursor)).toEqual([longest, ""]);
  });

  test("refuses an entry of a kind that it does not know", () => {
    const odd: Entry = { ...put("b", 2), tag: 3 };
    for (const move of ["first", "last"] as const) {
      const cursor = open([put("a", 1), odd, put("c", 3)]);
      let error: unknown;
      try {
        for (cursor[move](); cursor.valid; move === "first" ? cursor.next() : cursor.prev());
      } catch (caught) {
        error = caught;
      }
      expect(hasCode(error, "AURA_UNSUPPORTED")).toBe(true);
      expect([cursor.valid, cursor.pending, cursor.failed]).toEqual([false, false, true]);
      cursor.seek(bytesOf("c"), 0, 1);
      expect([cursor.valid, cursor.failed]).toEqual([true, false]);
    }
  });

  test("throws what its source throws, and is not at its end", async () => {
    const history = Array.from({ length: 60 }, (_, i) => put(`k${i % 20}`, i + 1));
    for (const waits of [0, 50]) {
      for (const move of ["first", "last"] as const) {
        const random = new SeededRandom(3);
        const sources = fakesOf(history, 3, { waits, random });
        const cursor = new VisibleCursor(new MergeCursor(sources), 1e9, EVERYTHING);
        cursor[move]();
        await settle(cursor, true);
        sources[1]!.failNext = true;
        await expect(
          (async () => {
            while (cursor.valid) {
              if (move === "first") cursor.next();
              else cursor.prev();
              await settle(cursor, true);
            }
          })(),
        ).rejects.toMatchObject({ code: "AURA_IO" });
        expect([cursor.valid, cursor.pending, cursor.failed]).toEqual([false, false, true]);
        expect(keysForward(cursor)).toHaveLength(20);
      }
    }
  });
});
