import { hashKey, hashReady, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { BlockState, checkBlock } from "../src/block-check.ts";
import { decodeBlockMap, encodeBlockMap } from "../src/block-map.ts";
import { BlockOffsets } from "../src/block-offsets.ts";
import { Bloom, buildBloom } from "../src/bloom.ts";
import { decodeFooter, encodeFooter, FOOTER_BYTES, type Footer } from "../src/format.ts";
import { decodeProperties, encodeProperties, type TableProperties } from "../src/properties.ts";
import { errorOf, text } from "./support.ts";

beforeAll(() => hashReady());

const FILE = "some.sst";

/** Every truncation and every changed byte of `bytes` decodes or throws a typed error. */
function abuse(bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown): number {
  let refused = 0;
  const attempt = (damaged: Uint8Array): void => {
    try {
      decode(damaged);
    } catch (error) {
      expect((error as { code?: string }).code).toBe("AURA_CORRUPTION");
      refused++;
    }
  };
  for (let length = 0; length < bytes.length; length++) attempt(bytes.slice(0, length));
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const damaged = bytes.slice();
      damaged[at]! ^= mask;
      attempt(damaged);
    }
  }
  return refused;
}

describe("filter", () => {
  const hashes = (count: number, seed: number): Uint32Array =>
    new Uint32Array(count).map((_, i) => {
      const key = text(`key-${i}`);
      return hashKey(key, 0, key.length, seed);
    });

  test("has every key, whatever its size", () => {
    for (const count of [1, 2, 7, 100, 5000]) {
      for (const bits of [1, 3, 10, 15.5, 40]) {
        const all = hashes(count, 9);
        const bloom = new Bloom(buildBloom(all, count, bits)!, FILE, 0);
        expect(all.every((hash) => bloom.has(hash))).toBe(true);
        expect(bloom.bits).toBeGreaterThanOrEqual(Math.floor(count * bits));
      }
    }
  });

  test("lets few others pass", () => {
    const all = hashes(60_000, 1);
    for (const [bits, most] of [
      [5, 0.13],
      [10, 0.0105],
      [15, 0.0015],
    ] as const) {
      const bloom = new Bloom(buildBloom(all, 20_000, bits)!, FILE, 0);
      const passed = all.subarray(20_000).filter((hash) => bloom.has(hash)).length;
      expect(passed / 40_000).toBeLessThan(most);
    }
  });

  test("holds all hashes at the ends of their range", () => {
    const ends = Uint32Array.of(0, 1, 0x7fffffff, 0x80000000, 0xffffffff);
    const bloom = new Bloom(buildBloom(ends, 5, 10)!, FILE, 0);
    expect([...ends].every((hash) => bloom.has(hash))).toBe(true);
  });

  test("is left out below one bit, or without keys", () => {
    expect(buildBloom(hashes(5, 1), 5, 0.9)).toBeUndefined();
    expect(buildBloom(hashes(5, 1), 0, 10)).toBeUndefined();
  });

  test("is refused when it is damaged in its head or length", () => {
    const bytes = buildBloom(hashes(50, 1), 50, 10)!;
    expect(abuse(bytes, (damaged) => new Bloom(damaged, FILE, 0))).toBeGreaterThan(40);
  });
});

describe("block map", () => {
  test("holds blocks of about the same length in two bytes each", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2800, max: 5200 }), { minLength: 1, maxLength: 3000 }),
        (lengths) => {
          const offsets = Float64Array.from([64, ...lengths]);
          for (let i = 1; i < offsets.length; i++) offsets[i]! += offsets[i - 1]!;
          const packed = new BlockOffsets(offsets);
          expect(offsets.every((offset, i) => packed.at(i) === offset)).toBe(true);
          expect(packed.byteLength).toBeLessThan(offsets.length * 2 + 64);
        },
      ),
      { numRuns: 30 },
    );
    const even = new BlockOffsets(Float64Array.from({ length: 1000 }, (_, i) => 64 + i * 4021));
    expect(even.byteLength).toBeLessThan(200);
    expect(even.at(999)).toBe(64 + 999 * 4021);
  });

  test("gives back the offsets", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 6, max: 2 ** 31 }), { minLength: 1 }), (lengths) => {
        const bytes = encodeBlockMap(Float64Array.from(lengths), lengths.length);
        const end = 64 + lengths.reduce((sum, length) => sum + length, 0);
        const offsets = decodeBlockMap(bytes, lengths.length, end, FILE, 0);
        let at = 64;
        for (const [i, length] of lengths.entries()) {
          expect(offsets.at(i)).toBe(at);
          at += length;
        }
        expect(offsets.at(lengths.length)).toBe(at);
      }),
    );
  });

  test("is refused when it is damaged anywhere", () => {
    const lengths = Float64Array.of(100, 4000, 7, 70_000, 129);
    const bytes = encodeBlockMap(lengths, 5);
    const end = 64 + lengths.reduce((sum, length) => sum + length, 0);
    const refused = abuse(bytes, (damaged) => decodeBlockMap(damaged, 5, end, FILE, 0));
    expect(refused).toBe(bytes.length * 4);
  });
});

