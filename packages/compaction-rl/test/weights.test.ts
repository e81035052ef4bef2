import { expect, test } from "vitest";
import {
  AGENT_ALGORITHMS,
  type AgentSettings,
  type AgentWeights,
  createAgent,
} from "../src/index.ts";
import { Simulator } from "../src/testing/index.ts";
import { geometry, mixes, shapeOf, simulation } from "./simulations.ts";

const settings: AgentSettings = {
  geometry,
  baseline: shapeOf(1, 4),
  memtableBytes: 1048576,
  filterBits: 10,
  filterAllocation: "monkey",
  seed: 3,
};

test.each(AGENT_ALGORITHMS)("what %s learned goes out and in again, bit for bit", (algorithm) => {
  const agent = createAgent({ ...settings, algorithm });
  const simulator = new Simulator(simulation());
  for (let i = 0; i < 40; i++) {
    const mix = i % 20 < 10 ? mixes.writeHeavy : mixes.readHeavy;
    const { shape } = agent.decide(simulator.window(mix, 20_000), simulator.policy.shape);
    if (shape !== undefined) simulator.reshape(shape);
  }
  const weights = JSON.parse(JSON.stringify(agent.exportWeights())) as AgentWeights;
  const again = createAgent({ ...settings, algorithm, weights });
  expect(again.exportWeights()).toEqual(agent.exportWeights());
  if (algorithm === "bandit" || algorithm === "actor-critic") {
    expect(weights).not.toEqual(createAgent({ ...settings, algorithm }).exportWeights());
  }
});

test("a frozen agent learns nothing", () => {
  const agent = createAgent({ ...settings, algorithm: "actor-critic", frozen: true });
  const before = JSON.stringify(agent.exportWeights());
  const simulator = new Simulator(simulation());
  for (let i = 0; i < 30; i++) {
    const decision = agent.decide(simulator.window(mixes.balanced, 20_000), simulator.policy.shape);
    expect(decision.isExploration).toBe(false);
  }
  expect(JSON.stringify(agent.exportWeights())).toBe(before);
  agent.freeze(false);
  expect(agent.isFrozen).toBe(false);
  for (let i = 0; i < 30; i++) {
    agent.decide(simulator.window(mixes.balanced, 20_000), simulator.policy.shape);
  }
  expect(JSON.stringify(agent.exportWeights())).not.toBe(before);
});

test("weights of another version, algorithm or size are refused, and named", () => {
  const algorithm = "bandit";
  const weights = createAgent({ ...settings, algorithm }).exportWeights();
  const { parameters } = weights;
  const precision = parameters["precision"]!;
  const broken: [unknown, string][] = [
    [{ ...weights, version: 1 }, "weights.version"],
    [{ ...weights, format: "else" }, "weights.format"],
    [{ ...weights, algorithm: "actor-critic" }, "weights.algorithm"],
    [{ ...weights, parameters: undefined }, "weights.parameters"],
    [{ ...weights, parameters: { ...parameters, precision: precision.slice(1) } }, "precision"],
    [
      { ...weights, parameters: { ...parameters, vector: [...parameters["vector"]!, 0] } },
      "vector",
    ],
    [{ ...weights, parameters: { ...parameters, more: [1] } }, "more"],
    [{ ...weights, parameters: { ...parameters, vector: [Number.NaN] } }, "vector"],
    [null, "weights"],
  ];
  for (const [value, named] of broken) {
    const make = (): unknown =>
      createAgent({ ...settings, algorithm, weights: value as AgentWeights });
    expect(make).toThrow(named);
    expect(make).toThrow(expect.objectContaining({ code: "AURA_INVALID_ARGUMENT" }));
  }
  expect(() => createAgent({ ...settings, learningRate: 2 })).toThrow("learningRate");
  expect(() => createAgent({ ...settings, explorationRate: Number.NaN })).toThrow(
    "explorationRate",
  );
  expect(() => createAgent({ ...settings, algorithm: "guess" as "bandit" })).toThrow("algorithm");
});
