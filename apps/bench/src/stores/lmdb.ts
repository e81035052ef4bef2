/**
 * LMDB through `lmdb`: a copy-on-write B+ tree in a memory map. It has neither memtable nor block cache:
 * what it reads lies in the page cache of the system. `noSync` is the durability level of the other
 * stores for a process that dies; after a power cut the database may be broken.
 *
 * Gets are `getBinary`, which copies: what `getBinaryFast` returns is lent until the next call.
 */
import { open as openLmdb } from "lmdb";
import { packageVersion } from "../package-version.ts";
import { type Entries, SCAN_CHUNK, type Store, type StoreKind } from "./store.ts";

/** Address space of the map: it does not grow in steps while the clock runs. */
const MAP_BYTES = 64 * 2 ** 30;

const OPTIONS = {
  noSync: true,
  compression: false,
  encoding: "binary",
  keyEncoding: "binary",
  mapSize: MAP_BYTES,
} as const;

async function open(path: string): Promise<Store> {
  const db = openLmdb<Buffer, Uint8Array>({ ...OPTIONS, path, noSubdir: false });
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
    getSync: (key) => db.getBinary(key),
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
  flags: () => OPTIONS,
  open,
};
