import { describe, expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, so that Node runs it without a build
import { applyChange, bytesOf, History, lengthOf } from "./history.mjs";
// @ts-expect-error: as above
import { Knowledge } from "./round.mjs";

/** Applies operations [0, length) but those left out, as a store would. */
function stateAfter(history: History, length: number, without: readonly number[] = []) {
  const values = new Map<string, { readonly size: number } | undefined>();
  for (let i = 0; i < length; i++) {
    if (without.includes(i)) continue;
    for (const change of history.operation(i).changes) applyChange(values, change);
  }
  const state = new Map<string, Buffer>();
  for (const [name, value] of values) if (value !== undefined) state.set(name, bytesOf(value));
  return state;
}

const EPOCHS = [
  { from: 0, epoch: 0 },
  { from: 100, epoch: 1 },
];

describe("a history", () => {
  test("is the same each time, and another one for another seed or epoch", () => {
    const of = (seed: number, epochs = EPOCHS) =>
      JSON.stringify(Array.from({ length: 200 }, (_, i) => new History(seed, epochs).operation(i)));
    expect(of(1)).toBe(of(1));
    expect(of(1)).not.toBe(of(2));
    expect(of(1)).not.toBe(of(1, [EPOCHS[0]!]));
  });

  test("is found by the state that it leads to, between the bounds only", () => {
    const history = new History(3, EPOCHS);
    for (const length of [0, 1, 99, 100, 101, 300]) {
      const state = stateAfter(history, length);
      expect(lengthOf(history, state, 0, 400)).toBeLessThanOrEqual(length);
      expect(lengthOf(history, state, length, length)).toBe(length);
      expect(lengthOf(history, state, length + 20, 400)).toBeUndefined();
    }
  });

  test("a hole, a lost tail, half a batch, a value that came back: none is a prefix", () => {
    const history = new History(4, EPOCHS);
    const length = 300;
    const state = stateAfter(history, length);
    const last = [...state.keys()].at(-1)!;
    const lost = new Map([...state].filter(([key]) => key !== last));
    expect(lengthOf(history, lost, length - 1, length)).toBeUndefined();
    const flipped = new Map(state).set(last, Buffer.concat([state.get(last)!, Buffer.of(0)]));
    expect(lengthOf(history, flipped, length - 1, length)).toBeUndefined();
    expect(
      lengthOf(history, new Map(state).set("invented", Buffer.of(1)), 0, length),
    ).toBeUndefined();
    let holes = 0;
    for (let at = length - 30; at < length - 1; at++) {
      const holed = stateAfter(history, length, [at]);
      if (lengthOf(history, holed, length, length) === undefined) holes++;
    }
    // Some are overwritten behind the hole.
    expect(holes).toBeGreaterThan(20);
    // The same operation of the epoch that was lost.
    const old = stateAfter(new History(4, [EPOCHS[0]!]), 101);
    expect(lengthOf(history, old, 101, 101)).toBeUndefined();
  });
});

test("what is known from outside bounds what a crash may leave", () => {
  const knowledge = new Knowledge();
  for (const line of ["prefix 0", "intent 9", "os 4", "sync 3", "os 7"]) knowledge.hear(line);
  const order = { directory: "x", seed: 1, operations: 5 };
  expect(knowledge.order({ ...order, survives: "os" })).toMatchObject({ least: 7, most: 9 });
  expect(knowledge.order({ ...order, survives: "sync" })).toMatchObject({ least: 3, most: 9 });
  knowledge.hear("prefix 5");
  expect(knowledge.order({ ...order, survives: "os" })).toMatchObject({
    least: 5,
    most: 5,
    epochs: [
      { from: 0, epoch: 0 },
      { from: 0, epoch: 1 },
      { from: 5, epoch: 2 },
    ],
  });
});
