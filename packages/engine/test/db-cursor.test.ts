import { SeededRandom } from "@aura/base";
import { simRuntime } from "@aura/base/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DbCursor } from "../src/db-cursor.ts";
import {
  parseCursorRange,
  parseScanRange,
  type RangeOptions,
  type ScanOptions,
} from "../src/range.ts";
import { keys, keysSync, scan, scanSync, values, valuesSync } from "../src/scan.ts";
import { Version } from "../src/version.ts";
import { bytesOf, drawHistory, type Entry, put, textOf } from "./support/fake-cursor.ts";
import { directory, type FixtureOptions, ReadFixture } from "./support/read-fixture.ts";

const WORLDS: readonly (readonly [string, FixtureOptions])[] = [
  ["with a cache", {}],
  ["without a cache, one open file", { cacheBytes: 0, maxOpenFiles: 1 }],
  ["through the thread pool", { pooled: true, cacheBytes: 0 }],
];

function drawFixture(seed: number, options: FixtureOptions = {}): ReadFixture {
  return new ReadFixture(drawHistory(new SeededRandom(seed), 400, 60), seed, options);
}

function open(fixture: ReadFixture, options?: RangeOptions): DbCursor {
  return new DbCursor(fixture.parts, parseCursorRange(options));
}

function drawRange(random: SeededRandom): RangeOptions {
  const range: { -readonly [K in keyof RangeOptions]: RangeOptions[K] } = {};
  const key = (): string => `k${random.below(60)}`;
  if (random.below(3) === 0) range.gte = key();
  if (random.below(4) === 0) range.gt = bytesOf(key());
  if (random.below(3) === 0) range.lt = key();
  if (random.below(4) === 0) range.lte = Buffer.from(key());
  if (random.below(6) === 0) range.prefix = `k${random.below(6)}`;
  if (random.below(2) === 0) range.reverse = true;
  return range;
}

function text(bound: unknown): string {
  return typeof bound === "string" ? bound : textOf(bound as Uint8Array);
}

/** The entries that a range of the model holds, in the direction of the range. */
function modelOf(entries: readonly Entry[], range: ScanOptions): [string, string][] {
  const { gt, gte, lt, lte, prefix, reverse, limit } = range;
  const within = entries
    .map(({ key, value }): [string, string] => [textOf(key), textOf(value)])
    .filter(
      ([key]) =>
        (gt === undefined || key > text(gt)) &&
        (gte === undefined || key >= text(gte)) &&
        (lt === undefined || key < text(lt)) &&
        (lte === undefined || key <= text(lte)) &&
        (prefix === undefined || key.startsWith(text(prefix))),
    );
  if (reverse) within.reverse();
  return limit === undefined ? within : within.slice(0, limit);
}

function texts(entries: Iterable<readonly [Buffer, Buffer]>): [string, string][] {
  return [...entries].map(([key, value]) => [key.toString(), value.toString()]);
}

async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of iterable) items.push(item);
  return items;
}

/** Nothing may be left pinned, held or open. */
function expectQuiet(fixture: ReadFixture): void {
  const { versions, cursors } = fixture.parts;
  expect([versions.pinCount, cursors.size]).toEqual([0, 0]);
  fixture.close();
  expect(fixture.fs.openHandles).toBe(0);
  expect(fixture.parts.tables.openCount).toBe(0);
}

