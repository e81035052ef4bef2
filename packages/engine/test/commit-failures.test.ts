/** Commit when the finishing of a group, the memory, the room or a sync fails: every call has an end. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { DurableWaits } from "../src/durable-waits.ts";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { Memtables } from "../src/memtables.ts";
import { Separation } from "../src/separation.ts";
import { bounded } from "./support/fault-run.ts";
import { directory, openSim, smallSettings } from "./support/names-run.ts";

const MIB = 1024 * 1024;

afterEach(() => {
  vi.restoreAllMocks();
});

/** The code of the error that a promise ends with, or its message; undefined when it is fulfilled. */
async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await bounded("a call", promise);
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

async function valuesIn(fs: SimFs, keys: readonly string[]): Promise<(string | undefined)[]> {
  const db = await openSim(fs);
  const values = keys.map((key) => db.getSync(key)?.toString().slice(0, 8));
  await db.close();
  return values;
}

describe("the finishing of a group that the thread pool has appended", () => {
  /** Appended on the thread pool. */
  const large = Buffer.alloc(2 * MIB, "l");

  test("that cannot seal the memtable has written the group all the same", async () => {
    const fs = new SimFs();
    const db = await openSim(fs);
    vi.spyOn(Memtables.prototype, "seal").mockImplementationOnce(() => {
      throw new RangeError("Array buffer allocation failed");
    });
    // Beyond the unflushed values that seal a memtable.
    expect(await codeOf(db.put("huge", Buffer.alloc(65 * MIB, "h")))).toBe(undefined);
    expect(await codeOf(db.put("next", "1"))).toBe(undefined);
    expect(db.getSync("huge")?.length).toBe(65 * MIB);
    expect(db.stats().failure).toBe(undefined);
    expect(await valuesIn(fs.processKill(), ["huge", "next"])).toEqual(["hhhhhhhh", "1"]);
    await db.close();
  });

  test.each(["on the thread pool", "on this thread"] as const)(
    "that cannot insert it ends writing: its fate is unknown (%s)",
    async (where) => {
      const fs = new SimFs();
      const db = await openSim(fs);
      vi.spyOn(Memtables.prototype, "apply").mockImplementationOnce(() => {
        throw new RangeError("Array buffer allocation failed");
      });
      const value = where === "on this thread" ? Buffer.from("small") : large;
      const first = db.put("a", value);
      const second = db.put("b", value);
      second.catch(() => undefined);
      expect(await codeOf(first)).toBe("AURA_UNKNOWN_OUTCOME");
      expect(await codeOf(second)).toMatch(/AURA_UNKNOWN_OUTCOME|AURA_READ_ONLY/);
      expect(db.stats().failure).toContain("allocation");
      expect(await codeOf(db.put("c", "3"))).toBe("AURA_READ_ONLY");
      expect(db.getSync("a")).toBe(undefined);
      await codeOf(db.close());
      expect(fs.openHandles).toBe(0);
    },
  );
});

describe("memory that runs out while a write is taken in", () => {
  function failSecondValue(): void {
    let calls = 0;
    const { set } = Uint8Array.prototype;
    const failing = function (this: Uint8Array, ...args: unknown[]): void {
      const isValue = (args[0] as Uint8Array).length === 5000;
      if (isValue && ++calls === 2) throw new RangeError("allocation failed");
      Reflect.apply(set, this, args);
    };
    vi.spyOn(Uint8Array.prototype, "set").mockImplementation(failing);
  }

  test("leaves nothing of a batch, and what is queued beside it as it was", async () => {
    for (const isQueued of [true, false]) {
      const fs = new SimFs();
      const db = await openSim(fs);
      // Two in one run of code: from now on writes are queued.
      await Promise.all([db.put("x", "1"), db.put("y", "1")]);
      const beside = isQueued ? db.put("beside", "1") : undefined;
      const batch = new WriteBatch().put("inline", "1");
      for (const name of ["a", "b", "c"]) batch.put(name, Buffer.alloc(5000, name));
      failSecondValue();
      const failed = db.write(batch);
      vi.restoreAllMocks();
      expect(await codeOf(failed)).toContain("RangeError");
      if (beside !== undefined) expect(await codeOf(beside)).toBe(undefined);
      expect(await codeOf(db.put("after", "2"))).toBe(undefined);
      expect(db.getSync("beside")?.toString()).toBe(isQueued ? "1" : undefined);
      const keys = ["inline", "a", "b", "c", "after"];
      expect(keys.map((key) => db.getSync(key)?.toString())).toEqual([...Array(4), "2"]);
      expect(await valuesIn(fs.processKill(), keys)).toEqual([...Array(4), "2"]);
      await db.close();
    }
  });

  test("leaves nothing of a buffered write", async () => {
    const fs = new SimFs();
    const db = await openSim(fs);
    const { addOne } = Separation.prototype;
    vi.spyOn(Separation.prototype, "addOne").mockImplementationOnce(function (
      this: Separation,
      ...args
    ) {
      addOne.apply(this, args);
      throw new RangeError("allocation failed");
    });
    expect(() => db.putSync("a", "1", { durability: "buffered" })).toThrow(RangeError);
    db.putSync("b", "2", { durability: "buffered" });
    db.syncSync();
    expect(await valuesIn(fs.processKill(), ["a", "b"])).toEqual([undefined, "2"]);
    await db.close();
  });
});

