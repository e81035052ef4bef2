/**
 * SIGKILL on entry to every system call of a history that changes a file of the database:
 * `node tools/trust/syscall-kills.mjs --seed 1 [--part 2/5] [--jobs 2]`.
 *
 * A first run, traced and not disturbed, lists the calls: kind, file, and the how many-th of its kind
 * on this file. Then one process for each, which strace ends there; a long-lived one proves that what
 * level `os` promises is in what it left, and goes over the files. The history does one thing at a
 * time, so that all of its processes make the same calls. strace counts for each thread apart: where
 * several threads make the same call on one file (syncs of the directory), it may be another one of
 * them that is met, so what was met is read from the trace, and the rest is named.
 *
 * Left out: closes and opens of what exists, which change nothing. Needs strace and the built packages
 * (`npm run build`).
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inLanes } from "./lanes.mjs";
import { addSlice } from "./results.mjs";
import { Checker, Knowledge, runRound } from "./round.mjs";

const CALLS = [
  ...["write", "pwrite64", "writev", "pwritev", "pwritev2", "fdatasync", "fsync", "ftruncate"],
  ...["fallocate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "link"],
  ...["linkat", "mkdir", "mkdirat", "openat", "open"],
];
/** Long enough for flushes, merges, drained segments and removed logs. */
const OPERATIONS = 200;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    /** The second of five parts of the calls. */
    part: { type: "string", default: "1/1" },
    jobs: { type: "string", default: "2" },
    results: { type: "string" },
  },
});
const seed = Number(values.seed);
const [part, parts] = values.part.split("/").map(Number);

function hasStrace() {
  try {
    execFileSync("strace", ["-f", "-o", "/dev/null", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/**
 * The calls of a trace that change something in the directory, each with its number among those of
 * its kind and file (`nth`), and among those of its thread (`nthOfThread`).
 */
function changesIn(trace, directory) {
  const counts = new Map();
  const next = (name) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts.get(name);
  };
  const changes = [];
  for (const line of trace.split("\n")) {
    const [, thread, call, rest] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
    if (call === undefined) continue;
    const at = rest.indexOf(directory);
    // A write may hold any text: what it writes to stands first.
    const path = at < 0 ? undefined : /^[^>",]*/.exec(rest.slice(at))[0];
    if (path === undefined || (/write/.test(call) && rest.indexOf("<") + 1 !== at)) continue;
    const file = path.slice(directory.length + 1);
    const isOpen = call.startsWith("open");
    // Counted by strace whether it creates or not.
    const nthOfThread = next(`${thread} ${call} ${file}`);
    const nth = next(`${call} ${file}`);
    if (isOpen && !rest.includes("O_CREAT")) continue;
    changes.push({ call, file, nth, nthOfThread });
  }
  return changes;
}

/** Runs the history under strace; `kill`: the call to end it at. */
async function traced(kill) {
  const folder = mkdtempSync(join(tmpdir(), "aura-calls-"));
  const directory = join(folder, "db");
  const log = join(folder, "trace");
  const command = ["strace", "-f", "-qqq", "-y", "-s", "8", "-o", log];
  if (kill === undefined) command.push("-e", `trace=${CALLS.join(",")}`);
  else {
    const { call, file, nthOfThread } = kill;
    command.push("-e", `trace=${call}`, "-P", file === "" ? directory : join(directory, file));
    command.push("-e", `inject=${call}:signal=KILL:when=${nthOfThread}`);
  }
  const knowledge = new Knowledge();
  const one = { directory, seed: seed * 1_000_000, survives: "os", isCalm: true };
  const order = knowledge.order({ ...one, operations: OPERATIONS, verify: false });
  const result = await runRound(order, knowledge, { command, env: { UV_THREADPOOL_SIZE: "1" } });
  const changes = changesIn(readFileSync(log, "utf8"), directory);
  return { folder, result, changes, order, check: knowledge.order(one) };
}

const nameOf = ({ call, file, nth }) => `${call} ${nth} of ${file === "" ? "the directory" : file}`;

const checkers = [];

/** Ends a process at a call, and checks what it left. */
async function killAt(point) {
  const { folder, result, changes, order, check } = await traced(point);
  let { failure } = result;
  if (failure === undefined) {
    const checker = checkers.pop() ?? new Checker();
    ({ failure } = await checker.ask(check));
    checkers.push(checker);
  }
  if (failure === undefined) rmSync(folder, { recursive: true, force: true });
  else console.log(JSON.stringify({ point, order }), "\n ", failure);
  const isThrough = result.done;
  const last = changes.findLast(({ call, file }) => call === point.call && file === point.file);
  return { met: isThrough || last === undefined ? undefined : nameOf(last), isThrough, failure };
}

if (!hasStrace()) {
  console.log("SKIPPED: no strace here that may trace");
} else {
  const startedMs = performance.now();
  const { folder, result, changes, order } = await traced(undefined);
  rmSync(folder, { recursive: true, force: true });
  if (!result.done) throw new Error(`${JSON.stringify(order)} failed: ${result.failure}`);
  const points = changes.filter((_, at) => at % parts === part - 1);
  const jobs = Number(values.jobs);
  const answers = await inLanes(points, jobs, killAt, ({ failure }) => failure !== undefined);
  for (const checker of checkers) checker.close();
  const met = new Set(answers.map((answer) => answer.met));
  const missed = points.map(nameOf).filter((name) => !met.has(name));
  const kills = answers.filter(({ isThrough }) => !isThrough).length;
  const violations = answers.filter(({ failure }) => failure !== undefined).length;
  const byCall = {};
  for (const { call } of points) byCall[call] = (byCall[call] ?? 0) + 1;
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  for (const name of missed) console.log(`not met: ${name}`);
  const of = `of ${changes.length} calls of the history, ${points.length} of this part`;
  console.log(
    `${kills} kills ${of}, ${missed.length} of them not met, ${seconds} s, ${violations} violations`,
  );
  const counts = {
    calls: points.length,
    callsMet: points.length - missed.length,
    callKills: kills,
  };
  console.log(`COUNTS ${JSON.stringify({ ...counts, violations })}`);
  if (values.results !== undefined) {
    addSlice(values.results, {
      seed,
      part: values.part,
      byCall,
      missed,
      kills,
      seconds,
      violations,
    });
  }
  process.exitCode = violations === 0 ? 0 : 1;
}
