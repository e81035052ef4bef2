/** Copies into an arena: every way they stand to each other, nothing beside the range is touched. */
import { expect, test } from "vitest";
import { copyBytes } from "../src/byte-copy.ts";

const SIZE = 1024;
const target = new Uint8Array(new SharedArrayBuffer(SIZE));
const words = new Int32Array(target.buffer);

function sourceAt(byteOffset: number, length: number): Uint8Array {
  const source = new Uint8Array(new ArrayBuffer(byteOffset + length), byteOffset, length);
  for (let i = 0; i < length; i++) source[i] = (i * 37 + 11) & 255;
  return source;
}

function check(source: Uint8Array, start: number, end: number, at: number): void {
  target.fill(0xee);
  copyBytes(target, words, at, source, start, end);
  const expected = new Uint8Array(SIZE).fill(0xee);
  expected.set(source.subarray(start, end), at);
  expect(Buffer.compare(target, expected), `[${start}, ${end}) to ${at}`).toBe(0);
}

test.each([0, 1, 2, 3, 5])(
  "each length and place, from a source %i bytes into its buffer",
  (offset) => {
    // The source ends with its buffer, whose length is not always whole words.
    for (const length of [400, 401, 402, 403]) {
      const source = sourceAt(offset, length);
      for (let at = 4; at < 8; at++) {
        for (let size = 0; size <= 24; size++) {
          for (let start = 0; start < 5; start++) check(source, start, start + size, at);
          check(source, length - size, length, at);
        }
        for (const size of [95, 96, 97, 100, 383, 384, 385, 399]) {
          for (let start = 0; start + size <= length && start < 5; start++) {
            check(source, start, start + size, at);
          }
          check(source, length - size, length, at);
        }
      }
    }
  },
);

test("sources in turn, each with bytes of its own", () => {
  const sources = [sourceAt(0, 200), sourceAt(1, 200), sourceAt(2, 200)];
  sources[1]!.fill(1);
  sources[2]!.fill(2);
  for (let i = 0; i < 200; i++) check(sources[(i * i) % 3]!, i % 7, 100 + (i % 90), i);
  // A source that changes between two copies.
  const source = sourceAt(3, 64);
  for (let i = 0; i < 10; i++) {
    source.fill(i);
    check(source, 1, 60, i);
  }
});
