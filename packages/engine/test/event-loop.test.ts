/** What the event loop of the caller sees: fairness, progress without turns, memory that returns. */
import { ArenaPool } from "@aura/memtable";
import { expect, test } from "vitest";
import { openReal, withDirectory } from "./support/open-real.ts";

/** Milliseconds until a timer of 0 ms fires, several times, while `busy` goes on. */
async function timerDelays(count: number, isDone: { value: boolean }): Promise<number[]> {
  const delays: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 0));
    delays.push(performance.now() - start);
  }
  isDone.value = true;
  return delays;
}

test("timers fire under an endless await of puts, and of gets", async () => {
  await withDirectory(async (directory) => {
    const db = await openReal(directory, { memtable: { maxSize: 8 << 20 } });
    const state = { value: false };
    const puts = timerDelays(40, state);
    for (let i = 0; !state.value; i++) await db.put(`key-${i % 5000}`, "value");
    // Without turns in between the timers would never fire, and this loop would never end.
    expect((await puts).length).toBe(40);
    state.value = false;
    const gets = timerDelays(40, state);
    for (let i = 0; !state.value; i++) await db.get(`key-${i % 5000}`);
    expect((await gets).length).toBe(40);
    await db.close();
  });
});

test("2 million putSync that never turn the event loop run through flushes in bounded memory", {
  timeout: 300_000,
}, async () => {
  await withDirectory(async (directory) => {
    const db = await openReal(directory, {
      memtable: { maxSize: 16 << 20, maxCount: 3 },
      compaction: { baseLevelSize: 32 << 20 },
      table: { maxSize: 16 << 20, compression: "none" },
    });
    let turns = 0;
    setImmediate(() => turns++);
    const key = Buffer.alloc(16);
    const value = Buffer.alloc(40, 1);
    let memtableBytesMax = 0;
    let count = 0;
    const put = (): void => {
      key.writeUInt32BE(Math.imul(count, 0x9e3779b1) >>> 0, 0);
      key.writeUInt32BE(count, 8);
      db.putSync(key, value);
      if (count++ % 10_000 === 0) {
        memtableBytesMax = Math.max(memtableBytesMax, db.stats().memtables.usedBytes);
      }
    };
    while (count < 2_000_000) put();
    // A merge steps back behind everything else on a busy machine: it gets as long as it needs.
    while (db.stats().compactions.merges === 0 && count < 10_000_000) put();
    expect(turns).toBe(0);
    const { flushes, compactions } = db.stats();
    expect(flushes.count).toBeGreaterThanOrEqual(5);
    expect(compactions.merges).toBeGreaterThanOrEqual(1);
    expect(memtableBytesMax).toBeLessThanOrEqual(3 * (16 << 20));
    await db.idle();
    for (let i = 0; i < count; i += 997) {
      key.writeUInt32BE(Math.imul(i, 0x9e3779b1) >>> 0, 0);
      key.writeUInt32BE(i, 8);
      expect(db.hasSync(key)).toBe(true);
    }
    await db.close();
  });
});

test("40 memtables written, flushed and reused leave the memory where it was", {
  timeout: 120_000,
}, async () => {
  await withDirectory(async (directory) => {
    const bytes = 4 << 20;
    const db = await openReal(directory, {
      memtable: { maxSize: bytes, maxCount: 3 },
      cache: { capacity: 1 << 20 },
    });
    const value = Buffer.alloc(400, 7);
    /** Writes the same keys again and again, until `count` more memtables were flushed. */
    const fill = async (count: number): Promise<number> => {
      const wanted = db.stats().flushes.count + count;
      for (let i = 0; db.stats().flushes.count < wanted; i++) {
        db.putSync(`key-${i % 20_000}`, value);
        if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await db.idle();
      return process.memoryUsage().rss;
    };
    await fill(20);
    const { madeCount } = new ArenaPool().stats();
    const before = await fill(10);
    const after = await fill(40);
    // Never more than the memtables that may exist at once; one of them may not have been needed.
    expect(new ArenaPool().stats().madeCount).toBeLessThanOrEqual(madeCount + 2);
    // Forty arenas that were dropped and not reused would be 160 MiB more. Two workers' heaps grow too,
    // by some ten MiB, once.
    expect(after - before).toBeLessThan(30 * bytes);
    await db.close();
  });
});

test("a hundred small databases open at once, and nothing runs after they closed", async () => {
  const before = process.getActiveResourcesInfo();
  const newResources = (): string[] =>
    process
      .getActiveResourcesInfo()
      .filter((kind) => /FSReq|Pipe|Worker|Message/.test(kind) && !before.includes(kind));
  await withDirectory(async (directory) => {
    const all = await Promise.all(
      Array.from({ length: 100 }, (_, i) => openReal(`${directory}/${i}`)),
    );
    await Promise.all(all.map((db, i) => db.put("who", String(i))));
    for (const [i, db] of all.entries()) expect(await db.getString("who")).toBe(String(i));
    await Promise.all(all.map((db) => db.close()));
    // The test runner has file requests of its own: what counts is that none stays.
    for (let i = 0; i < 100 && newResources().length > 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(newResources()).toEqual([]);
  });
});
