/** What the cost model can only propose is tried in turns, kept only when that is sure, and told. */
import { describe, expect, test } from "vitest";
import {
  type AgentDecision,
  type AgentSettings,
  createAgent,
  type TreeShape,
  TYPICAL_COSTS,
  type WindowObservation,
} from "../src/index.ts";
import { type SimulationSettings, Simulator, type WorkMix } from "../src/testing/index.ts";
import { geometry, mixes, shapeOf, simulation } from "./simulations.ts";

const settings: AgentSettings = {
  geometry,
  baseline: shapeOf(1, 4),
  memtableBytes: 1048576,
  filterBits: 10,
  filterAllocation: "monkey",
  separationThreshold: 1024,
  seed: 3,
};

/** Values of 700 B in the tree: half of them would be better apart. */
const sized: Partial<SimulationSettings> = {
  memtableEntryBytes: 40,
  entryBytes: 24,
  values: {
    threshold: 1024,
    sizes: [
      { bytes: 100, share: 0.5 },
      { bytes: 700, share: 0.5 },
    ],
  },
  noise: 0.02,
};

const writes: WorkMix = { reads: 0.1, scans: 0, writes: 0.9, absent: 0.1, scanLength: 0 };

interface Run {
  readonly decisions: AgentDecision[];
  readonly thresholds: (number | undefined)[];
  readonly shape: TreeShape;
  readonly observations: WindowObservation[];
}

function steered(
  change: Partial<SimulationSettings>,
  windows: number,
  mixAt: (window: number) => WorkMix,
  shown: (observation: WindowObservation, shape: TreeShape) => WindowObservation = (o) => o,
  agentSettings: AgentSettings = settings,
): Run {
  const simulator = new Simulator(simulation(change));
  const agent = createAgent(agentSettings);
  const run: Omit<Run, "shape"> = { decisions: [], thresholds: [], observations: [] };
  for (let i = 0; i < windows; i++) {
    const { shape } = simulator.policy;
    const observation = shown(simulator.window(mixAt(i), 10_000), shape);
    const decision = agent.decide(observation, shape);
    run.observations.push(observation);
    run.decisions.push(decision);
    run.thresholds.push(shape.separationThreshold);
    if (decision.shape !== undefined) simulator.reshape(decision.shape);
  }
  return { ...run, shape: simulator.policy.shape };
}

function trials({ decisions }: Run): string[] {
  return decisions.filter(({ detail }) => /^trial/.test(detail)).map(({ detail }) => detail);
}

describe("a threshold of separation", () => {
  test("that the model likes is tried in turns, and stays when the trial is sure", () => {
    const run = steered(sized, 160, () => writes);
    const told = trials(run);
    expect(told[0]).toMatch(/^trial of values apart from 512 B, \d+\.\d % better by the model/);
    const end = told.findIndex((detail) => detail.includes("kept"));
    expect(told[end]).toMatch(/^trial of values apart from 512 B: kept, 9\d\.\d % sure/);
    const kept = run.decisions.find(({ detail }) => detail === told[end])!;
    expect(kept.reason).toBe("better");
    expect(run.shape.separationThreshold).toBe(512);
    // Before that both had several turns.
    const turns = run.thresholds.slice(0, kept.window + 1);
    const begun = run.decisions.find(({ reason }) => reason === "trial")!.window;
    const inTrial = turns.slice(begun + 1);
    expect(inTrial.filter((one) => one === 512).length).toBeGreaterThanOrEqual(8);
    expect(inTrial.filter((one) => one === undefined).length).toBeGreaterThanOrEqual(8);
    expect(inTrial.filter((one, i) => i > 0 && one !== inTrial[i - 1]).length).toBeGreaterThan(1);
  });

  test("that takes longer, whatever the model says, goes, and is not tried again", () => {
    const run = steered(
      sized,
      300,
      () => writes,
      (observation, shape) =>
        shape.separationThreshold === undefined
          ? observation
          : { ...observation, delaySeconds: observation.delaySeconds + 0.15 },
    );
    const begun = trials(run).filter((detail) => detail.includes("by the model"));
    expect(begun.length).toBeGreaterThan(0);
    expect(new Set(begun.map((detail) => detail.split(",")[0])).size).toBe(begun.length);
    expect(trials(run).some((detail) => detail.includes(": not kept"))).toBe(true);
    expect(trials(run).some((detail) => detail.includes(": kept"))).toBe(false);
    expect(run.shape.separationThreshold).toBe(undefined);
  });

  test("is tried neither without sizes, nor frozen, nor by whoever wants nothing tried", () => {
    const unsized = steered({}, 120, () => writes);
    const frozen = { ...settings, frozen: true };
    const timid = { ...settings, explorationRate: 0 };
    const runs = [frozen, timid].map((one) =>
      steered(
        sized,
        120,
        () => writes,
        (o) => o,
        one,
      ),
    );
    for (const run of [unsized, ...runs]) {
      expect(run.thresholds.every((one) => one === undefined)).toBe(true);
    }
  });
});

test("a workload that changes ends a trial: what was in force comes back", () => {
  const first = steered(sized, 160, () => writes);
  const second = first.thresholds.indexOf(512) + 1;
  const run = steered(sized, second + 40, (i) => (i < second ? writes : mixes.scanHeavy));
  const end = run.decisions[second]!;
  expect(run.thresholds[second]).toBe(512);
  expect(end.shape?.separationThreshold).toBe(undefined);
  expect(end.shape).not.toBe(undefined);
  expect(run.thresholds.slice(second + 1).every((one) => one === undefined)).toBe(true);
});

test("filter bits go to where look-ups ask in vain, when that is sure", () => {
  // Few bits, blocks that cost a device, keys that are there: most bits are of no use in the last level.
  const costs = { ...TYPICAL_COSTS, blockRead: 60e-6 };
  const change = { costs, filters: { bits: 4, allocation: "uniform" as const } };
  const found: WorkMix = { reads: 0.6, scans: 0, writes: 0.4, absent: 0, scanLength: 0 };
  const weak = { ...settings, filterBits: 4, filterAllocation: "uniform" as const };
  const run = steered(
    change,
    260,
    () => found,
    (o) => o,
    weak,
  );
  expect(trials(run)[0]).toMatch(/^trial of filters of [\d,]+ bits/);
  expect(trials(run).some((detail) => detail.includes(": kept"))).toBe(true);
  const bits = run.shape.levels
    .map(({ filterBits }) => filterBits)
    .filter((one) => one !== undefined);
  expect(bits.length).toBeGreaterThan(1);
  expect(bits[0]).toBeGreaterThan(bits.at(-1)!);
  const vain = ({ levels }: WindowObservation): number =>
    levels.slice(1).reduce((sum, { falsePositives }) => sum + falsePositives, 0);
  const early = run.observations.slice(10, 24).reduce((sum, one) => sum + vain(one), 0);
  const late = run.observations.slice(-14).reduce((sum, one) => sum + vain(one), 0);
  expect(late).toBeLessThan(early * 0.7);
});

test("trials repeat bit for bit from what was observed", () => {
  const run = steered(sized, 160, () => writes);
  const agent = createAgent(settings);
  let shape = shapeOf(1, 4);
  for (const [i, text] of run.observations.map((one) => JSON.stringify(one)).entries()) {
    const decision = agent.decide(JSON.parse(text) as WindowObservation, shape);
    expect(decision).toEqual(run.decisions[i]);
    shape = decision.shape ?? shape;
  }
});
