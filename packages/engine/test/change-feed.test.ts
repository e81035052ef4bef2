/** Change feeds: what they hand out, how they wait and end, and which logs they keep. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import {
  AuraDB,
  type ChangeFeed,
  type ChangeGroup,
  type Settings,
  WriteBatch,
} from "../src/index.ts";
import { fewTurns } from "./support/fault-run.ts";
import { openReal, withDirectory } from "./support/open-real.ts";

const directory = "/db";
const LARGE = "large ".repeat(100);
const settings: Settings = {
  seed: 5,
  wal: { maxFileSize: 65536 },
  valueLog: { separationThreshold: 200, maxSegmentSize: 65536 },
  memtable: { maxSize: 1048576 },
};

function open(fs: SimFs, more: Settings = {}): Promise<AuraDB> {
  const runtime = simRuntime(2, { autoAdvance: true });
  return AuraDB.open(directory, { ...settings, ...more }, { fs, runtime });
}

/** A group as "first-last: +key=value -key". */
function shown({ firstSeq, lastSeq, changes }: ChangeGroup): string {
  const list = changes.map((change) => {
    if (change.type === "deleteRange") return `-[${String(change.key)},${String(change.end)})`;
    if (change.type === "delete") return `-${String(change.key)}`;
    return `+${String(change.key)}=${String(change.value).slice(0, 10)}`;
  });
  return `${firstSeq}-${lastSeq}: ${list.join(" ")}`;
}

async function take(feed: ChangeFeed, count: number): Promise<string[]> {
  const groups: string[] = [];
  for (let i = 0; i < count; i++) groups.push(shown((await feed.next()).value!));
  return groups;
}

/** Returns whether a promise is still open after a few turns. */
async function waits(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => {
    settled = true;
  };
  promise.then(note, note);
  await fewTurns();
  return !settled;
}

const files = (fs: SimFs, kind: string): string[] =>
  fs.list(directory).filter((path) => path.endsWith(kind));
const withCode = (code: string): unknown => expect.objectContaining({ code });

