/**
 * Cost of compressing and decompressing, per codec and size; of JavaScript source and of noise.
 * Median of nine rounds. With `--bare` the optional modules are absent. Against the built package:
 * node packages/base/bench/codec.bench.mjs [--bare] [file]
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import Module from "node:module";
import { fileURLToPath } from "node:url";
import { Codec, compress, decompress } from "@aura/base";

const bare = process.argv.includes("--bare");
const given = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
const compiler = "../../../node_modules/typescript/lib/typescript.js";
const path = given ?? fileURLToPath(new URL(compiler, import.meta.url));
const ROUNDS = 9;
const ROUND_NS = 30e6;
const SIZES = [1024, 4096, 65_536, 1_048_576];

/** Stored by a first process with modules, read by one without. */
function hideModules() {
  const load = Module._load;
  Module._load = (request, ...rest) => {
    if (/lz4-napi|snappy|zstd/.test(request)) throw new Error(`${request} is hidden`);
    return load(request, ...rest);
  };
}

function medianUs(run) {
  run();
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    let count = 0;
    let ns = 0;
    do {
      run();
      count++;
      ns = Number(process.hrtime.bigint() - start);
    } while (ns < ROUND_NS);
    rounds.push(ns / count / 1000);
  }
  return rounds
    .sort((a, b) => a - b)
    [ROUNDS >> 1].toFixed(1)
    .padStart(8);
}

const source = readFileSync(path);
const middle = source.length >> 1;
const cases = [];
for (const size of SIZES) {
  const raw = source.subarray(middle, middle + size);
  for (const [name, codec] of Object.entries(Codec)) {
    if (codec !== Codec.none) cases.push({ name, codec, raw });
  }
}
if (bare) {
  // The modules are loaded at first use: what is stored is made by another copy of the package.
  const stored = JSON.parse(
    (await import("node:child_process")).execFileSync(
      process.execPath,
      [fileURLToPath(import.meta.url), ...(given ? [given] : []), "--stored"],
      { maxBuffer: 2 ** 28 },
    ),
  );
  hideModules();
  for (const [i, { name, codec, raw }] of cases.entries()) {
    const bytes = Buffer.from(stored[i], "base64");
    const us = medianUs(() => decompress(codec, bytes, raw.length));
    console.log(`${name.padEnd(8)} ${String(raw.length).padStart(8)} B  decompress ${us} us`);
  }
} else if (process.argv.includes("--stored")) {
  const stored = cases.map(({ codec, raw }) =>
    Buffer.from(compress(codec, raw)).toString("base64"),
  );
  console.log(JSON.stringify(stored));
} else {
  for (const { name, codec, raw } of cases) {
    const noise = randomBytes(raw.length);
    const stored = compress(codec, raw);
    console.log(
      `${name.padEnd(8)} ${String(raw.length).padStart(8)} B  stored ${String(stored.length).padStart(7)}` +
        `  compress ${medianUs(() => compress(codec, raw))} us` +
        `  decompress ${medianUs(() => decompress(codec, stored, raw.length))} us` +
        `  compress noise ${medianUs(() => compress(codec, noise))} us`,
    );
  }
}
