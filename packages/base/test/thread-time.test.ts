/** Processor time of a thread: what is told where, and that it is not the time on the wall. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { threadTimes } from "../src/thread-time.ts";
import { isMissing } from "./support/requirements.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "aura-thread-time-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): string {
  const path = join(folder, "schedstat");
  writeFileSync(path, text);
  return path;
}

test("the kernel's line is read anew each time, nanoseconds as ms", () => {
  const path = fileOf("1500000 2500000 7\n");
  const times = threadTimes(path, {})!;
  expect(times()).toEqual({ cpuMs: 1.5, readyMs: 2.5 });
  writeFileSync(path, "90000000000 0 8\n");
  expect(times()).toEqual({ cpuMs: 90_000, readyMs: 0 });
});

test("what is no such line tells nothing, also later", () => {
  for (const text of [
    "",
    "1",
    "1 2",
    "a b c",
    "1 2 3 4",
    "-1 2 3",
    "1 2 3x",
    `1${"0".repeat(99)}`,
  ]) {
    expect(threadTimes(fileOf(text), {}), text).toBe(undefined);
  }
  const path = fileOf("1 2 3\n");
  const times = threadTimes(path, {})!;
  writeFileSync(path, "gone");
  expect(times()).toBe(undefined);
});

test("without that file the runtime is asked, and without either nothing is told", () => {
  const missing = join(folder, "missing");
  const usage = { threadCpuUsage: () => ({ user: 2000, system: 500 }) };
  expect(threadTimes(missing, usage)!()).toEqual({ cpuMs: 2.5, readyMs: undefined });
  expect(threadTimes(missing, {})).toBe(undefined);
});

const noTimes = isMissing(
  threadTimes() !== undefined,
  "neither kernel nor runtime tells the time of a thread; that it is right is NOT tested",
);

test.skipIf(noTimes)("a thread that waits is not at work; one that counts is", () => {
  const times = threadTimes()!;
  const word = new Int32Array(new SharedArrayBuffer(4));
  const before = times()!;
  Atomics.wait(word, 0, 0, 200);
  const waited = times()!;
  expect(waited.cpuMs - before.cpuMs).toBeLessThan(150);
  let sum = 0;
  while (times()!.cpuMs - waited.cpuMs < 20) for (let i = 0; i < 1e5; i++) sum += Math.sqrt(i);
  expect(sum).toBeGreaterThan(0);
});
