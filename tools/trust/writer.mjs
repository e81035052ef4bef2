/**
 * The process that is killed, or whose disk is cut: opens the database, checks that it holds a
 * prefix of the history that is long enough, and goes on with it until it ends or is ended.
 *
 * It speaks through descriptor 3, a line each: `prefix N` after the check, `intent N` before
 * operations below N are handed over, `os N` and `sync N` when all below N are acknowledged at that
 * level, `done`, `failed TEXT`. What that proves is judged by its parent.
 */
import { writeSync } from "node:fs";
import { AuraDB } from "@aura/engine";
import { prefixIn, settingsOf } from "./content.mjs";
import { Chance, History } from "./history.mjs";
import { oneThread } from "./one-thread.mjs";
import { maintain, write } from "./operations.mjs";

const SPEECH = 3;

const order = JSON.parse(process.argv[2]);
const { directory, seed, epochs, epoch, operations, settings, verify, isCalm, world, exitAt } =
  order;

function say(text) {
  writeSync(SPEECH, `${text}\n`);
}

/** What is acknowledged vouches for all that was handed over before it: writes leave in call order. */
function acknowledge(index, level) {
  if (level !== "buffered") say(`${level} ${index + 1}`);
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
    // Without a close, and with what is under way.
    if (next - from > exitAt) process.exit(0);
    await Promise.all(writes);
    if (chance.below(40) === 0) {
      await db.sync();
      say(`sync ${next}`);
    }
    await maintain(db, chance, isCalm ? 16 : 70);
    // One thing at a time: then two processes of one history make the same calls of the same files.
    if (isCalm && world !== "one-thread") await db.idle();
  }
}

try {
  const chance = new Chance(seed, epoch, 7);
  const components = world === "one-thread" ? oneThread(seed) : {};
  const db = await AuraDB.open(directory, settingsOf(chance, settings), components);
  const { length, voids } = prefixIn(db, order);
  say(`prefix ${length} ${voids}`);
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
