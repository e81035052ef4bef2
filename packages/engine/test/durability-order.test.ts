/** Rules of durability about order, waiting and memory: each test breaks when its rule is broken. */
import { SimFs, simRuntime } from "@aura/base/testing";
import { readLog } from "@aura/wal";
import { describe, expect, test } from "vitest";
import { ByteReader } from "../src/byte-buffer.ts";
import { AuraDB, type Settings, WriteBatch } from "../src/index.ts";
import { decodePreamble } from "../src/log-preamble.ts";
import { bounded, fewTurns } from "./support/fault-run.ts";

const directory = "/db";
const KIB = 1024;
const settings: Settings = {
  seed: 5,
  wal: { maxFileSize: 64 * KIB, backgroundSyncBytes: 0 },
  valueLog: { separationThreshold: 2000 },
  memtable: { maxSize: 262144, maxCount: 2 },
  compaction: { automatic: false },
};

/** A file system whose thread pool does nothing while it is held. */
function heldFs(): { fs: SimFs; hold: (isHeld: boolean) => void; tasks: (() => void)[] } {
  const tasks: (() => void)[] = [];
  let isHeld = false;
  const schedule = (task: () => void): void => {
    if (isHeld) tasks.push(task);
    else queueMicrotask(task);
  };
  const hold = (held: boolean): void => {
    isHeld = held;
    if (!held) for (const task of tasks.splice(0)) task();
  };
  return { fs: new SimFs({ schedule }), hold, tasks };
}

function open(fs: SimFs, more: Settings = {}, runtime = simRuntime(2)): Promise<AuraDB> {
  return AuraDB.open(directory, { ...settings, ...more }, { fs, runtime });
}

test("a write at level os never waits for a sync in flight, whichever way it comes", async () => {
  const { fs, hold, tasks } = heldFs();
  const db = await open(fs);
  db.putSync("first", "1");
  hold(true);
  let isSynced = false;
  const synced = db.put("synced", "2", { sync: true }).then(() => {
    isSynced = true;
  });
  await fewTurns();
  expect(tasks.length).toBeGreaterThan(0);
  db.putSync("sync call", "3");
  await bounded("a put", db.put("put", "4"));
  await bounded("puts of one run", Promise.all([db.put("a", "5"), db.put("b", "6")]));
  await bounded(
    "a batch",
    db.write(new WriteBatch().put("batch", "7").put("large", "8".repeat(3000))),
  );
  await bounded("a receipt", db.submit(new WriteBatch().put("submitted", "9")).committed);
  expect(isSynced).toBe(false);
  const again = await (async () => {
    const image = fs.processKill();
    hold(false);
    return open(image);
  })();
  expect([...again.keysSync()].length).toBe(9);
  await again.close();
  await synced;
  await bounded("close", db.close());
});

test("asynchronous writes are appended and visible in call order, however they leave", async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const fs = new SimFs();
    const db = await open(
      fs,
      { memtable: { maxSize: 4 << 20 } },
      simRuntime(seed, { order: "random" }),
    );
    const feed = db.changes({ since: 0 });
    const settled: number[] = [];
    const writes: Promise<void>[] = [];
    const random = (n: number, i: number): number =>
      (Math.imul(i + 7, seed * 2654435761) >>> 9) % n;
    for (let i = 0; i < 120; i++) {
      // Some groups are large enough for the thread pool.
      const value = Buffer.alloc(
        [10, 300, 30_000, 600_000][random(20, i) === 0 ? 3 : random(3, i)]!,
        i,
      );
      const levels = ["os", "sync", "os"] as const;
      const options = { durability: levels[random(3, i + 99)]! };
      if (random(5, i + 5) === 0) db.putSync("same", value);
      else writes.push(db.put("same", value, options).then(() => void settled.push(i)));
      if (random(4, i + 3) === 0) {
        // A read sees every write before it.
        expect(db.getSync("same")![0]).toBe(i);
      }
      if (random(6, i + 1) === 0) await fewTurns();
    }
    await bounded("writes", Promise.all(writes));
    const order: number[] = [];
    while (order.length < 120) {
      for (const change of (await feed.next()).value!.changes) {
        if (change.type === "put") order.push(change.value[0]!);
      }
    }
    expect(order, `seed ${seed}`).toEqual(Array.from({ length: 120 }, (_, i) => i));
    await feed.return();
    await bounded("close", db.close());
  }
});

