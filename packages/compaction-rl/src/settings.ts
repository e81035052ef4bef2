/** Settings of a tree: defaults, ranges, validation. What may change while it runs is in shape.ts. */
import { AuraError } from "@aura/base";
import type { CompactionMode } from "./shape.ts";

const MIB = 1048576;

/** What a tree looks like. Every field has a default. */
export interface TreeSettings {
  /** The shape that it begins with. Default `leveled`. */
  readonly mode?: CompactionMode;
  /** Runs in level 0 that start a merge, to begin with. 1 to 100; default 4. */
  readonly l0Trigger?: number;
  /** How much larger a level is than the one above it. 2 to 100; default 10. */
  readonly fanout?: number;
  /** Size of the first level below level 0, bytes. Default 64 MiB. */
  readonly baseLevelBytes?: number;
  /** Smallest size at which output tables are cut, bytes: for small levels. Default 8 MiB. */
  readonly tableBytesMin?: number;
  /** Largest size at which output tables are cut, bytes: for large levels. Default 64 MiB. */
  readonly tableBytesMax?: number;
  /** Levels, level 0 included. 2 to 20; default 7. */
  readonly levelCount?: number;
  /**
   * Sizes follow the largest level, and data enters the tree as deep as it can, see targets.ts.
   * Default true.
   */
  readonly dynamicLevelBytes?: boolean;
  /**
   * A merge takes in no optional table beyond this many input bytes; in a small tree fewer, a quarter
   * of its largest level or two base levels. Default 512 MiB.
   */
  readonly mergeBytesMax?: number;
  /** Bytes of tables and of values to copy in one relocation, at least one table. Default 64 MiB. */
  readonly relocateBytesMax?: number;
  /** Input tables of one relocation. Default 8. */
  readonly relocateTablesMax?: number;
  /** A table above the last level that is older goes down, ms; 0 (default): none does. */
  readonly ttlMs?: number;
  /** A table that is older is rewritten, ms; 0 (default): none is. */
  readonly periodicMs?: number;
}

/** What does not change while a tree lives, every field set. */
export type TreeGeometry = Required<Omit<TreeSettings, "mode" | "l0Trigger">>;

const DEFAULTS: TreeGeometry = {
  fanout: 10,
  baseLevelBytes: 64 * MIB,
  tableBytesMin: 8 * MIB,
  tableBytesMax: 64 * MIB,
  levelCount: 7,
  dynamicLevelBytes: true,
  mergeBytesMax: 512 * MIB,
  relocateBytesMax: 64 * MIB,
  relocateTablesMax: 8,
  ttlMs: 0,
  periodicMs: 0,
};

const RANGES: readonly (readonly [keyof TreeGeometry, number, number])[] = [
  ["fanout", 2, 100],
  ["baseLevelBytes", 1, Number.MAX_SAFE_INTEGER],
  ["tableBytesMin", 1, Number.MAX_SAFE_INTEGER],
  ["tableBytesMax", 1, Number.MAX_SAFE_INTEGER],
  ["levelCount", 2, 20],
  ["mergeBytesMax", 1, Number.MAX_SAFE_INTEGER],
  ["relocateBytesMax", 1, Number.MAX_SAFE_INTEGER],
  ["relocateTablesMax", 1, 1000],
  ["ttlMs", 0, Number.MAX_SAFE_INTEGER],
  ["periodicMs", 0, Number.MAX_SAFE_INTEGER],
];

/** Fills in defaults. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function treeGeometry(settings: TreeSettings): TreeGeometry {
  const { mode: _mode, l0Trigger: _trigger, ...given } = settings;
  const geometry: TreeGeometry = { ...DEFAULTS, ...given };
  for (const [field, min, max] of RANGES) {
    const value = geometry[field];
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${field} is ${min} to ${max}, not ${value}`);
    }
  }
  for (const field of ["levelCount", "relocateTablesMax"] as const) {
    if (!Number.isInteger(geometry[field])) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${field} is a whole number`);
    }
  }
  if (geometry.tableBytesMin > geometry.tableBytesMax) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "tableBytesMin is at most tableBytesMax");
  }
  return geometry;
}
