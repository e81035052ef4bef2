import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { putU32 } from "../src/bytes.ts";
import type { AuraError } from "../src/errors.ts";
import {
  decodeFileHeader,
  encodeFileHeader,
  FILE_HEADER_BYTES,
  FILE_NUMBER_MAX,
  type FileHeader,
  FileType,
  FORMAT_VERSION,
} from "../src/file-header.ts";
import { xxh32 } from "../src/xxh32.ts";

const example: FileHeader = {
  type: FileType.table,
  databaseUuid: Uint8Array.from({ length: 16 }, (_, i) => 0xa0 + i),
  uid: { lo: 0x01234567, hi: 0x89abcdef },
  number: 42,
};

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const header: fc.Arbitrary<FileHeader> = fc.record({
  type: fc.constantFrom(...Object.values(FileType)),
  databaseUuid: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  uid: fc.record({ lo: u32, hi: u32 }),
  number: fc.oneof(
    fc.maxSafeNat().map((n) => n % (FILE_NUMBER_MAX + 1)),
    fc.constantFrom(0, FILE_NUMBER_MAX),
  ),
});

function codeOf(bytes: Uint8Array): string {
  try {
    decodeFileHeader(bytes, "some/file");
  } catch (error) {
    expect((error as AuraError).file).toBe("some/file");
    return (error as AuraError).code;
  }
  return "none";
}

/** The example with some bytes changed, under a checksum that is right. */
function forged(change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = encodeFileHeader(example);
  change(bytes);
  putU32(bytes, 60, xxh32(bytes, 0, 60, 0));
  return bytes;
}

describe("file header", () => {
  it("keeps its numbers on disk", () => {
    expect(FileType).toEqual({
      wal: 1,
      valueLog: 2,
      segment: 3,
      table: 4,
      manifest: 5,
      current: 6,
      trace: 7,
    });
    expect([FILE_HEADER_BYTES, FORMAT_VERSION]).toEqual([64, 1]);
  });

  it("has the bytes that its documentation shows", () => {
    const page = new URL("../../../docs/formats/file-header.md", import.meta.url);
    const rows = [
      ...readFileSync(page, "utf8").matchAll(/^([0-9a-f]{2}) {2}((?:[0-9a-f]{2} ?)+)/gm),
    ];
    const bytes: number[] = [];
    for (const [, offset, hex] of rows) {
      expect(Number.parseInt(offset!, 16)).toBe(bytes.length);
      bytes.push(...Buffer.from(hex!.replaceAll(" ", ""), "hex"));
    }
    expect(Buffer.from(encodeFileHeader(example)).toString("hex")).toBe(
      Buffer.from(bytes).toString("hex"),
    );
  });

  it("reads back, from a longer buffer too, and keeps no view of it", () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 9 }), (fields, behind) => {
        const bytes = Buffer.concat([encodeFileHeader(fields), behind]);
        const read = decodeFileHeader(bytes, "f");
        bytes.fill(0);
        expect(read).toEqual(fields);
      }),
    );
  });

  it("refuses truncation at every length", () => {
    const bytes = encodeFileHeader(example);
    for (let length = 0; length < FILE_HEADER_BYTES; length++) {
      expect(codeOf(bytes.subarray(0, length))).toBe("AURA_CORRUPTION");
    }
  });

  it("refuses every flipped bit, and never as a format that it does not know", () => {
    const bytes = encodeFileHeader(example);
    for (let bit = 0; bit < FILE_HEADER_BYTES * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(codeOf(bytes)).toBe("AURA_CORRUPTION");
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(codeOf(bytes)).toBe("none");
  });

  it("refuses zeros and noise", () => {
    expect(codeOf(new Uint8Array(64))).toBe("AURA_CORRUPTION");
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 64, maxLength: 80 }), (bytes) => {
        expect(codeOf(bytes)).toBe("AURA_CORRUPTION");
      }),
    );
  });

  it.each([
    ["a later version", 5],
    ["another header length", 6],
    ["a feature bit", 8],
    ["the last feature bit", 11],
    ["a cipher", 42],
    ["a frame trailer", 43],
    ["a key id", 44],
    ["a reserved byte", 48],
    ["the last reserved byte", 59],
  ])("refuses %s as unsupported", (_, at) => {
    for (const bit of [1, 0x80]) {
      expect(codeOf(forged((bytes) => (bytes[at]! ^= bit)))).toBe("AURA_UNSUPPORTED");
    }
  });

  it("refuses an unknown type as unsupported", () => {
    for (const type of [0, 8, 255]) {
      expect(codeOf(forged((bytes) => (bytes[4] = type)))).toBe("AURA_UNSUPPORTED");
    }
  });

  it("is not written with fields out of range", () => {
    const wrong: FileHeader[] = [
      { ...example, type: 8 as never },
      { ...example, number: -1 },
      { ...example, number: 1.5 },
      { ...example, number: FILE_NUMBER_MAX + 1 },
      { ...example, databaseUuid: new Uint8Array(15) },
    ];
    for (const fields of wrong) expect(() => encodeFileHeader(fields)).toThrow("assertion failed");
  });
});
