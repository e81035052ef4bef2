/**
 * Processes that run out of memory, of descriptors, or of what a file may hold: `node tools/trust/memory-limit.mjs --count 30 --seed 1`.
 *
 * Five means, in turn: a control group whose limit ends the process, a heap of JavaScript that is too
 * small, an address space that is; few descriptors; a longest file, beyond which writes fail or the
 * process is ended (SIGXFSZ). A process gets through, stops with a typed error, or is ended by
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
import { Checker, FAULTY_WRITER, Knowledge, runRound } from "./round.mjs";

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

function whyNoLimits() {
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
  descriptors: () => {
    // The runtime itself has about twenty, more with threads.
    const most = 18 + chance.below(40);
    return { most, command: ["prlimit", `--nofile=${most}`], writer: FAULTY_WRITER };
  },
  fileBytes: () => {
    const most = 16_384 + chance.below(300_000);
    const program = ["prlimit", `--fsize=${most}`];
    // Ignored, the signal becomes an error of the write.
    if (chance.below(4) > 0) program.unshift("env", "--ignore-signal=XFSZ");
    return { most, command: program, writer: FAULTY_WRITER };
  },
};

/** How a process ended: a word, or a sentence when it must not end so. */
function endOf({ done, failure, signal, codes }) {
  if (done) return { end: codes.length > 0 ? "refused" : "through" };
  if (failure === undefined) {
    const isMemory = ["SIGKILL", "SIGABRT", "SIGTRAP", "SIGILL", "SIGXFSZ"].includes(signal);
    return isMemory ? { end: "ended" } : { wrong: `ended by ${signal}` };
  }
  if (failure.startsWith("AuraError")) return { end: "refused" };
  // The runtime gave up before, or while, it loaded.
  const isLoading = /EMFILE/.test(failure) && /node:internal\/modules\/esm\/load/.test(failure);
  if (/^ended with code/.test(failure) && (isLoading || /memory|out of|OOM/i.test(failure)))
    return { end: "ended" };
  return { wrong: failure };
}

const startedMs = performance.now();
const noLimits = whyNoLimits();
const missing = {
  group: whyNoGroup(),
  addresses: noLimits,
  descriptors: noLimits,
  fileBytes: noLimits,
};
const means = Object.keys(MEANS).filter((name) => {
  if (missing[name] !== undefined) console.log(`SKIPPED ${name}: ${missing[name]}`);
  return missing[name] === undefined;
});
const ends = { through: 0, ended: 0, refused: 0 };
const byMeans = {};
const violations = [];
const checker = new Checker();
let rounds = 0;
for (let database = 0; rounds < count && violations.length === 0; database++) {
  const folder = mkdtempSync(join(tmpdir(), "aura-memory-"));
  const knowledge = new Knowledge();
  const one = { directory: join(folder, "db"), seed: seed * 1000 + database, survives: "os" };
  for (let i = 0; i < ROUNDS_PER_DATABASE && rounds < count && violations.length === 0; i++) {
    const name = means[rounds++ % means.length];
    const { mib, most, ...limits } = MEANS[name]();
    const settings = name === "addresses" ? LARGE_SETTINGS : SETTINGS;
    const order = knowledge.order({
      ...one,
      operations: OPERATIONS,
      verify: false,
      settings,
      isShort: true,
    });
    const { end, wrong } = endOf(await runRound(order, knowledge, limits));
    if (end !== undefined) ends[end]++;
    const of = `${name} ${end ?? "wrong"}`;
    byMeans[of] = (byMeans[of] ?? 0) + 1;
    const check = knowledge.order(one);
    const { length, voids, failure = wrong } = await checker.ask(check);
    if (failure !== undefined) violations.push({ name, mib, most, order, failure });
    else if (wrong !== undefined) violations.push({ name, mib, most, order, failure: wrong });
    else knowledge.hear(`prefix ${length} ${voids}`);
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
    `${ends.through} through ${JSON.stringify(byMeans)}, ${seconds} s, ${violations.length} violations`,
);
const countOf = (name) =>
  Object.entries(byMeans).reduce((sum, [of, n]) => (of.startsWith(name) ? sum + n : sum), 0);
const [descriptorLimits, fileLimits] = [countOf("descriptors "), countOf("fileBytes ")];
const counts = {
  memoryLimits: rounds - descriptorLimits - fileLimits,
  descriptorLimits,
  fileLimits,
  limitsEnded: ends.ended,
  limitsRefused: ends.refused,
};
console.log(`COUNTS ${JSON.stringify({ ...counts, violations: violations.length })}`);
if (values.results !== undefined) {
  addSlice(values.results, { seed, ...counts, seconds, violations: violations.length });
}
process.exitCode = violations.length === 0 ? 0 : 1;
