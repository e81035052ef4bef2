import { describe, expect, it } from "vitest";
import { SeededRandom, systemRuntime } from "../src/runtime.ts";

describe("SeededRandom", () => {
  it("gives the same numbers for a seed, everywhere and for good", () => {
    const numbers = (seed: number) => {
      const random = new SeededRandom(seed);
      return [random.uint32(), random.uint32(), random.uint32()];
    };
    expect([numbers(0), numbers(1), numbers(2 ** 40 + 1)]).toMatchInlineSnapshot(`
      [
        [
          1427488602,
          1980682239,
          456575201,
        ],
        [
          573063952,
          3268221502,
          703077755,
        ],
        [
          814798428,
          2113512389,
          2525661280,
        ],
      ]
    `);
  });

  it("covers its range evenly", () => {
    const random = new SeededRandom(99);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const n = random.below(10);
      expect(Number.isInteger(n)).toBe(true);
      counts[n]!++;
    }
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describe("the platform's runtime", () => {
  const { clock, random, scheduler } = systemRuntime;

  it("tells the time", () => {
    expect(Math.abs(clock.wallMs() - Date.now())).toBeLessThan(1000);
    const first = clock.monotonicMs();
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(first);
  });

  it("draws unsigned 32-bit numbers", () => {
    const drawn = new Set(Array.from({ length: 100 }, () => random.uint32()));
    expect(drawn.size).toBeGreaterThan(90);
    for (const n of drawn) expect(n >>> 0).toBe(n);
  });

  it("runs tasks when it says, and not those that were cancelled", async () => {
    const order: string[] = [];
    const keepAlive = setTimeout(() => {}, 5000); // its own timers do not
    await new Promise<void>((resolve) => {
      scheduler.after(20, resolve);
      scheduler.after(1, () => order.push("cancelled")).cancel();
      scheduler.nextTurn(() => order.push("next turn"));
      scheduler.afterThis(() => order.push("after this"));
      order.push("this");
    });
    clearTimeout(keepAlive);
    expect(order).toEqual(["this", "after this", "next turn"]);
  });
});
