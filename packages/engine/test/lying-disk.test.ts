/**
 * A disk that lies. A write that goes astray, or nowhere, is noticed by checksums: a read fails, an open
 * refuses, or shows what an earlier moment left; behind a clean close nothing is missing. A sync that was
 * none can lose what it vouched for, but never leaves a hole in the history, nor a wrong value.
 */
import { hashReady, SeededRandom } from "@aura/base";
import { type SimFault, SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { noteCounts } from "./support/counts.ts";
import {
  attempt,
  closeOnce,
  type FaultRun,
  newRun,
  openOnce,
  possibleStates,
  script,
} from "./support/fault-run.ts";
import { expectDamage } from "./support/leaks.ts";
import { checkPrefix, makeSteps, type Promised, runNames } from "./support/names-run.ts";
import { readAll } from "./support/read-fault-run.ts";
import { WatchedFs } from "./support/watched-fs.ts";

beforeAll(hashReady);

/** AURA_LYING_STRIDE=1: every write; AURA_LYING_IMAGES of power losses, from AURA_LYING_SEED on. */
const STRIDE = Number(process.env["AURA_LYING_STRIDE"] ?? "11");
const IMAGES = Number(process.env["AURA_LYING_IMAGES"] ?? "60");
const SEED = Number(process.env["AURA_LYING_SEED"] ?? "1");

const codesOf = ({ errors }: FaultRun): Set<string | undefined> =>
  new Set(errors.map(({ error }) => (error as { code?: string }).code));

/** What a disk holds is opened and read: nothing that it shows is wrong. Returns whether it failed. */
async function readBack(run: FaultRun, fs: SimFs, least: number): Promise<boolean> {
  const again: FaultRun = { ...newRun(fs), writes: run.writes };
  if (await openOnce(again)) {
    await readAll(again, possibleStates(run.writes, least));
    // Merges meet what reads did not.
    await attempt(again, "compact", () => again.db!.compact());
    await readAll(again, possibleStates(run.writes, least));
    await attempt(again, "close", () => again.db!.close());
    expect(fs.openPaths()).toEqual([]);
  }
  for (const { what, error } of again.errors) {
    expect((error as Error).name, `${what}: ${(error as Error).stack}`).toBe("AuraError");
  }
  return codesOf(again).has("AURA_CORRUPTION");
}

describe.each<[string, SimFault["astray"]]>([
  ["nowhere", "nowhere"],
  ["to another place of its file", 700],
])("a write that goes %s", (_name, astray) => {
  test("is noticed, or harmless, or takes the end of the history", async () => {
    expectDamage();
    const whole = newRun(new SimFs());
    await script(whole);
    const total = whole.fs.counts.write;
    let noticed = 0;
    let lies = 0;
    const failures: string[] = [];
    for (let nth = 1 + (SEED % STRIDE); nth <= total; nth += STRIDE) {
      const run = newRun(new SimFs({ seed: nth }));
      let file = "";
      run.fs.failAt({
        at: (call, path, count) => {
          if (call !== "write" || count !== nth) return false;
          file = path;
          return true;
        },
        ...(astray !== undefined && { astray }),
      });
      try {
        await script(run);
        lies++;
        const isClean = run.closedCleanly.at(-1) === true;
        const seen = await readBack(run, run.fs.processKill(), isClean ? run.writes.length : 0);
        if (seen || codesOf(run).has("AURA_CORRUPTION") || run.events.length > 0) noticed++;
      } catch (error) {
        await closeOnce(run).catch(() => undefined);
        failures.push(`write ${nth} to ${file}: ${(error as Error).message}`);
      }
    }
    expect(failures.slice(0, 5), `${failures.length} of ${lies}`).toEqual([]);
    expect(noticed).toBeGreaterThan(0);
    noteCounts({ lies });
  });
});

test("syncs that are none lose at most the end of the history, and are told from it", async () => {
  expectDamage();
  const steps = makeSteps(1000, SEED);
  const promised: Promised = { issued: 0, acked: 0, durable: 0 };
  const random = new SeededRandom(SEED);
  let operations = 0;
  const idle: Promised = { ...promised };
  await runNames(new WatchedFs(new SimFs(), () => operations++), steps, "os", idle);
  const sim = new SimFs();
  // Most of them lie: what an honest one finds in the device it brings to the disk.
  sim.failAt({
    at: (call) => (call === "sync" || call === "syncDir") && random.below(4) > 0,
    silent: true,
    sticky: true,
  });
  const images: { fs: SimFs; issued: number; durable: number; at: number }[] = [];
  let at = 0;
  const watched = new WatchedFs(sim, () => {
    at++;
    while (images.length < (at * IMAGES) / operations) {
      const names = images.length % 2 === 0 ? "prefix" : "any";
      const fs = sim.crash({ seed: SEED * 10_007 + images.length, names });
      images.push({ fs, issued: promised.issued, durable: promised.durable, at });
    }
  });
  await runNames(watched, steps, "os", promised);
  let refused = 0;
  let short = 0;
  for (const { fs, issued, durable, at: operation } of images) {
    try {
      const k = await checkPrefix(fs, steps, { least: 0, most: issued, isThorough: false });
      if (k < durable) short++;
    } catch (error) {
      if ((error as { code?: string }).code !== "AURA_CORRUPTION") {
        throw new Error(`operation ${operation}`, { cause: error });
      }
      refused++;
    }
  }
  // The lies were told, and most of them found out.
  expect(refused + short).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(0);
  expect(images.length).toBeGreaterThanOrEqual(IMAGES);
  noteCounts({ lies: images.length });
});
