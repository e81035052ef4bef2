/**
 * The whole engine against a model: random writes, reads, snapshots, maintenance, reopens, kills and
 * power losses, on settings so small that flush, compaction and relocation happen all the time.
 *
 * AURA_MODEL_SEED repeats one run; AURA_MODEL_RUNS takes more of them, AURA_MODEL_STEPS longer ones: 2,000
 * runs of 1,000 steps are some 2 million.
 */
import { ArenaPool } from "@aura/memtable";
import { expect, test } from "vitest";
import type { Tally } from "./support/model-state.ts";
import { ModelWorld } from "./support/model-world.ts";

const RUNS = Number(process.env["AURA_MODEL_RUNS"] ?? "40");
const SEED = process.env["AURA_MODEL_SEED"];
const STEPS = Number(process.env["AURA_MODEL_STEPS"] ?? "120");

test("the engine does what a map does", { timeout: 1_800_000 }, async () => {
  const tally: Tally = {
    steps: 0,
    flushes: 0,
    merges: 0,
    modes: 0,
    tieredLevels: 0,
    relocated: 0,
    segmentsRemoved: 0,
    kills: 0,
    powerLosses: 0,
    reopens: 0,
    rangeDeletes: 0,
    decisions: 0,
  };
  const first = SEED === undefined ? 1 : Number(SEED);
  const last = SEED === undefined ? RUNS : first;
  for (let seed = first; seed <= last; seed++) {
    const world = new ModelWorld(seed, tally);
    try {
      await world.run(STEPS);
      expect(new ArenaPool().stats().heldCount, "arenas that are held after the close").toBe(0);
    } catch (cause) {
      const tail = world.trace.slice(-30).join("\n  ");
      const message = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`seed ${seed}, step ${world.trace.length}: ${message}\n  ${tail}`, { cause });
    }
  }
  if (SEED !== undefined) return;
  // The run means nothing unless it went through all of it.
  expect(tally.flushes).toBeGreaterThan(RUNS);
  expect(tally.merges).toBeGreaterThan(RUNS);
  expect(tally.rangeDeletes).toBeGreaterThan(RUNS);
  expect(tally.modes).toBeGreaterThan(RUNS / 2);
  expect(tally.decisions).toBeGreaterThan(RUNS / 2);
  // Few: deletes of ranges keep the trees small.
  expect(tally.tieredLevels).toBeGreaterThan(RUNS / 20);
  expect(tally.relocated).toBeGreaterThan(0);
  expect(tally.segmentsRemoved).toBeGreaterThan(RUNS / 2);
  expect(tally.kills).toBeGreaterThan(RUNS / 8);
  expect(tally.powerLosses).toBeGreaterThan(RUNS / 4);
  expect(tally.reopens).toBeGreaterThan(RUNS / 4);
});
