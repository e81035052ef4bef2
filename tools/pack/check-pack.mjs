/**
 * Checks the packages as their users get them: packs all of them, proves that they hold what the
 * sources here say and no planted bug (shipped.mjs), lints each tarball, installs it alone (with the
 * workspace packages that it needs) into an empty project, and runs the example of its README with
 * plain Node. Prints a line per check and `N passed, N failed` at the end.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { readExample } from "../../scripts/example.mjs";
import { checkBuild, checkPlanted, checkSources } from "./shipped.mjs";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const rootManifest = readJson(join(root, "package.json"));
const windows = process.platform === "win32";

const packages = readdirSync(join(root, "packages"))
  .sort()
  .map((folder) => ({
    folder: join(root, "packages", folder),
    manifest: readJson(join(root, "packages", folder, "package.json")),
  }));

let passed = 0;
let failed = 0;

function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Runs a command to its end; throws with what it printed unless it exits 0. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    timeout: 300_000,
    shell: windows && command !== process.execPath,
    ...options,
  });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`;
  if (result.error) throw new Error(`${command}: ${output}`, { cause: result.error });
  if (result.status !== 0) {
    throw new Error(`${command} ended with ${result.status ?? result.signal}\n${output}`);
  }
  return output;
}

async function check(name, body) {
  try {
    await body();
    passed++;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n${String(error.message).replace(/^/gm, "        ")}`);
  }
}

/** The workspace packages that `name` needs, itself left out. */
function needs(name, into = new Set()) {
  const { manifest } = packages.find((entry) => entry.manifest.name === name);
  for (const key of Object.keys(manifest.dependencies ?? {})) {
    if (packages.some((entry) => entry.manifest.name === key) && !into.has(key)) {
      into.add(key);
      needs(key, into);
    }
  }
  return into;
}

function tarball(folder, { name, version }) {
  return join(folder, `${name.replace("@", "").replace("/", "-")}-${version}.tgz`);
}

/** Fails on a tarball that lacks what a package must ship, or ships what it must not. */
function checkFiles(file, manifest) {
  const names = run("tar", ["-tzf", file]).trim().split("\n");
  for (const wanted of ["README.md", "LICENSE", "package.json"]) {
    if (!names.includes(`package/${wanted}`)) throw new Error(`${wanted} is missing`);
  }
  const stray = names.filter((name) => /\/(test|bench|node_modules)\//.test(name));
  if (stray.length > 0) throw new Error(`ships ${stray.join(", ")}`);
  const packed = JSON.parse(run("tar", ["-xzOf", file, "package/package.json"]));
  for (const [key, range] of Object.entries(packed.dependencies ?? {})) {
    if (/^(workspace|catalog|link|file):/.test(range)) {
      throw new Error(`${manifest.name} depends on ${key} as "${range}"`);
    }
  }
}

/** Installs one tarball into an empty project and runs the example of the package's README. */
function runExample(work, tarballs, { folder, manifest }) {
  const project = join(work, manifest.name.replace("/", "-"));
  mkdirSync(project);
  const overrides = {};
  for (const name of needs(manifest.name)) {
    const entry = packages.find((candidate) => candidate.manifest.name === name);
    overrides[name] = `file:${tarball(tarballs, entry.manifest)}`;
  }
  const consumer = {
    name: "consumer",
    version: "1.0.0",
    private: true,
    type: "module",
    dependencies: { [manifest.name]: `file:${tarball(tarballs, manifest)}` },
    overrides,
  };
  writeFileSync(join(project, "package.json"), JSON.stringify(consumer, null, 2));
  const flags = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
  run("npm", ["install", ...flags], { cwd: project });
  for (const name of [manifest.name, ...needs(manifest.name)]) {
    const installed = readJson(join(project, "node_modules", name, "package.json"));
    const entry = packages.find((candidate) => candidate.manifest.name === name);
    if (installed.version !== entry.manifest.version) throw new Error(`${name} is another one`);
  }
  writeFileSync(join(project, "example.mjs"), readExample(join(folder, "README.md")));
  run(process.execPath, ["example.mjs"], { cwd: project, timeout: 60_000 });
}

async function lintTarball(file) {
  const buffer = readFileSync(file);
  const bytes = buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
  const { messages, pkg } = await publint({ strict: true, pack: { tarball: bytes } });
  if (messages.length > 0) {
    throw new Error(messages.map((message) => formatMessage(message, pkg)).join("\n"));
  }
}

const work = mkdtempSync(join(tmpdir(), "aura-pack-"));
try {
  const tarballs = join(work, "tarballs");
  mkdirSync(tarballs);
  await check("pnpm pack", () => {
    const filter = ["--recursive", "--filter", "./packages/*"];
    const args = ["--yes", rootManifest.packageManager, ...filter, "pack"];
    run("npx", [...args, "--pack-destination", tarballs]);
  });
  const unpacked = join(work, "unpacked");
  const packedOf = ({ folder }) => join(unpacked, basename(folder));
  for (const entry of packages) {
    await check(`${entry.manifest.name}: sources`, () => {
      mkdirSync(packedOf(entry), { recursive: true });
      const file = tarball(tarballs, entry.manifest);
      run("tar", ["-xzf", file, "--strip-components=1", "-C", packedOf(entry)]);
      checkSources(packedOf(entry), entry.folder);
    });
    // A tarball without `dist` fails here: there is nothing to prove then, and nothing to ship.
    await check(`${entry.manifest.name}: dist is built from src`, () => {
      const folder = mkdtempSync(join(work, "build-"));
      checkBuild(packedOf(entry), entry.folder, folder);
    });
  }
  await check("no bug of the zoo is in what is packed", () => {
    if (checkPlanted(unpacked) < 20) throw new Error("hardly any planted text was searched for");
  });
  for (const entry of packages) {
    const { name } = entry.manifest;
    const file = tarball(tarballs, entry.manifest);
    await check(`${name}: files`, () => checkFiles(file, entry.manifest));
    await check(`${name}: publint`, () => lintTarball(file));
    await check(`${name}: types`, () => {
      const attw = join(root, "tools/node_modules/.bin/attw");
      run(attw, [file, "--profile", "esm-only", "--no-color"]);
    });
    await check(`${name}: example`, () => runExample(work, tarballs, entry));
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
