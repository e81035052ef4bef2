/**
 * The reliability programme by tiers: `npm run trust -- ci`, or `npm run trust -- release
 * [--slice 1-10] [--parts kills,model] [--jobs 2] [--minutes 60] [--results FILE]`.
 *
 * A slice has its number as seed, so that hours of it can be spread over days and machines; what the
 * file of results has already, of these sources by this check, is passed over, and `--minutes` begins
 * no further part behind them. `npm run trust -- sum --results FILE` adds up what counts: a release is
 * every part of every slice, right, by the checks as they are now, and comes to what `BAR` says. What a
 * machine cannot do is said and counted as skipped, and is missing in the sum.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { inLanes } from "./lanes.mjs";
import { addCounts, addSlice, checkHash, sourcesHash } from "./results.mjs";
import { BAR, RELEASE_SLICES, TIERS } from "./tiers.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    slice: { type: "string" },
    parts: { type: "string" },
    jobs: { type: "string", default: "1" },
    minutes: { type: "string", default: "Infinity" },
    results: { type: "string" },
  },
});
const [tier = "ci"] = positionals;
if (tier !== "sum" && !Object.hasOwn(TIERS, tier)) {
  console.error(`unknown tier ${tier}; one of: ${Object.keys(TIERS).join(", ")}, sum`);
  process.exit(2);
}
const sources = sourcesHash();
const folder = mkdtempSync(join(tmpdir(), "aura-trust-"));

function results() {
  if (values.results === undefined || !existsSync(values.results)) return [];
  return JSON.parse(readFileSync(values.results, "utf8"));
}

/** Whether a result is of a part as it is now: its sources, and all that the check is made of. */
const isOf = (one, of, slice, part, work) =>
  one.sources === sources &&
  one.check === checkHash(work.tests ?? work.args[0]) &&
  one.tier === of &&
  one.slice === slice &&
  one.part === part;

/** What results keep of a text: files are named from here on. */
const withoutRoot = (text) => text.replaceAll(pathToFileURL(root).href, "").replaceAll(root, "");

/** Runs a program; resolves to its end and what it said. */
function run(args, env = {}) {
  const child = spawn(process.execPath, args.map(String), {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) {
    child[name].on("data", (bytes) => {
      said[name] = `${said[name]}${bytes}`.slice(-200_000);
    });
  }
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, ...said })));
}

/** Runs tests; resolves to how many passed, failed and were skipped, and what they counted. */
async function runTests({ tests: file, env }) {
  const own = mkdtempSync(join(folder, "tests-"));
  const report = join(own, "report.json");
  const counts = join(own, "counts");
  const output = ["--reporter=json", `--outputFile=${report}`];
  const given = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, `${value}`]));
  const { status, stderr } = await run(["node_modules/vitest/vitest.mjs", "run", ...output, file], {
    ...given,
    AURA_COUNTS: counts,
  });
  if (!existsSync(report)) return { isRight: false, why: withoutRoot(stderr).slice(-1500) };
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  const failures = testResults.flatMap(({ assertionResults }) =>
    assertionResults
      .filter((one) => one.status === "failed")
      .map((one) => `${one.fullName}: ${withoutRoot(one.failureMessages.join(" ")).slice(0, 600)}`),
  );
  const lines = existsSync(counts) ? readFileSync(counts, "utf8").trim().split("\n") : [];
  return {
    isRight: status === 0,
    passed: numPassedTests,
    failed: numFailedTests,
    skipped: numPendingTests,
    counts: addCounts(lines.map((line) => JSON.parse(line))),
    env,
    ...(failures.length > 0 && { failures }),
  };
}

const COUNTS = "COUNTS ";

async function runScript({ args }) {
  const { status, stdout, stderr } = await run(args);
  const lines = stdout.trim().split("\n");
  const counted = lines.filter((line) => line.startsWith(COUNTS));
  const said = lines.filter((line) => !line.startsWith(COUNTS));
  return {
    isRight: status === 0,
    skipped: said.filter((line) => line.startsWith("SKIPPED")).length,
    counts: addCounts(counted.map((line) => JSON.parse(line.slice(COUNTS.length)))),
    said: said.slice(-6).map(withoutRoot),
    ...(status !== 0 && { why: withoutRoot(`${stdout}${stderr}`).slice(-4000) }),
  };
}

