import { Codec, canCompress, compress, SeededRandom } from "@aura/base";
import { SimFs, simRuntime } from "@aura/base/testing";
import { afterEach, describe, expect, test, vi } from "vitest";
import { AuraDB, type Settings } from "../src/index.ts";
import { ValuePacker } from "../src/jobs/value-packer.ts";
import { ABSENT, codecHere, isAbsent } from "./support/codecs-here.ts";
import { bounded } from "./support/fault-run.ts";
import { WatchedFs } from "./support/watched-fs.ts";

const CODECS = ["lz4", "snappy", "zstd", "deflate"] as const;
const small: Settings = {
  seed: 1,
  valueLog: { maxSegmentSize: 65536 },
  memtable: { maxSize: 262144 },
};

function withCodec(codec: "none" | (typeof CODECS)[number]): Settings {
  return { ...small, valueLog: { ...small.valueLog, compression: codecHere(codec) } };
}

function openSim(fs: SimFs, settings: Settings): Promise<AuraDB> {
  return AuraDB.open("/db", settings, { fs, runtime: simRuntime(3) });
}

const text = (i: number, length = 5000): Buffer => Buffer.alloc(length, `value ${i}, and so on; `);

function noise(length: number, seed: number): Buffer {
  const random = new SeededRandom(seed);
  return Buffer.from(new Uint8Array(length).map(() => random.uint32()));
}

function bytesOf(fs: SimFs, extension: string): number {
  return fs
    .listSync("/db")
    .filter((name) => name.endsWith(extension))
    .reduce((sum, name) => sum + fs.fileBytesSync(`/db/${name}`), 0);
}

describe("values", () => {
  test.for(CODECS)(
    "are packed with %s when they are flushed, and read under any setting",
    async (codec, { skip }) => {
      skip(isAbsent(codec, "values that it packs"));
      const fs = new SimFs();
      let db = await openSim(fs, withCodec(codec));
      for (let i = 0; i < 100; i++) db.putSync(`k${i}`, text(i));
      // Flushes came by themselves, for the sake of the bound; what is in memory is as it was put.
      const { count, rawBytes } = db.stats().values.packed;
      expect(count).toBeLessThan(100);
      expect(rawBytes).toBe(count * 5000);
      await db.flush();
      await db.idle();
      const { packed, fileBytes, liveBytes } = db.stats().values;
      expect(packed.count).toBe(100);
      expect(packed.rawBytes).toBe(500_000);
      expect(packed.storedBytes).toBeLessThan(100_000);
      expect(liveBytes).toBeLessThan(110_000);
      // Nothing is left in the logs: they are gone, but for the one that is open.
      expect(fileBytes).toBeLessThan(120_000);
      expect(bytesOf(fs, ".vlog")).toBeLessThan(1000);
      for (let i = 0; i < 100; i++) expect(db.getSync(`k${i}`)!.equals(text(i))).toBe(true);
      await db.close();
      expect((await AuraDB.verify("/db", { fs, runtime: simRuntime(3) })).problems).toEqual([]);
      db = await openSim(fs, withCodec("none"));
      for (let i = 0; i < 100; i++) expect((await db.get(`k${i}`))!.equals(text(i))).toBe(true);
      await db.close();
    },
  );

  test("that do not shrink stay where they are", async () => {
    const fs = new SimFs();
    const db = await openSim(fs, withCodec("zstd"));
    for (let i = 0; i < 40; i++) db.putSync(`k${i}`, noise(5000, i));
    await db.flush();
    await db.idle();
    const { values, compactions } = db.stats();
    expect(values.packed.count).toBe(0);
    expect(bytesOf(fs, ".seg")).toBe(0);
    expect(compactions.bytesRelocated).toBe(0);
    for (let i = 0; i < 40; i++) expect(db.getSync(`k${i}`)!.equals(noise(5000, i))).toBe(true);
    await db.close();
  });

  test("written raw are packed when they are relocated; packed ones stay packed", async () => {
    const fs = new SimFs();
    const settings: Settings = {
      ...withCodec("none"),
      valueLog: { maxSegmentSize: 65536, spaceAmplificationMax: 1.05 },
    };
    let db = await openSim(fs, settings);
    for (let i = 0; i < 60; i++) db.putSync(`k${i}`, text(i));
    // A flush packs, too: it must be over.
    await db.flush();
    await db.close();
    const packing = (codec: "lz4" | "zstd"): Settings => ({
      ...settings,
      valueLog: { ...settings.valueLog, compression: codecHere(codec) },
    });
    db = await openSim(fs, packing("lz4"));
    for (let i = 0; i < 60; i += 2) db.deleteSync(`k${i}`);
    await db.flush();
    await db.compact();
    await db.idle();
    const { count } = db.stats().values.packed;
    expect(count).toBeGreaterThan(0);
    await db.close();
    db = await openSim(fs, packing("zstd"));
    for (let i = 1; i < 60; i += 4) db.deleteSync(`k${i}`);
    await db.flush();
    await db.compact();
    await db.idle();
    expect(db.stats().compactions.bytesRelocated).toBeGreaterThan(0);
    expect(db.stats().values.packed.count).toBeLessThan(30 - count + 1);
    for (let i = 0; i < 60; i++) {
      const there = i % 4 === 3;
      expect(db.getSync(`k${i}`)?.equals(text(i)) ?? false, `k${i}`).toBe(there);
    }
    await db.close();
  });

  test("and snapshots see what they saw while a flush packs", async () => {
    const fs = new SimFs();
    const db = await openSim(fs, withCodec("deflate"));
    db.putSync("k", text(1));
    const snapshot = db.snapshot();
    const cursor = db.cursor();
    db.putSync("k", text(2));
    await db.flush();
    await db.idle();
    expect(db.getSync("k", { snapshot })!.equals(text(1))).toBe(true);
    expect(db.getSync("k")!.equals(text(2))).toBe(true);
    // The cursor reads the memtable that is gone, and so the log that all values left.
    expect(cursor.firstSync()).toBe(true);
    expect(cursor.value.equals(text(1))).toBe(true);
    cursor.close();
    snapshot.release();
    await db.close();
  });
});

