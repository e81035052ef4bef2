/** Checks what is imported as weights: version, algorithm, sizes, and that all of it are numbers. */
import { AuraError } from "@aura/base";
import { PLACE_NAMES } from "./actor-critic-strategy.ts";
import type { AgentAlgorithm, AgentWeights } from "./agent.ts";
import { FEATURES } from "./bandit-strategy.ts";
import { ACTOR_PARAMETERS, CRITIC_PARAMETERS } from "./level-learner.ts";

/** Version of what agents export. Whatever changes the meaning of a number raises it. */
export const WEIGHTS_VERSION = 2;

/** Parameters of each algorithm, by name: how many numbers. */
const SIZES: Readonly<Record<AgentAlgorithm, Readonly<Record<string, number>>>> = {
  "closed-form": {},
  search: {},
  bandit: { precision: FEATURES * FEATURES, vector: FEATURES },
  "actor-critic": Object.fromEntries(
    PLACE_NAMES.flatMap((name) => [
      [`${name}Actor`, ACTOR_PARAMETERS],
      [`${name}Critic`, CRITIC_PARAMETERS],
    ]),
  ),
};

/** Returns the parameters of an algorithm. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function checkedParameters(
  weights: AgentWeights,
  algorithm: AgentAlgorithm,
): Readonly<Record<string, readonly number[]>> {
  if (typeof weights !== "object" || weights === null) throw refusal("weights", "an object");
  if (weights.format !== "aura-agent") throw refusal("weights.format", "aura-agent");
  if (weights.version !== WEIGHTS_VERSION) throw refusal("weights.version", `${WEIGHTS_VERSION}`);
  if (weights.algorithm !== algorithm) throw refusal("weights.algorithm", algorithm);
  const { parameters } = weights;
  if (typeof parameters !== "object" || parameters === null) {
    throw refusal("weights.parameters", "an object");
  }
  const sizes = SIZES[algorithm];
  for (const name of Object.keys(parameters)) {
    if (!Object.hasOwn(sizes, name)) throw refusal(`weights.parameters.${name}`, "not there");
  }
  for (const [name, size] of Object.entries(sizes)) {
    const values: unknown = parameters[name];
    const isSound =
      Array.isArray(values) && values.length === size && values.every(Number.isFinite);
    if (!isSound) throw refusal(`weights.parameters.${name}`, `${size} finite numbers`);
  }
  return parameters;
}

function refusal(field: string, expected: string): AuraError {
  return new AuraError("AURA_INVALID_ARGUMENT", `${field}: expected ${expected}`);
}
