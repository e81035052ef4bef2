/** Range tombstones, cut and dropped, against the plain list of them. */
import { compareKeys, KEYS_END, Kind, SeededRandom } from "@aura/base";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CoverSweep, keptFragments, RangePieces } from "../src/jobs/range-drop.ts";
import { fragmentRanges, type RangeTombstone, stratumOf } from "../src/range-fragmenter.ts";
import { MemtableRanges } from "../src/range-tombstones.ts";

const BYTES = [0, 0x61, 0xff];
const KEYS: readonly Uint8Array[] = [
  [],
  ...BYTES.map((a) => [a]),
  ...BYTES.flatMap((a) => BYTES.map((b) => [a, b])),
]
  .map((bytes) => new Uint8Array(bytes))
  .sort(compareKeys);
const key = fc.constantFrom(...KEYS);
const end = fc.oneof({ weight: 5, arbitrary: key }, fc.constant(KEYS_END));
const drawn = fc
  .array(fc.tuple(key, end), { maxLength: 14 })
  .map((pairs): RangeTombstone[] =>
    pairs
      .filter(([from, to]) => compareKeys(from, to) < 0)
      .map(([begin, to], i) => ({ begin, end: to, seq: 2 * i + 2 })),
  );
const snapshots = fc
  .uniqueArray(fc.nat(30), { maxLength: 4 })
  .map((seqs) => seqs.sort((a, b) => a - b));

const covers = (one: RangeTombstone, at: Uint8Array): boolean =>
  compareKeys(one.begin, at) <= 0 && compareKeys(at, one.end) < 0;

/** The newest tombstone over a key that a reader sees. */
function newest(list: readonly RangeTombstone[], at: Uint8Array, seqMax: number): number {
  return Math.max(-1, ...list.filter((o) => o.seq <= seqMax && covers(o, at)).map((o) => o.seq));
}

