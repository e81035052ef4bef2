/**
 * SQLite through `better-sqlite3`: a B-tree in one file, all calls in the calling thread. Set as its
 * "performance" page advises (write-ahead log), and as SQLite advises for small rows: WITHOUT ROWID up to a
 * twentieth of a page, else a table beside the index of its keys. `synchronous=NORMAL` hands a commit to
 * the operating system (level `os`), `FULL` syncs each one.
 *
 * Its native part is built or downloaded by an install script, which this workspace does not run: see
 * the README of the benchmarks. Where it is missing, the store is skipped.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { packageVersion } from "../package-version.ts";
import {
  type Budget,
  type Entries,
  type Found,
  SCAN_CHUNK,
  type Store,
  type StoreKind,
} from "./store.ts";

const PAGE_BYTES = 4096;

// Fails here, when it is loaded, where the native part is missing.
new Database(":memory:").close();

function flags(budget: Budget) {
  return {
    journal_mode: "WAL",
    synchronous: budget.durability === "sync" ? "FULL" : "NORMAL",
    page_size: PAGE_BYTES,
    cache_size: -Math.floor(budget.cacheBytes / 1024),
    temp_store: "MEMORY",
    withoutRowid: budget.entryBytes <= PAGE_BYTES / 20,
  } as const;
}

async function open(path: string, budget: Budget): Promise<Store> {
  mkdirSync(path, { recursive: true });
  const db = new Database(join(path, "db.sqlite"));
  const { withoutRowid, ...pragmas } = flags(budget);
  for (const [name, value] of Object.entries(pragmas)) db.pragma(`${name}=${value}`);
  const end = withoutRowid ? "WITHOUT ROWID" : "";
  db.exec(`CREATE TABLE IF NOT EXISTS kv (k BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL) ${end}`);
  const putOne = db.prepare(
    "INSERT INTO kv VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
  );
  const getOne = db.prepare("SELECT v FROM kv WHERE k = ?").pluck();
  const deleteOne = db.prepare("DELETE FROM kv WHERE k = ?");
  const range = db.prepare("SELECT k, v FROM kv WHERE k >= ? ORDER BY k LIMIT ?").raw();
  const behind = db.prepare("SELECT k, v FROM kv WHERE k > ? ORDER BY k LIMIT ?").raw();

  const put = (key: Uint8Array, value: Uint8Array): void => void putOne.run(key, value);
  const get = (key: Uint8Array): Found => getOne.get(key) as Found;
  const putAll = db.transaction(({ keys, values }: Entries) => {
    for (let i = 0; i < keys.length; i++) put(keys[i]!, values[i]!);
  });
  const read = (statement: typeof range, from: Uint8Array, limit: number): Entries => {
    const rows = statement.all(from, limit) as [Uint8Array, Uint8Array][];
    return { keys: rows.map(([key]) => key), values: rows.map(([, value]) => value) };
  };
  return {
    write: async (entries) => putAll(entries),
    put: async (key, value) => put(key, value),
    get: async (key) => get(key),
    getMany: async (keys) => keys.map(get),
    delete: async (key) => void deleteOne.run(key),
    scan: async function* (from, limit): AsyncGenerator<Entries> {
      let entries = read(range, from, Math.min(SCAN_CHUNK, limit));
      for (let left = limit; entries.keys.length > 0; ) {
        left -= entries.keys.length;
        yield entries;
        if (left === 0) return;
        entries = read(behind, entries.keys.at(-1)!, Math.min(SCAN_CHUNK, left));
      }
    },
    getSync: get,
    putSync: put,
    deleteSync: (key) => void deleteOne.run(key),
    scanSync: (from, limit) => read(range, from, limit),
    drain: async () => void db.pragma("wal_checkpoint(TRUNCATE)"),
    close: async () => void db.close(),
    facts: {},
  };
}

export const betterSqlite3: StoreKind = {
  name: "better-sqlite3",
  version: packageVersion("better-sqlite3"),
  durabilities: ["os", "sync"],
  compressions: ["none"],
  note: "has no calls but synchronous ones",
  flags,
  open,
};
