/** Values that are written while they come: whole or absent, and nothing left of those given up. */
import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { SimFs, simRuntime } from "@aura/base/testing";
import { describe, expect, test, vi } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { StreamRoom } from "../src/stream-room.ts";
import { bounded } from "./support/fault-run.ts";
import { leaveOpen } from "./support/leaks.ts";
import { directory } from "./support/names-run.ts";
import { openReal, withDirectory } from "./support/open-real.ts";
import { WatchedFs } from "./support/watched-fs.ts";

const MIB = 1024 * 1024;
const settings: Settings = {
  seed: 3,
  wal: { backgroundSyncBytes: 2 * MIB },
  memtable: { maxSize: 262144, maxCount: 3 },
  compaction: { l0Trigger: 2 },
  cache: { capacity: 0 },
};

function open(fs: SimFs | WatchedFs, runtime = simRuntime(7)): Promise<AuraDB> {
  return AuraDB.open(directory, settings, { fs, runtime });
}

function bytesOf(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i + 4 <= length; i += 512) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, i);
  }
  return bytes;
}

/** Pieces of sizes that fit nothing. */
function* piecesOf(value: Buffer, size = 300_007): Generator<Buffer, void, void> {
  for (let at = 0; at < value.length; at += size) yield value.subarray(at, at + size);
}

async function streamIn(db: AuraDB, key: string, value: Buffer, options = {}): Promise<void> {
  await pipeline(Readable.from(piecesOf(value)), db.createWriteStream(key, options));
}

async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

const logsOf = (fs: SimFs): string[] => fs.list(directory).filter((path) => path.endsWith(".vlog"));

async function expectSound(fs: SimFs): Promise<void> {
  expect(fs.openPaths()).toEqual([]);
  const report = await AuraDB.verify(directory, { fs, runtime: simRuntime(1) });
  expect(report.problems).toEqual([]);
}

describe("a value that comes in pieces", () => {
  test.each([4 * MIB - 1, 4 * MIB + 1, 5 * MIB, 5 * MIB + 65_536, 6 * MIB - 3])(
    "of %d bytes is read as it came, wherever it is by then",
    async (length) => {
      const fs = new SimFs();
      const value = bytesOf(length);
      let db = await open(fs);
      await streamIn(db, "a", value);
      await streamIn(db, "sized", value, { size: length, sync: true });
      const check = async (where: string): Promise<void> => {
        for (const key of ["a", "sized"]) {
          expect((await db.get(key))!.equals(value), where).toBe(true);
          const part = db.readSync(key, { offset: length - 70_000, length: 1000 })!;
          expect(part.equals(value.subarray(length - 70_000, length - 69_000)), where).toBe(true);
        }
      };
      await check("memtable");
      const lost = fs.crash({ data: "none", names: "none" });
      await db.flush();
      await check("table");
      await db.compact();
      await db.close();
      await expectSound(fs);
      db = await open(fs);
      await check("reopened");
      await db.close();
      db = await open(lost);
      await check("after a power loss");
      await db.close();
      await expectSound(lost);
    },
  );

  test("is visible when it has ended, and not before", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("k", "before");
    const value = bytesOf(6 * MIB);
    const stream = db.createWriteStream("k");
    for (const piece of piecesOf(value)) {
      if (!stream.write(piece)) await once(stream, "drain");
      expect(db.getSync("k")?.toString()).toBe("before");
    }
    stream.end();
    await once(stream, "finish");
    expect(stream.bytesWritten).toBe(value.length);
    expect(db.getSync("k")!.equals(value)).toBe(true);
    const feed = db.changes({ since: 0 });
    await feed.next();
    const change = (await feed.next()).value!.changes[0]!;
    expect(change.type === "put" && change.value.equals(value)).toBe(true);
    await feed.return();
    await db.close();
  });

  test("beside another one, and writes at every level between their pieces", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const values = [bytesOf(5 * MIB, 1), bytesOf(7 * MIB, 2)];
    const streams = values.map((_, i) => db.createWriteStream(`s${i}`));
    for (let at = 0; at < 7 * MIB; at += 500_000) {
      for (const [i, stream] of streams.entries()) {
        const piece = values[i]!.subarray(at, at + 500_000);
        if (piece.length > 0 && !stream.write(piece)) await once(stream, "drain");
      }
      db.putSync(`os ${at}`, "1");
      await db.put(`sync ${at}`, "x".repeat(5000), { sync: true });
    }
    await db.flush();
    for (const stream of streams) {
      stream.end();
      await once(stream, "finish");
    }
    for (const [i, value] of values.entries()) {
      expect(db.getSync(`s${i}`)!.equals(value)).toBe(true);
    }
    const image = fs.processKill();
    await db.close();
    await expectSound(fs);
    const killed = await open(image);
    expect(killed.getSync("s1")!.equals(values[1]!)).toBe(true);
    await killed.close();
  });

  test("takes the memory of its bytes, though it comes one by one", async () => {
    const db = await open(new SimFs());
    const value = bytesOf(512 * 1024);
    const stream = db.createWriteStream("k");
    const piece = Buffer.alloc(1);
    const before = process.memoryUsage().arrayBuffers;
    for (const byte of value) {
      piece[0] = byte;
      stream.write(piece);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(3 * MIB);
    stream.end();
    await once(stream, "finish");
    expect(db.getSync("k")?.equals(value)).toBe(true);
    await db.close();
  });

  test("takes no more memory than its buffers", async () => {
    await withDirectory(async (path) => {
      const db = await openReal(path);
      const piece = bytesOf(MIB);
      const stream = db.createWriteStream("k");
      global.gc?.();
      const before = process.memoryUsage().arrayBuffers;
      let most = 0;
      for (let i = 0; i < 96; i++) {
        if (!stream.write(piece)) await once(stream, "drain");
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
      }
      stream.end();
      await once(stream, "finish");
      expect(most).toBeLessThan(24 * MIB);
      const end = await db.read("k", { offset: 95 * MIB });
      expect(end!.equals(piece)).toBe(true);
      await db.close();
    });
  });
});

