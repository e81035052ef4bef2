import { getU32, SEQ_MAX } from "@aura/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  FRAME_HEADER_BYTES,
  FrameFlag,
  FrameHeader,
  PAYLOAD_BYTES_MAX,
  putFrameHeader,
} from "../src/frame.ts";

const uid = { lo: 0xfedcba98, hi: 0x01234567 };

const stamp = fc.oneof(
  fc.integer({ min: 0, max: SEQ_MAX }),
  fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, SEQ_MAX),
);
const u32 = fc.oneof(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.constantFrom(0, 2 ** 32 - 1));

describe("frame header", () => {
  it("comes back as it was written, at any place", () => {
    fc.assert(
      fc.property(
        stamp,
        stamp,
        u32,
        u32,
        fc.integer({ min: 1, max: 2 ** 31 }),
        fc.integer({ min: 0, max: 2 ** 31 - 64 }),
        fc.integer({ min: 0, max: SEQ_MAX }),
        fc.integer({ min: 0, max: 9 }),
        (first, durable, count, hash, covered, attached, offset, at) => {
          const bytes = new Uint8Array(at + FRAME_HEADER_BYTES).fill(0xff);
          const sum = putFrameHeader(
            bytes,
            at,
            uid,
            offset,
            hash,
            covered,
            attached,
            first,
            count,
            0,
            durable,
          );
          const read = new FrameHeader();
          expect(read.read(bytes, at, uid, offset)).toBe(true);
          expect(read).toMatchObject({
            checksum: sum,
            payloadChecksum: hash,
            coveredBytes: covered,
            attachedBytes: attached,
            count,
            first,
            durable,
            flags: 0,
            frameBytes: FRAME_HEADER_BYTES + covered + attached,
          });
          for (let i = 0; i < at; i++) expect(bytes[i]).toBe(0xff);
        },
      ),
    );
  });

  it("is refused at another place, in another file, and with any bit flipped", () => {
    const bytes = new Uint8Array(FRAME_HEADER_BYTES);
    putFrameHeader(bytes, 0, uid, 100, 5, 6, 7, 8, 9, 0, 3);
    const read = new FrameHeader();
    expect(read.read(bytes, 0, uid, 100)).toBe(true);
    for (const offset of [0, 99, 101, 136, 100 + 2 ** 32]) {
      expect(read.read(bytes, 0, uid, offset)).toBe(false);
    }
    expect(read.read(bytes, 0, { lo: uid.lo ^ 1, hi: uid.hi }, 100)).toBe(false);
    expect(read.read(bytes, 0, { lo: uid.lo, hi: uid.hi ^ 1 }, 100)).toBe(false);
    for (let bit = 0; bit < FRAME_HEADER_BYTES * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(read.read(bytes, 0, uid, 100)).toBe(false);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
  });

  it("is not made of zeros, whatever the place", () => {
    const read = new FrameHeader();
    const zeros = new Uint8Array(FRAME_HEADER_BYTES);
    for (let offset = 0; offset < 10_000; offset++) {
      expect(read.read(zeros, 0, uid, offset)).toBe(false);
    }
  });

  it("refuses what no writer writes, though the checksum is right", () => {
    const bytes = new Uint8Array(FRAME_HEADER_BYTES);
    const read = new FrameHeader();
    const refused = (
      covered: number,
      attached: number,
      first: number,
      count: number,
      flags: number,
      durable: number,
    ): void => {
      putFrameHeader(bytes, 0, uid, 64, 1, covered, attached, first, count, flags, durable);
      expect(read.read(bytes, 0, uid, 64)).toBe(false);
    };
    refused(1, 0, 2 ** 53, 1, 0, 0);
    refused(1, 0, 1, 1, 0, 2 ** 53);
    refused(1, 0, 1, 1, 4, 0);
    refused(1, 0, 1, 1, FrameFlag.watermark, 0);
    refused(0, 0, 1, 0, 0, 0);
    refused(PAYLOAD_BYTES_MAX, 1, 1, 1, 0, 0);
    expect(getU32(bytes, 0)).not.toBe(0);
  });
});
