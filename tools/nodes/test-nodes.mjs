/**
 * Runs the tests of the packages and the fuzzer on every other supported line of Node than this one
 * (`npm test` runs on this), and once more on each, this one too, with all optional native modules
 * absent: `npm run test:nodes [-- <vitest arguments>]`. On the others that second run takes what meets
 * native modules (NATIVE_TESTS), unless tests are given.
 *
 * The runtimes come from npm (the platform packages of `node`), pinned below, without an install
 * script, into node_modules/.cache. A platform that npm has no runtime for skips them, and says so.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSIONS = ["20.20.2", "22.23.3", "24.21.0"];

/** What goes other ways without native modules: codecs, locks, compressed tables and values, decoders. */
const NATIVE_TESTS = [
  "packages/base/test",
  "packages/sst/test",
  "packages/vlog/test",
  "packages/engine/test/background-regressions.test.ts",
  "packages/engine/test/change-feed-model.property.test.ts",
  "packages/engine/test/corruption.test.ts",
  "packages/engine/test/formats.test.ts",
  "packages/engine/test/golden-directories.test.ts",
  "packages/engine/test/merge-job.test.ts",
  "packages/engine/test/metamorphic.test.ts",
  "packages/engine/test/model.property.test.ts",
  "packages/engine/test/read-storm.property.test.ts",
  "packages/engine/test/repair.test.ts",
  "packages/engine/test/value-compression.test.ts",
  "tools/fuzz/fuzz.test.ts",
];

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const cache = join(root, "node_modules/.cache/aura/nodes");
const given = process.argv.slice(2);
const tests = given.length > 0 ? given : ["packages", "tools/fuzz"];
const nativeTests = given.length > 0 ? given : NATIVE_TESTS;
const major = (version) => version.split(".")[0];
const others = VERSIONS.filter((version) => major(version) !== major(process.versions.node));

/** Returns the path of this version's binary, or undefined where npm has none for this platform. */
function runtimeOf(version) {
  const platform = process.platform === "win32" ? "win" : process.platform;
  const name = `node-${platform}-${process.arch}`;
  const folder = join(cache, version);
  const binary = join(
    folder,
    "node_modules",
    name,
    "bin",
    process.platform === "win32" ? "node.exe" : "node",
  );
  if (existsSync(binary)) return binary;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const { status } = spawnSync(
    npm,
    ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--force", `${name}@${version}`],
    { cwd: folder, stdio: ["ignore", "ignore", "inherit"], shell: npm.endsWith(".cmd") },
  );
  return status === 0 && existsSync(binary) ? binary : undefined;
}

/** Runs tests, and notes whether all passed. */
function run(title, binary, files, settings = {}) {
  console.log(`=== ${title}`);
  const env = { ...process.env, ...settings };
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  // Of the project `tidy` only the fuzzer is asked for: the rest looks at texts.
  const projects = ["--project", "unit", "--project", "tidy"];
  const { status } = spawnSync(binary, [vitest, "run", ...projects, ...files], {
    cwd: root,
    stdio: "inherit",
    env,
  });
  console.log(`=== ${title}: ${status === 0 ? "ok" : "FAILED"}`);
  (status === 0 ? passed : failed).push(title);
}

const NODE_OPTIONS = `--require=${join(root, "tools/nodes/no-natives.cjs")}`;

/** Runs tests with all optional native modules absent. */
function runBare(title, binary, files) {
  run(`${title}, optional natives absent`, binary, files, { NODE_OPTIONS, AURA_NATIVES: "absent" });
}

const passed = [];
const failed = [];
const skipped = [];
for (const version of others) {
  const binary = runtimeOf(version);
  const title = `Node ${version}`;
  if (binary === undefined) {
    console.log(`=== ${title}: SKIPPED, npm has no runtime of it for this platform`);
    skipped.push(title);
    continue;
  }
  run(title, binary, tests);
  runBare(title, binary, nativeTests);
}
runBare(`Node ${process.versions.node}`, process.execPath, tests);

const sum = [`${passed.length + failed.length} run`, `${skipped.length} skipped`];
console.log([...sum, `${failed.length} failed`, ...failed].join(", "));
process.exitCode = failed.length === 0 ? 0 : 1;
