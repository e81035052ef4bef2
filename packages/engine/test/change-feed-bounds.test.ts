/** What a feed is promised and what it may hold: durable groups only, and a bound on its logs. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { bounded, fewTurns } from "./support/fault-run.ts";

const directory = "/db";
const MIB = 1024 * 1024;
const settings: Settings = {
  seed: 5,
  wal: { maxFileSize: 65536, backgroundSyncBytes: 0 },
  valueLog: { separationThreshold: 1000 },
  memtable: { maxSize: MIB },
};

function open(fs: SimFs): Promise<AuraDB> {
  return AuraDB.open(directory, settings, { fs, runtime: simRuntime(2, { autoAdvance: true }) });
}

/** Whether a promise is still open after a few turns. */
async function waits(promise: Promise<unknown>): Promise<boolean> {
  let isOpen = true;
  const note = (): void => {
    isOpen = false;
  };
  promise.then(note, note);
  await fewTurns();
  return isOpen;
}

describe("a feed of what is durable", () => {
  test("hands out a group when a sync, a flush or a write at level sync has covered it", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const feed = db.changes({ durable: true });
    const beside = db.changes();
    const ways: [string, () => Promise<void>][] = [
      ["sync", () => db.sync()],
      ["syncSync", async () => db.syncSync()],
      ["flush", () => db.flush()],
      ["a later write", () => db.put("later", "1", { sync: true })],
    ];
    for (const [name, cover] of ways) {
      const next = feed.next();
      db.putSync(name, "os");
      expect((await beside.next()).value!.changes[0]!.key.toString()).toBe(name);
      expect(await waits(next), name).toBe(true);
      await cover();
      const group = (await next).value!;
      expect(group.changes[0]!.key.toString()).toBe(name);
      // What it says survives a power loss does.
      const image = await open(fs.crash({ data: "none", names: "none" }));
      expect(image.getSync(name)?.toString()).toBe("os");
      await image.close();
    }
    expect((await feed.next()).value!.changes[0]!.key.toString()).toBe("later");
    const last = feed.next();
    db.putSync("never", "1");
    expect(await waits(last)).toBe(true);
    await feed.return();
    expect((await last).done).toBe(true);
    await beside.return();
    await db.close();
  });

  test("begins with what is durable already, and ends as any feed", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    db.putSync("b", "2", { sync: true });
    db.putSync("c", "3");
    const feed = db.changes({ since: 0, durable: true });
    expect((await feed.next()).value!.lastSeq).toBe(1);
    expect((await feed.next()).value!.lastSeq).toBe(2);
    const waiting = feed.next();
    expect(await waits(waiting)).toBe(true);
    await db.close();
    await expect(waiting).rejects.toMatchObject({ code: "AURA_CLOSED" });
  });

  test("is refused other values", async () => {
    const db = await open(new SimFs());
    expect(() => db.changes({ durable: 1 as never })).toThrow(/durable/);
    for (const pinBytesMax of [0, -1, 1.5, MIB - 1, Number.NaN]) {
      expect(() => db.changes({ pinBytesMax })).toThrow(/pinBytesMax/);
    }
    await db.close();
  });
});

test("a feed that lags too far behind is told so, and its logs go", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const lagging = db.changes({ since: 0, pinBytesMax: 2 * MIB });
  const roomy = db.changes({ since: 0 });
  const waiting = db.changes({ pinBytesMax: MIB });
  await waiting.return();
  expect(db.stats().changeFeeds).toMatchObject({ open: 2, pinBytesMax: 2 * MIB, gone: 0 });
  const value = "x".repeat(500);
  let most = 0;
  let i = 0;
  for (; db.stats().changeFeeds.gone === 0; i++) {
    expect(i).toBeLessThan(20_000);
    await db.put(`key ${i}`, value);
    if (i % 500 === 499) {
      await db.flush();
      await db.idle();
      most = Math.max(most, db.stats().changeFeeds.pinnedBytes);
    }
  }
  // A flush, and with it a memtable, may pass the bound.
  expect(most).toBeLessThan(3.5 * MIB);
  const error = await lagging.next().catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: "AURA_HISTORY_GONE", actual: 0 });
  const { expected } = error as { expected: number };
  expect(expected).toBeGreaterThan(1);
  await expect(lagging.next()).rejects.toMatchObject({ code: "AURA_HISTORY_GONE" });
  expect(db.stats().changeFeeds).toMatchObject({ open: 1, gone: 1 });
  // The other one still has everything.
  for (let seq = 1; seq <= i; seq++) expect((await roomy.next()).value!.firstSeq).toBe(seq);
  await roomy.return();
  await db.idle();
  expect(db.stats().changeFeeds).toMatchObject({ pinnedFiles: 0, pinnedBytes: 0 });
  // From where the error says, there is a history.
  const again = db.changes({ since: Math.max(expected - 1, db.stats().flushedSeq) });
  db.putSync("on", "1");
  await db.sync();
  while ((await again.next()).value!.lastSeq < db.stats().lastSeq);
  await db.close();
});

test("a feed that is told so while it reads ends behind that, and lets its files go", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const lagging = db.changes({ since: 0, pinBytesMax: MIB, durable: true });
  const next = lagging.next();
  for (let i = 0; i < 6000; i++) db.putSync(`key ${i}`, "x".repeat(500));
  await db.flush();
  await db.idle();
  // It was reading when it was told: what it read is whole, and then it ends.
  const outcomes = [await next.catch((error: { code: string }) => error.code)];
  outcomes.push(await lagging.next().catch((error: { code: string }) => error.code));
  expect(outcomes.at(-1)).toBe("AURA_HISTORY_GONE");
  expect(fs.list(directory).filter((path) => path.endsWith(".wal")).length).toBeLessThanOrEqual(1);
  expect(fs.openPaths().filter((path) => path.endsWith(".wal")).length).toBeLessThanOrEqual(1);
  await db.close();
  expect(fs.openPaths()).toEqual([]);
});

test("a feed that waits for what no log has ends, and says where to begin again", async () => {
  const fs = new SimFs();
  const runtime = simRuntime(2);
  const db = await AuraDB.open(
    directory,
    { ...settings, wal: { bufferedDelayMs: 20 } },
    { fs, runtime },
  );
  db.putSync("a", "1");
  const feed = db.changes({ since: 0 });
  expect((await feed.next()).value!.lastSeq).toBe(1);
  const next = feed.next();
  db.putSync("b", "2", { durability: "buffered" });
  const fault = fs.failAt({
    error: "EIO",
    sticky: true,
    at: (kind, path) => kind === "write" && path.endsWith(".wal"),
  });
  runtime.advance(30);
  expect(db.stats().failure).toBeDefined();
  fault.remove();
  // What is in memory alone is brought to tables.
  await bounded("resume", db.resume(), runtime);
  await expect(next).rejects.toMatchObject({ code: "AURA_HISTORY_GONE", expected: 3 });
  db.putSync("c", "3");
  const again = db.changes({ since: 2 });
  expect((await again.next()).value!.changes[0]!.key.toString()).toBe("c");
  expect(() => db.changes({ since: 1 })).toThrow(
    expect.objectContaining({ code: "AURA_HISTORY_GONE" }),
  );
  await again.return();
  const image = await open(fs.crash({ data: "none", names: "none" }));
  expect(["a", "b"].map((key) => image.getSync(key)?.toString())).toEqual(["1", "2"]);
  await image.close();
  await bounded("close", db.close(), runtime);
});
