/**
 * The shape of a flexible LSM tree: how many runs each level may have, as a value.
 *
 * A level holds one active run and sealed runs, new to old. What comes from above joins the active
 * run; an active run that has reached its capacity (target of the level / K) is sealed, and the next
 * arrival begins a new one. A level over its target goes down as a whole, into the active run of the
 * next level. K = 1 is leveled, K = fanout - 1 is tiered, all between is allowed, per level.
 *
 * A change of K changes the capacity of the active run and nothing else: no table is rewritten for
 * it. Sealed runs that a level has more than its new K leave with the rest of it, when it is full.
 * The last level never is: there, what arrives takes the older runs of its key range along, so that
 * they become one run again at the price that a leveled tree pays anyway.
 *
 * Source: FLSM-tree of RusKey (Mo, Chen, Luo, Shan, SIGMOD 2024); K and Z of Dostoevsky (Dayan,
 * Idreos, SIGMOD 2018). Pure arithmetic: a simulator uses the same functions.
 */
import { AuraError } from "@aura/base";
import { bytesOf, filledRuns } from "./overlap.ts";
import type { LevelView } from "./policy.ts";
import type { LevelTargets } from "./targets.ts";

/** Shapes with a name. */
export type CompactionMode = "leveled" | "tiered" | "lazy-leveled";

/** One level of a shape. */
export interface LevelShape {
  /** K: runs of this level, the active one included, before it is full. 1 to 100. */
  readonly runs: number;
  /** Filter bits per key of tables written to this level, 0 to 32; undefined: as the settings say. */
  readonly filterBits?: number;
}

/** What steers a tree while it runs: everything that a policy or an agent may change. */
export interface TreeShape {
  /** The mode that it came from, or `custom`. */
  readonly name: CompactionMode | "custom";
  /** Runs in level 0 that start a merge, 1 to 100. */
  readonly l0Trigger: number;
  /** By level, from level 1 on; levels beyond the end take the last one. At least one. */
  readonly levels: readonly LevelShape[];
  /** Bytes from which on values are separated; undefined: as the settings say. */
  readonly separationThreshold?: number;
  /** Runs that a level has beyond its K are merged at once; default false: when it is their turn. */
  readonly isEager?: boolean;
}

/** A change of shape: fields that are left out stay as they are. */
export type ShapeChange = Partial<Omit<TreeShape, "name">>;

const FIELDS: readonly string[] = ["l0Trigger", "levels", "separationThreshold", "isEager"];
const RUNS_MAX = 100;
const FILTER_BITS_MAX = 32;

/** Returns the shape of a mode, for a tree of `levelCount` levels, level 0 included. */
export function modeShape(
  mode: CompactionMode,
  size: { readonly fanout: number; readonly levelCount: number },
  l0Trigger: number,
): TreeShape {
  const tiered = { runs: Math.max(1, Math.min(RUNS_MAX, Math.round(size.fanout) - 1)) };
  const leveled = { runs: 1 };
  const inner = mode === "leveled" ? leveled : tiered;
  const last = mode === "tiered" ? tiered : leveled;
  const levels = Array.from({ length: size.levelCount - 1 }, (_, i) =>
    i === size.levelCount - 2 ? last : inner,
  );
  return checkedShape({ name: mode, l0Trigger, levels });
}

/** Returns `shape` with a change applied. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function reshaped(shape: TreeShape, change: ShapeChange): TreeShape {
  for (const name of Object.keys(change)) {
    if (!FIELDS.includes(name)) throw invalid(name, "known", "unknown");
  }
  return checkedShape({ ...shape, ...change, name: "custom" });
}

/** Returns K of a level, 1 and deeper. */
export function runsMax(shape: TreeShape, level: number): number {
  const { levels } = shape;
  return levels[Math.min(level, levels.length) - 1]!.runs;
}

/** Returns at how many bytes the active run of a level is sealed; Infinity: never. */
export function activeCapacity(shape: TreeShape, targets: LevelTargets, level: number): number {
  const runs = runsMax(shape, level);
  return runs === 1 ? Number.POSITIVE_INFINITY : Math.ceil(targets.bytes[level]! / runs);
}

/** What takes the tables that come to a level from above. */
export type Reception = "active" | "new" | "merge-all";

/**
 * Returns where arrivals of a level go: to its active run, to a new run before it, or, in a last
 * level that has as many runs as it may, to its oldest run together with all that they meet.
 */
export function receptionOf(
  shape: TreeShape,
  targets: LevelTargets,
  level: number,
  view: LevelView | undefined,
): Reception {
  const active = view?.runs[0];
  if (active === undefined) return "new";
  const isSealed = bytesOf(active.tables) >= activeCapacity(shape, targets, level);
  if (level === targets.last) {
    const count = filledRuns(view).length;
    const countMax = runsMax(shape, level);
    if (count > countMax || (isSealed && count === countMax)) return "merge-all";
  }
  return isSealed ? "new" : "active";
}

function checkedShape(shape: TreeShape): TreeShape {
  checkWhole("l0Trigger", shape.l0Trigger, 1, RUNS_MAX);
  if (!Array.isArray(shape.levels) || shape.levels.length === 0) {
    throw invalid("levels", "an array of at least one level", shape.levels);
  }
  const levels = shape.levels.map((level: LevelShape, i) => {
    if (typeof level !== "object" || level === null)
      throw invalid(`levels[${i}]`, "an object", level);
    for (const name of Object.keys(level)) {
      if (name !== "runs" && name !== "filterBits") {
        throw invalid(`levels[${i}].${name}`, "known", "unknown");
      }
    }
    checkWhole(`levels[${i}].runs`, level.runs, 1, RUNS_MAX);
    const { runs, filterBits } = level;
    if (filterBits === undefined) return { runs };
    if (typeof filterBits !== "number" || !(filterBits >= 0 && filterBits <= FILTER_BITS_MAX)) {
      throw invalid(`levels[${i}].filterBits`, `0 to ${FILTER_BITS_MAX}`, filterBits);
    }
    return { runs, filterBits };
  });
  const { separationThreshold, isEager } = shape;
  if (isEager !== undefined && typeof isEager !== "boolean") {
    throw invalid("isEager", "a boolean", isEager);
  }
  if (separationThreshold !== undefined) {
    checkWhole("separationThreshold", separationThreshold, 64, 2 ** 32 - 1);
  }
  return Object.freeze({ ...shape, levels: Object.freeze(levels) });
}

function checkWhole(field: string, value: unknown, min: number, max: number): void {
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return;
  throw invalid(field, `a whole number from ${min} to ${max}`, value);
}

function invalid(field: string, expected: string, actual: unknown): AuraError {
  return new AuraError(
    "AURA_INVALID_ARGUMENT",
    `${field}: expected ${expected}, got ${String(actual)}`,
  );
}
