import {
  Codec,
  canCompress,
  compareKeys,
  type FileHandle,
  type FileSystem,
  hashKey,
  Kind,
  SEQ_MAX,
  SeededRandom,
} from "@aura/base";
import { SimFs } from "@aura/base/testing";
import {
  BlockCache,
  type BlockIndexFormat,
  Lookup,
  type RangeFragments,
  Table,
  TableHit,
  type TableOpenOptions,
  type TableSettings,
  type TableSummary,
  TableWriter,
} from "../src/index.ts";

export const PATH = "/db/000042.sst";
const HASH_SEED = 0x5eed;
export const UID = { lo: 0x01234567, hi: 0x89abcdef };
const DATABASE_UUID: Uint8Array = new Uint8Array(16).fill(0xdb);

/** A version as a test thinks of it. */
export interface Entry {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly tag: number;
  readonly value: Uint8Array;
}

export function entry(key: string, seq: number, value = "", tag: number = Kind.value): Entry {
  return { key: text(key), seq, tag, value: text(value) };
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

export function emptyFs(options: ConstructorParameters<typeof SimFs>[0] = {}): SimFs {
  const fs = new SimFs(options);
  fs.makeDirectorySync("/db");
  return fs;
}

/** Sorts entries into internal order and drops those that are alike. */
export function inOrder(entries: readonly Entry[]): Entry[] {
  const sorted = [...entries].sort((a, b) => compareKeys(a.key, b.key) || b.seq - a.seq);
  return sorted.filter(
    (one, i) =>
      i === 0 || compareKeys(one.key, sorted[i - 1]!.key) !== 0 || one.seq !== sorted[i - 1]!.seq,
  );
}

export interface WriteOptions {
  readonly path?: string;
  readonly uid?: { lo: number; hi: number };
  readonly number?: number;
  readonly settings?: Partial<TableSettings>;
  readonly ranges?: RangeFragments;
}

export function writer(file: FileHandle, options: WriteOptions = {}): TableWriter {
  return new TableWriter(file, {
    databaseUuid: DATABASE_UUID,
    uid: options.uid ?? UID,
    number: options.number ?? 42,
    keyspace: 7,
    settings: { hashSeed: HASH_SEED, ...options.settings },
  });
}

export function add(table: TableWriter, { key, seq, tag, value }: Entry): void {
  table.add(key, 0, key.length, seq, tag, value, 0, value.length);
}

/** Writes a table of entries in internal order. */
export function writeTable(
  fs: FileSystem,
  entries: readonly Entry[],
  options: WriteOptions = {},
): TableSummary {
  const file = fs.openSync(options.path ?? PATH, "create");
  const table = writer(file, options);
  for (const one of entries) add(table, one);
  if (options.ranges !== undefined) table.setRanges(options.ranges);
  const summary = table.finishSync();
  file.syncSync();
  file.closeSync();
  return summary;
}

export function openTable(fs: FileSystem, options: Partial<TableOpenOptions> = {}): Table {
  return Table.openSync(fs, {
    path: PATH,
    number: 42,
    uid: UID,
    databaseUuid: DATABASE_UUID,
    hashSeed: HASH_SEED,
    ...options,
  });
}

export function hashOf(key: Uint8Array): number {
  return hashKey(key, 0, key.length, HASH_SEED);
}

/** Result of a look-up as a test compares it; undefined is absence. */
export type Found = { seq: number; tag: number; value: string } | undefined;

export function foundOf(state: number, hit: TableHit): Found {
  if (state === Lookup.absent) return undefined;
  if (state !== Lookup.found) throw new Error(`look-up ended with ${state}`);
  return {
    seq: hit.seq,
    tag: hit.tag,
    value: hex(hit.bytes.subarray(hit.valueStart, hit.valueEnd)),
  };
}

export function get(table: Table, key: Uint8Array, seqMax: number = SEQ_MAX): Found {
  const hit = new TableHit();
  return foundOf(table.get(key, 0, key.length, hashOf(key), seqMax, hit, true), hit);
}

/** Looks up without reading, and loads what is asked for. Fails after too many rounds. */
export function getLoading(table: Table, key: Uint8Array, seqMax: number, hit: TableHit): Found {
  for (let round = 0; round < 1000; round++) {
    const state = table.get(key, 0, key.length, hashOf(key), seqMax, hit, false);
    if (state !== Lookup.pending) return foundOf(state, hit);
    table.loadBlockSync(hit.block);
  }
  throw new Error("a look-up makes no progress");
}

/** What the entries say. */
export function expected(entries: readonly Entry[], key: Uint8Array, seqMax: number): Found {
  const one = entries.find(
    (candidate) => compareKeys(candidate.key, key) === 0 && candidate.seq <= seqMax,
  );
  return one && { seq: one.seq, tag: one.tag, value: hex(one.value) };
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** `count` entries with ascending keys, one version each. */
export function plainEntries(count: number, valueBytes = 20): Entry[] {
  return Array.from({ length: count }, (_, i) => {
    const value = new Uint8Array(valueBytes).map((_byte, at) => i * 31 + at * 7);
    return {
      key: text(`key${String(i).padStart(8, "0")}`),
      seq: count - i,
      tag: Kind.value,
      value,
    };
  });
}

/** How a block index in a test goes wrong. */
export type Lie = "none" | "wide" | "first" | "last" | "random" | "reversed" | "nan" | "throws";

/**
 * A block index that stores nothing of use: it answers as told. With "none" and "wide" the answer
 * is a range that holds the block, if the table has the keys 0, 1, 2 ... it guesses.
 */
export function lyingIndex(lie: Lie, seed = 1): BlockIndexFormat {
  return {
    name: "lying",
    builder: () => ({ add: () => {}, finish: () => new Uint8Array([1, 2, 3]) }),
    decode: (_bytes, blockCount) => {
      if (lie === "throws") throw new Error("a model that cannot be read");
      const random = new SeededRandom(seed);
      return {
        first: 0,
        last: 0,
        residentBytes: 3,
        locate() {
          const last = blockCount - 1;
          let range: [number, number] = [0, last];
          if (lie === "first") range = [0, 0];
          if (lie === "last") range = [last, last];
          if (lie === "random") {
            const at = random.below(blockCount);
            range = [at, Math.min(last, at + random.below(3))];
          }
          if (lie === "reversed") range = [last, 0];
          if (lie === "nan") range = [Number.NaN, Number.NEGATIVE_INFINITY];
          [this.first, this.last] = range;
        },
      } as { first: number; last: number; residentBytes: number; locate(): void };
    },
  };
}

/** A codec that compresses here: without native modules the one that needs none. */
export const PACKED: Codec = canCompress(Codec.lz4) ? Codec.lz4 : Codec.deflate;

export const CODECS: readonly Codec[] = [Codec.none, PACKED];

export function cacheOf(capacityBytes: number): BlockCache {
  return new BlockCache({ capacityBytes });
}

export function errorOf(work: () => unknown): { code?: string; file?: string; offset?: number } {
  try {
    work();
  } catch (error) {
    return error as { code?: string };
  }
  throw new Error("nothing was thrown");
}
