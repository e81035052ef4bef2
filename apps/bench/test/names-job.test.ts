import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDataSet, saveDataSet } from "../src/data-set.ts";
import { composeNames } from "../src/names.ts";
import { cut, NamesJob, sizesFor } from "../src/names-job.ts";
import { type Progress, ProgressView } from "../src/progress.ts";
import { renderTable } from "../src/report.ts";
import { smallBudget, temporaryFolder } from "./support/folder.ts";
import { localHosts } from "./support/local-host.ts";
import { type Faults, mapStore } from "./support/map-store.ts";

const COUNT = 400;
const dataFolder = mkdtempSync(join(tmpdir(), "aura-bench-test-"));
beforeAll(() => saveDataSet(createDataSet(composeNames(COUNT, 9), 9), dataFolder));
afterAll(() => rmSync(dataFolder, { recursive: true }));

const silent: Progress = { begin: () => {}, step: () => {}, end: () => {} };

function makeJob(options: { faults?: Faults; signal?: AbortSignal; progress?: Progress } = {}) {
  const folder = temporaryFolder();
  const log: string[] = [];
  const job = new NamesJob({
    stores: (["aura", "rocksdb"] as const).map((store) => ({
      store,
      path: `${folder}/${store}`,
      dataFolder,
      budget: smallBudget,
    })),
    sizes: sizesFor(COUNT),
    startHost: localHosts(({ store }) => mapStore(store === "aura" ? options.faults : {}), log),
    progress: options.progress ?? silent,
    signal: options.signal ?? new AbortController().signal,
  });
  return { job, log };
}

describe("NamesJob", () => {
  test("measures both stores in all phases, and every value is right", async () => {
    const { job } = makeJob();
    await job.run();
    const phases = job.results.map(({ samples }) => Object.keys(samples).sort());
    expect(phases[0]).toEqual(phases[1]);
    expect(phases[0]).toContain("scanAgain");
    expect(job.mismatches).toBe(0);
    const ops = (job.results[0]!.samples.load ?? []).reduce((sum, sample) => sum + sample.ops, 0);
    expect(ops).toBe(COUNT);
  });

  test("gives the turn to one store at a time, and begins with another each time", async () => {
    const { job, log } = makeJob();
    await job.run();
    let working: string | undefined;
    for (const line of log) {
      const [store = "", what] = line.split(": ");
      if (what === "resume") {
        expect(working).toBeUndefined();
        working = store;
      } else if (what === "pause") working = undefined;
      else if (what !== "kill") expect(working).toBe(store);
    }
    const loads = log.filter((line) => line.includes(": load ")).map((line) => line.split(":")[0]);
    expect(loads.slice(0, 4).sort()).toEqual(["aura", "aura", "rocksdb", "rocksdb"]);
    expect(loads[1]).toBe(loads[2]);
  });

  test("counts wrong values", async () => {
    const { job } = makeJob({ faults: { get: () => Buffer.from("wrong") } });
    await job.run();
    expect(job.mismatches).toBeGreaterThan(100);
  });

  test("keeps what ran when a store fails, and ends the processes", async () => {
    const fail = (method: string) => (method === "put" ? new Error("disk on fire") : undefined);
    const { job, log } = makeJob({ faults: { fail } });
    await expect(job.run()).rejects.toThrow("disk on fire");
    expect(job.results[0]!.samples.scan).toBeDefined();
    expect(log.filter((line) => line.endsWith(": kill"))).toHaveLength(2);
    const table = renderTable(job.results);
    expect(table).toContain("ordered scan");
    expect(table).not.toContain("reopen");
  });

  test("ends when it is interrupted, even while a store does not answer", async () => {
    const interrupt = new AbortController();
    const progress: Progress = {
      ...silent,
      step: (phase) => {
        if (phase === "ordered scan") interrupt.abort(new Error("interrupted"));
      },
    };
    const { job, log } = makeJob({ signal: interrupt.signal, progress });
    await expect(job.run()).rejects.toThrow("interrupted");
    expect(job.results.flatMap(({ samples }) => samples.scan ?? [])).toHaveLength(1);
    expect(log.at(-1)).toMatch(/kill$/);
  });

  test("prints a line per phase where there is no terminal", async () => {
    const lines: string[] = [];
    const progress = new ProgressView({ write: (text) => lines.push(text) });
    await makeJob({ progress }).job.run();
    expect(lines[0]).toMatch(/^load +(aura|rocksdb) .*\/s \(.*\) {3}(aura|rocksdb) /);
    expect(lines.filter((line) => line.startsWith("reopen"))).toHaveLength(2);
  });
});

test("cut covers everything once", () => {
  for (const count of [0, 1, 7, 1000, 99_999]) {
    const slices = cut(count, 1000, 10);
    expect(slices[0]![0]).toBe(0);
    expect(slices.at(-1)![1]).toBe(count);
    for (let i = 1; i < slices.length; i++) expect(slices[i]![0]).toBe(slices[i - 1]![1]);
  }
});
