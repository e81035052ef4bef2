/**
 * Trains what learns (bandit, actor-critic) on the simulator and writes the weights that the package ships,
 * packages/compaction-rl/src/trained-weights.ts.
 *
 *   node tools/agent/train.mjs [--windows 24000] [--seed 1000] [--algorithms bandit] [--dry]
 *
 * Workloads are drawn by chance: shapes for the bandit, mixes, lengths of phases, sizes of entries and trees, unit costs. None of
 * the evaluation's mixes, orders or trees is among them.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { hullOf, run } from "./runs.mjs";
import { numbersFrom, simulationOf, training } from "./scenarios.mjs";
import { importAgent } from "./sources.mjs";

const { values: options } = parseArgs({
  options: {
    windows: { type: "string", default: "24000" },
    seed: { type: "string", default: "1000" },
    algorithms: { type: "string", default: "bandit" },
    dry: { type: "boolean", default: false },
  },
});
const agent = await importAgent();
/** Digits that are kept of a weight: more say nothing, and every one is shipped. */
const DIGITS = 4;
/** Windows that a shape is shown for, at least. */
const SHOWN_MIN = 40;
const LEARNING_RATE = { bandit: 0.02, "actor-critic": 0.1 };

function train(algorithm) {
  let weights;
  let windows = 0;
  const next = numbersFrom(Number(options.seed));
  for (let episode = 0; windows < Number(options.windows); episode++) {
    const tree = training.tree(next);
    const settings = simulationOf(agent, tree, Number(options.seed) + episode);
    const list = training.windows(next);
    const one = agent.createAgent({
      algorithm,
      geometry: settings.geometry,
      baseline: settings.shape,
      memtableBytes: settings.memtableBytes,
      filterBits: settings.filters.bits,
      filterAllocation: settings.filters.allocation,
      seed: episode,
      learningRate: LEARNING_RATE[algorithm],
      explorationRate: 0.2,
      ...(weights === undefined ? {} : { weights }),
    });
    // What only sees what it thinks best learns nothing of the rest: a bandit is shown shapes by chance.
    const isShown = algorithm === "bandit";
    const shapes = Object.values(hullOf(agent, settings.geometry));
    let until = 0;
    const { total } = run(agent, settings, list, (observation, shape) => {
      const decided = one.decide(observation, shape).shape;
      if (!isShown) return decided;
      if (observation.window < until) return undefined;
      until = observation.window + SHOWN_MIN + Math.floor(next() * SHOWN_MIN);
      return shapes[Math.floor(next() * shapes.length)];
    });
    weights = one.exportWeights();
    windows += list.length;
    if (episode % 10 === 0) {
      console.log(
        `${algorithm}: ${windows} windows, ${((total / list.length) * 1e3).toFixed(1)} ms each`,
      );
    }
  }
  return weights;
}

function rounded(weights) {
  const parameters = Object.entries(weights.parameters).map(([name, values]) => [
    name,
    values.map((value) => Number(value.toPrecision(DIGITS))),
  ]);
  return { ...weights, parameters: Object.fromEntries(parameters) };
}

const trained = Object.fromEntries(
  options.algorithms.split(",").map((algorithm) => [algorithm, rounded(train(algorithm))]),
);
const weightsVersion = Object.values(trained)[0].version;
const texts = Object.fromEntries(
  Object.entries(trained).map(([algorithm, { parameters }]) => [
    algorithm,
    Object.fromEntries(Object.entries(parameters).map(([name, list]) => [name, list.join(" ")])),
  ]),
);
const source = `/**
 * What agents start from: parameters trained on the simulator (tools/agent/train.mjs), on workloads that
 * no evaluation uses. Written by that tool, numbers of a parameter as one text.
 */
import type { AgentAlgorithm, AgentWeights } from "./agent.ts";

const TEXTS: Readonly<Partial<Record<AgentAlgorithm, Readonly<Record<string, string>>>>> =
  ${JSON.stringify(texts)};

/** Returns the weights that an algorithm starts from; undefined: it starts from nothing. */
export function trainedWeights(algorithm: AgentAlgorithm): AgentWeights | undefined {
  const texts = TEXTS[algorithm];
  if (texts === undefined) return undefined;
  const parameters = Object.entries(texts).map(([name, text]) => [name, text.split(" ").map(Number)]);
  return {
    format: "aura-agent",
    version: ${weightsVersion},
    algorithm,
    parameters: Object.fromEntries(parameters) as AgentWeights["parameters"],
  };
}
`;
if (!options.dry) {
  const path = new URL("../../packages/compaction-rl/src/trained-weights.ts", import.meta.url);
  writeFileSync(fileURLToPath(path), source);
  console.log(`${source.length} bytes: npx biome check --write packages/compaction-rl`);
}
