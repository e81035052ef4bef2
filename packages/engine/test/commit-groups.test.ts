/** How writes become groups: when one leaves at once, what an abort takes out, the two promises. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { readLog } from "@aura/wal";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { bounded, fewTurns } from "./support/fault-run.ts";

const directory = "/db";

async function open(fs: SimFs, settings: Settings = {}): Promise<AuraDB> {
  return AuraDB.open(directory, settings, { fs, runtime: simRuntime(4) });
}

/** Operations of each frame, over all logs in order of their sequence numbers. */
function frames(fs: SimFs): number[] {
  const found: { first: number; count: number }[] = [];
  for (const path of fs.list(directory)) {
    if (!/\.(wal|vlog)$/.test(path)) continue;
    const log = readLog(fs, path);
    while (log.next()) if (log.count > 0) found.push({ first: log.first, count: log.count });
    log.closeSync();
  }
  return found.sort((a, b) => a.first - b.first).map(({ count }) => count);
}

describe("groups", () => {
  test("a program that awaits each write has nothing to group", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let i = 0; i < 5; i++) await db.put(`k${i}`, "v");
    expect(frames(fs)).toEqual([1, 1, 1, 1, 1]);
    await db.close();
  });

  test("writes of one run leave as one, from the second such run on with the first of them", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let run = 0; run < 3; run++) {
      await Promise.all(Array.from({ length: 10 }, (_, i) => db.put(`k${run} ${i}`, "v")));
    }
    expect(frames(fs)).toEqual([1, 9, 10, 10]);
    await db.put("alone", "v");
    await db.put("alone", "v");
    expect(frames(fs)).toEqual([1, 9, 10, 10, 1, 1]);
    await db.close();
  });

  test("the last of several writes to a key wins, however they leave", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const large = "x".repeat(3000);
    for (let run = 0; run < 4; run++) {
      const writes: Promise<void>[] = [];
      for (let i = 0; i < 9; i++) {
        const value = i % 3 === 0 ? `${large}${run} ${i}` : `${run} ${i}`;
        if (i % 4 === 3) db.putSync("k", value);
        else if (i % 4 === 2) writes.push(db.write(new WriteBatch().put("k", value)));
        else writes.push(db.put("k", value));
        if (i % 2 === 0) expect(db.getSync("k")?.toString()).toBe(value);
      }
      await Promise.all(writes);
      expect(db.getSync("k")?.toString()).toBe(`${run} 8`);
    }
    const again = await open(fs.processKill());
    expect(again.getSync("k")?.toString()).toBe("3 8");
    await again.close();
    await db.close();
  });
});

describe("a write with a signal", () => {
  const small: Settings = { memtable: { maxSize: 262144, maxCount: 2 } };

  test("is given up while it waits for room, and leaves no trace", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(4);
    const db = await AuraDB.open(directory, small, { fs, runtime });
    const value = Buffer.alloc(900, 1);
    const outcomes: string[] = [];
    const writes: Promise<void>[] = [];
    const note = (name: string, write: Promise<void>): void => {
      writes.push(
        write.then(
          () => void outcomes.push(name),
          (error: { code: string }) => void outcomes.push(`${name} ${error.code}`),
        ),
      );
    };
    // More than both memtables hold, before anything is flushed.
    for (let i = 0; i < 700; i++) note("ok", db.put(`fill ${i}`, value));
    const controller = new AbortController();
    const { signal } = controller;
    note("before", db.put("before", "1"));
    note("aborted", db.put("aborted", "1", { signal }));
    note("aborted", db.write(new WriteBatch().put("aborted", "2"), { signal }));
    note("after", db.put("after", "1"));
    controller.abort(new Error("changed my mind"));
    await bounded(
      "writes",
      Promise.all(writes).then(() => undefined),
      runtime,
    );
    expect(outcomes.filter((outcome) => outcome === "ok").length).toBe(700);
    expect(outcomes.filter((outcome) => outcome === "aborted AURA_ABORTED").length).toBe(2);
    expect(outcomes).toContain("before");
    expect(outcomes).toContain("after");
    expect(db.getSync("aborted")).toBe(undefined);
    expect(db.getSync("after")?.toString()).toBe("1");
    await bounded("close", db.close(), runtime);
    const again = await open(fs, small);
    expect([...again.keysSync()].length).toBe(702);
    await again.close();
  });

  test("is carried out when the abort comes too late, and refused when it came before", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const controller = new AbortController();
    const { signal } = controller;
    const first = db.put("first", "1", { signal });
    controller.abort();
    await first;
    expect(db.getSync("first")?.toString()).toBe("1");
    const aborted = expect.objectContaining({ code: "AURA_ABORTED" });
    await expect(db.put("second", "1", { signal })).rejects.toEqual(aborted);
    expect(() => db.putSync("second", "1", { signal })).toThrow(/aborted/);
    expect(db.getSync("second")).toBe(undefined);
    await db.close();
  });
});

