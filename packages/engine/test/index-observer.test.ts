import { getU48 } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { expect, test } from "vitest";
import { AuraDB } from "../src/index.ts";

const ROUNDS = 6;
const LOOKUPS = 1500;

test("what is seen of a level outlives its tables: decisions go on from merge to merge", async () => {
  const components = { fs: new SimFs(), runtime: simRuntime(1, { tickMs: 0.0001 }) };
  const settings = {
    table: { blockSize: 4096, compression: "none" },
    learnedIndex: { onlineTuning: true },
    cache: { capacity: 0 },
  } as const;
  const db = await AuraDB.open("/db", settings, components);
  const keyOf = (i: number): string => `key${String(i).padStart(6, "0")}`;
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < 3000; i++) db.putSync(keyOf(i), `${round}`.repeat(60));
    // Every table of the level is written anew.
    await db.compact();
    for (let i = 0; i < LOOKUPS; i++) expect(db.getSync(keyOf(i * 2))).toBeDefined();
  }
  const { indexTuning } = db.stats();
  const level = indexTuning.at(-1)!.observation.level;
  const decisions = indexTuning.filter(({ observation }) => observation.level === level);
  expect(decisions.map(({ observation }) => observation.lookups)).toEqual(
    Array.from({ length: ROUNDS - 1 }, () => LOOKUPS),
  );
  // No block is cached: the second observation confirms the first.
  expect(decisions[1]).toMatchObject({ changed: true, plan: { blockFactor: 0.5 } });
  await db.close();
});

test("searches are timed for keys of the tables, in models and in the separators beside them", async () => {
  const components = { fs: new SimFs(), runtime: simRuntime(1, { tickMs: 0.001 }) };
  const settings = {
    table: { blockSize: 512, compression: "none" },
    learnedIndex: { onlineTuning: true },
  } as const;
  const db = await AuraDB.open("/db", settings, components);
  const keyOf = (i: number): string => `key${String(i).padStart(6, "0")}`;
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 3000; i++) db.putSync(keyOf(i), `${round}`.repeat(60));
    await db.compact();
    for (let i = 0; i < 3000; i++) expect(db.getSync(keyOf(i))).toBeDefined();
  }
  const { observation } = db.stats().indexTuning.at(-1)!;
  expect(observation.modelled).toBeGreaterThan(0);
  // The clock goes on by itself when it is looked at: as much for either.
  expect(observation.searchNs).toBeGreaterThan(0);
  expect(observation.searchNs).toBeCloseTo(observation.separatorNs, 3);
  await db.close();
});

test("separators that are damaged behind a model stop no merge", async () => {
  const fs = new SimFs();
  const components = { fs, runtime: simRuntime(1, { tickMs: 0.001 }) };
  const settings = {
    table: { blockSize: 512, compression: "none" },
    learnedIndex: { onlineTuning: true },
  } as const;
  const db = await AuraDB.open("/db", settings, components);
  const keyOf = (i: number): string => `key${String(i).padStart(6, "0")}`;
  for (let i = 0; i < 3000; i++) db.putSync(keyOf(i), "a".repeat(60));
  await db.compact();
  for (let i = 0; i < 3000; i++) expect(db.getSync(keyOf(i))).toBeDefined();
  for (const name of fs.listSync("/db").filter((one) => one.endsWith(".sst"))) {
    const handle = fs.openSync(`/db/${name}`, "read");
    const at = new Uint8Array(6);
    // The footer begins with where the separators do.
    handle.readSync(at, handle.sizeSync() - 92);
    handle.closeSync();
    fs.flipBits(`/db/${name}`, getU48(at, 0) + 20, 1);
  }
  db.putSync(keyOf(7), "b");
  await db.compact();
  expect(db.getSync(keyOf(7))?.toString()).toBe("b");
  expect(db.stats().compactions.merges).toBeGreaterThan(0);
  expect(db.stats().indexTuning.at(-1)!.observation).toMatchObject({ searchNs: 0 });
  await db.close();
  await AuraDB.verify("/db", components);
});
