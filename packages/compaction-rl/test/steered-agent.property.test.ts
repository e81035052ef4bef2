import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AGENT_ALGORITHMS,
  type AgentAlgorithm,
  type AgentDecision,
  type AgentSettings,
  type CompactionAgent,
  createAgent,
  reshaped,
  type WindowObservation,
} from "../src/index.ts";
import { Simulator } from "../src/testing/index.ts";
import { geometry, mixes, shapeOf, simulation } from "./simulations.ts";

function settings(algorithm: AgentAlgorithm, change: Partial<AgentSettings> = {}): AgentSettings {
  return {
    algorithm,
    geometry,
    baseline: shapeOf(1, 4),
    memtableBytes: 1048576,
    filterBits: 10,
    filterAllocation: "monkey",
    seed: 1,
    ...change,
  };
}

/** Runs phases, and returns what was observed and decided. */
function run(
  agent: CompactionAgent,
  windows: number,
): { observations: WindowObservation[]; decisions: AgentDecision[] } {
  const simulator = new Simulator(simulation());
  const observations: WindowObservation[] = [];
  const decisions: AgentDecision[] = [];
  for (let i = 0; i < windows; i++) {
    const phase = Math.floor(i / 20) % 4;
    const observation = simulator.window(Object.values(mixes)[phase]!, 20_000);
    const decision = agent.decide(observation, simulator.policy.shape);
    observations.push(observation);
    decisions.push(decision);
    if (decision.shape !== undefined) simulator.reshape(decision.shape);
  }
  return { observations, decisions };
}

describe.each(AGENT_ALGORITHMS)("%s", (algorithm) => {
  test("decides the same on the same observations, through JSON and back", () => {
    const first = run(createAgent(settings(algorithm)), 100);
    const again = createAgent(settings(algorithm));
    let shape = shapeOf(1, 4);
    for (const [i, observation] of first.observations.entries()) {
      const copy = JSON.parse(JSON.stringify(observation)) as WindowObservation;
      const decision = again.decide(copy, shape);
      expect(JSON.stringify(decision)).toBe(JSON.stringify(first.decisions[i]));
      shape = decision.shape ?? shape;
    }
    expect(first.decisions.some((decision) => decision.shape !== undefined)).toBe(true);
  });

  test("answers nonsense with the static shape, and throws nothing", () => {
    const valid = run(createAgent(settings(algorithm)), 3).observations.at(-1)!;
    const broken = fc.record({
      path: fc.constantFrom(...pathsOf(valid)),
      value: fc.constantFrom<unknown>(
        Number.NaN,
        -1,
        Infinity,
        -Infinity,
        null,
        undefined,
        "7",
        {},
        [],
      ),
    });
    fc.assert(
      fc.property(fc.array(broken, { minLength: 1, maxLength: 4 }), (changes) => {
        const agent = createAgent(settings(algorithm));
        const observation = structuredClone(valid);
        for (const { path, value } of changes) put(observation, path, value);
        const shape = shapeOf(9, 12);
        const decision = agent.decide(observation, shape);
        if (decision.shape !== undefined) reshaped(decision.shape, {});
        expect(Number.isInteger(decision.stateDigest)).toBe(true);
        const isCost = changes.every(
          ({ path }) => path[0] === "costs" || path[0] === "isUnsettled",
        );
        if (isCost) return;
        expect(decision.reason).toBe("fallback");
        expect(decision.shape).toEqual(shapeOf(1, 4));
        const after = agent.decide({ ...valid, window: valid.window + 1 }, shapeOf(1, 4));
        expect(after.reason).not.toBe("fallback");
      }),
      { numRuns: 150, seed: 3 },
    );
  });

  test("takes no shape beyond its limits", () => {
    const agent = createAgent(
      settings(algorithm, { limits: { runsMax: 12 }, explorationRate: 0.5 }),
    );
    for (const { shape } of run(agent, 200).decisions) {
      if (shape === undefined) continue;
      const runs = shape.levels.slice(-3).reduce((sum, level) => sum + level.runs, 0);
      expect(shape.l0Trigger + runs).toBeLessThanOrEqual(12);
    }
  });
});

function pathsOf(value: object): string[][] {
  return Object.entries(value).flatMap(([name, inner]) =>
    typeof inner === "object" && inner !== null
      ? [[name], ...pathsOf(inner as object).map((path) => [name, ...path])]
      : [[name]],
  );
}

function put(target: object, path: readonly string[], value: unknown): void {
  let place = target as Record<string, unknown>;
  for (const name of path.slice(0, -1)) {
    if (typeof place[name] !== "object" || place[name] === null) return;
    place = place[name] as Record<string, unknown>;
  }
  place[path.at(-1)!] = value;
}
