/**
 * Reads beside peers, in one run: the same keys and values, the same cache budget, no compression,
 * everything compacted, in turns, medians. What is printed of each row: nanoseconds of wall and of
 * processor time per operation (per entry for scans), and the ratio to AuraDB, above 1 where AuraDB
 * is faster. Against the built packages:
 *
 * node packages/engine/bench/reads.bench.mjs [--keys N] [--large N] [--rounds N] [--rows a,b]
 *   [--peers a,b] [--ops N] [--folder DIR] [--engine FILE]
 *
 * Rows of `--keys` (1 million) entries, cache 256 MiB: get, await-get, absent, scan, range, many,
 * disk, and parts (what the calls are made of; not in the default set). Rows of `--large` (10 million) entries, cache an eighth of the data: large. `growth`: the
 * same get at 1 million entries and at `--large`; not in the default set. Keys have 16 bytes and
 * are in random order, values 100 random bytes. db_bench (rocksdb-tools) has keys of its own.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { Data, openers, ready, runDbBench } from "./read-stores.mjs";
import { slowDisk } from "./slow-disk.mjs";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    large: { type: "string", default: "10000000" },
    rounds: { type: "string", default: "3" },
    ops: { type: "string", default: "200000" },
    rows: { type: "string", default: "get,await-get,absent,scan,range,many,disk,large" },
    peers: { type: "string", default: "classic-level,lmdb,rocksdb-native,db_bench" },
    folder: { type: "string", default: tmpdir() },
    engine: { type: "string", default: "" },
  },
});
const rounds = Number(flags.rounds);
const ops = Number(flags.ops);
const rows = flags.rows.split(",");
const peers = new Set(flags.peers.split(",").filter((name) => name !== ""));
const engine = flags.engine === "" ? "@aura/engine" : pathToFileURL(resolve(flags.engine)).href;
const { AuraDB, WriteBatch } = await import(engine);
const CACHE_BYTES = 256 * 2 ** 20;
const SCAN_CHUNK = 1000;

mkdirSync(flags.folder, { recursive: true });
const folder = mkdtempSync(join(flags.folder, "aura-reads-"));
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

/** Starts a clock; what it returns gives wall and processor nanoseconds per operation. */
function clock() {
  const cpu = process.cpuUsage();
  const begun = process.hrtime.bigint();
  return (count) => {
    const wall = Number(process.hrtime.bigint() - begun) / count;
    const { user, system } = process.cpuUsage(cpu);
    return { wall, cpu: ((user + system) * 1000) / count };
  };
}

/** Runs each entrant `rounds` times, in turns, behind one run that does not count. */
async function race(title, count, entrants) {
  const times = entrants.map(() => []);
  const cpus = entrants.map(() => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, { run }] of entrants.entries()) {
      const stop = clock();
      // What draws its keys first brings its own times.
      const { wall, cpu } = (await run(round)) ?? stop(count);
      if (round < 0) continue;
      times[i].push(wall);
      cpus[i].push(cpu);
    }
  }
  const ours = median(times[0]);
  const oursCpu = median(cpus[0]);
  console.log(`${title}`);
  for (const [i, { name }] of entrants.entries()) {
    const wall = median(times[i]);
    const spread = times[i].toSorted((a, b) => a - b);
    const cpu = median(cpus[i]);
    const ratio =
      i === 0 ? "" : `  x${(wall / ours).toFixed(2)} (cpu x${(cpu / oursCpu).toFixed(2)})`;
    console.log(
      `  ${name.padEnd(34)} ${wall.toFixed(0).padStart(8)} ns  cpu ${cpu.toFixed(0).padStart(8)}` +
        `  [${spread[0].toFixed(0)}-${spread.at(-1).toFixed(0)}]${ratio}`,
    );
  }
}

/** Draws keys that are there, as buffers of one piece of memory, other ones in each round. */
function keysOf(data, count, round) {
  const packed = Buffer.allocUnsafeSlow(count * 16);
  const keys = [];
  for (let i = 0; i < count; i++) {
    packed.set(data.key(data.indexAt(i, round)), i * 16);
    keys.push(packed.subarray(i * 16, i * 16 + 16));
  }
  return keys;
}

