import { compareKeys } from "@aura/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRAGMENT_HIGH, FRAGMENT_LOW, KeyFragments } from "../src/key-fragments.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const of = (fragments: KeyFragments, key: Uint8Array): number => fragments.of(key, 0, key.length);

/** Bounds of a sample as the list computes them. */
function fitted(shared: Uint8Array, tails: readonly Uint8Array[]): KeyFragments {
  const lows = new Uint8Array(16).fill(255);
  const highs = new Uint8Array(16);
  for (const tail of tails) {
    for (const [i, byte] of tail.subarray(0, 16).entries()) {
      lows[i] = Math.min(lows[i]!, byte);
      highs[i] = Math.max(highs[i]!, byte);
    }
  }
  const fragments = new KeyFragments();
  fragments.fit(shared, lows, highs);
  return fragments;
}

describe("key fragments", () => {
  it("are all the same before a fit", () => {
    const fragments = new KeyFragments();
    expect(of(fragments, text("a"))).toBe(of(fragments, text("zzz")));
  });

  it("tell nine digits apart, behind what keys share", () => {
    const fragments = fitted(text("user:"), [text("000000000"), text("999999999")]);
    expect(of(fragments, text("user:000000000"))).toBe(FRAGMENT_LOW);
    expect(of(fragments, text("user:000000001"))).toBe(FRAGMENT_LOW + 1);
    expect(of(fragments, text("user:123456789"))).toBe(FRAGMENT_LOW + 123456789);
    expect(of(fragments, text("user:999999999"))).toBe(FRAGMENT_LOW + 999999999);
  });

  it("take four bytes of keys of no class, up to the highest one", () => {
    const fragments = fitted(new Uint8Array(0), [new Uint8Array(8), new Uint8Array(8).fill(255)]);
    expect(of(fragments, new Uint8Array([0, 0, 0, 1, 9]))).toBe(FRAGMENT_LOW + 1);
    expect(of(fragments, new Uint8Array([255, 255, 255, 255, 0]))).toBe(FRAGMENT_HIGH);
    expect(of(fragments, new Uint8Array([128]))).toBe(0);
  });

  it("clamp keys outside of what is shared", () => {
    const fragments = fitted(text("m"), [text("0"), text("9")]);
    expect(of(fragments, text("a5"))).toBe(FRAGMENT_LOW);
    expect(of(fragments, text(""))).toBe(FRAGMENT_LOW);
    expect(of(fragments, text("z5"))).toBe(FRAGMENT_HIGH);
  });

  it("never order two keys wrongly, whatever they were fitted to", () => {
    const byte = fc.constantFrom(0, 1, 0x2f, 0x30, 0x35, 0x39, 0x3a, 0x61, 0x7a, 0x7f, 0x80, 255);
    const key = fc.uint8Array({ maxLength: 12 }).chain((wide) =>
      fc.oneof(
        fc.constant(wide),
        fc.array(byte, { maxLength: 12 }).map((bytes) => new Uint8Array(bytes)),
      ),
    );
    fc.assert(
      fc.property(
        fc.array(byte, { maxLength: 3 }),
        fc.array(key, { minLength: 1, maxLength: 10 }),
        fc.array(fc.tuple(key, fc.boolean()), { minLength: 2, maxLength: 20 }),
        (shared, sample, probes) => {
          const prefix = new Uint8Array(shared);
          const fragments = fitted(prefix, sample);
          const keys = probes.map(([probe, inGroup]) =>
            inGroup ? new Uint8Array([...prefix, ...probe]) : probe,
          );
          keys.sort(compareKeys);
          for (let i = 1; i < keys.length; i++) {
            expect(of(fragments, keys[i - 1]!)).toBeLessThanOrEqual(of(fragments, keys[i]!));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
