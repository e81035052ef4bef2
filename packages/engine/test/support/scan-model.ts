/**
 * What scans and cursors are compared with: ranges over the model of a fixture.
 */
import { SeededRandom } from "@aura/base";
import { expect } from "vitest";
import type { RangeOptions, ScanOptions } from "../../src/range.ts";
import { bytesOf, drawHistory, type Entry, textOf } from "./fake-cursor.ts";
import { type FixtureOptions, ReadFixture } from "./read-fixture.ts";

/** Ways to read that give the same answers. */
export const WORLDS: readonly (readonly [string, FixtureOptions])[] = [
  ["with a cache", {}],
  ["without a cache, one open file", { cacheBytes: 0, maxOpenFiles: 1 }],
  ["through the thread pool", { pooled: true, cacheBytes: 0 }],
];

/** Draws a history over few keys, and its layout. */
export function drawFixture(seed: number, options: FixtureOptions = {}): ReadFixture {
  return new ReadFixture(drawHistory(new SeededRandom(seed), 400, 60), seed, options);
}

export function drawRange(random: SeededRandom): RangeOptions {
  const range: { -readonly [K in keyof RangeOptions]: RangeOptions[K] } = {};
  const key = (): string => `k${random.below(60)}`;
  if (random.below(3) === 0) range.gte = key();
  if (random.below(4) === 0) range.gt = bytesOf(key());
  if (random.below(3) === 0) range.lt = key();
  if (random.below(4) === 0) range.lte = Buffer.from(key());
  if (random.below(6) === 0) range.prefix = `k${random.below(6)}`;
  if (random.below(2) === 0) range.reverse = true;
  return range;
}

function text(bound: unknown): string {
  return typeof bound === "string" ? bound : textOf(bound as Uint8Array);
}

/** The entries that a range of the model holds, in the direction of the range. */
export function modelOf(entries: readonly Entry[], range: ScanOptions): [string, string][] {
  const { gt, gte, lt, lte, prefix, reverse, limit } = range;
  const within = entries
    .map(({ key, value }): [string, string] => [textOf(key), textOf(value)])
    .filter(
      ([key]) =>
        (gt === undefined || key > text(gt)) &&
        (gte === undefined || key >= text(gte)) &&
        (lt === undefined || key < text(lt)) &&
        (lte === undefined || key <= text(lte)) &&
        (prefix === undefined || key.startsWith(text(prefix))),
    );
  if (reverse) within.reverse();
  return limit === undefined ? within : within.slice(0, limit);
}

export function texts(entries: Iterable<readonly [Buffer, Buffer]>): [string, string][] {
  return [...entries].map(([key, value]) => [key.toString(), value.toString()]);
}

export async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of iterable) items.push(item);
  return items;
}

/** Nothing may be left pinned, held or open. */
export function expectQuiet(fixture: ReadFixture): void {
  const { versions, cursors } = fixture.parts;
  expect([versions.pinCount, cursors.size]).toEqual([0, 0]);
  fixture.close();
  expect(fixture.fs.openHandles).toBe(0);
  expect(fixture.parts.tables.openCount).toBe(0);
}
