/** The contract of an adapter, over every store. */
import { describe, expect, inject, test } from "vitest";
import { createDataSet } from "../src/data-set.ts";
import { composeNames } from "../src/names.ts";
import { StoreBench } from "../src/store-bench.ts";
import { auraStore } from "../src/stores/aura.ts";
import { loadStore } from "../src/stores/catalog.ts";
import type { Entries, Store, StoreKind } from "../src/stores/store.ts";
import { smallBudget, temporaryFolder } from "./support/folder.ts";
import { mapStore } from "./support/map-store.ts";

const COUNT = 6000;
const data = createDataSet(composeNames(COUNT, 3), 3);

const kinds: Readonly<Record<string, () => Promise<StoreKind>>> = {
  map: async () => mapStore(),
  aura: async () => auraStore({ workerUrl: new URL(inject("workerUrl")) }),
  rocksdb: () => loadStore("rocksdb"),
  "classic-level": () => loadStore("classic-level"),
  lmdb: () => loadStore("lmdb"),
};

const key = (text: string): Buffer => Buffer.from(text);

async function collect(entries: AsyncIterable<Entries>): Promise<string[]> {
  const found: string[] = [];
  for await (const { keys, values } of entries) {
    expect(keys.length).toBe(values.length);
    for (const [i, name] of keys.entries()) {
      found.push(`${Buffer.from(name)}=${Buffer.from(values[i]!)}`);
    }
  }
  return found;
}

function textOf(value: Uint8Array | null | undefined): string | undefined {
  return value === null || value === undefined ? undefined : Buffer.from(value).toString();
}

describe.each(Object.entries(kinds))("%s", (_, load) => {
  async function withStore(run: (store: Store) => Promise<void>, path: string): Promise<void> {
    const store = await (await load()).open(path, smallBudget);
    try {
      await run(store);
    } finally {
      await store.close();
    }
  }

  test("gives back what it was given, as long as it is open and after that", async () => {
    const path = `${temporaryFolder()}/db`;
    const check = async (store: Store): Promise<void> => {
      expect(textOf(await store.get(key("b")))).toBe("two");
      expect(textOf(await store.get(key("bb")))).toBeUndefined();
      const many = await store.getMany([key("c"), key("x"), key("a")]);
      expect(many.map(textOf)).toEqual(["3", undefined, "1"]);
      if (store.getSync !== undefined) {
        expect(textOf(store.getSync(key("b")))).toBe("two");
        expect(textOf(store.getSync(key("x")))).toBeUndefined();
      }
    };
    await withStore(async (store) => {
      await store.write({ keys: ["b", "a"].map(key), values: ["2", "1"].map(key) });
      await store.put(key("c"), key("3"));
      await store.put(key("b"), key("two"));
      await check(store);
    }, path);
    await withStore(check, path);
  });

  test("scans in the order of bytes, from a key on, as many as asked for", async () => {
    await withStore(async (store) => {
      const names = ["b", "a", "ab", "z", "ü", "B"];
      await store.write({ keys: names.map(key), values: names.map(key) });
      expect(await collect(store.scan(key("a"), 3))).toEqual(["a=a", "ab=ab", "b=b"]);
      expect(await collect(store.scan(key("aa"), 100))).toEqual(["ab=ab", "b=b", "z=z", "ü=ü"]);
      expect(await collect(store.scan(key("\u{10ffff}"), 1))).toEqual([]);
    }, `${temporaryFolder()}/db`);
  });

  test("goes through the measured calls without a mismatch", async () => {
    const path = `${temporaryFolder()}/db`;
    const kind = await load();
    const bench = new StoreBench(kind, path, smallBudget, data);
    await bench.open();
    expect(bench.describe().package).toBe(kind.name);
    await bench.load(0, 4000);
    await bench.load(4000, COUNT);
    await bench.drain();
    const ways = bench.describe().hasSync
      ? (["each", "many", "sync"] as const)
      : (["each", "many"] as const);
    const samples = [
      await bench.scan(0, COUNT),
      await bench.put("flight", 0, 500),
      await bench.put("each", 500, 1000),
      await bench.putBlobs(0, 10),
      await bench.getBlobs(0, 10, 20),
    ];
    for (const way of ways) {
      samples.push(await bench.get(way, 1, 2000));
      samples.push(await bench.getAbsent(way, 1, 300));
    }
    expect(samples.map(({ mismatches }) => mismatches)).toEqual(samples.map(() => 0));
    await bench.close();

    const again = new StoreBench(kind, path, smallBudget, data);
    await again.open();
    again.assumePuts(0, 1000);
    expect((await again.scan(1000, COUNT)).mismatches).toBe(0);
    expect((await again.getBlobs(1, 10, 20)).mismatches).toBe(0);
    await again.close();
  });
});
