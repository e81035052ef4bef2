import { Codec, Kind, SEQ_MAX } from "@aura/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  encodePointer,
  encodeRecordHead,
  movedChecksum,
  POINTER_BYTES,
  PointerReader,
  putRecordChecksum,
  RECORD_HEADER_BYTES,
  RecordView,
  recordBytes,
} from "../src/index.ts";
import { text } from "./support.ts";

const uid = { lo: 0x10203040, hi: 0x50607080 };
const other = { lo: 0x10203041, hi: 0x50607080 };

/** Encodes a record with its value at `target[at, ...)`; returns its end. */
function encode(target: Uint8Array, at: number, key: Uint8Array, value: Uint8Array): number {
  const end = encodeRecordHead(
    target,
    at,
    3,
    key,
    0,
    key.length,
    77,
    Kind.value,
    value,
    value.length,
    Codec.none,
  );
  target.set(value, end);
  return end + value.length;
}

const u32 = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 2 ** 32 - 1));

describe("record", () => {
  it("comes back as it was written, at any place", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 600 }),
        fc.integer({ min: 0, max: SEQ_MAX }),
        fc.constantFrom(Kind.delete, Kind.value, Kind.pointer),
        u32,
        u32,
        fc.integer({ min: 0, max: 2 ** 48 - 1 }),
        fc.integer({ min: 0, max: 9 }),
        (key, value, seq, tag, keyspace, raw, offset, at) => {
          const bytes = new Uint8Array(at + recordBytes(key.length, value.length) + 5).fill(0xcc);
          const end = encodeRecordHead(
            bytes,
            at,
            keyspace,
            key,
            0,
            key.length,
            seq,
            tag,
            value,
            raw,
            Codec.lz4,
          );
          expect(end).toBe(at + RECORD_HEADER_BYTES + key.length);
          putRecordChecksum(bytes, at, uid, offset);
          bytes.set(value, end);
          const view = new RecordView();
          expect(view.read(bytes, at, bytes.length, uid, offset)).toBe(true);
          expect(view).toMatchObject({ keyspace, seq, tag, raw, stored: value.length, codec: 1 });
          expect(bytes.subarray(view.keyStart, view.keyEnd)).toEqual(key);
          expect(bytes.subarray(view.valueStart, view.valueEnd)).toEqual(value);
          expect(view.bytes).toBe(recordBytes(key.length, value.length));
        },
      ),
    );
  });

  it("is refused at another place and in another file", () => {
    const bytes = new Uint8Array(100);
    const end = encode(bytes, 0, text("key"), text("value"));
    putRecordChecksum(bytes, 0, uid, 64);
    const view = new RecordView();
    expect(view.read(bytes, 0, end, uid, 64)).toBe(true);
    for (const offset of [0, 63, 65, 64 + 2 ** 32]) {
      expect(view.read(bytes, 0, end, uid, offset)).toBe(false);
      expect(view.problem).toBe("head");
    }
    expect(view.read(bytes, 0, end, other, 64)).toBe(false);
  });

  it("is moved by its checksum alone, and its checksum may be put again", () => {
    const bytes = new Uint8Array(100);
    const end = encode(bytes, 0, text("key"), text("value"));
    putRecordChecksum(bytes, 0, uid, 64);
    const first = new DataView(bytes.buffer).getUint32(0, true);
    putRecordChecksum(bytes, 0, other, 2 ** 40);
    const second = new DataView(bytes.buffer).getUint32(0, true);
    expect(movedChecksum(first, uid, 64, other, 2 ** 40)).toBe(second);
    const view = new RecordView();
    expect(view.read(bytes, 0, end, other, 2 ** 40)).toBe(true);
  });

  it("cut anywhere, is cut; with any bit flipped, is refused", () => {
    const bytes = new Uint8Array(recordBytes(3, 5));
    const end = encode(bytes, 0, text("key"), text("value"));
    putRecordChecksum(bytes, 0, uid, 64);
    const view = new RecordView();
    for (let length = 0; length < end; length++) {
      expect(view.read(bytes, 0, length, uid, 64)).toBe(false);
      expect(view.problem).toBe("cut");
      expect(view.readHead(bytes, 0, length, uid, 64)).toBe(length >= RECORD_HEADER_BYTES + 3);
    }
    for (let bit = 0; bit < end * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(view.read(bytes, 0, end, uid, 64)).toBe(false);
      if (bit >= 8 * (RECORD_HEADER_BYTES + 3)) expect(view.problem).toBe("value");
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(view.read(bytes, 0, end, uid, 64)).toBe(true);
  });

  it("of a later build is unsupported", () => {
    const view = new RecordView();
    const cases: [at: number, value: number][] = [
      [27, 1], // a flag
      [19, Kind.rangeDelete],
      [19, Kind.value | 0x10],
      [18, 0x20], // a sequence above 2^53 - 1
      [8, 99], // raw and stored length differ without a codec
    ];
    for (const [at, value] of cases) {
      const bytes = new Uint8Array(100);
      const end = encode(bytes, 0, text("key"), text("value"));
      bytes[at] = value;
      putRecordChecksum(bytes, 0, uid, 64);
      expect(view.read(bytes, 0, end, uid, 64)).toBe(false);
      expect(view.problem).toBe("unsupported");
    }
  });

  it("refuses to encode what it could not hold", () => {
    const target = new Uint8Array(200);
    expect(() =>
      encodeRecordHead(target, 0, 0, target, 0, 65536, 1, 1, text("v"), 1, Codec.none),
    ).toThrow(/out of range/);
    expect(() =>
      encodeRecordHead(target, 0, 0, target, 0, 1, 1, 1, text("v"), 2, Codec.none),
    ).toThrow(/stored raw/);
  });
});

describe("pointer", () => {
  it("comes back as it was written", () => {
    const reader = new PointerReader();
    fc.assert(
      fc.property(
        u32,
        fc.integer({ min: 0, max: 2 ** 48 - 1 }),
        u32,
        u32,
        fc.integer({ min: 0, max: 255 }),
        (file, offset, stored, raw, codec) => {
          const bytes = new Uint8Array(POINTER_BYTES + 4).fill(0xff);
          encodePointer(bytes, 2, file, offset, stored, raw, codec);
          expect(reader.read(bytes, 2, 2 + POINTER_BYTES)).toBe(true);
          expect({ ...reader }).toEqual({ file, offset, stored, raw, codec });
          expect([bytes[1], bytes[2 + POINTER_BYTES]]).toEqual([0xff, 0xff]);
        },
      ),
    );
  });

  it("of another length, or with its last byte set, is none", () => {
    const reader = new PointerReader();
    const bytes = new Uint8Array(POINTER_BYTES + 1);
    for (let length = 0; length <= POINTER_BYTES + 1; length++) {
      expect(reader.read(bytes, 0, length)).toBe(length === POINTER_BYTES);
    }
    bytes[POINTER_BYTES - 1] = 1;
    expect(reader.read(bytes, 0, POINTER_BYTES)).toBe(false);
  });

  it("refuses a file or an offset that it cannot hold", () => {
    const bytes = new Uint8Array(POINTER_BYTES);
    expect(() => encodePointer(bytes, 0, 2 ** 32, 0, 0, 0, 0)).toThrow(/pointer out of range/);
    expect(() => encodePointer(bytes, 0, 0, 2 ** 48, 0, 0, 0)).toThrow(/pointer out of range/);
  });
});