describe("what is given up", () => {
  test("leaves no file: destroyed, of another length, aborted, or refused", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    db.putSync("k", "kept");
    const value = bytesOf(6 * MIB);
    const destroyed = db.createWriteStream("k");
    for (const piece of piecesOf(value)) {
      if (!destroyed.write(piece)) await once(destroyed, "drain");
    }
    expect(logsOf(fs).length).toBe(1);
    destroyed.destroy();
    await once(destroyed, "close");
    await expect(streamIn(db, "k", value, { size: value.length + 1 })).rejects.toMatchObject({
      code: "AURA_INVALID_ARGUMENT",
    });
    await expect(streamIn(db, "k", value, { size: value.length - 1 })).rejects.toMatchObject({
      code: "AURA_INVALID_ARGUMENT",
    });
    await db.idle();
    expect(logsOf(fs)).toEqual([]);
    expect(db.getSync("k")?.toString()).toBe("kept");
    await db.close();
    await expectSound(fs);
  });

  test("by the close of the database or a kill is gone, at once or at the next open", async () => {
    leaveOpen();
    const fs = new SimFs();
    const db = await open(fs);
    const stream = db.createWriteStream("k");
    const failed = once(stream, "error");
    for (const piece of piecesOf(bytesOf(6 * MIB))) stream.write(piece, () => undefined);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(logsOf(fs).length).toBe(1);
    const image = fs.processKill();
    await bounded("close", db.close());
    expect((await failed)[0]).toMatchObject({ code: "AURA_CLOSED" });
    expect(fs.openPaths()).toEqual([]);
    for (const left of [fs, image]) {
      const again = await open(left);
      expect(logsOf(left)).toEqual([]);
      expect([...again.keysSync()]).toEqual([]);
      await again.close();
      await expectSound(left);
    }
  });

  test("by the close, while it is being written, is nothing that the close vouches for", async () => {
    leaveOpen();
    const tasks: (() => void)[] = [];
    let isHeld = false;
    const fs = new SimFs({
      schedule: (task) => {
        if (isHeld) tasks.push(task);
        else queueMicrotask(task);
      },
    });
    const db = await open(fs);
    db.putSync("a", "1");
    const streams = ["k", "l"].map((key) => db.createWriteStream(key));
    const ended = streams.map((stream) => once(stream, "close").catch(() => undefined));
    isHeld = true;
    for (const stream of streams) stream.write(bytesOf(7 * MIB), () => undefined);
    await turns();
    expect(tasks.length).toBe(2);
    const closing = db.close();
    await turns();
    isHeld = false;
    // First what the close waits for itself, the streams' last.
    for (const task of tasks.reverse()) {
      task();
      await turns();
    }
    await bounded("close", closing);
    await bounded("streams", Promise.all(ended));
    // Whether their files are removed before or behind the close is a matter of chance.
    for (const path of logsOf(fs)) fs.unlinkSync(path);
    const again = await open(fs);
    expect([...again.keysSync()].map(String)).toEqual(["a"]);
    await again.close();
    await expectSound(fs);
  });

  test("while it waits for room, takes none", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const rooms = new Set<StreamRoom>();
    let giveRoom = (): void => undefined;
    const room = new Promise<void>((resolve) => {
      giveRoom = resolve;
    });
    const take = vi.spyOn(StreamRoom.prototype, "take");
    take.mockImplementation(async function (this: StreamRoom, bytes) {
      rooms.add(this);
      if (this.bytes >= 2 * MIB) await room;
      this.bytes += bytes;
    });
    const stream = db.createWriteStream("k");
    const ended = once(stream, "close");
    stream.write(bytesOf(7 * MIB), () => undefined);
    await turns();
    expect([...rooms].map(({ bytes }) => bytes)).toEqual([2 * MIB]);
    stream.destroy();
    await turns();
    giveRoom();
    await bounded("stream", ended);
    await turns();
    expect([...rooms].map(({ bytes }) => bytes)).toEqual([0]);
    take.mockRestore();
    await db.idle();
    expect(logsOf(fs)).toEqual([]);
    await db.close();
    await expectSound(fs);
  });

  test("by an overwrite is garbage, and its file goes", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    await streamIn(db, "k", bytesOf(5 * MIB));
    await db.flush();
    expect(db.stats().values.liveBytes).toBeGreaterThan(5 * MIB);
    expect(db.stats().values.spaceAmplification).toBeLessThan(1.06);
    db.putSync("k", "small");
    await db.compact();
    await db.idle();
    expect(logsOf(fs)).toEqual([]);
    await db.close();
    await expectSound(fs);
  });
});

