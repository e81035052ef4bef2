/**
 * Values of large groups spread over several logs: what is promised at each level holds wherever a
 * crash or a fault comes, a batch is whole or absent, and a pointer never leads nowhere.
 */
import { type PlannedFault, SimFs, type SimRuntime, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { AuraDB, type Durability, type Settings, WriteBatch } from "../src/index.ts";
import { bounded } from "./support/fault-run.ts";
import { directory } from "./support/names-run.ts";
import { WatchedFs } from "./support/watched-fs.ts";

const KIB = 1024;
const settings: Settings = {
  seed: 7,
  valueLog: { writeQueues: 3, maxSegmentSize: 1024 * KIB, spaceAmplificationMax: 1.2 },
  memtable: { maxSize: 262144, maxCount: 3 },
  compaction: { l0Trigger: 2 },
  cache: { capacity: 262144 },
};
const VALUES = 5;
/** Every so many operations are taken; with AURA_SLOW=1 all. */
const STRIDE = process.env["AURA_SLOW"] === "1" ? 1 : 3;

function open(fs: SimFs | WatchedFs, runtime: SimRuntime = simRuntime(7)): Promise<AuraDB> {
  return AuraDB.open(directory, settings, { fs, runtime });
}

/** What write `i` puts: a batch of large values under its own names, or one small value. */
function isLarge(i: number): boolean {
  return i % 3 !== 2;
}

function largeValue(i: number, at: number): Buffer {
  return Buffer.alloc(230 * KIB + at * 999, `${i}.${at};`);
}

function batchOf(i: number): WriteBatch {
  const batch = new WriteBatch();
  if (!isLarge(i)) return batch.put(`small ${i}`, `${i}`);
  // The same names every few writes, so that values die.
  for (let at = 0; at < VALUES; at++) batch.put(`k${i % 4}/${at}`, largeValue(i, at));
  return batch.put(`large ${i}`, "inline");
}

interface Promised {
  issued: number;
  acked: number;
  durable: number;
}

const WRITES = 12;

/** Writes, through everything that a log of values meets. */
async function run(fs: SimFs | WatchedFs, level: Durability, promised: Promised): Promise<AuraDB> {
  const runtime = simRuntime(7);
  const db = await open(fs, runtime);
  // Writes are delayed by the clock while room for values is short.
  const settled = <T>(promise: Promise<T>): Promise<T> => bounded("a call", promise, runtime);
  for (let i = 0; i < WRITES; i++) {
    promised.issued = i + 1;
    const first = db.write(batchOf(i), { durability: level });
    if (i % 4 === 1) {
      // A second one in the same run of code, and a call that lands what is in flight.
      promised.issued = ++i + 1;
      const second = db.write(batchOf(i), { durability: level });
      if (i % 8 === 2) db.getSync("nothing");
      await settled(second);
    }
    await settled(first);
    promised.acked = i + 1;
    if (level === "sync") promised.durable = i + 1;
    if (i % 5 === 4) {
      await settled(db.flush());
      promised.durable = i + 1;
    }
    if (i === 7) {
      await settled(db.sync());
      promised.durable = i + 1;
    }
  }
  await settled(db.compact());
  await settled(db.idle());
  await settled(db.close());
  promised.durable = promised.issued;
  return db;
}

/** Checks that an image holds the first k writes, whole, for a k in the bounds; and its files. */
async function check(fs: SimFs, least: number, most: number): Promise<void> {
  const db = await open(fs);
  try {
    let k = least;
    for (let i = 0; i < WRITES; i++) {
      if (db.getSync(isLarge(i) ? `large ${i}` : `small ${i}`) !== undefined)
        k = Math.max(k, i + 1);
    }
    expect(k).toBeLessThanOrEqual(most);
    const model = new Map<string, Buffer>();
    for (let i = 0; i < k; i++) {
      if (!isLarge(i)) model.set(`small ${i}`, Buffer.from(`${i}`));
      else {
        for (let at = 0; at < VALUES; at++) model.set(`k${i % 4}/${at}`, largeValue(i, at));
        model.set(`large ${i}`, Buffer.from("inline"));
      }
    }
    const found = new Map([...db.scanSync()].map(([key, value]) => [key.toString(), value]));
    expect([...found.keys()]).toEqual([...model.keys()].sort());
    for (const [key, value] of model) expect(found.get(key)!.equals(value), key).toBe(true);
    await db.write(batchOf(0), { durability: "sync" });
  } finally {
    await bounded("close", db.close());
  }
  expect(fs.openPaths()).toEqual([]);
  const report = await AuraDB.verify(directory, { fs, runtime: simRuntime(1) });
  expect(report.problems).toEqual([]);
}

const logsOf = (fs: SimFs): string[] => fs.list(directory).filter((path) => path.endsWith(".vlog"));

test("a large group is spread over its queues, a small one is not", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  await db.put("one", largeValue(0, 0));
  expect(logsOf(fs).length).toBe(1);
  await db.write(batchOf(0));
  await db.write(batchOf(1));
  expect(logsOf(fs).length).toBe(4);
  const sizes = logsOf(fs).map((path) => fs.readFile(path).length);
  for (const size of sizes.slice(1)) expect(size).toBeGreaterThan(400 * KIB);
  expect(db.getSync("k0/4")?.equals(largeValue(0, 4))).toBe(true);
  // A sync covers them all, whoever wrote them.
  db.putSync("last", "1", { sync: true });
  const lost = await open(fs.crash({ data: "none", names: "none" }));
  for (let at = 0; at < VALUES; at++) {
    expect(lost.getSync(`k0/${at}`)?.equals(largeValue(0, at))).toBe(true);
    expect(lost.getSync(`k1/${at}`)?.equals(largeValue(1, at))).toBe(true);
  }
  await lost.close();
  await db.close();
});

