/**
 * Deletes a range of half of all keys, by one range delete and by a delete of each key, then waits
 * until nothing is left to do. Tells the time of the call, until idle, the bytes that merges read and
 * wrote for it, tables dropped unread, and reads of deleted and of living keys before and after.
 *
 *   node packages/engine/bench/delete-range.bench.mjs [--count 1000000] [--value 100] [--rounds 3]
 *     [--dir DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";
import { quantile } from "./quantile.mjs";

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "1000000" },
    value: { type: "string", default: "100" },
    rounds: { type: "string", default: "3" },
    dir: { type: "string", default: tmpdir() },
  },
});
const COUNT = Number(options.count);
const READS = 20_000;
const MIB = 1048576;
const { load } = await bundleEngine("delete-range");
const { AuraDB, WriteBatch } = await load("index");

const key = Buffer.alloc(16, "0");
function keyOf(n) {
  key.write(String(n).padStart(12, "0"), 4, "latin1");
  return key;
}

function timed(work) {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/** Microseconds of a read, of keys from `from` on, spread over half of all. */
function readUs(db, from) {
  const ms = timed(() => {
    for (let i = 0; i < READS; i++) db.getSync(keyOf(from + Math.floor((i * COUNT) / 2 / READS)));
  });
  return (ms * 1000) / READS;
}

async function run(directory, byRange) {
  const db = await AuraDB.open(directory, {
    table: { compression: "none", maxSize: 4 * MIB },
    memtable: { maxSize: 8 * MIB },
    compaction: { baseLevelSize: 32 * MIB },
  });
  const value = Buffer.alloc(Number(options.value), 7);
  for (let n = 0; n < COUNT; ) {
    const batch = new WriteBatch();
    for (let i = 0; i < 1000 && n < COUNT; i++, n++) {
      // Scattered, so that tables of level 0 overlap.
      batch.put(keyOf((n * 7_368_787) % COUNT), value);
    }
    await db.write(batch);
  }
  await db.compact();
  const before = db.stats().compactions;
  const deleteMs = timed(() => {
    if (byRange)
      db.deleteRangeSync({ gte: Buffer.from(keyOf(0)), lt: Buffer.from(keyOf(COUNT / 2)) });
    else for (let n = 0; n < COUNT / 2; n++) db.deleteSync(keyOf(n));
  });
  const deadUs = readUs(db, 0);
  const scanMs = timed(() => [...db.keysSync({ limit: 1 })]);
  const start = performance.now();
  await db.flush();
  await db.idle();
  const idleMs = performance.now() - start;
  const after = db.stats();
  const result = {
    deleteMs,
    deadUs,
    scanMs,
    idleMs,
    mergedMib: (after.compactions.bytesWritten - before.bytesWritten) / MIB,
    drops: after.compactions.drops,
    tableMib: after.levels.reduce((sum, { bytes }) => sum + bytes, 0) / MIB,
    liveUs: readUs(db, COUNT / 2),
    idleScanMs: timed(() => [...db.keysSync({ limit: 1 })]),
  };
  await db.close();
  return result;
}

for (const byRange of [true, false]) {
  const results = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    const directory = mkdtempSync(join(options.dir, "aura-delete-range-"));
    try {
      results.push(await run(directory, byRange));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  const median = (name) =>
    quantile(
      results.map((result) => result[name]),
      0.5,
    );
  console.log(
    `${byRange ? "one range delete" : "a delete of each key"}: ${median("deleteMs").toFixed(1)} ms,`,
    `idle after ${median("idleMs").toFixed(0)} ms, merges wrote ${median("mergedMib").toFixed(1)} MiB,`,
    `${median("drops")} tables dropped unread, ${median("tableMib").toFixed(0)} MiB left`,
  );
  console.log(
    `  read of a deleted key ${median("deadUs").toFixed(2)} us, of a living one when idle`,
    `${median("liveUs").toFixed(2)} us; first key of a scan ${median("scanMs").toFixed(2)} ms,`,
    `when idle ${median("idleScanMs").toFixed(2)} ms`,
  );
}
