/** The stores that can be compared. Each is loaded when it is asked for, and only then. */
import type { StoreKind } from "./store.ts";

/** A store's name on the command line. */
export type StoreName =
  | "aura"
  | "rocksdb"
  | "classic-level"
  | "lmdb"
  | "better-sqlite3"
  | "raw"
  | "empty";

const loaders: Readonly<Record<StoreName, () => Promise<StoreKind>>> = {
  aura: async () => (await import("./aura.ts")).auraStore(),
  rocksdb: async () => (await import("./rocksdb.ts")).rocksdb,
  "classic-level": async () => (await import("./classic-level.ts")).classicLevel,
  lmdb: async () => (await import("./lmdb.ts")).lmdb,
  "better-sqlite3": async () => (await import("./better-sqlite3.ts")).betterSqlite3,
  raw: async () => (await import("./raw.ts")).raw,
  empty: async () => (await import("./empty.ts")).empty,
};

export const STORE_NAMES: readonly StoreName[] = Object.keys(loaders) as StoreName[];

/** Stores that are there only to be compared with: they lose what they are told. */
export const CONTROLS: readonly StoreName[] = ["raw", "empty"];

/** Returns the adapter of a store. Fails when its package is not installed for this platform. */
export function loadStore(name: StoreName): Promise<StoreKind> {
  return loaders[name]();
}
