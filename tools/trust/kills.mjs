/**
 * SIGKILL at random moments, recovery included: `node tools/trust/kills.mjs --count 300 --seed 1`.
 * After each kill the next process proves that what was acknowledged at level `os` or `sync` is
 * there, and nothing but a prefix of the history. Needs the built packages (`npm run build`).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Chance } from "./history.mjs";
import { addSlice } from "./results.mjs";
import { Knowledge, runRound } from "./round.mjs";

/** Kills of one database, then a new one: a history is checked from its start each time. */
const KILLS_PER_DATABASE = 40;
const OPERATIONS = 3000;
/** One in so many kills comes soon after the start, to meet recovery; the others later. */
const EARLY_SHARE = 0.3;
const EARLY_MS_MAX = 400;
const LIFE_MS_MAX = 600;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "300" },
    seed: { type: "string", default: "1" },
    results: { type: "string" },
    dir: { type: "string" },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
const chance = new Chance(seed, 1);
const startedMs = performance.now();
const violations = [];
let kills = 0;
let operations = 0;

for (let database = 0; kills < count && violations.length === 0; database++) {
  const folder = mkdtempSync(join(values.dir ?? tmpdir(), "aura-kills-"));
  const directory = join(folder, "db");
  const knowledge = new Knowledge();
  const one = { directory, seed: seed * 1000 + database, survives: "os" };
  let isSound = true;
  for (let i = 0; i < KILLS_PER_DATABASE && kills < count && isSound; i++) {
    const isEarly = chance.unit() < EARLY_SHARE;
    const lifeMs = chance.unit() * (isEarly ? EARLY_MS_MAX : LIFE_MS_MAX);
    const order = knowledge.order({ ...one, operations: OPERATIONS, verify: false });
    let timer;
    const killLater = (child) => {
      timer = setTimeout(() => {
        if (child.exitCode === null) kills++;
        child.kill("SIGKILL");
      }, lifeMs);
    };
    const when = isEarly ? { started: killLater } : { opened: killLater };
    const result = await runRound(order, knowledge, when);
    clearTimeout(timer);
    if (result.failure !== undefined) {
      violations.push({ database, round: i, order, failure: result.failure });
      isSound = false;
    }
  }
  if (isSound) {
    const order = knowledge.order({ ...one, operations: 0, verify: true });
    const { failure } = await runRound(order, knowledge);
    if (failure !== undefined) violations.push({ database, round: "verify", order, failure });
  }
  operations += knowledge.intent;
  if (violations.length === 0) rmSync(folder, { recursive: true, force: true });
  else console.log(`kept: ${folder}`);
}
const seconds = Math.round((performance.now() - startedMs) / 1000);
for (const { failure, ...where } of violations) console.log(JSON.stringify(where), "\n ", failure);
console.log(
  `${kills} kills, ${operations} operations, ${seconds} s, ${violations.length} violations`,
);
if (values.results !== undefined) {
  addSlice(values.results, { seed, kills, operations, seconds, violations: violations.length });
}
process.exitCode = violations.length === 0 ? 0 : 1;
