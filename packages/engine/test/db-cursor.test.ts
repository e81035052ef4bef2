import { SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DbCursor } from "../src/db-cursor.ts";
import { parseCursorRange, type RangeOptions } from "../src/range.ts";
import { RunCursor } from "../src/run-cursor.ts";
import { scan, scanSync } from "../src/scan.ts";
import { type TableMeta, Version } from "../src/version.ts";
import { put } from "./support/fake-cursor.ts";
import { directory, type FixtureOptions, type ReadFixture } from "./support/read-fixture.ts";
import {
  collect,
  drawFixture,
  drawRange,
  expectQuiet,
  modelOf,
  texts,
  WORLDS,
} from "./support/scan-model.ts";

function open(fixture: ReadFixture, options?: RangeOptions): DbCursor {
  return new DbCursor(fixture.parts, parseCursorRange(options));
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

  test("what a batch handed out is the caller's: changed, it changes nothing of the cursor", () => {
    for (const reverse of [false, true]) {
      const fixture = drawFixture(4, { apart: 0 });
      const model = modelOf(fixture.modelAt(fixture.lastSeq), { reverse });
      const cursor = open(fixture, { reverse });
      const back = Math.min(8, model.length);
      for (const [key, value] of cursor.nextManySync(back)) {
        key.fill(1);
        value.fill(2);
      }
      for (let at = back - 1; at >= 0; at--) {
        expect(cursor.prevSync()).toBe(true);
        expect([cursor.key.toString(), cursor.value.toString()]).toEqual(model[at]);
      }
      const first = cursor.nextManySync(back);
      expect(cursor.firstSync()).toBe(true);
      for (const [, value] of cursor.nextManySync(back)) value.fill(3);
      expect(texts(first)).toEqual(model.slice(0, back));
      expect(cursor.seekSync(model[1]![0])).toBe(true);
      expect(cursor.value.toString()).toBe(model[1]![1]);
      cursor.close();
      expectQuiet(fixture);
    }
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
      // The last table of the deepest run: reached after a while.
      const damaged = fixture.tablePaths().at(-1)!;
      fixture.fs.flipBits(damaged, 70, 0x10);
      const corrupt = { code: "AURA_CORRUPTION" };
      const cursor = open(fixture);
      expect(await cursor.next()).toBe(true);
      await expect(
        (async () => {
          while (await cursor.next());
        })(),
      ).rejects.toMatchObject(corrupt);
      expect(cursor.valid).toBe(false);
      await expect(cursor.next()).rejects.toMatchObject(corrupt);
      await expect(cursor.nextMany(5)).rejects.toMatchObject(corrupt);
      expect(() => cursor.nextSync()).toThrow(expect.objectContaining(corrupt));
      fixture.fs.flipBits(damaged, 70, 0x10);
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

describe("RunCursor", () => {
  test("fails a move into a table that cannot be opened, and passes over none", async () => {
    const fixture = drawFixture(5);
    const { parts } = fixture;
    const run = parts.versions.current.levels[2]!.runs[0]!;
    expect(run.tables.length).toBeGreaterThan(2);
    const [, second] = run.tables;
    const { fs } = fixture;
    const path = `${directory}/${String(second!.number).padStart(6, "0")}.sst`;
    const content = fs.readFile(path);
    fs.unlinkSync(path);
    const get = (meta: TableMeta) => parts.tables.hold(meta);
    const cursor = new RunCursor(run.tables, get, { mayRead: true }, (meta) =>
      parts.tables.release(meta),
    );
    const missing = expect.objectContaining({ code: "AURA_NOT_FOUND" });
    const { smallestKey: key } = second!;
    for (const move of [
      () => {
        for (cursor.first(); cursor.valid; cursor.next());
      },
      () => {
        for (cursor.last(); cursor.valid; cursor.prev());
      },
      () => cursor.seek(key, 0, key.length),
    ]) {
      expect(move).toThrow(missing);
      expect([cursor.valid, cursor.pending, cursor.failed]).toEqual([false, false, true]);
    }
    expect(parts.tables.openCount).toBeGreaterThan(0);
    const file = fs.openSync(path, "create");
    file.writeSync(content, 0);
    file.closeSync();
    let count = 0;
    for (cursor.first(); cursor.valid; cursor.next()) count++;
    expect(cursor.failed).toBe(false);
    expect(count).toBe(run.tables.reduce((sum, table) => sum + table.entryCount, 0));
    cursor.close();
    expectQuiet(fixture);
  });
});
