/** Where reads happen, on disks of different speed: what blocks the loop, and what goes to the pool. */
import { SeededRandom } from "@aura/base";
import { type SimRuntime, simRuntime } from "@aura/base/testing";
import { describe, expect, test } from "vitest";
import { DbCursor } from "../src/db-cursor.ts";
import { Lookup } from "../src/lookup.ts";
import { parseCursorRange } from "../src/range.ts";
import { scan, keys as scanKeys } from "../src/scan.ts";
import { drawHistory, textOf } from "./support/fake-cursor.ts";
import { type FixtureOptions, ReadFixture } from "./support/read-fixture.ts";

/** A fixture whose tables are open, on a disk of which each read takes `readMs`. */
class TimedDisk {
  readonly fixture: ReadFixture;
  readonly lookup: Lookup;
  readonly keys: readonly Uint8Array[];
  readonly runtime: SimRuntime = simRuntime(1);
  /** Longest time of reads on this thread between two turns of the loop. */
  blockedMsMax = 0;
  syncCount = 0;
  /** Reads on the pool: "file offset", in order. */
  readonly pooled: string[] = [];
  inFlightMax = 0;
  #blockedMs = 0;
  #inFlight = 0;
  #readMs = 0;

  /** Pages in the page cache, where there is one: reading them takes no time. */
  readonly #pages: Set<string> | undefined;

  constructor(readMs: number, options: FixtureOptions, isOpen = true, entries = 3000) {
    this.#pages = isOpen ? undefined : new Set();
    const history = drawHistory(new SeededRandom(3), entries, entries / 2);
    this.fixture = new ReadFixture(history, 3, { ...options, apart: 0, runtime: this.runtime });
    this.lookup = new Lookup(this.fixture.parts);
    this.keys = [...new Map(history.map(({ key }) => [textOf(key), key])).values()];
    this.#wrap();
    const { versions, tables } = this.fixture.parts;
    if (isOpen) for (const table of versions.current.tables()) tables.get(table);
    this.#readMs = readMs;
    this.syncCount = 0;
  }

  check(): void {
    const { fixture, keys } = this;
    for (const key of keys.slice(0, 50)) {
      const model = fixture.modelAt(fixture.lastSeq).find((one) => textOf(one.key) === textOf(key));
      expect(this.lookup.findSync(key, fixture.lastSeq)?.toString()).toBe(
        model && textOf(model.value),
      );
    }
  }

