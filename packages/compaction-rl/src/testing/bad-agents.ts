/**
 * Agents that choose badly, for tests of whoever executes their decisions: one at random, one always
 * what seems worst. They have no frame around them that would hold them back, so what they decide is
 * legal and nothing else: a policy can be slow, never wrong.
 */
import { SeededRandom } from "@aura/base";
import type {
  AgentDecision,
  AgentSettings,
  AgentWeights,
  CompactionAgent,
  WindowObservation,
} from "../agent.ts";
import { reshaped, type TreeShape } from "../shape.ts";
import { choicesOf } from "../tree-setting.ts";

const NOTHING = { reads: 0, scans: 0, writes: 0, merges: 0, stalls: 0, debt: 0, total: 0 };

/** Returns an agent that takes any shape at all after each window: any K, trigger, filters, eagerness. */
export function randomAgent(settings: Pick<AgentSettings, "geometry" | "seed">): CompactionAgent {
  const random = new SeededRandom(settings.seed);
  const choices = choicesOf(settings.geometry);
  const pick = (values: readonly number[]): number => values[random.below(values.length)]!;
  return badAgent("random", (_observation, shape) => {
    if (random.below(3) === 0) return undefined;
    const levels = Array.from({ length: settings.geometry.levelCount - 1 }, () => {
      const runs = pick(choices.runs);
      return random.below(2) === 0 ? { runs } : { runs, filterBits: random.below(33) };
    });
    const isEager = random.below(2) === 0;
    return reshaped(shape, { levels, l0Trigger: pick([1, ...choices.triggers, 100]), isEager });
  });
}

/**
 * Returns an agent that takes what suits the window least: many runs where it was read, few where it was
 * written, everything merged at once after every other window.
 */
export function worstAgent(settings: Pick<AgentSettings, "geometry">): CompactionAgent {
  const { runs, triggers } = choicesOf(settings.geometry);
  return badAgent("worst", ({ reads, scans, writes, window }, shape) => {
    const isRead = reads + scans > writes;
    const k = isRead ? runs.at(-1)! : 1;
    const l0Trigger = isRead ? triggers.at(-1)! : 1;
    const levels = Array.from({ length: settings.geometry.levelCount - 1 }, () => ({ runs: k }));
    return reshaped(shape, { levels, l0Trigger, isEager: window % 2 === 1 });
  });
}

function badAgent(
  algorithm: string,
  shapeFor: (observation: WindowObservation, shape: TreeShape) => TreeShape | undefined,
): CompactionAgent {
  let isFrozen = false;
  return {
    algorithm,
    get isFrozen() {
      return isFrozen;
    },
    freeze: (next) => {
      isFrozen = next;
    },
    exportWeights: (): AgentWeights => ({
      format: "aura-agent",
      version: 2,
      algorithm: "closed-form",
      parameters: {},
    }),
    decide: (observation, shape): AgentDecision => {
      const next = isFrozen ? undefined : shapeFor(observation, shape);
      return {
        window: observation.window,
        algorithm,
        shape: next,
        reason: next === undefined ? "keep" : "explore",
        detail: `${algorithm} choice`,
        keptSeconds: 0,
        predictedSeconds: 0,
        switchSeconds: 0,
        measured: NOTHING,
        phase: 0,
        isExploration: next !== undefined,
        stateDigest: 0,
      };
    },
  };
}
