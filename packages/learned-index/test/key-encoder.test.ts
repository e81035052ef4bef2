import { compareKeys, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { expect, test } from "vitest";
import { KeyEncoder, type PackedKeys, trainAlphabets } from "../src/key-encoder.ts";

function packed(keys: readonly Uint8Array[]): PackedKeys {
  const bytes = new Uint8Array(keys.reduce((sum, key) => sum + key.length, 0));
  const ends = new Float64Array(keys.length);
  let at = 0;
  for (const [i, key] of keys.entries()) {
    bytes.set(key, at);
    at += key.length;
    ends[i] = at;
  }
  return { bytes, ends, count: keys.length };
}

/** A bound that no code can tell costs this much beside its bytes. */
const DEEP_BITS = 64;

const byte = fc.oneof(fc.constantFrom(0, 1, 0x30, 0x39, 0x61, 0xfe, 0xff), fc.nat(255));
const key = fc.array(byte, { maxLength: 14 }).map((bytes) => Uint8Array.from(bytes));
const digits = fc
  .nat(10 ** 9)
  .map((n) => new TextEncoder().encode(`user${String(n).padStart(16, "0")}`));
const anyKey = fc.oneof(key, digits);

test("the order of keys is the order of codes, for trained and for foreign keys", () => {
  fc.assert(
    fc.property(
      fc.array(anyKey, { minLength: 1, maxLength: 60 }),
      fc.array(anyKey, { maxLength: 60 }),
      (trained, others) => {
        trained.sort(compareKeys);
        const encoder = new KeyEncoder(trainAlphabets(packed(trained), DEEP_BITS).alphabets);
        const all = [...trained, ...others].sort(compareKeys);
        let before = Number.NEGATIVE_INFINITY;
        for (const one of all) {
          const code = encoder.encode(one, 0, one.length);
          expect(code).toBeGreaterThanOrEqual(before);
          expect(
            Number.isSafeInteger(code) || code === Number.POSITIVE_INFINITY || code === 2 ** 53,
          ).toBe(true);
          before = code;
        }
      },
    ),
    { numRuns: 400 },
  );
});

test("a bound divides codes as it divides keys", () => {
  let divided = 0;
  fc.assert(
    fc.property(
      fc.array(anyKey, { minLength: 1, maxLength: 60 }),
      fc.array(anyKey, { maxLength: 60 }),
      (trained, others) => {
        trained.sort(compareKeys);
        const { alphabets, deep } = trainAlphabets(packed(trained), DEEP_BITS);
        const encoder = new KeyEncoder(alphabets);
        for (const [i, bound] of trained.entries()) {
          if (deep.includes(i)) continue;
          divided++;
          const code = encoder.encode(bound, 0, bound.length);
          for (const one of [...trained, ...others, bound.slice(0, -1)]) {
            const isBehind = encoder.encode(one, 0, one.length) >= code;
            expect(isBehind).toBe(compareKeys(one, bound) >= 0);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
  expect(divided).toBeGreaterThan(1000);
});

test("keys that differ within the positions get different codes", () => {
  const keys = Array.from({ length: 1000 }, (_, i) =>
    new TextEncoder().encode(`user${String(i * 7 + 10 ** 12).padStart(16, "0")}`),
  );
  const encoder = new KeyEncoder(trainAlphabets(packed(keys), DEEP_BITS).alphabets);
  const codes = keys.map((one) => encoder.encode(one, 0, one.length));
  expect(new Set(codes).size).toBe(keys.length);
});

test("a key that goes on behind a trained one lies between it and the next", () => {
  const keys = ["ab", "ac", "ad"].map((text) => new TextEncoder().encode(text));
  const encoder = new KeyEncoder(trainAlphabets(packed(keys), DEEP_BITS).alphabets);
  const code = (text: string): number => {
    const bytes = new TextEncoder().encode(text);
    return encoder.encode(bytes, 0, bytes.length);
  };
  expect(code("ab\0")).toBeGreaterThanOrEqual(code("ab"));
  expect(code("abzzz")).toBeLessThan(code("ac"));
  expect(code("a")).toBeLessThanOrEqual(code("ab"));
  expect(code("Z")).toBe(-1);
  expect(code("b")).toBe(Number.POSITIVE_INFINITY);
});

test("a key inside of a longer buffer is encoded alone", () => {
  const random = new SeededRandom(4);
  const keys = Array.from({ length: 50 }, () =>
    new Uint8Array(6).map(() => random.below(256)),
  ).sort(compareKeys);
  const encoder = new KeyEncoder(trainAlphabets(packed(keys), DEEP_BITS).alphabets);
  for (const one of keys) {
    const around = Uint8Array.from([9, 9, ...one, 9]);
    expect(encoder.encode(around, 2, 8)).toBe(encoder.encode(one, 0, 6));
  }
});
