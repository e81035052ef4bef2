/**
 * Tables whose checksums are right and whose contents are not: each byte of a plain block is changed,
 * so that keys stand out of order, twice, or out of the table's bounds. What is salvaged of it is sound.
 */
import { hasCode, hashReady } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { AuraDB, type Settings } from "@aura/engine";
import { expect, test } from "vitest";
import { directory } from "../../packages/engine/test/support/damaged-world.ts";
import { mendTable } from "./checksums.ts";
import { directoryTargets, type Home } from "./directories.ts";

async function plainHome(): Promise<Home> {
  await hashReady();
  const settings: Settings = {
    seed: 3,
    memtable: { maxSize: 262144, maxCount: 3 },
    table: { blockSize: 512, compression: "none" },
    compaction: { automatic: false },
  };
  const fs = new SimFs();
  const db = await AuraDB.open(directory, settings, { fs, runtime: simRuntime(3) });
  for (let i = 0; i < 40; i++) db.putSync(`key ${10 + i * 2}`, `${i}`);
  const snapshot = db.snapshot();
  for (let i = 0; i < 40; i += 3) db.putSync(`key ${10 + i * 2}`, "again");
  await db.flush();
  snapshot.release();
  const image = fs.processKill();
  await db.close();
  return { fs: image, settings };
}

test("entries out of order, and out of bounds, are damage, and no end of a repair", async () => {
  const home = await plainHome();
  const target = directoryTargets([home]).find(({ name }) => name === "salvage")!;
  expect(target.seeds.length).toBe(1);
  const [seed] = target.seeds;
  let count = 0;
  let refused = 0;
  for (let at = 66; at < 66 + 900; at++) {
    for (const value of [0, seed![at]! ^ 1, 0x7f]) {
      const input = Uint8Array.from(seed!);
      input[at] = value;
      mendTable(input.subarray(2));
      try {
        await target.run(input);
      } catch (error) {
        // Entries of a kind that this build does not know are of a later one, and refused.
        if (!hasCode(error, "AURA_UNSUPPORTED")) throw error;
        refused++;
      }
      count++;
    }
  }
  expect(count).toBe(2700);
  expect(refused).toBeLessThan(count / 4);
});
