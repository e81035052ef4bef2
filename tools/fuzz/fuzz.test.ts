/**
 * Every decoder on bytes that nobody wrote, checksums mended: it ends, throws a typed error or
 * nothing, and asks for no memory that its input does not account for.
 *
 * AURA_FUZZ_RUNS=100000 takes more runs of each; AURA_FUZZ_SEED another seed; AURA_FUZZ_TARGET one.
 */
import { deflateRawSync } from "node:zlib";
import { Codec, compress, decompress, hashReady } from "@aura/base";
import { beforeAll, expect, test } from "vitest";
import { TooMuch, withAllocationLimit } from "./allocation.ts";
import { fuzz } from "./fuzzer.ts";
import { makeTargets, type Target } from "./targets.ts";

const RUNS = Number(process.env["AURA_FUZZ_RUNS"] ?? "480");
const SEED = Number(process.env["AURA_FUZZ_SEED"] ?? "1");
const ONE = process.env["AURA_FUZZ_TARGET"];
const NAMES = [
  ...["log", "manifest", "segment", "table", "file header", "operations", "edit", "preamble"],
  ...["filter", "model", "codecs", "trace"],
];

let targets: Target[];
beforeAll(async () => {
  await hashReady();
  targets = await makeTargets();
});

test("the targets are all there, each with seeds", () => {
  expect(targets.map(({ name }) => name)).toEqual(NAMES);
  for (const { name, seeds } of targets) expect(seeds.length, name).toBeGreaterThan(0);
});

test.each(NAMES.filter((name) => ONE === undefined || ONE === name))(
  "%s",
  { timeout: 3_600_000 },
  (name) => {
    const target = targets.find((one) => one.name === name)!;
    const result = fuzz(target, SEED, RUNS);
    expect(result.reached).toBeGreaterThan(3);
    expect(result.corpus).toBeGreaterThanOrEqual(target.seeds.length);
    if (RUNS > 5000) console.log(name, JSON.stringify(result));
  },
);

test("what unpacks to more than was announced is given up before it does", () => {
  const zeros = Buffer.alloc(48 << 20);
  const bombs: [number, Uint8Array][] = [[Codec.deflate, deflateRawSync(zeros)]];
  for (const codec of [Codec.lz4, Codec.snappy, Codec.zstd]) {
    const packed = compress(codec, zeros);
    if (packed !== undefined) bombs.push([codec, packed]);
  }
  expect(bombs.length).toBeGreaterThan(1);
  for (const [codec, packed] of bombs) {
    for (const announced of [0, 1, 1000, 100_000]) {
      const unpack = (): unknown => decompress(codec, packed, announced);
      // As damage, and not as TooMuch.
      expect(() => withAllocationLimit(4 << 20, unpack), `codec ${codec}`).toThrow(
        expect.objectContaining({ code: "AURA_CORRUPTION" }),
      );
    }
  }
});

test("an allocation above the limit is seen, also when it is caught", () => {
  expect(() => withAllocationLimit(1000, () => new Uint8Array(1001))).toThrow(TooMuch);
  expect(() => withAllocationLimit(1000, () => Buffer.allocUnsafe(4000))).toThrow(TooMuch);
  const swallow = (): number => {
    try {
      return new Float64Array(1000).length;
    } catch {
      return 0;
    }
  };
  expect(() => withAllocationLimit(1000, swallow)).toThrow(TooMuch);
  expect(withAllocationLimit(1000, () => new Uint8Array([1, 2]) instanceof Uint8Array)).toBe(true);
});
