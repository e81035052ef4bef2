import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { nodeFileSystem } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import { FRAME_HEADER_BYTES, LogWriter, readLog, ZERO_FILL_BYTES_MAX } from "../src/index.ts";
import { create, emptyFs, header, PATH, readAll, text } from "./support.ts";

const MIB = 1024 * 1024;

function stamps(fs: SimFs): number[] {
  return readAll(fs).frames.map((frame) => frame.first);
}

describe("zero-fill", () => {
  it("goes ahead of the end, is synced, and is cut off at close", async () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync([text("a")], [], 1, 1, 0);
    await log.zeroFillAhead(3 * MIB);
    expect(fs.counts.sync).toBe(1);
    expect(fs.readFile(PATH).length).toBe(log.bytes + 3 * MIB);
    expect(readAll(fs)).toMatchObject({ end: "zeros", endOffset: log.bytes });
    const usedBefore = fs.usedBytes;
    log.appendSync([text("b")], [], 2, 1, 0);
    expect(fs.usedBytes).toBe(usedBefore);
    await log.zeroFillAhead(3 * MIB); // only what is missing
    expect(fs.readFile(PATH).length).toBe(log.bytes + 3 * MIB);
    log.closeSync();
    expect(fs.readFile(PATH).length).toBe(log.bytes);
    expect(readAll(fs)).toMatchObject({ end: "clean", endOffset: log.bytes });
    expect(stamps(fs)).toEqual([1, 2]);
  });

  it("loses no frame to an append that runs into it, whichever write comes last", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const log = create(fs);
    const filled = log.zeroFillAhead(4 * MIB);
    let stamp = 0;
    const append = (): void => {
      stamp++;
      const value = new Uint8Array(stamp % 3 === 0 ? 90_000 : 50).fill(stamp);
      log.appendSync([text(`ops ${stamp}`)], [value], stamp, 1, 0);
    };
    while (log.bytes < 2.5 * MIB) append(); // over the first chunk, which is not written yet
    while (tasks.length > 0) {
      tasks.shift()!();
      append(); // behind the pool's write, before its end is known
      await new Promise((resolve) => setImmediate(resolve));
      append();
    }
    await filled;
    expect(stamps(fs)).toEqual(Array.from({ length: stamp }, (_, i) => i + 1));
    await log.close();
    expect(readAll(fs)).toMatchObject({ end: "clean", endOffset: log.bytes });
  });

  it("loses no frame to an append in flight beside it", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const log = create(fs);
    const filled = log.zeroFillAhead(2 * MIB);
    const appended = log.append([text("ops")], [new Uint8Array(1.5 * MIB).fill(9)], 1, 1, 0);
    tasks.reverse(); // the append first, then zeros over it
    while (tasks.length > 0) {
      tasks.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([filled, appended]);
    expect(stamps(fs)).toEqual([1]);
    await log.close();
  });

  it("leaves zeros ahead, not what ran into an earlier part of it", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const log = create(fs);
    const filled = log.zeroFillAhead(3 * MIB);
    log.appendSync([text("ops")], [new Uint8Array(10_000).fill(7)], 1, 1, 0);
    while (tasks.length > 0) {
      tasks.shift()!();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await filled;
    const reader = readLog(fs, PATH);
    while (reader.next());
    reader.scanOn();
    reader.closeSync();
    expect(reader.end).toMatchObject({ kind: "zeros", offset: log.bytes });
    expect(reader.zerosFrom).toBe(log.bytes);
    await log.close();
  });

  it("stops at a full disk without harm", async () => {
    for (const capacity of [0.5 * MIB, 1.5 * MIB]) {
      const fs = emptyFs({ capacity });
      const log = create(fs);
      log.appendSync([text("a")], [], 1, 1, 0);
      await log.zeroFillAhead(4 * MIB);
      expect(log.failure).toBeUndefined();
      expect(fs.readFile(PATH).length).toBeGreaterThan(log.bytes);
      log.appendSync([text("b")], [], 2, 1, 0);
      log.closeSync();
      expect(stamps(fs)).toEqual([1, 2]);
      expect(fs.readFile(PATH).length).toBe(log.bytes);
    }
  });

  it("gives the log up when its write or sync fails", async () => {
    for (const kind of ["write", "sync"] as const) {
      const fs = emptyFs();
      const log = create(fs);
      fs.failAt({ at: (call) => call === kind, error: "EIO" });
      await expect(log.zeroFillAhead(100)).rejects.toMatchObject({ code: "AURA_IO" });
      expect(log.failure).toMatchObject({ code: "AURA_IO" });
      await log.close();
    }
  });

  it("is bounded, one at a time, and ends early for close", async () => {
    const fs = emptyFs();
    const log = create(fs);
    await expect(log.zeroFillAhead(ZERO_FILL_BYTES_MAX + 1)).rejects.toThrow(/out of range/);
    const first = log.zeroFillAhead(ZERO_FILL_BYTES_MAX);
    await expect(log.zeroFillAhead(10)).rejects.toThrow(/one zero-fill at a time/);
    await log.close();
    await first;
    expect(fs.bytesWritten).toBeLessThan(ZERO_FILL_BYTES_MAX);
    expect(fs.readFile(PATH).length).toBe(log.bytes);
  });

  it("shows a frame that was not finished, when the process dies in its write", async () => {
    const value = new Uint8Array(9000).fill(9);
    const frameBytes = FRAME_HEADER_BYTES + 3 + value.length;
    for (const ahead of [0, 1, 100_000]) {
      for (const partial of [0, 1, 35, 36, 38, 39, 40, 4096, frameBytes - 1]) {
        const fs = emptyFs();
        const log = create(fs);
        log.appendSync([text("a")], [], 1, 1, 0);
        await log.zeroFillAhead(frameBytes + ahead);
        const end = log.bytes;
        fs.failAt({ at: (kind) => kind === "write", error: "EIO", partial });
        expect(() => log.appendSync([text("ops")], [value], 2, 1, 0)).toThrow();
        const reader = readLog(fs.processKill(), PATH);
        while (reader.next()) {
          if (reader.attachedEnd > reader.attachedStart) reader.reject("zeros in the value");
        }
        reader.scanOn();
        expect(reader.end!.offset).toBe(end);
        expect(reader.laterFrame).toBeUndefined();
        if (partial === 0) expect(reader.end!.kind).toBe("zeros");
        else if (ahead > 0) expect(reader.cutOff).toBe(true);
        reader.closeSync();
        await log.close();
      }
    }
  });

  it("works on the platform's file system while appends run into it", async () => {
    const directory = mkdtempSync(`${tmpdir()}/aura-wal-`);
    try {
      for (let round = 0; round < 5; round++) {
        const path = `${directory}/${round}.wal`;
        const log = LogWriter.createSync(nodeFileSystem, path, {
          header: header(),
          preamble: text("p"),
        });
        const filled = log.zeroFillAhead(4 * MIB);
        const ops = [new Uint8Array(2000).fill(round + 1)];
        let stamp = 0;
        while (log.bytes < 3 * MIB) {
          log.appendSync(ops, [], ++stamp, 1, 0);
          if (stamp % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        await filled;
        await log.close();
        const reader = readLog(nodeFileSystem, path);
        let count = 0;
        while (reader.next()) count++;
        reader.closeSync();
        expect(count).toBe(stamp);
        expect(reader.end).toMatchObject({ kind: "clean", offset: log.bytes });
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
