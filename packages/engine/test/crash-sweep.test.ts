/** Power losses and kills at many operations of one run, at each durability level. */
import { SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import type { Components } from "../src/index.ts";
import { randomAgent, worstAgent } from "./support/agents.ts";
import { noteCounts } from "./support/counts.ts";
import { checkPrefix, makeSteps, type Promised, runNames } from "./support/names-run.ts";
import { WatchedFs } from "./support/watched-fs.ts";

/** AURA_CRASH_POINTS per level; AURA_CRASH_SEED takes another history. */
const POINTS = Number(process.env["AURA_CRASH_POINTS"] ?? "120");
const SEED = Number(process.env["AURA_CRASH_SEED"] ?? "11");
const STEPS = Number(process.env["AURA_CRASH_STEPS"] ?? "5000");

interface Image {
  readonly fs: SimFs;
  readonly point: number;
  readonly kind: "power" | "kill";
  readonly promised: Promised;
}

/** Runs the names once to count operations, then once more, taking images at even distances. */
async function takeImages(
  level: "buffered" | "os" | "sync",
  points: number,
  agent?: Components["agent"],
): Promise<{
  images: Image[];
  steps: ReturnType<typeof makeSteps>;
}> {
  const steps = makeSteps(STEPS, SEED);
  expect(steps.filter(({ end }) => end !== undefined).length).toBeGreaterThan(STEPS / 250);
  let operations = 0;
  const none = { issued: 0, acked: 0, durable: 0 };
  await runNames(new WatchedFs(new SimFs(), () => operations++), steps, level, none, agent);
  const images: Image[] = [];
  const promised: Promised = { issued: 0, acked: 0, durable: 0 };
  const sim = new SimFs();
  let at = 0;
  const watched = new WatchedFs(sim, () => {
    at++;
    // Where there are fewer operations than points, one operation gives several images.
    while (images.length < (at * points) / operations) {
      const kill = images.length % 4 === 3;
      images.push({
        fs: kill ? sim.processKill() : sim.crash({ seed: (SEED - 11) * 100_003 + images.length }),
        point: at,
        kind: kill ? "kill" : "power",
        promised: { ...promised },
      });
    }
  });
  const done = await runNames(watched, steps, level, promised, agent);
  if (agent !== undefined) expect(done.changes).toBeGreaterThan(10);
  expect(done.flushes).toBeGreaterThanOrEqual(3);
  expect(done.merges).toBeGreaterThanOrEqual(1);
  expect(done.segmentsRemoved).toBeGreaterThanOrEqual(1);
  return { images, steps };
}

test.each([
  ["buffered", "no agent", undefined],
  ["os", "no agent", undefined],
  ["sync", "no agent", undefined],
  ["os", "a random agent", randomAgent],
  ["buffered", "an agent of the worst choices", worstAgent],
] as const)(
  "level %s, %s: what was promised survives every crash",
  { timeout: 1_800_000 },
  async (level, _what, agent) => {
    const points = agent === undefined ? POINTS : Math.ceil(POINTS / 4);
    const { images, steps } = await takeImages(level, points, agent);
    expect(images.length).toBeGreaterThanOrEqual(points);
    for (const image of images) {
      const { promised, kind, point } = image;
      const killed = kind === "kill" && level !== "buffered";
      const least = killed ? promised.acked : promised.durable;
      try {
        await checkPrefix(image.fs, steps, { least, most: promised.issued, isThorough: true });
      } catch (error) {
        throw new Error(`${kind} at operation ${point}, ${JSON.stringify(promised)}`, {
          cause: error,
        });
      }
    }
    noteCounts({ images: images.length });
  },
);
