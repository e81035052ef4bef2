/** Simulations of trees that tests share: scaled down, with costs that are typical. */
import { type TreeGeometry, type TreeShape, TYPICAL_COSTS, treeGeometry } from "../src/index.ts";
import { modeShape, reshaped } from "../src/shape.ts";
import { type SimulationSettings, uniformKeys } from "../src/testing/index.ts";

const MIB = 1048576;

export const geometry: TreeGeometry = treeGeometry({ baseLevelBytes: 4 * MIB });

export function shapeOf(runs: number, l0Trigger: number): TreeShape {
  const levels = Array.from({ length: geometry.levelCount - 1 }, () => ({ runs }));
  return reshaped(modeShape("leveled", geometry, l0Trigger), { levels });
}

export function simulation(change: Partial<SimulationSettings> = {}): SimulationSettings {
  return {
    geometry,
    shape: shapeOf(1, 4),
    memtableBytes: MIB,
    memtableEntryBytes: 140,
    entryBytes: 120,
    separatedBytes: 0,
    classes: uniformKeys(500_000),
    loaded: 1,
    filters: { bits: 10, allocation: "monkey" },
    costs: TYPICAL_COSTS,
    mergeSpeed: 1,
    noise: 0.02,
    seed: 1,
    ...change,
  };
}

export const mixes = {
  writeHeavy: { reads: 0.05, scans: 0, writes: 0.95, absent: 0.2, scanLength: 0 },
  readHeavy: { reads: 0.95, scans: 0, writes: 0.05, absent: 0.2, scanLength: 0 },
  balanced: { reads: 0.5, scans: 0, writes: 0.5, absent: 0.2, scanLength: 0 },
  scanHeavy: { reads: 0.05, scans: 0.8, writes: 0.15, absent: 0.2, scanLength: 20 },
};
