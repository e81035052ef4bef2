/** What a value reader does about files that change under it, and records that it cannot take. */
import { Codec, hashReady } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, it } from "vitest";
import {
  encodeRecordHead,
  putRecordChecksum,
  recordHeadBytes,
  scanSegment,
  ValueReader,
} from "../src/index.ts";
import {
  create,
  emptyFs,
  header,
  items,
  NUMBER,
  PATH,
  text,
  writeSmallSegment,
} from "./support.ts";

const pathOf = (number: number): string => `/db/${String(number).padStart(6, "0")}.seg`;
const corrupt: unknown = expect.objectContaining({ code: "AURA_CORRUPTION", file: PATH });
const unsupported: unknown = expect.objectContaining({ code: "AURA_UNSUPPORTED", file: PATH });

type Pointed = Parameters<ValueReader["readSync"]>;

beforeAll(() => hashReady());

const [, , item] = items;
const { key, value } = item!;
const pointerTo = (offset: number, number = NUMBER): Pointed => [
  number,
  offset,
  value.length,
  value.length,
  0,
  key,
  0,
  key.length,
];

describe("a file of values", () => {
  it("that is forgotten while a read is under way closes behind the read", async () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = new ValueReader(fs, pathOf, 4);
    const reads = [values.read(...pointerTo(offsets[2]!)), values.read(...pointerTo(offsets[2]!))];
    values.forget(NUMBER);
    expect(fs.openHandles).toBe(1);
    for (const read of reads) expect((await read).equals(value)).toBe(true);
    expect(values.openCount).toBe(0);
    expect(fs.openHandles).toBe(0);
  });

  it("is closed behind its last read when more are open than may be", async () => {
    const fs = emptyFs();
    const numbers = [1, 2, 3];
    const offsets = numbers.map((number) =>
      writeSmallSegment(fs, pathOf(number), header({ lo: number, hi: 7 }, number)),
    );
    const values = new ValueReader(fs, pathOf, 1);
    const reads = numbers.map((number, i) => values.read(...pointerTo(offsets[i]![2]!, number)));
    // All are needed at once, so all are open.
    expect(fs.openHandles).toBe(3);
    for (const read of reads) expect((await read).equals(value)).toBe(true);
    expect(values.openCount).toBe(1);
    values.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  it("in another's place is refused by its uid, and left closed", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = new ValueReader(fs, pathOf, 4);
    const { lo, hi } = header().uid;
    for (const uid of [
      { lo: lo + 1, hi },
      { lo, hi: hi + 1 },
    ]) {
      values.register(NUMBER, PATH, uid);
      expect(() => values.readSync(...pointerTo(offsets[2]!))).toThrow(corrupt);
      expect(fs.openHandles).toBe(0);
      values.forget(NUMBER);
    }
    values.register(NUMBER, PATH, { lo, hi });
    expect(values.readSync(...pointerTo(offsets[2]!)).equals(value)).toBe(true);
    values.closeSync();
  });

  it("that got shorter since it was opened is damaged, not read as what memory held", async () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = new ValueReader(fs, pathOf, 4);
    expect(values.readSync(...pointerTo(offsets[2]!)).equals(value)).toBe(true);
    fs.failAt({ at: (kind) => kind === "read", sticky: true, short: 20 });
    expect(() => values.readSync(...pointerTo(offsets[2]!))).toThrow(corrupt);
    await expect(values.read(...pointerTo(offsets[2]!))).rejects.toEqual(corrupt);
    fs.clearFaults();
    values.closeSync();
    expect(fs.openHandles).toBe(0);
  });
});

/** Appends a whole record as its bytes say, and returns where it stands. */
function appendRaw(fs: SimFs, tag: number, stored: Uint8Array, raw: number, codec: number): number {
  const whole = Uint8Array.from(fs.readFile(PATH));
  const head = new Uint8Array(recordHeadBytes(key.length, stored.length));
  encodeRecordHead(head, 0, 0, key, 0, key.length, 3, tag, stored, raw, codec);
  putRecordChecksum(head, 0, header().uid, whole.length);
  fs.writeFile(PATH, Buffer.concat([whole, head, stored]));
  return whole.length;
}

describe("a record that is whole", () => {
  it("of no known kind or codec is unsupported, not damaged", async () => {
    const fs = emptyFs();
    writeSmallSegment(fs);
    const stored = text("some bytes that no codec made");
    const ofKind = appendRaw(fs, 0x3f, stored, stored.length, 0);
    const ofCodec = appendRaw(fs, 1, stored, 99, 77);
    const values = new ValueReader(fs, pathOf, 4);
    for (const [offset, raw, codec] of [
      [ofKind, stored.length, 0],
      [ofCodec, 99, 77],
    ] as const) {
      const pointer: Pointed = [NUMBER, offset, stored.length, raw, codec, key, 0, key.length];
      expect(() => values.readSync(...pointer)).toThrow(unsupported);
      await expect(values.read(...pointer)).rejects.toEqual(unsupported);
    }
    values.closeSync();
  });

  it("but does not decompress is damaged", () => {
    const fs = emptyFs();
    writeSmallSegment(fs);
    const stored = text("no deflate stream");
    const offset = appendRaw(fs, 1, stored, 500, Codec.deflate);
    const values = new ValueReader(fs, pathOf, 4);
    const pointer: Pointed = [
      ...[NUMBER, offset, stored.length, 500, Codec.deflate],
      ...[key, 0, key.length],
    ] as Pointed;
    expect(() => values.readSync(...pointer)).toThrow(corrupt);
    values.closeSync();
  });

  it("of other lengths than its pointer is not the one that was meant", () => {
    const fs = emptyFs();
    writeSmallSegment(fs);
    const stored = text("deflated, says its codec");
    const offset = appendRaw(fs, 1, stored, 500, Codec.deflate);
    const values = new ValueReader(fs, pathOf, 4);
    for (const [raw, codec] of [
      [501, Codec.deflate],
      [500, Codec.lz4],
      [stored.length, Codec.none],
    ] as const) {
      const pointer: Pointed = [NUMBER, offset, stored.length, raw, codec, key, 0, key.length];
      expect(() => values.readSync(...pointer)).toThrow(corrupt);
    }
    values.closeSync();
  });
});

it("a scan that came to its end stays there", () => {
  const fs = emptyFs();
  const segment = create(fs);
  segment.finishSync();
  segment.closeSync();
  const reader = scanSegment(fs, PATH);
  expect(reader.next()).toBe(false);
  const { end } = reader;
  expect(reader.next()).toBe(false);
  expect(reader.end).toBe(end);
  reader.closeSync();
});
