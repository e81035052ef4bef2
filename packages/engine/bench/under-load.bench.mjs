/**
 * What merges cost those who read and write meanwhile.
 *
 * reads    random look-ups in a database with ten runs in level 0, while all of it is merged, and after
 *          that; the cache holds it all, and what merges have made is cold until it is asked for.
 * switch   overwrites at a pace and look-ups beside them; the mode changes to tiered and back. Times of
 *          puts and gets in the 99.9th percentile and at most, before and after each change, over as
 *          many flushes as fill the base level twice; runs per level at the end of each phase.
 *
 *   node packages/engine/bench/under-load.bench.mjs [--part reads,switch] [--count 1000000]
 *     [--rounds 3] [--pace 40000] [--dir DIR]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleEngine } from "../../../scripts/bundle.mjs";
import { quantile } from "./quantile.mjs";

const { values: options } = parseArgs({
  options: {
    part: { type: "string", default: "reads,switch" },
    count: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "3" },
    pace: { type: "string", default: "40000" },
    dir: { type: "string", default: tmpdir() },
  },
});
const COUNT = Number(options.count);
const ROUNDS = Number(options.rounds);
/** Puts a second in part `switch`. */
const PACE = Number(options.pace);
const MIB = 1048576;
const bundled = await bundleEngine("under-load");
const { AuraDB, WriteBatch } = await bundled.load("index");

const settings = {
  table: { compression: "none", maxSize: 4 * MIB },
  memtable: { maxSize: 4 * MIB },
  cache: { capacity: 256 * MIB },
  compaction: { baseLevelSize: 16 * MIB },
};
const key = Buffer.alloc(16, "0");
const value = Buffer.alloc(100, 7);

let state = 1;
function randomKey() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  key.writeUInt32BE(Math.floor((state / 2 ** 32) * COUNT), 4);
  return key;
}

async function load(db, count) {
  for (let i = 0; i < count; i += 1000) {
    const batch = new WriteBatch();
    for (let k = 0; k < 1000; k++) batch.put(randomKey(), value);
    await db.write(batch);
  }
}

/** Look-ups per second until `isOver`, and how many. */
async function lookUps(db, isOver) {
  const start = performance.now();
  let count = 0;
  do {
    for (let i = 0; i < 500; i++) await db.get(randomKey());
    count += 500;
  } while (!isOver(performance.now() - start));
  return { perSecond: (count * 1000) / (performance.now() - start), count };
}

async function reads(directory) {
  let db = await AuraDB.open(directory, settings);
  await load(db, COUNT);
  await db.compact();
  await db.close();
  const { compaction } = settings;
  db = await AuraDB.open(directory, {
    ...settings,
    compaction: { ...compaction, automatic: false },
  });
  while (db.stats().levels[0].runs < 10) await load(db, 5000);
  await db.flush();
  await lookUps(db, (ms) => ms > 3000);
  const before = await lookUps(db, (ms) => ms > 2000);
  let merged = 0;
  let isOver = false;
  db.events.on("compaction", ({ bytesRead }) => (merged += bytesRead));
  void db.compact().then(() => (isOver = true));
  const busy = await lookUps(db, () => isOver);
  await lookUps(db, (ms) => ms > 3000);
  const after = await lookUps(db, (ms) => ms > 2000);
  await db.close();
  return { before: before.perSecond, after: after.perSecond, busy: busy.perSecond, merged };
}

/** Puts at the pace, a look-up beside every fourth, until `isOver`. Times in ms. */
async function paced(db, isOver) {
  const puts = [];
  const gets = [];
  const start = performance.now();
  let done = 0;
  while (!isOver()) {
    const due = ((performance.now() - start) / 1000) * PACE;
    for (; done < due; done++) {
      let at = performance.now();
      await db.put(randomKey(), value);
      puts.push(performance.now() - at);
      if (done % 4 > 0) continue;
      at = performance.now();
      await db.get(randomKey());
      gets.push(performance.now() - at);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { puts, gets };
}

async function switches(directory) {
  const db = await AuraDB.open(directory, settings);
  await load(db, COUNT);
  await db.compact();
  const flushes = (2 * settings.compaction.baseLevelSize) / settings.memtable.maxSize + 4;
  const phases = [];
  for (const mode of ["leveled", "tiered", "leveled"]) {
    db.setCompactionMode(mode);
    const end = db.stats().flushes.count + flushes;
    const times = await paced(db, () => db.stats().flushes.count >= end);
    const runs = db.stats().levels.map((level) => level.runs);
    phases.push({ mode, runs, ...times });
  }
  await db.close();
  return phases;
}

async function inDirectory(work) {
  const directory = mkdtempSync(join(options.dir, "aura-under-load-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const parts = options.part.split(",");
if (parts.includes("reads")) {
  const shares = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { before, busy, after, merged } = await inDirectory(reads);
    shares.push(busy / before);
    console.log(
      `reads: ${before.toFixed(0)}/s before, ${busy.toFixed(0)}/s beside merges of`,
      `${(merged / MIB).toFixed(0)} MiB, ${after.toFixed(0)}/s after: ${((busy / before) * 100).toFixed(0)} %`,
    );
  }
  console.log(
    `reads beside merges, of those before: ${(quantile(shares, 0.5) * 100).toFixed(0)} % (median)`,
  );
}
if (parts.includes("switch")) {
  for (let round = 0; round < ROUNDS; round++) {
    for (const { mode, runs, puts, gets } of await inDirectory(switches)) {
      const show = (times) =>
        `p99.9 ${quantile(times, 0.999).toFixed(3)} ms, longest ${quantile(times, 1).toFixed(1)} ms`;
      console.log(
        `${mode.padEnd(8)} puts ${show(puts)}; gets ${show(gets)};`,
        `runs ${runs.join(" ")} (${puts.length} puts)`,
      );
    }
  }
}
