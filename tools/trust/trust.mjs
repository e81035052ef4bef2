/**
 * The reliability programme by tiers: `npm run trust -- ci`, or `npm run trust -- release --slice 7
 * [--parts kills,model] [--results docs/reliability/release.json]`.
 *
 * A slice is a few minutes of each part with the slice's number as its seed, so that hours of it can be
 * spread over days and machines; `--slice 1-20` goes through several, and passes over what the file of
 * results has of this commit already. What a machine cannot do is said and counted as skipped.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { addSlice } from "./results.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const engine = (name) => `packages/engine/test/${name}.test.ts`;

/** A part: a script, or tests with an environment. `n` is the number of the slice. */
const script = (name, ...args) => ({ args: [`tools/trust/${name}.mjs`, ...args] });
const tests = (file, env = {}) => ({ tests: file, env });

const DISKS = "ext4,ext4-writeback,xfs,btrfs";

const TIERS = {
  fast: () => ({
    metamorphic: tests(engine("metamorphic")),
    corruption: tests(engine("corruption")),
    repair: tests(engine("repair")),
    simulation: tests(engine("simulation")),
    sweep: tests(engine("crash-sweep")),
    faults: tests(engine("faults")),
    model: tests(engine("model.property")),
    fuzz: tests("tools/fuzz/fuzz.test.ts"),
    zoo: tests("tools/zoo/zoo.test.ts"),
  }),
  ci: (n) => ({
    metamorphic: tests(engine("metamorphic"), { AURA_META_SEED: n, AURA_META_STEPS: 300 }),
    simulation: tests(engine("simulation"), { AURA_DEPTH_IMAGES: 600, AURA_DEPTH_SEED: n }),
    model: tests(engine("model.property"), { AURA_MODEL_FROM: n * 1000, AURA_MODEL_RUNS: 100 }),
    fuzz: tests("tools/fuzz/fuzz.test.ts", { AURA_FUZZ_RUNS: 3000, AURA_FUZZ_SEED: n }),
    kills: script("kills", "--count", 60, "--seed", n),
    cuts: script("power-cuts", "--count", 20, "--seed", n),
    kernel: script("kernel-check", "--count", 60, "--seed", n),
  }),
  release: (n) => ({
    metamorphic: tests(engine("metamorphic"), { AURA_META_SEED: n, AURA_META_STEPS: 1000 }),
    corruption: tests(engine("corruption"), {
      AURA_CORRUPTION: "every-bit",
      AURA_CORRUPTION_PART: `${((n - 1) % 100) + 1}/100`,
    }),
    repair: tests(engine("repair"), { AURA_REPAIR_STRIDE: 41 + n }),
    simulation: tests(engine("simulation"), {
      AURA_SIM_SEEDS: 20,
      AURA_DEPTH_IMAGES: 6000,
      AURA_DEPTH_SEED: n,
    }),
    faults: tests(engine("faults"), { AURA_FAULT_STRIDE: 1 + (n % 7) }),
    model: tests(engine("model.property"), { AURA_MODEL_FROM: n * 1000, AURA_MODEL_RUNS: 900 }),
    fuzz: tests("tools/fuzz/fuzz.test.ts", { AURA_FUZZ_RUNS: 30_000, AURA_FUZZ_SEED: n }),
    kills: script("kills", "--count", 400, "--seed", n),
    calls: script("syscall-kills", "--step", 25, "--from", ((n - 1) % 25) + 1, "--seed", n),
    cuts: script("power-cuts", "--count", 12, "--seed", n, "--file-systems", DISKS),
    kernel: script("kernel-check", "--count", 100, "--seed", n, "--file-systems", DISKS),
    soak: script("soak", "--minutes", 3, "--seed", n),
  }),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    slice: { type: "string", default: "1" },
    parts: { type: "string" },
    results: { type: "string" },
  },
});
const [tier = "ci"] = positionals;
if (!Object.hasOwn(TIERS, tier)) {
  console.error(`unknown tier ${tier}; one of: ${Object.keys(TIERS).join(", ")}`);
  process.exit(2);
}
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
const [from, to = from] = values.slice.split("-").map(Number);
const folder = mkdtempSync(join(tmpdir(), "aura-trust-"));

function isDone(slice, part) {
  if (values.results === undefined || !existsSync(values.results)) return false;
  return JSON.parse(readFileSync(values.results, "utf8")).some(
    (one) => one.commit === commit && one.tier === tier && one.slice === slice && one.part === part,
  );
}

/** Runs tests; returns how many passed, failed and were skipped, and what they printed of counts. */
function runTests({ tests: file, env }) {
  const report = join(folder, "report.json");
  rmSync(report, { force: true });
  const output = ["--reporter=json", `--outputFile=${report}`];
  const { status, stderr } = spawnSync(
    process.execPath,
    ["node_modules/vitest/vitest.mjs", "run", ...output, file],
    {
      cwd: root,
      encoding: "utf8",
      env: {
        ...process.env,
        ...Object.fromEntries(Object.entries(env).map(([k, v]) => [k, `${v}`])),
      },
    },
  );
  if (!existsSync(report)) return { isRight: false, why: stderr.slice(-1500) };
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  const failures = testResults.flatMap(({ assertionResults }) =>
    assertionResults
      .filter((one) => one.status === "failed")
      .map((one) => `${one.fullName}: ${one.failureMessages.join(" ").slice(0, 600)}`),
  );
  const counts = { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests };
  return { isRight: status === 0, ...counts, env, ...(failures.length > 0 && { failures }) };
}

function runScript({ args }) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args.map(String), {
    cwd: root,
    encoding: "utf8",
  });
  const lines = stdout.trim().split("\n");
  const skipped = lines.filter((line) => line.startsWith("SKIPPED")).length;
  const why = status === 0 ? {} : { why: `${stdout}${stderr}`.slice(-1500) };
  return { isRight: status === 0, skipped, said: lines.slice(-5), ...why };
}

let failed = 0;
let skipped = 0;
for (let slice = from; slice <= to; slice++) {
  const parts = TIERS[tier](slice);
  const wanted = values.parts?.split(",") ?? Object.keys(parts);
  for (const part of wanted) {
    if (isDone(slice, part)) continue;
    const startedMs = performance.now();
    const one = parts[part];
    const result = one.args === undefined ? runTests(one) : runScript(one);
    const seconds = Math.round((performance.now() - startedMs) / 1000);
    if (!result.isRight) failed++;
    skipped += result.skipped ?? 0;
    console.log(`${tier} ${slice} ${part}: ${result.isRight ? "ok" : "FAILED"}, ${seconds} s`);
    for (const line of result.said ?? []) console.log(`  ${line}`);
    for (const line of result.failures ?? []) console.log(`  ${line}`);
    if (result.why !== undefined) console.log(result.why);
    if (values.results !== undefined) {
      addSlice(values.results, { tier, slice, part, seconds, ...result });
    }
  }
}
rmSync(folder, { recursive: true, force: true });
console.log(`${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
