/** The shape of the tree as a caller names it, and as statistics and events show it. */
import { AuraError } from "@aura/base";
import { type CompactionMode, modeShape, reshaped, type TreeShape } from "@aura/compaction-rl";
import type { ResolvedSettings } from "./settings.ts";
import { shown } from "./shown-value.ts";
import { LEVEL_COUNT_MAX } from "./version.ts";

/** Runs per level instead of a mode. */
export interface CompactionShape {
  /**
   * From level 1 on; levels beyond the end take the last one. `runs` is the most runs of a level
   * before it is full, 1 (leveled) to 100. `filterBits`: bits per key of the next tables of the level,
   * 0 to 32; left out: as the settings say.
   */
  readonly levels?: readonly { readonly runs: number; readonly filterBits?: number }[];
  /** Runs in level 0 that start a compaction, 1 to 100. */
  readonly l0Trigger?: number;
  /** The next values of so many bytes or more are stored apart, 64 to 2^32 - 1. */
  readonly separationThreshold?: number;
}

/**
 * What `setCompactionMode` is given. A change counts from the next compaction on and rewrites nothing by
 * itself; `compact()` does. The next open begins with `compaction.mode` again. `adaptive`: an agent
 * steers, from the shape in force on, until another mode or shape is set.
 */
export type CompactionRequest = CompactionMode | "adaptive" | CompactionShape;

const MODES: readonly string[] = ["leveled", "tiered", "lazy-leveled"] satisfies CompactionMode[];
const FIELDS: readonly string[] = ["levels", "l0Trigger", "separationThreshold"];

/** Returns the shape that is asked for. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function requestedShape(
  request: Exclude<CompactionRequest, "adaptive">,
  current: TreeShape,
  settings: ResolvedSettings,
): TreeShape {
  const { fanout, l0Trigger } = settings.compaction;
  if (typeof request === "string") {
    if (!MODES.includes(request)) throw invalid(`one of ${MODES.join(", ")}, adaptive`, request);
    return modeShape(request, { fanout, levelCount: LEVEL_COUNT_MAX }, l0Trigger);
  }
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw invalid("a mode, or an object with levels or l0Trigger", request);
  }
  const unknown = Object.keys(request).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) throw invalid(`an object of ${FIELDS.join(", ")}`, unknown);
  const given = Object.entries(request).filter(([, value]) => value !== undefined);
  // Only an agent's shape merges at once what it has too many of; a caller's waits.
  const lazy = current.isEager === true ? { isEager: false } : {};
  return reshaped(current, { ...Object.fromEntries(given), ...lazy });
}

function invalid(expected: string, actual: unknown): AuraError {
  return new AuraError(
    "AURA_INVALID_ARGUMENT",
    `compaction mode: expected ${expected}, got ${shown(actual)}`,
  );
}