  /** Notes a read, and returns whether it takes time. */
  #isMiss(path: string, position: number, length: number): boolean {
    const pages = this.#pages;
    if (pages === undefined) return true;
    const { size } = pages;
    for (let page = position >>> 12; page << 12 < position + length; page++) {
      pages.add(`${path} ${page}`);
    }
    return pages.size > size;
  }

  #wrap(): void {
    const { fs } = this.fixture;
    const openSync = fs.openSync.bind(fs);
    fs.openSync = (path, mode) => {
      const handle = openSync(path, mode);
      const readSync = handle.readSync.bind(handle);
      const read = handle.read.bind(handle);
      let isPooled = false;
      handle.readSync = (target, position) => {
        // The simulated disk does its asynchronous reads in this way.
        if (isPooled) return readSync(target, position);
        this.syncCount++;
        if (!this.#isMiss(path, position, target.length)) return readSync(target, position);
        this.runtime.advance(this.#readMs);
        if (this.#blockedMs === 0) {
          setImmediate(() => {
            this.#blockedMs = 0;
          });
        }
        this.#blockedMs += this.#readMs;
        this.blockedMsMax = Math.max(this.blockedMsMax, this.#blockedMs);
        return readSync(target, position);
      };
      handle.read = async (target, position) => {
        this.#isMiss(path, position, target.length);
        this.pooled.push(`${path} ${position}`);
        this.inFlightMax = Math.max(this.inFlightMax, ++this.#inFlight);
        await new Promise((resolve) => setImmediate(resolve));
        this.#inFlight--;
        isPooled = true;
        try {
          return await read(target, position);
        } finally {
          isPooled = false;
        }
      };
      return handle;
    };
  }
}

describe("get", () => {
  test("on a disk of 1 ms a read blocks the loop for 3 ms at most", async () => {
    const disk = new TimedDisk(1, { cacheBytes: 0 });
    const { lookup, keys, fixture } = disk;
    for (const key of keys.slice(0, 400)) await lookup.find(key, fixture.lastSeq);
    expect(disk.blockedMsMax).toBeGreaterThan(0);
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    expect(fixture.parts.reads.pooled).toBe(true);
    // But for the first ones and the probes.
    expect(disk.pooled.length).toBeGreaterThan(disk.syncCount * 5);
  });

  test("many at once on such a disk block it no longer", async () => {
    const disk = new TimedDisk(1, { cacheBytes: 0 });
    const { lookup, keys, fixture } = disk;
    await Promise.all(keys.slice(0, 400).map((key) => lookup.find(key, fixture.lastSeq)));
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    expect(disk.inFlightMax).toBeGreaterThan(50);
  });

  test("opens tables that are cold through the pool", async () => {
    const disk = new TimedDisk(1, { cacheBytes: 0, maxOpenFiles: 1 }, false);
    const { lookup, keys, fixture } = disk;
    for (const key of keys.slice(0, 200)) await lookup.find(key, fixture.lastSeq);
    await lookup.findMany(keys, fixture.lastSeq);
    expect(fixture.parts.tables.openCount).toBeGreaterThan(1);
    // The first one shows that the disk is slow: it reads head, footer and sections.
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    disk.check();
    fixture.close();
    expect(fixture.fs.openHandles).toBe(0);
  });

  test("opens cold tables of many pages through the pool", async () => {
    const disk = new TimedDisk(1, { cacheBytes: 0, blockBytes: 64 }, false, 30_000);
    const { lookup, keys, fixture } = disk;
    await Promise.all(keys.slice(0, 20).map((key) => lookup.find(key, fixture.lastSeq)));
    await lookup.findMany(keys.slice(0, 2000), fixture.lastSeq);
    expect(fixture.parts.tables.openCount).toBeGreaterThan(5);
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    fixture.close();
  });

  test("on a fast disk never goes to the thread pool", async () => {
    const disk = new TimedDisk(0.002, { cacheBytes: 0 });
    const { lookup, keys, fixture } = disk;
    for (const key of keys) await lookup.find(key, fixture.lastSeq);
    expect(disk.syncCount).toBeGreaterThan(400);
    expect(disk.pooled).toEqual([]);
  });
});

describe("findMany", () => {
  test("reads each block once, by place and side by side", async () => {
    const disk = new TimedDisk(1, { pooled: true, cacheBytes: 4 << 20 });
    const { lookup, keys, fixture } = disk;
    const twice = [...keys, ...keys.toReversed()];
    const values = await lookup.findMany(twice, fixture.lastSeq);
    const { pooled } = disk;
    expect(pooled.length).toBeGreaterThan(100);
    expect(new Set(pooled).size).toBe(pooled.length);
    expect(disk.inFlightMax).toBe(64);
    expect(disk.syncCount).toBe(0);
    // Within a round places ascend; there are as many rounds as runs that a key may be in, or fewer.
    let rounds = 1;
    for (let i = 1; i < pooled.length; i++) {
      const [path = "", offset] = pooled[i]!.split(" ");
      const [pathBefore = "", offsetBefore] = pooled[i - 1]!.split(" ");
      if (path < pathBefore || (path === pathBefore && Number(offset) < Number(offsetBefore))) {
        rounds++;
      }
    }
    expect(rounds).toBeLessThan(16);
    expect(values.slice(keys.length).reverse()).toEqual(values.slice(0, keys.length));
    disk.check();
  });

  test("blocks the loop of a slow disk for 3 ms at most", async () => {
    const disk = new TimedDisk(1, { cacheBytes: 0 });
    const { lookup, keys, fixture } = disk;
    const values = await lookup.findMany(keys, fixture.lastSeq);
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    expect(disk.inFlightMax).toBe(64);
    expect(values.length).toBe(keys.length);
    disk.check();
  });

  test("a block that fails its check fails it, when nothing is under way any more", async () => {
    const disk = new TimedDisk(1, { pooled: true });
    const { lookup, keys, fixture } = disk;
    const { versions, snapshots } = fixture.parts;
    for (const table of versions.current.tables()) {
      fixture.fs.flipBits(`/db/${String(table.number).padStart(6, "0")}.sst`, 100, 1);
    }
    await expect(lookup.findMany(keys, fixture.lastSeq)).rejects.toMatchObject({
      code: "AURA_CORRUPTION",
    });
    expect([versions.pinCount, snapshots.count]).toEqual([0, 0]);
    fixture.close();
    expect(fixture.fs.openHandles).toBe(0);
  });
});

describe("scans and cursors", () => {
  const cold = (): TimedDisk =>
    new TimedDisk(1, { cacheBytes: 0, blockBytes: 64, maxOpenFiles: 1 }, false, 30_000);

  test.each([false, true])("block the loop for 3 ms at most, reverse: %s", async (reverse) => {
    const disk = cold();
    const { parts } = disk.fixture;
    const model = disk.fixture.modelAt(disk.fixture.lastSeq).map(({ key }) => textOf(key));
    const got: string[] = [];
    for await (const [key] of scan(parts, { reverse, limit: 3000 })) got.push(textOf(key));
    expect(got).toEqual((reverse ? model.toReversed() : model).slice(0, 3000));
    for (const from of model.filter((_, i) => i % 1000 === 0)) {
      for await (const key of scanKeys(parts, { gte: from, limit: 2 })) got.push(textOf(key));
    }
    expect(disk.blockedMsMax).toBeGreaterThan(0);
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    disk.fixture.close();
    expect(disk.fixture.fs.openHandles).toBe(0);
  });

  test("nor do seeks, and scans of a prefix", async () => {
    const disk = cold();
    const { parts, lastSeq } = disk.fixture;
    const model = disk.fixture.modelAt(lastSeq).map(({ key }) => textOf(key));
    const cursor = new DbCursor(parts, parseCursorRange({}));
    for (let i = 0; i < 100; i++) {
      const key = model[(i * 7919) % model.length]!;
      expect(await cursor.seek(key)).toBe(true);
      expect(cursor.key.toString()).toBe(key);
    }
    cursor.close();
    let count = 0;
    for await (const _ of scan(parts, { prefix: model[100]! })) count++;
    expect(count).toBeGreaterThan(0);
    expect(disk.blockedMsMax).toBeLessThanOrEqual(3);
    disk.fixture.close();
  });
});
