import type { SimFs } from "@aura/base/testing";
import { beforeEach, describe, expect, it } from "vitest";
import type { LogWriter } from "../src/index.ts";
import { create, emptyFs, PATH, readAll, text } from "./support.ts";

const readOnly: unknown = expect.objectContaining({ code: "AURA_READ_ONLY" });
const large: Uint8Array = new Uint8Array(300_000).fill(0x11);

let tasks: (() => void)[];
let fs: SimFs;
let log: LogWriter;

beforeEach(() => {
  tasks = [];
  fs = emptyFs({ schedule: (task) => tasks.push(task) });
  log = create(fs);
});

/** Lets the thread pool do what waits for it, in order. */
async function runPool(): Promise<void> {
  while (tasks.length > 0) {
    tasks.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function stamps(from: SimFs = fs, validBytes?: number): number[] {
  return readAll(from, PATH, validBytes).frames.map((frame) => frame.first);
}

describe("an append in flight", () => {
  it("takes its place at once and is written later", async () => {
    const start = log.bytes;
    const appended = log.append([text("ops")], [large], 1, 4, 0);
    expect(log.inFlight).toBe(true);
    expect(log.lastStamp).toBe(4);
    expect(log.bytes).toBeGreaterThan(start + large.length);
    expect(fs.readFile(PATH).length).toBe(start);
    await runPool();
    expect(await appended).toBe(start);
    expect(log.inFlight).toBe(false);
    await log.close();
    expect(stamps()).toEqual([1]);
  });

  it("is the only one", async () => {
    const first = log.append([text("a")], [], 1, 1, 0);
    await expect(log.append([text("b")], [], 2, 1, 0)).rejects.toThrow(/one append in flight/);
    await runPool();
    await first;
    const second = log.append([text("b")], [], 2, 1, 0);
    await runPool();
    await second;
    await log.close();
    expect(stamps()).toEqual([1, 2]);
  });

  it("is written again in front of a sync append: no hole when the process dies", async () => {
    const appended = log.append([text("ops")], [large], 1, 1, 0);
    log.appendSync([text("after")], [], 2, 1, 0);
    expect(stamps(fs.processKill())).toEqual([1, 2]);
    log.appendSync([text("after")], [], 3, 1, 0);
    const writes = fs.counts.write;
    log.rewriteInFlightSync(); // done already
    expect(fs.counts.write).toBe(writes);
    await runPool(); // the pool's own write comes last, and changes nothing
    await appended;
    expect(stamps()).toEqual([1, 2, 3]);
    await log.close();
  });

  it("is written and made durable by a sync on this thread", async () => {
    fs.syncDirSync("/log");
    const appended = log.append([text("ops")], [large], 1, 1, 0);
    log.syncSync();
    expect(log.syncedBytes).toBe(log.bytes);
    expect(stamps(fs.crash({ data: "none" }))).toEqual([1]);
    await runPool();
    await appended;
    await log.close();
  });

  it("is not covered by a sync that began beside it", async () => {
    const start = log.bytes;
    const appended = log.append([text("ops")], [], 1, 1, 0);
    const synced = log.sync();
    await runPool();
    await Promise.all([appended, synced]);
    expect(log.syncedBytes).toBe(start);
    await log.close();
  });

  it("never happened when its write fails", async () => {
    log.appendSync([text("before")], [], 1, 1, 0);
    const { bytes, lastChecksum } = log;
    fs.failAt({ at: (kind) => kind === "write", error: "EIO", partial: 1000 });
    const appended = log.append([text("ops")], [large], 2, 3, 1);
    const rejected = expect(appended).rejects.toMatchObject({ code: "AURA_IO" });
    await runPool();
    await rejected;
    expect(log).toMatchObject({ bytes, lastStamp: 1, lastChecksum, frames: 1, inFlight: false });
    expect(() => log.appendSync([text("x")], [], 9, 1, 0)).toThrow(readOnly);
    await log.close();
    expect(stamps(fs, bytes)).toEqual([1]);
    expect(readAll(fs)).toMatchObject({ end: "truncated", endOffset: bytes });
  });

  it("stands when its write fails after it was written again; the log is given up", async () => {
    const appended = log.append([text("ops")], [large], 1, 1, 0);
    log.appendSync([text("after")], [], 2, 1, 0);
    const bytes = log.bytes;
    fs.failAt({ at: (kind) => kind === "write", error: "EIO", partial: 1000 });
    await runPool();
    expect(await appended).toBeGreaterThan(0);
    expect(log.failure).toMatchObject({ code: "AURA_IO" });
    expect(() => log.appendSync([text("x")], [], 3, 1, 0)).toThrow(readOnly);
    expect(log.bytes).toBe(bytes);
    await log.close();
    expect(stamps(fs, bytes)).toEqual([1, 2]);
  });

  it("never happened when writing it again fails, though the pool then writes it", async () => {
    const bytes = log.bytes;
    const appended = log.append([text("ops")], [], 1, 1, 0);
    const rejected = expect(appended).rejects.toEqual(readOnly);
    fs.failAt({ at: (kind) => kind === "write", error: "ENOSPC" });
    expect(() => log.appendSync([text("after")], [], 2, 1, 0)).toThrow(
      expect.objectContaining({ code: "AURA_OUT_OF_SPACE" }),
    );
    expect(log).toMatchObject({ bytes, lastStamp: 0, frames: 0 });
    await runPool();
    await rejected;
    expect(log).toMatchObject({ bytes, lastStamp: 0, frames: 0 });
    await log.close();
    expect(stamps(fs, bytes)).toEqual([]);
  });

  it("never happened when a sync beside it fails", async () => {
    const bytes = log.bytes;
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    const synced = expect(log.sync()).rejects.toMatchObject({ code: "AURA_IO" });
    const appended = expect(log.append([text("ops")], [], 1, 1, 0)).rejects.toEqual(readOnly);
    await runPool();
    await Promise.all([synced, appended]);
    expect(log.bytes).toBe(bytes);
    await log.close();
  });

  it("is waited for by close, and refuses closeSync", async () => {
    const appended = log.append([text("ops")], [], 1, 1, 0);
    expect(() => log.closeSync()).toThrow(/under way/);
    const closed = log.close();
    expect(fs.openHandles).toBe(1);
    await runPool();
    await Promise.all([appended, closed]);
    expect(fs.openHandles).toBe(0);
    expect(stamps()).toEqual([1]);
  });
});
