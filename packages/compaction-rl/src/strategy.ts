/**
 * What an algorithm is asked by the frame that all agents share (steered-agent.ts): given a sound
 * situation, which setting it would have. Whether that is safe and pays is the frame's business.
 */
import type { Random } from "@aura/base";
import type { WindowObservation, WindowSeconds } from "./agent.ts";
import type { CostAnswer, CostQuestion } from "./cost-model.ts";
import type { Choices, TreeSetting } from "./tree-setting.ts";

/** A window that has ended, in a workload and a tree that are understood. */
export interface Situation {
  readonly observation: WindowObservation;
  readonly measured: WindowSeconds;
  /** The workload to plan for, the tree, costs. */
  readonly question: CostQuestion;
  /** In force in the window that has ended, and what the cost model says of it. */
  readonly setting: TreeSetting;
  readonly answer: CostAnswer;
  readonly choices: Choices;
  /** Windows since this workload began, and those that it is expected to go on. */
  readonly age: number;
  readonly horizon: number;
  /** Whether something may be tried that is not thought best. */
  readonly mayExplore: boolean;
  /** What the model says of a setting; undefined: the safety mask forbids it. */
  allowed(setting: TreeSetting): CostAnswer | undefined;
}

/** What an algorithm wants. Seconds are per window. */
export interface Wish {
  readonly setting: TreeSetting;
  readonly seconds: number;
  /** Of the setting in force, by the same reckoning. */
  readonly keptSeconds: number;
  readonly isExploration: boolean;
}

/** An algorithm. Deterministic given what it was told, and the random numbers it took. */
export interface Strategy {
  readonly algorithm: string;
  /** Learns from the window that has ended. Not called while frozen. */
  learn(situation: Situation): void;
  choose(situation: Situation, random: Random, explorationRate: number): Wish;
  /** Parameters to export, by name. */
  readonly parameters: Readonly<Record<string, readonly number[]>>;
  /** Numbers beside the parameters that what it does next depends on. */
  readonly state: readonly number[];
}
