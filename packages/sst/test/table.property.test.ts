import { compareKeys, hashReady, Kind, SEQ_MAX, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import {
  FilterKind,
  type Table,
  type TableCursor,
  TableHit,
  type TableSettings,
} from "../src/index.ts";
import {
  CODECS,
  cacheOf,
  type Entry,
  emptyFs,
  expected,
  type Found,
  foundOf,
  getLoading,
  hashOf,
  hex,
  inOrder,
  type Lie,
  lyingIndex,
  openTable,
  writeTable,
} from "./support.ts";

beforeAll(() => hashReady());

/** Few bytes, the nasty ones: keys collide, are empty, and are prefixes of each other. */
const key = fc
  .array(fc.constantFrom(0, 1, 0x61, 0x7f, 0x80, 0xff), { maxLength: 5 })
  .map((bytes) => Uint8Array.from(bytes));

const value = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 24 }) },
  { weight: 2, arbitrary: fc.constant(new Uint8Array(12).fill(7)) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 200, maxLength: 400 }) },
);

const version: fc.Arbitrary<Entry> = fc.record({
  key,
  seq: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(SEQ_MAX, SEQ_MAX - 1, 2 ** 32)),
  tag: fc.constantFrom(Kind.value, Kind.value, Kind.delete, Kind.pointer),
  value,
});

const lies: readonly Lie[] = ["none", "first", "last", "random", "reversed", "nan", "throws"];

const shape = fc.record({
  entries: fc.array(version, { minLength: 1, maxLength: 120 }).map(inOrder),
  blockBytes: fc.constantFrom(64, 100, 200, 4096),
  codec: fc.constantFrom(...CODECS),
  bloomBitsPerKey: fc.constantFrom(0, 10),
  filter: fc.constantFrom(FilterKind.bloom, FilterKind.ribbon),
  prefixBytes: fc.constantFrom(0, 0, 1, 3),
  lie: fc.option(fc.constantFrom(...lies), { nil: undefined }),
  capacity: fc.constantFrom(0, 128 * 1024, 1024 * 1024),
});

function open(one: {
  readonly entries: readonly Entry[];
  readonly lie: Lie | undefined;
  readonly capacity: number;
  readonly settings: Partial<TableSettings>;
}): Table {
  const fs = emptyFs();
  const index = one.lie === undefined ? [] : [lyingIndex(one.lie)];
  writeTable(fs, one.entries, { settings: { ...one.settings, index } });
  return openTable(fs, { cache: cacheOf(one.capacity), indexFormats: index });
}

function readingGet(table: Table, one: Uint8Array, seqMax: number, hit: TableHit): Found {
  return foundOf(table.get(one, 0, one.length, hashOf(one), seqMax, hit, true), hit);
}

test("a look-up finds what was written, at any sequence, whatever the index says", () => {
  fc.assert(
    fc.property(
      shape,
      fc.array(key, { maxLength: 8 }),
      fc.boolean(),
      ({ entries, lie, capacity, ...settings }, probes, mayRead) => {
        const table = open({ entries, lie, capacity, settings });
        const keys = [...entries.map((one) => one.key), ...probes];
        const around = entries.flatMap(({ seq }) => [seq, Math.max(0, seq - 1)]);
        const seqs = [...new Set([0, SEQ_MAX, ...around])].slice(0, 12);
        const hit = new TableHit();
        const ways = mayRead ? [readingGet, getLoading] : [getLoading, readingGet];
        for (const find of ways) {
          for (const probe of keys) {
            for (const seqMax of seqs) {
              expect(find(table, probe, seqMax, hit)).toEqual(expected(entries, probe, seqMax));
            }
          }
        }
        table.closeSync();
      },
    ),
    { numRuns: 150 },
  );
});

test("a table verifies, with the summary of what was added", () => {
  fc.assert(
    fc.property(shape, ({ entries, lie: _, capacity, ...settings }) => {
      const table = open({ entries, lie: undefined, capacity, settings });
      table.verifySync();
      const { summary } = table;
      expect(summary.entryCount).toBe(entries.length);
      expect(summary.deleteCount).toBe(entries.filter(({ tag }) => tag === Kind.delete).length);
      expect(hex(summary.smallestKey)).toBe(hex(entries[0]!.key));
      expect(hex(summary.largestKey)).toBe(hex(entries.at(-1)!.key));
      expect(summary.smallestSeq).toBe(Math.min(...entries.map(({ seq }) => seq)));
      expect(summary.largestSeq).toBe(Math.max(...entries.map(({ seq }) => seq)));
      expect(summary.rawKeyBytes).toBe(entries.reduce((sum, one) => sum + one.key.length, 0));
      expect(summary.rawValueBytes).toBe(entries.reduce((sum, one) => sum + one.value.length, 0));
      const { prefixBytes } = summary;
      for (const { key } of entries) {
        if (prefixBytes === 0 || key.length < prefixBytes) continue;
        expect(table.mayHavePrefix(hashOf(key.subarray(0, prefixBytes)))).toBe(true);
      }
      table.closeSync();
    }),
    { numRuns: 150 },
  );
});

