import { FILE_HEADER_BYTES, SEQ_MAX } from "@aura/base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRAME_HEADER_BYTES, FrameFlag, LogWriter, readLog } from "../src/index.ts";
import { create, emptyFs, header, PATH, readAll, shown, text, writeSmallLog } from "./support.ts";

describe("LogWriter", () => {
  it("writes header and preamble in one write, and each small group in one more", () => {
    const fs = emptyFs();
    const log = create(fs);
    expect(fs.counts.write).toBe(1);
    expect(log.bytes).toBe(FILE_HEADER_BYTES + FRAME_HEADER_BYTES + "preamble".length);
    expect(log.payloadOffset).toBe(log.bytes + FRAME_HEADER_BYTES);
    const start = log.bytes;
    expect(log.appendSync([text("a")], [text("bc")], 5, 2, 4)).toBe(start);
    expect(log.appendSync([text("d")], [], 7, 1, 4)).toBe(start + FRAME_HEADER_BYTES + 3);
    expect(fs.counts.write).toBe(3);
    expect(fs.counts.sync).toBe(0);
    expect(log.lastStamp).toBe(7);
    expect(log.frames).toBe(2);
    log.closeSync();
    expect(readAll(fs).frames).toEqual([
      { offset: start, first: 5, count: 2, durable: 4, flags: 0, covered: "61", attached: "6263" },
      {
        offset: start + 39,
        first: 7,
        count: 1,
        durable: 4,
        flags: 0,
        covered: "64",
        attached: "",
      },
    ]);
  });

  it("hands out header, preamble and checksums", () => {
    const fs = emptyFs();
    const log = writeSmallLog(fs);
    const reader = readLog(fs, PATH);
    expect(reader.header).toEqual(header());
    expect(Buffer.from(reader.preamble).toString()).toBe("preamble");
    expect(reader.fileBytes).toBe(log.bytes);
    while (reader.next());
    expect(reader.end).toEqual({
      kind: "clean",
      offset: log.bytes,
      reason: "end of the file",
      frame: undefined,
    });
    expect(reader.checksum).toBe(log.lastChecksum);
    expect(reader.durableSeen).toBe(3);
    reader.closeSync();
    log.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  it("takes an empty preamble and flags an empty frame as a watermark", () => {
    const fs = emptyFs();
    const preamble = new Uint8Array(0);
    const log = LogWriter.createSync(fs, PATH, { header: header(), preamble });
    log.appendSync([], [], 9, 0, 8);
    log.closeSync();
    const { frames, end } = readAll(fs);
    expect(frames).toMatchObject([{ count: 0, durable: 8, flags: FrameFlag.watermark }]);
    expect(end).toBe("clean");
  });

  it("writes the same bytes whatever the pieces' sizes", () => {
    const size = fc.oneof(
      fc.integer({ min: 0, max: 40 }),
      fc.constantFrom(4095, 4096, 4097, 40_000, 65_499, 65_500, 65_501, 65_536, 70_000),
    );
    const pieces = fc.array(size, { maxLength: 6 });
    fc.assert(
      fc.property(fc.array(fc.tuple(pieces, pieces, fc.boolean()), { maxLength: 3 }), (groups) => {
        const fs = emptyFs();
        const log = create(fs);
        let fill = 0;
        const made = (sizes: number[]): Uint8Array[] =>
          sizes.map((bytes) => {
            const piece = new Uint8Array(bytes);
            for (let i = 0; i < bytes; i++) piece[i] = fill = (fill * 13 + i + 7) & 255;
            return piece;
          });
        const wanted = groups.map(([covered, attached], index) => {
          const a = made(covered);
          const b = made(attached);
          const expected = [shown(Buffer.concat(a)), shown(Buffer.concat(b))];
          log.appendSync(a, b, index + 1, 1, 0);
          for (const piece of [...a, ...b]) piece.fill(0xee); // not used any more
          return expected;
        });
        log.closeSync();
        const { frames, end } = readAll(fs);
        expect(frames.map((frame) => [frame.covered, frame.attached])).toEqual(wanted);
        expect(end).toBe("clean");
      }),
      { numRuns: 60 },
    );
  });

  it("fills its buffer to the last byte and no further", () => {
    const room = 65_536 - FRAME_HEADER_BYTES;
    for (let over = -2; over <= 2; over++) {
      const fs = emptyFs();
      const log = create(fs);
      const pieces = [new Uint8Array(4000).fill(1), new Uint8Array(9).fill(2)];
      log.appendSync([new Uint8Array(room - 4000 + over).fill(3)], pieces, 1, 1, 0);
      log.appendSync([new Uint8Array(room + over).fill(4)], pieces, 2, 1, 0);
      log.closeSync();
      const { frames } = readAll(fs);
      expect(frames.map((frame) => frame.covered)).toEqual([
        shown(Buffer.alloc(room - 4000 + over, 3)),
        shown(Buffer.alloc(room + over, 4)),
      ]);
      const attached = shown(Buffer.concat(pieces));
      expect(frames.map((frame) => frame.attached)).toEqual([attached, attached]);
    }
  });

  it("does not copy a large piece", () => {
    const seen: Uint8Array[] = [];
    const fs = emptyFs();
    const open = fs.openSync.bind(fs);
    fs.openSync = (path, mode) => {
      const file = open(path, mode);
      const writev = file.writevSync.bind(file);
      file.writevSync = (parts, position) => {
        seen.push(...parts);
        writev(parts, position);
      };
      return file;
    };
    const log = create(fs);
    seen.length = 0;
    const value = new Uint8Array(4096);
    const small = new Uint8Array(4095);
    log.appendSync([text("ops")], [text("head"), value, text("head"), small], 1, 1, 0);
    expect(seen.length).toBe(3);
    expect(seen[1]).toBe(value);
    expect(seen[2]!.length).toBe(4 + 4095);
    log.closeSync();
  });

  it("refuses a frame that is too large, and stays usable", () => {
    const fs = emptyFs();
    const log = create(fs);
    const gigabyte = new Uint8Array(2 ** 30);
    const before = log.bytes;
    expect(() => log.appendSync([], [gigabyte, gigabyte, gigabyte, gigabyte], 1, 1, 0)).toThrow(
      expect.objectContaining({ code: "AURA_BATCH_TOO_LARGE" }),
    );
    expect(log.bytes).toBe(before);
    log.appendSync([text("small")], [], 1, 1, 0);
    log.closeSync();
    expect(readAll(fs).frames.length).toBe(1);
  });

  it("asserts that stamps rise and are exact", () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync([text("a")], [], 5, 3, 0);
    expect(() => log.appendSync([text("b")], [], 7, 1, 0)).toThrow(/stamps must rise/);
    expect(() => log.appendSync([text("b")], [], SEQ_MAX, 1, 0)).toThrow(/stamps out of range/);
    expect(() => log.appendSync([text("b")], [], 8, 1, 2 ** 53)).toThrow(/durable stamp/);
    log.appendSync([text("b")], [], 8, 1, 7);
    log.closeSync();
  });

  it("tells what it synced", async () => {
    const fs = emptyFs();
    const log = create(fs);
    expect(log.syncedBytes).toBe(0);
    log.appendSync([text("a")], [], 1, 1, 0);
    const end = log.bytes;
    const syncing = log.sync();
    log.appendSync([text("b")], [], 2, 1, 0);
    await syncing;
    expect(log.syncedBytes).toBe(end);
    log.syncSync();
    expect(log.syncedBytes).toBe(log.bytes);
    log.appendSync([text("c")], [], 3, 1, 0);
    fs.syncTokenSync(log.token);
    log.noteSynced(log.bytes);
    expect(log.syncedBytes).toBe(log.bytes);
    expect(() => log.noteSynced(log.bytes + 1)).toThrow(/beyond its end/);
    log.closeSync();
  });

  it("is closed once, and says so afterwards", async () => {
    const fs = emptyFs();
    const log = create(fs);
    await log.close();
    log.closeSync();
    const closed = expect.objectContaining({ code: "AURA_CLOSED" });
    expect(() => log.appendSync([text("a")], [], 1, 1, 0)).toThrow(closed);
    expect(() => log.syncSync()).toThrow(closed);
    await expect(log.append([text("a")], [], 1, 1, 0)).rejects.toEqual(closed);
    await expect(log.sync()).rejects.toEqual(closed);
    expect(fs.openHandles).toBe(0);
  });

  it("creates only new files", () => {
    const fs = emptyFs();
    create(fs).closeSync();
    expect(() => create(fs)).toThrow(expect.objectContaining({ code: "AURA_IO" }));
    expect(fs.openHandles).toBe(0);
  });
});
