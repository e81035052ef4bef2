import type { SimFault, SimFs } from "@aura/base/testing";
import { describe, expect, it } from "vitest";
import { type LogWriter, readLog } from "../src/index.ts";
import { create, emptyFs, PATH, readAll, text } from "./support.ts";

const readOnly: unknown = expect.objectContaining({ code: "AURA_READ_ONLY" });

function payload(stamp: number): Uint8Array[] {
  return [text(`payload of ${stamp}`)];
}

function value(stamp: number): Uint8Array[] {
  return stamp % 2 === 0 ? [] : [text("head"), new Uint8Array(4096 + stamp).fill(stamp)];
}

/** Appends and syncs until something throws. Returns the stamps that were acknowledged. */
function work(log: LogWriter): { acked: number[]; error: unknown } {
  const acked: number[] = [];
  try {
    for (let stamp = 1; stamp <= 12; stamp++) {
      log.appendSync(payload(stamp), value(stamp), stamp, 1, 0);
      acked.push(stamp);
      if (stamp % 3 === 0) log.syncSync();
    }
    return { acked, error: undefined };
  } catch (error) {
    return { acked, error };
  }
}

function stamps(fs: SimFs, validBytes?: number): number[] {
  return readAll(fs, PATH, validBytes).frames.map((frame) => frame.first);
}

function operationsOfWork(): number {
  const fs = emptyFs();
  const before = fs.operations;
  const log = create(fs);
  expect(work(log).acked.length).toBe(12);
  log.closeSync();
  return fs.operations - before;
}

