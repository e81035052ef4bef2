/**
 * One history, thirty settings, the same answers.
 *
 * AURA_META_SEEDS=20 takes more histories, AURA_META_SEED=7 one of them, AURA_META_STEPS=5000 longer
 * ones; AURA_META_VARIANT picks the settings by name.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterAll, describe, expect, test } from "vitest";
import { ABSENT } from "./support/codecs-here.ts";
import { noteCounts } from "./support/counts.ts";
import { HistoryDraw, modelTranscript } from "./support/metamorphic-history.ts";
import { MetamorphicRun } from "./support/metamorphic-run.ts";
import { VARIANTS, VARIANTS_HERE } from "./support/metamorphic-variants.ts";

const SEEDS = Number(process.env["AURA_META_SEEDS"] ?? "1");
const SEED = process.env["AURA_META_SEED"];
const STEPS = Number(process.env["AURA_META_STEPS"] ?? "60");
const VARIANT = process.env["AURA_META_VARIANT"];

const first = SEED === undefined ? 1 : Number(SEED);
const seeds = Array.from({ length: SEED === undefined ? SEEDS : 1 }, (_, i) => first + i);

test("there are thirty variants, each of its own name", () => {
  expect(new Set(VARIANTS.map(({ name }) => name)).size).toBe(30);
  expect(VARIANTS_HERE.length).toBe(30 - ABSENT.length);
});

describe.each(seeds)("history %i", (seed) => {
  const steps = new HistoryDraw(seed).steps(STEPS);
  const wanted = modelTranscript(steps);
  let merges = 0;
  afterAll(() => {
    if (VARIANT === undefined) expect(merges).toBeGreaterThan(variants.length);
  });
  const variants = VARIANTS_HERE.filter(({ name }) => VARIANT === undefined || name === VARIANT);

  test.each(variants)("$name", { timeout: 1_800_000 }, async (variant) => {
    const directory = variant.world.isReal ? mkdtempSync(`${tmpdir()}/aura-meta-`) : "";
    try {
      const run = new MetamorphicRun(variant, seed, directory);
      const lines = await run.transcript(steps);
      const at = lines.findIndex((line, i) => line !== wanted[i]);
      expect(run.tally.flushes).toBeGreaterThan(0);
      merges += run.tally.merges;
      noteCounts({ metamorphicSteps: steps.length });
      if (at < 0) return;
      const { kind, ...rest } = steps[at]!;
      const found = differenceOf(lines[at]!, wanted[at]!);
      throw new Error(
        `AURA_META_SEED=${seed} AURA_META_STEPS=${STEPS} AURA_META_VARIANT='${variant.name}': ` +
          `step ${at} (${kind} ${JSON.stringify(rest).slice(0, 300)}): ${found}`,
      );
    } finally {
      if (directory !== "") rmSync(directory, { recursive: true, force: true });
    }
  });
});

function differenceOf(found: string, wanted: string): string {
  const [a, b] = [found.split(" "), wanted.split(" ")];
  const at = a.findIndex((part, i) => part !== b[i]);
  return `answer ${at} of ${a.length}/${b.length}: ${a[at]} instead of ${b[at]}`;
}