test("submit tells committed and durable apart", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const { committed, durable } = db.submit(new WriteBatch().put("k", "v"));
  await committed;
  const killed = await open(fs.processKill());
  expect(killed.getSync("k")?.toString()).toBe("v");
  await killed.close();
  await durable;
  const powerless = await open(fs.crash({ data: "none", names: "none" }));
  expect(powerless.getSync("k")?.toString()).toBe("v");
  await powerless.close();
  fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
  const failing = db.submit(new WriteBatch().put("k", "w"));
  await failing.committed;
  await expect(failing.durable).rejects.toEqual(
    expect.objectContaining({ code: "AURA_UNKNOWN_OUTCOME" }),
  );
  await db.close();
});

describe("sync policy interval", () => {
  test("makes writes durable that nobody waits for", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(4);
    const settings: Settings = { wal: { syncPolicy: "interval", syncIntervalMs: 500 } };
    const db = await AuraDB.open(directory, settings, { fs, runtime });
    await db.put("first", "1");
    db.putSync("second", "2");
    const { syncs } = db.stats().log;
    expect(syncs).toBe(0);
    runtime.advance(501);
    await fewTurns();
    expect(db.stats().durableSeq).toBe(2);
    expect(db.stats().log.syncs).toBe(1);
    const powerless = await open(fs.crash({ data: "none", names: "none" }));
    expect([...powerless.keysSync()].map(String)).toEqual(["first", "second"]);
    await powerless.close();
    // Nothing was written since: nothing is synced.
    runtime.advance(5000);
    await fewTurns();
    expect(db.stats().log.syncs).toBe(1);
    await bounded("close", db.close(), runtime);
  });

  test("says so when that sync fails", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(4);
    const settings: Settings = { wal: { syncPolicy: "interval", syncIntervalMs: 500 } };
    const db = await AuraDB.open(directory, settings, { fs, runtime });
    await db.put("first", "1");
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    runtime.advance(501);
    await fewTurns();
    await expect(db.put("second", "1")).rejects.toThrow(/EIO/);
    await db.close();
  });

  test("says so at the close, if no call came that could be told", async () => {
    const fs = new SimFs();
    const runtime = simRuntime(4);
    const settings: Settings = { wal: { syncPolicy: "interval", syncIntervalMs: 500 } };
    const db = await AuraDB.open(directory, settings, { fs, runtime });
    const errors: string[] = [];
    db.events.on("backgroundError", ({ activity, severity }) =>
      errors.push(`${activity} ${severity}`),
    );
    await db.put("first", "1");
    fs.failAt({ at: (kind) => kind === "sync", error: "EIO" });
    runtime.advance(501);
    await fewTurns();
    expect(errors).toEqual(["sync hard"]);
    await expect(db.close()).rejects.toThrow(/EIO/);
  });
});

test("a log whose removal failed does not make a clean close look damaged", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  await db.put("a", "1");
  await db.put("b", "2");
  const image = fs.processKill();
  await db.close();
  const log = image.list(directory).find((path) => path.endsWith(".wal"))!;
  image.writeFile(log, image.readFile(log).subarray(0, -5));
  const runtime = simRuntime(4);
  const second = await AuraDB.open(directory, {}, { fs: image, runtime });
  image.failAt({ at: (kind, path) => kind === "unlink" && path === log, error: "EIO" });
  await bounded("flush", second.flush(), runtime);
  await fewTurns();
  expect(image.list(directory)).toContain(log);
  await bounded("close", second.close(), runtime);
  const third = await AuraDB.open(
    directory,
    { wal: { recovery: "absolute" } },
    { fs: image, runtime },
  );
  expect([...third.keysSync()].map(String)).toEqual(["a"]);
  await bounded("close", third.close(), runtime);
});
