import { KEYS_END } from "@aura/base";
import { RangeFragments } from "@aura/sst";
import { expect, test } from "vitest";
import { RangeOrder } from "../src/verify-ranges.ts";

const key = (text: string): Uint8Array => Buffer.from(text);

function ranges(...fragments: [start: string, end: string, ...seqs: number[]][]): RangeFragments {
  const made = new RangeFragments();
  for (const [start, end, ...seqs] of fragments) {
    made.push(key(start), end === "" ? KEYS_END : key(end), seqs);
  }
  return made;
}

function entry(order: RangeOrder, source: number, text: string, seq: number): () => void {
  return () => order.checkEntry(source, key(text), 0, text.length, seq);
}

test("an entry stands below what hides it, and above what it is newer than", () => {
  const order = new RangeOrder([[], [ranges(["b", "d", 9, 5])], [], [ranges(["b", "c", 3])]]);
  order.check();
  for (const [source, text, seq] of [
    [0, "b", 10],
    [0, "b", 9],
    [1, "b", 4],
    [2, "b", 5],
    [2, "c", 4],
    [2, "a", 99],
    [2, "d", 99],
    [3, "c", 5],
    [2, "b", 3],
  ] as const) {
    expect(entry(order, source, text, seq)).not.toThrow();
  }
  for (const [source, text, seq] of [
    [0, "b", 8],
    [0, "c", 1],
    [2, "b", 6],
    [3, "c", 7],
    [2, "b", 2],
  ] as const) {
    expect(entry(order, source, text, seq), `${text} ${seq} in run ${source}`).toThrow(
      /read order/,
    );
  }
});

test("tombstones of an older run are older, where both cover a key", () => {
  const above = [ranges(["a", "c", 8]), ranges(["c", "", 9, 4])];
  new RangeOrder([above, [ranges(["a", "c", 7], ["x", "y", 4])]]).check();
  const wrong = new RangeOrder([above, [ranges(["b", "d", 5])]]);
  expect(() => wrong.check()).toThrow(/sequence 5/);
  const overlapping = [ranges(["a", "d", 8]), ranges(["c", "", 9])];
  expect(() => new RangeOrder([overlapping])).toThrow(/overlap/);
});
