/**
 * One run of one store for writes.bench.mjs, in a process of its own: prints a line of JSON with wall ms
 * until written and until drained, processor ms, peak resident MiB and, if asked for, latencies.
 *
 * The timed loop fills a key, takes a value from a pool, and awaits: nothing is recorded. With
 * `latency` a loop with two looks at the clock per write is run instead, for its percentiles alone.
 */
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  writev,
  writevSync,
} from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { performance } from "node:perf_hooks";

const task = JSON.parse(process.argv[2]);
const { store, path, count, valueBytes, mode, sync = false, inFlight = 1, batch = 0 } = task;
const { latency = false, memtableBytes = 64 * 2 ** 20, cacheBytes = 32 * 2 ** 20 } = task;
const { fileBytes = 256 * 2 ** 20, behind = false } = task;
const fromBench = createRequire(new URL("../../../apps/bench/package.json", import.meta.url));
mkdirSync(path, { recursive: true });

// The same keys and values for each store: 16 random bytes; a piece of 4 MiB of random bytes.
let state = task.seed ?? 1;
const draw = () => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state;
};
const words = new Int32Array(count * 4);
for (let at = 0; at < words.length; at++) words[at] = draw();
const pool = Buffer.allocUnsafeSlow(4 * 2 ** 20 + valueBytes);
for (let at = 0; at + 4 <= pool.length; at += 4) pool.writeInt32LE(draw(), at);
// Drawing costs next to nothing: each lane has a key of its own to fill, and values are made before.
const makeKey = () => {
  const key = Buffer.allocUnsafeSlow(16);
  return { key, words: new Int32Array(key.buffer, key.byteOffset, 4) };
};
const fill = (lane, i) => {
  const to = lane.words;
  to[0] = words[4 * i];
  to[1] = words[4 * i + 1];
  to[2] = words[4 * i + 2];
  to[3] = words[4 * i + 3];
  return lane.key;
};
const ready = Array.from({ length: 1024 }, (_, i) => {
  const at = (i * 4099) & 0x3fffff;
  return pool.subarray(at, at + valueBytes);
});
const valueAt = (i) => ready[i & 1023];
// Keys of a batch: each store has read them when the batch is written.
const batchLanes = Array.from({ length: batch }, makeKey);
const keyAt = (i) => fill(batchLanes[i % batch], i);

function throwIfFailed(error) {
  if (error) throw error;
}

