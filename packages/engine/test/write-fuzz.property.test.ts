/** Random writes of every kind under faults that overlap: see support/write-fuzz.ts. */
import { hashReady } from "@aura/base";
import { test } from "vitest";
import { noteCounts } from "./support/counts.ts";
import { leaveOpen } from "./support/leaks.ts";
import { WriteFuzz } from "./support/write-fuzz.ts";

const RUNS = Number(process.env["AURA_WRITE_RUNS"] ?? 6);
const FIRST = Number(process.env["AURA_WRITE_SEED"] ?? 1);

test("what was promised survives, whatever fails and whenever it stops", {
  timeout: 3_600_000,
}, async () => {
  await hashReady();
  // Some streams are ended by the close.
  leaveOpen();
  for (let seed = FIRST; seed < FIRST + RUNS; seed++) {
    const fuzz = new WriteFuzz(seed);
    try {
      await fuzz.run();
    } catch (cause) {
      const log = fuzz.log.slice(-200).join("\n");
      throw new Error(`seed ${seed}: ${String(cause)}\n${log}`, { cause });
    }
  }
  noteCounts({ writeRuns: RUNS });
});