/** Prints what the release slices of these sources come to; returns whether that is a release. */
function printSums() {
  const release = results().filter((one) => one.tier === "release");
  const counted = [];
  const lines = [];
  for (let slice = 1; slice <= RELEASE_SLICES; slice++) {
    for (const [part, work] of Object.entries(TIERS.release(slice))) {
      const all = release.filter((one) => isOf(one, "release", slice, part, work));
      const right = all.find((one) => one.isRight && one.skipped === 0);
      const name = `slice ${slice}, ${part}`;
      if (right !== undefined) counted.push(right);
      else if (all.length === 0) lines.push(`missing: ${name}`);
      else lines.push(`${all.at(-1).isRight ? "SKIPPED" : "FAILED"}: ${name}`);
      // What failed, was looked into and run again counts once; it is named all the same.
      if (right !== undefined && all.some((one) => !one.isRight)) {
        lines.push(`failed at first: ${name}`);
      }
    }
  }
  const commits = [...new Set(counted.map((one) => one.commit))].join(", ");
  const hours = counted.reduce((sum, one) => sum + one.seconds, 0) / 3600;
  console.log(
    `sources ${sources} (${commits}): ${counted.length} parts, ${hours.toFixed(1)} hours of one lane`,
  );
  const counts = addCounts(counted.map((one) => one.counts ?? {}));
  const isReached = Object.entries(BAR).every(([name, least]) => counts[name] >= least);
  for (const [name, count] of Object.entries(counts)) {
    const least = BAR[name];
    const mark = least === undefined ? "" : count >= least ? `, of ${least}` : `, BELOW ${least}`;
    console.log(`  ${name}: ${count}${mark}`);
  }
  for (const line of lines) console.log(`  ${line}`);
  const isWhole = lines.every((line) => line.startsWith("failed at first"));
  const isRelease = isReached && isWhole && !(counts.violations > 0);
  console.log(isRelease ? "  this is a release" : "  this is no release yet");
  return isRelease;
}

async function build() {
  const { status, stdout, stderr } = await run(["scripts/setup.mjs", "build"]);
  if (status !== 0) throw new Error(`the packages cannot be built:\n${stdout}${stderr}`);
}

async function runTier() {
  const whole = tier === "release" ? `1-${RELEASE_SLICES}` : "1";
  const [from, to = from] = (values.slice ?? whole).split("-").map(Number);
  const known = results();
  const untilMs = performance.now() + Number(values.minutes) * 60_000;
  const tasks = [];
  for (let slice = from; slice <= to; slice++) {
    const parts = TIERS[tier](slice);
    for (const part of values.parts?.split(",") ?? Object.keys(parts)) {
      if (known.some((one) => isOf(one, tier, slice, part, parts[part]) && one.isRight)) continue;
      tasks.push({ slice, part, work: parts[part] });
    }
  }
  // Scripts use the built packages: these sources, not those of some time ago.
  if (tasks.some(({ work }) => work.args !== undefined)) await build();
  const sums = { failed: 0, skipped: 0, left: 0 };
  await inLanes(tasks, Number(values.jobs), async ({ slice, part, work }) => {
    if (performance.now() > untilMs) {
      sums.left++;
      return;
    }
    const check = checkHash(work.tests ?? work.args[0]);
    const startedMs = performance.now();
    const result = await (work.args === undefined ? runTests(work) : runScript(work));
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    if (!result.isRight) sums.failed++;
    sums.skipped += result.skipped ?? 0;
    console.log(`${tier} ${slice} ${part}: ${result.isRight ? "ok" : "FAILED"}, ${seconds} s`);
    console.log(`  ${JSON.stringify(result.counts ?? {})}`);
    for (const line of [...(result.said ?? []), ...(result.failures ?? [])])
      console.log(`  ${line}`);
    if (result.why !== undefined) console.log(result.why);
    if (values.results !== undefined) {
      addSlice(values.results, { sources, check, tier, slice, part, seconds, ...result });
    }
  });
  console.log(`${sums.failed} failed, ${sums.skipped} skipped, ${sums.left} left for later`);
  return sums.failed === 0;
}

process.exitCode = (tier === "sum" ? printSums() : await runTier()) ? 0 : 1;
rmSync(folder, { recursive: true, force: true });
