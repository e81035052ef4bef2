import { compareKeys, hasCode, SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { BlockCache } from "@aura/sst";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AdaptiveReads,
  PROBE_INTERVAL_MS,
  READ_WINDOW,
  SLOW_CURSOR_READ_MS,
  SLOW_READS_MAX,
} from "../src/adaptive-reads.ts";
import { Lookup, PENDING } from "../src/lookup.ts";
import { TableStore } from "../src/table-store.ts";
import { ValueStore } from "../src/value-store.ts";
import type { TableMeta } from "../src/version.ts";
import { Version } from "../src/version.ts";
import { bytesOf, drawHistory, type Entry, put, textOf } from "./support/fake-cursor.ts";
import { directory, type FixtureOptions, ReadFixture } from "./support/read-fixture.ts";

function drawFixture(seed: number, options: FixtureOptions = {}): ReadFixture {
  const random = new SeededRandom(seed);
  return new ReadFixture(drawHistory(random, 300, 40), seed, options);
}

/** Every key of the history, and some that are not there. */
function keysOf(fixture: ReadFixture): Uint8Array[] {
  const keys = new Map(fixture.history.map(({ key }) => [textOf(key), key]));
  for (const key of ["", "a", "k1x", "zz"]) keys.set(key, bytesOf(key));
  return [...keys.values()];
}

function expectedOf(model: readonly Entry[], key: Uint8Array): string | undefined {
  const entry = model.find((other) => compareKeys(other.key, key) === 0);
  return entry && textOf(entry.value);
}

