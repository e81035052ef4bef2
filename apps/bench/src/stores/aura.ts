/** AuraDB, with its default settings but for the memory budget, the durability and compression. */
import { AuraDB, type Components, WriteBatch } from "@aura/engine";
import { packageVersion } from "../package-version.ts";
import { type Budget, type Entries, SCAN_CHUNK, type Store, type StoreKind } from "./store.ts";

function settings(budget: Budget) {
  return {
    // What it draws by chance is the same in each run, so that its counts are.
    seed: 1,
    wal: { syncPolicy: budget.durability },
    memtable: { maxSize: budget.memtableBytes, maxCount: budget.memtableCount },
    cache: { capacity: budget.cacheBytes },
    valueLog: { separationThreshold: budget.blobBytesMin, compression: budget.compression },
    table: { compression: budget.compression },
  } as const;
}

async function open(path: string, budget: Budget, components: Partial<Components>): Promise<Store> {
  const db = await AuraDB.open(path, settings(budget), components);
  return {
    write: ({ keys, values }) => {
      const batch = new WriteBatch();
      for (let i = 0; i < keys.length; i++) batch.put(keys[i]!, values[i]!);
      return db.write(batch);
    },
    put: (key, value) => db.put(key, value),
    get: (key) => db.get(key),
    getMany: (keys) => db.getMany(keys),
    delete: (key) => db.delete(key),
    scan: (from, limit) => scan(db, from, limit),
    getSync: (key) => db.getSync(key),
    putSync: (key, value) => db.putSync(key, value),
    deleteSync: (key) => db.deleteSync(key),
    scanSync: (from, limit) => scanSync(db, from, limit),
    drain: async () => {
      await db.flush();
      await db.idle();
    },
    close: () => db.close(),
    facts: {},
    counts: () => countsOf(db),
    onWork: (listener) => {
      const kindOf = (reason: string): string => (reason === "relocate" ? "gc" : "compaction");
      db.events.on("flushStarted", () => listener({ kind: "flush", isEnd: false }));
      db.events.on("flush", () => listener({ kind: "flush", isEnd: true }));
      db.events.on("compactionStarted", ({ reason }) => {
        listener({ kind: kindOf(reason), isEnd: false });
      });
      db.events.on("compaction", ({ reason }) => listener({ kind: kindOf(reason), isEnd: true }));
    },
  };
}

function countsOf(db: AuraDB): Record<string, number> {
  const { log, flushes, compactions, cache } = db.stats();
  return {
    "log bytes": log.bytesAppended,
    syncs: log.syncs,
    "flushed bytes": flushes.bytesWritten,
    "compacted bytes": compactions.bytesWritten,
    "relocated bytes": compactions.bytesRelocated,
    "blocks read": cache.misses,
  };
}

async function* scan(db: AuraDB, from: Uint8Array, limit: number): AsyncGenerator<Entries> {
  const cursor = db.cursor({ gte: from });
  try {
    for (let left = limit; left > 0; ) {
      const entries = await cursor.nextMany(Math.min(SCAN_CHUNK, left));
      if (entries.length === 0) return;
      left -= entries.length;
      yield { keys: entries.map(([key]) => key), values: entries.map(([, value]) => value) };
    }
  } finally {
    cursor.close();
  }
}

function scanSync(db: AuraDB, from: Uint8Array, limit: number): Entries {
  const cursor = db.cursor({ gte: from });
  try {
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    while (keys.length < limit) {
      const entries = cursor.nextManySync(limit - keys.length);
      if (entries.length === 0) break;
      for (const [key, value] of entries) {
        keys.push(key);
        values.push(value);
      }
    }
    return { keys, values };
  } finally {
    cursor.close();
  }
}

/** Returns the adapter over components of its own: a test brings the worker's URL. */
export function auraStore(components: Partial<Components> = {}): StoreKind {
  return {
    name: "@aura/engine",
    version: packageVersion("@aura/engine"),
    durabilities: ["os", "buffered", "sync"],
    compressions: ["none", "lz4"],
    flags: settings,
    open: (path, budget) => open(path, budget, components),
  };
}
