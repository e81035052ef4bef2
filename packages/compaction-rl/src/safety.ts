/**
 * What no decision may do, whatever an algorithm wants: settings are masked before they are chosen
 * among, and the static shape comes back when the tree itself leaves its bounds.
 */
import type { SafetyLimits, WindowObservation } from "./agent.ts";
import type { CostAnswer } from "./cost-model.ts";

/** Limits, all set. */
export type KnownLimits = Readonly<Required<SafetyLimits>>;

const LIMITS: KnownLimits = { spaceAmplificationMax: 3, debtShareMax: 0.5, runsMax: 40 };

/** Returns limits with defaults for what is missing or makes no sense. */
export function knownLimits(limits: SafetyLimits | undefined): KnownLimits {
  const pick = (name: keyof SafetyLimits, min: number): number => {
    const value = limits?.[name];
    return typeof value === "number" && value >= min ? value : LIMITS[name];
  };
  return {
    spaceAmplificationMax: pick("spaceAmplificationMax", 1),
    debtShareMax: pick("debtShareMax", 0),
    runsMax: pick("runsMax", 3),
  };
}

/** How a tree stands to its limits. */
export interface SafetyState {
  /** Files are far larger than what is live: nothing that takes more space than it does now. */
  readonly isBloated: boolean;
  /** Merges are far behind: nothing that merges more, and no trying. */
  readonly isIndebted: boolean;
  /** More runs than any shape should lead to. */
  readonly isCrowded: boolean;
}

/** Runs of a tree over the limit of shapes from which on it is crowded: merges may be behind. */
const CROWDED = 2;

/** Returns how the observed tree stands to its limits. */
export function safetyState(o: WindowObservation, limits: KnownLimits): SafetyState {
  let bytes = 0;
  let runs = 0;
  for (const level of o.levels) {
    bytes += level.bytes;
    runs += level.runs;
  }
  return {
    isBloated: o.liveBytes > 0 && o.spaceBytes > o.liveBytes * limits.spaceAmplificationMax,
    isIndebted: bytes > 0 && o.debtBytes > bytes * limits.debtShareMax,
    isCrowded: runs > limits.runsMax * CROWDED,
  };
}

/** Returns whether a setting may follow the one in force. */
export function mayFollow(
  state: SafetyState,
  limits: KnownLimits,
  current: CostAnswer,
  next: CostAnswer,
): boolean {
  if (next.runsMax > limits.runsMax && next.runsMax >= current.runsMax) return false;
  if (state.isCrowded && next.runsMax > current.runsMax) return false;
  if (state.isBloated && next.space > current.space) return false;
  return !(state.isIndebted && next.mergedPerByte > current.mergedPerByte);
}