describe.each(["buffered", "os", "sync"] as const)("level %s", (level) => {
  test("what was promised survives a crash at every operation", { timeout: 300_000 }, async () => {
    const sim = new SimFs();
    const promised: Promised = { issued: 0, acked: 0, durable: 0 };
    const images: { fs: SimFs; kind: string; at: number; promised: Promised }[] = [];
    let at = 0;
    const watched = new WatchedFs(sim, () => {
      if (++at % STRIDE !== 0) return;
      const kind = (at / STRIDE) % 2 === 0 ? "kill" : "power";
      const image = kind === "kill" ? sim.processKill() : sim.crash({ seed: at });
      images.push({ fs: image, kind, at, promised: { ...promised } });
    });
    await run(watched, level, promised);
    expect(images.length).toBeGreaterThan(60 / STRIDE);
    for (const image of images) {
      const { acked, durable, issued } = image.promised;
      try {
        await check(image.fs, image.kind === "kill" ? acked : durable, issued);
      } catch (cause) {
        throw new Error(`${image.kind} at operation ${image.at}`, { cause });
      }
    }
  });
});

describe.each([
  ["EIO", { error: "EIO" }],
  ["ENOSPC after a part", { error: "ENOSPC", partial: 5000 }],
  ["EIO though it happened", { error: "EIO", happened: true }],
] as const)("%s", (_, fault) => {
  test("at every operation on a log: no acknowledged write is lost, no rejected one appears", {
    timeout: 300_000,
  }, async () => {
    let fired = 0;
    for (let at = 1; at < 60; at += STRIDE) {
      const fs = new SimFs({ seed: at });
      const runtime = simRuntime(7);
      const db = await AuraDB.open(directory, settings, { fs, runtime });
      let operation = 0;
      const planned: PlannedFault = fs.failAt({
        ...fault,
        at: (kind, path) => {
          if (kind !== "write" && kind !== "create" && kind !== "sync") return false;
          if (!path.endsWith("log") && !path.endsWith("wal")) return false;
          if (kind !== "write" && "happened" in fault) return false;
          return ++operation === at;
        },
      });
      const outcomes: (string | undefined)[] = [];
      for (let i = 0; i < WRITES && db.stats().failure === undefined; i++) {
        const durability = (["os", "sync", "os", "os"] as const)[i % 4]!;
        const written = db.write(batchOf(i), { durability });
        if (i % 5 === 3) db.getSync("nothing");
        outcomes[i] = await bounded("a write", written, runtime).then(
          () => "acknowledged",
          (error: { code: string }) => error.code,
        );
        runtime.advance(200);
      }
      if (planned.fired === 0) {
        await bounded("close", db.close(), runtime);
        break;
      }
      fired++;
      try {
        const image = await open(fs.processKill());
        outcomes.forEach((outcome, i) => {
          if (outcome === "AURA_UNKNOWN_OUTCOME") return;
          const wanted = outcome === "acknowledged";
          const mark = isLarge(i) ? `large ${i}` : `small ${i}`;
          expect(image.getSync(mark) !== undefined, `write ${i}: ${outcome}`).toBe(wanted);
        });
        for (const [key, value] of image.scanSync()) {
          const [, name, index] = /^k(\d)\/(\d)$/.exec(key.toString()) ?? [];
          if (name === undefined) continue;
          const last = outcomes.findLastIndex(
            (outcome, i) =>
              isLarge(i) &&
              i % 4 === Number(name) &&
              (outcome === "acknowledged" || image.getSync(`large ${i}`) !== undefined),
          );
          expect(value.equals(largeValue(last, Number(index)))).toBe(true);
        }
        await image.close();
      } catch (cause) {
        throw new Error(`at ${at}: ${JSON.stringify(outcomes)}`, { cause });
      }
      await bounded(
        "close",
        db.close().catch(() => undefined),
        runtime,
      );
      expect(fs.openPaths()).toEqual([]);
    }
    expect(fired).toBeGreaterThan(15 / STRIDE);
  });
});

