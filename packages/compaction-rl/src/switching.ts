/**
 * Whether a change pays: what it costs once against what it saves while the workload lasts.
 *
 * A flexible tree pays nothing at the moment of a change. It pays afterwards: a lower trigger merges
 * level 0 with the base level once more; a lower K merges runs that were left for later; and a higher K
 * leaves runs that a later change back has to merge, of which a part is counted now. How long a
 * workload lasts is not known: as long again as it did, or as long as phases did so far.
 */
import type { LevelObservation } from "./agent.ts";
import type { TreeSetting } from "./tree-setting.ts";
import type { KnownCosts } from "./window-seconds.ts";
import type { TreeProfile } from "./workload.ts";

/** Part of the bytes of a level that a higher K will have merged once more, some day. */
const LEFT_SHARE = 0.3;
/** Part of the bytes of runs that a lower K merges earlier than they would be. */
const EARLIER_SHARE = 0.25;

/** Returns what a change costs, seconds, once. */
export function switchingSeconds(
  profile: TreeProfile,
  levels: readonly LevelObservation[],
  costs: KnownCosts,
  from: TreeSetting,
  to: TreeSetting,
): number {
  let bytes = 0;
  if (to.trigger < from.trigger) bytes += profile.targets[0]! / 2;
  for (const [i, k] of to.runs.entries()) {
    const before = from.runs[i]!;
    if (k === before) continue;
    const { bytes: size, runs } = levels[profile.base + i]!;
    if (k < before) bytes += runs > k ? size * (1 - k / runs) * EARLIER_SHARE : 0;
    else bytes += profile.targets[i]! * LEFT_SHARE;
  }
  return bytes * costs.mergedByte;
}

/** Returns what it takes to merge runs beyond K at once, seconds. */
export function eagerSeconds(
  profile: TreeProfile,
  levels: readonly LevelObservation[],
  costs: KnownCosts,
  setting: TreeSetting,
): number {
  let bytes = 0;
  let arriving = 0;
  for (const [i, k] of setting.runs.entries()) {
    const { bytes: size, runs } = levels[profile.base + i]!;
    const isOver = runs > k;
    if (isOver || arriving > 0) bytes += size + arriving;
    arriving = isOver ? size + arriving : 0;
  }
  return bytes * costs.mergedByte;
}

/** Length of a phase before one was seen to end, windows. */
const PHASE_GUESS = 16;
/** Weight of the latest phase in the mean length. */
const LATEST = 0.3;
/** Phases shorter than this are no phases: what counts is the mix of them. */
const PHASE_MIN = 3;

/** Knows how long phases last. */
export class PhaseLengths {
  #mean: number = PHASE_GUESS;

  /** A phase of so many windows has ended. */
  note(windows: number): void {
    this.#mean += (windows - this.#mean) * LATEST;
  }

  /** Windows that a phase, so many windows old, is expected to go on. */
  rest(age: number): number {
    return Math.max(1, this.#mean - age, age);
  }

  /** Whether the workload changes faster than a tree can follow. */
  get isRestless(): boolean {
    return this.#mean < PHASE_MIN;
  }

  get mean(): number {
    return this.#mean;
  }
}
