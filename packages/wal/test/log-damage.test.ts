import { contentHash, FILE_HEADER_BYTES, putU32 } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { putFrameHeader } from "../src/frame.ts";
import { FRAME_HEADER_BYTES, type LogReader, logStartMissing, readLog } from "../src/index.ts";
import {
  create,
  emptyFs,
  type Frame,
  header,
  PATH,
  readAll,
  text,
  writeSmallLog,
} from "./support.ts";

let whole: Uint8Array;
let frames: Frame[];
let ends: number[];
const start: number = FILE_HEADER_BYTES + FRAME_HEADER_BYTES + "preamble".length;

/** A file system that holds one log of these bytes. */
function withLog(bytes: Uint8Array): SimFs {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  return fs;
}

function readToEnd(fs: SimFs): LogReader {
  const reader = readLog(fs, PATH);
  while (reader.next());
  reader.scanOn();
  reader.closeSync();
  return reader;
}

function code(body: () => unknown): string | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

beforeAll(() => {
  const fs = emptyFs();
  const log = writeSmallLog(fs);
  log.closeSync();
  whole = Uint8Array.from(fs.readFile(PATH)); // a Buffer would share memory with its slices
  frames = readAll(fs).frames;
  ends = [...frames.slice(1).map((frame) => frame.offset), whole.length];
});

