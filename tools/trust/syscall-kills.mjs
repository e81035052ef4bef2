/**
 * SIGKILL on entry to the Nth call of each system call that changes files, for every N until the
 * process gets through: `node tools/trust/syscall-kills.mjs [--step 5] [--calls write,fsync]`.
 *
 * strace counts the calls of each thread apart: the thread that gets to N first ends the process.
 * After each kill the next process proves, uninjected, what level `os` promises. Needs strace and the
 * built packages (`npm run build`).
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { addSlice } from "./results.mjs";
import { Knowledge, runRound } from "./round.mjs";

const CALLS = [
  ...["write", "pwrite64", "writev", "pwritev", "fdatasync", "fsync", "rename", "unlink"],
  ...["ftruncate", "fallocate", "openat", "mkdir", "close"],
];
/** Long enough for flushes, merges and removed logs. */
const OPERATIONS = 400;
/** Calls of a thread beyond this are not waited for. */
const N_MAX = 5000;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    step: { type: "string", default: "1" },
    from: { type: "string", default: "1" },
    calls: { type: "string", default: CALLS.join(",") },
    results: { type: "string" },
  },
});
const [seed, step, from] = [Number(values.seed), Number(values.step), Number(values.from)];

function hasStrace() {
  try {
    execFileSync("strace", ["-f", "-o", "/dev/null", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Kills at call N; returns whether the process got that far, and what was wrong behind it. */
async function killAt(call, n) {
  const folder = mkdtempSync(join(tmpdir(), "aura-calls-"));
  const directory = join(folder, "db");
  const knowledge = new Knowledge();
  const one = { directory, seed: seed * 1_000_000 + n, survives: "os" };
  // All files count, also those that Node itself opens: a kill there costs nothing but time.
  const inject = [
    ...["strace", "-f", "-qq", "-o", "/dev/null", "-e", `trace=${call}`],
    ...["-e", `inject=${call}:signal=KILL:when=${n}`],
  ];
  const env = { UV_THREADPOOL_SIZE: "1" };
  const order = knowledge.order({ ...one, operations: OPERATIONS, verify: false });
  const first = await runRound(order, knowledge, { command: inject, env });
  let { failure } = first;
  if (failure === undefined) {
    const rest = knowledge.order({ ...one, operations: 50, verify: true });
    ({ failure } = await runRound(rest, knowledge));
  }
  if (failure === undefined) rmSync(folder, { recursive: true, force: true });
  return { isThrough: first.done, failure, order };
}

if (!hasStrace()) {
  console.log("SKIPPED: no strace here that may trace");
} else {
  const startedMs = performance.now();
  const sums = {};
  const violations = [];
  for (const call of values.calls.split(",")) {
    let kills = 0;
    for (let n = from; n <= N_MAX; n += step) {
      const { isThrough, failure, order } = await killAt(call, n);
      if (failure !== undefined) {
        violations.push({ call, n });
        console.log(JSON.stringify({ call, n, order }), "\n ", failure);
      }
      if (isThrough) break;
      kills++;
    }
    sums[call] = kills;
    console.log(`${call}: ${kills} kills`);
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const kills = Object.values(sums).reduce((sum, one) => sum + one, 0);
  console.log(`${kills} kills, ${seconds} s, ${violations.length} violations`);
  if (values.results !== undefined) {
    addSlice(values.results, { seed, step, from, calls: sums, kills, seconds, violations });
  }
  process.exitCode = violations.length === 0 ? 0 : 1;
}
