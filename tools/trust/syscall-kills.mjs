/**
 * SIGKILL on entry to every system call of a history that changes a file of the database:
 * `node tools/trust/syscall-kills.mjs --seed 1 [--part 2/5] [--jobs 2] [--world one-thread,threads]`.
 *
 * In one thread (one-thread.mjs) all processes of a history make the same calls. A first run, traced
 * and not disturbed, lists them: kind, file, and the how many-th of its kind on this file. Then one
 * process for each, which strace ends there. What a process met is read from its own trace.
 *
 * With worker threads and the thread pool no two processes make the same calls. There one process is
 * stopped at each call that it makes, in any thread, and its directory copied: what SIGKILL would leave
 * at that moment. Calls of several threads at one moment are seen done together.
 *
 * A process that lives long proves that what level `os` promises is in what was left, and goes over
 * the files. A call that was not met is named, and fails the run. Needs strace and the built packages
 * (`npm run build`).
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { inLanes } from "./lanes.mjs";
import { addSlice } from "./results.mjs";
import { Checker, Knowledge, runRound } from "./round.mjs";
import { stopAtCalls } from "./syscall-stops.mjs";
import { CALLS, changesIn, nameOf, whyNoStrace } from "./system-calls.mjs";

/** Long enough for flushes, merges, drained segments and removed logs. */
const OPERATIONS = 200;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    /** The second of five parts of the calls. */
    part: { type: "string", default: "1/1" },
    jobs: { type: "string", default: "2" },
    world: { type: "string", default: "one-thread,threads" },
    results: { type: "string" },
    /** Negative controls: what was handed over is to be there; a call that no process makes is planned. */
    overclaim: { type: "boolean", default: false },
    "wrong-call": { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);
const jobs = Number(values.jobs);
const [part, parts] = values.part.split("/").map(Number);
const isOfPart = (_, at) => at % parts === part - 1;

const checkers = [];

/** Checks what a process left; resolves to what is wrong with it. */
async function failureOf(check) {
  if (values.overclaim) check.least = check.most;
  const checker = checkers.pop() ?? new Checker();
  const { failure } = await checker.ask(check);
  checkers.push(checker);
  return failure;
}

function orders(world) {
  const folder = mkdtempSync(join(tmpdir(), "aura-calls-"));
  const knowledge = new Knowledge();
  const directory = join(folder, "db");
  const one = { directory, seed: seed * 1_000_000, survives: "os", isCalm: true, world };
  const order = knowledge.order({ ...one, operations: OPERATIONS, verify: false });
  return { folder, directory, knowledge, one, order };
}

/** Runs the history in one thread under strace; `kill`: the call to end it at. */
async function traced(kill) {
  const { folder, directory, knowledge, one, order } = orders("one-thread");
  const log = join(folder, "trace");
  const command = ["strace", "-f", "-qqq", "-y", "-s", "8", "-o", log];
  if (kill === undefined) command.push("-e", `trace=${CALLS.join(",")}`);
  else {
    const { call, file, nthOfThread } = kill;
    command.push("-e", `trace=${call}`, "-P", file === "" ? directory : join(directory, file));
    command.push("-e", `inject=${call}:signal=KILL:when=${nthOfThread}`);
  }
  const result = await runRound(order, knowledge, { command });
  const changes = changesIn(readFileSync(log, "utf8"), directory);
  return { folder, result, changes, order, check: knowledge.order(one) };
}

/** Ends a process at a call, and checks what it left; resolves to why it missed the call, if it did. */
async function killAt(point) {
  const { folder, result, changes, order, check } = await traced(point);
  let { failure } = result;
  failure ??= await failureOf(check);
  if (failure === undefined) rmSync(folder, { recursive: true, force: true });
  else console.log(JSON.stringify({ point, order }), "\n ", failure);
  const last = changes.at(-1);
  let missed;
  if (result.done) missed = "the process got through";
  else if (last === undefined || nameOf(last) !== nameOf(point)) {
    missed = `another call was met: ${last === undefined ? "none" : nameOf(last)}`;
  }
  return { name: nameOf(point), isKill: !result.done, missed, failure };
}