test("a queue that fails voids its group and nothing else, and writing goes on", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  await db.write(batchOf(0));
  const before = db.stats().lastSeq;
  const [, second] = logsOf(fs);
  fs.failAt({ at: (kind, path) => kind === "write" && path === second, error: "EIO", partial: 9 });
  await expect(db.write(batchOf(1))).rejects.toMatchObject({ code: "AURA_IO" });
  // Nothing of the group is left: its numbers are given again.
  expect(db.stats().lastSeq).toBe(before);
  expect(db.getSync("k1/0")).toBe(undefined);
  await db.write(batchOf(3), { sync: true });
  for (const image of [fs.processKill(), fs.crash({ data: "none", names: "none" })]) {
    const again = await open(image);
    expect([...again.keysSync({ prefix: "large" })].map(String)).toEqual(["large 0", "large 3"]);
    expect(again.getSync("k3/4")?.equals(largeValue(3, 4))).toBe(true);
    await again.close();
  }
  await db.close();
});

test("a feed hands out values of all queues, and keeps their logs", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  const feed = db.changes({ since: 0 });
  for (let i = 0; i < 6; i++) await db.write(batchOf(i));
  await db.flush();
  await db.compact();
  await db.idle();
  for (let i = 0; i < 6; i++) {
    const { value } = await feed.next();
    const puts = value!.changes;
    expect(puts.length).toBe(isLarge(i) ? VALUES + 1 : 1);
    if (!isLarge(i)) continue;
    for (let at = 0; at < VALUES; at++) {
      const put = puts[at]!;
      expect(put.type === "put" && put.value.equals(largeValue(i, at))).toBe(true);
    }
  }
  await feed.return();
  await db.idle();
  await db.close();
  expect((await AuraDB.verify(directory, { fs, runtime: simRuntime(1) })).problems).toEqual([]);
});

