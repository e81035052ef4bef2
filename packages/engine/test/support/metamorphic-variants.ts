/**
 * Thirty databases that have to answer alike: settings at their ends and in between, inline jobs
 * and worker threads, disks that answer at once or late, restarts by close, kill and power loss.
 */
import type { Settings } from "../../src/index.ts";
import { isAbsent } from "./codecs-here.ts";

export interface Variant {
  readonly name: string;
  readonly settings: Settings;
  /** Flushes and changes of mode at random, between any two calls. */
  readonly isRestless: boolean;
  /** Answers are awaited late: reads and writes overlap. */
  readonly isLate: boolean;
  readonly calls: "sync" | "async" | "mixed";
  readonly world: {
    /** On the real disk with worker threads; else simulated, with inline jobs. */
    readonly isReal: boolean;
    /** Calls of the disk end in later turns. */
    readonly isSlow: boolean;
    readonly order: "fifo" | "random";
    readonly restart: "close" | "kill" | "power";
  };
}

/** Small limits: everything happens in a short history. */
const SMALL: Settings = {
  seed: 11,
  wal: { maxFileSize: 65536 },
  valueLog: { separationThreshold: 200, maxSegmentSize: 65536 },
  memtable: { maxSize: 262144 },
  table: { maxSize: 16384, blockSize: 512 },
  compaction: { l0Trigger: 2, baseLevelSize: 65536, fanout: 3 },
  cache: { capacity: 131072 },
};

type Group = Record<string, unknown>;

/** Merges two levels of settings. */
function over(base: Settings, more: Settings): Settings {
  const result: Group = { ...base };
  for (const [name, value] of Object.entries(more)) {
    const before = result[name];
    const isGroup = typeof value === "object" && typeof before === "object" && before !== null;
    result[name] = isGroup ? { ...(before as Group), ...(value as Group) } : value;
  }
  return result as Settings;
}

type World = Partial<Variant["world"]> & Partial<Pick<Variant, "isRestless" | "isLate" | "calls">>;

function variant(name: string, settings: Settings, world: World = {}): Variant {
  const { isRestless = false, isLate = false, calls = "mixed" } = world;
  const { isReal = false, isSlow = false, order = "fifo", restart = "close" } = world;
  return {
    name,
    settings: over(SMALL, settings),
    isRestless,
    isLate,
    calls,
    world: { isReal, isSlow, order, restart },
  };
}

export const VARIANTS: readonly Variant[] = [
  variant("as is", {}),
  variant("sync calls only", {}, { calls: "sync" }),
  variant("async calls only, late", {}, { calls: "async", isLate: true }),
  variant("restless", {}, { isRestless: true, restart: "kill" }),
  variant(
    "restless, late, slow disk, any order",
    {},
    {
      ...{ isRestless: true, isLate: true, isSlow: true, order: "random", restart: "power" },
    },
  ),
  variant("tiered", { compaction: { mode: "tiered" } }, { restart: "power" }),
  variant("lazy-leveled", { compaction: { mode: "lazy-leveled", fanout: 2 } }),
  variant("wide levels", { compaction: { fanout: 100, l0Trigger: 64 } }),
  variant("nothing by itself", { compaction: { automatic: false } }, { restart: "kill" }),
  variant("old tables go down", { compaction: { ttlMs: 1, periodicMs: 500 } }, { isSlow: true }),
  variant("hash runs", { memtable: { implementation: "hash-runs" } }, { isRestless: true }),
  variant("btree", { memtable: { implementation: "btree" } }, { isLate: true }),
  variant("skip list", { memtable: { implementation: "skiplist", maxCount: 2 } }),
  variant("no value apart", {
    valueLog: { separationThreshold: 4_000_000 },
    memtable: { maxSize: 1 << 20 },
  }),
  variant("all values apart", { valueLog: { separationThreshold: 64 } }, { isRestless: true }),
  variant(
    "eight queues",
    { valueLog: { writeQueues: 8, separationThreshold: 64 } },
    {
      restart: "kill",
    },
  ),
  variant("values packed, tight space", {
    valueLog: { compression: "deflate", spaceAmplificationMax: 1.05 },
  }),
  variant("lz4", { table: { compression: "lz4" }, valueLog: { compression: "lz4" } }),
  variant("snappy, large blocks", { table: { compression: "snappy", blockSize: 65536 } }),
  variant("zstd with dictionaries", { table: { compression: "zstd", dictionaryBytes: 4096 } }),
  variant("plain, paranoid", { table: { compression: "none", paranoid: true } }),
  variant("ribbon and prefixes", { table: { filter: "ribbon", prefixBytes: 3 } }),
  variant("filter by level, one bit", {
    table: { filter: "by-level", bloomBitsPerKey: 1, filterAllocation: "uniform" },
  }),
  variant("no filter, no model", {
    table: { filter: "none" },
    learnedIndex: { modelType: "none" },
  }),
  variant("radix spline, tuned", {
    learnedIndex: { modelType: "radix-spline", onlineTuning: true },
    table: { blockSize: [512, 1024, 4096] },
  }),
  variant("no cache, few files", { cache: { capacity: 0 }, maxOpenFiles: 16 }, { isLate: true }),
  variant("one large memtable", {
    memtable: { maxSize: 16 << 20 },
    table: { maxSize: 4 << 20 },
    wal: { maxFileSize: 64 << 20 },
  }),
  variant(
    "every write synced",
    { wal: { syncPolicy: "sync", backgroundSyncBytes: 0 } },
    {
      restart: "power",
    },
  ),
  variant("worker threads", {}, { isReal: true }),
  variant(
    "worker threads, restless, late",
    {
      valueLog: { writeQueues: 4, separationThreshold: 64 },
      compaction: { mode: "tiered" },
    },
    { isReal: true, isRestless: true, isLate: true },
  ),
];

/** Those that this run can make. The rest, one of each codec that is absent, is left out, out loud. */
export const VARIANTS_HERE: readonly Variant[] = VARIANTS.filter(({ name, settings }) => {
  const codec = settings.table?.compression ?? settings.valueLog?.compression ?? "none";
  return !isAbsent(codec, `the settings "${name}"`);
});
