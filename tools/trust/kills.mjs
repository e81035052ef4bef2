/**
 * SIGKILL at random moments, recovery included: `node tools/trust/kills.mjs --count 300 --seed 1`.
 * After each kill the next process proves that what was acknowledged at level `os` or `sync` is
 * there, and nothing but a prefix of the history. Needs the built packages (`npm run build`).
 *
 * `--jobs` databases are filled and killed side by side. One kill in three comes while the process
 * opens, checks, or has just done so; the others behind a drawn number of operations, however fast the
 * machine is, and a few milliseconds more.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** Kills the process of one order at a drawn moment; returns its end, and whether a kill ended it. */
async function killOne(order, knowledge, chance) {
  const isEarly = chance.unit() < EARLY_SHARE;
  const life = isEarly ? chance.unit() * EARLY_MS_MAX : chance.below(LIFE_OPERATIONS_MAX);
  const lateMs = chance.unit() * LATE_MS_MAX;
  let timer;
  const kill = (child) => child.kill("SIGKILL");
  let opened = Number.POSITIVE_INFINITY;
  const when = isEarly
    ? { started: (child) => (timer = setTimeout(kill, life, child)) }
    : {
        opened: () => (opened = knowledge.intent),
        heard: (child) => {
          if (timer !== undefined || knowledge.intent - opened < life) return;
          timer = setTimeout(kill, lateMs, child);
        },
      };
  const result = await runRound(order, knowledge, when);
  clearTimeout(timer);
  return { failure: result.failure, isKilled: result.signal === "SIGKILL", isEarly };
}

/** One database and its kills; a folder is kept when something was wrong. */
async function killAgain({ database, kills }) {
  const chance = new Chance(seed, 1, database);
  const folder = mkdtempSync(join(values.dir ?? tmpdir(), "aura-kills-"));
  const directory = join(folder, "db");
  const knowledge = new Knowledge();
  const one = { directory, seed: seed * 1000 + database, survives: "os" };
  const sum = { kills: 0, early: 0, operations: 0, violations: [] };
  while (sum.kills < kills && sum.violations.length === 0) {
    const order = knowledge.order({ ...one, operations: 8 * LIFE_OPERATIONS_MAX, verify: false });
    const { failure, isKilled, isEarly } = await killOne(order, knowledge, chance);
    if (isKilled) sum.kills++;
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
const counts = { kills: total("kills"), early: total("early"), operations: total("operations") };
console.log(
  `${counts.kills} kills, ${counts.early} of them early, ${counts.operations} operations, ` +
    `${seconds} s, ${violations.length} violations`,
);
console.log(`COUNTS ${JSON.stringify({ kills: counts.kills, violations: violations.length })}`);
if (values.results !== undefined) {
  addSlice(values.results, { seed, ...counts, seconds, violations: violations.length });
}
process.exitCode = violations.length === 0 ? 0 : 1;
