import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import xxhash, { type XXHashAPI } from "xxhash-wasm";
import type { Uid } from "../src/entry.ts";
import { contentHash, hashKey, hashReady, placeMix, SHORT_CONTENT_BYTES } from "../src/hash.ts";
import { SeededRandom } from "../src/runtime.ts";
import { xxh32 } from "../src/xxh32.ts";
import { xxh64Low } from "../src/xxh64.ts";

let reference: XXHashAPI;

beforeAll(async () => {
  reference = await xxhash();
});

function low64(bytes: Uint8Array): number {
  return Number(BigInt.asUintN(32, reference.h64Raw(bytes)));
}

function randomBytes(length: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed);
  return new Uint8Array(length).map(() => random.uint32());
}

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const uid: fc.Arbitrary<Uid> = fc.record({ lo: u32, hi: u32 });

describe("xxh32", () => {
  it("gives the published results", () => {
    const of = (text: string, seed: number) => xxh32(Buffer.from(text), 0, text.length, seed);
    expect(of("", 0)).toBe(0x02cc5d05);
    expect(of("", 0x9e3779b1)).toBe(0x36b78ae7);
    expect(of("a", 0)).toBe(0x550d7456);
    expect(of("abc", 0)).toBe(0x32d153ff);
    expect(of("Nobody inspects the spammish repetition", 0)).toBe(0xe2293b2f);
  });

  it("is the reference's for every length and seed, on any range", () => {
    const seeds = new SeededRandom(1);
    for (let length = 0; length < 300; length++) {
      const bytes = randomBytes(length + 9, length);
      const start = length % 8;
      for (const seed of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, seeds.uint32()]) {
        expect(xxh32(bytes, start, start + length, seed)).toBe(
          reference.h32Raw(bytes.subarray(start, start + length), seed) >>> 0,
        );
      }
    }
  });

  it("reads shared memory", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(100));
    shared.set(randomBytes(100, 5));
    expect(xxh32(shared, 3, 90, 7)).toBe(xxh32(shared.slice(), 3, 90, 7));
  });
});

describe("xxh64Low", () => {
  it("is the low half of the reference's, for every length", () => {
    for (let length = 0; length < 300; length++) {
      const bytes = randomBytes(length + 8, length);
      const start = length % 8;
      expect(xxh64Low(bytes, start, start + length)).toBe(
        low64(bytes.subarray(start, start + length)),
      );
    }
  });

  it("carries, with extreme bytes", () => {
    for (const fill of [0, 0x7f, 0x80, 0xff]) {
      for (const length of [1, 4, 7, 8, 31, 32, 33, 64, 1000, 4096]) {
        const bytes = new Uint8Array(length).fill(fill);
        expect(xxh64Low(bytes, 0, length)).toBe(low64(bytes));
      }
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000, size: "max" }), (bytes) => {
        expect(xxh64Low(bytes, 0, bytes.length)).toBe(low64(bytes));
      }),
    );
  });
});

describe("contentHash", () => {
  const around = [0, 1, 255, 256, 257, 4096, 262_143, 262_144, 262_145, 1_000_003];
  const inputs = around.map((length) => randomBytes(length + 3, length));
  const all = (): number[] => inputs.map((bytes, i) => contentHash(bytes, 2, 2 + around[i]!));

  it("is the same before and after the fast hash is loaded", async () => {
    const before = all();
    await hashReady();
    expect(all()).toEqual(before);
    expect(before).toEqual(
      around.map((length, i) => {
        const content = inputs[i]!.subarray(2, 2 + length);
        return length < SHORT_CONTENT_BYTES ? reference.h32Raw(content) >>> 0 : low64(content);
      }),
    );
    await hashReady();
  });

  it("has its switch point on disk", () => {
    expect(SHORT_CONTENT_BYTES).toBe(256);
  });

  it("hashes a whole array and a range of shared memory alike", async () => {
    await hashReady();
    const whole = randomBytes(5000, 9);
    const shared = new Uint8Array(new SharedArrayBuffer(6000));
    shared.set(whole, 500);
    expect(contentHash(shared, 500, 5500)).toBe(contentHash(whole, 0, 5000));
  });
});

describe("hashKey", () => {
  it("is XXH32 with the seed", () => {
    const key = Buffer.from("user:0000001234");
    expect(hashKey(key, 0, key.length, 42)).toBe(reference.h32Raw(key, 42) >>> 0);
    expect(hashKey(key, 5, key.length, 42)).toBe(reference.h32Raw(key.subarray(5), 42) >>> 0);
  });
});

describe("placeMix", () => {
  it("never changes", () => {
    const one = { lo: 0x01234567, hi: 0x89abcdef };
    expect([
      placeMix({ lo: 0, hi: 0 }, 0),
      placeMix(one, 0),
      placeMix(one, 64),
      placeMix(one, 2 ** 31),
      placeMix(one, 2 ** 40 + 64),
      placeMix(one, Number.MAX_SAFE_INTEGER),
    ]).toMatchInlineSnapshot(`
      [
        0,
        3795517322,
        4180967212,
        2296441492,
        3907051344,
        2690184856,
      ]
    `);
  });

  it("differs for any two offsets less than 4 GiB apart, and wherever else it is looked at", () => {
    const offset = fc.nat(0xffffffff);
    const base = fc.nat(1000).map((n) => n * 0x100000000);
    fc.assert(
      fc.property(uid, base, offset, offset, (u, high, a, b) => {
        fc.pre(a !== b);
        expect(placeMix(u, high + a)).not.toBe(placeMix(u, high + b));
      }),
    );
    fc.assert(
      fc.property(u32, u32, u32, fc.maxSafeNat(), (a, b, same, at) => {
        fc.pre(a !== b);
        expect(placeMix({ lo: a, hi: same }, at)).not.toBe(placeMix({ lo: b, hi: same }, at));
        expect(placeMix({ lo: same, hi: a }, at)).not.toBe(placeMix({ lo: same, hi: b }, at));
      }),
    );
  });

  it("spreads near offsets of one file, and one offset of many files, over all 32 bits", () => {
    const random = new SeededRandom(7);
    const fixed = { lo: random.uint32(), hi: random.uint32() };
    const bitCounts = new Array<number>(32).fill(0);
    const seen = new Set<number>();
    const rounds = 20_000;
    for (let i = 0; i < rounds; i++) {
      const file = i % 2 === 0 ? fixed : { lo: random.uint32(), hi: random.uint32() };
      const mix = placeMix(file, i % 2 === 0 ? i * 32 : 4096);
      expect(mix >>> 0).toBe(mix);
      seen.add(mix);
      for (let bit = 0; bit < 32; bit++) bitCounts[bit]! += (mix >>> bit) & 1;
    }
    for (const count of bitCounts) expect(Math.abs(count / rounds - 0.5)).toBeLessThan(0.02);
    // About rounds^2 / 2^33 = 0.05 equal pairs by chance.
    expect(seen.size).toBeGreaterThan(rounds - 5);
  });
});
