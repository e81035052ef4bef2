/**
 * What a workload asks of a store, and nothing else: no workload knows which store it drives. A store
 * brings one file here, and one line in `catalog.ts`.
 *
 * An adapter uses the fastest documented way of its store for each call, takes keys and values as bytes,
 * and returns bytes that stay as they are. Writes survive the death of the process once their promise
 * resolves (handed to the operating system, not synced). Nothing is compressed.
 */

/** Memory that a store may use, the same for each where it can be set. */
export interface Budget {
  /** Bytes of one memtable or write buffer. */
  readonly memtableBytes: number;
  /** Memtables that may exist at once. */
  readonly memtableCount: number;
  /** Bytes of the block cache. */
  readonly cacheBytes: number;
  /** Values from this size on are stored apart from the tree, where a store can do so. */
  readonly blobBytesMin: number;
}

/** Entries in key order; the two arrays have one length. */
export interface Entries {
  readonly keys: readonly Uint8Array[];
  readonly values: readonly Uint8Array[];
}

/** A value as a store returns it, or that there is none. */
export type Found = Uint8Array | null | undefined;

/** An open database. */
export interface Store {
  /** Writes entries as one atomic batch. */
  write(entries: Entries): Promise<void>;
  put(key: Uint8Array, value: Uint8Array): Promise<void>;
  get(key: Uint8Array): Promise<Found>;
  getMany(keys: readonly Uint8Array[]): Promise<readonly Found[]>;
  /** Reads in the calling thread; `undefined` where a store cannot. */
  readonly getSync: ((key: Uint8Array) => Found) | undefined;
  /** Reads `limit` entries in key order, the first one at or behind `from`, a chunk at a time. */
  scan(from: Uint8Array, limit: number): AsyncIterable<Entries>;
  /** Resolves when all writes are in tables and no background work is left. */
  drain(): Promise<void>;
  close(): Promise<void>;
  /** What the open database says of itself, printed beside the results. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** A kind of store. */
export interface StoreKind {
  /** Name of the npm package. */
  readonly name: string;
  /** Version of that package. */
  readonly version: string;
  /** What was set, as it is printed beside the results. */
  flags(budget: Budget): Readonly<Record<string, unknown>>;
  /** Opens the database in a folder, which is created when absent. */
  open(path: string, budget: Budget): Promise<Store>;
}

/** Entries that a chunk of a scan has. */
export const SCAN_CHUNK = 1000;
