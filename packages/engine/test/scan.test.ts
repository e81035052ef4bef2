import { SeededRandom } from "@aura/base";
import { simRuntime } from "@aura/base/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DbCursor } from "../src/db-cursor.ts";
import { parseCursorRange, type ScanOptions } from "../src/range.ts";
import { keys, keysSync, scan, scanSync, values, valuesSync } from "../src/scan.ts";
import { bytesOf, type Entry, put, textOf } from "./support/fake-cursor.ts";
import { ReadFixture } from "./support/read-fixture.ts";
import {
  collect,
  drawFixture,
  drawRange,
  expectQuiet,
  modelOf,
  texts,
  WORLDS,
} from "./support/scan-model.ts";

function open(fixture: ReadFixture): DbCursor {
  return new DbCursor(fixture.parts, parseCursorRange());
}

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

  test("at an old sequence number passes over younger tables only", () => {
    const history = Array.from({ length: 400 }, (_, i) => put(`k${1000 + i}`, i + 1));
    const fixture = new ReadFixture(history, 3);
    for (let seq = 0; seq <= 400; seq += 7) {
      const snapshot = fixture.parts.snapshots.create(seq);
      expect([...keysSync(fixture.parts, { snapshot })]).toHaveLength(seq);
    }
    expectQuiet(fixture);
  });

  test("pins nothing for entries that it has gathered to its limit", async () => {
    const fixture = drawFixture(7);
    const entries = scan(fixture.parts, { limit: 5 });
    const ahead = scanSync(fixture.parts, { limit: 5 });
    expect([(await entries.next()).done, ahead.next().done]).toEqual([false, false]);
    expectQuiet(fixture);
    expect([(await collect(entries)).length, [...ahead].length]).toEqual([4, 4]);
  });

  test("reads separated values in the order in which they stand", async () => {
    for (const [, options] of WORLDS) {
      const fixture = drawFixture(7, { ...options, apart: 100 });
      const { values: store } = fixture.parts;
      const offsets: number[] = [];
      for (const name of ["fetch", "fetchSync"] as const) {
        const fetch = store[name].bind(store) as (...args: unknown[]) => never;
        store[name] = ((...args: Parameters<typeof store.fetch>) => {
          offsets.push(args[1]);
          return fetch(...args);
        }) as never;
      }
      const cursor = open(fixture);
      expect((await cursor.nextMany(1000)).length).toBeGreaterThan(20);
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
      offsets.length = 0;
      cursor.firstSync();
      expect(cursor.nextManySync(1000).length).toBeGreaterThan(20);
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
      cursor.close();
      expectQuiet(fixture);
    }
  });

  test("of keys never touches the values", async () => {
    for (const reverse of [false, true]) {
      const fixture = drawFixture(7, { apart: 100 });
      fixture.fs.unlinkSync(fixture.segmentPath);
      const { length } = fixture.modelAt(fixture.lastSeq);
      expect(await collect(keys(fixture.parts, { reverse }))).toHaveLength(length);
      expect([...keysSync(fixture.parts, { reverse })]).toHaveLength(length);
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
      const runtime = simRuntime(1, { tickMs: 2 });
      const fixture = drawFixture(9, { ...options, runtime });
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

  test("takes steps that overlap within a batch in order", async () => {
    const history = Array.from({ length: 3000 }, (_, i) => put(`k${1000 + i}`, i + 1));
    const runtime = simRuntime(1, { tickMs: 2 });
    const fixture = new ReadFixture(history, 1, { memoryOnly: true, runtime, apart: 0 });
    const entries = keys(fixture.parts);
    const given: string[] = [];
    for (let count = 1; given.length < history.length; count = (count * 7) % 101) {
      const steps = Array.from({ length: count }, () => entries.next());
      for (const { value } of await Promise.all(steps)) if (value) given.push(value.toString());
    }
    expect(given).toEqual(history.map(({ key }) => textOf(key)));
    await entries.return();
    expectQuiet(fixture);
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

  test("lets timers and sockets have their turn within a batch", async () => {
    const history = Array.from({ length: 4000 }, (_, i) => put(`k${i}`, i + 1));
    const runtime = simRuntime(1);
    const fixture = new ReadFixture(history, 1, { memoryOnly: true, runtime, apart: 0 });
    let since = 0;
    let most = 0;
    let going = true;
    const note = (): void => {
      since = 0;
      if (going) setImmediate(note);
    };
    setImmediate(note);
    for await (const _ of scan(fixture.parts)) {
      most = Math.max(most, ++since);
      runtime.advance(0.1); // the loop's own work
    }
    going = false;
    expect(most).toBeLessThan(100);
    expectQuiet(fixture);
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
