import { compareKeys, SeededRandom } from "@aura/base";
import { describe, expect, it } from "vitest";
import { HEADER_WORDS, resetArena } from "../src/arena.ts";
import { sortEntries } from "../src/entry-sorter.ts";
import { EntryWriter } from "../src/entry-writer.ts";

const empty = new Uint8Array(0);

/** Writes keys as entries of a log; returns it and them. */
function logOf(keys: readonly Uint8Array[]): { log: EntryWriter; entries: Int32Array } {
  const bytes = keys.reduce((sum, key) => sum + key.length + 32, 8192) & ~3;
  const buffer = new SharedArrayBuffer(bytes);
  resetArena(buffer, HEADER_WORDS);
  const log = new EntryWriter(buffer, HEADER_WORDS);
  const entries = Int32Array.from(keys, (key, i) =>
    log.write(i + 1, 1, key, 0, key.length, empty, 0, 0, 0),
  );
  return { log, entries };
}

function expectSorted(keys: readonly Uint8Array[]): void {
  const { log, entries } = logOf(keys);
  const keyOf = (entry: number): Uint8Array => {
    const shape = log.words[entry]!;
    const at = log.keyStart(entry, shape);
    return log.bytes.slice(at, at + (shape & 0xffff));
  };
  const expected = [...entries].sort((a, b) => compareKeys(keyOf(a), keyOf(b)) || b - a);
  sortEntries(log, entries, entries.length);
  expect([...entries]).toEqual(expected);
}

describe("sorting entries", () => {
  const random = new SeededRandom(5);
  const drawn = (length: number, of: readonly number[]): Uint8Array =>
    Uint8Array.from({ length }, () => of[random.below(of.length)]!);
  const all = Array.from({ length: 256 }, (_, i) => i);
  const families: Record<string, (i: number) => Uint8Array> = {
    "random bytes": () => drawn(16, all),
    "few bytes, all lengths": () => drawn(random.below(20), [0, 1, 0xff]),
    "zeros of all lengths": () => new Uint8Array(random.below(40)),
    "one key": () => new Uint8Array([1, 2, 3]),
    "a long shared prefix": () =>
      Uint8Array.from([...new Uint8Array(301).fill(7), ...drawn(3, all)]),
    "groups with long prefixes": (i) =>
      Uint8Array.from([i % 5, ...new Uint8Array(90).fill(i % 5), ...drawn(2, [1, 2])]),
    digits: (i) => new TextEncoder().encode(String((i * 7919) % 100_000).padStart(16, "0")),
    "prefixes of each other": (i) => new Uint8Array(i % 700).fill(9),
    "many versions of few keys": () => drawn(random.below(3), [0, 0xff]),
  };
  for (const [name, keyOf] of Object.entries(families)) {
    for (const count of [0, 1, 2, 24, 25, 300, 5000]) {
      it(`orders ${count} entries: ${name}`, () => {
        expectSorted(Array.from({ length: count }, (_, i) => keyOf(i)));
      });
    }
  }
});