describe("a feed", () => {
  test("hands out what was committed, from the beginning and as it comes", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    await db.write(new WriteBatch().put("b", LARGE).delete("a").put("c", ""));
    const feed = db.changes({ since: 0 });
    expect(await take(feed, 2)).toEqual(["1-1: +a=1", "2-4: +b=large larg -a +c="]);
    const next = feed.next();
    expect(await waits(next)).toBe(true);
    db.deleteSync("b");
    db.putSync("d", LARGE);
    expect(shown((await next).value!)).toBe("5-5: -b");
    expect(await take(feed, 1)).toEqual(["6-6: +d=large larg"]);
    expect(feed.seq).toBe(6);
    await db.close();
    expect(fs.openPaths()).toEqual([]);
  });

  test("begins with the next write unless it is told where", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("before", "1");
    const feed = db.changes();
    void db.put("after", "2");
    expect(await take(feed, 1)).toEqual(["2-2: +after=2"]);
    await db.close();
  });

  test("hands out bytes that are the reader's own", async () => {
    const db = await open(new SimFs());
    const feed = db.changes({ since: 0 });
    for (let i = 0; i < 50; i++) db.putSync(`key ${i}`, i % 2 === 0 ? LARGE : "small");
    const groups: ChangeGroup[] = [];
    for (let i = 0; i < 50; i++) groups.push((await feed.next()).value!);
    for (const { changes } of groups) for (const { key } of changes) key.fill(0);
    for (let i = 0; i < 50; i++) db.putSync(`more ${i}`, LARGE);
    await feed.next();
    const change = groups[10]!.changes[0]!;
    expect(change.type === "put" && change.value.toString()).toBe(LARGE);
    expect(db.getSync("key 10")?.toString()).toBe(LARGE);
    await db.close();
  });

  test("shows buffered writes when they reach the log, and begins within their group", async () => {
    const db = await open(new SimFs(), { wal: { bufferedDelayMs: 1000 } });
    const feed = db.changes({ since: 0 });
    const first = feed.next();
    db.putSync("a", "1", { durability: "buffered" });
    db.putSync("b", "2", { durability: "buffered" });
    const snapshot = db.snapshot();
    db.putSync("c", "3", { durability: "buffered" });
    expect(snapshot.seq).toBe(2);
    const later = db.changes({ since: snapshot.seq });
    db.syncSync();
    expect(shown((await first).value!)).toBe("1-3: +a=1 +b=2 +c=3");
    expect(await take(later, 1)).toEqual(["3-3: +c=3"]);
    snapshot.release();
    await db.close();
  });

  test("takes overlapping steps one after the other", async () => {
    const db = await open(new SimFs());
    const feed = db.changes();
    const steps = [feed.next(), feed.next(), feed.next()];
    for (const key of ["a", "b", "c"]) db.putSync(key, LARGE);
    const groups = await Promise.all(steps);
    expect(groups.map(({ value }) => value!.firstSeq)).toEqual([1, 2, 3]);
    await db.close();
  });

  test("misses no write, whenever it comes", async () => {
    const db = await open(new SimFs());
    const feed = db.changes();
    for (let ticks = 0; ticks < 30; ticks++) {
      const next = feed.next();
      for (let i = 0; i < ticks; i++) await Promise.resolve();
      db.putSync("key", ticks % 2 === 0 ? LARGE : "small");
      expect(await waits(next)).toBe(false);
      expect((await next).value!.lastSeq).toBe(ticks + 1);
    }
    await db.close();
  });

  test("does not look at what is still being appended", async () => {
    const tasks: (() => void)[] = [];
    let held = false;
    const fs = new SimFs({ schedule: (task) => (held ? tasks.push(task) : queueMicrotask(task)) });
    const db = await open(fs, { memtable: { maxSize: 4 << 20 }, wal: { maxFileSize: 4 << 20 } });
    // Until zeros stand ahead of the log's end.
    for (let i = 0; i < 20; i++) db.putSync(`${i}`, "small", { sync: true });
    await fewTurns();
    expect(fs.readFile(files(fs, ".wal")[0]!).length).toBeGreaterThan(500_000);
    const feed = db.changes();
    for (const key of ["a", "b", "c"]) db.putSync(key, "small");
    held = true;
    const batch = new WriteBatch();
    for (let i = 0; i < 10_000; i++) batch.put(`key ${i}`, "v".repeat(150));
    const written = [db.write(batch), db.write(batch)];
    await fewTurns();
    expect(tasks).toHaveLength(1);
    const before = take(feed, 3);
    expect(await waits(before)).toBe(false);
    expect(await before).toEqual(["21-21: +a=small", "22-22: +b=small", "23-23: +c=small"]);
    const next = feed.next();
    expect(await waits(next)).toBe(true);
    held = false;
    for (const task of tasks.splice(0)) task();
    await Promise.all(written);
    expect((await next).value!.lastSeq).toBe(10_023);
    expect((await feed.next()).value!.lastSeq).toBe(20_023);
    await db.close();
  });

  test("never shows a group that failed, though its bytes are on the disk", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const feed = db.changes({ since: 0 });
    db.putSync("a", "1");
    for (const kind of ["wal", "vlog"]) {
      const failing = {
        at: (call: string, path: string) => call === "write" && path.endsWith(kind),
      };
      fs.failAt({ ...failing, error: "EIO", happened: true });
      const value = kind === "wal" ? "never" : LARGE;
      expect(() => db.putSync("rejected", value)).toThrow();
      db.putSync(`after ${kind}`, value);
    }
    const groups = await take(feed, 3);
    expect(groups).toEqual(["1-1: +a=1", "3-3: +after wal=never", "4-4: +after vlog=large larg"]);
    await db.close();
  });

  test("reads little at a time of what a slow reader has not asked for", async () => {
    const fs = new SimFs();
    const db = await open(fs, { wal: { maxFileSize: 64 << 20 }, memtable: { maxSize: 64 << 20 } });
    const early = db.changes({ since: 0 });
    const small = "s".repeat(150);
    for (let i = 0; i < 40_000; i++) db.putSync(`key ${i}`, small);
    const before = fs.bytesRead;
    expect(await take(early, 2)).toEqual(["1-1: +key 0=ssssssssss", "2-2: +key 1=ssssssssss"]);
    expect(fs.bytesRead - before).toBeLessThan(100_000);
    // One that begins at the end does not search the log for it.
    const late = db.changes();
    db.putSync("last", "1");
    expect(await take(late, 1)).toEqual(["40001-40001: +last=1"]);
    expect(fs.bytesRead - before).toBeLessThan(150_000);
    await db.close();
  });
});

