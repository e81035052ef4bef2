/**
 * Reads of separated values: hot ones from the cache and from the page cache, many at once, and a
 * stream. Time per value, medians of seven rounds. Against the built packages:
 * node packages/engine/bench/value-reads.bench.mjs
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AuraDB } from "@aura/engine";

const ROUNDS = 7;
const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

async function time(count, run) {
  const rounds = [];
  for (let i = 0; i < ROUNDS; i++) {
    const start = process.hrtime.bigint();
    await run();
    rounds.push(Number(process.hrtime.bigint() - start) / count / 1000);
  }
  return `${median(rounds).toFixed(1).padStart(7)} us`;
}

for (const size of [1024, 4096, 16_384, 65_536]) {
  for (const compression of ["none", "zstd"]) {
    const path = mkdtempSync(join(tmpdir(), "aura-bench-"));
    const value = randomBytes(size);
    if (compression !== "none") for (let at = 0; at < size; at += 64) value.fill(120, at, at + 32);
    const results = [];
    for (const capacity of [0, 64 * 1024 * 1024]) {
      const db = await AuraDB.open(path, { cache: { capacity }, valueLog: { compression } });
      const keys = Array.from({ length: 256 }, (_, i) => `key-${i}`);
      for (const key of keys) db.putSync(key, value);
      await db.flush();
      for (let i = 0; i < 3; i++) for (const key of keys) db.getSync(key);
      results.push(
        await time(256 * 8, () => {
          for (let i = 0; i < 8; i++) for (const key of keys) db.getSync(key);
        }),
      );
      if (capacity === 0) results.push(await time(256, () => db.getMany(keys)));
      await db.close();
    }
    rmSync(path, { recursive: true });
    const [disk, many, cached] = results;
    console.log(
      `${String(size).padStart(6)} B ${compression.padEnd(5)} getSync ${disk}  cached ${cached}  getMany(256) ${many}`,
    );
  }
}
{
  const path = mkdtempSync(join(tmpdir(), "aura-bench-"));
  const db = await AuraDB.open(path);
  const bytes = 256 * 1024 * 1024;
  db.putSync("large", randomBytes(bytes));
  let total = 0;
  const perMb = await time(256, async () => {
    for await (const piece of db.createReadStream("large")) total += piece.length;
  });
  const part = await time(1000, async () => {
    for (let i = 0; i < 1000; i++)
      await db.read("large", { offset: (i * 7919 * 4096) % bytes, length: 4096 });
  });
  if (total !== ROUNDS * bytes) throw new Error("a stream of another length");
  console.log(`stream of 256 MiB: ${perMb} per MiB`);
  console.log(`read of 4 KiB within it: ${part}`);
  await db.close();
  rmSync(path, { recursive: true });
}
