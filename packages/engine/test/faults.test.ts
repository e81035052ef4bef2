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

/** Each kind of failure takes every how manieth operation. AURA_FAULT_STRIDE=1: all of them. */
const STRIDE = Number(process.env["AURA_FAULT_STRIDE"] ?? "9");

const OPERATIONS = new Set([
  "write",
  "sync",
  "truncate",
  "create",
  "rename",
  "unlink",
  "link",
  "mkdir",
  "rmdir",
  "syncDir",
]);

/**
 * Failures that the engine makes good without a trace: a buffered group or a watermark that goes to
 * the next log, an edit that a new manifest repeats, an orphan that the next open removes, the
 * reserve that is made later.
 */
const HEALED = [
  "write BALLAST",
  "create BALLAST",
  "write wal",
  "write vlog",
  "create wal",
  "write manifest",
  "unlink wal",
  "unlink vlog",
  "unlink sst",
  "unlink manifest",
];

/** Writes that a reopen must show: what a flush, sync, close or `sync` level vouched for. */
async function runWith(fault: Omit<SimFault, "at">, at: number): Promise<number> {
  const fs = new SimFs({ seed: at });
  const run = newRun(fs);
  let operation = 0;
  const hit: string[] = [];
  const planned = fs.failAt({
    ...fault,
    at: (kind, path) => {
      // A create that failed leaves nobody a handle, so it cannot have happened.
      if (!OPERATIONS.has(kind) || (fault.happened === true && kind === "create")) return false;
      operation++;
      const fires = operation === at || (fault.sticky === true && operation > at);
      if (fires) hit.push(`${kind} ${path.replace(/^.*[/.]/, "")}`);
      if (fires && fault.sync !== undefined && /^sync (wal|vlog)$/.test(hit.at(-1)!)) {
        run.pagesLost = true;
      }
      return fires;
    },
  });
  try {
    await script(run);
    for (const { what, error } of run.errors) {
      expect((error as Error).name, `${what}: ${(error as Error).stack}`).toBe("AuraError");
      expect((error as { code: string }).code).toMatch(/^AURA_/);
    }
    // What failed once and was made good in another file needs no word; anything else does.
    if (run.errors.length === 0 && run.events.length === 0) {
      for (const what of hit) expect(HEALED).toContain(what);
    }
    const rejectedAll = run.writes.every((write) => write.outcome !== "acknowledged");
    if (!rejectedAll || run.closedCleanly.length > 0) {
      const power = fs.crash({ seed: at });
      fs.clearFaults();
      const acked = run.writes.findLastIndex(
        ({ outcome, level }) => outcome === "acknowledged" && level !== "buffered",
      );
      await judge(
        run,
        fs.processKill(),
        run.pagesLost ? run.durable : Math.max(acked + 1, run.durable),
      );
      await judge(run, power, run.durable);
    }
    expect(new ArenaPool().stats().heldCount).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled.splice(0)).toEqual([]);
  } catch (cause) {
    fs.clearFaults();
    await run.db?.close().catch(() => undefined);
    const seen = run.errors
      .map(({ what, error }) => `${what}: ${(error as Error).message}`)
      .concat(run.events);
    const message = `${JSON.stringify(fault)} at ${at}: ${(cause as Error).message}\n${seen.join("\n")}`;
    throw new Error(message, { cause });
  }
  return planned.fired;
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
])("%s", (name, fault) => {
  const offset = name.length % STRIDE;
  test("at every operation", { timeout: 600_000 }, async () => {
    const total = await countOperations();
    let fired = 0;
    const failures: string[] = [];
    for (let at = Number(process.env["AT"] ?? 2 + offset); at <= total; at += STRIDE) {
      if (process.env["AT"]) process.stderr.write(`at ${at}/${total} ${Math.round(performance.now())}\n`);
      try {
        if ((await runWith(fault, at)) > 0) fired++;
      } catch (error) {
        failures.push((error as Error).message);
        if (process.env["AT"]) process.stderr.write(`FAIL ${(error as Error).message}\n`);
      }
    }
    expect(failures.slice(0, Number(process.env["FAILURES"] ?? 3)), `${failures.length} failed`).toEqual([]);
    expect(fired).toBeGreaterThan((total / STRIDE) * 0.8);
  });
});
