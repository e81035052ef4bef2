/**
 * Results of long runs, in slices: a file per tier, to which each run of it adds one. Slices belong
 * together when the sources of the packages were the same, whatever else was committed in between.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Adds up counts by name. */
export function addCounts(all) {
  const sum = {};
  for (const one of all) {
    for (const [name, count] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}

const digest = (texts) => {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text).update("\0");
  return hash.digest("hex").slice(0, 12);
};

/** Files of the packages' sources, as they lie there now: those of simulations, or all others. */
export function sources(ofSimulations) {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard", "packages/*/src/*"];
  const paths = execFileSync("git", list, { encoding: "utf8", cwd: root }).trim().split("\n");
  return paths.filter(
    (path) => existsSync(join(root, path)) && path.includes("/src/testing/") === ofSimulations,
  );
}

const hashOfFiles = (paths) =>
  digest(paths.flatMap((path) => [path, readFileSync(join(root, path))]));

/**
 * Returns a short hash of what is tried: the sources of all packages. What simulates disks and clocks is
 * a part of the checks that use it.
 */
export function sourcesHash() {
  return hashOfFiles(sources(false));
}

/** What a check says that uses simulations. */
const SIMULATED = /"@aura\/[\w-]+\/testing"/;

/** Files that the text of a module names, relative to it: what it imports, and what it starts. */
const NAMED = /(?:from|import|import\(|new URL\()\s*"((?:\.{1,2}\/)?[\w./-]+\.(?:mjs|ts))"/g;
const hashes = new Map();

/**
 * Returns a short hash of a check: of its file and all that this leads to, but for the sources. What
 * a changed check found before stands for nothing. `simulation` is the hash of what simulates.
 */
export function checkHash(file, simulation = hashOfFiles(sources(true))) {
  if (hashes.has(file)) return hashes.get(file);
  const seen = new Map();
  const visit = (path) => {
    if (seen.has(path) || !existsSync(path) || /\/(src|dist|node_modules)\//.test(path)) return;
    const text = readFileSync(path, "utf8");
    seen.set(path, text);
    for (const [, name] of text.matchAll(NAMED)) visit(resolve(dirname(path), name));
  };
  visit(resolve(root, file));
  const texts = [...seen].sort().map(([, text]) => text);
  if (texts.some((text) => SIMULATED.test(text))) texts.push(simulation);
  hashes.set(file, digest(texts));
  return hashes.get(file);
}

/** Adds a slice to the file. */
export function addSlice(file, slice) {
  const all = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  all.push({
    at: new Date().toISOString(),
    commit,
    sources: sourcesHash(),
    node: process.version,
    ...slice,
  });
  writeFileSync(file, `${JSON.stringify(all, undefined, 1)}\n`);
}
