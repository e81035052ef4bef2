/**
 * Runs the tests of the packages on every supported line of Node, and once more on this one with
 * all optional native modules absent: `npm run test:nodes [-- <vitest arguments>]`.
 *
 * The runtimes come from npm (the platform packages of `node`), pinned below, without an install
 * script, into node_modules/.cache. A platform that npm has no runtime for skips them, and says so.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const VERSIONS = ["22.23.3", "24.21.0"];

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const cache = join(root, "node_modules/.cache/aura/nodes");
const given = process.argv.slice(2);
const tests = given.length > 0 ? given : ["packages"];

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

/** Runs the tests; returns whether all passed. */
function run(title, binary, settings = {}) {
  console.log(`=== ${title}`);
  const env = { ...process.env, ...settings };
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const { status } = spawnSync(binary, [vitest, "run", "--project", "unit", ...tests], {
    cwd: root,
    stdio: "inherit",
    env,
  });
  console.log(`=== ${title}: ${status === 0 ? "ok" : "FAILED"}`);
  return status === 0;
}

const failed = [];
const skipped = [];
for (const version of VERSIONS) {
  const binary = runtimeOf(version);
  const title = `Node ${version}`;
  if (binary === undefined) {
    console.log(`=== ${title}: SKIPPED, npm has no runtime of it for this platform`);
    skipped.push(title);
  } else if (!run(title, binary)) failed.push(title);
}
const bare = `Node ${process.versions.node}, optional natives absent`;
const NODE_OPTIONS = `--require=${join(root, "tools/nodes/no-natives.cjs")}`;
if (!run(bare, process.execPath, { NODE_OPTIONS, AURA_NATIVES: "absent" })) failed.push(bare);

const sum = [`${VERSIONS.length + 1 - skipped.length} run`, `${skipped.length} skipped`];
console.log([...sum, `${failed.length} failed`, ...failed].join(", "));
process.exitCode = failed.length === 0 ? 0 : 1;
