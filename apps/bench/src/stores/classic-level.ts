/**
 * LevelDB through `classic-level`. It has one write buffer beside the one being flushed, stores no value
 * apart from the tree, and offers no way to wait for compactions: `drain` waits until its files
 * have not changed for a while, and leaves the memtable where it is.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { packageVersion } from "../package-version.ts";
import { type Budget, type Entries, SCAN_CHUNK, type Store, type StoreKind } from "./store.ts";

/** Files that do not change for so long mean that no compaction runs. */
const QUIET_MS = 300;

function flags(budget: Budget): Readonly<Record<string, unknown>> {
  return {
    compression: false,
    sync: budget.durability === "sync",
    writeBufferSize: budget.memtableBytes,
    cacheSize: budget.cacheBytes,
    blockSize: 4096,
    maxOpenFiles: 1000,
    maxFileSize: 64 * 1024 * 1024,
  };
}

async function open(path: string, budget: Budget): Promise<Store> {
  const sync = budget.durability === "sync";
  const db = new ClassicLevel<Uint8Array, Uint8Array>(path, {
    keyEncoding: "view",
    valueEncoding: "view",
    ...flags(budget),
  });
  await db.open();
  return {
    write: ({ keys, values }) => {
      const batch = keys.map((key, i) => ({ type: "put" as const, key, value: values[i]! }));
      return db.batch(batch, { sync });
    },
    put: (key, value) => db.put(key, value, { sync }),
    delete: (key) => db.del(key, { sync }),
    get: (key) => db.get(key),
    getMany: (keys) => db.getMany([...keys]),
    getSync: (key) => db.getSync(key),
    scan: (from, limit) => scan(db, from, limit),
    drain: () => drain(path),
    close: () => db.close(),
    facts: {},
  };
}

async function* scan(
  db: ClassicLevel<Uint8Array, Uint8Array>,
  from: Uint8Array,
  limit: number,
): AsyncGenerator<Entries> {
  const iterator = db.iterator({ gte: from, limit, highWaterMarkBytes: 1024 * 1024 });
  try {
    while (true) {
      const entries = await iterator.nextv(SCAN_CHUNK);
      if (entries.length === 0) return;
      yield { keys: entries.map(([key]) => key), values: entries.map(([, value]) => value) };
    }
  } finally {
    await iterator.close();
  }
}

async function drain(path: string): Promise<void> {
  let before = "";
  let now = await filesOf(path);
  while (now !== before) {
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    before = now;
    now = await filesOf(path);
  }
}

async function filesOf(path: string): Promise<string> {
  const names = (await readdir(path)).sort();
  const sizes = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(path, name)).catch(() => undefined);
      return `${name} ${found?.size}`;
    }),
  );
  return sizes.join("\n");
}

export const classicLevel: StoreKind = {
  name: "classic-level",
  version: packageVersion("classic-level"),
  durabilities: ["os", "sync"],
  compressions: ["none"],
  flags,
  open,
};
