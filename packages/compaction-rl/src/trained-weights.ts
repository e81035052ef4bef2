/**
 * What agents start from: parameters trained on the simulator (tools/agent/train.mjs), on workloads that
 * no evaluation uses. Written by that tool, numbers of a parameter as one text.
 */
import type { AgentAlgorithm, AgentWeights } from "./agent.ts";

const TEXTS: Readonly<Partial<Record<AgentAlgorithm, Readonly<Record<string, string>>>>> = {};

/** Returns the weights that an algorithm starts from; undefined: it starts from nothing. */
export function trainedWeights(algorithm: AgentAlgorithm): AgentWeights | undefined {
  const texts = TEXTS[algorithm];
  if (texts === undefined) return undefined;
  const parameters = Object.entries(texts).map(([name, text]) => [
    name,
    text.split(" ").map(Number),
  ]);
  return {
    format: "aura-agent",
    version: 2,
    algorithm,
    parameters: Object.fromEntries(parameters) as AgentWeights["parameters"],
  };
}
