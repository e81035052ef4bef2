import { hashReady, Kind, SEQ_MAX } from "@aura/base";
import { beforeAll, describe, expect, test } from "vitest";
import {
  add,
  emptyFs,
  entry,
  errorOf,
  get,
  hex,
  lyingIndex,
  openTable,
  PACKED,
  PATH,
  plainEntries,
  text,
  writer,
  writeTable,
} from "./support.ts";

beforeAll(() => hashReady());

function table(): ReturnType<typeof writer> {
  return writer(emptyFs().openSync(PATH, "create"));
}

describe("entries out of order are refused", () => {
  test.each([
    ["the same entry", entry("b", 5), entry("b", 5)],
    ["a newer version behind an older one", entry("b", 5), entry("b", 6)],
    ["a smaller key", entry("b", 5), entry("a", 5)],
    ["a prefix behind its extension", entry("ab", 5), entry("a", 4)],
    ["the empty key behind another", entry("a", 5), entry("", 4)],
  ])("%s", (_, first, second) => {
    const one = table();
    add(one, first);
    expect(() => add(one, second)).toThrow("internal order");
  });

  test("also across blocks", () => {
    const one = table();
    add(one, entry("b", 5, "x".repeat(5000)));
    add(one, entry("c", 5, "x".repeat(5000)));
    expect(() => add(one, entry("bz", 4))).toThrow("internal order");
    expect(() => add(one, entry("c", 5))).toThrow("internal order");
  });
});

test("what no build can read is not written", () => {
  const one = table();
  for (const tag of [Kind.rangeDelete, Kind.merge, Kind.mergePointer, 0x11, 0x21, 255]) {
    expect(() => add(one, entry("a", 1, "", tag))).toThrow("tag");
  }
  for (const seq of [-1, SEQ_MAX + 1, Number.NaN]) {
    expect(() => add(one, entry("a", seq))).toThrow("sequence");
  }
  expect(errorOf(() => add(one, { ...entry("a", 1), key: new Uint8Array(65536) })).code).toBe(
    "AURA_KEY_TOO_LONG",
  );
});

test("a table without entries is refused, and so is a second end", () => {
  expect(() => table().finishSync()).toThrow("entries");
  const one = table();
  add(one, entry("a", 1));
  one.finishSync();
  expect(() => one.finishSync()).toThrow("once");
});

test("settings out of range are refused", () => {
  const file = emptyFs().openSync(PATH, "create");
  for (const settings of [
    { blockBytes: 63 },
    { blockBytes: 2 ** 21 },
    { bloomBitsPerKey: 41 },
    { bloomBitsPerKey: -1 },
    { prefixBytes: 256 },
    { hashSeed: 2 ** 32 },
    { index: [{ ...lyingIndex("none"), name: "n".repeat(65) }] },
  ]) {
    expect(() => writer(file, { settings })).toThrow();
  }
});

test("the summary that is returned is the one that is read", () => {
  const fs = emptyFs();
  const file = fs.openSync(PATH, "create");
  const one = writer(file, { settings: { blockBytes: 128, index: [lyingIndex("none")] } });
  add(one, entry("a", 9, "0123456789"));
  one.noteReference(12, 300);
  add(one, entry("b", 8, "", Kind.delete));
  add(one, entry("c", 4));
  one.noteReference(3, 50);
  add(one, entry("d", 7));
  one.noteReference(12, 1000);
  const summary = one.finishSync();
  expect(summary).toMatchObject({
    keyspace: 7,
    entryCount: 4,
    deleteCount: 1,
    smallestSeq: 4,
    largestSeq: 9,
    rawKeyBytes: 4,
    rawValueBytes: 10,
    indexName: "lying",
    references: [
      { segment: 3, count: 1, bytes: 50 },
      { segment: 12, count: 2, bytes: 1300 },
    ],
  });
  expect(summary.fileBytes).toBe(file.sizeSync());
  file.closeSync();
  const read = openTable(fs);
  expect(read.summary).toEqual(summary);
  expect(read.blockCount).toBe(summary.blockCount);
  expect(read.number).toBe(42);
  read.closeSync();
});

test("the summary's keys are the receiver's, also when the writer was given buffers", () => {
  const fs = emptyFs();
  const one = writer(fs.openSync(PATH, "create"));
  const key = Buffer.from("--key--");
  const value = Buffer.from("--value--");
  one.add(key, 2, 5, 1, Kind.value, value, 2, 7);
  key.fill(0);
  value.fill(0);
  const { smallestKey, largestKey } = one.finishSync();
  expect(hex(smallestKey)).toBe(hex(text("key")));
  expect(hex(largestKey)).toBe(hex(text("key")));
  expect(get(openTable(fs), text("key"))?.value).toBe(hex(text("value")));
});

test("blocks go out in large writes, front to back, and nothing is synced", () => {
  const fs = emptyFs();
  const file = fs.openSync(PATH, "create");
  const one = writer(file);
  const before = fs.counts.write;
  for (const next of plainEntries(30_000, 60)) add(one, next);
  const { fileBytes } = one.finishSync();
  expect(fs.counts.write - before).toBeLessThanOrEqual(Math.ceil(fileBytes / (256 * 1024)) + 2);
  expect(fs.counts.sync).toBe(0);
});

