/** The stores of the dynamic benchmark: AuraDB in each configuration, and RocksDB through its binding. */
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { SCAN_ENTRIES, WINDOW_OPERATIONS } from "./dynamic-phases.mjs";

const MIB = 1048576;
const fromBench = createRequire(new URL("../../../apps/bench/package.json", import.meta.url));

/** An agent that keeps the shape: static configurations are counted by the same windows. */
function watcher() {
  const none = { reads: 0, scans: 0, writes: 0, merges: 0, stalls: 0, debt: 0, total: 0 };
  return {
    algorithm: "watcher",
    isFrozen: true,
    freeze: () => undefined,
    exportWeights: () => ({ format: "aura-agent", version: 1, algorithm: "none", parameters: {} }),
    decide: ({ window }) => ({
      ...{ window, algorithm: "watcher", shape: undefined, reason: "keep", detail: "" },
      ...{ keptSeconds: 0, predictedSeconds: 0, switchSeconds: 0, measured: none, phase: 0 },
      ...{ isExploration: false, stateDigest: 0 },
    }),
  };
}

/** "3/8": three runs per level, level 0 merged at eight; "9,1/4": the last level has one. */
export function shapeOf(name) {
  const [runs, trigger] = name.split("/");
  return {
    levels: runs.split(",").map((one) => ({ runs: Number(one) })),
    l0Trigger: Number(trigger),
  };
}

/**
 * Opens AuraDB. `config`: `adaptive`, `adaptive:<algorithm>`, a shape as above, or `oracle`, whose
 * shape the driver sets phase by phase.
 */
export async function openAura(bundle, directory, tree, config, seed) {
  const { AuraDB, WriteBatch } = await import(pathToFileURL(join(bundle, "index.js")).href);
  const [kind, algorithm] = config.split(":");
  const isAdaptive = kind === "adaptive";
  const settings = {
    seed,
    memtable: { maxSize: tree.memtableBytes, maxCount: 3 },
    wal: { maxFileSize: Math.max(4 * MIB, tree.memtableBytes) },
    valueLog: {
      separationThreshold: 1024,
      spaceAmplificationMax: tree.spaceAmplificationMax ?? 1.3,
    },
    table: { compression: "none", maxSize: Math.max(65536, tree.baseBytes / 16) },
    cache: { capacity: tree.cacheBytes },
    compaction: { mode: "adaptive", baseLevelSize: tree.baseBytes },
    rlAgent: {
      windowOperations: tree.windowOperations ?? WINDOW_OPERATIONS,
      decisionsKept: 100_000,
      ...(algorithm === undefined ? {} : { algorithm }),
    },
  };
  const db = await AuraDB.open(directory, settings, isAdaptive ? {} : { agent: watcher });
  const setShape = (name) => {
    db.setCompactionMode(shapeOf(name));
    db.setCompactionMode("adaptive");
  };
  if (!isAdaptive && kind !== "oracle") setShape(kind);
  return {
    setShape,
    write: ({ keys, values }) => {
      const batch = new WriteBatch();
      for (let i = 0; i < keys.length; i++) batch.put(keys[i], values[i]);
      return db.write(batch);
    },
    getAll: async (keys) => {
      let found = 0;
      for (const key of keys) if ((await db.get(key)) !== undefined) found++;
      return found;
    },
    scan: async (from) => {
      const cursor = db.cursor({ gte: from });
      try {
        return (await cursor.nextMany(SCAN_ENTRIES)).length;
      } finally {
        cursor.close();
      }
    },
    windows: () => db.stats().steering.windows,
    drain: async () => {
      await db.flush();
      await db.idle();
    },
    facts: () => {
      const { flushes, compactions, steering, admission, stalls } = db.stats();
      return {
        flushedBytes: flushes.bytesWritten,
        mergedBytesRead: compactions.bytesRead,
        mergedBytesWritten: compactions.bytesWritten - compactions.bytesRelocated,
        relocatedBytes: compactions.bytesRelocated,
        delayMs: admission.delayMs,
        stalls,
        steering,
      };
    },
    records: () => db.decisions(),
    close: () => db.close(),
  };
}

/**
 * Opens RocksDB. Its binding has no setting for the size of levels, the trigger of level 0 or the style of
 * compaction: it is leveled, with level 0 merged at 4 files and 256 MiB in the base level.
 */
export async function openRocks(directory, tree) {
  const RocksDB = fromBench("rocksdb-native");
  mkdirSync(directory, { recursive: true });
  const db = new RocksDB(directory, {
    writeBufferSize: tree.rocksMemtableBytes,
    maxWriteBufferNumber: 3,
    tableBlockSize: 4096,
    tableCacheIndexAndFilterBlocks: false,
    tableFormatVersion: 6,
    maxBackgroundJobs: 6,
    bytesPerSync: MIB,
    maxOpenFiles: -1,
    enableBlobFiles: true,
    minBlobSize: 1024,
    blobFileSize: 256 * MIB,
    filterPolicy: new RocksDB.BloomFilterPolicy(10),
  });
  await db.ready();
  return {
    write: ({ keys, values }) => {
      const batch = db.write({ capacity: keys.length, autoDestroy: true });
      for (let i = 0; i < keys.length; i++) batch.tryPut(keys[i], values[i]);
      return batch.flush();
    },
    getAll: async (keys) => {
      const batch = db.read({ capacity: keys.length, autoDestroy: true });
      const found = keys.map((key) => batch.get(key));
      batch.tryFlush();
      let count = 0;
      for (const value of await Promise.all(found)) if (value !== null) count++;
      return count;
    },
    scan: (from) =>
      new Promise((resolve, reject) => {
        let count = 0;
        const entries = db.iterator({ gte: from, limit: SCAN_ENTRIES, capacity: SCAN_ENTRIES });
        entries.on("data", () => count++);
        entries.on("error", reject);
        entries.on("end", () => resolve(count));
      }),
    windows: () => 0,
    drain: async () => {
      await db.flush();
      for (let quiet = 0; quiet < 2; ) {
        let left = 0;
        for (const name of ["num-immutable-mem-table", "num-running-flushes"]) {
          left += Number(await db.getProperty(`rocksdb.${name}`));
        }
        for (const name of ["compaction-pending", "num-running-compactions"]) {
          left += Number(await db.getProperty(`rocksdb.${name}`));
        }
        quiet = left === 0 ? quiet + 1 : 0;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    facts: () => ({}),
    records: () => [],
    close: () => db.close(),
  };
}

/** Bytes of all files of a directory. */
export function bytesOnDisk(directory) {
  let bytes = 0;
  for (const name of readdirSync(directory)) {
    try {
      bytes += statSync(join(directory, name)).size;
    } catch {
      // Removed meanwhile.
    }
  }
  return bytes;
}
