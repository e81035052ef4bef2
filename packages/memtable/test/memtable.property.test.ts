import { compareKeys, SEQ_MAX, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { attachMemtable, createMemtable, type MemtableReader } from "../src/index.ts";
import {
  addEntry,
  compareEntries,
  entriesBackward,
  entriesForward,
  entryAt,
  findInModel,
  garbageArena,
  hitOf,
  IMPLEMENTATIONS,
  type ModelEntry,
} from "./memtable-model.ts";

/** Keys that collide, share prefixes, are prefixes of each other, or hold extreme bytes. */
const prefix = fc.constantFrom("", "user:", "user:0000000", "\u0000\u0000\u0000\u0000");
const tail = fc.oneof(
  fc.uint8Array({ maxLength: 6 }),
  fc.array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { maxLength: 7 }),
  fc.nat(300).map((n) => [...Buffer.from(String(n).padStart(6, "0"))]),
);
const key = fc
  .tuple(prefix, tail)
  .map(([p, t]) => new Uint8Array([...Buffer.from(p, "latin1"), ...t]));
/** Most lists have one prefix, so that fragments lie behind many shared bytes. */
const keys = fc.oneof(
  fc.array(key, { minLength: 1, maxLength: 400 }),
  fc.tuple(prefix, fc.array(tail, { minLength: 70, maxLength: 400 })).map(([p, tails]) => {
    return tails.map((t) => new Uint8Array([...Buffer.from(p, "latin1"), ...t]));
  }),
);

/** Versions get rising sequence numbers, with gaps, some far above 32 bits. */
function entriesOf(list: readonly Uint8Array[], seqStart: number, step: number): ModelEntry[] {
  return list.map((k, i) => ({
    key: k,
    seq: seqStart + i * step,
    tag: i % 3,
    value: new Uint8Array(i % 11).fill(i),
  }));
}

function checkReads(
  memtable: MemtableReader,
  sorted: readonly ModelEntry[],
  probes: readonly Uint8Array[],
): void {
  const cursor = memtable.cursor();
  for (const probe of probes) {
    const at = sorted.findIndex((e) => compareKeys(e.key, probe) >= 0);
    cursor.seek(probe, 0, probe.length);
    expect(cursor.valid).toBe(at >= 0);
    if (at >= 0) expect(entryAt(cursor)).toEqual(sorted[at]);
    const before = at < 0 ? sorted.length - 1 : at - 1;
    cursor.seekBefore(probe, 0, probe.length);
    expect(cursor.valid).toBe(before >= 0);
    if (before >= 0) expect(entryAt(cursor)).toEqual(sorted[before]);
    const newest = findInModel(sorted, probe, SEQ_MAX)?.seq ?? 7;
    for (const seqMax of [SEQ_MAX, newest, newest - 1, 0]) {
      const expected = findInModel(sorted, probe, seqMax);
      expect(memtable.find(probe, 0, probe.length, seqMax)).toBe(expected !== undefined);
      if (expected !== undefined) expect(hitOf(memtable, probe)).toEqual(expected);
    }
  }
}

