import { Codec, canCompress, decompress, hashReady, SeededRandom } from "@aura/base";
import { beforeAll, describe, expect, test } from "vitest";
import { BlockPacker, DICTIONARY_FLAG } from "../src/block-packer.ts";
import { emptyFs, entry, openTable, text, writeTable } from "./support.ts";

beforeAll(() => hashReady());

const random = new SeededRandom(1);
/** Alike from block to block, not within one. */
const record = (): Uint8Array =>
  text(`{"identifier":"${random.uint32()}","customer address":"${random.uint32()} Long Street"}`);
const noise = (): Uint8Array => new Uint8Array(90).map(() => random.below(256));

const noZstd = !canCompress(Codec.zstd);
if (noZstd) {
  process.stderr.write("\n*** SKIPPED: no zstd here; dictionaries are NOT tested ***\n\n");
}

describe.skipIf(noZstd)("a dictionary", () => {
  test("is made and used where blocks are alike; each block says whether it needs it", () => {
    const packer = new BlockPacker(Codec.zstd, 2048);
    let flagged = 0;
    let alone = 0;
    let together = 0;
    for (let i = 0; i < 300; i++) {
      const raw = record();
      const packed = packer.pack(raw);
      if (packed === undefined) continue;
      const isFlagged = (packer.codec & DICTIONARY_FLAG) !== 0;
      const dictionary = isFlagged ? packer.dictionary : undefined;
      expect([...decompress(Codec.zstd, packed, raw.length, dictionary)]).toEqual([...raw]);
      if (isFlagged) {
        flagged++;
        together += packed.length;
      } else alone += packed.length;
    }
    expect(flagged).toBe(300 - 80);
    expect(packer.dictionary.length).toBe(2048);
    expect(together / flagged).toBeLessThan(60);
    expect(alone === 0 || alone / (300 - flagged) > together / flagged).toBe(true);
  });

  test("that does not pay is none", () => {
    const packer = new BlockPacker(Codec.zstd, 2048);
    for (let i = 0; i < 200; i++) packer.pack(noise());
    expect(packer.dictionary.length).toBe(0);
    expect(packer.codec).toBe(Codec.zstd);
  });

  test("of a short table, or of none wanted, is not stored", () => {
    for (const [count, dictionaryBytes] of [
      [40, 2048],
      [400, 0],
      [400, 100],
    ] as const) {
      const fs = emptyFs();
      const entries = Array.from({ length: count }, (_, i) =>
        entry(String(i).padStart(5, "0"), 1, new TextDecoder().decode(record())),
      );
      const settings = { blockBytes: 256, codec: Codec.zstd, dictionaryBytes };
      const { fileBytes } = writeTable(fs, entries, { settings });
      const table = openTable(fs);
      table.verifySync();
      table.closeSync();
      const twin = emptyFs();
      const plain = writeTable(twin, entries, { settings: { ...settings, dictionaryBytes: 0 } });
      expect(fileBytes).toBe(plain.fileBytes);
    }
  });

  test("makes a table smaller that has many blocks alike, and is counted as memory", () => {
    const entries = Array.from({ length: 1000 }, (_, i) =>
      entry(String(i).padStart(5, "0"), 1, new TextDecoder().decode(record())),
    );
    const sizes = [0, 1024].map((dictionaryBytes) => {
      const fs = emptyFs();
      const settings = { blockBytes: 512, codec: Codec.zstd, dictionaryBytes };
      const { fileBytes } = writeTable(fs, entries, { settings });
      const table = openTable(fs);
      table.verifySync();
      const { residentBytes } = table;
      table.closeSync();
      return { fileBytes, residentBytes };
    });
    expect(sizes[1]!.fileBytes).toBeLessThan(sizes[0]!.fileBytes * 0.92);
    // Lengths of blocks pack a little better or worse.
    const more = sizes[1]!.residentBytes - sizes[0]!.residentBytes;
    expect(more).toBeGreaterThan(1024 * 0.8);
    expect(more).toBeLessThan(1024 * 1.2);
  });
});

test("a codec without dictionaries has none", () => {
  const packer = new BlockPacker(Codec.deflate, 2048);
  for (let i = 0; i < 200; i++) packer.pack(record());
  expect(packer.dictionary.length).toBe(0);
});