const openers = {
  aura: async () => {
    const { AuraDB, WriteBatch } = await import(task.engine);
    const db = await AuraDB.open(path, {
      memtable: { maxSize: memtableBytes, maxCount: 3 },
      cache: { capacity: cacheBytes },
      table: { compression: "none" },
      ...task.settings,
    });
    const group = new WriteBatch();
    const options = sync ? { sync: true } : undefined;
    return {
      put: (key, value) => db.put(key, value, options),
      putSync: (key, value) => db.putSync(key, value, options),
      write: (start, end) => {
        group.clear();
        for (let i = start; i < end; i++) group.put(keyAt(i), valueAt(i));
        return db.write(group, options);
      },
      drain: async () => {
        await db.flush();
        await db.idle();
      },
      counts: () => {
        const { log, valueLog } = db.stats();
        return { groups: log.groupsAppended, files: log.files + valueLog.segments };
      },
      close: () => db.close(),
    };
  },
  "rocksdb-native": async () => {
    const RocksDB = fromBench("rocksdb-native");
    const db = new RocksDB(path, {
      writeBufferSize: memtableBytes,
      maxWriteBufferNumber: 3,
      tableBlockSize: 4096,
      tableCacheIndexAndFilterBlocks: false,
      tableFormatVersion: 6,
      maxBackgroundJobs: 6,
      bytesPerSync: 1024 * 1024,
      maxOpenFiles: -1,
      enableBlobFiles: true,
      minBlobSize: 1024,
      blobFileSize: fileBytes,
      filterPolicy: new RocksDB.BloomFilterPolicy(10),
    });
    await db.ready();
    const left = async () => {
      let sum = 0;
      for (const name of [
        "num-immutable-mem-table",
        "num-running-flushes",
        "compaction-pending",
        "num-running-compactions",
      ]) {
        sum += Number(await db.getProperty(`rocksdb.${name}`));
      }
      return sum;
    };
    return {
      put: (key, value) => db.put(key, value),
      write: (start, end) => {
        const group = db.write({ capacity: end - start, autoDestroy: true });
        for (let i = start; i < end; i++) group.tryPut(keyAt(i), valueAt(i));
        return group.flush();
      },
      drain: async () => {
        await db.flush();
        for (let quiet = 0; quiet < 2; ) {
          quiet = (await left()) === 0 ? quiet + 1 : 0;
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      },
      close: () => db.close(),
    };
  },
  "classic-level": async () => {
    const { ClassicLevel } = fromBench("classic-level");
    const db = new ClassicLevel(path, {
      keyEncoding: "view",
      valueEncoding: "view",
      compression: false,
      writeBufferSize: memtableBytes,
      cacheSize: cacheBytes,
      blockSize: 4096,
      maxOpenFiles: 1000,
      maxFileSize: 64 * 2 ** 20,
    });
    await db.open();
    return {
      put: (key, value) => db.put(key, value, { sync }),
      write: (start, end) => {
        const group = [];
        for (let i = start; i < end; i++)
          group.push({ type: "put", key: keyAt(i), value: valueAt(i) });
        return db.batch(group, { sync });
      },
      // It tells nobody what it does: its files have to be at rest.
      drain: async () => {
        for (let last = "", since = performance.now(); performance.now() - since < 300; ) {
          const names = (await readdir(path)).sort();
          const sizes = await Promise.all(
            names.map((name) =>
              stat(join(path, name)).then(
                ({ size }) => size,
                () => 0,
              ),
            ),
          );
          const now = JSON.stringify([names, sizes]);
          if (now !== last) {
            last = now;
            since = performance.now();
          }
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        return 300; // ms that it waited though nothing was left
      },
      close: () => db.close(),
    };
  },
  lmdb: async () => {
    const db = fromBench("lmdb").open({
      path,
      noSubdir: false,
      noSync: !sync,
      overlappingSync: false,
      encoding: "binary",
      keyEncoding: "binary",
      mapSize: 64 * 2 ** 30,
    });
    return {
      put: (key, value) => db.put(key, value),
      putSync: (key, value) => db.putSync(key, value),
      drain: () => db.flushed,
      close: () => db.close(),
    };
  },
  /** Plain files, with `behind` synced on the thread pool when they are full: what a put takes in a log, in the chunks that the engine's groups have. */
  raw: async () => {
    const head = Buffer.alloc(36 + 64 + 16);
    const directory = openSync(path, "r");
    let fd = -1;
    let at = fileBytes;
    let files = 0;
    const fds = [];
    const next = () => {
      if (at < fileBytes) return;
      if (behind && fd >= 0) fdatasync(fd, throwIfFailed);
      fd = openSync(join(path, `raw${files++}`), "w");
      fds.push(fd);
      if (sync) fsyncSync(directory);
      at = 0;
    };
    const chunk = (start, end) => {
      const parts = [];
      for (let i = start; i < end; i++) parts.push(head, valueAt(i));
      return parts;
    };
    const length = (start, end) => (end - start) * (head.length + valueBytes);
    return {
      putSync: (_, value) => {
        next();
        writevSync(fd, [head, value], at);
        at += head.length + value.length;
        if (sync) fdatasyncSync(fd);
      },
      write: async (start, end) => {
        next();
        const parts = chunk(start, end);
        const bytes = length(start, end);
        if (bytes >= 2 ** 20) {
          await new Promise((resolve, reject) => {
            writev(fd, parts, at, (error) => (error ? reject(error) : resolve()));
          });
        } else writevSync(fd, parts, at);
        at += bytes;
        if (sync) {
          await new Promise((resolve, reject) => {
            fdatasync(fd, (error) => (error ? reject(error) : resolve()));
          });
        }
      },
      drain: () => undefined,
      close: () => {
        // Syncs may be under way: the process ends behind them.
        if (behind) return;
        for (const each of [directory, ...fds]) closeSync(each);
      },
    };
  },
};

const target = await openers[store]();
const times = latency ? new Float64Array(count) : undefined;
const cpu = process.cpuUsage();
const begun = performance.now();
const lanes = Array.from({ length: inFlight }, makeKey);
const one = lanes[0];
if (mode === "sync") {
  if (latency) {
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      target.putSync(fill(one, i), valueAt(i));
      times[i] = performance.now() - start;
    }
  } else for (let i = 0; i < count; i++) target.putSync(fill(one, i), valueAt(i));
} else if (batch > 0) {
  for (let i = 0; i < count; i += batch) await target.write(i, Math.min(i + batch, count));
} else if (inFlight === 1) {
  if (latency) {
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      await target.put(fill(one, i), valueAt(i));
      times[i] = performance.now() - start;
    }
  } else for (let i = 0; i < count; i++) await target.put(fill(one, i), valueAt(i));
} else {
  let issued = 0;
  const run = async (lane) => {
    while (issued < count) {
      const i = issued++;
      const start = latency ? performance.now() : 0;
      await target.put(fill(lane, i), valueAt(i));
      if (latency) times[i] = performance.now() - start;
    }
  };
  await Promise.all(lanes.map(run));
}
const written = performance.now() - begun;
const used = process.cpuUsage(cpu);
const idle = (task.drain === true && (await target.drain())) || 0;
const drained = performance.now() - begun - idle;
const result = {
  ...target.counts?.(),
  ms: written,
  drainedMs: drained,
  cpuMs: (used.user + used.system) / 1000,
  rssMiB: process.resourceUsage().maxRSS / 1024,
};
if (latency) {
  times.sort();
  result.p50 = times[Math.floor(count * 0.5)];
  result.p999 = times[Math.floor(count * 0.999)];
  result.max = times[count - 1];
}
process.stdout.write(`${JSON.stringify(result)}\n`);
await target.close();