describe("the end of a feed", () => {
  test("comes with its signal, while it waits and before", async () => {
    const db = await open(new SimFs());
    const controller = new AbortController();
    const feed = db.changes({ signal: controller.signal });
    const next = feed.next();
    expect(await waits(next)).toBe(true);
    controller.abort("enough");
    await expect(next).rejects.toMatchObject({ code: "AURA_ABORTED", cause: "enough" });
    await expect(feed.next()).rejects.toMatchObject({ code: "AURA_ABORTED" });
    expect(() => db.changes({ signal: controller.signal })).toThrow(
      withCode("AURA_ABORTED") as Error,
    );
    expect(db.stats().changeFeeds.open).toBe(0);
    await db.close();
  });

  test("comes with the database, while it waits and before it is asked", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    const waiting = db.changes();
    const idle = db.changes({ since: 0 });
    await take(idle, 1);
    const next = waiting.next();
    expect(await waits(next)).toBe(true);
    expect(db.stats().changeFeeds.open).toBe(2);
    const closed = db.close();
    await expect(next).rejects.toMatchObject({ code: "AURA_CLOSED" });
    await closed;
    await expect(idle.next()).rejects.toMatchObject({ code: "AURA_CLOSED" });
    expect(() => db.changes()).toThrow(withCode("AURA_CLOSED") as Error);
    expect(fs.openPaths()).toEqual([]);
  });

  test("comes with the loop that is left, and lets its files go", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (const key of ["a", "b", "c"]) db.putSync(key, LARGE);
    const before = fs.openPaths();
    const feed = db.changes({ since: 0 });
    for await (const { lastSeq } of feed) if (lastSeq === 2) break;
    expect(db.stats().changeFeeds.open).toBe(0);
    expect(fs.openPaths()).toEqual(before);
    expect(await feed.next()).toEqual({ value: undefined, done: true });
    const again = db.changes({ since: feed.seq });
    expect(await take(again, 1)).toEqual(["3-3: +c=large larg"]);
    const next = again.next();
    expect(await again.return()).toEqual({ value: undefined, done: true });
    expect(await next).toEqual({ value: undefined, done: true });
    await db.close();
  });

  test("waits for a read that is under way", async () => {
    const tasks: (() => void)[] = [];
    let held = false;
    const fs = new SimFs({ schedule: (task) => (held ? tasks.push(task) : queueMicrotask(task)) });
    // With small segments the memtable would be flushed for its values, and the history be gone.
    const db = await open(fs, { valueLog: { separationThreshold: 200 } });
    for (let i = 0; i < 300; i++) db.putSync(`key ${i}`, LARGE);
    for (const end of ["abort", "return", "close"] as const) {
      const controller = new AbortController();
      const feed = db.changes({ since: 0, signal: controller.signal });
      held = true;
      // What came with the head of the log is handed out; then the thread pool is waited for.
      let next: Promise<unknown>;
      do next = feed.next().catch((error: unknown) => error);
      while (!(await waits(next)));
      const ended = end === "return" ? feed.return() : undefined;
      if (end === "abort") controller.abort();
      const closed = end === "close" ? db.close() : undefined;
      expect(await waits(next)).toBe(true);
      held = false;
      for (const task of tasks.splice(0)) task();
      const codes = { abort: "AURA_ABORTED", close: "AURA_CLOSED" };
      if (end === "return") expect(await next).toMatchObject({ done: true });
      else expect(await next).toMatchObject({ code: codes[end] });
      await ended;
      await closed;
    }
    expect(fs.openPaths()).toEqual([]);
  });

  test("comes with damage, which is named", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("a", "1");
    db.putSync("b", LARGE);
    db.putSync("c", "3");
    const [vlog] = files(fs, ".vlog");
    fs.flipBits(vlog!, fs.readFile(vlog!).length - 5, 1);
    const feed = db.changes({ since: 0 });
    await take(feed, 1);
    await expect(feed.next()).rejects.toMatchObject({ code: "AURA_CORRUPTION", file: vlog });
    expect(db.stats().changeFeeds.open).toBe(0);
    await db.close();
  });
});

