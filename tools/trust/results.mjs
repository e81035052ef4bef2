/** Results of long runs, in slices: a file per tier, to which each run of it adds one. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Adds a slice to the file, and prints the sum of its slices with this version of the engine. */
export function addSlice(file, slice) {
  const all = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  all.push({ at: new Date().toISOString(), commit, node: process.version, ...slice });
  writeFileSync(file, `${JSON.stringify(all, undefined, 1)}\n`);
}
