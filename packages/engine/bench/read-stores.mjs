/** The entries of the read benchmark, and the stores beside AuraDB that are filled with them. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";

/** The peers are dependencies of the benchmarks, not of the engine. */
const fromBench = createRequire(new URL("../../../apps/bench/package.json", import.meta.url));

/** Mixes 32 bits, one to one. */
function mix(value) {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** So many entries, each made from its index: nothing is kept. */
export class Data {
  constructor(count, valueBytes = 100) {
    this.count = count;
    this.valueBytes = valueBytes;
    const noise = Buffer.alloc(1 << 20);
    for (let at = 0; at < noise.length; at += 4) noise.writeUInt32LE(mix(at * 31 + 7), at);
    this.noise = noise;
  }

  /** A fresh buffer; distinct for distinct indexes below 2^32. */
  key(index) {
    const key = Buffer.allocUnsafeSlow(16);
    key.writeUInt32BE(mix(index), 0);
    key.writeUInt32BE(mix(index ^ 0x5bd1e995), 4);
    key.writeUInt32BE(mix(index + 0x9e3779b9), 8);
    key.writeUInt32BE(mix(index ^ 0x85ebca6b), 12);
    return key;
  }

  value(index) {
    const at = (mix(index) % (this.noise.length - this.valueBytes)) >>> 0;
    return this.noise.subarray(at, at + this.valueBytes);
  }

  /** The index of the i-th draw of a round. */
  indexAt(i, round) {
    return mix(i * 16 + round + 2) % this.count;
  }
}

const DB_BENCH = "/usr/bin/db_bench";
const missing = new Set();

/** Returns whether a peer can be had here; says once when it cannot. */
export function ready(name) {
  if (missing.has(name)) return false;
  try {
    if (name === "db_bench") {
      if (!existsSync(DB_BENCH)) throw new Error("not installed");
    } else fromBench(name);
    return true;
  } catch (error) {
    missing.add(name);
    console.log(`# without ${name}: ${error.message}`);
    return false;
  }
}

async function inBatches(data, size, write) {
  for (let start = 0; start < data.count; start += size) {
    await write(start, Math.min(start + size, data.count));
  }
}

/** Opens and fills a peer: (path, data, cacheBytes) => store. */
export const openers = {
  "classic-level": async (path, data, cacheBytes) => {
    const { ClassicLevel } = fromBench("classic-level");
    const db = new ClassicLevel(path, {
      keyEncoding: "buffer",
      valueEncoding: "buffer",
      compression: false,
      writeBufferSize: 64 * 2 ** 20,
      cacheSize: cacheBytes,
      maxOpenFiles: 1000,
      maxFileSize: 64 * 2 ** 20,
    });
    await db.open();
    await inBatches(data, 1000, (start, end) => {
      const batch = [];
      for (let i = start; i < end; i++) {
        batch.push({ type: "put", key: data.key(i), value: data.value(i) });
      }
      return db.batch(batch);
    });
    await db.compactRange(Buffer.alloc(1), Buffer.alloc(17, 255));
    return db;
  },

  lmdb: async (path, data) => {
    const db = fromBench("lmdb").open({
      path,
      noSubdir: false,
      noSync: true,
      encoding: "binary",
      keyEncoding: "binary",
      mapSize: 64 * 2 ** 30,
    });
    await inBatches(data, 10_000, (start, end) =>
      db.transaction(() => {
        for (let i = start; i < end; i++) void db.put(data.key(i), data.value(i));
      }),
    );
    return db;
  },

  /** Its block cache has 32 MiB, which cannot be set. */
  "rocksdb-native": async (path, data) => {
    const RocksDB = fromBench("rocksdb-native");
    const db = new RocksDB(path, {
      writeBufferSize: 64 * 2 ** 20,
      tableBlockSize: 4096,
      tableCacheIndexAndFilterBlocks: false,
      maxOpenFiles: -1,
      filterPolicy: new RocksDB.BloomFilterPolicy(10),
    });
    await db.ready();
    await inBatches(data, 1000, (start, end) => {
      const batch = db.write({ capacity: end - start, autoDestroy: true });
      for (let i = start; i < end; i++) batch.tryPut(data.key(i), data.value(i));
      return batch.flush();
    });
    await db.flush();
    await db.compactRange(Buffer.alloc(1), Buffer.alloc(17, 255));
    return db;
  },
};

const filled = new Set();

/**
 * Runs readrandom twice, the first time to warm its cache, and returns the nanoseconds per read of
 * the second time. Filled in order and compacted at the first call, if not `isFilled`.
 */
export function runDbBench(path, data, cacheBytes, reads, seed, isFilled = false) {
  const common = [
    `--db=${path}`,
    `--num=${data.count}`,
    "--key_size=16",
    `--value_size=${data.valueBytes}`,
    "--compression_type=none",
    "--write_buffer_size=67108864",
    "--bloom_bits=10",
    "--block_size=4096",
    `--cache_size=${cacheBytes}`,
    "--open_files=-1",
    `--seed=${seed + 10}`,
  ];
  const call = (args) => {
    const { status, stdout, stderr } = spawnSync(DB_BENCH, [...common, ...args]);
    if (status !== 0) throw new Error(`db_bench: ${stderr}`);
    return stdout.toString();
  };
  if (!isFilled && !filled.has(path)) {
    filled.add(path);
    call(["--benchmarks=fillseq,compact,waitforcompaction"]);
  }
  const text = call([
    "--use_existing_db=1",
    `--reads=${reads}`,
    "--benchmarks=readrandom,readrandom",
  ]);
  const [, micros, seconds, count] = [
    ...text.matchAll(/readrandom +: +([\d.]+) micros\/op \d+ ops\/sec ([\d.]+) seconds (\d+)/g),
  ].at(-1);
  const wall = count > 0 ? (seconds / count) * 1e9 : micros * 1000;
  // One thread that does nothing else: its processor time is not told apart.
  return { wall, cpu: wall };
}
