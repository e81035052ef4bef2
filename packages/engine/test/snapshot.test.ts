import { SeededRandom } from "@aura/base";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Snapshot, SnapshotList } from "../src/snapshot.ts";

describe("SnapshotList", () => {
  test("gives jobs the distinct sequence numbers, ascending", () => {
    const list = new SnapshotList();
    expect([list.count, list.oldest, list.seqs()]).toEqual([0, undefined, []]);
    const five = list.create(5);
    list.create(9);
    const again = list.create(5);
    list.create(2);
    expect([list.count, list.oldest, list.seqs()]).toEqual([4, 2, [2, 5, 9]]);
    five.release();
    expect([list.count, list.seqs()]).toEqual([3, [2, 5, 9]]);
    five.release();
    expect([list.count, list.seqs()]).toEqual([3, [2, 5, 9]]);
    again.release();
    expect([list.count, list.seqs()]).toEqual([2, [2, 9]]);
  });

  test("what a job was given does not change", () => {
    const list = new SnapshotList();
    const snapshot = list.create(3);
    const given = list.seqs();
    snapshot.release();
    expect(given).toEqual([3]);
  });

  test("refuses a released snapshot, and one of another database", () => {
    const list = new SnapshotList();
    const snapshot = list.create(3);
    expect(list.seqOf(snapshot)).toBe(3);
    expect(snapshot.released).toBe(false);
    snapshot.release();
    expect(snapshot.released).toBe(true);
    const closed = { code: "AURA_CLOSED" };
    expect(() => snapshot.seq).toThrow(expect.objectContaining(closed));
    expect(() => list.seqOf(snapshot)).toThrow(expect.objectContaining(closed));
    const invalid = { code: "AURA_INVALID_ARGUMENT" };
    for (const wrong of [new SnapshotList().create(3), {}, null, 3]) {
      expect(() => list.seqOf(wrong as Snapshot)).toThrow(expect.objectContaining(invalid));
    }
  });

  test("is released by `using` and with the database", () => {
    const list = new SnapshotList();
    {
      using snapshot = list.create(4);
      expect(snapshot.seq).toBe(4);
    }
    expect(list.count).toBe(0);
    const left = list.create(1);
    list.create(1);
    list.releaseAll();
    expect([list.count, list.seqs(), left.released]).toEqual([0, [], true]);
  });

  test("is a sorted multiset", () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = new SeededRandom(seed);
        const list = new SnapshotList();
        const open: Snapshot[] = [];
        for (let step = 0; step < 60; step++) {
          if (random.below(2) === 0) open.push(list.create(random.below(8)));
          else if (open.length > 0) open.splice(random.below(open.length), 1)[0]!.release();
          const seqs = [...new Set(open.map(({ seq }) => seq))].sort((a, b) => a - b);
          expect([list.count, list.oldest, list.seqs()]).toEqual([open.length, seqs[0], seqs]);
        }
      }),
      { numRuns: 50 },
    );
  });
});