describe("a flush that packs", () => {
  const COUNT = 12;
  const fill = (db: AuraDB): void => {
    for (let i = 0; i < COUNT; i++) db.putSync(`k${i}`, text(i), { sync: true });
  };
  const expectAll = (db: AuraDB, where: string): void => {
    for (let i = 0; i < COUNT; i++) {
      expect(db.getSync(`k${i}`)?.equals(text(i)) ?? false, `k${i} ${where}`).toBe(true);
    }
  };
  const expectSound = async (fs: SimFs, where: string): Promise<void> => {
    const db = await openSim(fs, withCodec("lz4"));
    expectAll(db, where);
    await db.flush();
    await db.idle();
    expectAll(db, where);
    await db.close();
    const { problems } = await AuraDB.verify("/db", { fs, runtime: simRuntime(3) });
    expect(problems, where).toEqual([]);
  };

  test("loses nothing in a crash at any of its operations", async () => {
    const sim = new SimFs();
    const images: SimFs[] = [];
    let taking = false;
    const watched = new WatchedFs(sim, () => {
      if (taking)
        images.push(
          images.length % 3 === 2 ? sim.processKill() : sim.crash({ seed: images.length }),
        );
    });
    const db = await AuraDB.open("/db", withCodec("lz4"), { fs: watched, runtime: simRuntime(3) });
    fill(db);
    taking = true;
    await db.flush();
    await db.idle();
    taking = false;
    expect(db.stats().values.packed.count).toBe(COUNT);
    await db.close();
    expect(images.length).toBeGreaterThan(10);
    for (const [i, image] of images.entries()) await expectSound(image, `crash ${i}`);
  });

  test.each(["EIO", "ENOSPC"] as const)(
    "goes on after %s at any operation of its segment",
    async (error) => {
      // Without a fault first, to count what there is to fail.
      let hits = 0;
      for (let nth = 0; nth <= hits; nth++) {
        const fs = new SimFs();
        const runtime = simRuntime(3);
        let db = await AuraDB.open("/db", withCodec("lz4"), { fs, runtime });
        fill(db);
        let calls = 0;
        const fault = fs.failAt({
          error,
          at: (_, path) => path.endsWith(".seg") && ++calls === nth,
        });
        // A failed flush is tried again after a pause, which the simulated clock passes over.
        await bounded("flush", db.flush(), runtime).catch(() => undefined);
        await bounded("idle", db.idle(), runtime).catch(() => undefined);
        // The calls of the flush: the reads below come behind them.
        if (nth === 0) hits = calls;
        expectAll(db, `fault ${nth}`);
        expect(fault.fired).toBe(nth === 0 ? 0 : 1);
        fs.clearFaults();
        await bounded("close", db.close(), runtime).catch(() => undefined);
        db = await openSim(fs, withCodec("none"));
        expectAll(db, `after fault ${nth}`);
        await db.close();
        await expectSound(fs, `fault ${nth}`);
      }
      expect(hits).toBeGreaterThanOrEqual(2);
    },
  );

  test("leaves a value that cannot be read where it is", async () => {
    const fs = new SimFs();
    const db = await openSim(fs, withCodec("lz4"));
    fill(db);
    const log = fs.listSync("/db").find((name) => name.endsWith(".vlog"))!;
    fs.flipBits(`/db/${log}`, fs.fileBytesSync(`/db/${log}`) - 1, 1);
    await db.flush();
    expect(db.stats().values.packed.count).toBe(COUNT - 1);
    expect(() => db.getSync(`k${COUNT - 1}`)).toThrow(
      expect.objectContaining({ code: "AURA_CORRUPTION" }),
    );
    expect(db.getSync("k0")!.equals(text(0))).toBe(true);
    await db.close();
  });
});

