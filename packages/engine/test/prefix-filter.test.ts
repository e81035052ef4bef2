import { compareKeys } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { sharedPrefixBytes } from "../src/prefix-filter.ts";
import { parseScanRange } from "../src/range.ts";

const nasty = fc.array(fc.constantFrom(0, 1, 0x61, 0xfe, 0xff), { maxLength: 4 });
const key = nasty.map((bytes) => Uint8Array.from(bytes));

test("what a range has in common, every key of it has", () => {
  fc.assert(
    fc.property(key, key, fc.array(key, { maxLength: 60 }), (lower, upper, keys) => {
      const shared = sharedPrefixBytes({ lower, upper });
      expect(shared).toBeLessThanOrEqual(lower.length);
      for (const one of keys) {
        if (compareKeys(one, lower) < 0 || compareKeys(one, upper) >= 0) continue;
        expect([...one.subarray(0, shared)]).toEqual([...lower.subarray(0, shared)]);
        expect(one.length).toBeGreaterThanOrEqual(shared);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a range given as a prefix has all of it in common", () => {
  fc.assert(
    fc.property(key, (prefix) => {
      const { lower, upper } = parseScanRange({ prefix });
      // Nothing is behind all keys that begin with these: there is no upper bound.
      const isOpen = prefix.every((byte) => byte === 0xff);
      expect(sharedPrefixBytes({ lower, upper })).toBe(isOpen ? 0 : prefix.length);
    }),
  );
});

const settings: Settings = {
  memtable: { maxSize: 256 * 1024 },
  table: { prefixBytes: 5, compression: "none", maxSize: 64 * 1024, blockSize: 1024 },
  compaction: { automatic: false },
  cache: { capacity: 0 },
};

/** Blocks that a scan of the prefix reads, and the keys that it finds. */
function scanned(db: AuraDB, prefix: string | Buffer): [blocks: number, keys: number] {
  const before = db.stats().cache.misses;
  const keys = [...db.keysSync({ prefix })].length;
  return [db.stats().cache.misses - before, keys];
}

test("a scan of a prefix reads no block of a table without it", async () => {
  const db = await AuraDB.open("/db", settings, { fs: new SimFs(), runtime: simRuntime(1) });
  // Each flush has every other tenant, all over the range of keys.
  for (let flush = 0; flush < 4; flush++) {
    for (let tenant = flush; tenant < 400; tenant += 4) {
      const id = String(tenant).padStart(4, "0");
      for (let i = 0; i < 5; i++) db.putSync(`t${id}/${flush}/${i}`, "x".repeat(50));
    }
    await db.flush();
  }
  expect(db.stats().levels[0]!.runs).toBe(4);
  let blocks = 0;
  for (let tenant = 0; tenant < 400; tenant++) {
    const [read, keys] = scanned(db, `t${String(tenant).padStart(4, "0")}`);
    expect(keys).toBe(5);
    blocks += read;
  }
  // One run of four has the prefix: one or two blocks, and rarely one of another.
  expect(blocks).toBeLessThan(400 * 2.2);
  expect(scanned(db, "t0001/9")).toMatchObject([expect.any(Number), 0]);
  const [absent] = scanned(db, "t000x");
  expect(absent).toBeLessThanOrEqual(1);
  // Shorter than what filters know: all runs are read.
  const [all, keys] = scanned(db, "t");
  expect(keys).toBe(2000);
  expect(all).toBeGreaterThan(absent + 4);
  expect(scanned(db, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))[1]).toBe(0);
  await db.close();
});
