/** Operations and edits that are whole by their checksums, and say what no build may act on. */
import { Kind } from "@aura/base";
import { describe, expect, test } from "vitest";
import { ByteBuffer, ByteReader } from "../src/byte-buffer.ts";
import type { VersionEdit } from "../src/edit.ts";
import { decodeEdit, encodeEdit } from "../src/edit-format.ts";
import { OperationReader } from "../src/operations.ts";
import { parseDeleteRange } from "../src/range-delete.ts";
import type { TableMeta } from "../src/version.ts";

const corrupt: unknown = expect.objectContaining({ code: "AURA_CORRUPTION", file: "/db/log" });

function operation(build: (out: ByteBuffer) => void): OperationReader {
  const out = new ByteBuffer();
  build(out);
  const reader = new OperationReader();
  reader.reset(out.copy(), 0, out.length, "/db/log", 77);
  return reader;
}

describe("an operation", () => {
  test.each<[string, (out: ByteBuffer) => void]>([
    ["of an unknown kind", (out) => out.u8(0x6f)],
    [
      "of another keyspace",
      (out) => {
        out.u8(Kind.delete);
        out.varint(1);
        out.varint(0);
      },
    ],
    [
      "with a key that is too long",
      (out) => {
        out.u8(Kind.delete);
        out.varint(0);
        out.varint(65_536);
        out.range(Buffer.alloc(65_536), 0, 65_536);
      },
    ],
    [
      "with a key that ends behind it",
      (out) => {
        out.u8(Kind.delete);
        out.varint(0);
        out.varint(3);
        out.u8(1);
      },
    ],
    [
      "with a value in no file",
      (out) => {
        out.u8(Kind.pointer);
        for (const part of [0, 0, 64, 10, 10]) out.varint(part);
        out.u8(0x80);
        out.varint(0);
      },
    ],
    [
      "that deletes up to a key that is too long",
      (out) => {
        out.u8(Kind.rangeDelete);
        for (const part of [0, 0, 65_537]) out.varint(part);
        out.range(Buffer.alloc(65_536), 0, 65_536);
      },
    ],
    [
      "that deletes a range without keys",
      (out) => {
        out.u8(Kind.rangeDelete);
        for (const part of [0, 1, 9, 2, 9]) out.varint(part);
      },
    ],
    ["whose number has no end", (out) => out.range(Buffer.from([1, 0xff, 0xff]), 0, 3)],
  ])("%s is damage", (_what, build) => {
    expect(() => operation(build).next()).toThrow(corrupt);
  });
});

const TABLE: TableMeta = {
  ...{ number: 9, uid: { lo: 1, hi: 2 }, keyspace: 0, bytes: 900, entryCount: 3, deleteCount: 0 },
  ...{ shadowedCount: 0, rangeDeleteCount: 0, largestIsExclusive: false, smallestSeq: 1 },
  ...{ smallestKey: Buffer.from("a"), largestKey: Buffer.from("m"), largestSeq: 5, filterBits: 0 },
  references: [],
};

const EDIT: VersionEdit = {
  nextNumber: 10,
  lastSeq: 5,
  flushedSeq: 5,
  added: [{ level: 1, run: 2, table: TABLE }],
};

function encoded(edit: VersionEdit): Uint8Array {
  const out = new ByteBuffer();
  encodeEdit(out, edit);
  return out.copy();
}

const decoded = (bytes: Uint8Array): VersionEdit =>
  decodeEdit(new ByteReader(bytes, "/db/log", 77));

describe("an edit", () => {
  test("comes back as it was, with and without the time of its table", () => {
    const timed = {
      ...EDIT,
      added: [{ level: 1, run: 2, table: { ...TABLE, createdMs: 12_345 } }],
    };
    for (const edit of [EDIT, timed]) {
      const { added } = decoded(encoded(edit));
      expect(added![0]!.table.createdMs).toBe(edit.added![0]!.table.createdMs);
      expect(added![0]!.table).toMatchObject({ number: 9, entryCount: 3 });
    }
  });

  test("with a table whose bounds are the wrong way round, or hold no key, is damage", () => {
    const swapped = { ...TABLE, smallestKey: TABLE.largestKey, largestKey: TABLE.smallestKey };
    const none = { ...TABLE, largestKey: TABLE.smallestKey, largestIsExclusive: true };
    for (const table of [swapped, none]) {
      const bytes = encoded({ ...EDIT, added: [{ level: 1, run: 2, table }] });
      expect(() => decoded(bytes)).toThrow(corrupt);
    }
  });

  test("that needs what this build lacks is unsupported: any other byte of it is, or is damage", () => {
    const whole = encoded(EDIT);
    const codes = new Set<string>();
    for (let at = 0; at < whole.length; at++) {
      for (const byte of [0, 1, 3, 0x7f, 0xff]) {
        const bytes = Uint8Array.from(whole);
        bytes[at] = byte;
        try {
          decoded(bytes);
        } catch (error) {
          codes.add((error as { code: string }).code);
        }
      }
    }
    expect([...codes].sort()).toEqual(["AURA_CORRUPTION", "AURA_UNSUPPORTED"]);
  });
});

describe("the keys of a range delete", () => {
  test("are refused unless they are a range", () => {
    for (const range of [null, 7, "a", undefined]) {
      expect(() => parseDeleteRange(range as never)).toThrow(/expected an object/);
    }
  });

  test("behind the longest keys begin and end at a shorter one, or at none", () => {
    const longest = Buffer.alloc(65_535, 0x61);
    const range = parseDeleteRange({ gt: longest })!;
    expect(range.begin.length).toBeLessThanOrEqual(65_535);
    expect(Buffer.compare(range.begin, longest)).toBe(1);
    const last = Buffer.alloc(65_535, 0xff);
    expect(parseDeleteRange({ gt: last })).toBeUndefined();
    expect([...parseDeleteRange({ gte: "a", lte: last })!.begin]).toEqual([0x61]);
  });
});
