/** Merges that fail side by side: one pause for all of them, and who waits is told an error. */
import { AuraError } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { CompactionRetry } from "../src/compaction-retry.ts";
import { DatabaseEmitter } from "../src/events.ts";
import { Health } from "../src/health.ts";
import { Reserve } from "../src/reserve.ts";

const full = new AuraError("AURA_OUT_OF_SPACE", "the volume is full");

function setUp() {
  const fs = new SimFs({ capacity: 0 });
  fs.makeDirectorySync("/db");
  const { clock, scheduler, advance } = simRuntime(1);
  const reserve = new Reserve(fs, clock, "/db");
  reserve.free();
  const world = { tries: 0 };
  const events = new DatabaseEmitter(scheduler);
  const retry = new CompactionRetry({ scheduler, health: new Health(), reserve, events }, () => {
    world.tries++;
  });
  return { retry, world, advance };
}

test("those that fail during the pause of another one neither end it nor add one", () => {
  const { retry, world, advance } = setUp();
  retry.later(full, 1);
  retry.later(new AuraError("AURA_IO", "no descriptors"), undefined);
  advance(10_000);
  expect(world.tries).toBe(0);
  const other = setUp();
  for (let i = 0; i < 3; i++)
    other.retry.later(new AuraError("AURA_IO", "no descriptors"), undefined);
  other.advance(10_000);
  expect(other.world.tries).toBe(1);
});

test("what is thrown is an error, also where the first of them met damage", () => {
  const { retry, world, advance } = setUp();
  const isVain = retry.vainTries.watch();
  retry.later(undefined, undefined);
  retry.later(full, 1);
  advance(2000);
  expect(world.tries).toBe(1);
  expect(isVain()).toBe(false);
  retry.later(full, 1);
  advance(1000);
  expect(isVain).toThrow(full);
});
