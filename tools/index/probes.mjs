/**
 * Runs the probes of block indexes (packages/engine/test/index-probes.test.ts) in slices, each with a
 * seed of its own. Stops at the first slice that fails.
 *
 *   node tools/index/probes.mjs [--slices 20] [--probes 5000000] [--from 1] [--lock FILE]
 *
 * The defaults are 10^8 look-ups. --lock: each slice holds this file by flock, for at most 3 minutes.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    slices: { type: "string", default: "20" },
    probes: { type: "string", default: "5000000" },
    from: { type: "string", default: "1" },
    lock: { type: "string" },
  },
});
const root = fileURLToPath(new URL("../..", import.meta.url));
const run = ["npx", "vitest", "run", "packages/engine/test/index-probes.test.ts"];
const command =
  options.lock === undefined ? run : ["flock", options.lock, "timeout", "-k", "5", "180", ...run];
const first = Number(options.from);
let done = 0;
for (let seed = first; seed < first + Number(options.slices); seed++) {
  const env = { ...process.env, AURA_INDEX_PROBES: options.probes, AURA_INDEX_SEED: String(seed) };
  const { status } = spawnSync(command[0], command.slice(1), { cwd: root, env, stdio: "inherit" });
  if (status !== 0) {
    console.error(`slice ${seed} failed, after ${done} look-ups`);
    process.exit(1);
  }
  done += Number(options.probes);
  console.log(`seed ${seed}: ${done} look-ups, none wrong`);
}