describe("a damaged log", () => {
  it("cut at any length, yields a prefix and says that it is cut", () => {
    for (let length = 0; length < whole.length; length++) {
      const fs = withLog(whole.subarray(0, length));
      if (length < start) {
        expect(code(() => readLog(fs, PATH))).toBe("AURA_CORRUPTION");
        expect(logStartMissing(fs, PATH)).toBe(true);
        expect(fs.openHandles).toBe(0);
        continue;
      }
      expect(logStartMissing(fs, PATH)).toBe(false);
      const good = ends.filter((end) => end <= length).length;
      const log = readAll(fs);
      expect(log.frames).toEqual(frames.slice(0, good));
      expect(log.endOffset).toBe(good === 0 ? start : ends[good - 1]);
      expect(log.end).toBe(log.endOffset === length ? "clean" : "truncated");
      const reader = readToEnd(fs);
      expect(reader.laterFrame).toBeUndefined();
      expect(reader.cutOff).toBe(log.end === "truncated");
      // Eight bytes of its header tell an empty frame from one with stamps.
      const isTold = frames[good]?.count === 0 && length - log.endOffset >= 8;
      expect(reader.cutOffInWatermark).toBe(isTold);
    }
  });

  it("is truncated too when it is shorter than its recorded length", () => {
    const fs = withLog(whole);
    expect(readAll(fs, PATH, whole.length).end).toBe("clean");
    expect(readAll(fs, PATH, whole.length + 1).end).toBe("truncated");
    expect(readAll(fs, PATH, ends[1])).toMatchObject({ end: "clean", endOffset: ends[1] });
    expect(readAll(fs, PATH, ends[1]! + 1)).toMatchObject({ end: "truncated", endOffset: ends[1] });
    expect(code(() => readLog(fs, PATH, { validBytes: start - 1 }))).toBe("AURA_CORRUPTION");
  });

  it("with any byte changed, never yields a wrong frame", () => {
    const attached = { from: 0, to: 0 };
    attached.to = frames[2]!.offset;
    attached.from = attached.to - "attached bytes".length;
    for (let at = 0; at < whole.length; at++) {
      for (const mask of [1, 0x80, 0xff]) {
        const bytes = whole.slice();
        bytes[at]! ^= mask;
        const fs = withLog(bytes);
        if (at < start) {
          expect(code(() => readLog(fs, PATH))).toBe("AURA_CORRUPTION");
          expect(logStartMissing(fs, PATH)).toBe(false);
          continue;
        }
        const hit = frames.findIndex((_, index) => at < ends[index]!);
        const reader = readToEnd(fs);
        if (at >= attached.from && at < attached.to) {
          // Not covered by the frame: its reader has to find it.
          expect(reader.end!.kind).toBe("clean");
          continue;
        }
        expect(reader.end!.kind).toBe("bad");
        expect(reader.end!.offset).toBe(frames[hit]!.offset);
        expect(readAll(fs).frames).toEqual(frames.slice(0, hit));
        const later = frames[hit + 1];
        expect(reader.laterFrame?.offset).toBe(later?.offset);
        expect(reader.zerosFrom).toBe(whole.length);
        expect(reader.cutOff).toBe(false);
        // Whatever the frames behind it knew to be durable is known again.
        const known = Math.max(0, ...frames.filter((_, i) => i !== hit).map((f) => f.durable));
        expect(reader.durableSeen).toBeGreaterThanOrEqual(known);
      }
    }
  });

  it("tells the stamps of a frame whose payload is damaged", () => {
    const bytes = whole.slice();
    bytes[frames[1]!.offset + FRAME_HEADER_BYTES]! ^= 1;
    const reader = readToEnd(withLog(bytes));
    expect(reader.end).toMatchObject({
      kind: "bad",
      reason: "the payload fails its check",
      frame: { offset: frames[1]!.offset, first: 2, count: 2, durable: 1 },
    });
    expect(reader.laterFrame).toMatchObject({ offset: frames[2]!.offset, first: 4, count: 0 });
    expect(reader.durableSeen).toBe(3);
  });

  it("ends where its reader rejects a frame", () => {
    const reader = readLog(withLog(whole), PATH);
    expect(reader.next() && reader.next()).toBe(true);
    reader.reject("the attached part is damaged");
    expect(reader.next()).toBe(false);
    expect(reader.end).toMatchObject({
      kind: "bad",
      offset: frames[1]!.offset,
      reason: "the attached part is damaged",
      frame: { first: 2, count: 2 },
    });
    reader.scanOn();
    expect(reader.laterFrame?.offset).toBe(frames[2]!.offset);
    expect(reader.durableSeen).toBe(3);
    reader.closeSync();
  });

  it("does not take a frame from another place of the file", () => {
    const bytes = Buffer.concat([whole, whole.subarray(frames[3]!.offset)]);
    const log = readAll(withLog(bytes));
    expect(log).toMatchObject({ end: "bad", endOffset: whole.length });
    expect(log.frames).toEqual(frames);
    expect(readToEnd(withLog(bytes)).laterFrame).toBeUndefined();
  });

  it("does not take a frame from another file, at the same offset", () => {
    const fs = emptyFs();
    writeSmallLog(fs, "/log/other", { lo: 1, hi: 2 }).closeSync();
    const other = fs.readFile("/log/other");
    expect(other.length).toBe(whole.length);
    for (let i = 0; i < frames.length; i++) {
      const bytes = whole.slice();
      bytes.set(other.subarray(frames[i]!.offset, ends[i]), frames[i]!.offset);
      const log = readAll(withLog(bytes));
      expect(log.end).toBe("bad");
      expect(log.frames).toEqual(frames.slice(0, i));
    }
    // An older life of the file, behind the end of this one.
    const bytes = Buffer.concat([whole.subarray(0, ends[0]), other.subarray(ends[0])]);
    const reader = readToEnd(withLog(bytes));
    expect(reader.end).toMatchObject({ kind: "bad", offset: ends[0] });
    expect(reader.laterFrame).toBeUndefined();
  });

  it("swapped frames of one length are found out", () => {
    const fs = emptyFs();
    const log = create(fs);
    const a = log.appendSync([text("aaaa")], [], 1, 1, 0);
    const b = log.appendSync([text("bbbb")], [], 2, 1, 0);
    log.closeSync();
    const bytes = fs.readFile(PATH);
    const first = Buffer.from(bytes.subarray(a, b));
    bytes.set(bytes.subarray(b), a);
    bytes.set(first, b);
    expect(readAll(withLog(bytes))).toMatchObject({ frames: [], end: "bad" });
  });

  it("holds one preamble, at its start", () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync([text("x")], [], 1, 1, 0);
    log.closeSync();
    const bytes = fs.readFile(PATH);
    const noPreamble = Buffer.concat([bytes.subarray(0, 64), bytes.subarray(start)]);
    expect(code(() => readLog(withLog(noPreamble), PATH))).toBe("AURA_CORRUPTION");
    expect(logStartMissing(withLog(noPreamble), PATH)).toBe(false);

    const second = new Uint8Array(FRAME_HEADER_BYTES);
    const { uid } = header();
    putFrameHeader(second, 0, uid, bytes.length, contentHash(second, 0, 0), 0, 0, 0, 0, 3, 0);
    const twice = readLog(withLog(Buffer.concat([bytes, second])), PATH);
    expect(twice.next()).toBe(true);
    expect(twice.next()).toBe(false);
    expect(twice.end).toMatchObject({ kind: "bad", offset: bytes.length });
    twice.closeSync();

    const late = Uint8Array.from(bytes);
    late.fill(0, 64, start); // no sync covered the start, later pages came to the disk
    expect(code(() => readLog(withLog(late), PATH))).toBe("AURA_CORRUPTION");
    expect(logStartMissing(withLog(late), PATH)).toBe(true);
    late.fill(0, 0, 64);
    expect(logStartMissing(withLog(late), PATH)).toBe(true);
    late.set(bytes.subarray(64, start), 64);
    expect(logStartMissing(withLog(late), PATH)).toBe(true);
    late[3] = 1;
    expect(logStartMissing(withLog(late), PATH)).toBe(false);
  });

  it("is not read with memory of a forged length", () => {
    const bytes = whole.slice();
    putU32(bytes, frames[0]!.offset + 8, 0xf0000000);
    putU32(bytes, frames[1]!.offset + 12, 0xf0000000);
    const fs = withLog(bytes);
    const reader = readLog(fs, PATH);
    expect(reader.next()).toBe(false);
    expect(reader.end!.kind).toBe("bad");
    expect(reader.bytes.length).toBeLessThanOrEqual(whole.length);
    reader.scanOn();
    reader.closeSync();
  });

  it("tells zeros behind its end from zeros with a frame behind them", () => {
    const zeros = new Uint8Array(5000);
    const padded = Buffer.concat([whole, zeros]);
    const quiet = readToEnd(withLog(padded));
    expect(quiet.end).toMatchObject({ kind: "zeros", offset: whole.length });
    expect(quiet.laterFrame).toBeUndefined();
    expect(quiet.zerosFrom).toBe(whole.length);

    for (const few of [1, FRAME_HEADER_BYTES - 1, FRAME_HEADER_BYTES]) {
      const short = readToEnd(withLog(Buffer.concat([whole, zeros.subarray(0, few)])));
      expect(short.end!.kind).toBe("zeros");
    }

    const hole = whole.slice();
    hole.fill(0, frames[0]!.offset, frames[1]!.offset);
    const holed = readToEnd(withLog(Buffer.concat([hole, zeros])));
    expect(holed.end).toMatchObject({ kind: "zeros", offset: start });
    expect(holed.laterFrame).toMatchObject({ offset: frames[1]!.offset, first: 2 });
    expect(holed.durableSeen).toBe(3);
    expect(holed.zerosFrom).toBe(whole.length);

    const rubbish = readToEnd(withLog(Buffer.concat([whole, zeros, text("rubbish"), zeros])));
    expect(rubbish.end!.kind).toBe("zeros");
    expect(rubbish.laterFrame).toBeUndefined();
    expect(rubbish.zerosFrom).toBe(whole.length + zeros.length + "rubbish".length);
  });

  it("is damaged, not cut off, where a last frame ends in zeros of its own", () => {
    const fs = emptyFs();
    const log = create(fs);
    const offset = log.appendSync([Uint8Array.of(1, 2, 3, 0, 0, 0)], [], 1, 1, 0);
    log.closeSync();
    fs.flipBits(PATH, offset + FRAME_HEADER_BYTES, 1);
    const reader = readToEnd(fs);
    expect(reader.end!.kind).toBe("bad");
    expect(reader.zerosFrom).toBe(log.bytes - 3);
    expect(reader.cutOff).toBe(false);
  });

  it("padded with other bytes than zeros is bad behind its end", () => {
    for (const filler of [0xff, 0x01]) {
      const bytes = Buffer.concat([whole, new Uint8Array(300).fill(filler)]);
      expect(readAll(withLog(bytes))).toMatchObject({ end: "bad", endOffset: whole.length });
    }
    const bytes = Buffer.concat([whole, whole]);
    expect(readAll(withLog(bytes))).toMatchObject({ end: "bad", endOffset: whole.length });
  });

  it("with a zeroed sector says where it is, and what came behind", () => {
    const fs = emptyFs();
    const log = create(fs);
    for (let i = 1; i <= 200; i++) log.appendSync([text(`payload ${i}`)], [], i, 1, i - 1);
    log.closeSync();
    const bytes = Uint8Array.from(fs.readFile(PATH));
    const good = readAll(withLog(bytes)).frames;
    for (let sector = 1; sector * 512 < bytes.length; sector++) {
      const holed = bytes.slice();
      holed.fill(0, sector * 512, sector * 512 + 512);
      const reader = readToEnd(withLog(holed));
      const hit = good.findIndex((_, i) => (good[i + 1]?.offset ?? 1e9) > sector * 512);
      expect(reader.end!.offset).toBe(good[hit]!.offset);
      if (sector * 512 + 600 < bytes.length) expect(reader.durableSeen).toBe(199);
    }
  });
});
