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
import { lengthIn, settingsOf } from "./content.mjs";
import { bytesOf, Chance, History } from "./history.mjs";
import { oneThread } from "./one-thread.mjs";

const SPEECH = 3;

const order = JSON.parse(process.argv[2]);
const { directory, seed, epochs, epoch, operations, settings, verify, isCalm, world } = order;

function say(text) {
  writeSync(SPEECH, `${text}\n`);
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
  const kind = chance.below(isCalm ? 16 : 70);
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
    // One thing at a time: then two processes of one history make the same calls of the same files.
    if (isCalm && world !== "one-thread") await db.idle();
  }
}

try {
  const chance = new Chance(seed, epoch, 7);
  const components = world === "one-thread" ? oneThread(seed) : {};
  const db = await AuraDB.open(directory, settingsOf(chance, settings), components);
  const length = lengthIn(db, order);
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
