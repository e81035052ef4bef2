import { simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { HOP_FREE_MS_MAX, TurnKeeper } from "../src/turn-keeper.ts";

test("answers are free of a hop for one millisecond of a turn, and again after a turn", async () => {
  const runtime = simRuntime(1);
  const turns = new TurnKeeper(runtime);
  expect(turns.mustTurn()).toBe(false);
  expect(turns.mustTurn()).toBe(false);
  runtime.clock.moveTo(runtime.clock.nowMs + HOP_FREE_MS_MAX + 0.5);
  expect(turns.mustTurn()).toBe(true);
  expect(turns.mustTurn()).toBe(true);
  await turns.turn();
  expect(turns.mustTurn()).toBe(false);
});