async function walk(seed: number, options: FixtureOptions): Promise<void> {
  const random = new SeededRandom(seed);
  const fixture = drawFixture(seed, options);
  const range = drawRange(random);
  const seq = random.below(3) === 0 ? random.below(fixture.lastSeq + 1) : fixture.lastSeq;
  const snapshot = fixture.parts.snapshots.create(seq);
  const model = modelOf(fixture.modelAt(seq), range);
  const cursor = open(fixture, { ...range, snapshot });
  snapshot.release();
  const isSync = random.below(2) === 0;
  let at = -1;
  const arrive = async (outcome: boolean | Promise<boolean>, index: number): Promise<void> => {
    const valid = typeof outcome === "boolean" ? outcome : await outcome;
    at = Math.max(-1, Math.min(index, model.length));
    const expected = model[at];
    expect([valid, cursor.valid]).toEqual([expected !== undefined, expected !== undefined]);
    if (expected === undefined) return;
    const value = random.below(2) === 0 ? cursor.value : await cursor.readValue();
    expect([cursor.key.toString(), value.toString()]).toEqual(expected);
  };
  for (let step = 0; step < 40; step++) {
    switch (random.below(7)) {
      case 0:
        await arrive(isSync ? cursor.firstSync() : cursor.first(), 0);
        break;
      case 1: {
        await arrive(isSync ? cursor.lastSync() : cursor.last(), model.length - 1);
        break;
      }
      case 2: {
        const key = `k${random.below(64)}`;
        const from = model.findIndex(([other]) => (range.reverse ? other <= key : other >= key));
        const index = from < 0 ? model.length : from;
        await arrive(isSync ? cursor.seekSync(key) : cursor.seek(key), index);
        break;
      }
      case 3: {
        const count = 1 + random.below(12);
        const start = Math.max(0, at);
        const entries = isSync ? cursor.nextManySync(count) : await cursor.nextMany(count);
        const expected = model.slice(start, start + count);
        expect(texts(entries)).toEqual(expected);
        at = start + expected.length;
        expect(cursor.valid).toBe(at < model.length);
        break;
      }
      case 4:
        await arrive(isSync ? cursor.prevSync() : cursor.prev(), at - 1);
        break;
      default:
        await arrive(isSync ? cursor.nextSync() : cursor.next(), at + 1);
    }
  }
  cursor.close();
  expectQuiet(fixture);
}

