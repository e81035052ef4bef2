import fc from "fast-check";
import { expect, test } from "vitest";
import { flexiblePolicy } from "../src/index.ts";
import { levelBytes } from "../src/targets.ts";
import { SimulatedTree, uniformKeys, zipfKeys } from "../src/testing/index.ts";
import { geometry, shapeOf } from "./simulations.ts";

function keysOf(tree: SimulatedTree): number[] {
  const absent = tree.classes.map(() => 1);
  for (const { runs } of tree.levels) {
    for (const { tables } of runs) {
      for (const c of absent.keys()) {
        const counts = tables.reduce((sum, table) => sum + table.counts[c]!, 0);
        expect(counts).toBeLessThanOrEqual(tree.classes[c]!.keys * 1.0001);
        absent[c]! *= Math.max(0, 1 - counts / tree.classes[c]!.keys);
      }
    }
  }
  return absent.map((share, c) => (1 - share) * tree.classes[c]!.keys);
}

test("merges lose no key, invent none, and account for every byte", () => {
  const choice = fc.record({
    isZipf: fc.boolean(),
    runs: fc.constantFrom(1, 2, 3, 9),
    trigger: fc.constantFrom(2, 4, 8, 12),
    loaded: fc.constantFrom(0, 0.5, 1),
    flushes: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(choice, ({ isZipf, runs, trigger, loaded, flushes }) => {
      const policy = flexiblePolicy(geometry);
      policy.reshape(shapeOf(runs, trigger));
      const classes = isZipf ? zipfKeys(300_000, 0.9) : uniformKeys(300_000);
      const filters = { bits: 10, allocation: "monkey" as const };
      const tree = new SimulatedTree({ classes, entryBytes: 120, filters, levelCount: 7, policy });
      if (loaded > 0) tree.load(6, loaded, 8 * 1048576);
      const start = tree.levels.reduce((sum, level) => sum + levelBytes(level), 0);
      for (let i = 0; i < flushes; i++) {
        tree.flush(7000);
        const before = keysOf(tree);
        tree.settle();
        for (const [c, keys] of keysOf(tree).entries()) {
          expect(keys).toBeGreaterThan(before[c]! * 0.98);
          expect(keys).toBeLessThan(before[c]! * 1.02 + 1);
        }
      }
      const bytes = tree.levels.reduce((sum, level) => sum + levelBytes(level), 0);
      const dropped = tree.mergedBytesRead - tree.mergedBytesWritten;
      expect(start + tree.flushedBytes - dropped).toBeCloseTo(bytes, 0);
      const read = tree.moved.reduce((sum, level) => sum + level.read, 0);
      const written = tree.moved.reduce((sum, level) => sum + level.written, 0);
      expect(read).toBeCloseTo(tree.mergedBytesRead, 0);
      expect(written).toBeCloseTo(tree.flushedBytes + tree.mergedBytesWritten, 0);
      for (const { runs: all } of tree.levels.slice(1)) {
        for (const { tables } of all) {
          for (const [i, table] of tables.entries()) {
            if (i > 0) expect(table.low).toBeGreaterThan(tables[i - 1]!.high);
          }
        }
      }
    }),
    { numRuns: 40, seed: 7 },
  );
});
