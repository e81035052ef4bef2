import { compareKeys, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type LearnedIndexSettings, learnedIndex } from "../src/index.ts";
import { BOUND_SETS, blockIndexContract, blockOf } from "./index-contract.ts";

function build(bounds: readonly Uint8Array[], errorBlocks = 1): Uint8Array | undefined {
  const builder = learnedIndex({ errorBlocks }).builder();
  for (const bound of bounds) builder.add(bound);
  return builder.finish();
}

function boundsOf(name: string): readonly Uint8Array[] {
  return BOUND_SETS.find((set) => set.name === name)!.bounds;
}

describe.each([1 / 16, 1, 8])("contract, error of %i blocks", (errorBlocks) => {
  blockIndexContract(learnedIndex({ errorBlocks }), BOUND_SETS, { mustBuild: false });
});

const KEYS_PER_BLOCK = 32;

/** Shortest separators of blocks of ascending keys. */
function separators(keys: readonly Uint8Array[]): Uint8Array[] {
  const bounds = [new Uint8Array(0)];
  for (let at = KEYS_PER_BLOCK; at < keys.length; at += KEYS_PER_BLOCK) {
    const last = keys[at - 1]!;
    const first = keys[at]!;
    let common = 0;
    while (last[common] === first[common]) common++;
    bounds.push(first.slice(0, common + 1));
  }
  return bounds;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const shuffled = (i: number): number => (i * 2_654_435_761) % 4_294_967_296;

test.each([49, 50, 2000])("a bound that shares %i bytes is told from keys below it", (length) => {
  const short = Array.from({ length: 1599 }, (_, i) =>
    Uint8Array.of(0x6b, 0x20 + Math.floor(i / 40), 0x20 + (i % 40)),
  );
  const long = new Uint8Array(length + 1).fill(0x6b);
  long[length] = 0;
  const bounds = [new Uint8Array(0), ...short, long];
  const index = learnedIndex().decode(build(bounds)!, bounds.length);
  // The shorter ones of it are below it, and in the block before.
  for (let end = 2; end <= long.length; end++) {
    index.locate(long, 0, end);
    const block = end === long.length ? 1600 : 1599;
    expect([end, index.first, index.last]).toEqual([end, block, block]);
  }
});

test.each([0xffff, 0x10000])("%i bytes that all bounds share are no error", (length) => {
  // What versions of one longest key lead to: a bound is that key, and a byte that ends it.
  const same = new Uint8Array(length).fill(0x61);
  expect(build([new Uint8Array(0), ...Array.from({ length: 40 }, () => same)])).toBeUndefined();
});

test.each<[string, (i: number) => string]>([
  ["sequential digits", (i) => `user${String(i * 3).padStart(16, "0")}`],
  ["scattered digits", (i) => `user${String(shuffled(i) * 1009).padStart(20, "0")}`],
  ["hex", (i) => shuffled(i).toString(16).padStart(8, "0")],
  [
    "time series",
    (i) => `sensor/${String(i % 16).padStart(3, "0")}/${1_700_000_000_000 + i * 997}`,
  ],
])("pays for %s, and names the one block of every key", (_, keyOf) => {
  const keys = Array.from({ length: 20_000 }, (_key, i) => text(keyOf(i))).sort(compareKeys);
  const bounds = separators(keys);
  const bytes = build(bounds)!;
  const separatorBytes = bounds.reduce((sum, bound) => sum + bound.length + 8, 0);
  const index = learnedIndex().decode(bytes, bounds.length);
  expect(index.residentBytes).toBeLessThan(separatorBytes * 0.2);
  for (const [i, key] of keys.entries()) {
    index.locate(key, 0, key.length);
    expect([index.first, index.last]).toEqual([
      Math.floor(i / KEYS_PER_BLOCK),
      Math.floor(i / KEYS_PER_BLOCK),
    ]);
  }
});

test.each(["one block", "two blocks", "random bytes"])("declines %s", (name) => {
  expect(build(boundsOf(name))).toBeUndefined();
});

test("declines too few blocks, and keys that no double tells apart", () => {
  const digits = (count: number): Uint8Array[] => [
    new Uint8Array(0),
    ...Array.from({ length: count - 1 }, (_, i) => new TextEncoder().encode(String(i + 1000))),
  ];
  expect(build(digits(31))).toBeUndefined();
  expect(build(digits(500))).toBeDefined();
  const random = new SeededRandom(2);
  // Groups of keys that differ only far behind what a code can hold.
  const groups = Array.from({ length: 20 }, () => new Uint8Array(12).map(() => random.below(256)));
  const deep = groups
    .flatMap((head) => Array.from({ length: 40 }, (_, i) => Uint8Array.from([...head, i])))
    .sort(compareKeys);
  expect(build([new Uint8Array(0), ...deep])).toBeUndefined();
});

const digitKey = fc.nat(10 ** 8).map((n) => [...text(String(n).padStart(8, "0"))]);
const oddKey = fc.array(fc.constantFrom(0, 0x30, 0x31, 0x39, 0x61, 0xff), { maxLength: 8 });
const manyKeys = fc.oneof(
  fc.array(digitKey, { minLength: 100, maxLength: 400 }),
  fc.array(fc.oneof(digitKey, digitKey, digitKey, oddKey), { minLength: 100, maxLength: 400 }),
  fc.array(oddKey, { minLength: 40, maxLength: 400 }),
);

test("a model names the block of any key that separators name", () => {
  let built = 0;
  fc.assert(
    fc.property(
      manyKeys,
      fc.array(fc.oneof(digitKey, oddKey), { maxLength: 60 }),
      fc.constantFrom<LearnedIndexSettings>(
        {},
        { errorBlocks: 4 },
        { errorBlocks: 1, segments: "cone" },
        { errorBlocks: 1, modelType: "radix-spline" },
      ),
      (raw, probes, settings) => {
        const keys = raw.filter((bytes) => bytes.length > 0).map((bytes) => Uint8Array.from(bytes));
        const bounds = [new Uint8Array(0), ...keys.sort(compareKeys)];
        const builder = learnedIndex(settings).builder();
        for (const bound of bounds) builder.add(bound);
        const bytes = builder.finish();
        if (bytes === undefined) return;
        built++;
        const index = learnedIndex().decode(bytes, bounds.length);
        for (const probe of [...probes.map((one) => Uint8Array.from(one)), ...keys]) {
          index.locate(probe, 0, probe.length);
          expect([index.first, index.last]).toEqual([blockOf(bounds, probe), index.first]);
        }
      },
    ),
    { numRuns: 200 },
  );
  expect(built).toBeGreaterThan(8);
});

describe("a damaged model", () => {
  const bounds = boundsOf("hex");
  const bytes = build(bounds)!;

  /** Any range inside the table is fine: the table finds out. */
  function attempt(damaged: Uint8Array): void {
    const started = bounds.length;
    try {
      const index = learnedIndex().decode(damaged, bounds.length);
      for (const key of [bounds[0]!, bounds[500]!, bounds.at(-1)!, Uint8Array.of(0xff)]) {
        index.locate(key, 0, key.length);
        expect(index.first).toBeGreaterThanOrEqual(0);
        expect(index.last).toBeLessThan(started);
        expect(index.first).toBeLessThanOrEqual(index.last);
      }
    } catch (error) {
      expect((error as { code?: string }).code).toBe("AURA_CORRUPTION");
    }
  }

  test("cut off anywhere is refused", () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => learnedIndex().decode(bytes.slice(0, length), bounds.length)).toThrow();
    }
    expect(() => learnedIndex().decode(bytes, bounds.length + 1)).toThrow("lengths");
  });

  test("with any byte changed is refused or stays inside the table", () => {
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [1, 0x80, 0xff]) {
        const damaged = bytes.slice();
        damaged[at]! ^= mask;
        attempt(damaged);
      }
    }
  });

  test("of any bytes is refused or stays inside the table", () => {
    const random = new SeededRandom(11);
    for (let round = 0; round < 3000; round++) {
      const damaged = bytes.slice();
      for (let n = random.below(8); n >= 0; n--) {
        damaged[random.below(random.below(2) === 0 ? 64 : bytes.length)] = random.below(256);
      }
      attempt(damaged);
    }
  });
});

test("settings out of range are refused", () => {
  for (const errorBlocks of [0, -1, 65, Number.NaN]) {
    expect(() => learnedIndex({ errorBlocks })).toThrow(RangeError);
  }
});
