import { compareKeys, SeededRandom } from "@aura/base";
import { expect, test } from "vitest";
import type { LearnedIndexFormat } from "../src/index.ts";

/** What a block index may be given: lower bounds of blocks, the first one empty. */
export interface BoundSet {
  readonly name: string;
  readonly bounds: readonly Uint8Array[];
}

/** Index of the last bound that is <= key. */
export function blockOf(bounds: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(bounds[middle]!, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Keys at, just before, just behind, and far from each bound. */
function probes(bounds: readonly Uint8Array[], random: SeededRandom): Uint8Array[] {
  const keys: Uint8Array[] = [new Uint8Array(0), Uint8Array.of(0), new Uint8Array(40).fill(0xff)];
  for (const bound of bounds) {
    const bytes = [...bound];
    keys.push(bound, Uint8Array.from([...bytes, 0]), Uint8Array.from([...bytes, 0xff, 0x61]));
    keys.push(bound.slice(0, -1));
    if (bound.length === 0) continue;
    const before = bound.slice();
    const after = bound.slice();
    before[bound.length - 1]!--;
    after[bound.length - 1]!++;
    const changed = bound.slice();
    changed[random.below(bound.length)] = random.below(256);
    keys.push(before, after, changed, Uint8Array.from([...before, 0xff, 0xff]));
  }
  return keys;
}

/** Runs the block index contract over a format. `mustBuild`: it may not decline these sets. */
export function blockIndexContract(
  format: LearnedIndexFormat,
  sets: readonly BoundSet[],
  options: { readonly mustBuild: boolean; readonly widthMax?: number },
): void {
  test.each(sets)("$name: the range holds the block of every key", ({ bounds }) => {
    const builder = format.builder();
    for (const bound of bounds) {
      const lent = bound.slice();
      builder.add(lent);
      lent.fill(0xee); // borrowed: the builder must have taken a copy
    }
    const bytes = builder.finish();
    if (bytes === undefined) {
      expect(options.mustBuild).toBe(false);
      return;
    }
    const index = format.decode(bytes, bounds.length);
    expect(index.residentBytes).toBeGreaterThan(0);
    let widest = 0;
    for (const key of probes(bounds, new SeededRandom(bounds.length))) {
      const wanted = blockOf(bounds, key);
      // Bytes around the key must not matter.
      const padded = Uint8Array.from([0x7f, ...key, 0x7f]);
      index.locate(padded, 1, padded.length - 1);
      const { first, last } = index;
      if (first > wanted || last < wanted || first < 0 || last >= bounds.length) {
        throw new Error(
          `key ${Buffer.from(key).toString("hex")}: ${wanted} not in ${first}..${last}`,
        );
      }
      widest = Math.max(widest, last - first + 1);
    }
    if (options.widthMax !== undefined) expect(widest).toBeLessThanOrEqual(options.widthMax);
  });
}

function sorted(keys: Iterable<Uint8Array>): Uint8Array[] {
  const all = [...keys].sort(compareKeys);
  return all.filter((key, i) => i === 0 || compareKeys(key, all[i - 1]!) !== 0);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function randomKeys(
  count: number,
  seed: number,
  alphabet: number,
  lengthMax: number,
): Uint8Array[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, () =>
    new Uint8Array(1 + random.below(lengthMax)).map(
      () => random.below(alphabet) * Math.floor(255 / alphabet),
    ),
  );
}

function set(name: string, keys: Iterable<Uint8Array>): BoundSet {
  return { name, bounds: [new Uint8Array(0), ...sorted(keys).filter((key) => key.length > 0)] };
}

function* count(n: number, make: (i: number) => string): Iterable<Uint8Array> {
  for (let i = 0; i < n; i++) yield text(make(i));
}

/** Bounds of many shapes, for any format. */
export const BOUND_SETS: readonly BoundSet[] = [
  { name: "one block", bounds: [new Uint8Array(0)] },
  set("two blocks", [text("m")]),
  set(
    "sequential digits",
    count(500, (i) => `user${String(i * 3).padStart(16, "0")}`),
  ),
  set(
    "scattered digits",
    count(2000, (i) => `user${String((i * 7919 + 13) * 1_000_003).padStart(20, "0")}`),
  ),
  set(
    "hex",
    count(1000, (i) => ((i * 2_654_435_761) % 4_294_967_296).toString(16).padStart(8, "0")),
  ),
  set(
    "mail addresses",
    count(600, (i) => `${"abcdefgh"[i % 8]}${"aeiou"[i % 5]}ne${i}@x.com`),
  ),
  set(
    "time series",
    count(800, (i) => `sensor/${String(i % 16).padStart(3, "0")}/${1_700_000_000_000 + i * 997}`),
  ),
  set("random bytes", randomKeys(1500, 1, 256, 12)),
  set("zeros and 0xff", randomKeys(300, 2, 2, 10)),
  set(
    "prefixes of each other",
    count(300, (i) => "a".repeat(i + 1)),
  ),
  set(
    "long common prefix",
    count(300, (i) => `${"p".repeat(500)}${i}`),
  ),
  set("one odd key", [...count(200, (i) => `k${i + 1000}`), Uint8Array.of(0xff, 0xff)]),
  {
    name: "versions of one key span many blocks",
    bounds: [
      new Uint8Array(0),
      ...count(60, (i) => `a${i + 100}`),
      ...Array.from({ length: 60 }, () => text("a2\0")),
      ...count(60, (i) => `b${i + 100}`),
    ],
  },
];
