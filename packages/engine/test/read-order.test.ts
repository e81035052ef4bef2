import { compareKeys } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReadOrders, RunFences } from "../src/read-order.ts";
import { emptyVersion, type TableMeta, Version } from "../src/version.ts";

function table(smallestKey: Uint8Array, largestKey: Uint8Array): TableMeta {
  return {
    number: 1,
    uid: { lo: 1, hi: 1 },
    keyspace: 0,
    bytes: 1,
    entryCount: 2,
    deleteCount: 0,
    shadowedCount: 0,
    rangeDeleteCount: 0,
    largestIsExclusive: false,
    smallestKey,
    largestKey,
    smallestSeq: 1,
    largestSeq: 2,
    filterBits: 0,
    references: [],
  };
}

/** Keys of few bytes, some behind a prefix: shared bits, prefixes of one another, empty ones. */
const key = fc
  .tuple(
    fc.constantFrom("", "shared prefix "),
    fc.array(fc.constantFrom(0, 1, 127, 128, 254, 255), { maxLength: 7 }),
  )
  .map(([prefix, rest]) => new Uint8Array([...Buffer.from(prefix), ...rest]));

describe("the fences of a run", () => {
  test("lead to the table whose bounds hold the key, or to none", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(key, {
          minLength: 1,
          maxLength: 24,
          comparator: (a, b) => compareKeys(a, b) === 0,
        }),
        fc.array(key, { minLength: 1, maxLength: 12 }),
        fc.boolean(),
        (bounds, wanted, isSingle) => {
          bounds.sort(compareKeys);
          const tables: TableMeta[] = [];
          // Tables of one key, or of two bounds each.
          for (let i = 0; i < bounds.length; i += isSingle ? 1 : 2) {
            tables.push(
              table(bounds[i]!, bounds[isSingle ? i : Math.min(i + 1, bounds.length - 1)]!),
            );
          }
          const fences = new RunFences(tables);
          for (const sought of [...wanted, ...bounds]) {
            const expected = tables.findIndex(
              ({ smallestKey, largestKey }) =>
                compareKeys(smallestKey, sought) <= 0 && compareKeys(sought, largestKey) <= 0,
            );
            expect(fences.find(sought)).toBe(expected);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

test("the read order of a version is that of its runs, without empty ones", () => {
  const orders = new ReadOrders();
  const empty = emptyVersion();
  expect(orders.of(empty)).toEqual([]);
  const runs = [1, 2, 3].map((id) => {
    const bound = new Uint8Array([id]);
    return { id, tables: [table(bound, bound)] };
  });
  const levels = empty.levels.map((level, i) => {
    if (i === 0) return { runs: [runs[2]!, { id: 9, tables: [] }, runs[1]!] };
    return i === 3 ? { runs: [runs[0]!] } : level;
  });
  const version = new Version(2, levels, new Map(), 0);
  const first = orders.of(version);
  expect(first.map(({ tables }) => tables[0]!.smallestKey[0])).toEqual([3, 2, 1]);
  orders.of(empty);
  expect(orders.of(version)).toBe(first);
});
