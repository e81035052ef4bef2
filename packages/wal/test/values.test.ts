/** Frames of values alone: written by the thread pool or piece by piece, passed over by readers. */
import type { SimFs } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import { FRAME_HEADER_BYTES, FrameFlag, readLog } from "../src/index.ts";
import { create, emptyFs, PATH, readAll, text } from "./support.ts";

const value: Uint8Array = new Uint8Array(100_000).fill(0x5a);
const readOnly: unknown = expect.objectContaining({ code: "AURA_READ_ONLY" });

/** Where a reader ends that is given everything. */
function endOf(fs: SimFs): { kind: string; offset: number; frames: number } {
  const log = readLog(fs, PATH);
  let frames = 0;
  while (log.next()) frames++;
  const { kind, offset } = log.end!;
  log.closeSync();
  return { kind, offset, frames };
}

describe("a frame of values alone", () => {
  it("is passed over, whole, and its payload is not read", async () => {
    const fs = emptyFs();
    const log = create(fs);
    const offset = await log.appendValues([text("head"), value]);
    log.appendSync([text("ops")], [], 1, 1, 0);
    await log.appendValues([value, value]);
    const { frames, end, endOffset } = readAll(fs);
    expect(frames.map(({ first }) => first)).toEqual([1]);
    expect([end, endOffset]).toEqual(["clean", log.bytes]);
    const payload = fs.readFile(PATH).subarray(offset + FRAME_HEADER_BYTES);
    expect(payload.subarray(0, 4).toString()).toBe("head");
    const before = fs.bytesRead;
    endOf(fs);
    expect(fs.bytesRead - before).toBeLessThan(value.length * 2);
    await log.close();
  });

  it("that the file cuts off ends the log before it", async () => {
    const fs = emptyFs();
    const log = create(fs);
    await log.appendValues([value]);
    const end = log.bytes;
    await log.appendValues([value]);
    await log.close();
    fs.writeFile(PATH, fs.readFile(PATH).subarray(0, -1));
    expect(endOf(fs)).toEqual({ kind: "truncated", offset: end, frames: 0 });
  });

  it("has no stamps and no covered part, whatever its header says", async () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync([text("ops")], [], 1, 1, 0);
    await log.close();
    const bytes = fs.readFile(PATH);
    const [{ offset } = { offset: 0 }] = readAll(fs).frames;
    bytes[offset + 27] = FrameFlag.values;
    fs.writeFile(PATH, bytes);
    expect(endOf(fs)).toMatchObject({ kind: "bad", offset });
  });
});

describe("a long frame", () => {
  it("is no frame before its header, and one behind it", async () => {
    const fs = emptyFs();
    const log = create(fs);
    fs.syncDirSync("/log");
    const start = log.bytes;
    const frame = log.openLongFrame();
    expect(frame.attachedOffset).toBe(start + FRAME_HEADER_BYTES);
    expect(() => log.appendSync([text("x")], [], 1, 1, 0)).toThrow(/long frame/);
    for (let i = 0; i < 3; i++) {
      await frame.write(value, frame.attachedOffset + 500 + i * value.length);
      await log.sync();
      expect(log.bytes).toBe(start);
      expect(endOf(fs).offset).toBe(start);
    }
    frame.writeSync(text("head"), frame.attachedOffset + 496);
    frame.endSync(500 + 3 * value.length);
    expect(log.bytes).toBe(start + FRAME_HEADER_BYTES + 500 + 3 * value.length);
    expect(endOf(fs)).toEqual({ kind: "clean", offset: log.bytes, frames: 0 });
    await expect(frame.write(value, frame.attachedOffset)).rejects.toThrow(/ended/);
    log.appendSync([text("ops")], [], 1, 1, 0);
    log.syncSync();
    await log.close();
    const crashed = fs.crash({ data: "none" });
    expect(readAll(crashed).frames.map(({ first }) => first)).toEqual([1]);
    expect(
      crashed
        .readFile(PATH)
        .subarray(start + FRAME_HEADER_BYTES + 496, start + FRAME_HEADER_BYTES + 500)
        .toString(),
    ).toBe("head");
  });

  it("gives its log up when a piece fails, and the close waits for the others", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const log = create(fs);
    const end = log.bytes;
    const frame = log.openLongFrame();
    const first = frame.write(value, frame.attachedOffset);
    const second = frame.write(value, frame.attachedOffset + value.length);
    fs.failAt({ at: (kind) => kind === "write", error: "ENOSPC", partial: 10 });
    tasks.shift()!();
    await expect(first).rejects.toMatchObject({ code: "AURA_OUT_OF_SPACE" });
    expect(() => frame.endSync(10)).toThrow(readOnly);
    let isClosed = false;
    const closed = log.close().then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isClosed).toBe(false);
    tasks.shift()!();
    await second;
    await closed;
    expect(endOf(fs).offset).toBe(end);
    expect(fs.openHandles).toBe(0);
  });
});

describe("what a failed write left", () => {
  it("is cut off, and stays so over a power loss", async () => {
    const fs = emptyFs();
    const log = create(fs);
    fs.syncDirSync("/log");
    log.appendSync([text("kept")], [], 1, 1, 0);
    const end = log.bytes;
    fs.failAt({ at: (kind) => kind === "write", error: "EIO", happened: true });
    expect(() => log.appendSync([text("rejected")], [], 2, 1, 0)).toThrow();
    expect(readAll(fs).frames.length).toBe(2);
    log.cutOffSync();
    for (const image of [fs.processKill(), fs.crash({ data: "none" }), fs.crash({ data: "all" })]) {
      expect(image.readFile(PATH).length).toBe(end);
      expect(readAll(image).frames.map(({ first }) => first)).toEqual([1]);
    }
    await log.close();
  });

  it("is not believed to be cut off when a sync failed, then or before", () => {
    const fs = emptyFs();
    const log = create(fs);
    fs.failAt({ at: (kind) => kind === "write", error: "EIO" });
    expect(() => log.appendSync([text("rejected")], [], 1, 1, 0)).toThrow();
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    expect(() => log.cutOffSync()).toThrow(expect.objectContaining({ code: "AURA_IO" }));
    expect(() => log.cutOffSync()).toThrow(readOnly);
    log.closeSync();
  });
});