describe.each(IMPLEMENTATIONS)("%s against a sorted array", (implementation) => {
  it("agrees on walks, seeks and finds, for the writer and for a view", () => {
    fc.assert(
      fc.property(
        keys,
        fc.array(key, { maxLength: 20 }),
        fc.constantFrom(1, 4294967200, SEQ_MAX - 3_000_000),
        fc.constantFrom(1, 5000),
        fc.boolean(),
        fc.nat(),
        (list, probes, seqStart, step, isSorted, seed) => {
          const memtable = createMemtable(implementation, garbageArena(131072, seed & 0xff), {
            seed,
          });
          const order = isSorted ? list.toSorted(compareKeys) : list;
          const entries = entriesOf(order, seqStart, step);
          for (const entry of entries) expect(addEntry(memtable, entry)).toBe(true);
          const sorted = entries.toSorted(compareEntries);
          const view = attachMemtable(memtable.share());
          for (const reader of [memtable, view]) {
            expect(reader.entryCount).toBe(sorted.length);
            expect(reader.usedBytes).toBe(memtable.usedBytes);
            expect(entriesForward(reader)).toEqual(sorted);
            expect(entriesBackward(reader)).toEqual(sorted.toReversed());
            checkReads(reader, sorted, [...probes, ...list.slice(0, 20)]);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("agrees on long ascending and mixed runs, where fragments change their place", () => {
    const textKey = (s: string): Uint8Array => new TextEncoder().encode(s);
    for (const width of [6, 16]) {
      const memtable = createMemtable(implementation, new SharedArrayBuffer(4 << 20), {
        seed: width,
      });
      const early = attachMemtable(memtable.share());
      const entries: ModelEntry[] = [];
      const add = (k: string): void => {
        const entry = {
          key: textKey(k),
          seq: entries.length + 1,
          tag: 1,
          value: new Uint8Array(2),
        };
        entries.push(entry);
        if (!addEntry(memtable, entry)) expect.fail("the arena is full");
      };
      for (let i = 0; i < 6000; i++) add(String(i * 3).padStart(width, "0"));
      for (let i = 0; i < 3000; i++) add(String((i * 7919) % 20000).padStart(width, "0"));
      for (const k of ["", "0", "00000", "9", "zz", "000001\u0000", "0000010"]) add(k);
      const sorted = entries.toSorted(compareEntries);
      const walked = entriesForward(memtable);
      expect(walked.map((e) => e.seq)).toEqual(sorted.map((e) => e.seq));
      const newest = new Map(entries.map((e) => [Buffer.from(e.key).toString("latin1"), e]));
      for (const reader of [memtable, early]) {
        for (const [k, entry] of newest) {
          const probe = Buffer.from(k, "latin1");
          const isFound = reader.find(probe, 0, probe.length, SEQ_MAX);
          if (!isFound || reader.hitSeq !== entry.seq) expect.fail(`no newest version of ${k}`);
        }
      }
    }
  });

  it("agrees while seeks, walks and adds take turns, over many runs and splits", () => {
    for (const [seed, keyCount] of [
      [1, 40],
      [2, 3000],
      [3, 1_000_000],
    ] as const) {
      const random = new SeededRandom(seed);
      const memtable = createMemtable(implementation, garbageArena(4 << 20, seed), { seed });
      const view = attachMemtable(memtable.share());
      const entries: ModelEntry[] = [];
      const drawKey = (): Uint8Array => {
        const text = `user/${random.below(4)}/${random.below(keyCount)}`;
        return new TextEncoder().encode(random.below(9) === 0 ? text.slice(0, 7) : text);
      };
      const cursors = [memtable.cursor(), view.cursor(), memtable.cursor()];
      for (let round = 0; round < 60; round++) {
        // Bursts of one, of a few, and of more than a run.
        const burst = [1, 1, 15, 40, 300, round === 30 ? 9000 : 2][random.below(6)]!;
        for (let i = 0; i < burst; i++) {
          const entry = {
            key: drawKey(),
            seq: entries.length + 1,
            tag: 1,
            value: new Uint8Array(3),
          };
          if (!addEntry(memtable, entry)) expect.fail("the arena is full");
          entries.push(entry);
        }
        const sorted = entries.toSorted(compareEntries);
        const cursor = cursors[round % cursors.length]!;
        const probe = drawKey();
        const at = sorted.findIndex((e) => compareKeys(e.key, probe) >= 0);
        let index = at < 0 ? sorted.length : at;
        if (round % 2 === 0) cursor.seek(probe, 0, probe.length);
        else {
          cursor.seekBefore(probe, 0, probe.length);
          index--;
        }
        // To and fro from there.
        for (let step = 0; step < 60; step++) {
          expect(cursor.valid ? cursor.seq : 0).toBe(sorted[index]?.seq ?? 0);
          if (!cursor.valid) break;
          const isForward = random.below(3) > 0;
          if (isForward) cursor.next();
          else cursor.prev();
          index += isForward ? 1 : -1;
          if (index < 0) index = sorted.length;
        }
      }
      const seqs = entries.toSorted(compareEntries).map((e) => e.seq);
      expect(entriesForward(memtable).map((e) => e.seq)).toEqual(seqs);
      expect(entriesBackward(view).map((e) => e.seq)).toEqual(seqs.toReversed());
    }
  });
});