describe("a log on a failing disk", () => {
  const faults: [string, Partial<SimFault>][] = [
    ["EIO", { error: "EIO" }],
    ["EIO after a part", { error: "EIO", partial: 50 }],
    ["EIO though it happened", { error: "EIO", happened: true }],
    ["ENOSPC after a part", { error: "ENOSPC", partial: 13 }],
  ];
  for (const [name, fault] of faults) {
    it(`is given up for good after ${name}, at each operation`, () => {
      const operations = operationsOfWork();
      expect(operations).toBe(1 + 1 + 12 + 4);
      for (let k = 1; k <= operations; k++) {
        const fs = emptyFs();
        const { happened, ...plain } = fault;
        // A create that happened and yet fails leaves a handle that nobody has.
        const done = happened === true && k > 1 ? { happened } : {};
        fs.failAt({ ...plain, ...done, at: fs.operations + k });
        let log: LogWriter;
        try {
          log = create(fs);
        } catch (error) {
          expect(k).toBeLessThanOrEqual(2);
          expect(error).toMatchObject({
            code: fault.error === "ENOSPC" ? "AURA_OUT_OF_SPACE" : "AURA_IO",
          });
          expect(fs.openHandles).toBe(0);
          expect(fs.list("/log")).toEqual([]);
          continue;
        }
        const { acked, error } = work(log);
        expect(error).toMatchObject({
          code: fault.error === "ENOSPC" ? "AURA_OUT_OF_SPACE" : "AURA_IO",
        });
        expect(log.failure).toBe(error);
        const bytes = log.bytes;
        const operationsThen = fs.operations;
        expect(() => log.appendSync(payload(99), [], 99, 1, 0)).toThrow(readOnly);
        expect(() => log.syncSync()).toThrow(readOnly);
        expect(() => log.trimSync()).toThrow(readOnly);
        expect(() => log.rewriteInFlightSync()).not.toThrow();
        expect(fs.operations).toBe(operationsThen);
        expect(log.bytes).toBe(bytes);
        expect(log.lastStamp).toBe(acked.at(-1) ?? 0);
        log.closeSync();
        expect(fs.openHandles).toBe(0);
        // The valid length holds what was acknowledged and nothing else.
        expect(readAll(fs, PATH, bytes)).toMatchObject({ end: "clean", endOffset: bytes });
        expect(stamps(fs, bytes)).toEqual(acked);
        expect(stamps(fs).slice(0, acked.length)).toEqual(acked);
      }
    });
  }

  it("refuses on the thread pool too, with the cause", async () => {
    const fs = emptyFs();
    const log = create(fs);
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    await expect(log.sync()).rejects.toMatchObject({ code: "AURA_IO" });
    expect(log.syncedBytes).toBe(0);
    const refused = { code: "AURA_READ_ONLY", cause: log.failure };
    await expect(log.sync()).rejects.toMatchObject(refused);
    await expect(log.append(payload(1), [], 1, 1, 0)).rejects.toMatchObject(refused);
    await expect(log.zeroFillAhead(10)).rejects.toMatchObject(refused);
    await log.close();
  });

  it("believes no sync that ends after one that failed", async () => {
    const fs = emptyFs();
    const log = create(fs);
    log.appendSync(payload(1), [], 1, 1, 0);
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    const results = await Promise.allSettled([log.sync(), log.sync()]);
    expect(results.map((result) => result.status)).toEqual(["rejected", "rejected"]);
    expect(log.syncedBytes).toBe(0);
    await log.close();
  });

  it("is durable up to where a sync began, though an append fails while it runs", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const log = create(fs);
    fs.syncDirSync("/log");
    log.appendSync(payload(1), [], 1, 1, 0);
    const end = log.bytes;
    const synced = log.sync();
    fs.failAt({ at: (kind) => kind === "write", error: "EIO" });
    expect(() => log.appendSync(payload(2), [], 2, 1, 0)).toThrow();
    for (const task of tasks.splice(0)) task();
    await synced;
    expect(log.syncedBytes).toBe(end);
    expect(stamps(fs.crash({ data: "none" }), end)).toEqual([1]);
    expect(() => log.appendSync(payload(3), [], 3, 1, 0)).toThrow(readOnly);
    await log.close();
  });

  it("is told of a sync that failed elsewhere though nobody has said so yet", async () => {
    for (const way of ["pool", "token", "fill"] as const) {
      const fs = emptyFs({ schedule: (task) => task() });
      const log = create(fs);
      log.appendSync(payload(1), [], 1, 1, 0);
      const { token } = log;
      await log.sync();
      log.appendSync(payload(2), [], 2, 1, 0);
      fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
      let beside: Promise<void> | undefined;
      if (way === "pool") beside = log.sync();
      else if (way === "token") expect(() => fs.syncTokenSync(token)).toThrow();
      else {
        beside = log.zeroFillAhead(5000);
        while (fs.counts.sync < 2) await Promise.resolve();
      }
      beside?.catch(() => undefined);
      // A sync that came from another open file does not take the failure away from this one.
      expect(() => log.syncSync(), way).toThrow(expect.objectContaining({ code: "AURA_IO" }));
      await log.close().catch(() => undefined);
      expect(fs.openPaths()).toEqual([]);
    }
  });

  it("is told of it at the first sync in each place, too", async () => {
    const failed = (kind: string): boolean => kind === "sync";
    {
      const fs = emptyFs();
      const log = create(fs);
      log.appendSync(payload(1), [], 1, 1, 0);
      const { token } = log;
      fs.failAt({ at: failed, error: "EIO" });
      expect(() => fs.syncTokenSync(token)).toThrow();
      await expect(log.sync()).rejects.toMatchObject({ code: "AURA_IO" });
      await log.close();
    }
    for (const other of ["token", "secondToken"] as const) {
      const fs = emptyFs({ schedule: (task) => task() });
      const log = create(fs);
      log.appendSync(payload(1), [], 1, 1, 0);
      fs.failAt({ at: failed, error: "EIO" });
      const syncing = log.sync().catch((error: unknown) => error);
      expect(() => fs.syncTokenSync(log[other]), other).toThrow();
      expect(await syncing).toMatchObject({ code: "AURA_IO" });
      await log.close();
      expect(fs.openPaths()).toEqual([]);
    }
  });

  it("tells each of two other threads of a failed sync", async () => {
    for (const first of ["token", "secondToken"] as const) {
      const second = first === "token" ? "secondToken" : "token";
      const fs = emptyFs();
      const log = create(fs);
      log.appendSync(payload(1), [], 1, 1, 0);
      const tokens = { [first]: log[first], [second]: log[second] };
      fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
      expect(() => fs.syncTokenSync(tokens[first]!), first).toThrow();
      expect(() => fs.syncTokenSync(tokens[second]!), second).toThrow();
      await log.close();
      expect(fs.openPaths()).toEqual([]);
    }
  });

  it("believes no sync beside one that failed, by whichever way", async () => {
    for (const way of ["syncSync", "token", "fill"] as const) {
      const tasks: (() => void)[] = [];
      const fs = emptyFs({ schedule: (task) => tasks.push(task) });
      const log = create(fs);
      log.appendSync(payload(1), [], 1, 1, 0);
      const synced = log.sync();
      synced.catch(() => undefined);
      // No space for the sync of a fill is no hint: frames may be lost with it.
      fs.failAt({ at: (kind) => kind === "sync", error: way === "fill" ? "ENOSPC" : "EIO" });
      const pool = async (): Promise<void> => {
        while (tasks.length > 0) {
          tasks.pop()!();
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      if (way === "syncSync") expect(() => log.syncSync()).toThrow();
      else if (way === "token") {
        try {
          fs.syncTokenSync(log.token);
        } catch (error) {
          log.giveUp(error);
        }
      } else {
        const filled = log.zeroFillAhead(5000);
        filled.catch(() => undefined);
        const held = tasks.splice(0, 1);
        await pool();
        await expect(filled).rejects.toMatchObject({ code: "AURA_OUT_OF_SPACE" });
        tasks.push(...held);
      }
      await pool();
      await expect(synced).rejects.toMatchObject({
        code: expect.stringMatching(/^AURA_(READ_ONLY|IO|OUT_OF_SPACE)$/),
      });
      expect(log.syncedBytes).toBe(0);
      await log.close();
    }
  });

  it("is given up when another thread's sync failed", () => {
    const fs = emptyFs();
    const log = create(fs);
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    try {
      fs.syncTokenSync(log.token);
    } catch (error) {
      log.giveUp(error);
    }
    expect(() => log.appendSync(payload(1), [], 1, 1, 0)).toThrow(readOnly);
    log.closeSync();
  });

  it("reports a close that fails, once", () => {
    const fs = emptyFs();
    const log = create(fs);
    fs.failAt({ at: (kind) => kind === "close", error: "EIO" });
    expect(() => log.closeSync()).toThrow(expect.objectContaining({ code: "AURA_IO" }));
    expect(() => log.closeSync()).not.toThrow();
    expect(fs.openHandles).toBe(0);
  });

  it("reads nothing wrong from a disk that fails or lies", () => {
    const fs = emptyFs();
    const log = create(fs);
    work(log);
    log.closeSync();
    const good = readAll(fs).frames;
    fs.failAt({ at: (kind) => kind === "read", error: "EIO" });
    expect(() => readLog(fs, PATH)).toThrow(expect.objectContaining({ code: "AURA_IO" }));
    fs.failAt({ at: (kind) => kind === "read", short: 40 });
    expect(() => readLog(fs, PATH)).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION" }));
    expect(fs.openHandles).toBe(0);
    const offset = good[4]!.offset + 40;
    fs.failAt({ at: (kind) => kind === "read", flip: { offset, mask: 4 } });
    expect(readAll(fs)).toMatchObject({ end: "bad", endOffset: good[4]!.offset });
    expect(readAll(fs).frames).toEqual(good);
  });
});