describe("logs", () => {
  test("stay until the slowest feed is past them, and no longer", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const slow = db.changes({ since: 0 });
    const fast = db.changes({ since: 0 });
    for (let round = 0; round < 3; round++) {
      db.putSync(`small ${round}`, "value");
      db.putSync(`large ${round}`, LARGE);
      db.deleteSync(`large ${round}`);
      await db.flush();
      await db.idle();
    }
    expect(files(fs, ".wal")).toHaveLength(3);
    expect(files(fs, ".vlog")).toHaveLength(3);
    expect(db.stats().changeFeeds).toMatchObject({ open: 2, oldestSeq: 0, pinnedFiles: 6 });
    expect(db.stats().changeFeeds.pinnedBytes).toBeGreaterThan(3 * LARGE.length);
    await take(fast, 9);
    expect(db.stats().changeFeeds.pinnedFiles).toBe(6);
    await take(slow, 4);
    await db.idle();
    expect(db.stats().changeFeeds).toMatchObject({ oldestSeq: 4, pinnedFiles: 4 });
    expect(files(fs, ".wal")).toHaveLength(2);
    await slow.return();
    await db.idle();
    expect(db.stats().changeFeeds).toMatchObject({ open: 1, pinnedFiles: 0, pinnedBytes: 0 });
    expect(files(fs, ".wal")).toEqual([]);
    expect(files(fs, ".vlog")).toEqual([]);
    expect(fs.openPaths().filter((path) => /wal|vlog/.test(path))).toEqual([]);
    db.putSync("on", "1");
    expect(await take(fast, 1)).toEqual(["10-10: +on=1"]);
    await db.close();
  });

  test("that are gone are said to be, with what can be had", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (const key of ["a", "b", "c"]) db.putSync(key, "1");
    await db.flush();
    await db.idle();
    const gone = { code: "AURA_HISTORY_GONE", expected: 4, actual: 1 };
    expect(() => db.changes({ since: 1 })).toThrow(expect.objectContaining(gone) as Error);
    const feed = db.changes({ since: 3 });
    db.putSync("d", "1");
    expect(await take(feed, 1)).toEqual(["4-4: +d=1"]);
    expect(() => db.changes({ since: 5 })).toThrow(withCode("AURA_HISTORY_GONE") as Error);
    for (const since of [-1, 0.5, "1", Number.NaN]) {
      const wrong = { since } as { since: number };
      expect(() => db.changes(wrong)).toThrow(withCode("AURA_INVALID_ARGUMENT") as Error);
    }
    const unknown = { from: 1 } as object;
    expect(() => db.changes(unknown)).toThrow(withCode("AURA_INVALID_ARGUMENT") as Error);
    await db.close();
  });

  test("go on over a restart, as far as they are not flushed", async () => {
    const fs = new SimFs();
    let db = await open(fs);
    db.putSync("a", "1");
    db.putSync("b", LARGE);
    await db.close();
    db = await open(fs);
    const feed = db.changes({ since: 1 });
    db.putSync("c", "3");
    await db.flush();
    expect(await take(feed, 2)).toEqual(["2-2: +b=large larg", "3-3: +c=3"]);
    await feed.return();
    await db.idle();
    expect(files(fs, ".wal")).toEqual([]);
    await db.close();
  });

  test("left behind by a crash are removed at the next open", async () => {
    let fs = new SimFs();
    let db = await open(fs);
    db.changes({ since: 0 });
    for (let i = 0; i < 5; i++) {
      db.putSync("same", LARGE);
      db.putSync("small", "1");
      db.deleteSync("same");
      await db.flush();
    }
    await db.idle();
    expect(files(fs, ".wal")).toHaveLength(5);
    fs = fs.processKill();
    await db.close();
    db = await open(fs);
    await db.idle();
    expect(files(fs, "log")).toEqual([]);
    expect(files(fs, ".wal")).toEqual([]);
    expect(() => db.changes({ since: 0 })).toThrow(withCode("AURA_HISTORY_GONE") as Error);
    expect(db.getSync("small")?.toString()).toBe("1");
    await db.close();
  });
});