test.each(["os", "sync"] as const)(
  "a crash at every operation leaves the value whole or absent (%s)",
  async (durability) => {
    const value = bytesOf(5 * MIB + 100);
    const sim = new SimFs();
    let acked = "";
    const images: { fs: SimFs; isKill: boolean; least: string }[] = [];
    let at = 0;
    const watched = new WatchedFs(sim, () => {
      const isKill = at++ % 2 === 0;
      images.push({
        fs: isKill ? sim.processKill() : sim.crash({ seed: at }),
        isKill,
        least: acked,
      });
    });
    const db = await open(watched);
    await db.put("first", "1", { sync: true });
    acked = "first";
    for (const name of ["x", "y"]) {
      await streamIn(db, name, value, { durability });
      acked = name;
    }
    await db.flush();
    acked = "flushed";
    await db.close();
    expect(images.length).toBeGreaterThan(30);
    for (const [i, image] of images.entries()) {
      const again = await open(image.fs);
      const found = ["x", "y"].filter((name) => again.getSync(name)?.equals(value));
      const there = [...again.keysSync()].map(String).filter((name) => name !== "first");
      expect(there, `image ${i}`).toEqual(found);
      const isDurable = image.isKill || durability === "sync" || image.least === "flushed";
      const least = { x: ["x"], y: ["x", "y"], flushed: ["x", "y"] }[image.least] ?? [];
      if (isDurable) expect(found.slice(0, least.length), `image ${i}`).toEqual(least);
      await again.idle();
      expect(logsOf(image.fs).length).toBe(found.length);
      await again.close();
      await expectSound(image.fs);
    }
  },
);

test.each([
  ["EIO", {}],
  ["ENOSPC", { partial: 5000 }],
] as const)(
  "%s at every operation: the stream fails, or the value is there",
  async (error, how) => {
    const value = bytesOf(5 * MIB + 100);
    let failures = 0;
    for (let at = 1; ; at++) {
      const fs = new SimFs();
      const runtime = simRuntime(7);
      const db = await open(fs, runtime);
      db.putSync("first", "1", { sync: true });
      const planned = fs.failAt({ at: fs.operations + at, error, ...how });
      const done = await bounded(
        "a stream",
        streamIn(db, "x", value, { sync: at % 2 === 0 }),
        runtime,
      ).then(
        () => "acknowledged",
        (reason: { code: string }) => reason.code,
      );
      planned.remove();
      if (done !== "acknowledged") failures++;
      const isReadOnly = db.stats().failure !== undefined;
      if (done === "acknowledged") expect(db.getSync("x")!.equals(value)).toBe(true);
      else if (!isReadOnly) expect(db.getSync("x"), `at ${at}: ${done}`).toBe(undefined);
      if (!isReadOnly) {
        runtime.advance(200);
        db.putSync("after", "2");
        await bounded("idle", db.idle(), runtime);
        if (done !== "acknowledged") expect(logsOf(fs)).toEqual([]);
      }
      const image = fs.processKill();
      await bounded(
        "close",
        db.close().catch(() => undefined),
        runtime,
      );
      expect(fs.openPaths()).toEqual([]);
      const again = await open(image);
      if (done === "acknowledged") expect(again.getSync("x")!.equals(value)).toBe(true);
      else if (done !== "AURA_UNKNOWN_OUTCOME") expect(again.getSync("x")).toBe(undefined);
      if (!isReadOnly) expect(again.getSync("after")?.toString()).toBe("2");
      await again.close();
      await expectSound(image);
      if (planned.fired === 0) break;
    }
    expect(failures).toBeGreaterThan(5);
  },
);
