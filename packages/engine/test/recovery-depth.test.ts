/**
 * A crash at every operation of a short history, and behind each of them a crash before and after
 * every operation of the recovery: what was promised is there each time. Power losses with names and
 * sectors in any order, and kills; a third crash in the recovery of the second image follows each.
 *
 * The default takes a sample. AURA_DEPTH_PART=3/10 takes the third of ten parts of all, AURA_DEPTH_SEED
 * another history and other images.
 */
import { SeededRandom } from "@aura/base";
import { SimCrash, SimFs } from "@aura/base/testing";
import { expect, test } from "vitest";
import { noteCounts } from "./support/counts.ts";
import { checkPrefix, makeSteps, openSim, type Promised, runNames } from "./support/names-run.ts";
import { WatchedFs } from "./support/watched-fs.ts";

const SEED = Number(process.env["AURA_DEPTH_SEED"] ?? "1");
const [PART, PARTS] = (process.env["AURA_DEPTH_PART"] ?? "0/1").split("/").map(Number);
/** Without a part: every how manieth pair of points. */
const SAMPLE_STRIDE = 211;
const STEPS = 120;

const nothing: Promised = { issued: 0, acked: 0, durable: 0 };

/** Opens and closes with the machine going off at a point; returns whether it was met. */
async function stops(fs: SimFs, point: number): Promise<boolean> {
  fs.crashAt(point);
  try {
    const db = await openSim(fs);
    await db.close();
  } catch (error) {
    let cause: unknown = error;
    while (cause instanceof Error && !(cause instanceof SimCrash)) ({ cause } = cause);
    if (!(cause instanceof SimCrash) && !fs.isOff) throw error;
  }
  return fs.isOff;
}

test("a crash at every operation of the recovery from a crash at every operation", {
  timeout: 3_600_000,
}, async () => {
  const random = new SeededRandom(SEED);
  const steps = makeSteps(STEPS, SEED);
  const sim = new SimFs();
  const promised: Promised = { ...nothing };
  const first: { fs: SimFs; kind: "power" | "kill"; promised: Promised }[] = [];
  const watched = new WatchedFs(sim, () => {
    const isKill = first.length % 4 === 3;
    const names = random.below(2) === 0 ? "any" : "prefix";
    const gaps = random.below(2) === 0 ? "garbage" : "zeros";
    const seed = random.uint32();
    first.push({
      fs: isKill ? sim.processKill() : sim.crash({ seed, names, gaps }),
      kind: isKill ? "kill" : "power",
      promised: { ...promised },
    });
  });
  const done = await runNames(watched, steps, "os", promised);
  expect(done.flushes).toBeGreaterThanOrEqual(3);
  expect(done.merges).toBeGreaterThanOrEqual(1);

  let pairs = 0;
  let images = 0;
  let metTwice = 0;
  for (const [at, { fs, kind, promised: known }] of first.entries()) {
    const least = kind === "kill" ? known.acked : known.durable;
    const whole = fs.processKill();
    const before = whole.operations;
    await openSim(whole).then((db) => db.close());
    const points = 2 * (whole.operations - before);
    for (let point = 1; point <= points; point++) {
      const pair = pairs++;
      const isOurs = PART === 0 ? pair % SAMPLE_STRIDE === 0 : pair % PARTS! === PART! - 1;
      if (!isOurs) continue;
      // Of the pair alone: the same in a part and in all of them.
      const chance = new SeededRandom(SEED * 1_000_003 + pair);
      const where = `AURA_DEPTH_SEED=${SEED}: ${kind} at operation ${at + 1}, again at point ${point}`;
      try {
        const recovering = fs.processKill();
        expect(await stops(recovering, point)).toBe(true);
        // A kill loses nothing that the recovery wrote; a power loss what it had not synced.
        const isKill = kind === "kill" && pair % 2 === 0;
        const second = isKill
          ? recovering.processKill()
          : recovering.crash({ seed: chance.uint32(), names: "any" });
        const promisedThen = kind === "kill" && !isKill ? known.durable : least;
        const again = second.processKill();
        if (await stops(again, 1 + chance.below(points))) metTwice++;
        const third = again.crash({ seed: chance.uint32(), names: "any" });
        for (const [image, wanted] of [
          [second, promisedThen],
          [third, known.durable],
        ] as const) {
          images++;
          await checkPrefix(image, steps, {
            least: wanted,
            most: known.issued,
            isThorough: true,
          });
        }
      } catch (cause) {
        throw new Error(where, { cause });
      }
    }
  }
  noteCounts({ images, imagesInRecovery: images, recoveryPoints: images / 2, pairsInAll: pairs });
  expect(images).toBeGreaterThan(0);
  if (images > 40) expect(metTwice).toBeGreaterThan(images / 8);
  if (PART === 0) expect(pairs).toBeGreaterThan(2000);
});
