import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Budget } from "../../src/stores/store.ts";

/** Returns a new folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "aura-bench-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Small memtables, so that few keys make tables; the cache that RocksDB insists on. */
export const smallBudget: Budget = {
  memtableBytes: 2 ** 20,
  memtableCount: 3,
  cacheBytes: 32 * 2 ** 20,
  blobBytesMin: 1024,
  durability: "os",
  compression: "none",
  entryBytes: 200,
};