describe("the packer", () => {
  const page = text(1);
  const tries = (packer: ValuePacker, values: readonly Buffer[]): number => {
    let count = 0;
    for (const value of values) {
      if (!packer.wants(value.length)) continue;
      count++;
      packer.pack(value);
    }
    return count;
  };

  test("tries everything that pays", () => {
    const packer = new ValuePacker(Codec[codecHere("zstd")]);
    expect(tries(packer, new Array<Buffer>(100).fill(page))).toBe(100);
    expect(tries(new ValuePacker(Codec.none), [page])).toBe(0);
  });

  test("tries one in 64 where nothing pays, and comes back", () => {
    const packer = new ValuePacker(Codec.deflate);
    const bad = noise(500, 1);
    const before = tries(packer, new Array<Buffer>(1000).fill(bad));
    expect(before).toBeLessThan(30);
    expect(tries(packer, new Array<Buffer>(6400).fill(bad))).toBeLessThanOrEqual(101);
    expect(tries(packer, new Array<Buffer>(264).fill(page))).toBeGreaterThanOrEqual(200);
    expect(packer.rawBytes).toBe(packer.count * page.length);
  });

  test("does the same for the same values", () => {
    const values = Array.from({ length: 300 }, (_, i) => (i % 7 < 2 ? page : noise(600, i)));
    const codec = Codec[codecHere("lz4")];
    const [a, b] = [new ValuePacker(codec), new ValuePacker(codec)];
    expect(tries(a, values)).toBe(tries(b, values));
    expect(a.storedBytes).toBe(b.storedBytes);
  });

  test("never packs for less than an eighth", () => {
    const packer = new ValuePacker(Codec.deflate);
    // A tenth can be saved: not enough.
    const value = Buffer.concat([noise(9000, 1), Buffer.alloc(1000)]);
    expect(packer.pack(value)).toBeUndefined();
    expect(packer.pack(Buffer.concat([noise(8000, 1), Buffer.alloc(2000)]))).toBeDefined();
  });

  test("looks into the middle of a long value first", () => {
    const packer = new ValuePacker(Codec.deflate);
    const value = Buffer.concat([Buffer.alloc(20_000), noise(20_000, 1), Buffer.alloc(20_000)]);
    expect(compress(Codec.deflate, value)).toBeDefined();
    expect(packer.pack(value)).toBeUndefined();
  });
});

describe("a codec that cannot be loaded", () => {
  afterEach(() => {
    vi.doUnmock("node:module");
    vi.resetModules();
  });

  test("is refused at open by its setting, and stands in for nothing by default", async () => {
    const fs = new SimFs();
    const db = await openSim(fs, {
      ...withCodec("snappy"),
      table: { compression: codecHere("snappy") },
    });
    for (let i = 0; i < 50; i++) db.putSync(`k${i}`, text(i));
    await db.close();
    vi.resetModules();
    vi.doMock("node:module", () => ({
      createRequire: () => (name: string) => {
        throw new Error(`Cannot find module '${name}'`);
      },
    }));
    const bare = await import("../src/index.ts");
    const open = (settings: Settings) =>
      bare.AuraDB.open("/db", settings, { fs, runtime: simRuntime(3) });
    for (const [group, codec] of [
      ["valueLog", "snappy"],
      ["table", "lz4"],
    ] as const) {
      await expect(open({ [group]: { compression: codec } })).rejects.toMatchObject({
        code: "AURA_UNSUPPORTED",
        message: expect.stringContaining(`settings.${group}.compression`) as string,
      });
    }
    // By default tables are not compressed then, and everything is read.
    const reader = await open({});
    for (let i = 0; i < 50; i++) expect(reader.getSync(`k${i}`)!.equals(text(i))).toBe(true);
    await reader.close();
  });

  test("of the test platform is none, but for those that the run keeps away", () => {
    expect(CODECS.filter((codec) => !canCompress(Codec[codec]))).toEqual(ABSENT);
  });
});
