/**
 * Every decoder on bytes that nobody wrote, checksums mended: it ends, throws a typed error or
 * nothing, and asks for no memory that its input does not account for.
 *
 * AURA_FUZZ_RUNS=100000 takes more runs of each; AURA_FUZZ_SEED another seed; AURA_FUZZ_TARGET one.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { Codec, compress, decompress, hashReady, pooledMemory } from "@aura/base";
import { afterAll, beforeAll, expect, test } from "vitest";
import { TooMuch, withAllocationLimit } from "./allocation.ts";
import { DECODER_NAME, DECODERS } from "./decoders.ts";
import { fuzz } from "./fuzzer.ts";
import type { Target } from "./target.ts";
import { makeTargets } from "./targets.ts";
import { Watchdog } from "./watchdog.mjs";

const RUNS = Number(process.env["AURA_FUZZ_RUNS"] ?? "480");
const SEED = Number(process.env["AURA_FUZZ_SEED"] ?? "1");
const ONE = process.env["AURA_FUZZ_TARGET"];
const NAMES = [
  ...["log", "manifest", "segment", "table", "file header", "operations", "edit", "preamble"],
  ...["filter", "model", "codecs", "trace", "values", "lock"],
  ...["changes", "salvage", "open", "repair"],
];

const watchdog = new Watchdog();
/** Four megabytes, at once and in sum. */
const LIMITS = { oneBytesMax: 4 << 20, sumBytesMax: 4 << 20 };

let targets: Target[];
beforeAll(async () => {
  await Promise.all([hashReady(), watchdog.ready()]);
  targets = await makeTargets();
});
afterAll(() => watchdog.close());

test("the targets are all there, each with seeds", () => {
  expect(targets.map(({ name }) => name)).toEqual(NAMES);
  for (const { name, seeds } of targets) expect(seeds.length, name).toBeGreaterThan(0);
});

test("every decoder has a target: whatever is named like one is listed", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const found = readdirSync(`${root}packages`).flatMap((folder) => {
    const source = `packages/${folder}/src`;
    return readdirSync(root + source, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.startsWith("testing"))
      .flatMap((file) => exportsOf(`${source}/${file.replaceAll("\\", "/")}`, root));
  });
  const named = found.filter((place) => DECODER_NAME.test(place.split("#")[1]!));
  expect(named.sort()).toEqual(Object.keys(DECODERS).sort());
  const fed = new Set(
    Object.values(DECODERS).flatMap((one) => (typeof one === "string" ? [] : one.targets)),
  );
  // "repair" alone feeds no decoder that no other does: it is there for what comes of it.
  expect([...fed, "repair"].sort()).toEqual([...NAMES].sort());
});

/** Functions, classes and function values that a file exports where it declares them. */
function exportsOf(file: string, root: string): string[] {
  const declared =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const) (\w+)/gm;
  return [...readFileSync(root + file, "utf8").matchAll(declared)].map(
    ([, name]) => `${file}#${name}`,
  );
}

test.each(NAMES.filter((name) => ONE === undefined || ONE === name))(
  "%s",
  { timeout: 3_600_000 },
  async (name) => {
    const target = targets.find((one) => one.name === name)!;
    const runs = Math.ceil(RUNS / (target.costs ?? 1));
    const result = await fuzz(target, SEED, runs, watchdog);
    expect(result.reached).toBeGreaterThan(3);
    expect(result.corpus).toBeGreaterThanOrEqual(target.seeds.length);
    // The decoders that it is there for were called, whatever became of them.
    for (const [place, decoder] of Object.entries(DECODERS)) {
      if (typeof decoder === "string" || !decoder.targets.includes(name)) continue;
      const [file, exported] = place.split("#");
      const called = `${file}#${decoder.method ?? exported}`;
      expect(result.called.has(called), `${name} calls ${called}`).toBe(true);
    }
    if (RUNS > 5000) console.log(name, JSON.stringify({ ...result, called: result.called.size }));
  },
);