describe("a read beside a write that waits for room", () => {
  const settings: Settings = {
    ...smallSettings,
    memtable: { maxSize: 262144, maxCount: 2 },
    valueLog: { separationThreshold: 8192 },
  };
  const runtime = simRuntime(7);

  /** A database whose queue cannot be written: no flush comes through. */
  async function openStuck(): Promise<{ fs: SimFs; db: AuraDB; writes: Promise<void>[] }> {
    const fs = new SimFs();
    const db = await AuraDB.open(directory, settings, { fs, runtime });
    db.putSync("seen", "1");
    db.putSync("v", "v".repeat(9000));
    fs.failAt({
      at: (kind, path) => (kind === "create" || kind === "write") && path.endsWith(".sst"),
      error: "EIO",
      sticky: true,
    });
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 400; i++) writes.push(db.put(`k${i}`, "x".repeat(3000)));
    for (const write of writes) write.catch(() => undefined);
    return { fs, db, writes };
  }

  test("answers from what is visible when flushes make no progress", async () => {
    const { fs, db, writes } = await openStuck();
    expect(db.getSync("seen")?.toString()).toBe("1");
    expect((await db.get("seen"))?.toString()).toBe("1");
    expect([...db.keysSync({ prefix: "s" })].length).toBe(1);
    fs.clearFaults();
    await bounded("writes", Promise.all(writes), runtime);
    expect(db.getSync("k399")?.length).toBe(3000);
    await db.close();
  });

  test("answers from what is visible when a failure ends writing meanwhile", async () => {
    const { fs, db, writes } = await openStuck();
    fs.clearFaults();
    fs.failAt({
      at: (kind, path) => kind.startsWith("sync") && path.endsWith(".vlog"),
      error: "EIO",
      sticky: true,
    });
    expect(db.getSync("seen")?.toString()).toBe("1");
    expect(db.stats().failure).toBeDefined();
    const outcomes = await bounded("writes", Promise.allSettled(writes), runtime);
    expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
    await db.close().catch(() => undefined);
  });
});

test("a waiter that comes when the database ends leaves no timer behind", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(3);
  const db = await AuraDB.open(directory, smallSettings, { fs, runtime });
  const { end } = DurableWaits.prototype;
  let late: Promise<void> | undefined;
  vi.spyOn(DurableWaits.prototype, "end").mockImplementationOnce(function (this: DurableWaits) {
    end.call(this);
    // What a put at level sync does whose append was told of last.
    late = this.until(1);
    this.noteWritten();
  });
  db.putSync("a", "1", { sync: true });
  await bounded("close", db.close(), runtime);
  await late;
  expect(runtime.scheduler.pending).toBe(0);
});

describe("a write that fails on a volume so full that no new log can be made", () => {
  test.each(["small", "large"] as const)(
    "is rejected for certain, and does not end writing (%s)",
    async (size) => {
      const fs = new SimFs();
      const runtime = simRuntime(7);
      const db = await AuraDB.open(directory, smallSettings, { fs, runtime });
      const value = size === "small" ? "v" : "v".repeat(1000);
      db.putSync("a", value);
      const full = fs.failAt({
        at: (kind) => kind === "write" || kind === "create",
        error: "ENOSPC",
        partial: 30,
        sticky: true,
      });
      for (const write of [() => db.putSync("b", value), () => db.putSync("c", "inline")]) {
        expect(write).toThrow(expect.objectContaining({ code: "AURA_OUT_OF_SPACE" }));
      }
      expect(db.stats().failure).toBe(undefined);
      expect(await valuesIn(fs.processKill(), ["a", "b", "c"])).toEqual([
        value.slice(0, 8),
        undefined,
        undefined,
      ]);
      full.remove();
      runtime.advance(1000);
      db.putSync("d", "4", { sync: true });
      const wanted = [value.slice(0, 8), undefined, undefined, "4"];
      for (const image of [fs.processKill(), fs.crash({ data: "none", names: "none" })]) {
        expect(await valuesIn(image, ["a", "b", "c", "d"])).toEqual(wanted);
      }
      await bounded("close", db.close(), runtime);
      expect(await valuesIn(fs, ["a", "b", "c", "d"])).toEqual(wanted);
    },
  );
});

test("buffered writes stay buffered on a full volume, and leave when there is room, in order", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(7);
  const db = await AuraDB.open(directory, smallSettings, { fs, runtime });
  db.putSync("first", "1");
  const full = fs.failAt({
    at: (kind) => kind === "write" || kind === "create",
    error: "ENOSPC",
    sticky: true,
  });
  db.putSync("buffered", "2", { durability: "buffered" });
  runtime.advance(50);
  for (const write of [
    () => db.putSync("os", "3"),
    () => db.putSync("large", "v".repeat(1000)),
    () => db.syncSync(),
  ]) {
    expect(write).toThrow(expect.objectContaining({ code: "AURA_OUT_OF_SPACE" }));
  }
  expect(await codeOf(db.put("async", "4"))).toBe("AURA_OUT_OF_SPACE");
  expect(db.stats().failure).toBe(undefined);
  expect(db.getSync("buffered")?.toString()).toBe("2");
  full.remove();
  runtime.advance(1000);
  const keys = ["first", "buffered", "os", "large", "async", "after"];
  const wanted = ["1", "2", undefined, undefined, undefined, undefined];
  expect(await valuesIn(fs.processKill(), keys)).toEqual(wanted);
  db.putSync("after", "5", { sync: true });
  wanted[5] = "5";
  for (const image of [fs.processKill(), fs.crash({ data: "none", names: "none" })]) {
    expect(await valuesIn(image, keys)).toEqual(wanted);
  }
  await bounded("close", db.close(), runtime);
  expect(await valuesIn(fs, keys)).toEqual(wanted);
});
