/**
 * Reads of all kinds amid writes and merges do what a map does.
 *
 * AURA_STORM_RUNS takes more runs, AURA_STORM_FROM begins elsewhere, AURA_STORM_STEPS takes longer ones.
 */
import { expect, test } from "vitest";
import { runStorm } from "./support/read-storm.ts";

const RUNS = Number(process.env["AURA_STORM_RUNS"] ?? "12");
const FROM = Number(process.env["AURA_STORM_FROM"] ?? "1");
const STEPS = Number(process.env["AURA_STORM_STEPS"] ?? "150");

test("reads amid writes and merges do what a map does", { timeout: 1_800_000 }, async () => {
  for (let seed = FROM; seed < FROM + RUNS; seed++) await runStorm(seed, STEPS);
  expect.hasAssertions();
});
