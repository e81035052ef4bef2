import { describe, expect, test } from "vitest";
import {
  type Distribution,
  fnv64,
  type Hash64,
  hashModulo,
  Latest,
  ScrambledZipfian,
  uniform,
  Zipfian,
} from "../src/distributions.ts";
import { Random } from "../src/random.ts";

const DRAWS = 200_000;

function countsOf(distribution: Distribution, count: number): number[] {
  const random = new Random(7);
  const counts = new Array<number>(count).fill(0);
  for (let i = 0; i < DRAWS; i++) counts[distribution.draw(random, count)]!++;
  return counts;
}

/** The original in BigInt: 8 octets, the lowest first; the sign taken off. */
function referenceFnv(value: bigint): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0n; i < 8n; i++) {
    hash ^= (value >> (8n * i)) & 0xffn;
    hash = BigInt.asUintN(64, hash * 1099511628211n);
  }
  const signed = BigInt.asIntN(64, hash);
  return signed < 0n ? -signed : signed;
}

test("the hash is FNV-1a of eight bytes, without its sign", () => {
  const random = new Random(3);
  const hash: Hash64 = { high: 0, low: 0 };
  const values = [0, 1, 255, 2 ** 31, 2 ** 32, 2 ** 33 + 5, 9_999_999_999];
  for (let i = 0; i < 300; i++) values.push(Math.floor(random.unit53() * 1e10));
  for (const value of values) {
    fnv64(value, hash);
    const expected = referenceFnv(BigInt(value));
    expect((BigInt(hash.high) << 32n) | BigInt(hash.low)).toBe(expected);
    for (const count of [1, 7, 1000, 4_294_967_295]) {
      expect(hashModulo(hash, count)).toBe(Number(expected % BigInt(count)));
    }
  }
});

describe("zipfian", () => {
  test("rank r comes about 1 / (r + 1)^0.99 / zeta of the time", () => {
    const count = 1000;
    let zeta = 0;
    for (let i = 1; i <= count; i++) zeta += 1 / i ** 0.99;
    const counts = countsOf(new Zipfian(), count);
    // Exact for the two most frequent ranks, an approximation behind them.
    for (const rank of [0, 1]) {
      const expected = DRAWS / (rank + 1) ** 0.99 / zeta;
      expect(Math.abs(counts[rank]! / expected - 1)).toBeLessThan(0.05);
    }
    for (const [from, to] of [
      [2, 10],
      [10, 100],
      [100, 1000],
    ] as const) {
      let expected = 0;
      let found = 0;
      for (let rank = from; rank < to; rank++) {
        expected += DRAWS / (rank + 1) ** 0.99 / zeta;
        found += counts[rank]!;
      }
      expect(Math.abs(found / expected - 1)).toBeLessThan(0.1);
    }
  });

  test("a count that grows step by step gives the same as one that was there at once", () => {
    const grown = new Zipfian();
    const random = new Random(1);
    for (let count = 10; count <= 500; count++) grown.draw(random, count);
    const a = new Random(5);
    const b = new Random(5);
    const fresh = new Zipfian();
    for (let i = 0; i < 1000; i++) expect(grown.draw(a, 500)).toBe(fresh.draw(b, 500));
  });

  test("scrambled: as skewed, the hottest records are spread, and all are below the count", () => {
    const count = 10_000;
    const counts = countsOf(new ScrambledZipfian(12_000), count);
    const hot = [...counts.keys()].sort((a, b) => counts[b]! - counts[a]!);
    // Of 10^10 items the first has 1 / 26.469; draws beyond the count are drawn again.
    expect(Math.abs(counts[hot[0]!]! / ((DRAWS / 26.469) * 1.15) - 1)).toBeLessThan(0.2);
    const ten = hot.slice(0, 10);
    const gaps = ten.map((index, i) => Math.abs(index - ten[(i + 1) % 10]!));
    expect(Math.max(...gaps)).toBeGreaterThan(1000);
    const share = ten.reduce((sum, index) => sum + counts[index]!, 0) / DRAWS;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.2);
    expect(counts).toHaveLength(count);
  });
});

test("latest: the newest record is the hottest, whatever the count is now", () => {
  const counts = countsOf(new Latest(), 2000);
  expect(counts[1999]).toBeGreaterThan(counts[1998]!);
  expect(counts[1998]).toBeGreaterThan(counts[1900]!);
  const tail = counts.slice(1800).reduce((sum, n) => sum + n, 0);
  expect(tail / DRAWS).toBeGreaterThan(0.6);
  const latest = new Latest();
  const random = new Random(9);
  let newest = 0;
  for (let count = 1; count <= 5000; count++) {
    const index = latest.draw(random, count);
    expect(index).toBeLessThan(count);
    expect(index).toBeGreaterThanOrEqual(0);
    if (index === count - 1) newest++;
  }
  expect(newest).toBeGreaterThan(400);
});

test("uniform: every record about as often as any other", () => {
  const counts = countsOf(uniform, 100);
  expect(Math.min(...counts)).toBeGreaterThan(1700);
  expect(Math.max(...counts)).toBeLessThan(2300);
});
