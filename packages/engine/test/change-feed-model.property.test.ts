/** Feeds beside random writes, faults, flushes, compactions and crashes: see support/feed-world.ts. */
import { expect, test } from "vitest";
import { type FeedTally, FeedWorld } from "./support/feed-world.ts";

/** AURA_FEED_RUNS: how many databases; the seeds are 1, 2, 3 and so on. */
const RUNS = Number(process.env["AURA_FEED_RUNS"] ?? "12");

test("feeds hand out exactly what was committed", async () => {
  const tally: FeedTally = {
    groups: 0,
    gone: 0,
    failed: 0,
    flushes: 0,
    merges: 0,
    pinnedBytes: 0,
    kills: 0,
    powerLosses: 0,
    separated: 0,
    ranges: 0,
  };
  for (let seed = 1; seed <= RUNS; seed++) {
    try {
      await new FeedWorld(seed, tally).run(350);
    } catch (cause) {
      throw new Error(`seed ${seed}: ${(cause as Error).message}`, { cause });
    }
  }
  for (const [what, count] of Object.entries(tally)) expect(count, what).toBeGreaterThan(0);
});
