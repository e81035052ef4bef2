import { existsSync, mkdirSync } from "node:fs";
import type { Entries, Found, Store, StoreKind } from "../../src/stores/store.ts";

/** What a `MapStore` gets wrong on purpose. */
export interface Faults {
  /** Changes what a get returns. */
  readonly get?: (key: Buffer, value: Found) => Found;
  /** Changes what a scan returns. */
  readonly scan?: (entries: Entries) => Entries;
  /** Fails a call. */
  readonly fail?: (method: keyof Store) => Error | undefined;
}

/** Contents of all stand-ins, by path: they outlive a close, and end with their folder. */
const contents = new Map<string, Map<string, Uint8Array>>();

/** A store that is right because it is nothing but a map; it fails where it is told to. */
export function mapStore(faults: Faults = {}): StoreKind {
  return {
    name: "map",
    version: "0.0.0",
    durabilities: ["os"],
    compressions: ["none"],
    flags: () => ({ kept: "in memory" }),
    open: async (path) => {
      const map = (existsSync(path) ? contents.get(path) : undefined) ?? new Map();
      mkdirSync(path, { recursive: true });
      contents.set(path, map);
      return openMap(map, faults);
    },
  };
}

function openMap(map: Map<string, Uint8Array>, faults: Faults): Store {
  const check = (method: keyof Store): void => {
    const error = faults.fail?.(method);
    if (error !== undefined) throw error;
  };
  const put = (key: Uint8Array, value: Uint8Array): void => {
    map.set(Buffer.from(key).toString("latin1"), Buffer.from(value));
  };
  const get = (key: Uint8Array): Found => {
    const value = map.get(Buffer.from(key).toString("latin1"));
    return faults.get === undefined ? value : faults.get(Buffer.from(key), value);
  };
  return {
    write: async ({ keys, values }) => {
      check("write");
      for (let i = 0; i < keys.length; i++) put(keys[i]!, values[i]!);
    },
    put: async (key, value) => {
      check("put");
      put(key, value);
    },
    get: async (key) => {
      check("get");
      return get(key);
    },
    getMany: async (keys) => keys.map(get),
    delete: async (key) => void map.delete(Buffer.from(key).toString("latin1")),
    getSync: get,
    scan: async function* (from, limit) {
      const low = Buffer.from(from).toString("latin1");
      const names = [...map.keys()].filter((name) => name >= low).sort();
      for (let at = 0; at < Math.min(limit, names.length); at += 7) {
        const chunk = names.slice(at, Math.min(at + 7, limit));
        const keys = chunk.map((name) => Buffer.from(name, "latin1"));
        const entries = { keys, values: chunk.map((name) => map.get(name)!) };
        yield faults.scan === undefined ? entries : faults.scan(entries);
      }
    },
    drain: async () => check("drain"),
    close: async () => check("close"),
    facts: {},
  };
}
