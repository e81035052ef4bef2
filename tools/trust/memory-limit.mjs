/**
 * Processes that run out of memory: `node tools/trust/memory-limit.mjs --count 30 --seed 1`.
 *
 * Three means, in turn: a control group whose limit ends the process, a heap of JavaScript that is too
 * small, an address space that is. A process gets through, stops with a typed error, or is ended by
 * the system or its runtime; in each case the next one, which has memory, proves what level `os`
 * promises, and goes on. A means that the machine lacks is said. Needs the built packages (`npm run build`).
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Chance } from "./history.mjs";
import { addSlice } from "./results.mjs";
import { Checker, Knowledge, runRound } from "./round.mjs";

const MIB = 1024 * 1024;
const ROUNDS_PER_DATABASE = 10;
const OPERATIONS = 800;
/** So that arenas, the cache and values take what there is. */
const SETTINGS = {
  memtable: { maxSize: 16 * MIB, maxCount: 4 },
  cache: { capacity: 64 * MIB },
};
const LARGE_SETTINGS = {
  memtable: { maxSize: 256 * MIB, maxCount: 4 },
  cache: { capacity: 256 * MIB },
};

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "30" },
    seed: { type: "string", default: "1" },
    results: { type: "string" },
  },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
const chance = new Chance(seed, 4);

const GROUPS = "/sys/fs/cgroup/memory";
const group = join(GROUPS, `aura-trust-${process.pid}`);

/** Why this machine has no control groups that limit memory for us, or undefined. */
function whyNoGroup() {
  if (!existsSync(join(GROUPS, "memory.limit_in_bytes")))
    return "no control groups for memory here";
  try {
    mkdirSync(group);
    return undefined;
  } catch (error) {
    return `no control group may be made: ${error.message}`;
  }
}

function whyNoAddressLimit() {
  try {
    execFileSync("prlimit", ["--as=8000000000", "true"], { stdio: "ignore" });
    return undefined;
  } catch (error) {
    return `no prlimit: ${error.message}`;
  }
}

/** Each gives the limit in MiB, and how a process gets it. */
const MEANS = {
  group: () => {
    const mib = 45 + chance.below(75);
    writeFileSync(join(group, "memory.limit_in_bytes"), `${mib * MIB}`);
    const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"';
    return { mib, command: ["sh", "-c", enter, group] };
  },
  heap: () => {
    const mib = 4 + chance.below(20);
    return { mib, env: { NODE_OPTIONS: `--max-old-space-size=${mib}` } };
  },
  addresses: () => {
    // Where the runtime starts, but arenas, threads or compiled code may find no room.
    const [least, width] = chance.pick([
      [880, 300],
      [2500, 1500],
      [11_000, 3000],
    ]);
    const mib = least + chance.below(width);
    return { mib, command: ["prlimit", `--as=${mib * MIB}`] };
  },
};

/** How a process ended: a word, or a sentence when it must not end so. */
function endOf({ done, failure, signal }) {
  if (done) return { end: "through" };
  if (failure === undefined) {
    const isMemory = ["SIGKILL", "SIGABRT", "SIGTRAP", "SIGILL"].includes(signal);
    return isMemory ? { end: "ended" } : { wrong: `ended by ${signal}` };
  }
  if (failure.startsWith("AuraError")) return { end: "refused" };
  // The runtime gave up before, or while, it loaded.
  if (/^ended with code/.test(failure) && /memory|out of|OOM/i.test(failure))
    return { end: "ended" };
  return { wrong: failure };
}

const startedMs = performance.now();
const missing = { group: whyNoGroup(), addresses: whyNoAddressLimit() };
const means = Object.keys(MEANS).filter((name) => {
  if (missing[name] !== undefined) console.log(`SKIPPED ${name}: ${missing[name]}`);
  return missing[name] === undefined;
});
const ends = { through: 0, ended: 0, refused: 0 };
const violations = [];
const checker = new Checker();
let rounds = 0;
for (let database = 0; rounds < count && violations.length === 0; database++) {
  const folder = mkdtempSync(join(tmpdir(), "aura-memory-"));
  const knowledge = new Knowledge();
  const one = { directory: join(folder, "db"), seed: seed * 1000 + database, survives: "os" };
  for (let i = 0; i < ROUNDS_PER_DATABASE && rounds < count && violations.length === 0; i++) {
    const name = means[rounds++ % means.length];
    const { mib, ...limits } = MEANS[name]();
    const settings = name === "addresses" ? LARGE_SETTINGS : SETTINGS;
    const order = knowledge.order({ ...one, operations: OPERATIONS, verify: false, settings });
    const { end, wrong } = endOf(await runRound(order, knowledge, limits));
    if (end !== undefined) ends[end]++;
    const check = knowledge.order(one);
    const { length, failure = wrong } = await checker.ask(check);
    if (failure !== undefined) violations.push({ name, mib, order, failure });
    else if (wrong !== undefined) violations.push({ name, mib, order, failure: wrong });
    else knowledge.hear(`prefix ${length}`);
  }
  if (violations.length === 0) rmSync(folder, { recursive: true, force: true });
  else console.log(`kept: ${folder}`);
}
checker.close();
if (missing.group === undefined) rmdirSync(group);
const seconds = Math.round((performance.now() - startedMs) / 1000);
for (const { failure, ...where } of violations) console.log(JSON.stringify(where), "\n ", failure);
console.log(
  `${rounds} processes, ${ends.ended} ended, ${ends.refused} refused with a typed error, ` +
    `${ends.through} through, ${seconds} s, ${violations.length} violations`,
);
const counts = { memoryLimits: rounds, memoryEnded: ends.ended, memoryRefused: ends.refused };
console.log(`COUNTS ${JSON.stringify({ ...counts, violations: violations.length })}`);
if (values.results !== undefined) {
  addSlice(values.results, { seed, ...counts, seconds, violations: violations.length });
}
process.exitCode = violations.length === 0 ? 0 : 1;
