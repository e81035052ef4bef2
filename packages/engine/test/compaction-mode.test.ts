/** Shapes of the tree at run time, manual compaction of trees of every shape, and the age of tables. */
import { SeededRandom } from "@aura/base";
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type CompactionMode, type Settings } from "../src/index.ts";

const directory = "/db";
const MODES: readonly CompactionMode[] = ["leveled", "tiered", "lazy-leveled"];

const small: Settings = {
  seed: 5,
  memtable: { maxSize: 262144 },
  table: { maxSize: 32768, compression: "none" },
  compaction: { l0Trigger: 2, baseLevelSize: 65536, fanout: 4 },
};

interface World {
  readonly fs: SimFs;
  readonly runtime: SimRuntime;
  readonly db: AuraDB;
}

async function open(settings: Settings, fs: SimFs = new SimFs()): Promise<World> {
  const runtime = simRuntime(7, { autoAdvance: true });
  return { fs, runtime, db: await AuraDB.open(directory, settings, { fs, runtime }) };
}

/** Puts random keys, and deletes some; returns what must be found. */
function load(db: AuraDB, seed: number, count: number, expected = new Map<string, string>()) {
  const random = new SeededRandom(seed);
  for (let i = 0; i < count; i++) {
    const key = `key-${random.below(6000)}`;
    if (random.below(8) === 0) {
      db.deleteSync(key);
      expected.delete(key);
      continue;
    }
    const value = `${seed}-${i}-${"v".repeat(80)}`;
    db.putSync(key, value);
    expected.set(key, value);
  }
  return expected;
}

function expectAll(db: AuraDB, expected: ReadonlyMap<string, string>): void {
  const found = new Map<string, string>();
  for (const [key, value] of db.scanSync()) found.set(key.toString(), value.toString());
  expect(found.size).toBe(expected.size);
  for (const [key, value] of expected) expect(found.get(key)).toBe(value);
}

async function expectSound({ fs, runtime, db }: World): Promise<void> {
  await db.close();
  const report = await AuraDB.verify(directory, { fs, runtime });
  expect(report.problems).toEqual([]);
}

function runsBelowZero(db: AuraDB): number {
  return Math.max(
    ...db
      .stats()
      .levels.slice(1)
      .map(({ runs }) => runs),
  );
}

describe("a change of the mode", () => {
  test("is in the statistics, an event, and gone with the next open", async () => {
    const world = await open({ ...small, compaction: { ...small.compaction, mode: "tiered" } });
    const { db, fs } = world;
    const seen: string[] = [];
    db.events.on("compactionMode", ({ mode, shape }) => {
      seen.push(`${mode} ${shape.l0Trigger} ${shape.levels.map(({ runs }) => runs).join()}`);
    });
    expect(db.stats().compactions.mode).toBe("tiered");
    db.setCompactionMode("lazy-leveled");
    expect(db.stats().compactions.mode).toBe("lazy-leveled");
    db.setCompactionMode({ levels: [{ runs: 2 }, { runs: 5 }] });
    db.setCompactionMode({ l0Trigger: 8 });
    expect(db.stats().compactions.shape).toMatchObject({
      name: "custom",
      l0Trigger: 8,
      levels: [{ runs: 2 }, { runs: 5 }],
    });
    await db.close();
    expect(seen).toEqual(["lazy-leveled 2 3,3,3,3,3,3,1", "custom 2 2,5", "custom 8 2,5"]);
    const again = await open(small, fs);
    expect(again.db.stats().compactions.mode).toBe("leveled");
    await again.db.close();
  });

  test("is refused with the name of the field", async () => {
    const { db } = await open(small);
    const wrong: [unknown, string][] = [
      ["fast", "compaction mode"],
      [undefined, "compaction mode"],
      [[], "compaction mode"],
      [{ depth: 1 }, "depth"],
      [{ levels: [] }, "levels"],
      [{ levels: [{ runs: 0 }] }, "levels[0].runs"],
      [{ l0Trigger: 0 }, "l0Trigger"],
    ];
    for (const [request, field] of wrong) {
      let error: unknown;
      try {
        db.setCompactionMode(request as CompactionMode);
      } catch (e) {
        error = e;
      }
      expect((error as { code?: string }).code, field).toBe("AURA_INVALID_ARGUMENT");
      expect(String(error)).toContain(field);
    }
    expect(db.stats().compactions.mode).toBe("leveled");
    await db.close();
    expect(() => db.setCompactionMode("tiered")).toThrow(/closed/);
  });

  test("rewrites nothing by itself", async () => {
    const { db } = await open({ ...small, compaction: { ...small.compaction, mode: "tiered" } });
    const expected = load(db, 1, 20_000);
    await db.flush();
    await db.idle();
    const before = db.stats().compactions;
    for (const mode of MODES) {
      db.setCompactionMode(mode);
      await db.idle();
      expect(db.stats().compactions.bytesWritten).toBe(before.bytesWritten);
    }
    expectAll(db, expected);
    await db.close();
  });
});

