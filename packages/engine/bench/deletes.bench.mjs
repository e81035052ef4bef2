/**
 * What a delete costs where values stand apart: it asks the memtable and the filters of tables how much
 * it takes away (deleted-values.ts). Beside a store without a value log, which asks nothing. Kinds in
 * turn, each in a store of its own, `deleteSync` of all keys in random order; medians.
 *
 *   node packages/engine/bench/deletes.bench.mjs [--count 200000] [--value 1024] [--rounds 5]
 *        [--dir DIR]
 *
 * warm: the blocks of tables were read before. reopened: nothing is in the engine's cache, everything
 * in the page cache. in memory: the values were written just before, and no table has them. absent:
 * other keys than those that are there.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";

const { values: flags } = parseArgs({
  options: {
    count: { type: "string", default: "200000" },
    value: { type: "string", default: "1024" },
    rounds: { type: "string", default: "5" },
    dir: { type: "string", default: tmpdir() },
  },
});
const COUNT = Number(flags.count);
const ROUNDS = Number(flags.rounds);
const value = Buffer.alloc(Number(flags.value), 7);
const { load } = await bundleEngine("deletes");
const { AuraDB } = await load("index");

/** Keys of 16 bytes, in an order of their own. */
function keysOf(salt) {
  const keys = Array.from({ length: COUNT }, (_, i) => {
    const key = Buffer.alloc(16);
    key.writeUInt32BE(Math.imul(i + 1, 2654435761) >>> 0, 0);
    key.writeUInt32BE(i, 4);
    key[8] = salt;
    return key;
  });
  for (let i = COUNT - 1; i > 0; i--) {
    const other = Math.abs(Math.imul(i, 2246822519) % (i + 1));
    [keys[i], keys[other]] = [keys[other], keys[i]];
  }
  return keys;
}

const present = keysOf(0);
const absent = keysOf(1);

const kinds = ["warm", "reopened", "in memory", "absent"];

async function run(kind, isApart) {
  const path = mkdtempSync(join(flags.dir, "aura-deletes-"));
  const settings = {
    valueLog: { separationThreshold: isApart ? 512 : 2 ** 30 },
    memtable: { maxSize: kind === "in memory" ? 2 ** 30 : 64 * 2 ** 20 },
    table: { compression: "none" },
    admission: { delay: false },
  };
  try {
    let db = await AuraDB.open(path, settings);
    for (const key of present) db.putSync(key, value);
    if (kind !== "in memory") {
      await db.compact();
      await db.idle();
    }
    if (kind === "warm") for (const key of present) db.hasSync(key);
    if (kind === "reopened") {
      await db.close();
      db = await AuraDB.open(path, settings);
    }
    const keys = kind === "absent" ? absent : present;
    const before = db.stats().flushes.count;
    const begun = performance.now();
    for (const key of keys) db.deleteSync(key);
    const micros = ((performance.now() - begun) * 1000) / COUNT;
    const flushes = db.stats().flushes.count - before;
    await db.close();
    return { micros, flushes };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

const seen = new Map();
for (let round = 0; round < ROUNDS; round++) {
  for (const kind of kinds) {
    for (const isApart of round % 2 === 0 ? [true, false] : [false, true]) {
      const name = `${kind} ${isApart}`;
      seen.set(name, [...(seen.get(name) ?? []), await run(kind, isApart)]);
    }
  }
}
function median(name, field) {
  const list = seen.get(name).map((each) => each[field]);
  return list.sort((a, b) => a - b)[list.length >> 1];
}
for (const kind of kinds) {
  const [apart, inline] = [median(`${kind} true`, "micros"), median(`${kind} false`, "micros")];
  console.log(
    `${kind.padEnd(10)} values apart ${apart.toFixed(2)} us (${(1e6 / apart).toFixed(0)}/s, ` +
      `${median(`${kind} true`, "flushes")} flushes meanwhile), in tables ${inline.toFixed(2)} us ` +
      `(${(1e6 / inline).toFixed(0)}/s): ${(apart - inline).toFixed(2)} us more`,
  );
}
