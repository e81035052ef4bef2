/** Keeps nothing and answers at once: what is measured of it is what the driver itself costs. */
import type { Store, StoreKind } from "./store.ts";

const none = { keys: [], values: [] };
const done = Promise.resolve();
const nothing = Promise.resolve(undefined);

async function open(): Promise<Store> {
  return {
    write: () => done,
    put: () => done,
    get: () => nothing,
    getMany: async () => [],
    delete: () => done,
    scan: async function* () {},
    getSync: () => undefined,
    putSync: () => {},
    deleteSync: () => {},
    scanSync: () => none,
    drain: async () => {},
    close: async () => {},
    facts: {},
  };
}

export const empty: StoreKind = {
  name: "(none)",
  version: process.version,
  durabilities: ["os", "buffered", "sync"],
  compressions: ["none", "lz4"],
  isEmpty: true,
  note: "keeps nothing: what the driver itself costs",
  flags: () => ({}),
  open,
};
