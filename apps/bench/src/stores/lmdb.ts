/**
 * LMDB through `lmdb`: a copy-on-write B+ tree in a memory map. It has neither memtable nor block cache:
 * what it reads lies in the page cache of the system. `noSync` is the level `os` of the other stores: after
 * a power cut the database may be broken. At level `sync` a promise resolves when its commit is flushed.
 *
 * Gets are `getBinary`, which copies: what `getBinaryFast` returns is lent until the next call.
 */
import { open as openLmdb } from "lmdb";
import { packageVersion } from "../package-version.ts";
import { type Budget, type Entries, SCAN_CHUNK, type Store, type StoreKind } from "./store.ts";

/** Address space of the map: it does not grow in steps while the clock runs. */
const MAP_BYTES = 64 * 2 ** 30;

function flags({ durability, compression }: Budget) {
  return {
    noSync: durability !== "sync",
    // Where commits and flushes overlap, a promise resolves before the flush.
    overlappingSync: false,
    compression: compression === "lz4",
    encoding: "binary",
    keyEncoding: "binary",
    mapSize: MAP_BYTES,
  } as const;
}

async function open(path: string, budget: Budget): Promise<Store> {
  const db = openLmdb<Buffer, Uint8Array>({ ...flags(budget), path, noSubdir: false });
  return {
    write: async ({ keys, values }) => {
      await db.transaction(() => {
        for (let i = 0; i < keys.length; i++) void db.put(keys[i]!, values[i] as Buffer);
      });
    },
    put: async (key, value) => {
      await db.put(key, value as Buffer);
    },
    get: async (key) => db.getBinary(key),
    getMany: async (keys) => keys.map((key) => db.getBinary(key)),
    delete: async (key) => {
      await db.remove(key);
    },
    getSync: (key) => db.getBinary(key),
    putSync: (key, value) => db.putSync(key, value as Buffer),
    deleteSync: (key) => void db.removeSync(key),
    scanSync: (from, limit) => {
      const keys: Uint8Array[] = [];
      const values: Uint8Array[] = [];
      for (const { key, value } of db.getRange({ start: from, limit })) {
        keys.push(key);
        values.push(value);
      }
      return { keys, values };
    },
    scan: async function* (from, limit): AsyncGenerator<Entries> {
      let keys: Uint8Array[] = [];
      let values: Uint8Array[] = [];
      for (const { key, value } of db.getRange({ start: from, limit })) {
        keys.push(key);
        values.push(value);
        if (keys.length < SCAN_CHUNK) continue;
        yield { keys, values };
        keys = [];
        values = [];
      }
      if (keys.length > 0) yield { keys, values };
    },
    drain: async () => {
      await db.flushed;
    },
    close: () => db.close(),
    facts: {},
  };
}

export const lmdb: StoreKind = {
  name: "lmdb",
  version: packageVersion("lmdb"),
  durabilities: ["os", "sync"],
  compressions: ["none", "lz4"],
  flags,
  open,
};