test("a snapshot, a scan of it and a feed behind it have everything, without a gap", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  for (let i = 0; i < 200; i++) db.putSync(`key ${i}`, i % 3 === 0 ? LARGE : `${i}`);
  const copy = new Map<string, string>();
  // The feed first: from here on nothing that the snapshot does not see can get lost.
  const snapshot = db.snapshot();
  const feed = db.changes({ since: snapshot.seq });
  let writes = 0;
  const write = async (): Promise<void> => {
    for (; writes < 300; writes++) {
      if (writes % 7 === 0) await db.delete(`key ${writes}`);
      else await db.put(`key ${writes % 250}`, `new ${writes}`);
      if (writes % 50 === 49) await db.flush();
    }
  };
  const writing = write();
  for await (const [key, value] of db.scan({ snapshot })) copy.set(String(key), String(value));
  snapshot.release();
  await writing;
  await db.compact();
  while (feed.seq < 500) {
    for (const change of (await feed.next()).value!.changes) {
      if (change.type === "put") copy.set(String(change.key), String(change.value));
      else copy.delete(String(change.key));
    }
  }
  const found = [...db.scanSync()].map(([key, value]) => [String(key), String(value)]);
  expect([...copy].sort(([a], [b]) => (a < b ? -1 : 1))).toEqual(found);
  await db.close();
});

test("on the real disk, beside threads that append, fill, flush and remove", async () => {
  await withDirectory(async (path) => {
    const db = await openReal(path, {
      wal: { maxFileSize: 262144 },
      memtable: { maxSize: 4 << 20 },
    });
    const feed = db.changes({ since: 0 });
    const wanted: string[] = [];
    const read = async (count: number): Promise<string[]> => {
      const found: string[] = [];
      while (found.length < count) {
        for (const change of (await feed.next()).value!.changes) {
          const bytes = change.type === "put" ? change.value.length : -1;
          found.push(`${change.seq} ${String(change.key)} ${bytes}`);
        }
      }
      return found;
    };
    const note = (key: string, bytes: number): void => {
      wanted.push(`${wanted.length + 1} ${key} ${bytes}`);
    };
    const total = 60 * 6 + 60 * 40;
    const reading = read(total);
    for (let round = 0; round < 60; round++) {
      const batch = new WriteBatch();
      for (let i = 0; i < 40; i++) {
        batch.put(`batch ${i}`, Buffer.alloc(30_000 + i, round));
        note(`batch ${i}`, 30_000 + i);
      }
      const written = [db.write(batch)];
      for (let i = 0; i < 6; i++) {
        written.push(db.put(`key ${i}`, "v".repeat(i * 400), { sync: i % 2 === 0 }));
        note(`key ${i}`, i * 400);
      }
      await Promise.all(written);
    }
    expect(await reading).toEqual(wanted);
    await db.flush();
    await db.idle();
    expect(db.stats().changeFeeds.pinnedFiles).toBe(0);
    await db.close();
  });
});
