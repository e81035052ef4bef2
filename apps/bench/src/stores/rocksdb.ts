/**
 * RocksDB through `rocksdb-native`. Set as "Setup Options and Basic Tuning" of RocksDB's wiki advises
 * (dynamic level bytes, 10 Bloom bits, newest table format, 6 background jobs, bytes_per_sync of 1 MiB: what the
 * binding sets anyway), with these differences:
 *
 * - The binding offers neither the size of the block cache (RocksDB's default, 32 MiB) nor compression
 *   (none is built in). All other stores get the same.
 * - Index and filter blocks stay outside that cache (RocksDB's default): inside, they would take a third of it.
 * - Blocks have 4 KiB (RocksDB's default), the binding's own default is 8, the wiki's advice 16 KiB:
 *   4 KiB measured best for random gets with this cache.
 * - Large values go to blob files, as the wiki advises for values from 1 KiB on.
 *
 * Batches are built and handed over whole, reads as well (MultiGet), since a call costs one hop to the
 * thread pool of libuv and back.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import RocksDB from "rocksdb-native";
import { packageVersion } from "../package-version.ts";
import {
  type Budget,
  type Entries,
  type Found,
  SCAN_CHUNK,
  type Store,
  type StoreKind,
} from "./store.ts";

/** What to print of the file in which RocksDB writes down its options. */
const FACTS = [
  "rocksdb_version",
  "compression",
  "level_compaction_dynamic_level_bytes",
  "max_bytes_for_level_base",
  "target_file_size_base",
  "level0_file_num_compaction_trigger",
];
/** How often to ask whether background work is left. */
const POLL_MS = 2;

function flags(budget: Budget): Readonly<Record<string, unknown>> {
  return {
    writeBufferSize: budget.memtableBytes,
    maxWriteBufferNumber: budget.memtableCount,
    tableBlockSize: 4096,
    tableCacheIndexAndFilterBlocks: false,
    tableFormatVersion: 6,
    maxBackgroundJobs: 6,
    bytesPerSync: 1024 * 1024,
    maxOpenFiles: -1,
    enableBlobFiles: true,
    minBlobSize: budget.blobBytesMin,
    blobFileSize: 256 * 1024 * 1024,
    filterPolicy: { bloomBitsPerKey: 10 },
  };
}

async function open(path: string, budget: Budget): Promise<Store> {
  const db = new RocksDB(path, {
    ...flags(budget),
    filterPolicy: new RocksDB.BloomFilterPolicy(10),
  });
  await db.ready();
  const capacity = Number(await db.getProperty("rocksdb.block-cache-capacity"));
  if (capacity !== budget.cacheBytes) {
    throw new Error(`rocksdb: block cache of ${capacity} bytes, expected ${budget.cacheBytes}`);
  }
  return {
    write: ({ keys, values }) => {
      const batch = db.write({ capacity: keys.length, autoDestroy: true });
      for (let i = 0; i < keys.length; i++) batch.tryPut(keys[i]!, values[i]!);
      return batch.flush();
    },
    put: (key, value) => db.put(key, value),
    get: (key) => db.get(key),
    getMany: (keys) => {
      const batch = db.read({ capacity: keys.length, autoDestroy: true });
      const found: Promise<Found>[] = [];
      for (const key of keys) found.push(batch.get(key));
      batch.tryFlush();
      return Promise.all(found);
    },
    delete: (key) => db.delete(key),
    getSync: undefined,
    scan: (from, limit) => scan(db, from, limit),
    drain: () => drain(db),
    close: () => db.close(),
    facts: { "block-cache-capacity": capacity, ...(await readFacts(path)) },
  };
}

async function readFacts(path: string): Promise<Record<string, string>> {
  const files = (await readdir(path)).filter((name) => /^OPTIONS-\d+$/.test(name)).sort();
  const text = await readFile(join(path, files.at(-1) ?? ""), "utf8");
  const facts: Record<string, string> = {};
  for (const name of FACTS) {
    facts[name] = new RegExp(`^\\s*${name}=(.*)$`, "m").exec(text)?.[1] ?? "unknown";
  }
  return facts;
}

/** Takes entries by events: `for await` over single entries costs a promise each. */
async function* scan(db: RocksDB, from: Uint8Array, limit: number): AsyncGenerator<Entries> {
  let keys: Uint8Array[] = [];
  let values: Uint8Array[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake = (): void => {};
  const entries = db.iterator({ gte: from, limit, capacity: SCAN_CHUNK });
  entries.on("error", (error) => {
    failure = error;
  });
  entries.on("close", () => {
    ended = true;
    wake();
  });
  entries.on("data", ({ key, value }) => {
    keys.push(key);
    values.push(value);
    if (keys.length < SCAN_CHUNK) return;
    entries.pause();
    wake();
  });
  while (true) {
    if (!ended && keys.length < SCAN_CHUNK) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== undefined) throw failure;
    if (keys.length === 0) return;
    const chunk = { keys, values };
    keys = [];
    values = [];
    yield chunk;
    if (!ended) entries.resume();
  }
}

async function drain(db: RocksDB): Promise<void> {
  await db.flush();
  const busy = [
    "rocksdb.num-immutable-mem-table",
    "rocksdb.num-running-flushes",
    "rocksdb.compaction-pending",
    "rocksdb.num-running-compactions",
  ];
  // Twice in a row: between two compactions nothing runs for a moment.
  for (let quiet = 0; quiet < 2; ) {
    let left = 0;
    for (const name of busy) left += Number(await db.getProperty(name));
    quiet = left === 0 ? quiet + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export const rocksdb: StoreKind = {
  name: "rocksdb-native",
  version: packageVersion("rocksdb-native"),
  durabilities: ["os"],
  compressions: ["none"],
  cacheBytesFixed: 32 * 2 ** 20,
  flags,
  open,
};
