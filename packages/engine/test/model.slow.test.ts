/**
 * The slow tier of the model test: databases of 1,000 steps each, one after the other, with mode
 * switches, range deletes, snapshots, relocation, reopens, kills and power losses, until so many
 * operations are done. AURA_MODEL_OPS says how many (2 million), AURA_MODEL_SEED where the seeds begin;
 * a run prints its seeds and what it went through.
 */
import { expect, test } from "vitest";
import { noteCounts } from "./support/counts.ts";
import { runWorld } from "./support/model-run.ts";
import { newTally } from "./support/model-state.ts";

const OPERATIONS = Number(process.env["AURA_MODEL_OPS"] ?? "2000000");
const FIRST_SEED = Number(process.env["AURA_MODEL_SEED"] ?? "1000001");
const STEPS = 1000;

test("the engine does what a map does, for long", { timeout: 14_400_000 }, async () => {
  const tally = newTally();
  let seed = FIRST_SEED;
  for (; tally.operations < OPERATIONS; seed++) await runWorld(seed, STEPS, tally);
  noteCounts({ modelOperations: tally.operations, modelCrashes: tally.kills + tally.powerLosses });
  process.stdout.write(`seeds ${FIRST_SEED} to ${seed - 1}: ${JSON.stringify(tally)}\n`);
  expect(tally.operations).toBeGreaterThanOrEqual(OPERATIONS);
  for (const [what, count] of Object.entries(tally)) expect(count, what).toBeGreaterThan(0);
});