describe("DbCursor", () => {
  test.each(WORLDS)("is where the model is, %s", (_, options) => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), (seed) => walk(seed, options)),
      { numRuns: 40 },
    );
  });

  test("shows one state, and keeps its files, whatever happens to the tree", async () => {
    const fixture = drawFixture(1, { cacheBytes: 0 });
    const { versions, memtables, tables, values: separated } = fixture.parts;
    const model = modelOf(fixture.modelAt(fixture.lastSeq), {});
    const cursor = open(fixture);
    const old = versions.current;
    versions.install(new Version(2, [], new Map(), 0));
    const removed: number[] = [];
    for (const { number } of old.tables()) {
      versions.obsolete(`${directory}/${number}`, 2, () => {
        tables.forget(number);
        removed.push(number);
      });
    }
    versions.obsolete(fixture.segmentPath, 2, () => separated.forget(500));
    versions.releaseDurable(2);
    while (memtables.sealed.length > 0) memtables.dropOldest(memtables.sealed[0]!);
    const late = put("k1", fixture.lastSeq + 1);
    memtables.active.table.add(late.seq, 1, late.key, 0, 2, late.value, 0, late.value.length);
    expect(texts(await cursor.nextMany(1000))).toEqual(model);
    expect(removed).toEqual([]);
    cursor.close();
    expect(removed).toHaveLength([...old.tables()].length);
    expectQuiet(fixture);
  });

  test("refuses everything once it is closed", async () => {
    const fixture = drawFixture(2);
    const closed = { code: "AURA_CLOSED" };
    const cursor = open(fixture);
    cursor.firstSync();
    expect(fixture.parts.cursors.size).toBe(1);
    for (const left of [...fixture.parts.cursors]) left.close();
    cursor.close();
    expect(cursor.valid).toBe(false);
    for (const use of [
      () => cursor.nextSync(),
      () => cursor.seekSync("a"),
      () => cursor.nextManySync(1),
      () => cursor.key,
      () => cursor.value,
    ]) {
      expect(use).toThrow(expect.objectContaining(closed));
    }
    for (const use of [cursor.first(), cursor.seek("a"), cursor.nextMany(2), cursor.readValue()]) {
      await expect(use).rejects.toMatchObject(closed);
    }
    fixture.parts.health.close();
    expect(() => open(fixture)).toThrow(expect.objectContaining(closed));
    expectQuiet(fixture);
  });

  test("closed under way, it lets go when its read is through, and the move fails", async () => {
    const fixture = drawFixture(3, { pooled: true, cacheBytes: 0 });
    const cursor = open(fixture);
    const move = cursor.first();
    cursor.close();
    expect(fixture.parts.versions.pinCount).toBe(1);
    let quiet = false;
    const unpinned = fixture.parts.versions.whenUnpinned().then(() => {
      quiet = true;
    });
    await expect(move).rejects.toMatchObject({ code: "AURA_CLOSED" });
    await unpinned;
    expect(quiet).toBe(true);
    expectQuiet(fixture);
  });

  test("makes one move at a time", async () => {
    const fixture = drawFixture(3, { pooled: true, cacheBytes: 0 });
    const cursor = open(fixture);
    const busy = { code: "AURA_INVALID_ARGUMENT" };
    const move = cursor.first();
    await expect(cursor.next()).rejects.toMatchObject(busy);
    expect(() => cursor.nextSync()).toThrow(expect.objectContaining(busy));
    expect(await move).toBe(true);
    expect(await cursor.next()).toBe(true);
    cursor.close();
    expectQuiet(fixture);
  });

  test("has no key and no value off the range", () => {
    const fixture = drawFixture(3);
    using cursor = open(fixture, { gte: "zz" });
    const invalid = expect.objectContaining({ code: "AURA_INVALID_ARGUMENT" });
    expect(() => cursor.key).toThrow(invalid);
    expect(cursor.firstSync()).toBe(false);
    expect(() => cursor.value).toThrow(invalid);
    for (const count of [0, -1, 1.5, Number.NaN]) {
      expect(() => cursor.nextManySync(count)).toThrow(invalid);
    }
  });

  test("a failed read is thrown until the cursor is placed anew, and is never an end", async () => {
    for (const [, options] of WORLDS) {
      const fixture = drawFixture(5, options);
      const model = modelOf(fixture.modelAt(fixture.lastSeq), {});
      for (const path of fixture.tablePaths()) fixture.fs.flipBits(path, 70, 0x10);
      const corrupt = { code: "AURA_CORRUPTION" };
      const cursor = open(fixture);
      await expect(
        (async () => {
          while (await cursor.next());
        })(),
      ).rejects.toMatchObject(corrupt);
      expect(cursor.valid).toBe(false);
      await expect(cursor.next()).rejects.toMatchObject(corrupt);
      await expect(cursor.nextMany(5)).rejects.toMatchObject(corrupt);
      expect(() => cursor.nextSync()).toThrow(expect.objectContaining(corrupt));
      for (const path of fixture.tablePaths()) fixture.fs.flipBits(path, 70, 0x10);
      expect(await cursor.first()).toBe(true);
      expect(texts(await cursor.nextMany(1000))).toEqual(model);
      cursor.close();
      expectQuiet(fixture);
    }
  });

  test("a value that cannot be read fails the batch", async () => {
    for (const [, options] of WORLDS) {
      const fixture = drawFixture(5, { ...options, apart: 100 });
      const { length } = fixture.fs.readFile(fixture.segmentPath);
      for (let at = 64; at < length; at += 8) fixture.fs.flipBits(fixture.segmentPath, at, 1);
      const corrupt = { code: "AURA_CORRUPTION" };
      const cursor = open(fixture);
      await expect(cursor.nextMany(100)).rejects.toMatchObject(corrupt);
      expect(await cursor.first()).toBe(true);
      expect(() => cursor.value).toThrow(expect.objectContaining(corrupt));
      await expect(cursor.readValue()).rejects.toMatchObject(corrupt);
      expect(() => cursor.nextManySync(100)).toThrow(expect.objectContaining(corrupt));
      cursor.close();
      await expect(collect(scan(fixture.parts))).rejects.toMatchObject(corrupt);
      expect(() => [...scanSync(fixture.parts)]).toThrow(expect.objectContaining(corrupt));
      expectQuiet(fixture);
    }
  });

  test("aborts when its signal fires", async () => {
    const fixture = drawFixture(6);
    const controller = new AbortController();
    const cursor = open(fixture, { signal: controller.signal });
    expect(await cursor.next()).toBe(true);
    const reason = new Error("enough");
    controller.abort(reason);
    const error = await cursor.next().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "AURA_ABORTED", cause: reason, name: "AbortError" });
    cursor.close();
    expectQuiet(fixture);
  });
});

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
    const bounds = { gte: Buffer.from("b"), lt: Buffer.from("d"), prefix: Buffer.from("c") };
    const range = parseScanRange(bounds);
    for (const bytes of Object.values(bounds)) bytes.fill(0);
    expect([textOf(range.lower!), textOf(range.upper!)]).toEqual(["c", "d"]);
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

