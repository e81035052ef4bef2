/**
 * Tables of every kind as they were written once, in `golden/`. Each must read as what it was made
 * from, with the optional modules or without; what no compressor had a hand in must be written the
 * same again, byte for byte. `AURA_GOLDEN=write` writes those of a new version; those of one that is
 * there stay as they are.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Codec, FORMAT_VERSION, hashReady } from "@aura/base";
import { beforeAll, describe, expect, test } from "vitest";
import { FOOTER_BYTES } from "../src/format.ts";
import { KINDS } from "./kinds.ts";
import { emptyFs, get, hex, lyingIndex, openTable, PATH, writeTable } from "./support.ts";

const directory = new URL(`./golden/v${FORMAT_VERSION}/`, import.meta.url);
const isWriting = process.env["AURA_GOLDEN"] === "write";

beforeAll(async () => {
  await hashReady();
  if (!isWriting) return;
  if (existsSync(directory)) throw new Error("this version is frozen");
  mkdirSync(directory, { recursive: true });
  for (const { name, entries, settings } of KINDS) {
    const fs = emptyFs();
    writeTable(fs, entries, { settings });
    writeFileSync(new URL(`${name}.sst`, directory), fs.readFile(PATH));
  }
});

test("there is a file of every kind, and no other", () => {
  expect(readdirSync(directory).sort()).toEqual(KINDS.map(({ name }) => `${name}.sst`).sort());
});

describe.each(KINDS)("$name", ({ name, entries, settings }) => {
  const golden = (): Buffer => readFileSync(new URL(`${name}.sst`, directory));
  const codec = settings.codec ?? Codec.none;

  test("reads as what it was made from", () => {
    const fs = emptyFs();
    fs.writeFile(PATH, golden());
    const table = openTable(fs, { indexFormats: [lyingIndex("none")] });
    table.verifySync();
    const cursor = table.cursor({ mayRead: true });
    let at = 0;
    for (cursor.first(); cursor.valid; cursor.next(), at++) {
      const { key, seq, tag, value } = entries[at]!;
      expect(hex(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd))).toBe(hex(key));
      expect([cursor.seq, cursor.tag]).toEqual([seq, tag]);
      expect(hex(cursor.valueBytes.subarray(cursor.valueStart, cursor.valueEnd))).toBe(hex(value));
      expect(get(table, key, seq)).toEqual({ seq, tag, value: hex(value) });
    }
    expect(at).toBe(entries.length);
    table.closeSync();
  });

  test.skipIf(codec !== Codec.none)("is written the same again", () => {
    const fs = emptyFs();
    writeTable(fs, entries, { settings });
    expect(fs.readFile(PATH).equals(golden())).toBe(true);
  });

  test("shows what the kind stands for", () => {
    const bytes = golden();
    const filterAt = bytes.readUIntLE(bytes.length - FOOTER_BYTES + 36, 6);
    const filterBytes = bytes.readUIntLE(bytes.length - FOOTER_BYTES + 42, 6);
    if (name === "no-filter") expect(filterBytes).toBe(0);
    else expect(bytes[filterAt]).toBe(name === "ribbon" ? 2 : 1);
    if (codec === Codec.none) return;
    const wanted = name === "dictionary" ? codec | 0x80 : codec;
    expect(codecsOf(bytes)).toContain(wanted);
  });
});

/** Codecs of the data blocks: the lengths of blocks stand in the block map. */
function codecsOf(bytes: Buffer): number[] {
  const footer = bytes.length - FOOTER_BYTES;
  const codecs: number[] = [];
  let map = bytes.readUIntLE(footer + 12, 6);
  let at = 64;
  for (let count = bytes.readUInt32LE(bytes.length - 20); count > 0; count--) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[map++]!;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    at += length;
    codecs.push(bytes[at - 5]!);
  }
  return codecs;
}