describe("Lookup", () => {
  test.each([
    ["with a cache", {}],
    ["without a cache", { cacheBytes: 0 }],
    ["with one open file", { maxOpenFiles: 1, cacheBytes: 0 }],
    ["through the thread pool", { pooled: true, cacheBytes: 128 * 1024 }],
    ["through the thread pool without a cache", { pooled: true, cacheBytes: 0, maxOpenFiles: 1 }],
  ] as [string, FixtureOptions][])("finds what the model has at any sequence, %s", (_, options) => {
    return fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const fixture = drawFixture(seed, options);
        const lookup = new Lookup(fixture.parts);
        const keys = keysOf(fixture);
        for (const seq of [0, 100, 250, fixture.lastSeq]) {
          const model = fixture.modelAt(seq);
          const many = await lookup.findMany(keys, seq);
          for (const [i, key] of keys.entries()) {
            const expected = expectedOf(model, key);
            const found = [
              lookup.findSync(key, seq)?.toString(),
              (await lookup.find(key, seq))?.toString(),
              many[i]?.toString(),
            ];
            if (found.some((value) => value !== expected)) {
              expect({ key: textOf(key), seq, found }).toEqual({ key: textOf(key), seq, expected });
            }
            const has = [lookup.hasSync(key, seq), await lookup.has(key, seq)];
            expect(has).toEqual([expected !== undefined, expected !== undefined]);
          }
        }
        expect(fixture.parts.versions.pinCount).toBe(0);
        expect(fixture.parts.snapshots.count).toBe(0);
        fixture.close();
        expect(fixture.fs.openHandles).toBe(0);
      }),
      { numRuns: 6 },
    );
  });

  test("gives out buffers that nothing else changes, and that change nothing else", () => {
    const fixture = drawFixture(4, { apart: 50 });
    const lookup = new Lookup(fixture.parts);
    const seq = fixture.lastSeq;
    const kept = fixture.modelAt(seq).map((entry) => {
      const key = new Uint8Array(entry.key);
      const value = lookup.findSync(key, seq)!;
      key.fill(0xee);
      return { entry, value };
    });
    for (const { entry, value } of kept) {
      expect(value).toBeInstanceOf(Buffer);
      expect(value.toString()).toBe(textOf(entry.value));
      value.fill(0xee);
    }
    for (const { entry } of kept) {
      expect(lookup.findSync(entry.key, seq)!.toString()).toBe(textOf(entry.value));
    }
    fixture.close();
  });

  test("makes no promise, and reads no file, when everything is in memory", () => {
    const fixture = drawFixture(5, { memoryOnly: true, pooled: true, apart: 0 });
    const lookup = new Lookup(fixture.parts);
    const { counts } = fixture.fs;
    const before = { ...counts };
    const model = fixture.modelAt(fixture.lastSeq);
    for (const key of keysOf(fixture)) {
      const value = lookup.findNow(key, fixture.lastSeq);
      expect((value as Buffer | undefined)?.toString()).toBe(expectedOf(model, key));
    }
    expect(counts).toEqual(before);
  });

  test("`has` follows no pointer", async () => {
    for (const pooled of [false, true]) {
      const fixture = drawFixture(6, { apart: 100, pooled });
      const lookup = new Lookup(fixture.parts);
      fixture.fs.unlinkSync(fixture.segmentPath);
      const seq = fixture.lastSeq;
      for (const { key } of fixture.modelAt(seq)) {
        expect(lookup.hasSync(key, seq)).toBe(true);
        expect(await lookup.has(key, seq)).toBe(true);
        expect(() => lookup.findSync(key, seq)).toThrow(
          expect.objectContaining({ code: "AURA_NOT_FOUND" }),
        );
        await expect(lookup.find(key, seq)).rejects.toMatchObject({ code: "AURA_NOT_FOUND" });
      }
      expect(fixture.parts.values.openCount).toBe(0);
      expect(fixture.parts.versions.pinCount).toBe(0);
    }
  });

  test("keeps the files that it reads while it waits", async () => {
    const fixture = drawFixture(7, { pooled: true, cacheBytes: 0 });
    const { versions, tables, values } = fixture.parts;
    const lookup = new Lookup(fixture.parts);
    const seq = fixture.lastSeq;
    const model = fixture.modelAt(seq);
    const removed: string[] = [];
    const waiting: Promise<[Entry, Buffer | undefined]>[] = [];
    for (const entry of model) {
      const key = new Uint8Array(entry.key);
      const value = lookup.findNow(key, seq);
      if (value !== PENDING) continue;
      waiting.push(lookup.findPending(key, seq).then((found) => [entry, found]));
      // What came in was copied.
      key.fill(0xee);
    }
    expect(waiting.length).toBeGreaterThan(5);
    expect(versions.pinCount).toBe(waiting.length);
    // The tree is replaced by an empty one, and every file goes as soon as it may.
    const old = versions.current;
    versions.install(new Version(2, [], new Map(), 0));
    for (const meta of old.tables()) {
      versions.obsolete(`${directory}/${meta.number}`, 2, () => {
        tables.forget(meta.number);
        removed.push(String(meta.number));
      });
    }
    versions.obsolete(fixture.segmentPath, 2, () => values.forget(500));
    versions.releaseDurable(2);
    expect(removed).toEqual([]);
    for (const [entry, found] of await Promise.all(waiting)) {
      expect(found?.toString()).toBe(textOf(entry.value));
    }
    expect(removed).toHaveLength([...old.tables()].length);
    expect(versions.pinCount).toBe(0);
    expect(tables.openCount).toBe(0);
  });

  test("a block that fails its check is an error, never an absence", async () => {
    for (const pooled of [false, true]) {
      const fixture = drawFixture(8, { pooled });
      const lookup = new Lookup(fixture.parts);
      // The first data block of every table stands behind the header.
      for (const path of fixture.tablePaths()) fixture.fs.flipBits(path, 70, 0x10);
      let errors = 0;
      const { lastSeq } = fixture;
      for (const entry of fixture.modelAt(lastSeq)) {
        const outcomes = await Promise.allSettled([
          (async () => lookup.findSync(entry.key, lastSeq))(),
          lookup.find(entry.key, lastSeq),
          lookup.findMany([entry.key], lastSeq).then((values) => values[0]),
        ]);
        for (const outcome of outcomes) {
          if (outcome.status === "fulfilled") {
            expect(outcome.value?.toString()).toBe(textOf(entry.value));
          } else {
            expect(hasCode(outcome.reason, "AURA_CORRUPTION")).toBe(true);
            errors++;
          }
        }
      }
      expect(errors).toBeGreaterThan(0);
      expect(fixture.parts.versions.pinCount).toBe(0);
      expect(fixture.parts.snapshots.count).toBe(0);
      fixture.close();
      expect(fixture.fs.openHandles).toBe(0);
    }
  });

  test("a record that fails its check is an error", async () => {
    for (const pooled of [false, true]) {
      const fixture = drawFixture(9, { pooled, apart: 100 });
      const lookup = new Lookup(fixture.parts);
      const bytes = fixture.fs.readFile(fixture.segmentPath);
      for (let at = 64; at < bytes.length; at += 8) {
        fixture.fs.flipBits(fixture.segmentPath, at, 1);
      }
      const { key } = fixture.modelAt(fixture.lastSeq)[0]!;
      expect(() => lookup.findSync(key, fixture.lastSeq)).toThrow(/fails its check/);
      await expect(lookup.find(key, fixture.lastSeq)).rejects.toMatchObject({
        code: "AURA_CORRUPTION",
      });
    }
  });

  test("`findMany` reads one state, whatever happens between", async () => {
    const runtime = simRuntime(1, { tickMs: 0.5 });
    const fixture = drawFixture(10, { memoryOnly: true, runtime });
    const { snapshots } = fixture.parts;
    const lookup = new Lookup(fixture.parts);
    const keys = keysOf(fixture);
    const values = lookup.findMany(keys, 100);
    // It turns the loop on its way: what it sees is kept for it.
    expect(snapshots.seqs()).toEqual([100]);
    const model = fixture.modelAt(100);
    for (const [i, value] of (await values).entries()) {
      expect(value?.toString()).toBe(expectedOf(model, keys[i]!));
    }
    expect(snapshots.count).toBe(0);
  });

  test("reads under way when the stores are closed end, and leave nothing open", async () => {
    for (const seed of [7, 8, 9]) {
      const fixture = drawFixture(seed, { pooled: true, cacheBytes: 0, apart: 60 });
      const { lastSeq, parts } = fixture;
      const lookup = new Lookup(parts);
      const outcomes = fixture.modelAt(lastSeq).map(async ({ key, value }) => {
        const found = await lookup.find(key, lastSeq);
        expect(found?.toString()).toBe(textOf(value));
      });
      fixture.close();
      for (const outcome of await Promise.allSettled(outcomes)) {
        if (outcome.status === "rejected") {
          expect(outcome.reason).toMatchObject({ code: "AURA_CLOSED" });
        }
      }
      expect(fixture.fs.openHandles).toBe(0);
      expect(parts.versions.pinCount).toBe(0);
    }
  });

  test("`findMany` ends when the database is closed", async () => {
    const runtime = simRuntime(1, { tickMs: 0.5 });
    const fixture = drawFixture(10, { memoryOnly: true, runtime });
    const values = new Lookup(fixture.parts).findMany(keysOf(fixture), 100);
    fixture.parts.health.close();
    await expect(values).rejects.toMatchObject({ code: "AURA_CLOSED" });
  });

  test("an endless loop of answers from memory lets timers and sockets have their turn", async () => {
    const runtime = simRuntime(1, { tickMs: 0.01 });
    const fixture = drawFixture(11, { memoryOnly: true, apart: 0, runtime });
    const lookup = new Lookup(fixture.parts);
    let turned = false;
    setImmediate(() => {
      turned = true;
    });
    let count = 0;
    for (; !turned && count < 10_000; count++) await lookup.find(bytesOf("k1"), 300);
    expect(turned).toBe(true);
    expect(count).toBeGreaterThan(20);
  });
});

