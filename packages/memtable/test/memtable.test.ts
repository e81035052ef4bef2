import { hasCode, Kind, SEQ_MAX } from "@aura/base";
import { describe, expect, it } from "vitest";
import {
  ARENA_BYTES_MIN,
  attachMemtable,
  createMemtable,
  entryBytesMax,
  type Memtable,
} from "../src/index.ts";
import {
  addEntry,
  compareEntries,
  entriesBackward,
  entriesForward,
  garbageArena,
  hitOf,
  IMPLEMENTATIONS,
  type ModelEntry,
} from "./memtable-model.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const empty = new Uint8Array(0);

function entry(key: string, seq: number, value = "", tag: number = Kind.value): ModelEntry {
  return { key: text(key), seq, tag, value: text(value) };
}

describe.each(IMPLEMENTATIONS)("the memtable %s", (implementation) => {
  const memtableOver = (buffer: SharedArrayBuffer, seed = 1): Memtable =>
    createMemtable(implementation, buffer, { seed });
  const memtableOf = (bytes = 65536, seed = 1): Memtable =>
    memtableOver(new SharedArrayBuffer(bytes), seed);

  it("finds the newest version at or below a sequence number", () => {
    const memtable = memtableOf();
    for (const e of [entry("a", 3, "old"), entry("a", 7, "new"), entry("b", 5, "", Kind.delete)]) {
      expect(addEntry(memtable, e)).toBe(true);
    }
    expect(memtable.find(text("a"), 0, 1, SEQ_MAX)).toBe(true);
    expect([memtable.hitSeq, memtable.hitTag]).toEqual([7, Kind.value]);
    expect(memtable.find(text("a"), 0, 1, 6)).toBe(true);
    expect(memtable.hitSeq).toBe(3);
    expect(memtable.find(text("a"), 0, 1, 2)).toBe(false);
    expect(memtable.find(text("b"), 0, 1, 5)).toBe(true);
    expect(memtable.hitTag).toBe(Kind.delete);
    expect(memtable.hitValueEnd).toBe(memtable.hitValueStart);
    expect(memtable.find(text("c"), 0, 1, SEQ_MAX)).toBe(false);
    expect(memtable.entryCount).toBe(3);
  });

  it("keeps empty keys, empty values, the highest sequence number and every tag bit", () => {
    const memtable = memtableOf();
    expect(memtable.add(0, 0x80, empty, 0, 0, empty, 0, 0)).toBe(true);
    expect(memtable.add(SEQ_MAX, 0xff, empty, 0, 0, empty, 0, 0)).toBe(true);
    expect(memtable.find(empty, 0, 0, SEQ_MAX)).toBe(true);
    expect([memtable.hitSeq, memtable.hitTag]).toEqual([SEQ_MAX, 0xff]);
    expect(memtable.find(empty, 0, 0, SEQ_MAX - 1)).toBe(true);
    expect([memtable.hitSeq, memtable.hitTag]).toEqual([0, 0x80]);
  });

  it("takes ranges of larger arrays and copies them, short and long", () => {
    const memtable = memtableOf();
    for (const bytes of [3, 95, 96, 97, 5000]) {
      const source = new Uint8Array(bytes + 10).map((_, i) => i * 7 + bytes);
      const copy = source.slice();
      memtable.add(bytes, Kind.value, source, 1, 4, source, 5, 5 + bytes);
      source.fill(0);
      expect(memtable.find(copy, 1, 4, bytes)).toBe(true);
      const hit = memtable.bytes.slice(memtable.hitValueStart, memtable.hitValueEnd);
      expect(hit).toEqual(copy.slice(5, 5 + bytes));
    }
  });

  it("holds the longest key and refuses a longer one", () => {
    const memtable = memtableOf(1 << 20);
    const long = new Uint8Array(65536).fill(9);
    expect(memtable.add(1, Kind.value, long, 0, 65535, empty, 0, 0)).toBe(true);
    expect(memtable.find(long, 0, 65535, 1)).toBe(true);
    let error: unknown;
    try {
      memtable.add(2, Kind.value, long, 0, 65536, empty, 0, 0);
    } catch (e) {
      error = e;
    }
    expect(hasCode(error, "AURA_KEY_TOO_LONG")).toBe(true);
    expect(memtable.entryCount).toBe(1);
  });

  it("refuses a version that it has, and sequence numbers that are none", () => {
    const memtable = memtableOf();
    addEntry(memtable, entry("a", 1));
    addEntry(memtable, entry("b", 1));
    const used = memtable.usedBytes;
    expect(() => addEntry(memtable, entry("a", 1))).toThrow("in order, once");
    expect(() => addEntry(memtable, entry("b", 1))).toThrow("in order, once");
    addEntry(memtable, entry("b", 3));
    const after = memtable.usedBytes;
    expect(() => addEntry(memtable, entry("b", 2))).toThrow("in order, once");
    expect(memtable.usedBytes).toBe(after);
    expect(() => addEntry(memtable, entry("c", SEQ_MAX + 1))).toThrow("sequence number");
    expect(() => addEntry(memtable, entry("c", -1))).toThrow("sequence number");
    expect([memtable.usedBytes > used, memtable.entryCount]).toEqual([true, 3]);
  });

  it("says no when the arena is full, and is unchanged by it", () => {
    const memtable = memtableOf(ARENA_BYTES_MIN);
    const value = new Uint8Array(50);
    let seq = 0;
    while (memtable.add(seq + 1, Kind.value, text(`key${seq}`), 0, 4, value, 0, 50)) seq++;
    expect(seq).toBeGreaterThan(30);
    expect(memtable.roomBytes).toBeLessThan(memtable.entryBytesMax(4, 50));
    const before = new Uint8Array(memtable.bytes);
    const fields = [memtable.usedBytes, memtable.roomBytes, memtable.entryCount];
    expect(memtable.add(900, Kind.value, text("zzz"), 0, 3, new Uint8Array(5000), 0, 5000)).toBe(
      false,
    );
    expect(new Uint8Array(memtable.bytes)).toEqual(before);
    expect([memtable.usedBytes, memtable.roomBytes, memtable.entryCount]).toEqual(fields);
  });

  it("takes every entry that entryBytesMax admits, down to the last byte", () => {
    const patterns: readonly ((seq: number) => Uint8Array)[] = [
      (seq) => text(`k${(seq * 7919) % 1000}`),
      (seq) => new Uint8Array([seq >>> 8, seq]),
      (seq) => new Uint8Array([-seq >>> 8, -seq]),
      (seq) => new Uint8Array([Math.imul(seq, 0x9e3779b1) >>> 24, seq >>> 8, seq]),
      (seq) => new Uint8Array(seq % 200).fill(3),
      (seq) => new Uint8Array([...new Uint8Array(seq % 60).fill(5), seq]),
    ];
    for (let seed = 0; seed < 60; seed++) {
      const memtable = memtableOf(ARENA_BYTES_MIN << (seed % 7), seed);
      const keyOf = patterns[seed % patterns.length]!;
      for (let seq = 1; ; seq++) {
        const valueBytes = seed % 2 === 0 ? 0 : (seq * 37 + seed) % 90;
        const key = keyOf(seq);
        if (memtable.roomBytes < memtable.entryBytesMax(key.length, valueBytes)) break;
        const room = memtable.roomBytes;
        expect(addEntry(memtable, { key, seq, tag: 1, value: new Uint8Array(valueBytes) })).toBe(
          true,
        );
        const taken = room - memtable.roomBytes;
        expect(taken).toBeGreaterThan(0);
        expect(taken).toBeLessThanOrEqual(memtable.entryBytesMax(key.length, valueBytes));
        expect(memtable.entryBytesMax(key.length, valueBytes)).toBeLessThanOrEqual(
          entryBytesMax(key.length, valueBytes),
        );
      }
    }
  });

  it("gives the same arena for the same seed and adds, refused ones left out", () => {
    const tooLong = new Uint8Array(65536);
    const arenaOf = (seed: number, refusals: number): Uint8Array => {
      const memtable = memtableOf(65536, seed);
      for (let i = 0; i < 300; i++) {
        addEntry(memtable, entry(`k${(i * 31) % 97}`, i + 1, "v"));
        if (i >= refusals) continue;
        expect(memtable.add(9999, 1, empty, 0, 0, tooLong, 0, tooLong.length)).toBe(false);
      }
      return memtable.bytes.slice(0, memtable.usedBytes);
    };
    expect(arenaOf(5, 0)).toEqual(arenaOf(5, 0));
    expect(arenaOf(5, 3)).toEqual(arenaOf(5, 0));
    if (implementation === "skiplist") expect(arenaOf(5, 0)).not.toEqual(arenaOf(6, 0));
  });

  it("behaves as new over an arena that was used, or is full of garbage", () => {
    const clean = memtableOf();
    const buffers = [0xff, 1, 2, 3].map((fill) => garbageArena(65536, fill));
    const used = new SharedArrayBuffer(65536);
    const earlier = memtableOver(used, 9);
    for (let i = 0; i < 400; i++) addEntry(earlier, entry(`zz${i}`, i + 1, "earlier"));
    const others = [...buffers, used].map((buffer) => memtableOver(buffer, 1));
    for (const other of others) {
      expect(entriesForward(other)).toEqual([]);
      expect(other.find(text("zz1"), 0, 3, SEQ_MAX)).toBe(false);
      expect([other.entryCount, other.usedBytes]).toEqual([0, clean.usedBytes]);
    }
    for (let i = 0; i < 300; i++) {
      const e = entry(`k${(i * 31) % 97}`, i + 1, `v${i}`);
      for (const memtable of [clean, ...others]) expect(addEntry(memtable, e)).toBe(true);
    }
    const expected = entriesForward(clean);
    for (const other of others) {
      expect(entriesForward(other)).toEqual(expected);
      expect(entriesForward(attachMemtable(other.share()))).toEqual(expected);
    }
  });

  it("refuses a view of an arena that went to a new memtable", () => {
    const buffer = new SharedArrayBuffer(ARENA_BYTES_MIN);
    const first = memtableOver(buffer, 1);
    addEntry(first, entry("a", 1));
    const share = first.share();
    const view = attachMemtable(share);
    expect(view.find(text("a"), 0, 1, 1)).toBe(true);
    memtableOver(buffer, 1);
    expect(() => view.find(text("a"), 0, 1, 1)).toThrow("new memtable");
    expect(() => attachMemtable(share)).toThrow("new memtable");
  });

  it("refuses arenas of no use", () => {
    for (const bytes of [0, ARENA_BYTES_MIN - 4, ARENA_BYTES_MIN + 2]) {
      let error: unknown;
      try {
        memtableOf(bytes);
      } catch (e) {
        error = e;
      }
      expect(hasCode(error, "AURA_INVALID_ARGUMENT")).toBe(true);
    }
  });

  it("keeps cursors right while entries are added around them", () => {
    const memtable = memtableOf(1 << 20);
    const name = (i: number): string => String(i).padStart(4, "0");
    const at = (): number =>
      Number(Buffer.from(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd)).toString());
    for (let i = 0; i < 3000; i += 2) addEntry(memtable, entry(name(i), 1));
    const cursor = memtable.cursor();
    cursor.seek(text("1500"), 0, 4);
    for (let i = 1; i < 3000; i += 2) addEntry(memtable, entry(name(i), 2));
    for (let i = 0; i < 3000; i += 4) addEntry(memtable, entry(name(i), 3));
    expect([at(), cursor.seq]).toEqual([1500, 1]);
    // Of what was there when it was placed it misses nothing, of the rest it may show anything.
    const seen: number[] = [];
    for (let last = 1500; cursor.valid; cursor.next()) {
      expect(at()).toBeGreaterThanOrEqual(last);
      last = at();
      if (cursor.seq === 1) seen.push(at());
    }
    expect(seen).toEqual(Array.from({ length: 750 }, (_, i) => 1500 + 2 * i));
    cursor.seek(text("1500"), 0, 4);
    expect([at(), cursor.seq]).toEqual([1500, 3]);
    cursor.prev();
    expect([at(), cursor.seq]).toEqual([1499, 2]);
    cursor.prev();
    expect([at(), cursor.seq]).toEqual([1498, 1]);
    cursor.next();
    cursor.next();
    cursor.next();
    expect([at(), cursor.seq]).toEqual([1500, 1]);
    cursor.close();
    expect(cursor.valid).toBe(false);
    expect(() => cursor.next()).toThrow("needs an entry");
    expect(() => cursor.prev()).toThrow("needs an entry");
  });

  it("reads every version of a key that was written often", () => {
    const memtable = memtableOf(1 << 20);
    const count = 3000;
    const seqOf = (i: number): number => 5 + 3 * i;
    addEntry(memtable, entry("a", 1));
    addEntry(memtable, entry("c", 2));
    for (let i = 0; i < count; i++) addEntry(memtable, entry("b", seqOf(i), String(i)));
    const view = attachMemtable(memtable.share());
    for (const reader of [memtable, view]) {
      for (let i = 0; i < count; i++) {
        for (const seqMax of [seqOf(i), seqOf(i) + 2]) {
          if (!reader.find(text("b"), 0, 1, seqMax) || reader.hitSeq !== seqOf(i)) {
            expect.fail(`version ${i} is not found at ${seqMax}`);
          }
        }
      }
      expect(reader.find(text("b"), 0, 1, 4)).toBe(false);
      const seqs: number[] = [];
      const cursor = reader.cursor();
      for (cursor.last(); cursor.valid; cursor.prev()) seqs.push(cursor.seq);
      const versions = Array.from({ length: count }, (_, i) => seqOf(i));
      expect(seqs).toEqual([2, ...versions, 1]);
      // To and fro in the middle of the versions.
      cursor.seek(text("b"), 0, 1);
      for (let i = 0; i < 1000; i++) cursor.next();
      for (let i = 0; i < 400; i++) cursor.prev();
      expect(cursor.seq).toBe(seqOf(count - 1 - 600));
    }
  });

  it("takes sequence numbers far apart, and values of every length class", () => {
    const memtable = memtableOf(1 << 20);
    const entries: ModelEntry[] = [];
    const seqs = [7, 8, 7 + 0xffffff, 7 + 0x1000000, 2 ** 33, 2 ** 33 + 1, SEQ_MAX - 1, SEQ_MAX];
    for (const [i, seq] of seqs.entries()) {
      const value = new Uint8Array([0, 1, 8191, 8192, 8193, 70_000, 5, 0][i]!).fill(i + 1);
      entries.push({ key: text(`k${i % 3}`), seq, tag: 0xf0 | i, value });
    }
    // Lower than the first one, as another key may be.
    entries.push({ key: text("low"), seq: 0, tag: 1, value: text("x") });
    for (const e of entries) expect(addEntry(memtable, e)).toBe(true);
    const sorted = entries.toSorted(compareEntries);
    expect(entriesForward(memtable)).toEqual(sorted);
    const view = attachMemtable(memtable.share());
    expect(entriesForward(view)).toEqual(sorted);
    for (const e of entries) {
      expect(view.find(e.key, 0, e.key.length, e.seq)).toBe(true);
      expect(hitOf(view, e.key)).toEqual(e);
    }
  });

  it("tells keys apart that are long, and prefixes of each other", () => {
    const memtable = memtableOf(16 << 20);
    const keys: Uint8Array[] = [new Uint8Array(0)];
    for (const length of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 255, 256, 65534, 65535]) {
      for (const byte of [0, 1, 0xff]) {
        const key = new Uint8Array(length).fill(byte);
        keys.push(key);
        for (const at of [0, length >> 1, length - 1]) {
          const other = key.slice();
          other[at] = 7;
          keys.push(other);
        }
      }
    }
    const distinct = [...new Map(keys.map((k) => [Buffer.from(k).toString("latin1"), k])).values()];
    const entries = distinct.map((k, i) => ({ key: k, seq: i + 1, tag: 1, value: text(`${i}`) }));
    for (const e of entries) expect(addEntry(memtable, e)).toBe(true);
    const sorted = entries.toSorted(compareEntries);
    const view = attachMemtable(memtable.share());
    for (const reader of [memtable, view]) {
      expect(entriesForward(reader).map((e) => e.seq)).toEqual(sorted.map((e) => e.seq));
      expect(entriesBackward(reader).map((e) => e.seq)).toEqual(
        sorted.toReversed().map((e) => e.seq),
      );
      const cursor = reader.cursor();
      for (const [i, e] of sorted.entries()) {
        expect(reader.find(e.key, 0, e.key.length, SEQ_MAX)).toBe(true);
        expect(reader.hitSeq).toBe(e.seq);
        cursor.seek(e.key, 0, e.key.length);
        expect(cursor.seq).toBe(e.seq);
        cursor.seekBefore(e.key, 0, e.key.length);
        expect(cursor.valid ? cursor.seq : 0).toBe(sorted[i - 1]?.seq ?? 0);
      }
    }
  });

  it("refuses an add at every possible end of the arena, unchanged, and goes on", () => {
    // Entries of one size and of another: whatever is made besides them, it is refused once.
    for (const [keyBytes, valueBytes] of [
      [3, 0],
      [12, 20],
      [200, 3],
    ] as const) {
      for (let bytes = ARENA_BYTES_MIN; bytes < ARENA_BYTES_MIN + 320; bytes += 4) {
        const memtable = memtableOf(bytes);
        const value = new Uint8Array(valueBytes).fill(1);
        const keyOf = (i: number): Uint8Array => {
          const key = new Uint8Array(keyBytes).fill(9);
          key[keyBytes - 1] = i * 101;
          key[keyBytes - 2] = (i * 101) >>> 8;
          key[keyBytes - 3] = i;
          return key;
        };
        let count = 0;
        while (memtable.add(count + 1, 1, keyOf(count), 0, keyBytes, value, 0, valueBytes)) count++;
        const before = [memtable.usedBytes, memtable.roomBytes, memtable.entryCount];
        expect(memtable.usedBytes).toBeLessThanOrEqual(bytes);
        expect(memtable.add(9999, 1, keyOf(count), 0, keyBytes, value, 0, valueBytes)).toBe(false);
        expect([memtable.usedBytes, memtable.roomBytes, memtable.entryCount]).toEqual(before);
        for (let i = 0; i < count; i++) {
          if (!memtable.find(keyOf(i), 0, keyBytes, SEQ_MAX) || memtable.hitSeq !== i + 1) {
            expect.fail(`entry ${i} of ${count} is lost in an arena of ${bytes} bytes`);
          }
        }
        if (memtable.find(keyOf(count), 0, keyBytes, SEQ_MAX)) expect.fail("it was added");
        let walked = 0;
        const cursor = attachMemtable(memtable.share()).cursor();
        for (cursor.first(); cursor.valid; cursor.next()) walked++;
        if (walked !== count) expect.fail(`a walk sees ${walked} of ${count}`);
      }
    }
  });
});

