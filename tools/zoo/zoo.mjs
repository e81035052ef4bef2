/**
 * The bug zoo: `npm run zoo -- [--bugs 13,S4] [--results FILE] [--baseline]`. Plants each bug, runs
 * the tests that are to catch it until one fails, and tells which did. `--baseline` runs them without
 * a bug first: a test that fails by itself catches nothing.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addSlice } from "../trust/results.mjs";
import { BUGS } from "./bugs.mjs";

const { values } = parseArgs({
  options: {
    bugs: { type: "string" },
    results: { type: "string" },
    baseline: { type: "boolean", default: false },
  },
});
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "aura-zoo-"));
/** A test that a bug makes run for ever ends here, and has caught nothing: the machine may be slow. */
const TEST_MS_MAX = 400_000;

/** Runs vitest; resolves to its output, or to undefined when it had to be ended. */
function runTests(args, env) {
  // A group of its own: what the runner started ends with it.
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
    detached: true,
  });
  let noise = "";
  child.stderr.on("data", (bytes) => {
    noise = `${noise}${bytes}`.slice(-2000);
  });
  let isEnded = false;
  const end = () => {
    isEnded = true;
    process.kill(-child.pid, "SIGKILL");
  };
  const timer = setTimeout(end, TEST_MS_MAX);
  process.once("SIGTERM", end);
  return new Promise((resolve) => {
    child.on("close", () => {
      clearTimeout(timer);
      process.off("SIGTERM", end);
      resolve(isEnded ? undefined : noise);
    });
  });
}

/** Runs a test file with a bug; returns what failed, undefined when nothing did. */
async function failureOf(id, { file, env }) {
  const report = join(folder, "report.json");
  rmSync(report, { force: true });
  const config = ["--config", "tools/zoo/vitest.config.mjs"];
  const output = ["--reporter=json", `--outputFile=${report}`];
  const args = ["node_modules/vitest/vitest.mjs", "run", ...config, ...output, file];
  const noise = await runTests(args, { ...env, AURA_ZOO: id });
  if (noise === undefined) {
    console.log(`   ${file} did not end with bug ${id}`);
    return undefined;
  }
  if (!existsSync(report)) throw new Error(`${file} did not run: ${noise}`);
  const { testResults, numPassedTests } = JSON.parse(readFileSync(report, "utf8"));
  for (const { assertionResults, message } of testResults) {
    const failed = assertionResults.find(({ status }) => status === "failed");
    if (failed !== undefined) {
      return { test: failed.fullName, why: failed.failureMessages.join(" ").slice(0, 300) };
    }
    // The bug does not fit, or the file could not be loaded.
    if (numPassedTests === 0) throw new Error(`${file}: ${message}`);
  }
  return undefined;
}

const wanted = values.bugs?.split(",");
const caught = [];
const missed = [];
if (values.baseline) {
  const tests = new Map(
    BUGS.flatMap(({ tests }) => tests).map((test) => [JSON.stringify(test), test]),
  );
  for (const test of tests.values()) {
    const failure = await failureOf("none", test);
    if (failure === undefined) continue;
    throw new Error(`${test.file} fails without a bug: ${failure.test}: ${failure.why}`);
  }
}
for (const { id, title, tests } of BUGS) {
  if (wanted !== undefined && !wanted.includes(id)) continue;
  const startedMs = performance.now();
  let found;
  for (const test of tests) {
    const failure = await failureOf(id, test);
    if (failure === undefined) continue;
    found = { by: test.file, test: failure.test, why: failure.why };
    break;
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  if (found === undefined) {
    missed.push(id);
    console.log(`${id} MISSED (${seconds} s): ${title}`);
  } else {
    caught.push({ id, ...found, seconds });
    console.log(`${id} caught (${seconds} s): ${title}\n   ${found.by}: ${found.test}`);
  }
}
rmSync(folder, { recursive: true, force: true });
console.log(`${caught.length} caught, ${missed.length} missed`);
if (values.results !== undefined) addSlice(values.results, { caught, missed });
process.exitCode = missed.length === 0 ? 0 : 1;
