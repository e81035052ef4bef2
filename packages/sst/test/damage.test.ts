/**
 * Damage to a table of every kind: a flipped bit in every byte, every truncation, blocks exchanged.
 * It is found, with file and offset, or it changes no answer.
 */
import { readFileSync } from "node:fs";
import { hashReady, SeededRandom } from "@aura/base";
import { beforeAll, describe, expect, test } from "vitest";
import { FOOTER_BYTES } from "../src/format.ts";
import type { Table, TableCursor } from "../src/index.ts";
import { KINDS } from "./kinds.ts";
import { type Entry, emptyFs, get, hashOf, hex, lyingIndex, openTable, PATH } from "./support.ts";

beforeAll(() => hashReady());

const indexFormats = [lyingIndex("none")];
/** Longer files: every byte is damaged, and so many entries around it are read. */
const NEAR = 3;

/** Returns "refused", or "right": every answer asked for was as written. Anything else throws. */
function answers(bytes: Uint8Array, entries: readonly Entry[], asked: readonly Entry[]): string {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  let table: Table | undefined;
  try {
    table = openTable(fs, { indexFormats });
    for (const { key, seq, tag, value } of asked) {
      const found = get(table, key, seq);
      const right = found?.seq === seq && found.tag === tag && found.value === hex(value);
      if (!right) throw new Error(`wrong answer for ${hex(key)}`);
      const { prefixBytes } = table.summary;
      if (prefixBytes > 0 && key.length >= prefixBytes) {
        if (!table.mayHavePrefix(hashOf(key.subarray(0, prefixBytes)))) throw new Error("prefix");
      }
    }
    const cursor = table.cursor({ mayRead: true });
    const from = entries.indexOf(asked[0]!);
    cursor.seek(asked[0]!.key, 0, asked[0]!.key.length);
    if (!cursor.valid || !isKey(cursor, asked[0]!)) throw new Error("wrong seek");
    while (cursor.valid && cursor.seq !== asked[0]!.seq) cursor.next();
    for (let at = from; at < from + asked.length; at++, cursor.next()) {
      if (!cursor.valid || !isKey(cursor, entries[at]!)) throw new Error(`wrong entry ${at}`);
    }
    return "right";
  } catch (error) {
    const { code, file, offset } = error as { code?: string; file?: string; offset?: number };
    if (code !== "AURA_CORRUPTION" && code !== "AURA_UNSUPPORTED") throw error;
    if (file !== PATH || typeof offset !== "number") throw error;
    return "refused";
  } finally {
    table?.closeSync();
  }
}

function isKey(cursor: TableCursor, { key, seq }: Entry): boolean {
  const { keyBytes, keyStart, keyEnd } = cursor;
  return cursor.seq >= seq && hex(keyBytes.subarray(keyStart, keyEnd)) === hex(key);
}

function verifies(bytes: Uint8Array): boolean {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  let table: Table | undefined;
  try {
    table = openTable(fs, { indexFormats });
    table.verifySync();
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "AURA_CORRUPTION" && code !== "AURA_UNSUPPORTED") throw error;
    return false;
  } finally {
    table?.closeSync();
  }
}

/** Entries about as far into the table as a byte is into the file. */
function near(entries: readonly Entry[], share: number): readonly Entry[] {
  const at = Math.min(Math.floor(share * entries.length), entries.length - NEAR);
  return entries.slice(Math.max(at, 0), Math.max(at, 0) + NEAR);
}

describe.each(KINDS)("$name", ({ name, entries }) => {
  const golden = (): Buffer => readFileSync(new URL(`golden/v1/${name}.sst`, import.meta.url));

  test("is right as it is", () => {
    expect(answers(golden(), entries, entries)).toBe("right");
    expect(verifies(golden())).toBe(true);
  });

  test("a flipped bit in any byte is found, or changes no answer; verify finds it", () => {
    const bytes = golden();
    const random = new SeededRandom(bytes.length);
    const dataEnd = bytes.readUIntLE(bytes.length - FOOTER_BYTES, 6);
    for (let at = 0; at < bytes.length; at++) {
      const mask = 1 << random.below(8);
      bytes[at]! ^= mask;
      const share = at < dataEnd ? at / dataEnd : random.below(1000) / 1000;
      answers(bytes, entries, near(entries, share));
      // Verifying reads all: of long tables, a sample of the bytes.
      const isTried = bytes.length < 3000 || at % 16 === 0;
      if (isTried && verifies(bytes)) throw new Error(`byte ${at} may be anything`);
      bytes[at]! ^= mask;
    }
  });

  test("cut off anywhere it is refused", () => {
    const bytes = golden();
    for (let length = 0; length < bytes.length; length++) {
      const state = answers(bytes.subarray(0, length), entries, entries.slice(0, 1));
      if (state !== "refused") throw new Error(`${length} of ${bytes.length} bytes`);
    }
  });

  test("pieces of it exchanged, or from another kind, are found", () => {
    const bytes = golden();
    const random = new SeededRandom(5);
    for (const other of KINDS.slice(0, 5)) {
      const source = readFileSync(new URL(`golden/v1/${other.name}.sst`, import.meta.url));
      for (let round = 0; round < 60; round++) {
        const mixed = Buffer.from(bytes);
        const length = 1 + random.below(Math.min(300, bytes.length - 64, source.length - 64));
        const to = 64 + random.below(bytes.length - 64 - length + 1);
        const from = 64 + random.below(source.length - 64 - length + 1);
        source.copy(mixed, to, from, from + length);
        answers(mixed, entries, near(entries, (to - 64) / bytes.length));
        if (!mixed.equals(bytes) && verifies(mixed)) throw new Error(`${from} to ${to}`);
      }
    }
  });
});
