import { Buffer } from "node:buffer";
import { pipeline } from "node:stream/promises";
import { type FileHandle, type FileSystem, SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { expectDamage, leaveOpen } from "./support/leaks.ts";

const KIB = 1024;

function noise(length: number, seed = 1): Buffer {
  const random = new SeededRandom(seed);
  return Buffer.from(new Uint8Array(length).map(() => random.uint32()));
}

function openSim(fs: FileSystem, settings: Settings = {}): Promise<AuraDB> {
  return AuraDB.open("/db", { seed: 1, ...settings }, { fs, runtime: simRuntime(3) });
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Values of every form: inline, apart, apart in chunks, compressed. */
const VALUES: Record<string, Buffer> = {
  empty: Buffer.alloc(0),
  inline: noise(500, 1),
  apart: noise(100 * KIB, 2),
  chunked: noise(1000 * KIB + 7, 3),
  packed: Buffer.alloc(600 * KIB, "a value that shrinks; "),
  "packed and chunked": Buffer.concat([noise(400 * KIB, 4), Buffer.alloc(500 * KIB)]),
};

async function filled(fs: FileSystem = new SimFs(), flushed = true): Promise<AuraDB> {
  const db = await openSim(fs, { valueLog: { compression: "deflate" } });
  for (const [key, value] of Object.entries(VALUES)) db.putSync(key, value);
  if (flushed) await db.flush();
  return db;
}

describe("parts of values", () => {
  test.each([true, false])("are what a slice of the value is (flushed: %s)", async (flushed) => {
    const db = await filled(new SimFs(), flushed);
    const names = Object.keys(VALUES);
    const share = fc.double({ min: 0, max: 1.2, noNaN: true });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), share, share, async (name, a, b) => {
        const value = VALUES[name]!;
        const [offset, length] = [a, b].map((part) => Math.floor(part * value.length)) as [
          number,
          number,
        ];
        const wanted = value.subarray(offset, offset + length);
        expect(db.readSync(name, { offset, length })!.equals(wanted)).toBe(true);
        expect((await db.read(name, { offset, length }))!.equals(wanted)).toBe(true);
        const end = offset + length - 1;
        if (end < 0) return;
        const stream = db.createReadStream(name, {
          ...{ start: offset, end, highWaterMark: 1 + (length >> 2) },
        });
        expect((await collect(stream)).equals(wanted)).toBe(true);
      }),
      { numRuns: 60 },
    );
    for (const name of names) {
      expect((await db.read(name))!.equals(VALUES[name]!)).toBe(true);
      expect((await collect(db.createReadStream(name))).equals(VALUES[name]!)).toBe(true);
    }
    expect([await db.read("absent"), db.readSync("absent")]).toEqual([undefined, undefined]);
    expect(db.stats().openCursors).toBe(0);
    expect(db.stats().openSnapshots).toBe(0);
    await db.close();
  });

  test("read no more than the chunks that they touch", async () => {
    const fs = new SimFs();
    const db = await filled(fs);
    await db.read("chunked", { offset: 0, length: 1 });
    const before = fs.bytesRead;
    await db.read("chunked", { offset: 500_000, length: 100 });
    expect(fs.bytesRead - before).toBeLessThan(2 * 64 * KIB);
    await db.close();
  });

  test("are of the state that was asked for, whatever comes after", async () => {
    const fs = new SimFs();
    const db = await openSim(fs, {
      valueLog: { maxSegmentSize: 65536, spaceAmplificationMax: 1.05 },
    });
    const [old, young] = [noise(700 * KIB, 5), noise(700 * KIB, 6)];
    db.putSync("k", old);
    const snapshot = db.snapshot();
    const stream = db.createReadStream("k", { highWaterMark: 100 * KIB });
    const begun = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    const first = (await begun.next()).value as Buffer;
    db.putSync("k", young);
    for (let i = 0; i < 30; i++) db.putSync("k", young);
    await db.flush();
    await db.compact();
    expect((await db.read("k", { snapshot, offset: 10, length: 5 }))!).toEqual(
      old.subarray(10, 15),
    );
    snapshot.release();
    await db.compact();
    const pieces = [first];
    for (;;) {
      const { value, done } = await begun.next();
      if (done === true) break;
      pieces.push(value as Buffer);
    }
    expect(Buffer.concat(pieces).equals(old)).toBe(true);
    expect((await db.read("k", { offset: 10, length: 5 }))!).toEqual(young.subarray(10, 15));
    await db.close();
  });

  test("hand out nothing of a damaged chunk", async () => {
    const fs = new SimFs();
    const db = await openSim(fs);
    const value = noise(1000 * KIB, 7);
    db.putSync("k", value);
    const name = fs.listSync("/db").find((file) => file.endsWith(".vlog"))!;
    const size = fs.fileBytesSync(`/db/${name}`);
    fs.flipBits(`/db/${name}`, size - 300 * KIB, 1);
    expect((await db.read("k", { length: 600 * KIB }))!.equals(value.subarray(0, 600 * KIB))).toBe(
      true,
    );
    await expect(db.read("k", { offset: 600 * KIB })).rejects.toMatchObject({
      code: "AURA_CORRUPTION",
    });
    const given: Buffer[] = [];
    const stream = db.createReadStream("k", { highWaterMark: 64 * KIB });
    const failed = (async () => {
      for await (const piece of stream) given.push(piece as Buffer);
    })();
    await expect(failed).rejects.toMatchObject({ code: "AURA_CORRUPTION" });
    const got = Buffer.concat(given);
    expect(got.length).toBeGreaterThan(500 * KIB);
    expect(got.equals(value.subarray(0, got.length))).toBe(true);
    await db.close();
  });

  test.each([
    [{ offset: -1 }, /offset/],
    [{ length: 1.5 }, /length/],
    [{ ofset: 1 }, /ofset/],
  ])("refuse %j", async (options, message) => {
    const db = await openSim(new SimFs());
    await expect(db.read("k", options as object)).rejects.toThrow(message);
    expect(() => db.readSync("k", options as object)).toThrow(message);
    expect(() => db.createReadStream("k", { start: -1 })).toThrow(/start/);
    expect(() => db.createReadStream("k", { offset: 1 } as object)).toThrow(/offset/);
    expect(db.stats().openSnapshots).toBe(0);
    await db.close();
  });
});

