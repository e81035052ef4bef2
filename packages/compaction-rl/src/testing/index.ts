/** For tests, training and evaluation: a simulated tree, its workloads, agents that choose badly. */
export { randomAgent, worstAgent } from "./bad-agents.ts";
export { distinctKeys, type KeyClass, uniformKeys, zipfKeys } from "./key-popularity.ts";
export { SimulatedTree, type SimulatedTreeSettings } from "./simulated-tree.ts";
export { type SimulationSettings, Simulator, type ValueSizes, type WorkMix } from "./simulator.ts";