describe("AdaptiveReads", () => {
  function clocked(): { reads: AdaptiveReads; read: (ms: number) => void; runtime: SimRuntime } {
    const runtime = simRuntime(1, { turns: "manual" });
    const reads = new AdaptiveReads(runtime);
    return {
      reads,
      runtime,
      read: (ms) => {
        const startMs = reads.startMs();
        runtime.advance(ms);
        reads.note(startMs);
      },
    };
  }
  type SimRuntime = ReturnType<typeof simRuntime>;

  test("spends 2 ms of each turn on reads, no more", () => {
    const { reads, read, runtime } = clocked();
    for (let turn = 0; turn < 3; turn++) {
      let count = 0;
      for (; reads.maySync(); count++) read(0.125);
      expect(count).toBe(16);
      runtime.turn();
    }
    expect(reads.pooled).toBe(false);
  });

  test("goes to the pool after 4 slow reads within 64", () => {
    const { reads, read, runtime } = clocked();
    for (let i = 0; i < SLOW_READS_MAX; i++) {
      expect(reads.maySync()).toBe(true);
      read(0.3);
      runtime.turn();
    }
    expect(reads.pooled).toBe(true);
    expect(reads.maySync()).toBe(false);
  });

  test("gives a read of a cursor more time", () => {
    const { reads, runtime } = clocked();
    for (const [tookMs, pooled] of [
      [0.9, false],
      [1.1, true],
    ] as const) {
      for (let i = 0; i < SLOW_READS_MAX; i++) {
        const startMs = reads.startMs();
        runtime.advance(tookMs);
        reads.note(startMs, SLOW_CURSOR_READ_MS);
        runtime.turn();
      }
      expect(reads.pooled).toBe(pooled);
    }
  });

  test("stays when slow reads are rarer than that", () => {
    const { reads, read, runtime } = clocked();
    for (let i = 0; i < 40; i++) {
      read(0.3);
      for (let j = 0; j < Math.ceil(READ_WINDOW / (SLOW_READS_MAX - 1)); j++) read(0.001);
      runtime.turn();
      expect(reads.maySync()).toBe(true);
    }
  });

  test("probes every 100 ms, and returns on trial when a probe is quick", () => {
    const { reads, read, runtime } = clocked();
    for (let i = 0; i < SLOW_READS_MAX; i++) read(0.3);
    runtime.turn();
    runtime.advance(PROBE_INTERVAL_MS - 1);
    expect(reads.maySync()).toBe(false);
    runtime.advance(1);
    expect(reads.maySync()).toBe(true);
    // One at a time.
    expect(reads.maySync()).toBe(false);
    read(1);
    runtime.turn();
    expect([reads.maySync(), reads.pooled]).toEqual([false, true]);
    runtime.advance(PROBE_INTERVAL_MS);
    expect(reads.maySync()).toBe(true);
    read(0.01);
    expect([reads.maySync(), reads.pooled]).toEqual([true, false]);
    read(0.3);
    expect(reads.pooled).toBe(true);
    runtime.turn();
    runtime.advance(PROBE_INTERVAL_MS);
    expect(reads.maySync()).toBe(true);
    read(0.01);
    for (let i = 0; i < READ_WINDOW; i++) read(0.001);
    for (let i = 1; i < SLOW_READS_MAX; i++) read(0.3);
    expect(reads.pooled).toBe(false);
  });
});

