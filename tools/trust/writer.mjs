/**
 * The process that is killed, or whose disk is cut: opens the database, checks that it holds a
 * prefix of the history that is long enough, and goes on with it until it ends or is ended.
 *
 * It speaks through descriptor 3, a line each: `prefix N` after the check, `intent N` before
 * operations below N are handed over, `os N` and `sync N` when all below N are acknowledged at that
 * level, `done`, `failed TEXT`. What that proves is judged by its parent.
 */
import { writeSync } from "node:fs";
import { AuraDB, WriteBatch } from "@aura/engine";
import { applyChange, bytesOf, Chance, History, lengthOf } from "./history.mjs";

const SPEECH = 3;
const KIB = 1024;

const order = JSON.parse(process.argv[2]);
const { directory, seed, epochs, least, most, epoch, operations, settings, verify } = order;

function say(text) {
  writeSync(SPEECH, `${text}\n`);
}

/** Small limits, so that logs rotate, memtables flush, levels merge and segments drain all the time. */
function settingsOf(chance) {
  return {
    memtable: {
      maxSize: 256 * KIB,
      maxCount: 2 + chance.below(3),
      implementation: chance.pick(["art", "art", "hash-runs", "btree", "skiplist"]),
    },
    wal: {
      maxFileSize: 64 * KIB * (1 + chance.below(4)),
      backgroundSyncBytes: chance.pick([0, 64 * KIB, 256 * KIB]),
      bufferedDelayMs: 1 + chance.below(10),
    },
    valueLog: {
      maxSegmentSize: 64 * KIB * (1 + chance.below(8)),
      separationThreshold: chance.pick([64, 1024, 1024, 8192]),
      compression: chance.pick(["none", "none", "lz4", "deflate"]),
      writeQueues: chance.pick([1, 1, 2, 4]),
    },
    table: {
      maxSize: 64 * KIB,
      blockSize: chance.pick([512, 4096]),
      compression: chance.pick(["none", "lz4", "deflate"]),
      filter: chance.pick(["bloom", "ribbon", "by-level", "none"]),
      prefixBytes: chance.pick([0, 0, 4]),
    },
    compaction: {
      mode: chance.pick(["leveled", "tiered", "lazy-leveled"]),
      baseLevelSize: 256 * KIB,
      fanout: 4,
      l0Trigger: 1 + chance.below(4),
    },
    learnedIndex: { modelType: chance.pick(["piecewise-linear", "radix-spline", "none"]) },
    cache: { capacity: chance.pick([0, 64 * KIB, 4096 * KIB]) },
    maxOpenFiles: chance.pick([16, 512]),
    ...settings,
  };
}

/** Returns the whole content, read forward, and proves that reading backward gives the same. */
function contentOf(db) {
  const state = new Map();
  const forward = [];
  for (const [key, value] of db.scanSync()) {
    const name = key.toString("latin1");
    forward.push(name);
    state.set(name, value);
  }
  const backward = [];
  for (const key of db.keysSync({ reverse: true })) backward.push(key.toString("latin1"));
  if (backward.reverse().join("\n") !== forward.join("\n")) {
    throw new Error("a scan backward found other keys than the scan forward");
  }
  for (const [name, value] of state) {
    if (db.getSync(Buffer.from(name, "latin1"))?.equals(value) !== true) {
      throw new Error(`get and scan disagree on ${JSON.stringify(name)}`);
    }
  }
  return state;
}

function describe(state, history, length) {
  const model = new Map();
  for (let i = 0; i < length; i++) {
    for (const change of history.operation(i).changes) applyChange(model, change);
  }
  const wrong = [];
  for (const [name, value] of model) {
    const found = state.get(name);
    const expected = value === undefined ? undefined : bytesOf(value);
    if (found === undefined ? expected === undefined : expected?.equals(found)) continue;
    const by = value === undefined ? "deleted" : `operation ${value.index}`;
    wrong.push(`${JSON.stringify(name.slice(0, 20))} (${found?.length} bytes, by ${by})`);
  }
  return `${wrong.length} keys differ at length ${length}: ${wrong.slice(0, 8).join("; ")}`;
}

/** Hands over one operation; resolves when it is acknowledged. */
function write(db, { level, isBatch, changes }, isSync) {
  const options = { durability: level };
  if (isBatch) {
    const batch = new WriteBatch();
    for (const { key, value, end } of changes) {
      if (end !== undefined) batch.deleteRange({ gte: key, lt: end });
      else if (value === undefined) batch.delete(key);
      else batch.put(key, bytesOf(value));
    }
    return isSync ? db.writeSync(batch, options) : db.write(batch, options);
  }
  const [{ key, value, end }] = changes;
  if (end !== undefined) {
    const range = { gte: key, lt: end };
    return isSync ? db.deleteRangeSync(range, options) : db.deleteRange(range, options);
  }
  if (value === undefined) return isSync ? db.deleteSync(key, options) : db.delete(key, options);
  const bytes = bytesOf(value);
  return isSync ? db.putSync(key, bytes, options) : db.put(key, bytes, options);
}

/** What is acknowledged vouches for all that was handed over before it: writes leave in call order. */
function acknowledge(index, level) {
  if (level !== "buffered") say(`${level} ${index + 1}`);
}

async function maintain(db, chance) {
  const kind = chance.below(70);
  if (kind === 0) await db.flush();
  else if (kind === 1) await db.compact();
  else if (kind === 2) await db.idle();
  else if (kind === 3) {
    const snapshot = db.snapshot();
    for (const _ of db.keysSync({ snapshot, limit: 50 }));
    snapshot.release();
  } else if (kind === 4) db.setCompactionMode(chance.pick(["leveled", "tiered", "lazy-leveled"]));
}

async function go(db, history, from, chance) {
  const end = from + operations;
  for (let next = from; next < end; ) {
    const isSync = chance.below(3) === 0;
    const width = isSync ? 1 : 1 + chance.below(16);
    const last = Math.min(end, next + width);
    say(`intent ${last}`);
    const writes = [];
    for (; next < last; next++) {
      const operation = history.operation(next);
      const index = next;
      const written = write(db, operation, isSync);
      if (isSync) acknowledge(index, operation.level);
      else writes.push(written.then(() => acknowledge(index, operation.level)));
    }
    await Promise.all(writes);
    if (chance.below(40) === 0) {
      await db.sync();
      say(`sync ${next}`);
    }
    await maintain(db, chance);
  }
}

try {
  const chance = new Chance(seed, epoch, 7);
  const db = await AuraDB.open(directory, settingsOf(chance));
  const before = new History(seed, epochs);
  const state = contentOf(db);
  const length = lengthOf(before, state, least, most);
  if (length === undefined) {
    const what = describe(state, before, least);
    throw new Error(`the content is no prefix of ${least} to ${most} operations; ${what}`);
  }
  say(`prefix ${length}`);
  if (operations > 0) {
    await go(db, new History(seed, [...epochs, { from: length, epoch }]), length, chance);
  }
  await db.close();
  if (verify) {
    const report = await AuraDB.verify(directory);
    if (report.problems.length > 0) throw new Error(`verify: ${report.problems.join("; ")}`);
  }
  say("done");
} catch (error) {
  say(`failed ${String(error?.stack ?? error).replaceAll("\n", " | ")}`);
  process.exitCode = 1;
}
