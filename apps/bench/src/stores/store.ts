/**
 * What a workload asks of a store, and nothing else: no workload knows which store it drives. A store
 * brings one file here, and one line in `catalog.ts`.
 *
 * An adapter uses the fastest documented way of its store for each call, takes keys and values as bytes,
 * and returns bytes that stay as they are. What a write survives once its promise resolves, and whether
 * anything is compressed, stands in the terms; a store that cannot meet them says which it can.
 */
import type { Work } from "../result.ts";

/**
 * What an acknowledged write survives. `buffered`: a clean close; `os`: the death of the process (handed to
 * the operating system, not synced); `sync`: a power cut.
 */
export const DURABILITIES = ["buffered", "os", "sync"] as const;
export type Durability = (typeof DURABILITIES)[number];

export const COMPRESSIONS = ["none", "lz4"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** Memory that a store may use, and its terms: the same for each store where they can be set. */
export interface Budget {
  /** Bytes of one memtable or write buffer. */
  readonly memtableBytes: number;
  /** Memtables that may exist at once. */
  readonly memtableCount: number;
  /** Bytes of the block cache. */
  readonly cacheBytes: number;
  /** Values from this size on are stored apart from the tree, where a store can do so. */
  readonly blobBytesMin: number;
  readonly durability: Durability;
  readonly compression: Compression;
  /** Bytes of a usual key with its value: some stores lay out their tables by it. */
  readonly entryBytes: number;
}

/** Entries in key order; the two arrays have one length. */
export interface Entries {
  readonly keys: readonly Uint8Array[];
  readonly values: readonly Uint8Array[];
}

/** A value as a store returns it, or that there is none. */
export type Found = Uint8Array | null | undefined;

/** Background work that has just begun, or ended. */
export interface WorkNews {
  readonly kind: Work["kind"];
  readonly isEnd: boolean;
}

/** An open database. */
export interface Store {
  /** Writes entries as one atomic batch. */
  write(entries: Entries): Promise<void>;
  put(key: Uint8Array, value: Uint8Array): Promise<void>;
  get(key: Uint8Array): Promise<Found>;
  getMany(keys: readonly Uint8Array[]): Promise<readonly Found[]>;
  delete(key: Uint8Array): Promise<void>;
  /** Reads `limit` entries in key order, the first one at or behind `from`, a chunk at a time. */
  scan(from: Uint8Array, limit: number): AsyncIterable<Entries>;
  /** The same calls, in the calling thread; `undefined` where a store has none. */
  readonly getSync: ((key: Uint8Array) => Found) | undefined;
  readonly putSync?: (key: Uint8Array, value: Uint8Array) => void;
  readonly deleteSync?: (key: Uint8Array) => void;
  readonly scanSync?: (from: Uint8Array, limit: number) => Entries;
  /** Resolves when all writes are in tables and no background work is left. */
  drain(): Promise<void>;
  close(): Promise<void>;
  /** What the open database says of itself, printed beside the results. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Counts since it was opened, of what is the same in each run: bytes written, syncs, blocks read. */
  readonly counts?: () => Readonly<Record<string, number>>;
  /** Calls a listener whenever background work has begun or ended. */
  readonly onWork?: (listener: (news: WorkNews) => void) => void;
}

/** A kind of store. */
export interface StoreKind {
  /** Name of the npm package. */
  readonly name: string;
  /** Version of that package. */
  readonly version: string;
  /** The levels that it has; the first one is taken for a level that it has not. */
  readonly durabilities: readonly Durability[];
  readonly compressions: readonly Compression[];
  /** Keeps nothing, so that its answers are not checked: shows what the driver costs. */
  readonly isEmpty?: boolean;
  /** Bytes of its block cache, where it offers no setting. */
  readonly cacheBytesFixed?: number;
  /** What a reader of its figures has to know. */
  readonly note?: string;
  /** What was set, as it is printed beside the results. */
  flags(budget: Budget): Readonly<Record<string, unknown>>;
  /** Opens the database in a folder, which is created when absent. */
  open(path: string, budget: Budget): Promise<Store>;
}

/** Entries that a chunk of a scan has. */
export const SCAN_CHUNK = 1000;

/** Returns the terms that a store can meet, and what it could not do as asked. */
export function meetTerms(
  kind: StoreKind,
  budget: Budget,
): { readonly budget: Budget; readonly notes: readonly string[] } {
  const notes = kind.note === undefined ? [] : [kind.note];
  let { durability, compression } = budget;
  if (!kind.durabilities.includes(durability)) {
    notes.push(`has no level ${durability}: runs at ${kind.durabilities[0]!}`);
    durability = kind.durabilities[0]!;
  }
  if (!kind.compressions.includes(compression)) {
    notes.push(`has no compression ${compression}: runs with ${kind.compressions[0]!}`);
    compression = kind.compressions[0]!;
  }
  let { cacheBytes } = budget;
  const { cacheBytesFixed = cacheBytes } = kind;
  if (cacheBytes !== cacheBytesFixed) {
    notes.push(`has a block cache of ${cacheBytesFixed / 2 ** 20} MiB, which cannot be set`);
    cacheBytes = cacheBytesFixed;
  }
  return { budget: { ...budget, durability, compression, cacheBytes }, notes };
}