describe("TableStore", () => {
  function metasOf(fixture: ReadFixture): TableMeta[] {
    return [...fixture.parts.versions.current.tables()];
  }

  test("opens a table once, and again when it was closed for room", () => {
    const fixture = drawFixture(20, { maxOpenFiles: 1 });
    const { tables } = fixture.parts;
    const metas = metasOf(fixture);
    expect(metas.length).toBeGreaterThan(5);
    for (let round = 0; round < 3; round++) {
      for (const meta of metas) {
        const table = tables.get(meta);
        expect(tables.get(meta)).toBe(table);
        table.verifySync();
        expect(fixture.fs.openHandles).toBe(1);
        expect(tables.openCount).toBeLessThanOrEqual(4);
      }
    }
    expect(tables.residentBytes).toBeGreaterThan(0);
    tables.closeAll();
    expect([tables.openCount, fixture.fs.openHandles]).toEqual([0, 0]);
  });

  test("never closes a table that is held", () => {
    const fixture = drawFixture(20, { maxOpenFiles: 1 });
    const { tables } = fixture.parts;
    const metas = metasOf(fixture);
    const held = tables.hold(metas[0]!);
    expect(tables.hold(metas[0]!)).toBe(held);
    for (const meta of metas) tables.get(meta);
    expect(held.hasHandle).toBe(true);
    expect(tables.get(metas[0]!)).toBe(held);
    tables.forget(metas[0]!.number);
    held.verifySync();
    tables.release(metas[0]!);
    held.verifySync();
    tables.release(metas[0]!);
    expect(() => held.verifySync()).toThrow(expect.objectContaining({ code: "AURA_CLOSED" }));
    expect(() => tables.release(metas[0]!)).toThrow(/released once/);
  });

  test("prefers to keep what was used again", () => {
    const fixture = drawFixture(20, { maxOpenFiles: 2 });
    const { tables } = fixture.parts;
    const metas = metasOf(fixture);
    const often = tables.get(metas[0]!);
    for (const meta of metas.slice(1)) {
      tables.get(meta);
      tables.get(metas[0]!);
    }
    expect(often.hasHandle).toBe(true);
    expect(tables.get(metas[0]!)).toBe(often);
  });

  test("refuses a file that is not the table that the version means", () => {
    const fixture = drawFixture(20);
    const { fs } = fixture;
    const meta = metasOf(fixture)[0]!;
    const other = { ...meta, uid: { lo: meta.uid.lo, hi: meta.uid.hi + 1 } };
    const corrupt = expect.objectContaining({ code: "AURA_CORRUPTION" });
    expect(() => fixture.parts.tables.get(other)).toThrow(corrupt);
    const identity = { databaseUuid: new Uint8Array(16).fill(8), hashSeed: 99 };
    const options = { fs, directory, identity, maxOpenFiles: 4, cacheBytes: 0 };
    expect(() => new TableStore(options).get(meta)).toThrow(corrupt);
    fs.unlinkSync(fixture.tablePaths()[0]!);
    const missing = expect.objectContaining({ code: "AURA_NOT_FOUND" });
    expect(() => fixture.parts.tables.get(meta)).toThrow(missing);
    fixture.close();
    expect(fs.openHandles).toBe(0);
  });
});

