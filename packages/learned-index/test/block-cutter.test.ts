import { compareKeys, SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import { EvenCutter } from "../src/block-cutter.ts";
import { learnedIndex } from "../src/index.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const NO_KEY = new Uint8Array(0);
const ENTRY_BYTES = 100;
const TARGET_BYTES = 3200;

interface Cuts {
  readonly bounds: Uint8Array[];
  readonly sizes: number[];
  /** Bounds that were asked for and taken. */
  readonly met: number;
}

/** Cuts ascending keys as a table writer does. */
function cutKeys(cutter: EvenCutter, keys: readonly Uint8Array[]): Cuts {
  const bounds = [new Uint8Array(0)];
  const sizes: number[] = [];
  let met = 0;
  let size = ENTRY_BYTES;
  let length = 0;
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i]!;
    const last = keys[i - 1]!;
    const wish = cutter.bytes.slice(0, length);
    const isPast = length > 0 && compareKeys(key, wish) >= 0;
    const most = TARGET_BYTES * (length > 0 ? 1.5 : 1);
    if (size + ENTRY_BYTES > most || (size >= TARGET_BYTES / 2 && isPast)) {
      let common = 0;
      while (last[common] === key[common]) common++;
      const isMet = isPast && compareKeys(last, wish) < 0;
      if (isMet) met++;
      const lower = isMet ? wish : key.slice(0, common + 1);
      bounds.push(lower);
      sizes.push(size);
      length = cutter.next(lower, size, TARGET_BYTES, key, 0, key.length);
      if (length > 0) {
        const next = cutter.bytes.subarray(0, length);
        expect(compareKeys(next, lower)).toBeGreaterThan(0);
      }
      size = 0;
    }
    size += ENTRY_BYTES;
  }
  return { bounds, sizes, met };
}

function keysOf(count: number, keyOf: (i: number) => string): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => text(keyOf(i))).sort(compareKeys);
}

const random = new SeededRandom(3);

test.each<[string, Uint8Array[]]>([
  ["numbers in sequence", keysOf(40_000, (i) => `user${String(i * 3).padStart(12, "0")}`)],
  ["scattered numbers", keysOf(40_000, () => `k${String(random.uint32()).padStart(10, "0")}`)],
  [
    "hex with dashes",
    keysOf(
      40_000,
      () => `${random.uint32().toString(16).padStart(8, "0")}-${random.below(65536).toString(16)}`,
    ),
  ],
])("%s: most blocks end where they were asked to, and have their size", (_, keys) => {
  const { bounds, sizes, met } = cutKeys(new EvenCutter(), keys);
  expect(met / bounds.length).toBeGreaterThan(0.9);
  const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  expect(mean / TARGET_BYTES).toBeGreaterThan(0.93);
  expect(mean / TARGET_BYTES).toBeLessThan(1.07);
  const builder = learnedIndex().builder();
  for (const bound of bounds) builder.add(bound);
  const index = learnedIndex().decode(builder.finish()!, bounds.length);
  // Less than half a byte per block, beside the alphabets.
  expect(index.residentBytes).toBeLessThan(bounds.length / 2 + 700);
});

test("keys whose lengths differ are cut by size", () => {
  const keys = keysOf(20_000, (i) => "abcdefghij".slice(0, 1 + (i % 9)) + ((i * 7919) % 20_011));
  const cutter = new EvenCutter();
  const { met } = cutKeys(cutter, keys);
  expect(met).toBeLessThan(200);
});

test("a cutter that is not obeyed asks no more", () => {
  const cutter = new EvenCutter();
  let asked = 0;
  for (let i = 0; i < 2000; i++) {
    // Bounds at uneven places, whatever was asked for, a tenth off at most.
    const lower = text(`k${String(i * 100 + ((i * 37) % 10)).padStart(8, "0")}`);
    const key = text(`k${String(i * 1000 + 100 + ((i * 617) % 900)).padStart(9, "0")}`);
    if (cutter.next(lower, TARGET_BYTES, TARGET_BYTES, key, 0, key.length) > 0) asked++;
  }
  expect(asked).toBeGreaterThan(1);
  expect(asked).toBeLessThan(8);
});

test("keys whose digits say nothing of sizes are cut as if there were no cutter", () => {
  const vowels = "aeiou";
  const word = (): string =>
    Array.from({ length: 2 + random.below(9) }, () => {
      const consonant = String.fromCharCode(98 + Math.floor(random.below(100) ** 2 / 450));
      return consonant + vowels[Math.min(random.below(5), random.below(5))]!;
    }).join("");
  const names = keysOf(40_000, () => `${word()}-${word()}`);
  const cutter = new EvenCutter();
  const silent = new EvenCutter();
  silent.next = () => 0;
  const { bounds } = cutKeys(cutter, names);
  expect(bounds).toEqual(cutKeys(silent, names).bounds);
});

test("a cutter without keys asks for nothing", () => {
  const cutter = new EvenCutter();
  for (let i = 0; i < 100; i++) {
    expect(cutter.next(NO_KEY, TARGET_BYTES, TARGET_BYTES, NO_KEY, 0, 0)).toBe(0);
  }
});
