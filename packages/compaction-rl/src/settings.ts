/** Settings of the leveled shape: defaults, ranges, validation. */
import { AuraError } from "@aura/base";

const MIB = 1048576;

/** What a leveled tree looks like. Every field has a default. */
export interface LeveledSettings {
  /** How much larger a level is than the one above it. 2 to 100; default 10. */
  readonly fanout?: number;
  /** Runs in level 0 that start a merge. 1 to 100; default 4. */
  readonly l0Trigger?: number;
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
  /** A merge takes in no optional table beyond this many input bytes. Default 512 MiB. */
  readonly mergeBytesMax?: number;
  /** Bytes of tables and of values to copy in one relocation, at least one table. Default 64 MiB. */
  readonly relocateBytesMax?: number;
  /** Input tables of one relocation. Default 8. */
  readonly relocateTablesMax?: number;
}

/** The same with every field set. */
export type LeveledShape = Required<LeveledSettings>;

const DEFAULTS: LeveledShape = {
  fanout: 10,
  l0Trigger: 4,
  baseLevelBytes: 64 * MIB,
  tableBytesMin: 8 * MIB,
  tableBytesMax: 64 * MIB,
  levelCount: 7,
  dynamicLevelBytes: true,
  mergeBytesMax: 512 * MIB,
  relocateBytesMax: 64 * MIB,
  relocateTablesMax: 8,
};

const RANGES: readonly (readonly [keyof LeveledShape, number, number])[] = [
  ["fanout", 2, 100],
  ["l0Trigger", 1, 100],
  ["baseLevelBytes", 1, Number.MAX_SAFE_INTEGER],
  ["tableBytesMin", 1, Number.MAX_SAFE_INTEGER],
  ["tableBytesMax", 1, Number.MAX_SAFE_INTEGER],
  ["levelCount", 2, 20],
  ["mergeBytesMax", 1, Number.MAX_SAFE_INTEGER],
  ["relocateBytesMax", 1, Number.MAX_SAFE_INTEGER],
  ["relocateTablesMax", 1, 1000],
];

/** Fills in defaults. Throws AURA_INVALID_ARGUMENT, naming the field. */
export function leveledShape(settings: LeveledSettings): LeveledShape {
  const shape: LeveledShape = { ...DEFAULTS, ...settings };
  for (const [field, min, max] of RANGES) {
    const value = shape[field];
    if (typeof value !== "number" || !(value >= min && value <= max)) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${field} is ${min} to ${max}, not ${value}`);
    }
  }
  for (const field of ["l0Trigger", "levelCount", "relocateTablesMax"] as const) {
    if (!Number.isInteger(shape[field])) {
      throw new AuraError("AURA_INVALID_ARGUMENT", `${field} is a whole number`);
    }
  }
  if (shape.tableBytesMin > shape.tableBytesMax) {
    throw new AuraError("AURA_INVALID_ARGUMENT", "tableBytesMin is at most tableBytesMax");
  }
  return shape;
}
