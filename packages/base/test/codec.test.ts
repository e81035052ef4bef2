import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Codec, compress, decompress, lz4Available } from "../src/codec.ts";
import type { AuraError } from "../src/errors.ts";
import { decodeLz4Block } from "../src/lz4-decoder.ts";
import { SeededRandom } from "../src/runtime.ts";

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as AuraError).code;
  }
  return "none";
}

/** Compressible in many ways: noise, long runs, and repeats from near and far. */
function mixed(length: number, seed: number): Uint8Array {
  const random = new SeededRandom(seed);
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const end = Math.min(length, at + 1 + random.below(random.below(4) === 0 ? 2000 : 40));
    const form = random.below(3);
    const back = 1 + random.below(Math.max(1, Math.min(at, 70_000)));
    const fill = random.uint32();
    for (; at < end; at++) {
      if (form === 0) bytes[at] = random.uint32();
      else if (form === 1) bytes[at] = fill;
      else bytes[at] = at >= back ? bytes[at - back]! : 0;
    }
  }
  return bytes;
}

function block(...parts: (number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function decode(source: Uint8Array, length: number): Uint8Array | undefined {
  const target = new Uint8Array(length);
  return decodeLz4Block(source, target) ? target : undefined;
}

describe("codecs", () => {
  it("keep their numbers on disk", () => {
    expect(Codec).toEqual({ none: 0, lz4: 1 });
  });

  it("of the test platform have the native module", () => {
    expect(lz4Available()).toBe(true);
  });

  it("none hands out what it got, of the right length", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(compress(Codec.none, bytes)).toBeUndefined();
    expect(decompress(Codec.none, bytes, 3)).toBe(bytes);
    expect(codeOf(() => decompress(Codec.none, bytes, 4))).toBe("AURA_CORRUPTION");
  });

  it("lz4 reads back, natively and in JavaScript", () => {
    fc.assert(
      fc.property(fc.nat(20_000), fc.nat(), (length, seed) => {
        const raw = mixed(length, seed);
        const stored = compress(Codec.lz4, raw);
        if (stored === undefined) return;
        expect(stored.length).toBeLessThan(raw.length);
        expect(Buffer.compare(decompress(Codec.lz4, stored, length), raw)).toBe(0);
        expect(Buffer.compare(decode(stored, length)!, raw)).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("lz4 reads back long values, from the middle of a buffer", () => {
    const raw = mixed(3_000_000, 1);
    const stored = compress(Codec.lz4, raw)!;
    const around = Buffer.concat([Buffer.alloc(7, 0xee), stored, Buffer.alloc(9, 0xee)]);
    const view = around.subarray(7, 7 + stored.length);
    expect(Buffer.compare(decompress(Codec.lz4, view, raw.length), raw)).toBe(0);
    expect(Buffer.compare(decode(view, raw.length)!, raw)).toBe(0);
  });

  it("lz4 reads back the longest runs that the format has", () => {
    const raw = new Uint8Array(1_000_000);
    const stored = compress(Codec.lz4, raw)!;
    expect(raw.length / stored.length).toBeGreaterThan(240);
    expect(Buffer.compare(decompress(Codec.lz4, stored, raw.length), raw)).toBe(0);
  });

  it("lz4 gives nothing where nothing is gained", () => {
    const noise = new SeededRandom(3);
    expect(compress(Codec.lz4, new Uint8Array(0))).toBeUndefined();
    expect(compress(Codec.lz4, Uint8Array.of(1))).toBeUndefined();
    expect(
      compress(
        Codec.lz4,
        new Uint8Array(500).map(() => noise.uint32()),
      ),
    ).toBeUndefined();
  });

  it("lz4 results are the caller's own", () => {
    const raw = new Uint8Array(5000).fill(7);
    const stored = compress(Codec.lz4, raw)!;
    const kept = stored.slice();
    const first = decompress(Codec.lz4, stored, 5000);
    first.fill(1);
    raw.fill(2);
    expect(Buffer.compare(stored, kept)).toBe(0);
    expect(decompress(Codec.lz4, stored, 5000)[4999]).toBe(7);
  });

  it("refuse a wrong raw length, and allocate nothing for a forged one", () => {
    for (const length of [300, 5000]) {
      const raw = mixed(length, 4);
      const stored = compress(Codec.lz4, raw)!;
      for (const wrong of [0, 1, length - 1, length + 1, 2 * length, 2 ** 32 - 1, 2 ** 40]) {
        expect(codeOf(() => decompress(Codec.lz4, stored, wrong))).toBe("AURA_CORRUPTION");
      }
    }
  });

  it("refuse a codec that is not known", () => {
    for (const codec of [2, 3, 4, 255]) {
      expect(codeOf(() => decompress(codec, new Uint8Array(3), 3))).toBe("AURA_UNSUPPORTED");
    }
  });

  it("refuse truncation, and survive flipped bytes", () => {
    for (const length of [400, 3000]) {
      const raw = mixed(length, 8);
      const stored = compress(Codec.lz4, raw)!;
      for (let end = 0; end < stored.length; end++) {
        expect(codeOf(() => decompress(Codec.lz4, stored.subarray(0, end), length))).toBe(
          "AURA_CORRUPTION",
        );
        expect(decode(stored.subarray(0, end), length)).toBeUndefined();
      }
      for (let at = 0; at < stored.length; at++) {
        const bad = stored.slice();
        bad[at]! ^= 1 << (at & 7);
        // Without a checksum another content may come out, but only one of this length.
        expect(decode(bad, length)?.length ?? length).toBe(length);
        const code = codeOf(() => expect(decompress(Codec.lz4, bad, length).length).toBe(length));
        expect(["none", "AURA_CORRUPTION"]).toContain(code);
      }
    }
  });
});

describe("the decoder in JavaScript", () => {
  it("reads literals, matches and overlapping matches", () => {
    // "abcd", then 8 from 4 back, then "z".
    const source = block([0x44], Buffer.from("abcd"), [4, 0], [0x10], Buffer.from("z"));
    expect(Buffer.from(decode(source, 13)!).toString()).toBe("abcdabcdabcdz");
    // One byte, repeated 300 times and more: lengths of several bytes.
    const run = block([0x1f, 0x61, 1, 0, 255, 30], [0x00]);
    expect(Buffer.from(decode(run, 1 + 4 + 15 + 285)!).toString()).toBe("a".repeat(305));
    expect(decode(block([0x00]), 0)).toEqual(new Uint8Array(0));
  });

  it.each([
    ["nothing", []],
    ["a match without a distance", [0x10, 0x61, 1]],
    ["distance zero", [0x10, 0x61, 0, 0, 0x00]],
    ["a distance before the start", [0x10, 0x61, 2, 0, 0x00]],
    ["literals beyond the input", [0x50, 0x61]],
    ["literals beyond the output", [0xf0, 200, ...Array(215).fill(0)]],
    ["a match beyond the output", [0x1f, 0x61, 1, 0, 200, 0x00]],
    ["a literal length without end", [0xf0, 255, 255]],
    ["a match length without end", [0x1f, 0x61, 1, 0, 255, 255]],
    ["an end in a match", [0x10, 0x61, 1, 0]],
  ])("refuses %s", (_, source) => {
    expect(decode(Uint8Array.from(source), 5)).toBeUndefined();
  });

  it("never writes or reads outside, whatever it is given", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(400), (source, length) => {
        const around = new Uint8Array(length + 20).fill(0xaa);
        decodeLz4Block(source, around.subarray(10, 10 + length));
        expect(around.subarray(0, 10).every((byte) => byte === 0xaa)).toBe(true);
        expect(around.subarray(10 + length).every((byte) => byte === 0xaa)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("without the native module", () => {
  afterEach(() => {
    vi.doUnmock("node:module");
    vi.resetModules();
  });

  it("nothing is compressed and everything is read", async () => {
    const raw = mixed(10_000, 2);
    const stored = compress(Codec.lz4, raw)!;
    vi.resetModules();
    vi.doMock("node:module", () => ({
      createRequire: () => (name: string) => {
        throw new Error(`Cannot find module '${name}'`);
      },
    }));
    const bare = await import("../src/codec.ts");
    expect(bare.lz4Available()).toBe(false);
    expect(bare.compress(Codec.lz4, raw)).toBeUndefined();
    expect(Buffer.compare(bare.decompress(Codec.lz4, stored, raw.length), raw)).toBe(0);
    expect(codeOf(() => bare.decompress(Codec.lz4, stored, raw.length + 1))).toBe(
      "AURA_CORRUPTION",
    );
  });
});
