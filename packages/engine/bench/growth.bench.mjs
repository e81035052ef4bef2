/**
 * What a get costs as a store grows, cache an eighth of the data, page-cache resident, beside
 * db_bench (rocksdb-tools). Stores are filled in key order, first: that takes minutes and gigabytes.
 * Against the built packages:
 *
 * node packages/engine/bench/growth.bench.mjs --folder DIR --load [--counts 1000000,4000000] [--peers db_bench]
 * node packages/engine/bench/growth.bench.mjs --folder DIR [--rounds 3] [--ops 100000]
 *
 * Keys of 16 bytes (evenly spread, 12 of them noise), values of 100. Printed of each count: nanoseconds
 * per getSync of a random key, behind as many gets as fill the cache; blocks missed per get; the same
 * of readrandom. Medians, in turns. All files are read once before.
 */
import { closeSync, existsSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AuraDB, WriteBatch } from "@aura/engine";
import { Data, ready, runDbBench } from "./read-stores.mjs";

const { values: flags } = parseArgs({
  options: {
    folder: { type: "string" },
    load: { type: "boolean", default: false },
    counts: { type: "string", default: "1000000,4000000,16000000,50000000" },
    rounds: { type: "string", default: "3" },
    ops: { type: "string", default: "100000" },
    peers: { type: "string", default: "db_bench" },
  },
});
if (flags.folder === undefined) throw new Error("--folder DIR");
const rounds = Number(flags.rounds);
const ops = Number(flags.ops);
const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
const withPeer = flags.peers.includes("db_bench") && ready("db_bench");

/** Entries in key order: the first four bytes grow, the rest is noise. */
class Sorted extends Data {
  key(index) {
    const key = super.key(index);
    key.writeUInt32BE(Math.floor((index * 2 ** 32) / this.count), 0);
    return key;
  }
}

/** Reads all files of a store, so that the page cache has them. */
function readThrough(path) {
  const buffer = Buffer.allocUnsafeSlow(2 ** 20);
  for (const name of readdirSync(path)) {
    const file = openSync(join(path, name), "r");
    while (readSync(file, buffer) > 0);
    closeSync(file);
  }
}

for (const count of flags.counts.split(",").map(Number)) {
  const data = new Sorted(count);
  const cacheBytes = Math.floor((count * (16 + data.valueBytes)) / 8);
  const settings = { seed: 1, cache: { capacity: cacheBytes }, table: { compression: "none" } };
  const path = join(flags.folder, `aura-${count}`);
  const peerPath = join(flags.folder, `db_bench-${count}`);
  if (flags.load) {
    const start = performance.now();
    if (!existsSync(path)) {
      const db = await AuraDB.open(path, settings);
      for (let i = 0; i < count; ) {
        const batch = new WriteBatch();
        for (const end = Math.min(i + 1000, count); i < end; i++) {
          batch.put(data.key(i), data.value(i));
        }
        await db.write(batch);
      }
      await db.flush();
      await db.idle();
      await db.compact();
      await db.close();
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    if (withPeer && !existsSync(peerPath)) runDbBench(peerPath, data, cacheBytes, 1, 0);
    console.log(`${count} entries: ${seconds} s, then ${readdirSync(flags.folder).join(" ")}`);
    continue;
  }
  readThrough(path);
  if (withPeer) readThrough(peerPath);
  const opening = performance.now();
  const db = await AuraDB.open(path, settings);
  const openMs = performance.now() - opening;
  const keysOf = (round, length) => {
    const keys = [];
    for (let i = 0; i < length; i++) keys.push(data.key(data.indexAt(i, round)));
    return keys;
  };
  const run = (round, length) => {
    const keys = keysOf(round, length);
    const start = process.hrtime.bigint();
    for (let i = 0; i < length; i++) {
      if (db.getSync(keys[i]) === undefined) throw new Error("not found");
    }
    return Number(process.hrtime.bigint() - start) / length;
  };
  // Each get brings a block of some 4 KiB.
  for (let warm = cacheBytes / 4096, round = 100; warm > 0; warm -= ops, round++) run(round, ops);
  const own = [];
  const peer = [];
  const before = db.stats().cache.misses;
  for (let round = 0; round < rounds; round++) {
    own.push(run(round, ops));
    if (withPeer) peer.push(runDbBench(peerPath, data, cacheBytes, ops * 3, round, true).wall);
  }
  const misses = (db.stats().cache.misses - before) / (ops * rounds);
  console.log(
    `${count} entries: getSync ${median(own).toFixed(0)} ns, ${misses.toFixed(2)} misses` +
      (withPeer
        ? `, db_bench ${median(peer).toFixed(0)} ns (x${(median(peer) / median(own)).toFixed(2)})`
        : "") +
      `, opened in ${openMs.toFixed(0)} ms, RSS ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB`,
  );
  await db.close();
}
