/** Agents that nobody would want: what they decide may make a database slow, never wrong. */
import { SeededRandom } from "@aura/base";
import type {
  AgentDecision,
  AgentSettings,
  CompactionAgent,
  LevelShape,
  TreeShape,
  WindowObservation,
} from "@aura/compaction-rl";
import type { Components, Settings } from "../../src/index.ts";

const NOTHING = { reads: 0, scans: 0, writes: 0, merges: 0, stalls: 0, debt: 0, total: 0 };

/** Decides whatever `choose` says. */
export function agentOf(
  name: string,
  choose: (observation: WindowObservation, shape: TreeShape) => TreeShape | undefined,
): CompactionAgent {
  return {
    algorithm: name,
    decide: (observation, shape): AgentDecision => ({
      window: observation.window,
      algorithm: name,
      shape: choose(observation, shape),
      reason: "explore",
      detail: "",
      keptSeconds: 0,
      predictedSeconds: 0,
      switchSeconds: 0,
      measured: { ...NOTHING, total: observation.reads + observation.writes },
      phase: 0,
      isExploration: true,
      stateDigest: 0,
    }),
    freeze: () => undefined,
    isFrozen: false,
    exportWeights: () => ({
      format: "aura-agent",
      version: 1,
      algorithm: "bandit",
      parameters: { name: [name.length] },
    }),
  };
}

/** Another shape after each window, drawn by chance: runs, trigger, filter bits, threshold, eagerness. */
export function randomAgent({ seed, geometry }: AgentSettings): CompactionAgent {
  const random = new SeededRandom(seed);
  const drawLevel = (): LevelShape => {
    const runs = [1, 2, 3, geometry.fanout, 100][random.below(5)]!;
    return random.below(3) > 0 ? { runs } : { runs, filterBits: random.below(21) };
  };
  return agentOf("random", () => ({
    name: "custom",
    l0Trigger: 1 + random.below(12),
    levels: Array.from({ length: 1 + random.below(7) }, drawLevel),
    ...(random.below(2) === 0 ? {} : { separationThreshold: 64 << random.below(8) }),
    isEager: random.below(2) === 0,
  }));
}

/** The shape that suits a window least: for writes one run and no waiting, else all that there may be. */
export function worstAgent(): CompactionAgent {
  return agentOf("worst", ({ window, reads, scans, writes }) => {
    const isWritten = writes > reads + scans;
    // Back and forth, so that every level is left in the middle of what it was about to do.
    const isLeveled = window % 2 === 0 ? isWritten : !isWritten;
    return {
      name: "custom",
      l0Trigger: isLeveled ? 1 : 100,
      levels: [{ runs: isLeveled ? 1 : 100, filterBits: 0 }],
      separationThreshold: isLeveled ? 64 : 2 ** 32 - 1,
      isEager: isLeveled,
    };
  });
}

/** Returns an agent for one seed in three; of chance of its own, so that it moves nothing else. */
export function drawAgent(seed: number): Components["agent"] | undefined {
  const random = new SeededRandom(seed + 0x57ee7);
  if (random.below(3) > 0) return undefined;
  return random.below(2) === 0 ? randomAgent : worstAgent;
}

/** Returns settings with which an agent decides again and again within one test. */
export function steered(settings: Settings): Settings {
  return {
    ...settings,
    compaction: { ...settings.compaction, mode: "adaptive" },
    rlAgent: { windowOperations: 150, windowBytes: 16384 },
  };
}
