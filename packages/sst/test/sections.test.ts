import { hashKey, hashReady, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { BlockState, checkBlock } from "../src/block-check.ts";
import { decodeBlockMap, encodeBlockMap } from "../src/block-map.ts";
import { BlockOffsets } from "../src/block-offsets.ts";
import { Bloom, buildBloom } from "../src/bloom.ts";
import { FilterKind } from "../src/filter-kind.ts";
import { decodeFooter, encodeFooter, FOOTER_BYTES, type Footer } from "../src/format.ts";
import { buildFilter, filterRate, openFilter } from "../src/key-filter.ts";
import { decodeProperties, encodeProperties, type TableProperties } from "../src/properties.ts";
import { buildRibbon, Ribbon } from "../src/ribbon.ts";
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

describe("ribbon filter", () => {
  /** Unlike neighbours: these hashes are a counter's. */
  const hashes = (count: number, from = 0): Uint32Array =>
    new Uint32Array(count).map((_, i) => Math.imul(from + i + 1, 0x9e3779b1));
  const random = (count: number, seed: number): Uint32Array => {
    const source = new SeededRandom(seed);
    return new Uint32Array(count).map(() => source.uint32());
  };

  test.each([1, 2, 63, 64, 600, 1999, 7000, 40_000])("has every one of %i keys", (count) => {
    for (const all of [hashes(count), random(count, count)]) {
      for (const rate of [0.4, 0.1, 0.02, 0.008, 0.0001]) {
        const ribbon = new Ribbon(buildRibbon(all, count, rate)!, FILE, 0);
        expect(all.every((hash) => ribbon.has(hash))).toBe(true);
      }
    }
  });

  test("has keys whose hashes are alike, or all in one shard", () => {
    const alike = new Uint32Array(5000).fill(77);
    const ribbon = new Ribbon(buildRibbon(alike, 5000, 0.01)!, FILE, 0);
    expect(ribbon.has(77)).toBe(true);
    const crowd = new Uint32Array(5000).map((_, i) => i);
    const crowded = new Ribbon(buildRibbon(crowd, 5000, 0.01)!, FILE, 0);
    expect(crowd.every((hash) => crowded.has(hash))).toBe(true);
  });

  test("lets as many others pass as a Bloom filter, with 26 % fewer bits", () => {
    const all = random(60_000, 3);
    const others = random(200_000, 4);
    for (const bits of [5, 7.5, 10, 13, 18]) {
      const ribbon = openFilter(buildFilter(FilterKind.ribbon, all, 60_000, bits)!, FILE, 0);
      expect(ribbon.bits / 60_000).toBeLessThan(bits * 0.74);
      const passed = others.filter((hash) => ribbon.has(hash)).length;
      const rate = filterRate(bits);
      expect(passed / 200_000).toBeLessThan(rate * 1.15 + 3 * Math.sqrt(rate / 200_000));
      expect(passed / 200_000).toBeGreaterThan(rate * 0.7 - 3 * Math.sqrt(rate / 200_000));
    }
  });

  test("is a Bloom filter for few keys, and left out below one bit or when none is wanted", () => {
    const few = hashes(20);
    expect(buildFilter(FilterKind.ribbon, few, 20, 10)![0]).toBe(FilterKind.bloom);
    expect(buildFilter(FilterKind.ribbon, few, 20, 0.5)).toBeUndefined();
    expect(buildFilter(FilterKind.none, few, 20, 10)).toBeUndefined();
    expect(filterRate(0)).toBe(1);
  });

  test("is refused when it is damaged in its directory or length, and never read outside", () => {
    const all = hashes(600);
    const bytes = buildFilter(FilterKind.ribbon, all, 600, 5)!;
    expect(bytes[0]).toBe(FilterKind.ribbon);
    const refused = abuse(bytes, (damaged) => {
      const ribbon = new Ribbon(damaged, FILE, 0);
      for (let i = 0; i < 40; i++) ribbon.has(all[i]!);
    });
    expect(refused).toBeGreaterThanOrEqual(bytes.length);
  });

  test("of a later kind is refused as such", () => {
    const error = errorOf(() => openFilter(Uint8Array.of(9, 0, 0, 0, 0), FILE, 5));
    expect(error).toMatchObject({ code: "AURA_UNSUPPORTED", file: FILE, offset: 5 });
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
  prefixBytes: 4,
  smallestKey: text("a"),
  largestKey: text("b".repeat(300)),
  indexName: "learned",
  references: [
    { segment: 1, count: 2, bytes: 3 },
    { segment: 4_000_000_000, count: 900, bytes: 2 ** 45 },
  ],
  dictionary: text("dictionary ".repeat(30)),
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
    ranges: { offset: 1100, bytes: 0 },
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