async function killAtEach() {
  const { folder, result, changes, order } = await traced(undefined);
  rmSync(folder, { recursive: true, force: true });
  if (!result.done) throw new Error(`${JSON.stringify(order)} failed: ${result.failure}`);
  const threads = new Set(changes.map(({ thread }) => thread));
  if (threads.size !== 1) throw new Error(`calls in ${threads.size} threads: ${[...threads]}`);
  if (values["wrong-call"])
    changes[part - 1] = { call: "fsync", file: "", nth: 60_000, nthOfThread: 60_000 };
  const points = changes.filter(isOfPart);
  const answers = await inLanes(points, jobs, killAt, ({ failure }) => failure !== undefined);
  return { all: changes, points, answers };
}

/** Stops one process with threads at each of its calls, and checks a copy for each of this part. */
async function stopAtEach() {
  const { folder, order, one } = orders("threads");
  const answers = [];
  const pending = new Set();
  let copies = 0;
  const { result, changes } = await stopAtCalls(order, one, join(folder, "trace"), {
    isWanted: isOfPart,
    stopped: async ({ names, directory, check }) => {
      copies++;
      while (pending.size >= jobs) await Promise.race(pending);
      const checked = failureOf(check).then((failure) => {
        if (failure === undefined) rmSync(directory, { recursive: true, force: true });
        else console.log(`kept: ${directory}`, JSON.stringify({ names, check }), "\n ", failure);
        for (const name of names) answers.push({ name, isKill: false, failure });
        pending.delete(checked);
      });
      pending.add(checked);
    },
  });
  await Promise.all(pending);
  if (!result.done) {
    console.log(JSON.stringify(order), "\n ", result.failure);
    answers.push({ name: "the process", failure: result.failure ?? `ended by ${result.signal}` });
  }
  if (answers.every(({ failure }) => failure === undefined)) rmSync(folder, { recursive: true });
  return { all: changes, points: changes.filter(isOfPart), answers, copies };
}

const WORLDS = { "one-thread": killAtEach, threads: stopAtEach };

const reason = whyNoStrace();
if (reason !== undefined) {
  console.log(`SKIPPED: ${reason}`);
} else {
  const sum = { calls: 0, callsMet: 0, callKills: 0, callStops: 0, violations: 0 };
  const missedAll = [];
  for (const world of values.world.split(",")) {
    if (!Object.hasOwn(WORLDS, world)) throw new Error(`unknown world ${world}`);
    const startedMs = performance.now();
    const { all, points, answers, copies = 0 } = await WORLDS[world]();
    const met = new Map(answers.map(({ name, missed }) => [name, missed]));
    const missed = [];
    for (const name of points.map(nameOf)) {
      const why = met.has(name) ? met.get(name) : "no process met it";
      if (why !== undefined) missed.push({ world, name, why });
    }
    const kills = answers.filter(({ isKill }) => isKill).length;
    const violations = answers.filter(({ failure }) => failure !== undefined).length;
    const byCall = {};
    for (const { call } of points) byCall[call] = (byCall[call] ?? 0) + 1;
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    for (const { name, why } of missed) console.log(`${world}: not met: ${name}: ${why}`);
    console.log(
      `${world}: ${points.length} of ${all.length} calls of the history, ${kills} kills, ${copies} copies, ` +
        `${missed.length} not met, ${seconds} s, ${violations} violations`,
    );
    sum.calls += points.length;
    sum.callsMet += points.length - missed.length;
    sum.callKills += kills;
    sum.callStops += copies;
    sum.violations += violations;
    missedAll.push(...missed);
    if (values.results !== undefined) {
      addSlice(values.results, {
        seed,
        world,
        part: values.part,
        byCall,
        missed,
        kills,
        copies,
        seconds,
        violations,
      });
    }
  }
  for (const checker of checkers) checker.close();
  const { violations, ...counts } = sum;
  console.log(`COUNTS ${JSON.stringify({ ...counts, violations })}`);
  process.exitCode = violations === 0 && missedAll.length === 0 ? 0 : 1;
}