describe.each(IMPLEMENTATIONS)("a cursor of %s on its way", (implementation) => {
  it.each(["next", "prev"] as const)(
    "goes on with %s where it was, however the index grows",
    (step) => {
      // 64, 512 and 4096 keys are where a B-tree is made anew, with other leaves.
      for (const from of [40, 300, 500, 3900]) {
        const memtable = createMemtable(implementation, new SharedArrayBuffer(2 ** 21), {
          seed: 1,
        });
        const key = new Uint8Array(4);
        const view = new DataView(key.buffer);
        let seq = 0;
        const add = (): void => {
          view.setUint32(0, Math.imul(++seq, 0x9e3779b1));
          expect(memtable.add(seq, Kind.value, key, 0, 4, key, 0, 4)).toBe(true);
        };
        while (seq < from) add();
        const cursor = memtable.cursor();
        const seen = new Set<number>();
        let last = step === "next" ? -1 : 2 ** 32;
        cursor[step === "next" ? "first" : "last"]();
        for (; cursor.valid; cursor[step]()) {
          const at = Buffer.from(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd));
          const number = at.readUInt32BE(0);
          expect(Math.sign(number - last), `${from}: ${number} behind ${last}`).toBe(
            step === "next" ? 1 : -1,
          );
          last = number;
          if (cursor.seq <= from) seen.add(cursor.seq);
          // Writes go on while it walks.
          if (seen.size % 7 === 3 && seq < from + 300) add();
        }
        expect(seen.size).toBe(from);
      }
    },
  );
});
