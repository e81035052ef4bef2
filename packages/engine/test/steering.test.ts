/** Windows of work as an agent is shown them, and what becomes of its decisions. */
import { SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import {
  type CompactionAgent,
  createAgent,
  type TreeShape,
  treeGeometry,
  type WindowObservation,
} from "@aura/compaction-rl";
import { describe, expect, test } from "vitest";
import {
  type AgentWeights,
  AuraDB,
  type DecisionRecord,
  type Settings,
  WriteBatch,
} from "../src/index.ts";
import { resolveSettings } from "../src/settings.ts";
import { agentOf, randomAgent, worstAgent } from "./support/agents.ts";

const directory = "/db";

const small: Settings = {
  seed: 5,
  memtable: { maxSize: 262144 },
  table: { maxSize: 32768, compression: "none" },
  compaction: { mode: "adaptive", l0Trigger: 2, baseLevelSize: 65536, fanout: 4 },
  rlAgent: { windowOperations: 1000 },
};

interface World {
  readonly db: AuraDB;
  readonly fs: SimFs;
  readonly runtime: SimRuntime;
  readonly turn: () => Promise<void>;
}

async function open(
  agent: () => CompactionAgent,
  settings: Settings = small,
  fs: SimFs = new SimFs(),
): Promise<World> {
  const runtime = simRuntime(7, { autoAdvance: true });
  const db = await AuraDB.open(directory, settings, { fs, runtime, agent });
  const turn = (): Promise<void> =>
    new Promise((resolve) => {
      runtime.scheduler.nextTurn(resolve);
    });
  return { db, fs, runtime, turn };
}

/** Keeps what it was shown, changes nothing. */
function watcher(seen: WindowObservation[]): CompactionAgent {
  return agentOf("watcher", (observation) => {
    seen.push(observation);
    return undefined;
  });
}

function key(i: number): string {
  return `key-${String(i).padStart(6, "0")}`;
}

/** Puts `count` keys, letting the loop turn now and then. */
async function put({ db, turn }: World, from: number, count: number): Promise<void> {
  for (let i = from; i < from + count; i++) {
    db.putSync(key(i), `${i}-${"v".repeat(90)}`);
    if (i % 50 === 0) await turn();
  }
  await turn();
}

function sum(seen: readonly WindowObservation[], of: (one: WindowObservation) => number): number {
  return seen.reduce((total, one) => total + of(one), 0);
}

describe("a window", () => {
  test("counts every operation once, and what filters did for it", async () => {
    const seen: WindowObservation[] = [];
    const world = await open(() => watcher(seen));
    const { db, turn } = world;
    await put(world, 0, 4000);
    expect(seen.length).toBeGreaterThanOrEqual(3);
    await db.flush();
    await db.idle();
    const before = seen.length;
    let writes = sum(seen, (one) => one.writes);
    const tables = db.stats().levels.map(({ filter }) => filter);
    for (let i = 0; i < 2000; i++) {
      expect(db.getSync(i % 2 === 0 ? key(i) : `${key(i)}-not`)?.length).toBe(
        i % 2 === 0 ? `${i}`.length + 91 : undefined,
      );
      if (i % 10 === 0) await turn();
    }
    expect(await db.getMany([key(1), "nowhere"])).toHaveLength(2);
    for (let i = 0; i < 100; i++) {
      expect([...db.scanSync({ gte: key(i), limit: 16 })]).toHaveLength(16);
      if (i % 10 === 0) await turn();
    }
    // What is left of the last window.
    for (let i = 0; i < 3000; i++) {
      db.putSync(key(i), "x");
      if (i % 10 === 0) await turn();
    }
    await turn();
    const late = seen.slice(before);
    writes = 4000 + sum(late, (one) => one.writes) + writes - 4000;
    expect(writes).toBeGreaterThan(6000);
    expect(writes).toBeLessThanOrEqual(7000);
    expect(sum(late, (one) => one.reads)).toBe(2002);
    expect(sum(late, (one) => one.absentReads)).toBe(1001);
    expect(sum(late, (one) => one.scans)).toBe(100);
    expect(sum(late, (one) => one.scanEntries)).toBe(1600);
    expect(sum(late, (one) => one.seeks)).toBeGreaterThanOrEqual(100);
    const probes = sum(late, (one) => one.levels.reduce((all, level) => all + level.probes, 0));
    const hits = sum(late, (one) => one.levels.reduce((all, level) => all + level.hits, 0));
    expect(hits).toBe(1001);
    const now = db.stats().levels.map(({ filter }) => filter);
    expect(now.length).toBe(tables.length);
    expect(probes).toBeGreaterThanOrEqual(hits);
    expect(sum(late, (one) => one.blockReads)).toBe(
      hits + sum(late, (one) => one.levels.reduce((all, level) => all + level.falsePositives, 0)),
    );
    await db.close();
  });

  test("has the bytes that flushes and merges read and wrote, by level, and the tree at its end", async () => {
    const seen: WindowObservation[] = [];
    const world = await open(() => watcher(seen));
    const { db } = world;
    for (let round = 0; round < 4; round++) await put(world, 0, 6000);
    const { flushes, compactions, memtables } = db.stats();
    const last = seen.at(-1)!;
    const flushed = sum(seen, (one) => one.flushedBytes);
    expect(flushed).toBeGreaterThan(0);
    expect(flushed).toBeLessThanOrEqual(flushes.bytesWritten);
    const written = sum(seen, (one) => one.mergedBytesWritten);
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThanOrEqual(compactions.bytesWritten);
    const toLevels = sum(seen, (one) => one.levels.reduce((all, l) => all + l.bytesWritten, 0));
    expect(toLevels).toBe(flushed + written);
    const fromLevels = sum(seen, (one) => one.levels.reduce((all, l) => all + l.bytesRead, 0));
    expect(fromLevels).toBe(sum(seen, (one) => one.mergedBytesRead));
    // A memtable's bytes are written once, whether it was flushed or not.
    const inMemory = sum(seen, (one) => one.writtenBytes);
    expect(inMemory).toBeGreaterThan(flushed * 0.9);
    expect(memtables.usedBytes).toBeGreaterThan(0);
    expect(last.levels.map(({ runsMax }) => runsMax)).toEqual([2, 1, 1, 1, 1, 1, 1, 1]);
    expect(last.spaceBytes).toBeGreaterThanOrEqual(last.liveBytes);
    expect(last.isUnsettled).toBe(false);
    expect(seen[0]!.isUnsettled).toBe(true);
    await db.close();
  });

  test("has the sizes of values that were written, and how many were fetched from the value log", async () => {
    const seen: WindowObservation[] = [];
    const settings = { ...small, valueLog: { separationThreshold: 1024 } };
    const world = await open(() => watcher(seen), settings);
    const { db, turn } = world;
    const batch = new WriteBatch();
    for (let i = 0; i < 1000; i++) {
      if (i % 4 === 3) batch.put(key(i), Buffer.alloc(2048, i));
      else db.putSync(key(i), Buffer.alloc([0, 300, 1500][i % 4]!, i));
      if (i % 50 === 0) await turn();
    }
    await db.write(batch);
    await db.flush();
    for (let i = 0; i < 1000; i++) {
      expect((await db.get(key(i)))?.length).toBe([0, 300, 1500, 2048][i % 4]);
      if (i % 50 === 0) await turn();
    }
    expect([...db.scanSync({ limit: 40 })]).toHaveLength(40);
    for (let i = 0; i < 2000; i++) {
      db.deleteSync(key(i));
      if (i % 50 === 0) await turn();
    }
    await turn();
    const bucket = (place: number): number => sum(seen, (one) => one.valueSizes![place]!);
    expect([0, 8, 10, 11].map(bucket)).toEqual([250, 250, 250, 250]);
    expect(sum(seen, (one) => one.valueSizes!.reduce((all, count) => all + count, 0))).toBe(1000);
    expect(sum(seen, (one) => one.valueReads!)).toBe(500 + 20);
    await db.close();
  });

  test("ends in a turn of its own, by bytes as well as by operations", async () => {
    let inCall = false;
    const seen: number[] = [];
    const settings = { ...small, rlAgent: { windowOperations: 1e9, windowBytes: 65536 } };
    const world = await open(
      () =>
        agentOf("strict", ({ writtenBytes }) => {
          expect(inCall).toBe(false);
          seen.push(writtenBytes);
          return undefined;
        }),
      settings,
    );
    const { db, turn } = world;
    for (let i = 0; i < 6000; i++) {
      inCall = true;
      db.putSync(key(i), "v".repeat(90));
      db.getSync(key(i));
      inCall = false;
      if (i % 20 === 0) await turn();
    }
    expect(seen.length).toBeGreaterThan(5);
    for (const bytes of seen.slice(1)) {
      expect(bytes).toBeGreaterThanOrEqual(65536);
      expect(bytes).toBeLessThan(2 * 65536);
    }
    await db.close();
  });
});

describe("a decision", () => {
  test("is put in force, announced, and in the log with what came of it", async () => {
    const shape: TreeShape = { name: "custom", l0Trigger: 7, levels: [{ runs: 3 }] };
    const announced: DecisionRecord[] = [];
    const settings = { ...small, rlAgent: { windowOperations: 500, decisionsKept: 3 } };
    const world = await open(() => agentOf("one", () => shape), settings);
    const { db } = world;
    db.events.on("decision", (record) => announced.push(record));
    expect(db.stats().compactions.mode).toBe("adaptive");
    await put(world, 0, 4000);
    const kept = db.decisions();
    expect(kept.length).toBe(3);
    expect(announced.length).toBeGreaterThan(3);
    expect(kept.at(-1)!.outcome).toBeUndefined();
    expect(kept[0]!.outcome!.total).toBe(kept[1]!.observation.writes);
    expect(kept[1]!.shape).toMatchObject({ l0Trigger: 7, levels: [{ runs: 3 }] });
    expect(db.stats().compactions).toMatchObject({ mode: "adaptive", shape: { l0Trigger: 7 } });
    expect(db.stats().steering).toMatchObject({ on: true, seed: 5 });
    expect(db.exportAgent()).toMatchObject({ format: "aura-agent" });
    expect(JSON.parse(JSON.stringify(kept[0]))).toEqual(kept[0]);
    await db.close();
  });

  test("comes no more once another mode is set, and again with `adaptive`", async () => {
    let decided = 0;
    const world = await open(() => agentOf("counter", () => void decided++ as undefined), {
      ...small,
      compaction: { ...small.compaction, mode: "tiered" },
    });
    const { db } = world;
    await put(world, 0, 3000);
    expect(decided).toBe(0);
    db.setCompactionMode("adaptive");
    expect(db.stats().compactions).toMatchObject({ mode: "adaptive", shape: { name: "tiered" } });
    await put(world, 3000, 3000);
    const before = decided;
    expect(before).toBeGreaterThan(1);
    expect(db.decisions().length).toBe(before);
    db.setCompactionMode({ l0Trigger: 5 });
    expect(db.stats().compactions.mode).toBe("custom");
    await put(world, 6000, 3000);
    expect(decided).toBe(before);
    await db.close();
  });

  test("that is illegal, or fails, ends steering with the shape of the open", async () => {
    const wrong: (() => TreeShape | undefined)[] = [
      () => ({ name: "custom", l0Trigger: 0, levels: [{ runs: 1 }] }),
      () => {
        throw new Error("lost");
      },
    ];
    for (const choose of wrong) {
      const world = await open(() => agentOf("wrong", choose));
      const { db, turn } = world;
      const errors: string[] = [];
      db.events.on("backgroundError", ({ activity, severity }) =>
        errors.push(`${severity} ${activity}`),
      );
      await put(world, 0, 3000);
      await turn();
      expect(errors).toEqual(["soft steering"]);
      expect(db.stats().compactions).toMatchObject({ mode: "leveled", shape: { l0Trigger: 2 } });
      expect(db.getSync(key(7))).toBeDefined();
      await db.close();
    }
  });
});

describe("a shape", () => {
  test("names the filter bits of the next tables of a level", async () => {
    const world = await open(() => watcher([]), {
      ...small,
      compaction: { ...small.compaction, mode: "leveled" },
    });
    const { db } = world;
    const bitsBelowZero = (): number =>
      db.stats().levels.findLast(({ entries }) => entries > 0)!.filter.bitsPerEntry;
    db.setCompactionMode({ levels: [{ runs: 1, filterBits: 3 }] });
    // Twice, so that tables are written anew and not just moved down.
    await put(world, 0, 6000);
    await put(world, 0, 6000);
    await db.compact();
    expect(bitsBelowZero()).toBeGreaterThan(2);
    expect(bitsBelowZero()).toBeLessThan(5);
    db.setCompactionMode({ levels: [{ runs: 1, filterBits: 16 }] });
    await put(world, 0, 6000);
    await db.compact();
    expect(bitsBelowZero()).toBeGreaterThan(15);
    db.setCompactionMode({ levels: [{ runs: 1, filterBits: 0 }] });
    await put(world, 0, 6000);
    await db.compact();
    expect(bitsBelowZero()).toBe(0);
    expect(() => db.setCompactionMode({ levels: [{ runs: 1, filterBits: 33 }] })).toThrow(
      /levels\[0\]\.filterBits/,
    );
    for (let i = 0; i < 6000; i += 7) expect(db.hasSync(key(i))).toBe(true);
    await db.close();
  });

  test("names the size from which on values are stored apart", async () => {
    const { db } = await open(() => watcher([]), {
      ...small,
      compaction: { ...small.compaction, mode: "leveled" },
    });
    const value = "v".repeat(2000);
    const inLog = async (): Promise<number> => {
      await db.flush();
      const { bySegment } = db.stats({ segments: true }).valueLog;
      return bySegment!.reduce((sum, { totalCount }) => sum + totalCount, 0);
    };
    db.putSync("a", value);
    expect(await inLog()).toBe(1);
    db.setCompactionMode({ separationThreshold: 4096 });
    db.putSync("b", value);
    expect(await inLog()).toBe(1);
    db.setCompactionMode({ separationThreshold: 64 });
    db.putSync("c", value);
    await db.put("d", value);
    expect(await inLog()).toBe(3);
    // A mode by name is one of the settings.
    db.setCompactionMode("leveled");
    db.putSync("e", "v".repeat(500));
    expect(await inLog()).toBe(3);
    for (const name of ["a", "b", "c", "d"]) expect(db.getSync(name)?.toString()).toBe(value);
    expect(() => db.setCompactionMode({ separationThreshold: 1 })).toThrow(/separationThreshold/);
    await db.close();
  });
});

/** Windows of writes, then of reads, then of both; returns what was decided. */
async function livedThrough(settings: Settings): Promise<readonly DecisionRecord[]> {
  const runtime = simRuntime(7, { autoAdvance: true });
  const db = await AuraDB.open(directory, settings, { fs: new SimFs(), runtime });
  const world = { db, fs: new SimFs(), runtime, turn: () => turnOf(runtime) };
  for (let round = 0; round < 4; round++) {
    await put(world, 0, 1500);
    for (let i = 0; i < 1500; i++) {
      db.getSync(round % 2 === 0 ? key(i) : `${key(i)}-not`);
      if (i % 50 === 0) await world.turn();
    }
  }
  const records = db.decisions();
  await db.close();
  return records;
}

test.each(["closed-form", "bandit", "actor-critic", "search"] as const)(
  "%s: the same seed and the same recorded observations give the same decisions",
  async (algorithm) => {
    const rlAgent = { windowOperations: 200, decisionsKept: 1000, algorithm, explorationRate: 0.2 };
    const settings = { ...small, rlAgent };
    const records = await livedThrough(settings);
    expect(records.length).toBeGreaterThan(30);
    const recording = JSON.stringify(records.map(({ observation }) => observation));
    const observations = JSON.parse(recording) as WindowObservation[];
    const { compaction, table, memtable } = resolveSettings(settings);
    const agent = createAgent({
      ...{ algorithm, seed: 5, explorationRate: 0.2, filterBits: table.bloomBitsPerKey },
      geometry: treeGeometry({
        fanout: compaction.fanout,
        baseLevelBytes: compaction.baseLevelSize,
        tableBytesMin: table.maxSize,
        tableBytesMax: table.maxSize,
        levelCount: 8,
      }),
      baseline: records[0]!.shape,
      memtableBytes: memtable.maxSize,
      filterAllocation: table.filterAllocation,
    });
    for (const [i, observation] of observations.entries()) {
      const { decision, shape } = records[i]!;
      const again = agent.decide(observation, shape);
      expect(JSON.stringify(again)).toBe(JSON.stringify(decision));
    }
    // And the whole run again is the same run.
    expect(JSON.stringify(await livedThrough(settings))).toBe(JSON.stringify(records));
  },
);

test("weights go from one database to the next, and wrong ones are refused by name", async () => {
  const settings = { ...small, rlAgent: { windowOperations: 500, algorithm: "bandit" as const } };
  const runtime = simRuntime(7, { autoAdvance: true });
  const open = (weights: unknown): Promise<AuraDB> => {
    const rlAgent = { ...settings.rlAgent, weights: weights as AgentWeights };
    return AuraDB.open(directory, { ...settings, rlAgent }, { fs: new SimFs(), runtime });
  };
  const first = await AuraDB.open(directory, settings, { fs: new SimFs(), runtime });
  const weights = first.exportAgent();
  await first.close();
  const second = await open(JSON.parse(JSON.stringify(weights)));
  expect(second.exportAgent()).toEqual(weights);
  await second.close();
  for (const wrong of [{ format: "other" }, { ...weights, version: 99 }, 7, null]) {
    await expect(open(wrong)).rejects.toMatchObject({ code: "AURA_INVALID_ARGUMENT" });
    await expect(open(wrong)).rejects.toThrow(/weights/);
  }
});

test.each([
  ["random", randomAgent],
  ["worst", worstAgent],
] as const)("a %s agent changes no answer", async (_name, agent) => {
  const settings = { ...small, rlAgent: { windowOperations: 300 } };
  const runtime = simRuntime(7, { autoAdvance: true });
  const fs = new SimFs();
  const db = await AuraDB.open(directory, settings, { fs, runtime, agent });
  const world = { db, fs, runtime, turn: () => turnOf(runtime) };
  const expected = new Map<string, string>();
  for (let round = 0; round < 8; round++) {
    await put(world, round * 700, 2500);
    for (let i = round * 700; i < round * 700 + 2500; i++) expected.set(key(i), `${i}-`);
    for (let i = 0; i < 1500; i++) {
      const found = db.getSync(key(i * 3))?.toString();
      if (expected.has(key(i * 3))) expect(found?.startsWith(expected.get(key(i * 3))!)).toBe(true);
      else expect(found).toBeUndefined();
      if (i % 50 === 0) await world.turn();
    }
  }
  expect(db.stats().steering.changes).toBeGreaterThan(20);
  expect([...db.keysSync()].length).toBe(expected.size);
  await db.close();
  expect((await AuraDB.verify(directory, { fs, runtime })).problems).toEqual([]);
});

function turnOf(runtime: SimRuntime): Promise<void> {
  return new Promise((resolve) => {
    runtime.scheduler.nextTurn(resolve);
  });
}
