import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Codec, type CodecName, canCompress, compress, decompress, pays } from "../src/codec.ts";
import { runtimeZstd, runtimeZstdOf, type ZstdOptions } from "../src/codec-modules.ts";
import type { AuraError } from "../src/errors.ts";
import { decodeLz4Block } from "../src/lz4-decoder.ts";
import { SeededRandom } from "../src/runtime.ts";
import { decodeSnappyBlock } from "../src/snappy-decoder.ts";
import { decodeZstdFrame } from "../src/zstd-decoder.ts";
import { readZstdFrame } from "../src/zstd-frame.ts";
import { zstdWasm } from "../src/zstd-wasm.ts";
import { isMissing } from "./support/requirements.ts";

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

/** The run keeps optional modules away (`npm run test:nodes`): what compresses is less. */
const bare = process.env["AURA_NATIVES"] === "absent";
const noNatives = isMissing(!bare, "this run keeps native codecs away; they are NOT tested");
const CODECS = [Codec.lz4, Codec.snappy, Codec.zstd, Codec.deflate] as const;
type Packed = (typeof CODECS)[number];
const PACKED = bare ? CODECS.filter((codec) => canCompress(codec)) : CODECS;
const NAMES = new Map(Object.entries(Codec).map(([name, codec]) => [codec, name as CodecName]));

type Decoder = (source: Uint8Array, target: Uint8Array, dictionary?: Uint8Array) => boolean;
/** The decoders that need no module; deflate has the runtime's. */
const DECODERS = new Map<Codec, Decoder>([
  [Codec.lz4, decodeLz4Block],
  [Codec.snappy, decodeSnappyBlock],
  [Codec.zstd, decodeZstdFrame],
]);

/** Decodes in JavaScript; undefined when it refuses. */
function decode(codec: Codec, source: Uint8Array, length: number, dictionary?: Uint8Array) {
  const decoder = DECODERS.get(codec);
  if (decoder === undefined) return undefined;
  const target = new Uint8Array(length);
  return decoder(source, target, dictionary) ? target : undefined;
}

function expectBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  expect(actual).toBeDefined();
  expect(Buffer.compare(actual!, expected)).toBe(0);
}

/** Reads with every decoder there is. */
function expectReads(codec: Codec, stored: Uint8Array, raw: Uint8Array, dictionary?: Uint8Array) {
  expectBytes(decompress(codec, stored, raw.length, dictionary), raw);
  if (DECODERS.has(codec)) expectBytes(decode(codec, stored, raw.length, dictionary), raw);
}

const packed = (run: (codec: Packed) => void) =>
  describe.each(PACKED.map((codec) => [NAMES.get(codec)!, codec] as const))("%s", (_, codec) =>
    run(codec),
  );

describe("codecs", () => {
  it("keep their numbers on disk", () => {
    expect(Codec).toEqual({ none: 0, lz4: 1, snappy: 2, zstd: 3, deflate: 4 });
  });

  it.skipIf(noNatives)("can all compress on the test platform", () => {
    for (const codec of Object.values(Codec)) expect(canCompress(codec), `${codec}`).toBe(true);
  });

  it.skipIf(noNatives)("leave no memory behind while the event loop does not turn", () => {
    const raw = mixed(100_000, 1);
    const grown = (work: () => void) => {
      work();
      const before = process.memoryUsage.rss();
      for (let i = 0; i < 3000; i++) work();
      return process.memoryUsage.rss() - before;
    };
    for (const codec of [Codec.lz4, Codec.snappy]) {
      const stored = compress(codec, raw) ?? expect.fail("it pays");
      // All of it together would be 286 MiB.
      expect(grown(() => decompress(codec, stored, raw.length))).toBeLessThan(128 * 2 ** 20);
    }
    // 143 MiB and more.
    expect(grown(() => compress(Codec.snappy, raw))).toBeLessThan(96 * 2 ** 20);
  });

  it("pay from an eighth on", () => {
    expect([pays(875, 1000), pays(876, 1000), pays(0, 0), pays(1, 1)]).toEqual([
      ...[true, false, true, false],
    ]);
  });

  it("none hands out what it got, of the right length", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(compress(Codec.none, bytes)).toBeUndefined();
    expect(decompress(Codec.none, bytes, 3)).toBe(bytes);
    expect(codeOf(() => decompress(Codec.none, bytes, 4))).toBe("AURA_CORRUPTION");
  });

  it("refuse a codec that is not known", () => {
    for (const codec of [5, 6, 255]) {
      expect(codeOf(() => decompress(codec, new Uint8Array(3), 3))).toBe("AURA_UNSUPPORTED");
    }
  });

  it("but zstd take no dictionary", () => {
    const bytes = new Uint8Array(100);
    expect(() => compress(Codec.lz4, bytes, bytes)).toThrow(/only zstd/);
    expect(() => decompress(Codec.deflate, bytes, 9, bytes)).toThrow(/only zstd/);
    expect(() => compress(Codec.zstd, bytes, new Uint8Array(7))).toThrow(/8 bytes/);
  });
});