describe("scan", () => {
  test.each(WORLDS)("gives what the model has, %s", (_, options) => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const random = new SeededRandom(seed);
        const fixture = drawFixture(seed, options);
        const { parts } = fixture;
        const range: ScanOptions = {
          ...drawRange(random),
          ...(random.below(2) === 0 ? { limit: random.below(40) } : {}),
        };
        const seq = random.below(fixture.lastSeq + 1);
        const snapshot = parts.snapshots.create(seq);
        const model = modelOf(fixture.modelAt(seq), range);
        const at = { ...range, snapshot };
        const modelKeys = model.map(([key]) => key);
        const modelValues = model.map(([, value]) => value);
        expect(texts(scanSync(parts, at))).toEqual(model);
        expect([...keysSync(parts, at)].map(String)).toEqual(modelKeys);
        expect([...valuesSync(parts, at)].map(String)).toEqual(modelValues);
        expect(texts(await collect(scan(parts, at)))).toEqual(model);
        expect((await collect(keys(parts, at))).map(String)).toEqual(modelKeys);
        expect((await collect(values(parts, at))).map(String)).toEqual(modelValues);
        expectQuiet(fixture);
      }),
      { numRuns: 15 },
    );
  });

  test("of keys never touches the values", async () => {
    for (const reverse of [false, true]) {
      const fixture = drawFixture(7, { apart: 100 });
      fixture.fs.unlinkSync(fixture.segmentPath);
      const { length } = fixture.modelAt(fixture.lastSeq);
      expect(await collect(keys(fixture.parts, { reverse }))).toHaveLength(length);
      expect([...keysSync(fixture.parts, { reverse })]).toHaveLength(length);
      expect(fixture.parts.values.reads).toBe(0);
      expectQuiet(fixture);
    }
  });

  test("closes itself when a loop is left early, or never begun", async () => {
    const fixture = drawFixture(8, { pooled: true });
    const { parts } = fixture;
    scanSync(parts);
    scan(parts);
    for (const _ of scanSync(parts)) break;
    for await (const _ of scan(parts)) break;
    for (const use of [
      () => {
        for (const _ of keysSync(parts)) throw new Error("mine");
      },
      async () => {
        for await (const _ of keys(parts)) throw new Error("mine");
      },
    ]) {
      await expect((async () => use())()).rejects.toThrow("mine");
    }
    const begun = scan(parts);
    await begun.next();
    expect(parts.cursors.size).toBe(1);
    expect(await begun.return()).toEqual({ value: undefined, done: true });
    expect(await begun.next()).toEqual({ value: undefined, done: true });
    const thrown = scan(parts);
    await thrown.next();
    await expect(thrown.throw(new Error("mine"))).rejects.toThrow("mine");
    expect(await thrown.next()).toEqual({ value: undefined, done: true });
    expectQuiet(fixture);
  });

  test("is closed with the database", async () => {
    const fixture = drawFixture(8);
    const { parts } = fixture;
    const ahead = scanSync(parts);
    const later = scan(parts);
    ahead.next();
    await later.next();
    for (const cursor of [...parts.cursors]) cursor.close();
    parts.health.close();
    const closed = { code: "AURA_CLOSED" };
    expect(() => [...ahead]).toThrow(expect.objectContaining(closed));
    await expect(collect(later)).rejects.toMatchObject(closed);
    expect(() => [...scanSync(parts)]).toThrow(expect.objectContaining(closed));
    await expect(collect(scan(parts))).rejects.toMatchObject(closed);
    expectQuiet(fixture);
  });

  test("takes overlapping steps in order", async () => {
    for (const [, options] of WORLDS) {
      const fixture = drawFixture(9, options);
      const model = modelOf(fixture.modelAt(fixture.lastSeq), {});
      const entries = scan(fixture.parts);
      const steps = Array.from({ length: model.length + 3 }, () => entries.next());
      const results = await Promise.all(steps);
      const given = results.flatMap((result) => (result.done ? [] : [result.value]));
      expect(texts(given)).toEqual(model);
      expect(results.slice(-3).every((result) => result.done)).toBe(true);
      expectQuiet(fixture);
    }
  });

  test("ends with AURA_ABORTED when its signal fires", async () => {
    for (const [, options] of WORLDS) {
      const fixture = drawFixture(10, options);
      const controller = new AbortController();
      const { signal } = controller;
      let count = 0;
      const aborted = { code: "AURA_ABORTED" };
      await expect(
        (async () => {
          for await (const _ of scan(fixture.parts, { signal })) {
            if (++count === 3) controller.abort();
          }
        })(),
      ).rejects.toMatchObject(aborted);
      expect(count).toBe(3);
      await expect(collect(keys(fixture.parts, { signal }))).rejects.toMatchObject(aborted);
      expect(() => [...scanSync(fixture.parts, { signal })]).toThrow(
        expect.objectContaining(aborted),
      );
      expectQuiet(fixture);
    }
  });

  test("throws the error of a read, and is not at its end", async () => {
    for (const [, options] of WORLDS) {
      const fixture = drawFixture(11, options);
      for (const path of fixture.tablePaths()) fixture.fs.flipBits(path, 70, 0x10);
      const corrupt = { code: "AURA_CORRUPTION" };
      for (const reverse of [false, true]) {
        expect(() => [...scanSync(fixture.parts, { reverse })]).toThrow(
          expect.objectContaining(corrupt),
        );
        await expect(collect(values(fixture.parts, { reverse }))).rejects.toMatchObject(corrupt);
      }
      expectQuiet(fixture);
    }
  });

  test("gives out bytes that nothing else changes", () => {
    const fixture = drawFixture(12);
    const { parts } = fixture;
    const model = modelOf(fixture.modelAt(fixture.lastSeq), {});
    const given = [...scanSync(parts)];
    expect(Object.getPrototypeOf(given[0]![0])).toBe(Buffer.prototype);
    const again = [...scanSync(parts)];
    for (const [key, value] of again) {
      key.fill(0xee);
      value.fill(0xee);
    }
    expect(texts(given)).toEqual(model);
    expect(texts(scanSync(parts))).toEqual(model);
  });

  test("gives large values in several batches, each with at least one", async () => {
    const big = "v".repeat(1_500_000);
    const history = Array.from({ length: 9 }, (_, i) => put(`k${i}`, i + 1, `${big}${i}`));
    const fixture = new ReadFixture(history, 1, { apart: 100, pooled: true });
    const cursor = open(fixture);
    const sizes: number[] = [];
    for (;;) {
      const entries = await cursor.nextMany(100);
      if (entries.length === 0) break;
      sizes.push(entries.length);
    }
    expect(sizes).toEqual([3, 3, 3]);
    cursor.close();
    expect((await collect(keys(fixture.parts))).length).toBe(9);
    expectQuiet(fixture);
  });

  test("lets timers and sockets have their turn, also over hidden entries", async () => {
    const hidden: Entry[] = [put("a", 1)];
    for (let i = 0; i < 4000; i++) {
      const key = bytesOf(`d${i}`);
      hidden.push({ key, seq: hidden.length + 1, tag: 0, value: new Uint8Array(0) });
    }
    const visible = Array.from({ length: 4000 }, (_, i) => put(`k${i}`, i + 1));
    for (const history of [hidden, visible]) {
      const runtime = simRuntime(1, { tickMs: 2 });
      const fixture = new ReadFixture(history, 1, { memoryOnly: true, runtime, apart: 0 });
      let turns = 0;
      let going = true;
      const count = (): void => {
        turns++;
        if (going) setImmediate(count);
      };
      setImmediate(count);
      for await (const _ of scan(fixture.parts));
      going = false;
      expect(turns).toBeGreaterThan(1);
      expectQuiet(fixture);
    }
  });
});