describe("ValueStore", () => {
  test("finds a file by the kind that the version knows, or by what is there", () => {
    const fs = new SimFs();
    fs.makeDirectorySync(directory);
    const opened: string[] = [];
    const spy = new Proxy(fs, {
      get(target, name) {
        if (name === "openSync") {
          return (path: string) => {
            opened.push(path);
            throw new Error("opened");
          };
        }
        const member = Reflect.get(target, name) as unknown;
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
    for (const name of ["000002.vlog", "000003.seg"]) {
      fs.openSync(`${directory}/${name}`, "create").closeSync();
    }
    const store = new ValueStore({
      fs: spy,
      directory,
      maxOpenFiles: 4,
      kindOf: (number) => (number === 1 ? "seg" : undefined),
      cache: new BlockCache({ capacityBytes: 0 }),
    });
    const key = bytesOf("k");
    const read = (file: number): void => {
      const pointer = new Uint8Array(20);
      pointer[0] = file;
      expect(() => store.readSync(pointer, 0, 20, key, 0, 1)).toThrow("opened");
    };
    for (const file of [1, 2, 3, 4]) read(file);
    expect(opened).toEqual(
      ["000001.seg", "000002.vlog", "000003.seg", "000004.vlog"].map((name) => `/db/${name}`),
    );
    const short = put("k", 1).value;
    const corrupt = expect.objectContaining({ code: "AURA_CORRUPTION" });
    expect(() => store.readSync(short, 0, short.length, key, 0, 1)).toThrow(corrupt);
  });
});
