/** What the settings of a database say to the tree, in the terms of its policy. */
import type { TreeSettings } from "@aura/compaction-rl";
import type { ResolvedSettings } from "./settings.ts";
import { LEVEL_COUNT_MAX } from "./version.ts";

/** Bounds of the interval at which the age of tables is looked at, ms. */
const AGE_CHECK_MS_MIN = 50;
const AGE_CHECK_MS_MAX = 3_600_000;

/** Returns what the settings say of the tree. An agent changes it from the leveled shape on. */
export function treeSettings({ compaction, table }: ResolvedSettings): TreeSettings {
  return {
    mode: compaction.mode === "adaptive" ? "leveled" : compaction.mode,
    ttlMs: compaction.ttlMs,
    periodicMs: compaction.periodicMs,
    fanout: compaction.fanout,
    l0Trigger: compaction.l0Trigger,
    baseLevelBytes: compaction.baseLevelSize,
    tableBytesMin: Math.min(8 * 1024 * 1024, table.maxSize),
    tableBytesMax: table.maxSize,
    levelCount: LEVEL_COUNT_MAX,
  };
}

/** Returns how often the age of tables is looked at, ms; 0: never. */
export function ageCheckMs({ compaction }: ResolvedSettings): number {
  const limits = [compaction.ttlMs, compaction.periodicMs].filter((ms) => ms > 0);
  if (limits.length === 0) return 0;
  return Math.min(AGE_CHECK_MS_MAX, Math.max(AGE_CHECK_MS_MIN, Math.min(...limits) / 4));
}
