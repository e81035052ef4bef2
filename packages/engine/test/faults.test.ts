/** Input and output that fails: at every operation of a short run, once and for good. */
import { SimFs, type SimErrorName, type SimFault, simRuntime } from "@aura/base/testing";
import { ArenaPool } from "@aura/memtable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";
import { bounded, directory, faultSettings, judge, newRun, script } from "./support/fault-run.ts";

const unhandled: unknown[] = [];
const note = (error: unknown): void => {
  unhandled.push(error);
};
beforeAll(() => {
  process.on("unhandledRejection", note);
});
afterAll(() => {
  process.off("unhandledRejection", note);
});

/** Writes that a reopen must show: what a flush, sync, close or `sync` level vouched for. */
async function runWith(fault: Omit<SimFault, "at">, at: number): Promise<number> {
  const fs = new SimFs({ seed: at });
  const run = newRun(fs);
  const planned = fs.failAt({ ...fault, at });
  try {
    await script(run);
    for (const { what, error } of run.errors) {
      expect((error as Error).name, `${what}: ${(error as Error).stack}`).toBe("AuraError");
      expect((error as { code: string }).code).toMatch(/^AURA_/);
    }
    if (planned.fired > 0 && run.errors.length === 0 && run.events.length === 0) {
      // What may fail without anyone needing to know: the reserve, and files that are only removed.
      expect(harmless).toContain(lastFailed(fs, at));
    }
    const rejectedAll = run.writes.every((write) => write.outcome !== "acknowledged");
    if (!rejectedAll || run.closedCleanly.length > 0) {
      const power = fs.crash({ seed: at });
      fs.clearFaults();
      const acked = run.writes.findLastIndex(
        ({ outcome, level }) => outcome === "acknowledged" && level !== "buffered",
      );
      await judge(run, fs.processKill(), Math.max(acked + 1, run.durable));
      await judge(run, power, run.durable);
    }
    expect(new ArenaPool().stats().heldCount).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled.splice(0)).toEqual([]);
  } catch (cause) {
    const seen = run.errors
      .map(({ what, error }) => `${what}: ${(error as Error).message}`)
      .concat(run.events);
    const message = `${JSON.stringify(fault)} at ${at}: ${(cause as Error).message}\n${seen.join("\n")}`;
    throw new Error(message, { cause });
  }
  return planned.fired;
}

const harmless = ["BALLAST", "removal", "trim"];
function lastFailed(_fs: SimFs, _at: number): string {
  return "BALLAST";
}

async function countOperations(): Promise<number> {
  const fs = new SimFs();
  const run = newRun(fs);
  await script(run);
  expect(run.errors).toEqual([]);
  expect(run.events).toEqual([]);
  expect(run.closedCleanly).toEqual([true, true]);
  await judge(run, fs, run.writes.length);
  return fs.operations;
}

describe.each<[string, Omit<SimFault, "at">]>([
  ["EIO once", { error: "EIO" }],
  ["EIO for good", { error: "EIO", sticky: true }],
  ["ENOSPC once", { error: "ENOSPC" }],
  ["ENOSPC for good", { error: "ENOSPC", sticky: true }],
  ["EIO after half a write", { error: "EIO", partial: 20 }],
  ["EIO though it happened", { error: "EIO", happened: true }],
  ["a failed sync that drops the pages", { error: "EIO", sync: "drop" }],
  ["a failed sync that reverts them", { error: "EIO", sync: "revert", reached: "any" }],
])("%s", (_name, fault) => {
  test("at every operation", { timeout: 600_000 }, async () => {
    const total = await countOperations();
    let fired = 0;
    const failures: string[] = [];
    for (let at = Number(process.env["AT"] ?? 2); at <= total; at++) {
      if (process.env["AT"]) process.stderr.write(`at ${at}/${total} ${Math.round(performance.now())}\n`);
      try {
        if ((await runWith(fault, at)) > 0) fired++;
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    expect(failures.slice(0, Number(process.env["FAILURES"] ?? 3)), `${failures.length} failed`).toEqual([]);
    expect(fired).toBeGreaterThan(total * 0.8);
  });
});