const properties: TableProperties = {
  keyspace: 3,
  hashSeed: 0xdeadbeef,
  entryCount: 1000,
  deleteCount: 17,
  rawKeyBytes: 16_000,
  rawValueBytes: 2 ** 40,
  smallestSeq: 5,
  largestSeq: Number.MAX_SAFE_INTEGER,
  filterBits: 10_016,
  smallestKey: text("a"),
  largestKey: text("b".repeat(300)),
  indexName: "learned",
  references: [
    { segment: 1, count: 2, bytes: 3 },
    { segment: 4_000_000_000, count: 900, bytes: 2 ** 45 },
  ],
};

describe("properties", () => {
  test("come back as they were", () => {
    expect(decodeProperties(encodeProperties(properties), FILE, 0)).toEqual(properties);
    const least = { ...properties, references: [], smallestKey: text(""), largestKey: text("") };
    expect(decodeProperties(encodeProperties(least), FILE, 0)).toEqual(least);
  });

  test("damaged ones throw a typed error or decode, and allocate no forged length", () => {
    abuse(encodeProperties(properties), (damaged) => decodeProperties(damaged, FILE, 0));
    const bytes = encodeProperties(properties);
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.slice(0, length);
      expect(errorOf(() => decodeProperties(cut, FILE, 7))).toMatchObject({
        offset: 7,
        file: FILE,
      });
    }
  });
});

describe("footer", () => {
  const uid = { lo: 1, hi: 2 };
  const footer: Footer = {
    separators: { offset: 1000, bytes: 50 },
    blockMap: { offset: 1050, bytes: 30 },
    model: { offset: 1080, bytes: 0 },
    filter: { offset: 1080, bytes: 20 },
    properties: { offset: 1100, bytes: 60 },
    blockCount: 9,
    rawBlockBytesMax: 4096,
  };

  test("comes back as it was", () => {
    const bytes = encodeFooter(footer, uid, 1160);
    expect(bytes).toHaveLength(FOOTER_BYTES);
    expect(decodeFooter(bytes, uid, 1160, FILE)).toEqual(footer);
  });

  test("is refused when damaged, elsewhere, or of another file", () => {
    const bytes = encodeFooter(footer, uid, 1160);
    expect(abuse(bytes, (damaged) => decodeFooter(damaged, uid, 1160, FILE))).toBe(
      FOOTER_BYTES * 4,
    );
    expect(() => decodeFooter(bytes, uid, 1161, FILE)).toThrow("checksum");
    expect(() => decodeFooter(bytes, { lo: 1, hi: 3 }, 1160, FILE)).toThrow("checksum");
  });

  test.each<[string, Partial<Footer>]>([
    ["a gap", { model: { offset: 1081, bytes: 0 } }],
    ["an overlap", { filter: { offset: 1079, bytes: 21 } }],
    ["a section too short for its trailer", { model: { offset: 1080, bytes: 3 } }],
    ["no separators", { separators: { offset: 1050, bytes: 0 } }],
    ["no blocks", { blockCount: 0 }],
    ["more blocks than the map can hold", { blockCount: 31 }],
    ["a block longer than any", { rawBlockBytesMax: 0x7fffffff }],
    ["an end before the footer", { properties: { offset: 1100, bytes: 59 } }],
  ])("with %s is refused", (_, wrong) => {
    const bytes = encodeFooter({ ...footer, ...wrong }, uid, 1160);
    expect(errorOf(() => decodeFooter(bytes, uid, 1160, FILE)).code).toBe("AURA_CORRUPTION");
  });
});

test("no bytes at all make the check of a block read outside of it", () => {
  const random = new SeededRandom(3);
  for (let round = 0; round < 20_000; round++) {
    const length = random.below(200);
    const around = new Uint8Array(length + 40).map(() =>
      random.below(3) === 0 ? random.below(256) : 0,
    );
    const state = checkBlock(around, 20, 20 + length);
    expect([BlockState.sound, BlockState.corrupt, BlockState.unknown]).toContain(state);
  }
});