test("what unpacks to more than was announced is given up before it does", () => {
  const zeros = Buffer.alloc(48 << 20);
  const bombs: [number, Uint8Array][] = [[Codec.deflate, deflateRawSync(zeros)]];
  for (const codec of [Codec.lz4, Codec.snappy, Codec.zstd]) {
    // WebAssembly does not take as much at once.
    const packed = compress(codec, zeros) ?? compress(codec, zeros.subarray(0, 8 << 20));
    if (packed !== undefined) bombs.push([codec, packed]);
    else
      process.stderr.write(
        `\n*** SKIPPED: codec ${codec} cannot compress here; its bomb is NOT tested ***\n`,
      );
  }
  // All of them, but where natives are kept away (`npm run test:nodes`).
  const isBare = process.env["AURA_NATIVES"] === "absent";
  expect(bombs.length).toBeGreaterThanOrEqual(isBare ? 1 : 4);
  for (const [codec, packed] of bombs) {
    for (const announced of [0, 1, 1000, 100_000]) {
      const unpack = (): unknown => decompress(codec, packed, announced);
      // As damage, and not as TooMuch.
      expect(() => withAllocationLimit(LIMITS, unpack), `codec ${codec}`).toThrow(
        expect.objectContaining({ code: "AURA_CORRUPTION" }),
      );
    }
  }
});

const limits = { oneBytesMax: 1000, sumBytesMax: 5000 };

const askers: [string, (bytes: number) => unknown][] = [
  ["new Uint8Array", (bytes) => new Uint8Array(bytes)],
  ["new Float64Array", (bytes) => new Float64Array(bytes / 8)],
  ["new BigInt64Array", (bytes) => new BigInt64Array(bytes / 8)],
  ["new ArrayBuffer", (bytes) => new ArrayBuffer(bytes)],
  ["new SharedArrayBuffer", (bytes) => new SharedArrayBuffer(bytes)],
  ["pooledMemory", (bytes) => pooledMemory(bytes)],
  ["new Array", (bytes) => new Array(bytes / 8)],
  ["Array", (bytes) => Array(bytes / 8)],
  ["Buffer.alloc", (bytes) => Buffer.alloc(bytes)],
  ["Buffer.allocUnsafe", (bytes) => Buffer.allocUnsafe(bytes)],
  ["Buffer.allocUnsafeSlow", (bytes) => Buffer.allocUnsafeSlow(bytes)],
  ["Buffer.from", (bytes) => Buffer.from(long.subarray(0, bytes))],
  ["Buffer.concat", (bytes) => Buffer.concat([long.subarray(0, bytes)])],
  ["new Uint8Array of an array", (bytes) => new Uint8Array(long.subarray(0, bytes))],
  ["slice of an array", (bytes) => long.slice(0, bytes)],
  ["slice of memory", (bytes) => long.buffer.slice(0, bytes)],
];
const long = new Uint8Array(2000);

test.each(askers)("%s above the limit is seen, also when it is caught, and in sum", (_, ask) => {
  const swallow = (): number => {
    try {
      ask(1008);
    } catch {
      return 0;
    }
    return 1;
  };
  expect(() => withAllocationLimit(limits, () => ask(1008))).toThrow(TooMuch);
  expect(() => withAllocationLimit(limits, swallow)).toThrow(TooMuch);
  const often = (count: number) => () => {
    for (let i = 0; i < count; i++) ask(1000);
  };
  withAllocationLimit(limits, often(5));
  expect(() => withAllocationLimit(limits, often(6))).toThrow(/in sum of 6000 bytes/);
  // Out of the watch all of it is in order again.
  often(20)();
  expect(ask(1008)).toBeDefined();
});

test("the watch lasts to the end of a promise, and no longer", async () => {
  const late = async (bytes: number): Promise<number> => {
    await new Promise((resolve) => setImmediate(resolve));
    return new ArrayBuffer(bytes).byteLength;
  };
  // The test runner works beside it.
  const above = LIMITS.oneBytesMax + 1;
  await expect(withAllocationLimit(LIMITS, () => late(above))).rejects.toThrow(TooMuch);
  expect(await withAllocationLimit(LIMITS, () => late(1000))).toBe(1000);
  expect(new Uint8Array(above).length).toBe(above);
});

test("what is watched is what it was", () => {
  withAllocationLimit(limits, () => {
    expect(new Uint8Array([1, 2]) instanceof Uint8Array).toBe(true);
    expect([...new Uint8Array(new ArrayBuffer(3000 - 2500), 2, 3)]).toEqual([0, 0, 0]);
    expect([new Array(3).length, [1, 2].length, Array.isArray([])]).toEqual([3, 2, true]);
    expect(() => new Uint8Array(-1)).toThrow(RangeError);
    expect(Buffer.from("text").toString()).toBe("text");
  });
});