const settings = (cacheBytes) => ({
  seed: 1,
  cache: { capacity: cacheBytes },
  table: { compression: "none" },
});

async function openAura(path, cacheBytes, components = {}) {
  return AuraDB.open(path, settings(cacheBytes), components);
}

async function fillAura(path, data, cacheBytes) {
  const db = await openAura(path, cacheBytes);
  for (let start = 0; start < data.count; start += 1000) {
    const batch = new WriteBatch();
    const end = Math.min(start + 1000, data.count);
    for (let i = start; i < end; i++) batch.put(data.key(i), data.value(i));
    await db.write(batch);
  }
  await db.flush();
  await db.idle();
  await db.compact();
  await db.idle();
  return db;
}

const open = new Map();
/** Returns a filled store; each is filled once per number of entries and budget. */
async function storeOf(name, data, cacheBytes) {
  const id = `${name}-${data.count}`;
  let store = open.get(id);
  if (store === undefined) {
    const start = performance.now();
    const path = join(folder, id);
    store =
      name === "aura"
        ? await fillAura(path, data, cacheBytes)
        : await openers[name](path, data, cacheBytes);
    console.log(`# ${id} filled in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    open.set(id, store);
  }
  return store;
}
async function closeAll() {
  for (const store of open.values()) await store.close();
  open.clear();
}
const wants = (name) => peers.has(name) && ready(name);

/** A run of synchronous gets over keys drawn for the round; counts what is there. */
function getLoop(keysByRound, expected, get) {
  return (round) => {
    const keys = keysByRound(round);
    let found = 0;
    const stop = clock();
    for (let i = 0; i < keys.length; i++) if (get(keys[i]) !== undefined) found++;
    const times = stop(keys.length);
    if (found !== (expected ? keys.length : 0)) throw new Error(`found ${found}`);
    return times;
  };
}

function drawn(make) {
  const made = new Map();
  return (round) => {
    if (!made.has(round)) {
      made.clear();
      made.set(round, make(round));
    }
    return made.get(round);
  };
}

async function getRow(data, cacheBytes, title, withLmdb) {
  const db = await storeOf("aura", data, cacheBytes);
  const keys = drawn((round) => keysOf(data, ops, round));
  const entrants = [{ name: "aura getSync", run: getLoop(keys, true, (key) => db.getSync(key)) }];
  if (wants("classic-level")) {
    const classic = await storeOf("classic-level", data, cacheBytes);
    const run = getLoop(keys, true, (key) => classic.getSync(key));
    entrants.push({ name: "classic-level getSync", run });
  }
  if (withLmdb && wants("lmdb")) {
    const lmdb = await storeOf("lmdb", data, cacheBytes);
    for (const call of ["getBinaryFast", "getBinary"]) {
      const run = getLoop(keys, true, (key) => lmdb[call](key));
      entrants.push({ name: `lmdb ${call}`, run });
    }
  }
  if (wants("db_bench")) {
    const path = join(folder, `db_bench-${data.count}`);
    entrants.push({
      name: "db_bench readrandom",
      run: (round) => runDbBench(path, data, cacheBytes, ops * 5, round),
    });
  }
  await race(title, ops, entrants);
  return db;
}

const work = {
  get: (data) => getRow(data, CACHE_BYTES, `getSync, ${data.count} keys, all in the cache`, true),

  "await-get": async (data) => {
    const db = await storeOf("aura", data, CACHE_BYTES);
    const count = ops / 4;
    const keys = drawn((round) => keysOf(data, count, round));
    const loop = (get) => async (round) => {
      const wanted = keys(round);
      let bytes = 0;
      const stop = clock();
      for (let i = 0; i < count; i++) bytes += (await get(wanted[i])).length;
      const times = stop(count);
      if (bytes !== count * data.valueBytes) throw new Error(`read ${bytes} bytes`);
      return times;
    };
    const entrants = [{ name: "aura await get", run: loop((key) => db.get(key)) }];
    for (const name of ["classic-level", "rocksdb-native"]) {
      if (!wants(name)) continue;
      const store = await storeOf(name, data, CACHE_BYTES);
      entrants.push({ name: `${name} await get`, run: loop((key) => store.get(key)) });
    }
    await race("await get, one after another, all in the cache", count, entrants);
  },

  absent: async (data) => {
    const db = await storeOf("aura", data, CACHE_BYTES);
    const there = drawn((round) => keysOf(data, ops, round));
    const absent = drawn((round) => {
      const keys = keysOf(data, ops, round);
      for (const key of keys) key[15] ^= 0x55;
      return keys;
    });
    await race("absent keys beside present ones", ops, [
      { name: "aura getSync, absent", run: getLoop(absent, false, (key) => db.getSync(key)) },
      { name: "aura getSync, present", run: getLoop(there, true, (key) => db.getSync(key)) },
    ]);
    const before = db.stats().levels.map(({ filter }) => filter);
    for (const key of absent(rounds)) db.getSync(key);
    const [passed, asked] = db.stats().levels.reduce(
      ([vain, all], { filter }, i) => {
        const inVain = filter.passedInVain - (before[i]?.passedInVain ?? 0);
        return [vain + inVain, all + inVain + filter.denied - (before[i]?.denied ?? 0)];
      },
      [0, 0],
    );
    console.log(
      `  false block reads: ${((passed / ops) * 100).toFixed(2)} % of absent keys, ` +
        `${((passed / asked) * 100).toFixed(2)} % of the tables asked`,
    );
  },

  parts: async (data) => {
    const db = await storeOf("aura", data, CACHE_BYTES);
    const all = keysOf(data, ops, 7);
    const few = (keys) => keys.map((_, i) => keys[i % 1000]);
    const absent = keysOf(data, ops, 7);
    for (const key of absent) key[15] ^= 0x55;
    const get = (key) => db.getSync(key);
    const has = (key) => (db.hasSync(key) ? true : undefined);
    const fixed = (keys) => () => keys;
    await race("a get in parts: 1,000 keys over and over, and all keys", ops, [
      { name: "absent, few keys", run: getLoop(fixed(few(absent)), false, get) },
      { name: "has, few keys", run: getLoop(fixed(few(all)), true, has) },
      { name: "get, few keys", run: getLoop(fixed(few(all)), true, get) },
      { name: "absent, all keys", run: getLoop(fixed(absent), false, get) },
      { name: "has, all keys", run: getLoop(fixed(all), true, has) },
      { name: "get, all keys", run: getLoop(fixed(all), true, get) },
    ]);
    const through = (entries) => () => {
      let count = 0;
      for (const _ of entries()) count++;
      if (count !== data.count) throw new Error(`scanned ${count}`);
    };
    await race("a scan in parts, per entry", data.count, [
      { name: "keysSync", run: through(() => db.keysSync()) },
      { name: "valuesSync", run: through(() => db.valuesSync()) },
      { name: "scanSync", run: through(() => db.scanSync()) },
    ]);
  },

  scan: async (data) => {
    const db = await storeOf("aura", data, CACHE_BYTES);
    const check = (count, bytes) => {
      const expected = data.count * (16 + data.valueBytes);
      if (count !== data.count || bytes !== expected) throw new Error(`scanned ${count}`);
    };
    const nextMany = async () => {
      const cursor = db.cursor();
      let [count, bytes] = [0, 0];
      for (;;) {
        const entries = await cursor.nextMany(SCAN_CHUNK);
        if (entries.length === 0) break;
        for (const [key, value] of entries) bytes += key.length + value.length;
        count += entries.length;
      }
      cursor.close();
      check(count, bytes);
    };
    const over = (entries) => {
      let [count, bytes] = [0, 0];
      for (const [key, value] of entries()) {
        bytes += key.length + value.length;
        count++;
      }
      check(count, bytes);
    };
    const entrants = [
      { name: "aura cursor.nextMany", run: nextMany },
      { name: "aura scanSync", run: () => over(() => db.scanSync()) },
      {
        name: "aura for await scan",
        run: async () => {
          let [count, bytes] = [0, 0];
          for await (const [key, value] of db.scan()) {
            bytes += key.length + value.length;
            count++;
          }
          check(count, bytes);
        },
      },
      {
        name: "aura keysSync",
        run: () => {
          let count = 0;
          for (const key of db.keysSync()) count += key.length >> 4;
          if (count !== data.count) throw new Error(`scanned ${count}`);
        },
      },
    ];
    if (wants("lmdb")) {
      const lmdb = await storeOf("lmdb", data, CACHE_BYTES);
      entrants.push({
        name: "lmdb getRange",
        run: () => {
          let [count, bytes] = [0, 0];
          for (const { key, value } of lmdb.getRange()) {
            bytes += key.length + value.length;
            count++;
          }
          check(count, bytes);
        },
      });
    }
    if (wants("classic-level")) {
      const classic = await storeOf("classic-level", data, CACHE_BYTES);
      entrants.push({
        name: "classic-level nextv",
        run: async () => {
          const iterator = classic.iterator({ highWaterMarkBytes: 1024 * 1024 });
          let [count, bytes] = [0, 0];
          for (;;) {
            const entries = await iterator.nextv(SCAN_CHUNK);
            if (entries.length === 0) break;
            for (const [key, value] of entries) bytes += key.length + value.length;
            count += entries.length;
          }
          await iterator.close();
          check(count, bytes);
        },
      });
    }
    await race(`full scan of ${data.count} entries, per entry`, data.count, entrants);
  },

  range: async (data) => {
    const db = await storeOf("aura", data, CACHE_BYTES);
    const count = Math.max(100, ops / 100);
    const length = 100;
    const keys = drawn((round) => keysOf(data, count, round));
    const loop = (read) => async (round) => {
      const starts = keys(round);
      let entries = 0;
      const stop = clock();
      for (let i = 0; i < count; i++) entries += await read(starts[i]);
      const times = stop(count);
      if (entries < count * length * 0.99) throw new Error(`read ${entries} entries`);
      return times;
    };
    const counted = (entries) => {
      let [found, bytes] = [0, 0];
      for (const [key, value] of entries) {
        bytes += key.length + value.length;
        found++;
      }
      return bytes === 0 ? 0 : found;
    };
    const entrants = [
      {
        name: "aura scanSync",
        run: loop((gte) => counted(db.scanSync({ gte, limit: length }))),
      },
      {
        name: "aura cursor.nextManySync",
        run: loop((gte) => {
          const cursor = db.cursor({ gte });
          const entries = cursor.nextManySync(length);
          cursor.close();
          return counted(entries);
        }),
      },
      {
        name: "aura one cursor, seekSync + nextMany",
        run: async (round) => {
          const cursor = db.cursor();
          const result = await loop((gte) => {
            cursor.seekSync(gte);
            return counted(cursor.nextManySync(length));
          })(round);
          cursor.close();
          return result;
        },
      },
    ];
    if (wants("classic-level")) {
      const classic = await storeOf("classic-level", data, CACHE_BYTES);
      entrants.push({
        name: "classic-level iterator",
        run: loop(async (gte) => counted(await classic.iterator({ gte, limit: length }).all())),
      });
    }
    if (wants("lmdb")) {
      const lmdb = await storeOf("lmdb", data, CACHE_BYTES);
      entrants.push({
        name: "lmdb getRange",
        run: loop((start) => {
          let [found, bytes] = [0, 0];
          for (const { key, value } of lmdb.getRange({ start, limit: length })) {
            bytes += key.length + value.length;
            found++;
          }
          return bytes === 0 ? 0 : found;
        }),
      });
    }
    await race(`ranges of ${length} entries at random, per range`, count, entrants);
  },

  many: async (data) => {
    const db = await storeOf("aura", data, CACHE_BYTES);
    const calls = Math.max(10, ops / 100);
    const keys = drawn((round) => {
      const all = keysOf(data, calls * 100, round);
      return Array.from({ length: calls }, (_, i) => all.slice(i * 100, i * 100 + 100));
    });
    const loop = (read) => async (round) => {
      const sets = keys(round);
      let found = 0;
      const stop = clock();
      for (let i = 0; i < calls; i++) {
        const values = await read(sets[i]);
        for (const value of values) if (value !== undefined) found++;
      }
      const times = stop(calls * 100);
      if (found !== calls * 100) throw new Error(`found ${found}`);
      return times;
    };
    const entrants = [
      { name: "aura getMany(100), per key", run: loop((set) => db.getMany(set)) },
      {
        name: "aura 100 getSync, per key",
        run: loop((set) => {
          const values = [];
          for (const key of set) values.push(db.getSync(key));
          return values;
        }),
      },
    ];
    if (wants("classic-level")) {
      const classic = await storeOf("classic-level", data, CACHE_BYTES);
      entrants.push({ name: "classic-level getMany", run: loop((set) => classic.getMany(set)) });
    }
    await race("getMany of 100 random keys, in the cache", calls * 100, entrants);
  },

  disk: async (data) => {
    await storeOf("aura", data, CACHE_BYTES);
    await closeAll();
    const disk = await slowDisk({ readMs: 1, engine });
    const db = await openAura(join(folder, `aura-${data.count}`), 0, disk.components);
    // Filters and indexes are in memory; the blocks are not.
    for (const key of keysOf(data, 200, 99)) await db.get(key);
    disk.slow = true;
    const keys = drawn((round) => keysOf(data, 100, round));
    await race("a disk of 1 ms a read, 100 random keys, no cache, per key", 100, [
      { name: "aura getMany(100)", run: async (round) => void (await db.getMany(keys(round))) },
      {
        name: "aura 100 awaited gets",
        run: async (round) => {
          for (const key of keys(round)) await db.get(key);
        },
      },
    ]);
    console.log(`  longest turn of the loop: ${disk.longestTurnMs().toFixed(1)} ms`);
    disk.slow = false;
    disk.stop();
    await db.close();
    rmSync(join(folder, `aura-${data.count}`), { recursive: true });
  },

  large: async (data) => {
    await closeAll();
    const cacheBytes = Math.floor((data.count * (16 + data.valueBytes)) / 8);
    const title = `getSync, ${data.count} keys, cache of an eighth (${cacheBytes >> 20} MiB)`;
    await getRow(data, cacheBytes, title, false);
    await closeAll();
  },

  growth: async (large) => {
    const results = [];
    for (const count of [1_000_000, large.count]) {
      await closeAll();
      const data = new Data(count);
      const cacheBytes = Math.floor((count * (16 + data.valueBytes)) / 8);
      const db = await storeOf("aura", data, cacheBytes);
      const keys = drawn((round) => keysOf(data, ops, round));
      const run = getLoop(keys, true, (key) => db.getSync(key));
      const times = [];
      run(-1);
      for (let round = 0; round < rounds; round++) times.push(run(round).wall);
      results.push(median(times));
    }
    const [small, big] = results;
    console.log(
      `getSync, cache of an eighth: 1000000 keys ${small.toFixed(0)} ns, ` +
        `${large.count} keys ${big.toFixed(0)} ns: x${(big / small).toFixed(2)}`,
    );
  },
};

try {
  const data = new Data(Number(flags.keys));
  const large = new Data(Number(flags.large));
  console.log(
    `# node ${process.version}, keys of 16 B, values of ${data.valueBytes} B, ${rounds} rounds`,
  );
  for (const row of rows) {
    if (!Object.hasOwn(work, row)) throw new Error(`unknown row ${row}`);
    await work[row](row === "large" || row === "growth" ? large : data);
  }
  await closeAll();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
