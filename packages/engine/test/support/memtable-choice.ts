/**
 * Runs the engine's tests on the memtable that AURA_MEMTABLE names, whatever their settings ask for:
 *
 *   AURA_MEMTABLE=btree npm test -- packages/engine
 */
import { vi } from "vitest";

vi.mock("@aura/memtable", async (importOriginal) => {
  const original = await importOriginal<{
    createMemtable: (implementation: string, ...rest: unknown[]) => unknown;
  }>();
  return {
    ...original,
    createMemtable: (_asked: string, ...rest: unknown[]) =>
      original.createMemtable(process.env["AURA_MEMTABLE"]!, ...rest),
  };
});
