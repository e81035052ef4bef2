/**
 * Makes a clone ready, then runs one job: `node scripts/setup.mjs <job> [arguments]`.
 *
 * Needs only Node and npm, and no dependency of the project: it brings the pinned package manager
 * by `npx`, installs when the lockfile or a manifest differs from what was installed last, and
 * builds when the job runs built packages.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readExample } from "./example.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, "node_modules/.cache/aura/installed");

const jobs = {
  /** Installs only. */
  install: () => 0,
  test: (rest) => node(["node_modules/vitest/vitest.mjs", "run", ...rest]),
  "test:nodes": (rest) => node(["tools/nodes/test-nodes.mjs", ...rest]),
  build: () => build("new-only"),
  "check:pack": () => pnpm(["exec", "turbo", "run", "check:pack", "--output-logs=new-only"]),
  start: (rest) => build("errors-only") || tour() || bench(rest),
  bench: (rest) => build("errors-only") || bench(rest),
  kill: (rest) => build("errors-only") || node(["apps/bench/dist/kill.js", ...rest]),
};

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (result.error) throw new Error(`cannot run ${command}`, { cause: result.error });
  return result.status ?? 1;
}

function node(args, options) {
  return run(process.execPath, args, options);
}

/** Runs the package manager that package.json pins. Inside, `pnpm` is on the PATH as well. */
function pnpm(args) {
  const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1" };
  const windows = process.platform === "win32";
  return run(windows ? "npx.cmd" : "npx", ["--yes", packageManager, ...args], {
    env,
    shell: windows,
  });
}

function build(logs) {
  return pnpm(["exec", "turbo", "run", "build", `--output-logs=${logs}`]);
}

/** Runs the example of the README against the built engine. */
function tour() {
  const input = readExample(join(root, "README.md"));
  return node(["--input-type=module"], {
    cwd: join(root, "tools"),
    input,
    stdio: ["pipe", "inherit", "inherit"],
  });
}

/** Runs the benchmark. Ctrl-C is left to it: it prints what ran by then. */
function bench(rest) {
  process.on("SIGINT", () => {});
  return node(["apps/bench/dist/cli.js", ...rest]);
}

/** A digest of all that an install depends on. */
function wanted() {
  const files = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "tools/package.json"];
  for (const group of ["packages", "apps"]) {
    for (const name of readdirSync(join(root, group)).sort()) {
      files.push(`${group}/${name}/package.json`);
    }
  }
  const hash = createHash("sha256").update(process.version);
  for (const file of files.filter((name) => existsSync(join(root, name)))) {
    const installed = existsSync(join(root, dirname(file), "node_modules"));
    hash.update(`${file} ${installed}`).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

function install() {
  const digest = wanted();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return 0;
  const status = pnpm(["install", "--frozen-lockfile", "--ignore-scripts"]);
  if (status !== 0) return status;
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted());
  return 0;
}

const [name = "", ...rest] = process.argv.slice(2);
if (!Object.hasOwn(jobs, name)) {
  console.error(`unknown job "${name}"; one of: ${Object.keys(jobs).join(", ")}`);
  process.exitCode = 2;
} else {
  process.exitCode = install() || jobs[name](rest);
}
