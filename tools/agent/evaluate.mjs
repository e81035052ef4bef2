/**
 * The table of the agents on the simulator: total time against the static hull (K x trigger of level 0),
 * against the per-phase oracle, in steady and in adversarial workloads.
 *
 *   node tools/agent/evaluate.mjs [--algorithms closed-form,bandit] [--seeds 5] [--from 1]
 *     [--trees inline] [--verbose]
 *
 * Seconds are counts times unit costs, transients and what is owed at the end included. The oracle
 * changes to the shape of the hull that is best in a phase as the phase begins.
 */
import { parseArgs } from "node:util";
import { hullOf, run, staysAs, tally } from "./runs.mjs";
import { adversarial, evaluation, simulationOf, steady, trees } from "./scenarios.mjs";
import { importAgent } from "./sources.mjs";

const { values: options } = parseArgs({
  options: {
    algorithms: { type: "string" },
    seeds: { type: "string", default: "5" },
    from: { type: "string", default: "1" },
    trees: { type: "string", default: "" },
    verbose: { type: "boolean", default: false },
  },
});
const agent = await importAgent();
const algorithms = options.algorithms?.split(",") ?? agent.AGENT_ALGORITHMS;
const seeds = Array.from({ length: Number(options.seeds) }, (_, i) => i + Number(options.from));

function agentOf(algorithm, settings, seed) {
  return agent.createAgent({
    algorithm,
    geometry: settings.geometry,
    baseline: settings.shape,
    memtableBytes: settings.memtableBytes,
    filterBits: settings.filters.bits,
    filterAllocation: settings.filters.allocation,
    seed,
  });
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Runs hull and oracle of a workload once, then every algorithm. */
function compare(tree, windows, seed) {
  const settings = simulationOf(agent, tree, seed);
  const hull = hullOf(agent, settings.geometry);
  const statics = Object.entries(hull).map(([name, shape]) => {
    return { name, shape, ...run(agent, settings, windows, staysAs, shape) };
  });
  const best = statics.reduce((a, b) => (b.total < a.total ? b : a));
  const worst = statics.reduce((a, b) => (b.total > a.total ? b : a));
  const byPhase = best.phases.map((_, phase) =>
    statics.reduce((a, b) => (b.phases[phase] < a.phases[phase] ? b : a)),
  );
  const oracle = run(
    agent,
    settings,
    windows,
    (_observation, shape, next) => {
      const wanted = next === undefined ? shape : byPhase[next.phase].shape;
      return wanted === shape ? undefined : wanted;
    },
    byPhase[0].shape,
  );
  const standard = statics.find(({ name }) => name === "k1 t4");
  const results = algorithms.map((algorithm) => {
    const one = agentOf(algorithm, settings, seed);
    const log = [];
    const result = run(agent, settings, windows, (observation, shape) => {
      const decision = one.decide(observation, shape);
      if (decision.shape !== undefined)
        log.push(`    ${observation.window} ${decision.reason} ${decision.detail}`);
      return decision.shape;
    });
    return { algorithm, log, ...result };
  });
  return { best, worst, oracle, standard, byPhase, results, windows: windows.length };
}

function ratio(value) {
  return value.toFixed(3).padStart(7);
}

for (const [treeName, tree] of Object.entries(trees)) {
  if (!treeName.includes(options.trees)) continue;
  const rows = new Map(algorithms.map((name) => [name, []]));
  for (const [scenario, windowsOf] of Object.entries(evaluation)) {
    console.log(
      `\n${treeName}, ${scenario}: best static / adaptive, oracle / adaptive, worst / adaptive`,
    );
    for (const seed of seeds) {
      const all = compare(tree, windowsOf(tree, seed), seed);
      console.log(
        `  seed ${seed}: ${all.windows} windows, best ${all.best.name} ${all.best.total.toFixed(2)} s, ` +
          `worst ${all.worst.name} ${ratio(all.worst.total / all.best.total)}, ` +
          `oracle ${ratio(all.best.total / all.oracle.total)} (${all.byPhase.map(({ name }) => name).join("; ")})`,
      );
      for (const { algorithm, total, decidingMs, changes, log, phases, stalls } of all.results) {
        rows.get(algorithm).push({
          toBest: all.best.total / total,
          toOracle: all.oracle.total / total,
          toWorst: all.worst.total / total,
        });
        console.log(
          `    ${algorithm.padEnd(14)} ${ratio(all.best.total / total)} ${ratio(all.oracle.total / total)} ` +
            `${ratio(all.worst.total / total)}  ${changes} changes, ` +
            `${((decidingMs * 1000) / all.windows).toFixed(0)} us/decision, ` +
            `${(decidingMs / 10 / total).toFixed(3)} % of the time`,
        );
        if (options.verbose) {
          console.log(log.join("\n"));
          console.log(
            "    adaptive",
            phases.map((s) => s.toFixed(2)).join(" "),
            "stalls",
            stalls.toFixed(2),
          );
          console.log(
            "    best    ",
            all.best.phases.map((s) => s.toFixed(2)).join(" "),
            "stalls",
            all.best.stalls.toFixed(2),
          );
          console.log(
            "    oracle  ",
            all.oracle.phases.map((s) => s.toFixed(2)).join(" "),
            "stalls",
            all.oracle.stalls.toFixed(2),
          );
        }
      }
    }
  }
  console.log(`\n${treeName}, all seeds and workloads that change:`);
  for (const [algorithm, list] of rows) {
    const least = (key) => Math.min(...list.map((row) => row[key]));
    const middle = (key) => median(list.map((row) => row[key]));
    console.log(
      `  ${algorithm.padEnd(14)} best static: least ${ratio(least("toBest"))} median ${ratio(middle("toBest"))}; ` +
        `oracle: least ${ratio(least("toOracle"))} median ${ratio(middle("toOracle"))}; ` +
        `worst static: median ${ratio(middle("toWorst"))}`,
    );
  }
  for (const [kind, list] of Object.entries({ steady, adversarial })) {
    for (const [scenario, windowsOf] of Object.entries(list)) {
      const found = new Map(algorithms.map((name) => [name, []]));
      for (const seed of seeds) {
        const all = compare(tree, windowsOf(tree, seed), seed);
        for (const { algorithm, total } of all.results) {
          const base = kind === "steady" ? all.best : all.standard;
          found.get(algorithm).push(base.total / total);
        }
      }
      const text = [...found].map(
        ([name, list]) => `${name} least ${ratio(Math.min(...list))} median ${ratio(median(list))}`,
      );
      const against = kind === "steady" ? "best static" : "k1 t4";
      console.log(`  ${kind}, ${scenario}, against ${against}: ${text.join("; ")}`);
    }
  }
}
const minutes = process.cpuUsage().user / 60e6;
console.log(
  `\n${tally.windows} windows, ${Math.round(tally.windows / minutes)} per minute of processor time`,
);