packed((codec) => {
  it("reads back, with modules and in JavaScript, and only what pays is packed", () => {
    fc.assert(
      fc.property(fc.nat(20_000), fc.nat(), (length, seed) => {
        const raw = mixed(length, seed);
        const stored = compress(codec, raw);
        if (stored === undefined) return;
        expect(pays(stored.length, length)).toBe(true);
        expectReads(codec, stored, raw);
      }),
      { numRuns: 150 },
    );
  });

  it("reads back long values, from the middle of a buffer", () => {
    const raw = mixed(3_000_000, 1);
    const stored = compress(codec, raw)!;
    const around = Buffer.concat([Buffer.alloc(7, 0xee), stored, Buffer.alloc(9, 0xee)]);
    expectReads(codec, around.subarray(7, 7 + stored.length), raw);
  });

  it("reads back the longest runs", () => {
    const raw = new Uint8Array(2_000_000);
    const stored = compress(codec, raw)!;
    expect(raw.length / stored.length).toBeGreaterThan(20);
    expectReads(codec, stored, raw);
  });

  it("gives nothing where nothing is gained", () => {
    const noise = new SeededRandom(3);
    expect(compress(codec, new Uint8Array(0))).toBeUndefined();
    expect(compress(codec, Uint8Array.of(1))).toBeUndefined();
    const bytes = new Uint8Array(500).map(() => noise.uint32());
    expect(compress(codec, bytes)).toBeUndefined();
  });

  it("gives results that are the caller's own", () => {
    const raw = new Uint8Array(5000).fill(7);
    const stored = compress(codec, raw)!;
    const kept = stored.slice();
    const first = decompress(codec, stored, 5000);
    first.fill(1);
    raw.fill(2);
    compress(codec, raw);
    expect(Buffer.compare(stored, kept)).toBe(0);
    expect(decompress(codec, stored, 5000)[4999]).toBe(7);
  });

  it("refuses a wrong raw length, and allocates nothing for a forged one", () => {
    for (const length of [300, 5000]) {
      const raw = mixed(length, 4);
      const stored = compress(codec, raw)!;
      for (const wrong of [0, 1, length - 1, length + 1, 2 * length, 2 ** 32 - 1, 2 ** 40]) {
        expect(codeOf(() => decompress(codec, stored, wrong))).toBe("AURA_CORRUPTION");
        if (wrong < 2 ** 20) expect(decode(codec, stored, wrong)).toBeUndefined();
      }
    }
  });

  it("refuses truncation and trailing bytes, and survives flipped bytes", () => {
    for (const length of [400, 3000]) {
      const raw = mixed(length, 8);
      const stored = compress(codec, raw)!;
      const longer = Buffer.concat([stored, Buffer.from([0])]);
      expect(codeOf(() => decompress(codec, longer, length))).toBe("AURA_CORRUPTION");
      for (let end = 0; end < stored.length; end++) {
        const cut = stored.subarray(0, end);
        expect(codeOf(() => decompress(codec, cut, length))).toBe("AURA_CORRUPTION");
        expect(decode(codec, cut, length)).toBeUndefined();
      }
      for (let at = 0; at < stored.length; at++) {
        const bad = stored.slice();
        bad[at]! ^= 1 << (at & 7);
        // Without a checksum another content may come out, but only one of this length.
        expect(decode(codec, bad, length)?.length ?? length).toBe(length);
        const code = codeOf(() => expect(decompress(codec, bad, length).length).toBe(length));
        expect(["none", "AURA_CORRUPTION"]).toContain(code);
      }
    }
  });

  it("never writes or reads outside, whatever it is given", () => {
    const decoder = DECODERS.get(codec);
    if (decoder === undefined) return;
    const start = compress(codec, mixed(300, 9))!;
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(400),
        fc.nat(start.length),
        (tail, length, kept) => {
          const source = Buffer.concat([start.subarray(0, kept), tail]);
          const around = new Uint8Array(length + 20).fill(0xaa);
          decoder(source, around.subarray(10, 10 + length));
          expect(around.subarray(0, 10).every((byte) => byte === 0xaa)).toBe(true);
          expect(around.subarray(10 + length).every((byte) => byte === 0xaa)).toBe(true);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

interface Vector {
  readonly codec: Exclude<CodecName, "none">;
  /** What made it; all but the tool's one-time use is in the fixture. */
  readonly tool: string;
  readonly raw: string;
  readonly stored: string;
  readonly dictionary?: string;
}

const vectorsPath = fileURLToPath(new URL("fixtures/codec-vectors.json", import.meta.url));
const vectors = JSON.parse(readFileSync(vectorsPath, "utf8")) as Vector[];

describe("what reference tools wrote", () => {
  it.each(vectors.map((vector) => [vector.codec, vector.tool, vector] as const))(
    "%s of %s is read",
    (name, _, vector) => {
      const codec = Codec[name];
      const raw = Buffer.from(vector.raw, "base64");
      const stored = Buffer.from(vector.stored, "base64");
      const { dictionary } = vector;
      const known = dictionary === undefined ? undefined : Buffer.from(dictionary, "base64");
      expectReads(codec, stored, raw, known);
      expect(codeOf(() => decompress(codec, stored, raw.length + 1, known))).toBe(
        "AURA_CORRUPTION",
      );
    },
  );
});

describe("zstd", () => {
  const trained = vectors.find(({ tool }) => tool.includes("trained"))!;
  const dictionaries = [
    ["raw content", Buffer.from("the user's name is some name, and so on: ".repeat(20))],
    ["a trained one", Buffer.from(trained.dictionary!, "base64")],
  ] as const;

  it.skipIf(noNatives).each(dictionaries)("takes a dictionary: %s", (_, dictionary) => {
    const raw = Buffer.from(
      `{"id":77,"name":"user-5","active":true,"tags":["value","log","the user's name is some name"]}`,
    );
    const stored = compress(Codec.zstd, raw, dictionary);
    const alone = compress(Codec.zstd, raw)?.length ?? raw.length;
    expect(stored!.length).toBeLessThan(alone);
    expectReads(Codec.zstd, stored!, raw, dictionary);
    // Without it, or with another one, nothing comes out, or something of this length.
    for (const wrong of [undefined, Buffer.alloc(400, "other")]) {
      const code = codeOf(() => decompress(Codec.zstd, stored!, raw.length, wrong));
      expect(["none", "AURA_CORRUPTION"]).toContain(code);
      const other = decode(Codec.zstd, stored!, raw.length, wrong);
      expect(other === undefined || Buffer.compare(other, raw) !== 0).toBe(true);
    }
  });

  it("survives damaged dictionaries", () => {
    const dictionary = Buffer.from(trained.dictionary!, "base64");
    const raw = Buffer.from(trained.raw, "base64");
    const stored = Buffer.from(trained.stored, "base64");
    for (let at = 0; at < dictionary.length; at++) {
      const bad = Buffer.from(dictionary);
      bad[at]! ^= 1 << (at & 7);
      expect(decode(Codec.zstd, stored, raw.length, bad)?.length ?? raw.length).toBe(raw.length);
      const cut = dictionary.subarray(0, at);
      expect(decode(Codec.zstd, stored, raw.length, cut)?.length ?? raw.length).toBe(raw.length);
    }
  });

  it("finds a wrong checksum", () => {
    const { stored, raw } = vectors.find(({ tool }) => tool.endsWith("--check"))!;
    const bytes = Buffer.from(stored, "base64");
    bytes[bytes.length - 1]! ^= 1;
    const { length } = Buffer.from(raw, "base64");
    expect(decode(Codec.zstd, bytes, length)).toBeUndefined();
    expect(codeOf(() => decompress(Codec.zstd, bytes, length))).toBe("AURA_CORRUPTION");
  });

  it("does not let a small frame ask for much", () => {
    // A frame of one run of 128 KiB that says it were 4 GiB.
    const bomb = Uint8Array.of(
      ...[0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff, 0x03, 0x00, 0x10, 0x61],
    );
    expect(codeOf(() => decompress(Codec.zstd, bomb, 2 ** 32 - 1))).toBe("AURA_CORRUPTION");
    bomb.set([0, 0, 2, 0], 5);
    const raw = decompress(Codec.zstd, bomb, 128 * 1024);
    expect(raw.every((byte) => byte === 0x61)).toBe(true);
  });
});

describe("LZ4 in JavaScript", () => {
  it("reads literals, matches and overlapping matches", () => {
    // "abcd", then 8 from 4 back, then "z".
    const source = block([0x44], Buffer.from("abcd"), [4, 0], [0x10], Buffer.from("z"));
    expect(Buffer.from(decode(Codec.lz4, source, 13)!).toString()).toBe("abcdabcdabcdz");
    // One byte, repeated 300 times and more: lengths of several bytes.
    const run = block([0x1f, 0x61, 1, 0, 255, 30], [0x00]);
    expect(Buffer.from(decode(Codec.lz4, run, 1 + 4 + 15 + 285)!).toString()).toBe("a".repeat(305));
    expect(decode(Codec.lz4, block([0x00]), 0)).toEqual(new Uint8Array(0));
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
    expect(decode(Codec.lz4, Uint8Array.from(source), 5)).toBeUndefined();
  });
});

describe("Snappy in JavaScript", () => {
  it("reads every form of element", () => {
    // "abcd"; 4 from 4 back in two bytes; 5 from 8 back in three; 64 from 1 back in five.
    const source = block(
      [77],
      [0x0c],
      Buffer.from("abcd"),
      [0x01, 4],
      [0x12, 8, 0],
      [0xff, 1, 0, 0, 0],
    );
    const raw = Buffer.from("abcdabcdabcda".padEnd(77, "a"));
    expectBytes(decode(Codec.snappy, source, 77), raw);
    // Lengths of literals in one to four bytes.
    for (const bytes of [1, 2, 3, 4]) {
      const length = block([299 & 255, 1, 0, 0].slice(0, bytes));
      const literals = new Uint8Array(bytes === 1 ? 44 : 300).fill(7);
      const whole = block(
        [(literals.length & 127) | (bytes === 1 ? 0 : 128)],
        bytes === 1 ? [] : [2],
        [(59 + bytes) << 2],
        length,
        literals,
      );
      expectBytes(decode(Codec.snappy, whole, literals.length), literals);
    }
    expectBytes(decode(Codec.snappy, Uint8Array.of(0), 0), new Uint8Array(0));
  });

  it.each([
    ["nothing", []],
    ["another length", [4, 0x0c, 1, 2, 3, 4]],
    ["a length without end", [0x85, 0x80, 0x80, 0x80, 0x80, 0]],
    ["literals beyond the input", [5, 0x10, 1, 2]],
    ["literals beyond the output", [5, 0x14, 1, 2, 3, 4, 5, 6]],
    ["a literal length that is cut", [5, 0xf4, 1]],
    ["a copy that is cut", [5, 0x00, 1, 0x01]],
    ["distance zero", [5, 0x00, 1, 0x01, 0]],
    ["a distance before the start", [5, 0x00, 1, 0x01, 2]],
    ["a copy beyond the output", [5, 0x00, 1, 0x05, 1]],
    ["too little", [5, 0x00, 1]],
  ])("refuses %s", (_, source) => {
    expect(decode(Codec.snappy, Uint8Array.from(source), 5)).toBeUndefined();
  });
});

describe("without optional modules", () => {
  afterEach(() => {
    vi.doUnmock("node:module");
    vi.resetModules();
  });

  it("everything is read, and only deflate compresses", async () => {
    const raw = mixed(10_000, 2);
    const stored = new Map(PACKED.map((codec) => [codec, compress(codec, raw)!]));
    vi.resetModules();
    vi.doMock("node:module", () => ({
      createRequire: () => (name: string) => {
        throw new Error(`Cannot find module '${name}'`);
      },
    }));
    const alone = await import("../src/codec.ts");
    for (const codec of CODECS) {
      const there = codec === Codec.deflate;
      expect(alone.canCompress(codec)).toBe(there || (codec === Codec.zstd && hasRuntimeZstd));
      if (!alone.canCompress(codec)) expect(alone.compress(codec, raw)).toBeUndefined();
      if (!stored.has(codec)) continue;
      expectBytes(alone.decompress(codec, stored.get(codec)!, raw.length), raw);
      expect(codeOf(() => alone.decompress(codec, stored.get(codec)!, raw.length + 1))).toBe(
        "AURA_CORRUPTION",
      );
    }
  });
});

const hasRuntimeZstd = runtimeZstd() !== undefined;
const noRuntimeZstd = isMissing(
  hasRuntimeZstd,
  "this Node has no zstd; what it makes of frames of WebAssembly is NOT tested",
);

describe.skipIf(noNatives)("the runtime's zstd", () => {
  /** A `node:zlib` of a later runtime: its functions, done by what there is here. */
  function zlibWithZstd(honoursDictionary: boolean) {
    const calls: ZstdOptions[] = [];
    const known = (options: ZstdOptions) => (honoursDictionary ? options.dictionary : undefined);
    const wasm = zstdWasm()!;
    return {
      calls,
      constants: { ZSTD_c_compressionLevel: 100 },
      zstdCompressSync: (bytes: Uint8Array, options: ZstdOptions) => {
        calls.push(options);
        return Buffer.from(wasm.compress(bytes, options.params![100]!, known(options))!);
      },
      zstdDecompressSync: (bytes: Uint8Array, options: ZstdOptions) => {
        calls.push(options);
        const length = readZstdFrame(bytes)!.contentBytes;
        if (length > options.maxOutputLength!) throw new RangeError("too large");
        return Buffer.from(wasm.decompress(bytes, length, known(options))!);
      },
    };
  }

  it("is not there before it was added", () => {
    expect(runtimeZstdOf({ constants: {} })).toBeUndefined();
    const { zstdCompressSync, constants } = zlibWithZstd(true);
    expect(runtimeZstdOf({ zstdCompressSync, constants })).toBeUndefined();
  });

  it("is asked whether it honours dictionaries", () => {
    expect(runtimeZstdOf(zlibWithZstd(true))!.hasDictionaries).toBe(true);
    expect(runtimeZstdOf(zlibWithZstd(false))!.hasDictionaries).toBe(false);
  });

  it("is bounded, and given level and dictionary", () => {
    const module = zlibWithZstd(true);
    const zstd = runtimeZstdOf(module)!;
    const raw = mixed(3000, 5);
    const dictionary = raw.subarray(0, 1000);
    const stored = zstd.compress(raw, 3, dictionary);
    expect(module.calls.at(-1)).toEqual({ params: { 100: 3 }, dictionary });
    expectBytes(zstd.decompress(stored, 3000, dictionary), raw);
    expect(module.calls.at(-1)!.maxOutputLength).toBe(3000);
    expect(() => zstd.decompress(stored, 2999, dictionary)).toThrow();
    expectReads(Codec.zstd, stored, raw, dictionary);
  });

  it.skipIf(noRuntimeZstd)("reads what WebAssembly wrote, and the other way", () => {
    const zstd = runtimeZstd()!;
    const raw = mixed(50_000, 6);
    const dictionary = zstd.hasDictionaries ? raw.subarray(0, 5000) : undefined;
    expectBytes(
      zstd.decompress(zstdWasm()!.compress(raw, 3, dictionary)!, 50_000, dictionary),
      raw,
    );
    expectBytes(zstdWasm()!.decompress(zstd.compress(raw, 3, dictionary), 50_000, dictionary), raw);
  });
});
