/** AuraDB, with its default settings but for the memory budget and compression. */
import { AuraDB, type Components, WriteBatch } from "@aura/engine";
import { packageVersion } from "../package-version.ts";
import { type Budget, type Entries, SCAN_CHUNK, type Store, type StoreKind } from "./store.ts";

function settings(budget: Budget) {
  return {
    memtable: { maxSize: budget.memtableBytes, maxCount: budget.memtableCount },
    cache: { capacity: budget.cacheBytes },
    valueLog: { separationThreshold: budget.blobBytesMin, compression: "none" },
    table: { compression: "none" },
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
    getSync: (key) => db.getSync(key),
    scan: (from, limit) => scan(db, from, limit),
    drain: async () => {
      await db.flush();
      await db.idle();
    },
    close: () => db.close(),
    facts: {},
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

/** Returns the adapter over components of its own: a test brings the worker's URL. */
export function auraStore(components: Partial<Components> = {}): StoreKind {
  return {
    name: "@aura/engine",
    version: packageVersion("@aura/engine"),
    flags: settings,
    open: (path, budget) => open(path, budget, components),
  };
}
