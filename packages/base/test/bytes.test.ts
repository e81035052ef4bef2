import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  commonPrefix,
  compareBytes,
  compareKeys,
  getU16,
  getU32,
  getU48,
  getU56,
  putU16,
  putU32,
  putU48,
  putU56,
  putVarint,
  VARINT_BYTES_MAX,
  VarintReader,
  varintBytes,
} from "../src/bytes.ts";

const key = fc.uint8Array({ maxLength: 20 });
/** Keys over two letters: equal prefixes are likely. */
const closeKey = fc.array(fc.constantFrom(0, 255), { maxLength: 6 }).map((b) => Uint8Array.from(b));

describe("key order", () => {
  it("is that of Buffer.compare", () => {
    fc.assert(
      fc.property(fc.oneof(key, closeKey), fc.oneof(key, closeKey), (a, b) => {
        expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(a, b));
      }),
    );
  });

  it("sees ranges only", () => {
    fc.assert(
      fc.property(closeKey, closeKey, key, key, (a, b, before, behind) => {
        const inA = Buffer.concat([before, a, behind]);
        const inB = Buffer.concat([behind, b, before]);
        const aEnd = before.length + a.length;
        const bEnd = behind.length + b.length;
        expect(Math.sign(compareBytes(inA, before.length, aEnd, inB, behind.length, bEnd))).toBe(
          Buffer.compare(a, b),
        );
        const common = commonPrefix(inA, before.length, aEnd, inB, behind.length, bEnd);
        expect(a.subarray(0, common)).toEqual(b.subarray(0, common));
        expect(common === a.length || common === b.length || a[common] !== b[common]).toBe(true);
      }),
    );
  });

  it("puts a prefix before its extensions, and high bytes above low ones", () => {
    const ordered = ["", "00", "0000", "01", "7f", "80", "ff", "ff00", "ffff"];
    const keys = ordered.map((hex) => Buffer.from(hex, "hex"));
    expect([...keys].reverse().sort(compareKeys)).toEqual(keys);
  });
});

describe("fixed-width integers", () => {
  const forms: [string, number, typeof putU16, typeof getU16, number][] = [
    ["u16", 2, putU16, getU16, 0xffff],
    ["u32", 4, putU32, getU32, 0xffffffff],
    ["u48", 6, putU48, getU48, 0xffffffffffff],
    ["u56", 7, putU56, getU56, Number.MAX_SAFE_INTEGER],
  ];
  it.each(forms)("%s: %i bytes, little-endian, nothing beside them", (_, width, put, get, max) => {
    const value = fc.oneof(
      fc.maxSafeNat().map((n) => n % (max + 1)),
      fc.constantFrom(0, 1, max),
    );
    fc.assert(
      fc.property(value, (n) => {
        const target = new Uint8Array(width + 4).fill(0xaa);
        put(target, 2, n);
        expect(get(target, 2)).toBe(n);
        let rest = n;
        for (let i = 0; i < width; i++) {
          expect(target[2 + i]).toBe(rest % 256);
          rest = Math.floor(rest / 256);
        }
        expect([target[0], target[1], target[width + 2], target[width + 3]]).toEqual(
          Array(4).fill(0xaa),
        );
      }),
    );
  });
});

describe("varints", () => {
  const number = fc.oneof(
    fc.maxSafeNat(),
    fc.nat(1000),
    fc.nat(52).chain((bits) => fc.constantFrom(2 ** bits - 1, 2 ** bits, 2 ** bits + 1)),
    fc.constant(Number.MAX_SAFE_INTEGER),
  );

  it("read back, with the length announced", () => {
    const reader = new VarintReader();
    fc.assert(
      fc.property(number, fc.nat(3), (n, at) => {
        const target = new Uint8Array(at + VARINT_BYTES_MAX + 1).fill(0xff);
        const end = putVarint(target, at, n);
        expect(end - at).toBe(varintBytes(n));
        expect(target[end]).toBe(0xff);
        expect(reader.read(target, at, end)).toBe(n);
        expect(reader.end).toBe(end);
      }),
    );
  });

  it("refuse truncation at every length", () => {
    const reader = new VarintReader();
    fc.assert(
      fc.property(number, (n) => {
        const target = new Uint8Array(VARINT_BYTES_MAX);
        const end = putVarint(target, 0, n);
        for (let limit = 0; limit < end; limit++) expect(reader.read(target, 0, limit)).toBe(-1);
      }),
    );
  });

  it("refuse what is too long or too large", () => {
    const reader = new VarintReader();
    const read = (...bytes: number[]) => reader.read(Uint8Array.from(bytes), 0, bytes.length);
    const full = Array(7).fill(0xff);
    expect(read(...full, 0x0f)).toBe(Number.MAX_SAFE_INTEGER);
    expect(read(...full, 0x10)).toBe(-1);
    expect(read(...full, 0x7f)).toBe(-1);
    expect(read(...full, 0x8f, 0x00)).toBe(-1);
    expect(read(...Array(20).fill(0x80))).toBe(-1);
  });
});
