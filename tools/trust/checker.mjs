/**
 * Checks what crashes left, one database after the other: for each order on a line of its input it
 * opens the database, as in another boot when the order names one, proves that it holds a long enough
 * prefix of the history, closes it, and verifies the files. Answers on descriptor 3
 * with a line of JSON: `{ length, voids }` or `{ failure }`.
 *
 * It lives long, so that a check costs no start of a process; every descriptor that an open took has
 * to be given back. Background jobs run inline where a boot is named.
 */
import { readdirSync, readlinkSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { nodeFileSystem } from "@aura/base";
import { AuraDB } from "@aura/engine";
import { prefixIn, settingsOf } from "./content.mjs";
import { Chance } from "./history.mjs";

const SPEECH = 3;

/** Descriptors that lead into a directory. */
function openIn(directory) {
  if (process.platform !== "linux") return [];
  const open = [];
  for (const fd of readdirSync("/proc/self/fd")) {
    const link = linkOf(fd);
    if (link.startsWith(directory)) open.push(link);
  }
  return open;
}

function linkOf(fd) {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

async function check(order) {
  const { directory, seed, epoch, settings, boot } = order;
  const id = `00000000-0000-4000-8000-${String(boot).padStart(12, "0")}`;
  const components = boot === undefined ? {} : { fs: { ...nodeFileSystem, bootId: () => id } };
  const db = await AuraDB.open(
    directory,
    settingsOf(new Chance(seed, epoch, 7), settings),
    components,
  );
  let prefix;
  try {
    prefix = prefixIn(db, order);
  } finally {
    await db.close();
  }
  const { problems } = await AuraDB.verify(directory);
  if (problems.length > 0) throw new Error(`verify: ${problems.join("; ")}`);
  const open = openIn(directory);
  if (open.length > 0) throw new Error(`left open: ${open.join(", ")}`);
  return prefix;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await check(JSON.parse(line)).catch((error) => ({
    failure: String(error?.stack ?? error),
  }));
  writeSync(SPEECH, `${JSON.stringify(answer)}\n`);
}
