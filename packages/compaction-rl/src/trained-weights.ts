/**
 * What agents start from: parameters trained on the simulator (tools/agent/train.mjs), on workloads that
 * no evaluation uses. Written by that tool.
 */
import type { AgentAlgorithm, AgentWeights } from "./agent.ts";

/** Trained weights by algorithm; undefined: it starts from nothing. */
export const TRAINED_WEIGHTS: Readonly<Partial<Record<AgentAlgorithm, AgentWeights>>> = {};