describe("a read stream", () => {
  test("fails when the key is not there, and when the database closes", async () => {
    leaveOpen();
    const db = await filled();
    await expect(collect(db.createReadStream("absent"))).rejects.toMatchObject({
      code: "AURA_NOT_FOUND",
    });
    const open = db.createReadStream("chunked", { highWaterMark: 1000 });
    const idle = db.createReadStream("chunked");
    idle.on("error", () => undefined);
    const steps = open[Symbol.asyncIterator]();
    await steps.next();
    await db.close();
    await expect(
      (async () => {
        for (;;) if ((await steps.next()).done === true) return;
      })(),
    ).rejects.toMatchObject({ code: "AURA_CLOSED" });
    expect(idle.destroyed).toBe(true);
  });

  test("that is destroyed lets go of everything", async () => {
    const db = await filled();
    const stream = db.createReadStream("chunked", { highWaterMark: 1000 });
    for await (const piece of stream) {
      expect((piece as Buffer).length).toBeGreaterThan(0);
      break;
    }
    db.createReadStream("chunked").destroy();
    const controller = new AbortController();
    const aborted = db.createReadStream("chunked", { signal: controller.signal });
    controller.abort();
    await expect(collect(aborted)).rejects.toMatchObject({ name: "AbortError" });
    await new Promise((resolve) => setImmediate(resolve));
    expect([db.stats().openCursors, db.stats().openSnapshots]).toEqual([0, 0]);
    await db.close();
  });
});

describe("a write stream", () => {
  test("puts the value at its end, and not before", async () => {
    const db = await openSim(new SimFs());
    const value = noise(900 * KIB, 8);
    const stream = db.createWriteStream("k", { size: value.length, sync: true });
    const scratch = Buffer.alloc(10_000);
    for (let at = 0; at < value.length; at += scratch.length) {
      const length = Math.min(scratch.length, value.length - at);
      value.copy(scratch, 0, at, at + length);
      await new Promise<void>((resolve) => {
        stream.write(scratch.subarray(0, length), () => resolve());
      });
      scratch.fill(0);
      expect(db.getSync("k")).toBeUndefined();
    }
    await new Promise<void>((resolve) => {
      stream.end(resolve);
    });
    expect(db.getSync("k")!.equals(value)).toBe(true);
    expect(db.stats().durableSeq).toBe(db.stats().lastSeq);
    await pipeline(db.createReadStream("k", { highWaterMark: 1000 }), db.createWriteStream("copy"));
    expect(db.getSync("copy")!.equals(value)).toBe(true);
    await db.close();
  });

  test("that is given up leaves nothing, and a wrong length neither", async () => {
    leaveOpen();
    const db = await openSim(new SimFs());
    db.createWriteStream("k").destroy();
    const seq = db.stats().lastSeq;
    for (const [size, given] of [
      [10, "123456789"],
      [3, "1234"],
    ] as const) {
      const stream = db.createWriteStream("k", { size });
      await expect(pipeline([Buffer.from(given)], stream)).rejects.toMatchObject({
        code: "AURA_INVALID_ARGUMENT",
      });
    }
    expect(db.getSync("k")).toBeUndefined();
    expect(db.stats().lastSeq).toBe(seq);
    expect(() => db.createWriteStream("k", { size: -1 })).toThrow(/size/);
    expect(() => db.createWriteStream("k", { sise: 1 } as object)).toThrow(/sise/);
    const late = db.createWriteStream("k");
    await db.close();
    await expect(pipeline([Buffer.from("x")], late)).rejects.toMatchObject({ code: "AURA_CLOSED" });
  });
});

