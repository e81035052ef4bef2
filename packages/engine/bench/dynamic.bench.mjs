/**
 * What is asked of a store changes while it runs: static shapes of the tree, the default, `adaptive`, and the
 * best shape of each phase (`oracle`), beside RocksDB (its binding, and its own db_bench).
 *
 *   node packages/engine/bench/dynamic.bench.mjs [--tree inline|separated|full] [--workload phases,...]
 *     [--configs 1/4,3/8,adaptive,oracle,rocksdb,db-bench-level,db-bench-universal] [--seeds 1]
 *     [--turnovers 10] [--json FILE] [--page FILE] [--from FILE,...] [--into DIR] [--budget SECONDS] [--dir DIR]
 *
 * A configuration `K/T` has K runs per level and merges level 0 at T of them; `9,1/4` names levels one by
 * one. `oracle` takes for each phase the static configuration of this run (or of `--from`, results of runs
 * before) with the least seconds. Each run has a process of its own.
 *
 * With `--into` each run is a file there, and one that is there is not run again: a long list can be taken in
 * pieces, each of which begins no run after `--budget` seconds, by anybody, in any order but that `oracle` comes
 * behind the static ones of its seed. The tables are of all that the folder holds; with `--configs ""` nothing is run.
 *
 * Two totals. Wall: the time of all calls, and of draining behind the last. Cost: counts of what was
 * done times what a unit of it takes (medians over all runs), which does not move with the machine:
 * runs probed, blocks searched, runs that scans were set in, entries, bytes flushed and merged, delays.
 * Wall time that is less than the cost was overlapped by the second thread.
 */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "tsup";
import { runDbBench } from "./dynamic-db-bench.mjs";
import { writePage } from "./dynamic-page.mjs";
import { costOf, medianCosts, summarize } from "./dynamic-summary.mjs";

const { values: options } = parseArgs({
  options: {
    tree: { type: "string", default: "inline" },
    workload: { type: "string", default: "phases" },
    configs: { type: "string", default: "1/4,1/8,3/8,9/8,adaptive,oracle,rocksdb" },
    seeds: { type: "string", default: "1" },
    turnovers: { type: "string", default: "10" },
    json: { type: "string" },
    page: { type: "string" },
    from: { type: "string" },
    into: { type: "string" },
    budget: { type: "string", default: "1e9" },
    dir: { type: "string", default: tmpdir() },
  },
});
const turnovers = Number(options.turnovers);
const seeds = options.seeds.split(",").map(Number);

const engine = fileURLToPath(new URL("..", import.meta.url));
// Inside `@aura/base`, where the packages that are left outside of the bundle resolve.
const bundle = join(engine, `../base/node_modules/.cache/aura/dynamic-bench-${process.pid}`);
await build({
  entry: { index: `${engine}/src/index.ts`, worker: `${engine}/src/worker.ts` },
  config: false,
  outDir: bundle,
  format: "esm",
  target: "node20",
  platform: "node",
  splitting: true,
  sourcemap: true,
  silent: true,
  clean: true,
  tsconfig: fileURLToPath(new URL("../../../tsconfig.base.json", import.meta.url)),
  noExternal: [/^@aura\//],
  external: ["xxhash-wasm", "lz4-napi", "fs-native-extensions"],
  esbuildOptions: (settings) => {
    settings.conditions = ["@aura/source"];
  },
});

/** Runs one configuration; returns its result. */
async function runOne(tree, workload, config, seed, oracle) {
  const folder = mkdtempSync(join(options.dir, "aura-dynamic-"));
  try {
    if (config.startsWith("db-bench")) {
      return runDbBench(join(folder, "db"), tree, workload, config, seed, turnovers);
    }
    const orderFile = join(folder, "order.json");
    const result = join(folder, "result.json");
    const directory = join(folder, "db");
    const order = { directory, bundle, seed, config, tree, workload, turnovers, oracle, result };
    writeFileSync(orderFile, JSON.stringify(order));
    const script = fileURLToPath(new URL("dynamic-run.mjs", import.meta.url));
    const code = await new Promise((resolve) => {
      const child = spawn(process.execPath, [script, orderFile], { stdio: "inherit" });
      child.on("exit", resolve);
    });
    if (code !== 0 || !existsSync(result)) throw new Error(`${config} ended with ${code}`);
    return JSON.parse(readFileSync(result, "utf8"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The best static configuration of each phase, by the cost of one seed. */
function oracleOf(results, tree, workload, seed) {
  const costs = medianCosts(results.filter((one) => one.tree === tree));
  const statics = results.filter(
    (one) =>
      one.tree === tree &&
      one.workload === workload &&
      one.seed === seed &&
      /\d\/\d/.test(one.config),
  );
  const best = {};
  for (const name of statics[0]?.phases.map((phase) => phase.name) ?? []) {
    const secondsOf = (one) => costOf(one, costs).phases.find((phase) => phase.name === name).total;
    best[name] = statics.reduce((a, b) => (secondsOf(b) < secondsOf(a) ? b : a)).config;
  }
  return best;
}

const results = (options.from?.split(",") ?? []).flatMap((file) => {
  return JSON.parse(readFileSync(file, "utf8")).results;
});
const { into } = options;
if (into !== undefined) {
  mkdirSync(into, { recursive: true });
  const files = readdirSync(into).filter((name) => name.endsWith(".json"));
  for (const name of files.sort()) results.push(JSON.parse(readFileSync(join(into, name), "utf8")));
}
const startMs = performance.now();
for (const workload of options.workload.split(",")) {
  for (const seed of seeds) {
    for (const config of options.configs.split(",").filter((one) => one !== "")) {
      const name = `${options.tree}-${workload}-${turnovers}-${config.replaceAll("/", "_")}-${seed}`;
      const file = into === undefined ? undefined : join(into, `${name}.json`);
      if (file !== undefined && existsSync(file)) continue;
      if (performance.now() - startMs > Number(options.budget) * 1000) continue;
      const oracle =
        config === "oracle" ? oracleOf(results, options.tree, workload, seed) : undefined;
      if (oracle !== undefined) console.log(`# oracle: ${JSON.stringify(oracle)}`);
      const result = await runOne(options.tree, workload, config, seed, oracle);
      results.push(result);
      if (file !== undefined) {
        writeFileSync(`${file}.new`, JSON.stringify(result));
        renameSync(`${file}.new`, file);
      }
      const ms = result.phases.reduce((sum, phase) => sum + phase.ms, result.drainMs);
      const phases = result.phases.map(({ name, ms }) => `${name} ${(ms / 1000).toFixed(2)}`);
      console.log(
        `# ${workload} ${seed} ${config}: ${(ms / 1000).toFixed(2)} s (${phases.join(", ")})`,
      );
      if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ results }));
    }
  }
}
rmSync(bundle, { recursive: true, force: true });
console.log(summarize(results));
if (options.page !== undefined) writePage(options.page, results);