describe("every shape", () => {
  test.each(MODES)(
    "%s reads right, also after compact(), and writes what it should",
    async (mode) => {
      const world = await open({ ...small, compaction: { ...small.compaction, mode } });
      const { db } = world;
      const expected = new Map<string, string>();
      let mostRuns = 0;
      for (let seed = 0; seed < 4; seed++) {
        load(db, seed, 6000, expected);
        await db.flush();
        await db.idle();
        mostRuns = Math.max(mostRuns, runsBelowZero(db));
        expectAll(db, expected);
      }
      if (mode === "leveled") expect(mostRuns).toBe(1);
      if (mode === "tiered") expect(mostRuns).toBeGreaterThan(1);
      await db.compact();
      const filled = db.stats().levels.filter(({ runs }) => runs > 0);
      expect(filled.map(({ runs }) => runs)).toEqual([1]);
      expect(filled[0]!.entries).toBe(expected.size);
      expectAll(db, expected);
      await expectSound(world);
    },
  );
});

describe("compact", () => {
  test("tells its progress, which never falls and ends with all of it", async () => {
    const { db } = await open({ ...small, compaction: { ...small.compaction, automatic: false } });
    load(db, 1, 20_000);
    const seen: number[] = [];
    let total = 0;
    await db.compact(
      {},
      {
        onProgress: ({ bytesDone, bytesTotal }) => {
          seen.push(bytesDone);
          total = bytesTotal;
        },
      },
    );
    expect(seen.length).toBeGreaterThan(2);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(total);
    await db.close();
  });

  test("is ended by what its listener throws, which meets nobody else", async () => {
    const world = await open({ ...small, compaction: { ...small.compaction, automatic: false } });
    const { db } = world;
    const expected = load(db, 1, 20_000);
    const enough = new Error("enough");
    const onProgress = (): void => {
      throw enough;
    };
    await expect(db.compact({}, { onProgress })).rejects.toBe(enough);
    await db.put("more", "1");
    expected.set("more", "1");
    await db.compact();
    expectAll(db, expected);
    await expectSound(world);
  });

  test("waits for others of its kind", async () => {
    const world = await open(small);
    const { db } = world;
    const expected = load(db, 1, 20_000);
    await Promise.all([db.compact(), db.compact({ lte: "key-3" }), db.compact()]);
    expectAll(db, expected);
    await expectSound(world);
  });

  test("ends with its signal, at once, and leaves the tree and the files as they were", async () => {
    const world = await open({ ...small, compaction: { ...small.compaction, automatic: false } });
    const { db, fs } = world;
    const expected = load(db, 1, 20_000);
    await db.flush();
    const before = db.stats();
    const abort = new AbortController();
    db.events.on("compactionStarted", () => abort.abort(new Error("enough")));
    await expect(db.compact({}, { signal: abort.signal })).rejects.toMatchObject({
      code: "AURA_ABORTED",
      cause: { message: "enough" },
    });
    await db.idle();
    expect(db.stats().compactions.merges).toBe(0);
    expect(db.stats().levels).toEqual(before.levels);
    const tables = before.levels.reduce((sum, level) => sum + level.tables, 0);
    expect(fs.listSync(directory).filter((name) => name.endsWith(".sst")).length).toBe(tables);
    expectAll(db, expected);
    // Whoever aborted it can have it made again.
    await db.compact();
    expectAll(db, expected);
    await expectSound(world);
  });

  test("comes to an end though others write and flush all the time", async () => {
    const world = await open({ ...small, compaction: { ...small.compaction, automatic: false } });
    const { db } = world;
    const expected = load(db, 1, 20_000);
    await db.flush();
    let merges = 0;
    const flushes: Promise<void>[] = [];
    db.events.on("compactionStarted", () => {
      if (++merges > 30) return;
      load(db, 100 + merges, 10, expected);
      flushes.push(db.flush());
    });
    await db.compact();
    await Promise.all(flushes);
    expect(merges).toBeLessThan(10);
    // What came meanwhile is left to the next one.
    expect(db.stats().levels[0]!.runs).toBe(merges);
    expectAll(db, expected);
    const before = merges;
    await db.compact();
    await Promise.all(flushes);
    expect(db.stats().levels[0]!.runs).toBe(merges - before);
    expectAll(db, expected);
    await expectSound(world);
  });

  test("that is aborted while it moves values says why", async () => {
    const world = await open({
      ...small,
      valueLog: { spaceAmplificationMax: 100, maxSegmentSize: 65536 },
      compaction: { ...small.compaction, automatic: false },
    });
    const { db } = world;
    for (let i = 0; i < 400; i++) db.putSync(`key-${i}`, Buffer.alloc(3000));
    await db.compact();
    for (let i = 0; i < 400; i += 2) db.putSync(`key-${i}`, Buffer.alloc(3000));
    const abort = new AbortController();
    db.events.on("compactionStarted", ({ reason }) => {
      if (reason === "relocate") abort.abort(new Error("enough"));
    });
    await expect(db.compact({}, { signal: abort.signal })).rejects.toMatchObject({
      code: "AURA_ABORTED",
      cause: { message: "enough" },
    });
    await expectSound(world);
  });

  test("rewrites tables with deletes around one without", async () => {
    const world = await open({
      ...small,
      table: { maxSize: 16384, compression: "none" },
      compaction: { ...small.compaction, automatic: false },
    });
    const { db } = world;
    const name = (i: number): string => `key-${String(i).padStart(6, "0")}`;
    for (let i = 0; i < 3000; i++) db.putSync(name(i), "v".repeat(60));
    const held = db.snapshot();
    // Deletes at both ends; the snapshot keeps them, and what they hide, through the first merge.
    for (let i = 0; i < 200; i++) db.deleteSync(name(i));
    for (let i = 2800; i < 3000; i++) db.deleteSync(name(i));
    await db.compact();
    held.release();
    await db.compact();
    const entries = db.stats().levels.reduce((sum, level) => sum + level.entries, 0);
    expect(entries).toBe(2600);
    await expectSound(world);
  });
});

