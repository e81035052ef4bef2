import { expect, test } from "vitest";
import { createDataSet } from "../src/data-set.ts";
import { composeNames } from "../src/names.ts";
import { StoreBench } from "../src/store-bench.ts";
import { smallBudget, temporaryFolder } from "./support/folder.ts";
import { type Faults, mapStore } from "./support/map-store.ts";

const COUNT = 300;
const data = createDataSet(composeNames(COUNT, 5), 5);

async function loaded(faults: Faults): Promise<StoreBench> {
  const bench = new StoreBench(mapStore(faults), temporaryFolder(), smallBudget, data);
  await bench.open();
  await bench.load(0, COUNT);
  return bench;
}

test("a value with one wrong byte is a mismatch, whatever the way of the get", async () => {
  const bench = await loaded({
    get: (_, value) => {
      if (value === undefined || value === null) return value;
      const wrong = Buffer.from(value);
      wrong[wrong.length - 1]! ^= 1;
      return wrong;
    },
  });
  for (const way of ["each", "many", "sync"] as const) {
    expect(await bench.get(way, 0, 50)).toMatchObject({ ops: 50, mismatches: 50 });
  }
});

test("a missing value is a mismatch, and so is a value where none may be", async () => {
  const missing = await loaded({ get: () => null });
  expect((await missing.get("each", 0, 50)).mismatches).toBe(50);
  expect((await missing.getAbsent("each", 0, 50)).mismatches).toBe(0);
  const inventing = await loaded({ get: () => Buffer.alloc(0) });
  expect((await inventing.getAbsent("many", 0, 50)).mismatches).toBe(50);
});

test("a scan that leaves out, doubles, or swaps entries has mismatches", async () => {
  for (const change of [
    (list: readonly Uint8Array[]) => list.slice(1),
    (list: readonly Uint8Array[]) => [list[0]!, ...list],
    (list: readonly Uint8Array[]) => [...list].reverse(),
  ]) {
    const bench = await loaded({
      scan: ({ keys, values }) => ({ keys: change(keys), values: change(values) }),
    });
    expect((await bench.scan(0, COUNT)).mismatches).toBeGreaterThan(0);
  }
  const wrongValues = await loaded({ scan: ({ keys }) => ({ keys, values: keys }) });
  expect((await wrongValues.scan(0, COUNT)).mismatches).toBe(COUNT);
});

test("puts are forgotten by a bench that does not assume them", async () => {
  const folder = temporaryFolder();
  const first = new StoreBench(mapStore(), folder, smallBudget, data);
  await first.open();
  await first.load(0, COUNT);
  const { latency, ops } = await first.put("each", 0, 100);
  expect(ops).toBe(100);
  expect(latency!.p99Us).toBeGreaterThanOrEqual(latency!.p50Us);
  await first.put("flight", 100, 150);
  expect((await first.scan(0, COUNT)).mismatches).toBe(0);
  await first.close();

  const second = new StoreBench(mapStore(), folder, smallBudget, data);
  await second.open();
  expect((await second.scan(0, COUNT)).mismatches).toBe(150);
  second.assumePuts(0, 150);
  expect((await second.scan(0, COUNT)).mismatches).toBe(0);
});

test("slices of one number are the same calls for every store", async () => {
  const asked: string[][] = [];
  for (let store = 0; store < 2; store++) {
    const keys: string[] = [];
    const bench = await loaded({
      get: (key, value) => {
        keys.push(key.toString());
        return value;
      },
    });
    await bench.get("each", 4, 40);
    await bench.getAbsent("sync", 4, 40);
    asked.push(keys);
  }
  expect(asked[0]).toEqual(asked[1]);
});
