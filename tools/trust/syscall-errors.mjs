/**
 * System calls that fail: `node tools/trust/syscall-errors.mjs --count 100 --seed 1 [--jobs 2]`.
 *
 * A first run in one thread (one-thread.mjs), traced and not disturbed, lists the calls that change a
 * file. Then processes that strace answers one of them with an error, once or from then on, all
 * kinds of calls in turn; one in so many has worker threads, and fails at a drawn call. The process
 * has to answer with typed errors, to tell of a sync that failed, and to go on or refuse; the next one, whose
 * system is sound, finds what was acknowledged at level `os`, and nothing that was rejected. Whether
 * a call failed is read from the trace, and one that did not is named and fails the run. Needs strace
 * and the built packages (`npm run build`).
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Chance } from "./history.mjs";
import { inLanes } from "./lanes.mjs";
import { addSlice } from "./results.mjs";
import { Checker, FAULTY_WRITER, Knowledge, runRound } from "./round.mjs";
import { CALLS, changesIn, nameOf, whyNoStrace } from "./system-calls.mjs";

const OPERATIONS = 200;
/** One process in so many has threads. */
const THREADS_SHARE = 5;
const SYNCS = ["fdatasync", "fsync"];
const FULL = ["ENOSPC", "EDQUOT"];
const WRITES = ["write", "pwrite64", "writev", "pwritev", "pwritev2"];

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "2" },
    results: { type: "string" },
    /** Negative control: what was handed over has to be there, rejected or not. */
    overclaim: { type: "boolean", default: false },
  },
});
const [count, seed, jobs] = [Number(values.count), Number(values.seed), Number(values.jobs)];
const chance = new Chance(seed, 5);

/** The errors that a call may fail with on a real system. */
function errorsOf(call) {
  if (SYNCS.includes(call) || WRITES.includes(call)) return ["EIO", "ENOSPC", "EDQUOT"];
  if (call.startsWith("open")) return ["EIO", "ENOSPC", "EMFILE", "EROFS"];
  if (call === "fallocate") return ["EIO", "ENOSPC"];
  return ["EIO"];
}

/**
 * For how long calls fail, as strace is told. On a full volume flushes wait for room, for ever if need
 * be: so there is some again.
 */
function lengthOf({ error, nthOfThread, world }) {
  if (!FULL.includes(error)) return "+";
  return `..${nthOfThread + (world === "threads" ? 3 : 30)}`;
}

/** Runs a history, with `inject` as one failure; then checks what it left. */
async function run(world, options) {
  const folder = mkdtempSync(join(tmpdir(), "aura-errors-"));
  const directory = join(folder, "db");
  const log = join(folder, "trace");
  const command = ["strace", "-f", "-qqq", "-y", "-s", "8", "-o", log, ...options(directory)];
  const knowledge = new Knowledge();
  const one = { directory, seed: seed * 1_000_000, survives: "os", isCalm: true, world };
  const order = knowledge.order({ ...one, operations: OPERATIONS });
  const result = await runRound(order, knowledge, { command, writer: FAULTY_WRITER });
  const trace = readFileSync(log, "utf8");
  const check = knowledge.order(one);
  return { folder, directory, order, result, trace, check };
}

const checkers = [];

async function failureOf(check) {
  if (values.overclaim) check.least = check.most;
  if (values.overclaim) check.voids = [];
  const checker = checkers.pop() ?? new Checker();
  const { failure } = await checker.ask(check);
  checkers.push(checker);
  return failure;
}

/** Draws failures: each kind of call on each kind of file in turn, one of its calls by chance. */
function draw(changes) {
  const byKind = new Map();
  for (const change of changes) {
    const kind = `${change.call} ${/[.].*$/.exec(change.file)?.[0] ?? change.file}`;
    if (!byKind.has(kind)) byKind.set(kind, []);
    byKind.get(kind).push(change);
  }
  const kinds = [...byKind.values()];
  const points = [];
  for (let i = 0; points.length < count; i++) {
    const of = kinds[i % kinds.length];
    const point = of[chance.below(of.length)];
    const error = chance.pick(errorsOf(point.call));
    const isSticky = chance.below(3) === 0;
    const world = i % THREADS_SHARE === THREADS_SHARE - 1 ? "threads" : "one-thread";
    points.push({ ...point, error, isSticky, world });
  }
  return points;
}

/** Lets one call fail; resolves to what came of it. */
async function failAt(point) {
  const { call, file, nthOfThread, error, isSticky, world } = point;
  const name = `${error}${isSticky ? " from" : " at"} ${nameOf(point)}, ${world}`;
  let when = nthOfThread;
  let answer;
  let isMet;
  for (;;) {
    const inject = `inject=${call}:error=${error}:when=${when}${isSticky ? lengthOf(point) : ""}`;
    answer = await run(world, (directory) => {
      const options = ["-e", `trace=${call}`, "-e", inject];
      // No two processes with threads have the same files: any of the database's calls there.
      const path = file === "" || world === "threads" ? directory : join(directory, file);
      if (world !== "threads" || call.startsWith("open") || call.startsWith("mkdir")) {
        options.push("-P", path);
      }
      return options;
    });
    isMet = answer.trace.includes("(INJECTED)");
    if (isMet || world !== "threads" || when === 1) break;
    rmSync(answer.folder, { recursive: true });
    when = Math.ceil(when / 2);
  }
  const { folder, order, result, check } = answer;
  let failure = result.failure;
  if (!result.done) failure ??= `ended by ${result.signal}`;
  if (isMet && SYNCS.includes(call) && result.codes.length === 0) {
    failure ??= "nobody was told of a sync that failed";
  }
  failure ??= await failureOf(check);
  if (failure === undefined) rmSync(folder, { recursive: true, force: true });
  else console.log(`kept: ${folder}`, JSON.stringify({ name, when, order, check }), "\n ", failure);
  return { name, isMet, failure, codes: result.codes };
}

const reason = whyNoStrace();
if (reason !== undefined) {
  console.log(`SKIPPED: ${reason}`);
} else {
  const startedMs = performance.now();
  const { folder, directory, order, result, trace } = await run("one-thread", () => [
    ...["-e", `trace=${CALLS.join(",")}`],
  ]);
  rmSync(folder, { recursive: true, force: true });
  if (!result.done || result.codes.length > 0) {
    throw new Error(`${JSON.stringify(order)} failed: ${result.failure ?? result.codes}`);
  }
  const points = draw(changesIn(trace, directory));
  const answers = await inLanes(points, jobs, failAt, ({ failure }) => failure !== undefined);
  for (const checker of checkers) checker.close();
  const missed = answers.filter(({ isMet }) => !isMet).map(({ name }) => name);
  const violations = answers.filter(({ failure }) => failure !== undefined).length;
  const codes = {};
  for (const one of answers)
    for (const code of new Set(one.codes)) codes[code] = (codes[code] ?? 0) + 1;
  const told = answers.filter((one) => one.codes.length > 0).length;
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  for (const name of missed) console.log(`not met: ${name}`);
  console.log(
    `${answers.length} processes with a failing call, ${told} told of it ${JSON.stringify(codes)}, ` +
      `${missed.length} not met, ${seconds} s, ${violations} violations`,
  );
  const counts = { callErrors: answers.length - missed.length, callErrorsTold: told };
  console.log(`COUNTS ${JSON.stringify({ ...counts, violations })}`);
  if (values.results !== undefined) {
    addSlice(values.results, { seed, ...counts, codes, missed, seconds, violations });
  }
  process.exitCode = violations === 0 && missed.length === 0 ? 0 : 1;
}
