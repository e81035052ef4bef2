/**
 * What compression of values costs the writer and the machine: puts of values that compress to half
 * and of noise, by size and codec. Per put: time on the caller's thread, and CPU of all threads until
 * everything is flushed; beside it what one call of `compress` would cost the caller. Interleaved,
 * medians of five rounds. Against the built packages:
 * node packages/engine/bench/value-compression.bench.mjs [megabytes per round] [bytes of a value]
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Codec, compress } from "@aura/base";
import { AuraDB } from "@aura/engine";

const ROUND_BYTES = Number(process.argv[2] ?? 48) * 1024 * 1024;
const ROUNDS = 5;
const CODECS = ["none", "lz4", "zstd"];
const SIZES = process.argv[3] ? [Number(process.argv[3])] : [1024, 4096, 16_384, 65_536];

function makeValue(size, isNoise) {
  const value = randomBytes(size);
  if (!isNoise) for (let at = 0; at < size; at += 64) value.fill(120, at, at + 32);
  return value;
}

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

async function round(codec, size, isNoise) {
  const path = mkdtempSync(join(tmpdir(), "aura-bench-"));
  const db = await AuraDB.open(path, {
    valueLog: { compression: codec },
    memtable: { maxSize: 64 * 1024 * 1024 },
  });
  const values = Array.from({ length: 64 }, () => makeValue(size, isNoise));
  const count = Math.floor(ROUND_BYTES / size);
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  for (let i = 0; i < count; i++) db.putSync(`key-${String(i).padStart(9, "0")}`, values[i & 63]);
  const put = Number(process.hrtime.bigint() - start) / count / 1000;
  await db.flush();
  const flushed = Number(process.hrtime.bigint() - start) / count / 1000;
  const used = process.cpuUsage(cpu);
  const { packed } = db.stats().values;
  await db.close();
  rmSync(path, { recursive: true });
  return {
    put,
    flushed,
    cpu: (used.user + used.system) / count,
    stored: packed.storedBytes / (packed.rawBytes || 1),
  };
}

for (const isNoise of [false, true]) {
  for (const size of SIZES) {
    const rounds = CODECS.map(() => []);
    for (let i = 0; i < ROUNDS; i++) {
      for (const [c, codec] of CODECS.entries()) rounds[c].push(await round(codec, size, isNoise));
    }
    for (const [c, codec] of CODECS.entries()) {
      const of = (name) =>
        median(rounds[c].map((one) => one[name]))
          .toFixed(1)
          .padStart(8);
      const value = makeValue(size, isNoise);
      const start = process.hrtime.bigint();
      for (let i = 0; i < 200; i++) compress(Codec[codec], value);
      const inline = (Number(process.hrtime.bigint() - start) / 200 / 1000).toFixed(1).padStart(8);
      console.log(
        `${isNoise ? "noise" : "half "} ${String(size).padStart(6)} B ${codec.padEnd(5)}` +
          ` put ${of("put")} us  until flushed ${of("flushed")} us  CPU ${of("cpu")} us` +
          `  compress inline ${inline} us`,
      );
    }
  }
}
