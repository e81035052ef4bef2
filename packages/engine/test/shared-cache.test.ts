/** One budget: what blocks, values, filters and indexes take together, of one database or several. */
import { hashKey, hashReady, Kind, SEQ_MAX, SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { Lookup, TableHit } from "@aura/sst";
import { describe, expect, test } from "vitest";
import { AuraDB, createCache, type Settings } from "../src/index.ts";
import { OutputNumbers, TableOutput, type TableOutputSettings } from "../src/jobs/table-output.ts";
import { MemoryBudget } from "../src/shared-cache.ts";
import { TableStore } from "../src/table-store.ts";
import type { TableMeta } from "../src/version.ts";

const KIB = 1024;
const small: Settings = {
  memtable: { maxSize: 256 * KIB },
  table: { maxSize: 16 * KIB, blockSize: 1024, compression: "none" },
  valueLog: { separationThreshold: 600 },
  compaction: { baseLevelSize: 64 * KIB, l0Trigger: 2, fanout: 4 },
};
const textOf = (i: number): string => `key-${String(i).padStart(7, "0")}`;

/** Writes, overwrites and reads keys; calls `check` all along. */
async function work(db: AuraDB, seed: number, check: () => void): Promise<void> {
  const random = new SeededRandom(seed);
  const count = 6000;
  for (let i = 0; i < 15_000; i++) {
    const key = random.below(count);
    db.putSync(textOf(key), `${key}:`.repeat(key % 50 === 0 ? 200 : 12));
    if (i % 100 === 0) {
      check();
      await db.get(textOf(random.below(count)));
    }
  }
  await db.idle();
  for (let i = 0; i < 6000; i++) {
    const key = random.below(count);
    const value = db.getSync(textOf(key));
    if (value !== undefined && !value.toString().startsWith(`${key}:`)) throw new Error("wrong");
    if (i % 100 === 0) check();
  }
}

describe("cache.capacity", () => {
  test.each([300 * KIB, 1024 * KIB])("of %i holds over many tables", async (capacity) => {
    const settings = { ...small, cache: { capacity } };
    const db = await AuraDB.open("/db", settings, { fs: new SimFs(), runtime: simRuntime(1) });
    let most = 0;
    await work(db, 5, () => {
      const { usedBytes, pinnedBytes } = db.stats().cache;
      expect(pinnedBytes).toBeLessThan(capacity / 2);
      most = Math.max(most, usedBytes);
    });
    const { cache, levels } = db.stats();
    expect(levels.reduce((sum, { tables }) => sum + tables, 0)).toBeGreaterThan(25);
    expect(most).toBeLessThanOrEqual(capacity);
    expect(cache.hits).toBeGreaterThan(1000);
    expect(cache.pinnedBytes).toBeGreaterThan(8000);
    await db.close();
  });

  test("is shared by databases, whose parts of it go with them", async () => {
    const cache = createCache({ capacity: 1024 * KIB });
    const open = (path: string): Promise<AuraDB> =>
      AuraDB.open(path, { ...small, cache }, { fs: new SimFs(), runtime: simRuntime(2) });
    const one = await open("/one");
    const two = await open("/two");
    const check = (): void => {
      expect(cache.stats().usedBytes).toBeLessThanOrEqual(1024 * KIB);
    };
    await work(one, 1, check);
    const alone = one.stats().cache;
    await work(two, 2, check);
    expect(two.stats().cache).toMatchObject({ capacity: 1024 * KIB });
    expect(two.stats().cache.usedBytes).toBe(cache.stats().usedBytes);
    // What is counted of one is of one only.
    expect(one.stats().cache.hits).toBe(alone.hits);
    expect(one.stats().cache.misses).toBe(alone.misses);
    expect(two.stats().cache.hits).toBeGreaterThan(0);
    const both = cache.stats().pinnedBytes;
    await one.close();
    expect(cache.stats().pinnedBytes).toBeLessThan(both);
    const rest = [...two.scanSync({ limit: 200 })];
    expect(rest).toHaveLength(200);
    for (const [key, value] of rest) expect(two.getSync(key)).toEqual(value);
    await two.close();
    expect(cache.stats().pinnedBytes).toBe(0);
  });

  test("what a shared cache may be", async () => {
    for (const capacity of [-1, 1.5, Number.NaN, 2 ** 40, "1" as unknown as number]) {
      expect(() => createCache({ capacity })).toThrow(/createCache\.capacity/);
    }
    const fake = { capacity: 100, stats: () => undefined } as unknown as Settings["cache"];
    const opening = AuraDB.open(
      "/db",
      { cache: fake! },
      { fs: new SimFs(), runtime: simRuntime(3) },
    );
    await expect(opening).rejects.toThrow(/settings\.cache\.stats/);
  });
});

describe("filters by level in statistics", () => {
  test("what was measured is about what theory says", async () => {
    const settings = { ...small, table: { ...small.table, bloomBitsPerKey: 6 } };
    const db = await AuraDB.open("/db", settings, { fs: new SimFs(), runtime: simRuntime(1) });
    await work(db, 5, () => undefined);
    await db.flush();
    await db.idle();
    const before = db.stats().levels.map(({ filter }) => filter.denied + filter.passedInVain);
    for (let i = 0; i < 8000; i++) expect(db.getSync(`${textOf(i)}?`)).toBeUndefined();
    let asked = 0;
    for (const [level, { filter, entries, blockHits, blockMisses }] of db
      .stats()
      .levels.entries()) {
      const absent = filter.denied + filter.passedInVain;
      if (entries === 0 || absent - before[level]! < 2000) continue;
      asked += absent;
      expect(filter.bitsPerEntry).toBeGreaterThan(3);
      expect(filter.falsePositiveRate).toBeLessThan(filter.expectedRate * 1.5 + 0.01);
      expect(filter.falsePositiveRate).toBeGreaterThan(filter.expectedRate * 0.4 - 0.01);
      expect(blockHits + blockMisses).toBeGreaterThan(0);
    }
    expect(asked).toBeGreaterThan(5000);
    await db.close();
  });

  test.each([
    ["prefixes in the filter", 7, 1],
    ["many versions of a key", 0, 6],
  ])("with %s, too", async (_, prefixBytes, versions) => {
    const table = { bloomBitsPerKey: 6, filterAllocation: "uniform", prefixBytes } as const;
    const settings: Settings = { memtable: small.memtable!, table };
    const db = await AuraDB.open("/db", settings, { fs: new SimFs(), runtime: simRuntime(1) });
    const keys = 2000;
    const snapshots = Array.from({ length: versions }, () => {
      for (let i = 0; i < keys; i++) db.putSync(`${String(i).padStart(7, "0")}key`, "x");
      return db.snapshot();
    });
    await db.compact();
    for (let i = 0; i < 10_000; i++) db.hasSync(`${String(i % keys).padStart(7, "0")}ka${i}`);
    const { filter, entries } = db.stats().levels.find((level) => level.entries > 0)!;
    expect(entries).toBe(keys * versions);
    expect(filter.falsePositiveRate).toBeLessThan(filter.expectedRate * 1.3);
    expect(filter.falsePositiveRate).toBeGreaterThan(filter.expectedRate * 0.7);
    for (const snapshot of snapshots) snapshot.release();
    await db.close();
  });
});

describe("what tables are asked", () => {
  const still: Settings = {
    table: { blockSize: 1024, compression: "none" },
    compaction: { l0Trigger: 8 },
  };
  const open = (fs: SimFs): Promise<AuraDB> =>
    AuraDB.open("/db", still, { fs, runtime: simRuntime(1) });
  const put = (db: AuraDB, from: number, to: number, step: number): void => {
    for (let i = from; i < to; i += step) db.putSync(textOf(i), `${i}:`.repeat(12));
  };

  test("a block that had to be read is a miss and no hit, whoever wanted it", async () => {
    const fs = new SimFs();
    const components = { fs, runtime: simRuntime(1) };
    const db = await AuraDB.open("/db", { ...still, cache: { capacity: 0 } }, components);
    put(db, 0, 2000, 1);
    await db.flush();
    await db.compact();
    const keys = Array.from({ length: 400 }, (_, i) => textOf((i * 7) % 2000));
    db.getSync(keys[0]!);
    const spent = async (work: () => unknown): Promise<[hits: number, misses: number]> => {
      const before = db.stats().cache;
      await work();
      const after = db.stats().cache;
      return [after.hits - before.hits, after.misses - before.misses];
    };
    expect(await spent(() => keys.map((key) => db.getSync(key)))).toEqual([0, 400]);
    expect(await spent(() => Promise.all(keys.map((key) => db.get(key))))).toEqual([0, 400]);
    const reads = fs.counts.read;
    expect(await spent(() => db.getMany(keys))).toEqual([0, 400]);
    const blocks = fs.counts.read - reads;
    // Each block is read once for all the keys that are in it.
    expect(blocks).toBeLessThan(300);
    expect(await spent(() => [...db.scanSync()])).toEqual([0, expect.closeTo(blocks, -2)]);
    await db.close();
  });

  test("hits and misses of blocks are counted by level, each once", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    put(db, 0, 2000, 1);
    await db.flush();
    await db.compact();
    put(db, 0, 2000, 2);
    await db.flush();
    await db.close();
    const again = await open(fs);
    const read = (from: number): number[][] => {
      const before = again.stats();
      for (let i = from; i < 2000; i += 2) expect(again.getSync(textOf(i))).toBeDefined();
      const after = again.stats();
      const counts = after.levels.map(({ blockHits, blockMisses }, level) => {
        const { blockHits: hits, blockMisses: misses } = before.levels[level]!;
        return [blockHits - hits, blockMisses - misses];
      });
      const sum = (at: number): number => counts.reduce((all, one) => all + one[at]!, 0);
      expect(sum(0)).toBe(after.cache.hits - before.cache.hits);
      expect(sum(1)).toBe(after.cache.misses - before.cache.misses);
      return counts.filter(([hits, misses]) => hits! + misses! > 0);
    };
    // Even keys are in level 0, which ends their look-ups: each of its blocks is read once.
    const [[hits, misses], ...others] = read(0) as [number[], ...number[][]];
    expect(others).toEqual([]);
    expect(hits! + misses!).toBe(1000);
    expect(misses).toBeGreaterThan(30);
    expect(misses).toBeLessThan(200);
    expect(read(0)).toEqual([[1000, 0]]);
    // Odd ones are deeper; the filter of level 0 lets few of them pass.
    expect(
      read(1)
        .at(-1)!
        .reduce((a, b) => a + b),
    ).toBe(1000);
    await again.close();
  });

  test("none that is younger than the reader, or whose bounds leave the key out", async () => {
    const db = await open(new SimFs());
    put(db, 0, 1000, 2);
    await db.flush();
    const snapshot = db.snapshot();
    put(db, 0, 1000, 4);
    await db.flush();
    const asked = (key: string, options?: { snapshot: typeof snapshot }): number => {
      const count = (): number =>
        db.stats().levels.reduce((sum, { filter: { denied, passedInVain, found } }) => {
          return sum + denied + passedInVain + found;
        }, 0);
      const before = count();
      db.getSync(key, options);
      return count() - before;
    };
    expect(asked(textOf(501))).toBe(2);
    expect(asked(textOf(501), { snapshot })).toBe(1);
    expect(asked(textOf(500), { snapshot })).toBe(1);
    // Behind the last key of the younger table, and behind all.
    expect(asked(textOf(998))).toBe(1);
    expect(asked("kez")).toBe(0);
    snapshot.release();
    await db.close();
  });
});