test("a far value that is damaged is damage, as one in its frame is", async () => {
  const fs = new SimFs();
  const db = await open(fs);
  await db.write(batchOf(0), { sync: true });
  db.putSync("after", "1");
  const [path] = logsOf(fs);
  const bad = fs.crash({ data: "all", names: "all" });
  bad.flipBits(path!, 300 * KIB, 4);
  await expect(open(bad)).rejects.toMatchObject({ code: "AURA_CORRUPTION" });
  const gone = fs.processKill();
  gone.unlinkSync(path!);
  await expect(open(gone)).rejects.toMatchObject({ code: "AURA_CORRUPTION" });
  await db.close();
});

describe("queues that the thread pool has not finished", () => {
  let isHeld = false;

  /** A database whose thread pool does what `tasks` holds when it is told to. */
  async function openHeld(): Promise<{ fs: SimFs; db: AuraDB; tasks: (() => void)[] }> {
    const tasks: (() => void)[] = [];
    isHeld = false;
    const schedule = (task: () => void): void => {
      if (isHeld) tasks.push(task);
      else queueMicrotask(task);
    };
    const fs = new SimFs({ schedule });
    const db = await open(fs);
    await db.write(batchOf(0));
    isHeld = true;
    return { fs, db, tasks };
  }

  async function turns(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async function marksIn(fs: SimFs): Promise<string[]> {
    isHeld = false;
    const image = await open(fs);
    const marks = [...image.keysSync({ prefix: "large" })].map(String);
    if (marks.includes("large 1"))
      expect(image.getSync("k1/4")?.equals(largeValue(1, 4))).toBe(true);
    await image.close();
    isHeld = true;
    return marks;
  }

  test("acknowledge nothing; whoever cannot wait writes them again, in front of its own", async () => {
    for (const isSynced of [false, true]) {
      const { fs, db, tasks } = await openHeld();
      let isDone = false;
      const written = db.write(batchOf(1)).then(() => {
        isDone = true;
      });
      await turns();
      expect(tasks.length).toBe(3);
      tasks[0]!();
      await turns();
      expect(isDone).toBe(false);
      expect(await marksIn(fs.processKill())).toEqual(["large 0"]);
      db.putSync("large 2", "behind it", { sync: isSynced });
      const wanted = ["large 0", "large 1", "large 2"];
      expect(await marksIn(fs.processKill())).toEqual(wanted);
      if (isSynced)
        expect(await marksIn(fs.crash({ data: "none", names: "none" }))).toEqual(wanted);
      // A group that comes now goes another way: the pool still has these logs.
      const next = db.write(batchOf(3));
      for (const task of tasks.splice(1)) task();
      await turns();
      while (tasks.length > 1) tasks.pop()!();
      await written;
      await next;
      expect(await marksIn(fs.processKill())).toEqual([...wanted, "large 3"]);
      isHeld = false;
      for (const task of tasks.splice(0)) task();
      await bounded("close", db.close());
      expect(fs.openPaths()).toEqual([]);
    }
  });

  test("are not there when one of them failed, though the others come later", async () => {
    const { fs, db, tasks } = await openHeld();
    const written = db.write(batchOf(1)).then(
      () => "acknowledged",
      (error: { code: string }) => error.code,
    );
    await turns();
    const [first, second, third] = tasks.splice(0);
    fs.failAt({ at: (kind, path) => kind === "write" && path.endsWith("vlog"), error: "EIO" });
    second!();
    await turns();
    // It must not take the failed queue for one that was finished.
    expect(db.getSync("k1/0")).toBe(undefined);
    expect(await written).toBe("AURA_IO");
    first!();
    third!();
    await turns();
    db.putSync("large 2", "after it");
    expect(await marksIn(fs.processKill())).toEqual(["large 0", "large 2"]);
    isHeld = false;
    await bounded("close", db.close());
    expect(fs.openPaths()).toEqual([]);
  });
});
