/**
 * SIGKILL at random moments, recovery included: `node tools/trust/kills.mjs --count 300 --seed 1`.
 * After each kill the next process proves that what was acknowledged at level `os` or `sync` is
 * there, and nothing but a prefix of the history. Needs the built packages (`npm run build`).
 *
 * One process in eight ends itself instead, by `process.exit` without a close and with writes under way; one in eight is
 * stopped for a while by SIGSTOP, goes on, and is killed later.
 *
 * `--jobs` databases are filled and killed side by side. One kill in three comes while the process
 * opens, checks, or has just done so; the others behind a drawn number of operations, however fast the
 * machine is, and a few milliseconds more.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Chance } from "./history.mjs";
import { inLanes } from "./lanes.mjs";
import { addSlice } from "./results.mjs";
import { Knowledge, runRound } from "./round.mjs";

/** Kills of one database, then a new one: a history is checked from its start each time. */
const KILLS_PER_DATABASE = 25;
const EARLY_SHARE = 0.3;
const EARLY_MS_MAX = 400;
/** Operations of a life: a few flushes, and merges now and then. */
const LIFE_OPERATIONS_MAX = 250;
const LATE_MS_MAX = 8;
/** One process in so many ends itself, and one is stopped for so long. */
const OTHER_ENDS = 8;
const STOPPED_MS_MAX = 2500;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "300" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    results: { type: "string" },
    dir: { type: "string" },
  },
});
const [count, seed, jobs] = [Number(values.count), Number(values.seed), Number(values.jobs)];

/** Stops a process for a drawn while; it goes on. */
async function pause(child, ms) {
  child.kill("SIGSTOP");
  await sleep(ms);
  child.kill("SIGCONT");
}

/** A process that ends itself behind a drawn number of operations. */
async function exitOne(order, knowledge, chance) {
  const exitAt = chance.below(LIFE_OPERATIONS_MAX);
  const { failure, done, signal } = await runRound({ ...order, exitAt }, knowledge);
  const wrong = done || signal !== null ? `it did not end itself (${signal})` : undefined;
  return { failure: failure ?? wrong, isExit: true };
}

/** Kills the process of one order at a drawn moment; returns its end, and whether a kill ended it. */
async function killOne(order, knowledge, chance) {
  const other = chance.below(OTHER_ENDS);
  if (other === 0) return exitOne(order, knowledge, chance);
  const isStopped = other === 1;
  const isEarly = chance.unit() < EARLY_SHARE;
  const life = isEarly ? chance.unit() * EARLY_MS_MAX : chance.below(LIFE_OPERATIONS_MAX);
  const lateMs = chance.unit() * LATE_MS_MAX;
  let timer;
  const kill = (child) => child.kill("SIGKILL");
  const stopMs = isStopped ? chance.unit() * STOPPED_MS_MAX : 0;
  const end = async (child) => {
    if (isStopped) await pause(child, stopMs);
    // Time to go on in.
    if (isStopped) await sleep(lateMs + stopMs / 10);
    kill(child);
  };
  let opened = Number.POSITIVE_INFINITY;
  const when = isEarly
    ? { started: (child) => (timer = setTimeout(end, life, child)) }
    : {
        opened: () => (opened = knowledge.intent),
        heard: (child) => {
          if (timer !== undefined || knowledge.intent - opened < life) return;
          timer = setTimeout(end, lateMs, child);
        },
      };
  const result = await runRound(order, knowledge, when);
  clearTimeout(timer);
  const isKilled = result.signal === "SIGKILL";
  return { failure: result.failure, isKilled, isEarly, isStopped };
}

/** One database and its kills; a folder is kept when something was wrong. */
async function killAgain({ database, kills }) {
  const chance = new Chance(seed, 1, database);
  const folder = mkdtempSync(join(values.dir ?? tmpdir(), "aura-kills-"));
  const directory = join(folder, "db");
  const knowledge = new Knowledge();
  const one = { directory, seed: seed * 1000 + database, survives: "os" };
  const sum = { kills: 0, early: 0, stopped: 0, exits: 0, operations: 0, violations: [] };
  while (sum.kills < kills && sum.violations.length === 0) {
    const order = knowledge.order({ ...one, operations: 8 * LIFE_OPERATIONS_MAX, verify: false });
    const end = await killOne(order, knowledge, chance);
    const { failure, isKilled, isEarly, isStopped, isExit } = end;
    if (isKilled) sum.kills++;
    if (isKilled && isStopped) sum.stopped++;
    if (isExit) sum.exits++;
    if (isKilled && isEarly) sum.early++;
    if (failure !== undefined) sum.violations.push({ database, round: sum.kills, order, failure });
  }
  if (sum.violations.length === 0) {
    const order = knowledge.order({ ...one, operations: 0, verify: true });
    const { failure } = await runRound(order, knowledge);
    if (failure !== undefined) sum.violations.push({ database, round: "verify", order, failure });
  }
  sum.operations = knowledge.intent;
  if (sum.violations.length === 0) rmSync(folder, { recursive: true, force: true });
  else console.log(`kept: ${folder}`);
  return sum;
}

const startedMs = performance.now();
const databases = [];
for (let left = count; left > 0; left -= KILLS_PER_DATABASE) {
  databases.push({ database: databases.length, kills: Math.min(left, KILLS_PER_DATABASE) });
}
const sums = await inLanes(databases, jobs, killAgain, (sum) => sum.violations.length > 0);
const seconds = Math.round((performance.now() - startedMs) / 1000);
const total = (name) => sums.reduce((sum, one) => sum + one[name], 0);
const violations = sums.flatMap((one) => one.violations);
for (const { failure, ...where } of violations) console.log(JSON.stringify(where), "\n ", failure);
const counts = {
  kills: total("kills"),
  early: total("early"),
  stopped: total("stopped"),
  exits: total("exits"),
  operations: total("operations"),
};
console.log(
  `${counts.kills} kills, ${counts.early} of them early, ${counts.stopped} behind a stop, ` +
    `${counts.exits} exits without a close, ${counts.operations} operations, ` +
    `${seconds} s, ${violations.length} violations`,
);
const { kills, stopped, exits } = counts;
console.log(
  `COUNTS ${JSON.stringify({ kills, killsStopped: stopped, exits, violations: violations.length })}`,
);
if (values.results !== undefined) {
  addSlice(values.results, { seed, ...counts, seconds, violations: violations.length });
}
process.exitCode = violations.length === 0 ? 0 : 1;
