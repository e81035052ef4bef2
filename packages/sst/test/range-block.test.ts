import { compareKeys, hasCode, KEY_BYTES_MAX, KEYS_END } from "@aura/base";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeRanges, encodeRanges } from "../src/range-block.ts";
import { RangeFragments } from "../src/range-fragments.ts";
import { text } from "./support.ts";

const decode = (bytes: Uint8Array): RangeFragments => decodeRanges(bytes, "/t.sst", 96);

function sample(): RangeFragments {
  const ranges = new RangeFragments();
  ranges.push(text(""), text("a"), [9]);
  ranges.push(text("a"), text("a\0"), [12, 9, 3]);
  ranges.push(text("prefix/1"), text("prefix/2"), [2 ** 53 - 1, 1, 0]);
  ranges.push(new Uint8Array(300).fill(0xff), KEYS_END, [5]);
  return ranges;
}

test("a block comes back as it was", () => {
  const ranges = sample();
  const back = decode(encodeRanges(ranges));
  expect(back).toEqual(ranges);
  expect(back.ends[3]).toBe(KEYS_END);
});

test("keys of the greatest length", () => {
  const ranges = new RangeFragments();
  const long = new Uint8Array(KEY_BYTES_MAX).fill(7);
  const longer = long.slice();
  longer[KEY_BYTES_MAX - 1]!++;
  ranges.push(long, longer, [4]);
  expect(decode(encodeRanges(ranges))).toEqual(ranges);
});

test("cut off anywhere, it is refused", () => {
  const bytes = encodeRanges(sample());
  for (let length = 0; length < bytes.length; length++) {
    expect(() => decode(bytes.subarray(0, length))).toThrow(/range block/);
  }
  expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(/range block/);
});

test("with any bit flipped it is refused, or still sound", () => {
  const bytes = encodeRanges(sample());
  let refused = 0;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice();
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    try {
      expectSound(decode(damaged));
    } catch (error) {
      if (!hasCode(error, "AURA_CORRUPTION")) throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(0);
});

test("arbitrary bytes are refused, or sound", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        expectSound(decode(bytes));
      } catch (error) {
        if (!hasCode(error, "AURA_CORRUPTION")) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});

function expectSound(ranges: RangeFragments): void {
  expect(ranges.count).toBeGreaterThan(0);
  for (let i = 0; i < ranges.count; i++) {
    expect(compareKeys(ranges.starts[i]!, ranges.ends[i]!)).toBeLessThan(0);
    if (i > 0) expect(compareKeys(ranges.ends[i - 1]!, ranges.starts[i]!)).toBeLessThanOrEqual(0);
    const seqs = ranges.seqs[i]!;
    expect(seqs.length).toBeGreaterThan(0);
    seqs.forEach((seq, j) => {
      if (j > 0) expect(seq).toBeLessThan(seqs[j - 1]!);
      expect(seq).toBeGreaterThanOrEqual(0);
    });
  }
}

/** Keys of which many are equal, or one is the other's beginning. */
const key = fc
  .array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 3 })
  .map((bytes) => new Uint8Array(bytes));
const bound = fc.oneof({ weight: 6, arbitrary: key }, fc.constant(KEYS_END));
const KEYS: readonly Uint8Array[] = allKeys();

function allKeys(): Uint8Array[] {
  const keys: Uint8Array[] = [new Uint8Array(0)];
  for (let from = 0, length = 0; length < 3; length++) {
    const to = keys.length;
    for (; from < to; from++) {
      for (const byte of [0, 1, 0x61, 0xff]) keys.push(new Uint8Array([...keys[from]!, byte]));
    }
  }
  return keys;
}

test("insertNewest: of each key the newest range counts, in few fragments", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, bound), { maxLength: 12 }), (drawn) => {
      const deletes = drawn.filter(([from, to]) => compareKeys(from, to) < 0);
      const ranges = new RangeFragments();
      deletes.forEach(([from, to], i) => {
        ranges.insertNewest(from, to, i + 1);
      });
      expect(ranges.count).toBeLessThanOrEqual(2 * deletes.length + 1);
      if (ranges.count > 0) {
        expectSound(ranges);
        expect(decode(encodeRanges(ranges))).toEqual(ranges);
      }
      for (const one of KEYS) {
        const covers = ([from, to]: [Uint8Array, Uint8Array]): boolean =>
          compareKeys(from, one) <= 0 && compareKeys(one, to) < 0;
        const wanted = deletes.findLastIndex(covers) + 1 || -1;
        expect(ranges.coverSeq(one, 0, one.length, 1000)).toBe(wanted);
      }
    }),
    { numRuns: 150 },
  );
});

test("within: cut to bounds", () => {
  const cut = sample().within(text("Z"), text("prefix/15"));
  expect(cut.starts).toEqual([text("Z"), text("a"), text("prefix/1")]);
  expect(cut.ends).toEqual([text("a"), text("a\0"), text("prefix/15")]);
  expect(sample().within(text("b"), text("c")).count).toBe(0);
  expect(cut.tombstoneCount).toBe(7);
});
