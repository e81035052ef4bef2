/** Makes agents: a strategy with its parameters, in the frame that all of them share. */
import { AuraError, SeededRandom } from "@aura/base";
import { ActorCriticStrategy } from "./actor-critic-strategy.ts";
import type { AgentAlgorithm, AgentSettings, CompactionAgent } from "./agent.ts";
import { BanditStrategy } from "./bandit-strategy.ts";
import { closedFormStrategy } from "./closed-form-strategy.ts";
import { searchStrategy } from "./search-strategy.ts";
import { SteeredAgent } from "./steered-agent.ts";
import type { Strategy } from "./strategy.ts";
import { trainedWeights } from "./trained-weights.ts";
import { checkedParameters } from "./weights.ts";

/** Algorithms that there are. */
export const AGENT_ALGORITHMS: readonly AgentAlgorithm[] = [
  "closed-form",
  "bandit",
  "actor-critic",
  "search",
];

/** What is taken when none is named: the winner of the table in docs/rfcs/0014-agent.md. */
const DEFAULT_ALGORITHM: AgentAlgorithm = "closed-form";

const LEARNING_RATE = 0.05;

/**
 * Returns an agent. Throws AURA_INVALID_ARGUMENT, naming the field: an algorithm that there is not, a rate
 * out of [0, 1], weights of another version, another algorithm or another size.
 */
export function createAgent(settings: AgentSettings): CompactionAgent {
  for (const field of ["learningRate", "explorationRate"] as const) {
    const value = settings[field];
    if (value !== undefined && !(value >= 0 && value <= 1)) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${field}: expected 0 to 1, got ${value}`);
    }
  }
  return new SteeredAgent(settings, strategyOf(settings));
}

function strategyOf(settings: AgentSettings): Strategy {
  const { algorithm = DEFAULT_ALGORITHM, seed, learningRate = LEARNING_RATE } = settings;
  if (!AGENT_ALGORITHMS.includes(algorithm)) {
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      `algorithm: expected one of ${AGENT_ALGORITHMS.join(", ")}, got ${String(algorithm)}`,
    );
  }
  const { weights = trainedWeights(algorithm) } = settings;
  const parameters = weights === undefined ? undefined : checkedParameters(weights, algorithm);
  switch (algorithm) {
    case "closed-form":
      return closedFormStrategy();
    case "bandit":
      return new BanditStrategy(learningRate, parameters);
    case "actor-critic":
      return new ActorCriticStrategy(new SeededRandom(seed), learningRate, parameters);
    case "search":
      return searchStrategy();
  }
}
