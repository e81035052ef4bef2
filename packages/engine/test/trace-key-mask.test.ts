/** Key masks: the published vectors, and what a mask must keep and hide. */
import { SeededRandom } from "@aura/base";
import { describe, expect, test } from "vitest";
import { KeyMask, sipHash128 } from "../src/trace-key-mask.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("SipHash-2-4-128", () => {
  // From the vectors of the reference implementation: key 00..0f, input 00..n-1.
  const vectors: readonly (readonly [length: number, digest: string])[] = [
    [0, "a3817f04ba25a8e66df67214c7550293"],
    [1, "da87c1d86b99af44347659119b22fc45"],
    [2, "8177228da4a45dc7fca38bdef60affe4"],
    [3, "9c70b60c5267a94e5f33b6b02985ed51"],
    [8, "3b62a9ba6258f5610f83e264f31497b4"],
    [15, "5493e99933b0a8117e08ec0f97cfc3d9"],
  ];
  const keyBytes = Uint8Array.from({ length: 16 }, (_, i) => i);
  const keys = new Int32Array(keyBytes.buffer);

  test.each(vectors)("of %d bytes", (length, digest) => {
    const input = Uint8Array.from({ length: length + 5 }, (_, i) => i - 3);
    const out = new Uint8Array(16);
    sipHash128(keys, 0, input, 3, 3 + length, out);
    expect(hex(out)).toBe(digest);
  });
});

describe("a mask", () => {
  const maskOf = (mask: KeyMask, key: Uint8Array): string => {
    const out = new Uint8Array(key.length + 4).fill(0xee);
    mask.mask(key, 0, key.length, out);
    expect([...out.subarray(key.length)], "nothing behind the mask").toEqual([238, 238, 238, 238]);
    return hex(out.subarray(0, key.length));
  };

  test("has the length of its key and is the same each time", () => {
    const mask = new KeyMask(new SeededRandom(1));
    for (const length of [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 1000, 65535]) {
      const key = new Uint8Array(length).fill(length);
      const first = maskOf(mask, key);
      expect(first).toHaveLength(2 * length);
      expect(maskOf(mask, key)).toBe(first);
    }
  });

  test("shows no shared prefix, and repeats no block", () => {
    const mask = new KeyMask(new SeededRandom(2));
    const random = new SeededRandom(3);
    const prefix = Buffer.alloc(40, "user:");
    const seen = new Set<string>();
    let equalFirst = 0;
    for (let i = 0; i < 2000; i++) {
      const key = Buffer.concat([prefix, Buffer.from(String(random.uint32()).padStart(10, "0"))]);
      const masked = maskOf(mask, key);
      seen.add(masked);
      if (masked.startsWith("00")) equalFirst++;
      expect(masked.slice(0, 32)).not.toBe(masked.slice(32, 64));
    }
    expect(seen.size).toBeGreaterThan(1990);
    // One first byte in 256: 8 of 2000 by chance.
    expect(equalFirst).toBeLessThan(40);
  });

  test("is another under another secret", () => {
    const key = Buffer.from("city/lyon");
    const one = maskOf(new KeyMask(new SeededRandom(1)), key);
    expect(maskOf(new KeyMask(new SeededRandom(2)), key)).not.toBe(one);
  });
});
