/** Databases on the real disk in a directory of their own, with worker threads. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { inject } from "vitest";
import { AuraDB, type Settings } from "../../src/index.ts";

/** Runs `work` with a fresh directory, which is removed behind it. */
export async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(`${tmpdir()}/aura-test-`);
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Opens with the worker entry that the test run bundled. */
export function openReal(directory: string, settings: Settings = {}): Promise<AuraDB> {
  return AuraDB.open(directory, settings, { workerUrl: new URL(inject("workerUrl")) });
}
