import { hasCode } from "@aura/base";
import { describe, expect, it } from "vitest";
import { ARENA_BYTES_MIN, ArenaPool } from "../src/index.ts";

function codeOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  return undefined;
}

describe("ArenaPool", () => {
  it("reuses a released arena of the same size, whatever door it came through", () => {
    const one = new ArenaPool();
    const other = new ArenaPool();
    const bytes = ARENA_BYTES_MIN + 4 * 1001;
    const before = one.stats();
    const arena = one.acquire(bytes);
    const second = one.acquire(bytes);
    expect(second).not.toBe(arena);
    expect(one.stats().heldBytes - before.heldBytes).toBe(2 * bytes);
    other.release(arena);
    expect(other.acquire(bytes)).toBe(arena);
    one.release(arena);
    one.release(second);
    const after = one.stats();
    expect(after.heldCount).toBe(before.heldCount);
    expect(after.freeCount).toBe(before.freeCount + 2);
    expect(after.freeBytes).toBe(before.freeBytes + 2 * bytes);
    expect(after.madeCount).toBe(before.madeCount + 2);
    expect(after.reusedCount).toBe(before.reusedCount + 1);
    expect(one.acquire(bytes + 4)).not.toBe(arena);
  });

  it("keeps an arena until its last holder lets go, and counts holders exactly", () => {
    const pool = new ArenaPool();
    const bytes = ARENA_BYTES_MIN + 4 * 1002;
    const arena = pool.acquire(bytes);
    pool.retain(arena);
    pool.release(arena);
    expect(pool.acquire(bytes)).not.toBe(arena);
    pool.release(arena);
    expect(pool.acquire(bytes)).toBe(arena);
    pool.release(arena);
    expect(() => pool.release(arena)).toThrow("once per holder");
    expect(() => pool.retain(arena)).toThrow("while it is held");
    expect(() => pool.release(new SharedArrayBuffer(bytes))).toThrow("once per holder");
  });

  it("refuses sizes out of range", () => {
    const pool = new ArenaPool();
    for (const bytes of [0, -4, 4095, 4098, 2 ** 31, Number.NaN]) {
      expect(codeOf(() => pool.acquire(bytes))).toBe("AURA_INVALID_ARGUMENT");
    }
    expect(hasCode(new Error("x"), "AURA_INVALID_ARGUMENT")).toBe(false);
  });
});