test("the estimate is near the length that the file gets", () => {
  const file = emptyFs().openSync(PATH, "create");
  const one = writer(file);
  for (const [i, next] of plainEntries(20_000, 30).entries()) {
    add(one, next);
    if (i === 9_999) expect(one.entryCount).toBe(10_000);
  }
  const estimate = one.estimatedBytes;
  const { fileBytes } = one.finishSync();
  expect(Math.abs(estimate - fileBytes) / fileBytes).toBeLessThan(0.05);
});

test("keys and values of every length come back", () => {
  const fs = emptyFs();
  const longest = new Uint8Array(65535).fill(0x62);
  const entries = [
    entry("", 3, ""),
    entry("a", 2, "v".repeat(70_000)),
    { ...entry("", 1, "x"), key: longest },
    { ...entry("", 0, "y"), key: longest },
    entry("c", 9, "z".repeat(3_000_000)),
    entry("d", 8, ""),
    ...Array.from({ length: 300 }, (_, i) => entry(`e${i + 100}`, 7, "w".repeat(i))),
  ];
  writeTable(fs, entries);
  const read = openTable(fs);
  read.verifySync();
  for (const one of entries) {
    expect(get(read, one.key, one.seq)).toEqual({ seq: one.seq, tag: 1, value: hex(one.value) });
  }
  const cursor = read.cursor({ mayRead: true });
  let at = entries.length;
  for (cursor.last(); cursor.valid; cursor.prev()) {
    const one = entries[--at]!;
    expect(cursor.keyEnd).toBe(one.key.length);
    expect(cursor.valueEnd - cursor.valueStart).toBe(one.value.length);
  }
  expect(at).toBe(0);
});

test("many tiny entries in one block: the block ends before its counters do", () => {
  const fs = emptyFs();
  const entries = Array.from({ length: 70_000 }, (_, i) => ({
    ...entry("", 0),
    key: Uint8Array.of(i >>> 16, i >>> 8, i),
  }));
  writeTable(fs, entries, { settings: { blockBytes: 1024 * 1024 } });
  const read = openTable(fs);
  read.verifySync();
  expect(read.blockCount).toBeGreaterThan(1);
});

test("versions of one key without end span blocks", () => {
  const fs = emptyFs();
  const entries = [
    entry("a", 1),
    ...Array.from({ length: 3000 }, (_, i) => entry("k", 5000 - i, `value ${i}`)),
    entry("z", 1),
  ];
  writeTable(fs, entries, { settings: { blockBytes: 256 } });
  const read = openTable(fs);
  read.verifySync();
  expect(read.blockCount).toBeGreaterThan(200);
  for (const seqMax of [SEQ_MAX, 5000, 4999, 3777, 2001]) {
    expect(get(read, text("k"), seqMax)?.seq).toBe(Math.min(seqMax, 5000));
  }
  expect(get(read, text("k"), 2000)).toBeUndefined();
  expect(get(read, text("z"), 5)?.seq).toBe(1);
});

describe("compression", () => {
  test("is kept where it saves an eighth, block by block", () => {
    const noise = (length: number, seed: number): Uint8Array => {
      let state = seed;
      return new Uint8Array(length).map(() => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state >>> 24;
      });
    };
    const entries = Array.from({ length: 200 }, (_, i) => ({
      ...entry(`k${i + 1000}`, 1),
      value: i < 100 ? noise(200, i) : new Uint8Array(200).fill(i),
    }));
    const plain = emptyFs();
    const packed = emptyFs();
    const before = writeTable(plain, entries).fileBytes;
    const after = writeTable(packed, entries, { settings: { codec: PACKED } }).fileBytes;
    expect(after).toBeLessThan(before * 0.65);
    expect(after).toBeGreaterThan(before * 0.45);
    const read = openTable(packed);
    read.verifySync();
    for (const one of entries) expect(get(read, one.key)?.value).toBe(hex(one.value));
  });
});

describe("a file system that fails", () => {
  test("every failed write comes out, and what is left is no table", () => {
    const entries = plainEntries(15_000, 60);
    for (let nth = 1; nth <= 4; nth++) {
      const fs = emptyFs();
      let writes = 0;
      fs.failAt({
        at: (kind) => kind === "write" && ++writes === nth,
        error: "ENOSPC",
        partial: 100,
      });
      expect(errorOf(() => writeTable(fs, entries)).code).toBe("AURA_OUT_OF_SPACE");
      expect(errorOf(() => openTable(fs)).code).toMatch(/AURA_CORRUPTION|AURA_UNSUPPORTED/);
    }
  });

  test("after a power loss an unsynced table is refused or whole, a synced one whole", () => {
    const entries = plainEntries(3000, 60);
    const fs = emptyFs();
    const file = fs.openSync(PATH, "create");
    fs.syncDirSync("/db");
    fs.syncDirSync("/");
    const one = writer(file);
    for (const next of entries) add(one, next);
    one.finishSync();
    for (let seed = 0; seed < 40; seed++) {
      const image = fs.crash({ seed });
      try {
        openTable(image).verifySync();
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/AURA_CORRUPTION|AURA_UNSUPPORTED/);
      }
    }
    file.syncSync();
    for (let seed = 0; seed < 10; seed++) openTable(fs.crash({ seed })).verifySync();
  });
});
