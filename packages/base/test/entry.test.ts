import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { getU32 } from "../src/bytes.ts";
import {
  isKnownTag,
  Kind,
  putTrailer,
  putUid,
  SEQ_MAX,
  TagFlag,
  TRAILER_BYTES,
  trailerSeq,
  trailerTag,
} from "../src/entry.ts";

describe("entries", () => {
  it("keep their numbers on disk", () => {
    expect(Kind).toEqual({
      delete: 0,
      value: 1,
      pointer: 2,
      rangeDelete: 3,
      merge: 4,
      mergePointer: 5,
    });
    expect(TagFlag).toEqual({ expiry: 0x10, userTimestamp: 0x20 });
  });

  it("have a trailer of sequence and tag", () => {
    const seq = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, SEQ_MAX));
    fc.assert(
      fc.property(seq, fc.nat(255), (n, tag) => {
        const target = new Uint8Array(TRAILER_BYTES + 2).fill(0xaa);
        putTrailer(target, 1, n, tag);
        expect([trailerSeq(target, 1), trailerTag(target, 1)]).toEqual([n, tag]);
        expect([target[0], target[TRAILER_BYTES + 1]]).toEqual([0xaa, 0xaa]);
      }),
    );
  });

  it("are refused with an unknown kind or any flag", () => {
    const known = [];
    for (let tag = 0; tag < 256; tag++) if (isKnownTag(tag)) known.push(tag);
    expect(known).toEqual([Kind.delete, Kind.value, Kind.pointer]);
  });

  it("write a uid low half first", () => {
    const target = new Uint8Array(8);
    putUid(target, 0, { lo: 0xfffffffe, hi: 1 });
    expect([getU32(target, 0), getU32(target, 4)]).toEqual([0xfffffffe, 1]);
  });
});
