import { expect, test } from "vitest";
import { flexiblePolicy, reshaped } from "../src/index.ts";
import { SimulatedTree, uniformKeys } from "../src/testing/index.ts";
import { geometry, shapeOf } from "./simulations.ts";

function tieredTree(): { tree: SimulatedTree; policy: ReturnType<typeof flexiblePolicy> } {
  const policy = flexiblePolicy(geometry);
  policy.reshape(shapeOf(9, 2));
  const filters = { bits: 10, allocation: "monkey" as const };
  const classes = uniformKeys(400_000);
  const tree = new SimulatedTree({ classes, entryBytes: 120, filters, levelCount: 7, policy });
  tree.load(6, 1, 8 * 1048576);
  for (let i = 0; i < 60; i++) {
    tree.flush(8000);
    tree.settle();
  }
  return { tree, policy };
}

const runsOf = (tree: SimulatedTree): number[] => tree.levels.map(({ runs }) => runs.length);

test("a lower K leaves runs where they are, until the shape is eager", () => {
  const { tree, policy } = tieredTree();
  const before = runsOf(tree);
  expect(before[6]).toBeGreaterThan(2);
  policy.reshape(shapeOf(1, 2));
  tree.settle();
  expect(runsOf(tree)[6]).toBe(before[6]);
  policy.reshape(reshaped(shapeOf(1, 2), { isEager: true }));
  tree.settle();
  for (const runs of runsOf(tree).slice(1)) expect(runs).toBeLessThanOrEqual(1);
});

test("being eager costs about one rewriting of the level, and nothing when there is no excess", () => {
  const { tree, policy } = tieredTree();
  const bytes = tree.levels.flatMap(({ runs }) => runs.flatMap(({ tables }) => tables));
  const all = bytes.reduce((sum, table) => sum + table.bytes, 0);
  const before = tree.mergedBytesRead;
  policy.reshape(reshaped(shapeOf(1, 2), { isEager: true }));
  tree.settle();
  const read = tree.mergedBytesRead - before;
  expect(read).toBeGreaterThan(all * 0.5);
  expect(read).toBeLessThan(all * 2);
  tree.settle();
  expect(tree.mergedBytesRead - before).toBe(read);
});
