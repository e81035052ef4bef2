import { mkdtempSync, rmSync } from "node:fs";
import { hashKey, hashReady, Kind, nodeFileSystem, SEQ_MAX } from "@aura/base";
import { BlockCache } from "../src/block-cache.ts";
import { BlockLocator } from "../src/block-locator.ts";
import { BlockReader } from "../src/block-reader.ts";
import { BlockStore } from "../src/block-store.ts";
import { Bloom } from "../src/bloom.ts";
import { TableFile } from "../src/table-file.ts";
import { TableWriter } from "../src/table-writer.ts";

await hashReady();
const N = 1e6,
  K = 16,
  V = 100;
const keys = new Uint8Array(N * K);
let st = 12345;
for (let i = 0; i < N; i++) {
  st = (Math.imul(st, 1664525) + 1013904223) >>> 0;
  let r = i * 1000 + (st % 1000);
  for (let at = i * K + K - 1; at >= i * K; at--) {
    keys[at] = 48 + (r % 10);
    r = Math.floor(r / 10);
  }
}
const dir = mkdtempSync("/tmp/p-");
const path = dir + "/t";
const f = nodeFileSystem.openSync(path, "create");
const uid = { lo: 1, hi: 2 },
  databaseUuid = new Uint8Array(16);
const w = new TableWriter(f, { databaseUuid, uid, number: 1, keyspace: 0 });
const v = new Uint8Array(V);
for (let i = 0; i < N; i++) w.add(keys, i * K, i * K + K, i + 1, 1, v, 0, V);
w.finishSync();
f.closeSync();
const file = new TableFile(nodeFileSystem, { path, number: 1, uid, databaseUuid });
const loc = new BlockLocator(file, "separators", []);
const cache = new BlockCache({ capacityBytes: 168e6 | 0 });
const store = new BlockStore(file, loc, cache);
const filter = new Bloom(file.sectionSync(file.footer.filter), "", 0);
const raw = { bytes: v, start: 0, end: 0 };
for (let b = 0; b < file.blockCount; b++) store.readSync(b, raw);
const order = new Uint32Array(N);
st = 99;
for (let i = 0; i < N; i++) {
  st = (Math.imul(st, 1664525) + 1013904223) >>> 0;
  order[i] = Math.floor((st / 2 ** 32) * N);
}
const key = new Uint8Array(K);
const hashes = new Uint32Array(N);
for (let i = 0; i < N; i++) hashes[i] = hashKey(keys, i * K, i * K + K, 0);
const blk = new Uint32Array(N);
for (let i = 0; i < N; i++) {
  loc.start(keys, i * K, i * K + K);
  blk[i] = loc.block;
}
function t(name, fn) {
  let best = 1e18;
  for (let r = 0; r < 5; r++) {
    const s = process.cpuUsage();
    fn();
    const u = process.cpuUsage(s);
    best = Math.min(best, (u.user + u.system) * 1000);
  }
  console.log(name, (best / N).toFixed(0));
}
let sink = 0;
const reader = new BlockReader();
t("gather key", () => {
  for (let n = 0; n < N; n++) {
    const at = order[n] * K;
    for (let i = 0; i < K; i++) key[i] = keys[at + i];
    sink += key[3];
  }
});
t("hash", () => {
  for (let n = 0; n < N; n++) {
    sink += hashKey(keys, n * K, n * K + K, 0);
  }
});
t("filter hit (rnd)", () => {
  for (let n = 0; n < N; n++) {
    sink += filter.has(hashes[order[n]]) ? 1 : 0;
  }
});
t("gather+locate", () => {
  for (let n = 0; n < N; n++) {
    const at = order[n] * K;
    for (let i = 0; i < K; i++) key[i] = keys[at + i];
    loc.start(key, 0, K);
    sink += loc.block;
  }
});
t("cache.find rnd", () => {
  for (let n = 0; n < N; n++) {
    cache.find(store.space, blk[order[n]]);
    sink += cache.start;
  }
});
t("find+open", () => {
  for (let n = 0; n < N; n++) {
    cache.find(store.space, blk[order[n]]);
    reader.open(cache.bytes, cache.start, cache.end);
    sink += reader.count;
  }
});
t("gather+find+open+search", () => {
  for (let n = 0; n < N; n++) {
    const at = order[n] * K;
    for (let i = 0; i < K; i++) key[i] = keys[at + i];
    cache.find(store.space, blk[order[n]]);
    reader.open(cache.bytes, cache.start, cache.end);
    sink += reader.search(key, 0, K, 9e15);
  }
});
t("gather+find+open+search+row", () => {
  for (let n = 0; n < N; n++) {
    const at = order[n] * K;
    for (let i = 0; i < K; i++) key[i] = keys[at + i];
    cache.find(store.space, blk[order[n]]);
    reader.open(cache.bytes, cache.start, cache.end);
    const p = reader.search(key, 0, K, 9e15);
    const r = reader.rowAt(p);
    sink += reader.seqAt(p) + reader.bytes[r + 8];
  }
});
rmSync(dir, { recursive: true });
