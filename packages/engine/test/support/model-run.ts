/** One database and its model from open to close: what every model test repeats. */
import { ArenaPool } from "@aura/memtable";
import { expect } from "vitest";
import { leaveOpen } from "./leaks.ts";
import type { Tally } from "./model-state.ts";
import { ModelWorld } from "./model-world.ts";

/** Runs one database and its model. A failure names the seed and the last steps. */
export async function runWorld(seed: number, steps: number, tally: Tally): Promise<void> {
  // Half of its snapshots end with their database.
  leaveOpen();
  const world = new ModelWorld(seed, tally);
  try {
    await world.run(steps);
    expect(new ArenaPool().stats().heldCount, "arenas that are held after the close").toBe(0);
  } catch (cause) {
    const tail = world.trace.slice(-30).join("\n  ");
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`seed ${seed}, step ${world.trace.length}: ${message}\n  ${tail}`, { cause });
  }
}
