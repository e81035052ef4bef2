/**
 * The whole engine against a model: random writes, reads, snapshots, maintenance, reopens, kills and
 * power losses, on settings so small that flush, compaction and relocation happen all the time.
 *
 * AURA_MODEL_SEED repeats one run; AURA_MODEL_RUNS takes more of them, AURA_MODEL_STEPS longer ones.
 * model.slow.test.ts goes on until 2 million operations are done.
 */
import { expect, test } from "vitest";
import { noteCounts } from "./support/counts.ts";
import { runWorld } from "./support/model-run.ts";
import { newTally } from "./support/model-state.ts";

const RUNS = Number(process.env["AURA_MODEL_RUNS"] ?? "40");
const SEED = process.env["AURA_MODEL_SEED"];
const STEPS = Number(process.env["AURA_MODEL_STEPS"] ?? "120");
const FROM = Number(process.env["AURA_MODEL_FROM"] ?? "1");

test("the engine does what a map does", { timeout: 1_800_000 }, async () => {
  const tally = newTally();
  const first = SEED === undefined ? FROM : Number(SEED);
  const last = SEED === undefined ? FROM + RUNS - 1 : first;
  for (let seed = first; seed <= last; seed++) {
    await runWorld(seed, STEPS, tally);
  }
  noteCounts({ modelOperations: tally.operations, modelCrashes: tally.kills + tally.powerLosses });
  if (SEED !== undefined) return;
  // The run means nothing unless it went through all of it.
  expect(tally.flushes).toBeGreaterThan(RUNS);
  expect(tally.merges).toBeGreaterThan(RUNS);
  expect(tally.rangeDeletes).toBeGreaterThan(RUNS);
  expect(tally.modes).toBeGreaterThan(RUNS / 2);
  expect(tally.decisions).toBeGreaterThan(RUNS / 2);
  // Few: deletes of ranges keep the trees small, and the bound on values merges last levels.
  expect(tally.tieredLevels).toBeGreaterThan(RUNS / 2);
  expect(tally.relocated).toBeGreaterThan(0);
  expect(tally.segmentsRemoved).toBeGreaterThan(RUNS / 2);
  expect(tally.kills).toBeGreaterThan(RUNS / 8);
  expect(tally.powerLosses).toBeGreaterThan(RUNS / 4);
  expect(tally.reopens).toBeGreaterThan(RUNS / 4);
});