/** A disk whose reads take a while: counts them, and how many are under way at once. */
function slowReads(sim: SimFs) {
  const seen = { reads: 0, bytes: 0, flying: 0, most: 0, steps: 0 };
  const wrapHandle = (handle: FileHandle): FileHandle =>
    new Proxy(handle, {
      get(target, name) {
        if (name === "read" && target.path.endsWith(".vlog")) {
          return async (bytes: Uint8Array, position: number): Promise<number> => {
            seen.reads++;
            seen.bytes += bytes.length;
            if (seen.flying === 0) seen.steps++;
            seen.most = Math.max(seen.most, ++seen.flying);
            await new Promise((resolve) => setTimeout(resolve, 1));
            seen.flying--;
            return target.read(bytes, position);
          };
        }
        const member = Reflect.get(target, name, target) as unknown;
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  const fs = new Proxy(sim, {
    get(target, name) {
      if (name === "openSync") {
        return (...args: Parameters<FileSystem["openSync"]>) =>
          wrapHandle(target.openSync(...args));
      }
      const member = Reflect.get(target, name, target) as unknown;
      return typeof member === "function" ? member.bind(target) : member;
    },
  }) as FileSystem;
  return { fs, seen };
}

describe("values read together", () => {
  /** A database whose clock makes every read on the thread look slow, so that reads go to the pool. */
  async function pooledDb(fs: FileSystem, count: number, bytes: number): Promise<AuraDB> {
    const runtime = simRuntime(3, { tickMs: 1 });
    const db = await AuraDB.open("/db", { seed: 1, cache: { capacity: 0 } }, { fs, runtime });
    for (let i = 0; i < count; i++) db.putSync(`k${String(i).padStart(4, "0")}`, noise(bytes, i));
    await db.flush();
    return db;
  }

  test("64 values of 64 KiB take a few reads side by side, not 64 one by one", async () => {
    const { fs, seen } = slowReads(new SimFs());
    const db = await pooledDb(fs, 64, 64 * KIB);
    const keys = Array.from({ length: 64 }, (_, i) => `k${String((i * 37) % 64).padStart(4, "0")}`);
    const values = await db.getMany(keys);
    for (const [i, value] of values.entries()) {
      expect(value!.equals(noise(64 * KIB, (i * 37) % 64)), `${i}`).toBe(true);
    }
    // 22 for the values, and the head of their segment, which nobody read before.
    expect(seen.reads).toBeGreaterThan(15);
    expect(seen.reads).toBeLessThanOrEqual(23);
    expect(seen.steps).toBeLessThanOrEqual(3);
    // Each of them is the caller's alone.
    expect(new Set(values.map((value) => value!.buffer)).size).toBe(64);
    seen.reads = seen.steps = 0;
    let at = 0;
    for await (const value of db.values()) expect(value.equals(noise(64 * KIB, at++))).toBe(true);
    expect(at).toBe(64);
    expect(seen.reads).toBeLessThanOrEqual(26);
    expect(seen.steps).toBeLessThanOrEqual(8);
    await db.close();
  });

  test("that stand apart are read apart; gaps up to 64 KiB are read over", async () => {
    const { fs, seen } = slowReads(new SimFs());
    const db = await pooledDb(fs, 60, 10 * KIB);
    const key = (i: number): string => `k${String(i).padStart(4, "0")}`;
    for (const at of [0, 30]) await db.getMany([key(at)]);
    seen.reads = 0;
    // 5 values between: 50 KiB. 15 between: 150 KiB.
    const values = await db.getMany([key(6), key(0), key(12), key(40), key(40), "absent"]);
    expect(seen.reads).toBe(2);
    for (const [i, at] of [6, 0, 12, 40, 40].entries()) {
      expect(values[i]!.equals(noise(10 * KIB, at))).toBe(true);
      expect(values[i]!.buffer.byteLength).toBeLessThan(64 * KIB);
    }
    expect(values[5]).toBeUndefined();
    await db.close();
  });

  test("fail as one when one is damaged, and nothing stays open", async () => {
    expectDamage();
    const sim = new SimFs();
    const { fs } = slowReads(sim);
    const db = await pooledDb(fs, 40, 5 * KIB);
    const name = sim.listSync("/db").find((file) => file.endsWith(".vlog"))!;
    sim.flipBits(`/db/${name}`, sim.fileBytesSync(`/db/${name}`) - 3, 1);
    const keys = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(4, "0")}`);
    await expect(db.getMany(keys)).rejects.toMatchObject({ code: "AURA_CORRUPTION" });
    expect((await db.getMany(keys.slice(0, 39))).length).toBe(39);
    expect(db.stats().openSnapshots).toBe(0);
    await db.close();
  });
});

describe("hot values", () => {
  const open = (fs: SimFs, capacity = 16 * KIB * KIB): Promise<AuraDB> =>
    openSim(fs, { cache: { capacity } });
  const segmentReads = async (fs: SimFs, work: () => unknown): Promise<number> => {
    const before = fs.counts.read;
    await work();
    return fs.counts.read - before;
  };

  test("come from memory from the third read on, and are the caller's own", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    const value = noise(20 * KIB, 1);
    db.putSync("k", value);
    expect(await segmentReads(fs, () => db.getSync("k"))).toBeGreaterThan(0);
    expect(await segmentReads(fs, () => db.getSync("k"))).toBe(1);
    expect(await segmentReads(fs, () => db.getSync("k")!.fill(0))).toBe(0);
    expect(await segmentReads(fs, async () => (await db.get("k"))!.fill(1))).toBe(0);
    expect(db.getSync("k")!.equals(value)).toBe(true);
    expect((await db.getMany(["k"]))[0]!.equals(value)).toBe(true);
    const { cache } = db.stats();
    expect([cache.valueHits, cache.valueMisses]).toEqual([4, 2]);
    expect(cache.usedBytes).toBeGreaterThan(20 * KIB);
    await db.close();
  });

  test("are another value after an overwrite, and after a relocation", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (const seed of [1, 2]) {
      db.putSync("k", noise(8 * KIB, seed));
      for (let i = 0; i < 4; i++) expect(db.getSync("k")!.equals(noise(8 * KIB, seed))).toBe(true);
      for (let i = 0; i < 20; i++) db.putSync(`other ${i}`, noise(8 * KIB, i));
      await db.flush();
      await db.compact();
      for (let i = 0; i < 4; i++) expect(db.getSync("k")!.equals(noise(8 * KIB, seed))).toBe(true);
    }
    db.deleteSync("k");
    expect(db.getSync("k")).toBeUndefined();
    await db.close();
  });

  test("are not those that a scan passes, nor long ones", async () => {
    const fs = new SimFs();
    const db = await open(fs);
    for (let i = 0; i < 100; i++) db.putSync(`k${i}`, noise(3 * KIB, i));
    db.putSync("long", noise(65 * KIB, 1));
    for (let round = 0; round < 3; round++) {
      for (const [, value] of db.scanSync({ prefix: "k" })) expect(value.length).toBe(3 * KIB);
      db.getSync("long");
    }
    const { cache } = db.stats();
    expect([cache.valueHits, cache.valueMisses]).toEqual([0, 0]);
    expect(await segmentReads(fs, () => db.getSync("long"))).toBe(1);
    await db.close();
  });

  test("take no memory where the cache has none, and stay within it where it has", async () => {
    for (const capacity of [0, 1024 * KIB]) {
      const fs = new SimFs();
      const db = await open(fs, capacity);
      for (let i = 0; i < 800; i++) db.putSync(`k${i}`, noise(2 * KIB, i));
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 800; i++) expect(db.getSync(`k${i}`)!.length).toBe(2 * KIB);
      }
      const { usedBytes, pinnedBytes } = db.stats().cache;
      expect(usedBytes - pinnedBytes).toBeLessThanOrEqual(capacity);
      if (capacity === 0) expect(db.stats().cache.valueMisses).toBe(0);
      await db.close();
    }
  });
});
