/**
 * Peak memory beside peers with the same budgets: cache 256 MiB, memtables or write buffers of 64 MiB.
 * Each store works in a process of its own: once to be filled and read, once to be opened and read.
 * lmdb has no cache: its pages are the system's, and count as far as it has touched them. Against the
 * built packages:
 *
 * node packages/engine/bench/memory.bench.mjs [--keys 1000000] [--ops 400000]
 *   [--peers classic-level,lmdb,rocksdb-native] [--folder DIR]
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Data, openers, ready } from "./read-stores.mjs";

const { values: flags } = parseArgs({
  options: {
    keys: { type: "string", default: "1000000" },
    ops: { type: "string", default: "400000" },
    peers: { type: "string", default: "classic-level,lmdb,rocksdb-native" },
    folder: { type: "string", default: tmpdir() },
    store: { type: "string" },
    phase: { type: "string" },
  },
});
const CACHE_BYTES = 256 * 2 ** 20;
const MEMTABLE_BYTES = 64 * 2 ** 20;
const all = new Data(Number(flags.keys));

async function openAura(path, data) {
  const { AuraDB, WriteBatch } = await import("@aura/engine");
  const db = await AuraDB.open(path, {
    seed: 1,
    cache: { capacity: CACHE_BYTES },
    memtable: { maxSize: MEMTABLE_BYTES },
    table: { compression: "none" },
  });
  for (let start = 0; start < data.count; start += 1000) {
    const batch = new WriteBatch();
    const end = Math.min(start + 1000, data.count);
    for (let i = start; i < end; i++) batch.put(data.key(i), data.value(i));
    await db.write(batch);
  }
  if (data.count > 0) {
    await db.flush();
    await db.compact();
    await db.idle();
  }
  return db;
}

/** A child: fills or opens a store, reads at random, prints the peak of its resident memory in MiB. */
async function child(name, phase) {
  const data = phase === "fill" ? all : new Data(0);
  const open = name === "aura" ? openAura : openers[name];
  const store = await open(flags.folder, data, CACHE_BYTES);
  const get =
    name === "rocksdb-native"
      ? (key) => store.get(key)
      : (key) => (name === "lmdb" ? store.getBinaryFast(key) : store.getSync(key));
  for (let i = 0; i < Number(flags.ops); i++) {
    const found = get(all.key(all.indexAt(i, 1)));
    if ((name === "rocksdb-native" ? await found : found) === undefined) throw new Error("lost");
  }
  await store.close();
  console.log((process.resourceUsage().maxRSS / 1024).toFixed(0));
}

if (flags.store !== undefined) await child(flags.store, flags.phase);
else {
  const folder = mkdtempSync(join(flags.folder, "aura-memory-"));
  try {
    console.log(`${flags.keys} entries of 16 and 100 B: peak RSS, MiB`);
    for (const name of ["aura", ...flags.peers.split(",")]) {
      if (name !== "aura" && !ready(name)) continue;
      const peaks = ["fill", "read"].map((phase) => {
        const own = ["--store", name, "--phase", phase, "--folder", join(folder, name)];
        const args = [fileURLToPath(import.meta.url), "--keys", flags.keys, "--ops", flags.ops];
        const { stdout, stderr } = spawnSync(process.execPath, [...args, ...own]);
        return stdout.toString().trim() || stderr.toString();
      });
      console.log(`${name.padEnd(16)} filled and read ${peaks[0]}, opened and read ${peaks[1]}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
