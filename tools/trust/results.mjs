/**
 * Results of long runs, in slices: a file per tier, to which each run of it adds one. Slices belong
 * together when the sources of the packages were the same, whatever else was committed in between.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Adds up counts by name. */
export function addCounts(all) {
  const sum = {};
  for (const one of all) {
    for (const [name, count] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}

/** Returns a short hash of the sources of all packages, as the last commit has them. */
export function sourcesHash() {
  const tree = execFileSync("git", ["ls-tree", "-r", "HEAD", "packages"], { encoding: "utf8" });
  const sources = tree.split("\n").filter((line) => /\tpackages\/[^/]+\/src\//.test(line));
  return createHash("sha256").update(sources.join("\n")).digest("hex").slice(0, 12);
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