test("every snapshot, and the present, finds the same newest tombstone over every key", () => {
  fc.assert(
    fc.property(drawn, snapshots, (list, seqs) => {
      const fragments = fragmentRanges(list, seqs);
      for (let i = 1; i < fragments.count; i++) {
        const order = compareKeys(fragments.ends[i - 1]!, fragments.starts[i]!);
        expect(order).toBeLessThanOrEqual(0);
      }
      for (const at of KEYS) {
        for (const seq of [...seqs, 1000]) {
          expect(fragments.coverSeq(at, 0, at.length, seq)).toBe(newest(list, at, seq));
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("a memtable's tombstones answer for every sequence number, while they are added", () => {
  fc.assert(
    fc.property(drawn, (list) => {
      const ranges = new MemtableRanges();
      const views: [number, ReturnType<MemtableRanges["viewAt"]>][] = [];
      for (const one of list) {
        ranges.add(one);
        views.push([one.seq, ranges.viewAt(one.seq)]);
      }
      if (list.length === 0) return;
      for (const at of KEYS) {
        for (let seq = 0; seq <= list.length * 2 + 2; seq++) {
          expect(ranges.coverSeq(at, 0, at.length, seq)).toBe(newest(list, at, seq));
        }
        for (const [seq, view] of views) {
          const covers = view.map((part) => part.coverSeq(at, 0, at.length, seq));
          expect(Math.max(-1, ...covers)).toBe(newest(list, at, seq));
        }
      }
    }),
    { numRuns: 150 },
  );
});

test("with many tombstones, readers of any moment search a few parts, which are made once", () => {
  const random = new SeededRandom(5);
  const keyAt = (n: number): Uint8Array => Uint8Array.of(n >> 8, n & 255);
  const ranges = new MemtableRanges();
  const list: RangeTombstone[] = [];
  for (let i = 0; i < 5000; i++) {
    const from = random.below(3000);
    const one = { begin: keyAt(from), end: keyAt(from + 1 + random.below(60)), seq: i * 2 };
    list.push(one);
    ranges.add(one);
  }
  for (let round = 0; round < 400; round++) {
    const at = keyAt(random.below(3100));
    const seq = random.below(10_001);
    const expected = newest(list, at, seq);
    expect(ranges.coverSeq(at, 0, at.length, seq)).toBe(expected);
    const view = ranges.viewAt(seq);
    expect(view.length).toBeLessThanOrEqual(1 + 7 + 7 + 1);
    const covers = view.map((part) => part.coverSeq(at, 0, at.length, seq));
    expect(Math.max(-1, ...covers)).toBe(expected);
  }
  const [tail, ...blocks] = ranges.viewAt(9999);
  ranges.add({ begin: keyAt(0), end: keyAt(9), seq: 10_000 });
  const [longer, ...same] = ranges.viewAt(10_000);
  expect(longer).not.toBe(tail);
  for (const [i, block] of blocks.entries()) expect(same[i]).toBe(block);
});

test("a merge changes no answer: covered entries and spent tombstones go, cuts lose nothing", () => {
  const older = fc.option(fc.tuple(key, key, fc.boolean()), { nil: undefined });
  const cuts = fc.uniqueArray(key, { maxLength: 3, selector: (bytes) => bytes.join() });
  fc.assert(
    fc.property(drawn, snapshots, older, cuts, fc.infiniteStream(fc.nat(29)), (...given) => {
      const [list, seqs, drawnOlder, cutKeys, stream] = given;
      // One or two entries of each key, with odd numbers, newest first.
      const entries = KEYS.flatMap((at) => {
        const numbers = [stream.next().value, stream.next().value].map((n) => 2 * n + 1);
        return [...new Set(numbers)].sort((a, b) => b - a).map((seq) => ({ at, seq }));
      });
      const bounds = drawnOlder === undefined ? [] : drawnOlder.slice(0, 2).sort(compareOlder);
      const [smallestKey, largestKey] = bounds as [Uint8Array, Uint8Array];
      const isOlder = drawnOlder !== undefined && compareKeys(smallestKey, largestKey) < 0;
      const run = { smallestKey, largestKey, largestIsExclusive: drawnOlder?.[2] ?? false };
      const fragments = fragmentRanges(list, seqs);
      const sweep = new CoverSweep(fragments, seqs);
      const kept = entries.filter(
        ({ at, seq }) => !sweep.covers(at, 0, at.length, seq, Kind.value),
      );
      const pieces = new RangePieces(keptFragments(fragments, seqs, isOlder ? [[run]] : []));
      const tables = [...cutKeys.sort(compareKeys), undefined].map((to) => pieces.take(to));
      const left = tables.flatMap((table) =>
        table.starts.flatMap((begin, i) =>
          table.seqs[i]!.map((seq) => ({ begin, end: table.ends[i]!, seq })),
        ),
      );
      for (const at of KEYS) {
        for (const reader of [...seqs, 1000]) {
          const of = (all: typeof entries, over: readonly RangeTombstone[]): number => {
            const found = all.find((one) => one.at === at && one.seq <= reader);
            return found !== undefined && found.seq > newest(over, at, reader) ? found.seq : -1;
          };
          expect(of(kept, left)).toBe(of(entries, list));
        }
        // What an older run may hold stays deleted for those who saw it deleted.
        const isUnder = isOlder && compareKeys(run.smallestKey, at) <= 0;
        const order = isOlder ? compareKeys(at, run.largestKey) : 1;
        if (isUnder && (order < 0 || (order === 0 && !run.largestIsExclusive))) {
          for (const reader of [...seqs, 1000]) {
            expect(newest(left, at, reader)).toBe(newest(list, at, reader));
          }
        }
      }
      expect(entries.length - kept.length).toBe(
        entries.filter(({ at, seq }) =>
          list.some(
            (one) =>
              covers(one, at) && one.seq > seq && stratumOf(seqs, one.seq) === stratumOf(seqs, seq),
          ),
        ).length,
      );
    }),
    { numRuns: 300 },
  );
});

function compareOlder(a: Uint8Array | boolean, b: Uint8Array | boolean): number {
  return compareKeys(a as Uint8Array, b as Uint8Array);
}
