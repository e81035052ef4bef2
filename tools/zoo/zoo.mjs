/**
 * The bug zoo: `npm run zoo -- [--bugs 13,S4] [--results FILE] [--no-baseline]`. Plants each bug, runs
 * the tests that are to catch it until one fails, and tells which did and which tier has that test:
 * `fast` is what `npm test` runs, `ci` the same file with the environment of that tier, `release` the
 * environment that bugs.mjs names, of which a release runs more.
 *
 * A failure counts when the planted source compiles (type-check.mjs), when what failed is the test's
 * own verdict or an error of the engine, and not the runtime's word for a broken program, and when the
 * same test passes without the bug.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addSlice } from "../trust/results.mjs";
import { TIERS } from "../trust/tiers.mjs";
import { BUGS } from "./bugs.mjs";
import { TypeCheck } from "./type-check.mjs";

const { values } = parseArgs({
  options: {
    bugs: { type: "string" },
    results: { type: "string" },
    "no-baseline": { type: "boolean", default: false },
  },
});
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "aura-zoo-"));
/** A test that a bug makes run for ever ends here, and has caught nothing: the machine may be slow. */
const TEST_MS_MAX = 400_000;

/**
 * How a failure begins that says nothing of what a test watches for: a program that is broken, and a
 * test that did not end.
 */
const NO_VERDICT = /\b(ReferenceError|SyntaxError|TypeError)\b|timed out/;

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
    for (const { status, fullName, failureMessages } of assertionResults) {
      if (status !== "failed") continue;
      const why = failureMessages.join(" ").replaceAll(root, "").slice(0, 300);
      const [line = ""] = failureMessages.join("\n").split("\n");
      if (NO_VERDICT.test(line)) console.log(`   ${file}: ${fullName}: no verdict: ${line}`);
      else return { test: fullName, why };
    }
    // The bug does not fit, or the file could not be loaded.
    const isLoaded = assertionResults.some(({ status }) => status === "failed");
    if (numPassedTests === 0 && !isLoaded) throw new Error(`${file}: ${message}`);
  }
  return undefined;
}

/** The environment that a tier has for a test file; undefined when it does not run the file. */
function envOf(tier, file) {
  const part = Object.values(TIERS[tier](1)).find(({ tests }) => tests === file);
  if (part === undefined) return undefined;
  return Object.fromEntries(Object.entries(part.env).map(([name, value]) => [name, `${value}`]));
}

/** What is run for a bug, the cheapest tier first: each test once for each environment. */
function plannedRuns({ tests }) {
  const files = [...new Set(tests.map(({ file }) => file))];
  const runs = [
    ...files.map((file) => ({ tier: "fast", file, env: {} })),
    ...files.map((file) => ({ tier: "ci", file, env: envOf("ci", file) ?? {} })),
    ...tests.map(({ file, env }) => ({ tier: "release", file, env })),
  ];
  const seen = new Set();
  return runs.filter(({ file, env }) => {
    const key = JSON.stringify([file, env]);
    return !seen.has(key) && seen.add(key);
  });
}

const sound = new Map();

/** Fails where a test fails without a bug: it catches nothing. Each test is run so once. */
async function assertSound(run) {
  if (values["no-baseline"]) return;
  const key = JSON.stringify([run.file, run.env]);
  if (!sound.has(key)) sound.set(key, await failureOf("none", run));
  const failure = sound.get(key);
  if (failure === undefined) return;
  throw new Error(`${run.file} fails without a bug: ${failure.test}: ${failure.why}`);
}

const wanted = values.bugs?.split(",");
const bugs = BUGS.filter(({ id }) => wanted === undefined || wanted.includes(id));
const compiler = new TypeCheck();
const broken = bugs.flatMap((bug) =>
  compiler.errorsOf(bug).map((error) => `bug ${bug.id}: ${error}`),
);
if (broken.length > 0) throw new Error(`planted sources do not compile:\n${broken.join("\n")}`);

const caught = [];
const missed = [];
const environmentOf = ({ env }) =>
  Object.entries(env)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
for (const bug of bugs) {
  const startedMs = performance.now();
  let found;
  for (const run of plannedRuns(bug)) {
    const failure = await failureOf(bug.id, run);
    if (failure === undefined) continue;
    await assertSound(run);
    const { tier, file } = run;
    found = { tier, env: environmentOf(run), by: file, test: failure.test, why: failure.why };
    break;
  }
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  if (found === undefined) {
    missed.push(bug.id);
    console.log(`${bug.id} MISSED (${seconds} s): ${bug.title}`);
  } else {
    caught.push({ id: bug.id, title: bug.title, ...found, seconds });
    const { tier, env, by, test } = found;
    console.log(`${bug.id} caught, ${tier} ${env} (${seconds} s): ${bug.title}\n   ${by}: ${test}`);
  }
}
rmSync(folder, { recursive: true, force: true });
console.log("\n| | bug | tier | caught by |\n|---|---|---|---|");
for (const { id, title, tier, env, by } of caught) {
  const name = by.replace(/^packages\/(\w[^/]*)\/test\//, "$1/").replace(/\.test\.ts$/, "");
  console.log(`| ${id} | ${title} | ${env === "" ? tier : `${tier}, ${env}`} | \`${name}\` |`);
}
console.log(`${caught.length} caught, ${missed.length} missed`);
if (values.results !== undefined) addSlice(values.results, { caught, missed });
process.exitCode = missed.length === 0 ? 0 : 1;
