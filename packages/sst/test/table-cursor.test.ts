import { hashReady, SEQ_MAX } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { LentMemory, type Table, TableHit } from "../src/index.ts";
import { LENT_PIECE_BYTES } from "../src/lent-memory.ts";
import {
  cacheOf,
  emptyFs,
  errorOf,
  get,
  hashOf,
  lyingIndex,
  openTable,
  PATH,
  plainEntries,
  text,
  writeTable,
} from "./support.ts";

beforeAll(() => hashReady());

const entries = plainEntries(2000, 40);

function written(fs: SimFs = emptyFs()): SimFs {
  writeTable(fs, entries);
  return fs;
}

/** A file system whose async calls wait until `run`. */
function waiting(): { fs: SimFs; run: () => Promise<void> } {
  const tasks: (() => void)[] = [];
  const fs = emptyFs({ schedule: (task) => tasks.push(task) });
  const run = async (): Promise<void> => {
    for (const task of tasks.splice(0)) task();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { fs: written(fs), run };
}

function keyOf(i: number): Uint8Array {
  return entries[i]!.key;
}

function seek(cursor: ReturnType<Table["cursor"]>, i: number): void {
  cursor.seek(keyOf(i), 0, keyOf(i).length);
}

describe("pending", () => {
  test("a move into a block that is not in memory waits, and load completes it", async () => {
    const table = openTable(written());
    const cursor = table.cursor();
    seek(cursor, 1000);
    expect(cursor).toMatchObject({ pending: true, valid: false, failed: false });
    await cursor.load();
    expect(cursor).toMatchObject({ pending: false, valid: true, seq: entries[1000]!.seq });
    await cursor.load();
    cursor.loadSync();
    expect(cursor.seq).toBe(entries[1000]!.seq);
    table.closeSync();
  });

  test("a move that is not pending reads nothing", () => {
    const fs = written();
    const table = openTable(fs, { cache: cacheOf(1 << 20) });
    const cursor = table.cursor({ mayRead: true });
    for (cursor.first(); cursor.valid; cursor.next());
    const reads = fs.counts.read;
    const other = table.cursor();
    let count = 0;
    for (other.first(); other.valid; other.next()) count++;
    expect(count).toBe(entries.length);
    expect(fs.counts.read).toBe(reads);
  });

  test("reading on in one direction reads ahead; turning and seeking does not", () => {
    const fs = written();
    const table = openTable(fs);
    const cursor = table.cursor({ mayRead: true });
    const before = fs.counts.read;
    for (cursor.first(); cursor.valid; cursor.next());
    const forward = fs.counts.read - before;
    expect(forward).toBeLessThan(8);
    for (cursor.last(); cursor.valid; cursor.prev());
    expect(fs.counts.read - before - forward).toBeLessThan(8);
    const read = fs.bytesRead;
    seek(cursor, 500);
    expect(fs.bytesRead - read).toBeLessThan(5000);
  });

  test("a seek within the block reads nothing", () => {
    const fs = written();
    const table = openTable(fs);
    const cursor = table.cursor({ mayRead: true });
    seek(cursor, 0);
    const reads = fs.counts.read;
    seek(cursor, 3);
    seek(cursor, 1);
    expect(cursor.seq).toBe(entries[1]!.seq);
    expect(fs.counts.read).toBe(reads);
  });

  test("without fillCache the cache stays as it is", () => {
    const cache = cacheOf(1 << 20);
    const table = openTable(written(), { cache });
    const cursor = table.cursor({ mayRead: true, fillCache: false });
    for (cursor.first(); cursor.valid; cursor.next());
    expect(cache.stats().insertions).toBe(0);
    const filling = table.cursor({ mayRead: true });
    for (filling.first(); filling.valid; filling.next());
    expect(cache.stats().insertions).toBe(table.blockCount);
  });
});

describe("what comes between", () => {
  test("a read that comes back to another move is dropped", async () => {
    const { fs, run } = waiting();
    const table = openTable(fs);
    const cursor = table.cursor();
    seek(cursor, 1000);
    const late = cursor.load();
    seek(cursor, 10);
    expect(cursor.pending).toBe(true);
    await run();
    await late;
    expect(cursor).toMatchObject({ pending: true, valid: false });
    cursor.loadSync();
    expect(cursor.seq).toBe(entries[10]!.seq);
  });

  test("a read that fails for another move is dropped", async () => {
    const { fs, run } = waiting();
    const table = openTable(fs);
    const cursor = table.cursor();
    seek(cursor, 1000);
    const late = cursor.load();
    fs.failAt({ at: (kind) => kind === "read", error: "EIO" });
    cursor.close();
    await run();
    await late;
    expect(cursor).toMatchObject({ pending: false, valid: false, failed: false });
    expect(errorOf(() => cursor.first()).code).toBe("AURA_CLOSED");
  });

  test("a failed read leaves failed, which is not the end", async () => {
    const fs = written();
    const table = openTable(fs);
    const cursor = table.cursor();
    seek(cursor, 1000);
    const fault = fs.failAt({ at: (kind) => kind === "read", error: "EIO", sticky: true });
    await expect(cursor.load()).rejects.toMatchObject({ code: "AURA_IO" });
    expect(cursor).toMatchObject({ failed: true, pending: false, valid: false });
    seek(cursor, 1000);
    expect(cursor).toMatchObject({ failed: false, pending: true });
    expect(errorOf(() => cursor.loadSync()).code).toBe("AURA_IO");
    expect(cursor).toMatchObject({ failed: true, pending: false, valid: false });
    fault.remove();
    cursor.last();
    cursor.loadSync();
    expect(cursor).toMatchObject({ failed: false, valid: true, seq: entries.at(-1)!.seq });
  });

  test("a borrowed entry outlives everything but the cursor's own moves", () => {
    const table = openTable(written(), { cache: cacheOf(128 * 1024) });
    const cursor = table.cursor({ mayRead: true });
    seek(cursor, 77);
    const key = Buffer.from(cursor.keyBytes.subarray(0, cursor.keyEnd));
    const value = Buffer.from(cursor.valueBytes.subarray(cursor.valueStart, cursor.valueEnd));
    const other = table.cursor({ mayRead: true });
    for (let round = 0; round < 3; round++) {
      for (other.first(); other.valid; other.next());
      for (const one of entries) get(table, one.key);
    }
    expect(Buffer.from(cursor.keyBytes.subarray(0, cursor.keyEnd)).equals(key)).toBe(true);
    const { valueBytes, valueStart, valueEnd } = cursor;
    expect(Buffer.from(valueBytes.subarray(valueStart, valueEnd)).equals(value)).toBe(true);
    cursor.next();
    expect(cursor.seq).toBe(entries[78]!.seq);
  });

  test("lent values stay what they are, whatever the cursor and the cache do behind them", () => {
    const table = openTable(written(), { cache: cacheOf(128 * 1024) });
    const cursor = table.cursor({ mayRead: true, lent: new LentMemory() });
    const lent: Uint8Array[] = [];
    const keep = (): void => {
      lent.push(cursor.valueBytes.subarray(cursor.valueStart, cursor.valueEnd));
    };
    for (cursor.first(); cursor.valid; cursor.next()) keep();
    for (cursor.last(); cursor.valid; cursor.prev()) keep();
    for (const one of entries) get(table, one.key);
    for (cursor.first(); cursor.valid; cursor.next()) keep();
    cursor.close();
    expect(lent.length).toBe(3 * entries.length);
    const inOrder = [...entries, ...entries.toReversed(), ...entries];
    for (const [i, { value }] of inOrder.entries()) {
      expect(Buffer.compare(lent[i]!, value)).toBe(0);
    }
    // Neighbouring blocks share memory, of a bounded size.
    const memory = new Set(lent.map(({ buffer }) => buffer));
    for (const { byteLength } of memory) expect(byteLength).toBeLessThanOrEqual(LENT_PIECE_BYTES);
  });

  test("the seek key may change while the move is pending", () => {
    const table = openTable(written());
    const cursor = table.cursor();
    const key = Buffer.from(keyOf(900));
    cursor.seek(key, 0, key.length);
    key.fill(0xff);
    cursor.loadSync();
    expect(cursor.seq).toBe(entries[900]!.seq);
  });

  test("stepping from nowhere is a programmer's error", () => {
    const cursor = openTable(written()).cursor({ mayRead: true });
    expect(() => cursor.next()).toThrow("steps from an entry");
    cursor.last();
    cursor.next();
    expect(cursor.valid).toBe(false);
    expect(() => cursor.prev()).toThrow("steps from an entry");
  });
});

describe("look-ups that wait", () => {
  test("load a block once, however many wait for it", async () => {
    const { fs, run } = waiting();
    const table = openTable(fs, { cache: cacheOf(1 << 20) });
    const reads = fs.counts.read;
    const hits = Array.from({ length: 5 }, () => new TableHit());
    const look = (hit: TableHit): number =>
      table.get(keyOf(3), 0, keyOf(3).length, hashOf(keyOf(3)), SEQ_MAX, hit, false);
    expect(hits.map(look)).toEqual([2, 2, 2, 2, 2]);
    const loads = hits.map((hit) => table.loadBlock(hit.block));
    await run();
    await Promise.all(loads);
    expect(hits.map(look)).toEqual([1, 1, 1, 1, 1]);
    expect(fs.counts.read - reads).toBe(1);
  });

  test("load a block once for all of them where nothing is cached", async () => {
    const { fs, run } = waiting();
    const table = openTable(fs);
    const hits = Array.from({ length: 5 }, () => new TableHit());
    const look = (hit: TableHit): number =>
      table.get(keyOf(3), 0, keyOf(3).length, hashOf(keyOf(3)), SEQ_MAX, hit, false);
    const reads = fs.counts.read;
    expect(hits.map(look)).toEqual([2, 2, 2, 2, 2]);
    const loads = [table.loadBlock(hits[0]!.block), table.loadBlock(hits[1]!.block, 4)];
    await run();
    await Promise.all(loads);
    expect(hits.map(look)).toEqual([1, 1, 1, 1, 1]);
    expect(hits.map(look)).toEqual([2, 2, 2, 2, 2]);
    table.loadBlockSync(hits[0]!.block, 5);
    expect(hits.map(look)).toEqual([1, 1, 1, 1, 1]);
    expect(fs.counts.read - reads).toBe(2);
    expect(table.counts.blocks).toEqual({ hits: 0, misses: 10 });
  });

  test("a load that fails can be tried again", async () => {
    const fs = written();
    const table = openTable(fs);
    fs.failAt({ at: (kind) => kind === "read", error: "EIO" });
    await expect(table.loadBlock(1)).rejects.toMatchObject({ code: "AURA_IO" });
    await table.loadBlock(1);
    table.loadBlockSync(1);
  });

  test("a wrong model is given up for the separators, which are loaded on demand", async () => {
    const fs = emptyFs();
    const index = [lyingIndex("first")];
    writeTable(fs, entries, { settings: { index } });
    const table = openTable(fs, { indexFormats: index });
    expect(table.indexName).toBe("lying");
    const hit = new TableHit();
    const key = keyOf(1500);
    const look = (): number => table.get(key, 0, key.length, hashOf(key), SEQ_MAX, hit, false);
    const blocks: number[] = [];
    while (look() === 2) {
      blocks.push(hit.block);
      await table.loadBlock(hit.block);
    }
    expect(blocks.slice(0, 2)).toEqual([0, table.blockCount]);
    expect(blocks).toHaveLength(3);
    expect(hit.seq).toBe(entries[1500]!.seq);
    expect(table.indexName).toBe("separators");
  });

  test("a model of an unknown kind is passed over", () => {
    const fs = emptyFs();
    writeTable(fs, entries, { settings: { index: [lyingIndex("none")] } });
    const table = openTable(fs);
    expect(table.indexName).toBe("separators");
    expect(table.summary.indexName).toBe("lying");
    table.verifySync();
  });
});

describe("handles", () => {
  test("are given back and taken again", async () => {
    const fs = written();
    const table = openTable(fs, { cache: cacheOf(1 << 20) });
    get(table, keyOf(5));
    table.releaseHandle();
    table.releaseHandle();
    expect(table.hasHandle).toBe(false);
    expect(fs.openHandles).toBe(0);
    expect(get(table, keyOf(5))?.seq).toBe(entries[5]!.seq);
    expect(fs.openHandles).toBe(0);
    expect(get(table, keyOf(1500))?.seq).toBe(entries[1500]!.seq);
    expect(table.hasHandle).toBe(true);
    table.releaseHandle();
    await table.loadBlock(3);
    expect(table.hasHandle).toBe(true);
    table.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  test("a handle is not given back, and not closed, under a read", async () => {
    const { fs, run } = waiting();
    const table = openTable(fs);
    const loading = table.loadBlock(2);
    table.releaseHandle();
    expect(table.hasHandle).toBe(true);
    table.closeSync();
    expect(fs.openHandles).toBe(1);
    const closed = expect(loading).rejects.toMatchObject({ code: "AURA_CLOSED", file: PATH });
    await run();
    await closed;
    expect(fs.openHandles).toBe(0);
  });

  test("a closed table reads nothing any more", async () => {
    const table = openTable(written(), { cache: cacheOf(1 << 20) });
    get(table, keyOf(5));
    table.closeSync();
    table.closeSync();
    expect(errorOf(() => get(table, keyOf(5))).code).toBe("AURA_CLOSED");
    await expect(table.loadBlock(1)).rejects.toMatchObject({ code: "AURA_CLOSED" });
  });

  test("one that is taken again and cannot be looked at is not left open", () => {
    const fs = written();
    const table = openTable(fs);
    table.releaseHandle();
    fs.failAt({ at: (kind) => kind === "stat", error: "EIO" });
    expect(errorOf(() => get(table, keyOf(5))).code).toBe("AURA_IO");
    expect(fs.openHandles).toBe(0);
    expect(get(table, keyOf(5))?.seq).toBe(entries[5]!.seq);
    table.closeSync();
  });

  test("a file that was replaced meanwhile is detected", () => {
    const fs = written();
    const table = openTable(fs);
    table.releaseHandle();
    fs.writeFile(PATH, fs.readFile(PATH).subarray(1));
    expect(errorOf(() => get(table, keyOf(5)))).toMatchObject({
      code: "AURA_CORRUPTION",
      file: PATH,
    });
  });
});

test("the filter keeps most look-ups of absent keys from the blocks", () => {
  const fs = written();
  const table = openTable(fs);
  const reads = fs.counts.read;
  let passed = 0;
  for (let i = 0; i < 5000; i++) {
    const key = text(`key${String(i).padStart(8, "0")}x`);
    if (table.mayHave(hashOf(key))) passed++;
    expect(get(table, key)).toBeUndefined();
  }
  expect(passed / 5000).toBeLessThan(0.02);
  expect(fs.counts.read - reads).toBe(passed);
});