describe("the age of tables", () => {
  test("brings old tables to the last level, without a write that asks for it", async () => {
    const compaction = { ...small.compaction, l0Trigger: 60, ttlMs: 10_000 };
    const { db, runtime } = await open({ ...small, compaction });
    const expected = load(db, 3, 4000);
    await db.flush();
    await db.idle();
    expect(db.stats().levels[0]!.runs).toBeGreaterThan(0);
    for (let turn = 0; turn < 200 && db.stats().levels[0]!.runs > 0; turn++) {
      runtime.advance(1000);
      await db.idle();
    }
    expect(db.stats().levels[0]!.runs).toBe(0);
    expectAll(db, expected);
    await db.close();
  });

  test("has every table rewritten once a period, and survives a reopen", async () => {
    const compaction = { ...small.compaction, periodicMs: 1_000_000 };
    const { db, fs } = await open({ ...small, compaction });
    load(db, 3, 4000);
    await db.compact();
    await db.close();
    const runtime = simRuntime(8, { autoAdvance: true });
    runtime.advance(2_000_000);
    const again = await AuraDB.open(directory, { ...small, compaction }, { fs, runtime });
    await again.idle();
    const { merges } = again.stats().compactions;
    expect(merges).toBeGreaterThan(0);
    await again.idle();
    expect(again.stats().compactions.merges).toBe(merges);
    await again.close();
  });
});

test("whoever waits for quiet finds little left of what was overwritten", async () => {
  const world = await open({
    ...small,
    compaction: { l0Trigger: 4, baseLevelSize: 262144, fanout: 10 },
  });
  const { db } = world;
  const random = new SeededRandom(2);
  for (let i = 0; i < 24_000; i++) {
    db.putSync(`key-${String(random.below(6000)).padStart(6, "0")}`, "v".repeat(100));
  }
  await db.flush();
  await db.idle();
  const { levels } = db.stats();
  const bytes = levels.reduce((sum, level) => sum + level.bytes, 0);
  expect(bytes / levels.findLast((level) => level.runs > 0)!.bytes).toBeLessThan(1.12);
  await db.close();
});
