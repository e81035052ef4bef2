/** Results of long runs, in slices: a file per tier, to which each run of it adds one. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Adds up counts by name. */
export function addCounts(all) {
  const sum = {};
  for (const one of all) {
    for (const [name, count] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + count;
  }
  return sum;
}

/** Adds a slice to the file. */
export function addSlice(file, slice) {
  const all = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  all.push({ at: new Date().toISOString(), commit, node: process.version, ...slice });
  writeFileSync(file, `${JSON.stringify(all, undefined, 1)}\n`);
}