type Step =
  | { readonly move: "first" | "last" | "next" | "prev" }
  | { readonly move: "seek" | "seekBefore"; readonly key: Uint8Array };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom<Step>({ move: "first" }, { move: "last" }) },
  { weight: 8, arbitrary: fc.constantFrom<Step>({ move: "next" }, { move: "prev" }) },
  {
    weight: 4,
    arbitrary: fc.record({ move: fc.constantFrom("seek" as const, "seekBefore" as const), key }),
  },
);

function place(entries: readonly Entry[], at: number, one: Step): number {
  switch (one.move) {
    case "first":
      return 0;
    case "last":
      return entries.length - 1;
    case "next":
      return at + 1;
    case "prev":
      return at - 1;
    case "seek": {
      const found = entries.findIndex((candidate) => compareKeys(candidate.key, one.key) >= 0);
      return found === -1 ? entries.length : found;
    }
    case "seekBefore": {
      const found = entries.findIndex((candidate) => compareKeys(candidate.key, one.key) >= 0);
      return (found === -1 ? entries.length : found) - 1;
    }
  }
}

function move(cursor: TableCursor, one: Step): void {
  if (one.move === "seek") cursor.seek(one.key, 0, one.key.length);
  else if (one.move === "seekBefore") cursor.seekBefore(one.key, 0, one.key.length);
  else cursor[one.move]();
}

function compare(cursor: TableCursor, wanted: Entry | undefined): void {
  expect(cursor.failed).toBe(false);
  expect(cursor.valid).toBe(wanted !== undefined);
  if (wanted === undefined) return;
  const { keyBytes, keyStart, keyEnd, valueBytes, valueStart, valueEnd } = cursor;
  expect(hex(keyBytes.subarray(keyStart, keyEnd))).toBe(hex(wanted.key));
  expect(cursor.seq).toBe(wanted.seq);
  expect(cursor.tag).toBe(wanted.tag);
  expect(hex(valueBytes.subarray(valueStart, valueEnd))).toBe(hex(wanted.value));
}

test("a cursor walks as a list does, both ways, whatever the index says", async () => {
  await fc.assert(
    fc.asyncProperty(
      shape,
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom("reads", "loads", "awaits"),
      fc.constantFrom(0, 300, 1 << 18),
      fc.boolean(),
      async ({ entries, lie, capacity, ...settings }, steps, way, readAheadBytes, fillCache) => {
        const table = open({ entries, lie, capacity, settings });
        const mayRead = way === "reads";
        const cursor = table.cursor({ mayRead, readAheadBytes, fillCache });
        let at = -1;
        for (const one of steps) {
          if (!cursor.valid && (one.move === "next" || one.move === "prev")) continue;
          move(cursor, one);
          for (let round = 0; cursor.pending && round < 100; round++) {
            expect(cursor.valid).toBe(false);
            if (way === "loads") cursor.loadSync();
            else await cursor.load();
          }
          expect(cursor.pending).toBe(false);
          at = place(entries, at, one);
          compare(cursor, entries[at]);
        }
        cursor.close();
        table.closeSync();
      },
    ),
    { numRuns: 200 },
  );
});

test("look-ups that interleave over one hit still find what was written", () => {
  fc.assert(
    fc.property(shape, fc.nat(), ({ entries, lie, ...rest }, seed) => {
      const { capacity: _, ...settings } = rest;
      const table = open({ entries, lie, capacity: 0, settings });
      const random = new SeededRandom(seed);
      const hit = new TableHit();
      for (let round = 0; round < 30; round++) {
        // Look-ups that are given up leave their traces in the hit.
        const given = entries[random.below(entries.length)]!.key;
        const state = table.get(
          given,
          0,
          given.length,
          hashOf(given),
          random.below(50),
          hit,
          false,
        );
        if (state === 2 && random.below(2) === 0) table.loadBlockSync(hit.block);
        const one = entries[random.below(entries.length)]!.key;
        const seqMax = random.below(3) === 0 ? SEQ_MAX : random.below(50);
        expect(getLoading(table, one, seqMax, hit)).toEqual(expected(entries, one, seqMax));
        const hash = hashOf(one);
        const read = table.get(one, 0, one.length, hash, seqMax, hit, true);
        expect(foundOf(read, hit)).toEqual(expected(entries, one, seqMax));
      }
      table.closeSync();
    }),
    { numRuns: 60 },
  );
});