test("each log names the length, last sequence number and checksum of the one before it", async () => {
  const fs = new SimFs();
  const db = await open(fs, { memtable: { maxSize: 4 << 20 } });
  for (let i = 0; i < 900; i++) db.putSync(`key ${i}`, "x".repeat(300), { sync: i % 97 === 0 });
  await db.close();
  const logs = fs.list(directory).filter((path) => path.endsWith(".wal"));
  expect(logs.length).toBeGreaterThan(3);
  let before = { number: 0, bytes: 0, lastSeq: 0, checksum: 0 };
  for (const path of logs) {
    const log = readLog(fs, path);
    const { predecessor, createdAtSeq } = decodePreamble(new ByteReader(log.preamble, path, 0));
    expect(predecessor).toEqual(before.number === 0 ? undefined : before);
    expect(createdAtSeq).toBe(before.lastSeq);
    while (log.next()) if (log.count > 0) before.lastSeq = log.first + log.count - 1;
    const checksum = log.checksum;
    before = { ...before, number: log.header.number, bytes: log.end!.offset, checksum };
    log.closeSync();
  }
});

test("a log that lost its end is damage when a later one was begun, though that is empty", async () => {
  const fs = new SimFs();
  const db = await open(fs, { wal: { maxFileSize: 64 * KIB }, memtable: { maxSize: 4 << 20 } });
  for (let i = 0; fs.list(directory).filter((path) => path.endsWith(".wal")).length < 2; i++) {
    db.putSync(`key ${i}`, "x".repeat(300));
  }
  const [first, second] = fs.list(directory).filter((path) => path.endsWith(".wal"));
  const image = fs.processKill();
  const log = readLog(image, first!);
  let last = 0;
  while (log.next()) last = log.offset;
  log.closeSync();
  const preamble = readLog(image, second!);
  const begun = preamble.nextOffset;
  preamble.closeSync();
  image.writeFile(first!, image.readFile(first!).subarray(0, last));
  image.writeFile(second!, image.readFile(second!).subarray(0, begun));
  await expect(open(image)).rejects.toMatchObject({ code: "AURA_CORRUPTION" });
  await db.close();
});

describe("memory", () => {
  test("of writes that nobody awaits: the memtables, and one more", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const value = "x".repeat(1500);
    let waiting = 0;
    let most = 0;
    let logged = 0;
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 6000; i++) {
      waiting += value.length;
      writes.push(db.put(`key ${i}`, value));
      // What is not in a log is in the queue.
      logged = db.stats().log.bytesAppended;
      most = Math.max(most, waiting - logged);
    }
    expect(db.stats().memtables.usedBytes).toBeLessThanOrEqual(2 * 262144);
    // One open group takes 4 MiB, whatever the memtables take.
    expect(most).toBeLessThan((4 << 20) + 5000);
    await bounded("writes", Promise.all(writes));
    expect([...db.keysSync()].length).toBe(6000);
    await bounded("close", db.close());
  });

  test("of large values that nobody awaits is bounded by the same", async () => {
    const fs = new SimFs();
    const db = await open(fs, { memtable: { maxSize: 1 << 20, maxCount: 2 } });
    const writes: Promise<void>[] = [];
    let most = 0;
    for (let i = 0; i < 64; i++) {
      writes.push(db.put(`key ${i}`, Buffer.alloc(300_000, i)));
      most = Math.max(most, (i + 1) * 300_000 - db.stats().log.bytesAppended);
    }
    expect(most).toBeLessThan((4 << 20) + 700_000);
    await bounded("writes", Promise.all(writes));
    expect(db.getSync("key 63")?.[0]).toBe(63);
    await bounded("close", db.close());
  });
});

test("the ballast is made with the first flush, given up on a full volume, and made again", async () => {
  const fs = new SimFs({ capacity: 32 << 20 });
  const runtime = simRuntime(2);
  const db = await open(fs, {}, runtime);
  const path = `${directory}/BALLAST`;
  db.putSync("a", "1");
  expect(fs.existsSync(path)).toBe(false);
  await bounded("flush", db.flush(), runtime);
  expect(fs.fileBytesSync(path)).toBe(1 << 20);
  fs.writeFile("/filler", new Uint8Array(fs.freeBytesSync("/")));
  const full = expect.objectContaining({ code: "AURA_OUT_OF_SPACE" });
  // Its space is what the log is made of that says that the write was rejected.
  expect(() => db.putSync("b", "2".repeat(9000))).toThrow(full);
  expect(fs.existsSync(path)).toBe(false);
  expect(db.stats().failure).toBe(undefined);
  runtime.advance(1000);
  expect(() => db.putSync("c", "3")).toThrow(full);
  fs.unlinkSync("/filler");
  runtime.advance(1000);
  db.putSync("d", "4");
  expect(fs.fileBytesSync(path)).toBe(1 << 20);
  const killed = await open(fs.processKill());
  expect([...killed.keysSync()].map(String)).toEqual(["a", "d"]);
  await killed.close();
  await bounded("close", db.close(), runtime);
});