describe("tables that give way", () => {
  const directory = "/db";
  const databaseUuid = new Uint8Array(16).fill(3);
  const identity = { databaseUuid, hashSeed: 9 };
  const settings: TableOutputSettings = {
    directory,
    databaseUuid,
    hashSeed: 9,
    blockBytes: 1024,
    codec: 0,
    valueCodec: 0,
    bloomBitsPerKey: 20,
    learnedIndex: true,
    tableBytesMax: 16 * KIB,
    segmentBytesMax: 1024 * KIB,
    firstNumber: 1,
    numberCount: 1000,
    uidSeed: 7,
  };

  async function tables(fs: SimFs): Promise<TableMeta[]> {
    await hashReady();
    fs.makeDirectorySync(directory);
    const output = new TableOutput(fs, settings, new OutputNumbers(settings));
    const value = Buffer.alloc(20, 1);
    for (let i = 0; i < 15_000; i++) {
      const key = Buffer.from(textOf(i));
      output.add(key, 0, key.length, i + 1, Kind.value, value, 0, value.length);
    }
    return output.finishSync();
  }

  test("filters and indexes stay within their share, of two databases together", async () => {
    const budget = new MemoryBudget(40 * KIB, 0);
    const stores: { store: TableStore; metas: TableMeta[] }[] = [];
    for (let i = 0; i < 2; i++) {
      const fs = new SimFs();
      const metas = await tables(fs);
      const common = { fs, directory, identity, maxOpenFiles: 100, cacheBytes: 0 };
      stores.push({ store: new TableStore({ ...common, sharedCache: budget }), metas });
    }
    const hit = new TableHit();
    const random = new SeededRandom(2);
    let most = 0;
    for (let i = 0; i < 4000; i++) {
      const { store, metas } = stores[random.below(2)]!;
      const meta = metas[Math.floor(random.below(metas.length) ** 2 / metas.length)]!;
      const key = meta.smallestKey;
      const table = store.get(meta);
      const state = table.get(
        key,
        0,
        key.length,
        hashKey(key, 0, key.length, 9),
        SEQ_MAX,
        hit,
        true,
      );
      expect(state).toBe(Lookup.found);
      most = Math.max(most, budget.blocks.pinnedBytes);
    }
    expect(most).toBeLessThanOrEqual(budget.pinnedBytesMax);
    expect(most).toBeGreaterThan(budget.pinnedBytesMax * 0.8);
    for (const { store } of stores) {
      expect(store.closedForMemory).toBeGreaterThan(10);
      expect(store.openCount).toBeGreaterThan(1);
    }
    // A table in use gives way to nobody, though all are too much.
    const { store, metas } = stores[0]!;
    const held = metas.map((meta) => ({ meta, table: store.hold(meta) }));
    expect(budget.blocks.pinnedBytes).toBeGreaterThan(budget.pinnedBytesMax);
    for (const { meta, table } of held) {
      expect(store.get(meta)).toBe(table);
      store.release(meta);
    }
    for (const one of stores) one.store.closeAll();
    expect(budget.blocks.pinnedBytes).toBe(0);
  });
});
