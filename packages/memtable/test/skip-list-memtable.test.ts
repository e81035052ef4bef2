import { hasCode, Kind, SEQ_MAX } from "@aura/base";
import { describe, expect, it } from "vitest";
import { ARENA_BYTES_MIN, SkipListMemtable } from "../src/index.ts";
import { addEntry, entriesForward, garbageArena, type ModelEntry } from "./memtable-model.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const empty = new Uint8Array(0);

function memtableOf(bytes = 65536, seed = 1): SkipListMemtable {
  return new SkipListMemtable(new SharedArrayBuffer(bytes), { seed });
}

function entry(key: string, seq: number, value = "", tag: number = Kind.value): ModelEntry {
  return { key: text(key), seq, tag, value: text(value) };
}

describe("SkipListMemtable", () => {
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
    expect(memtable.add(SEQ_MAX, 0xff, empty, 0, 0, empty, 0, 0)).toBe(true);
    expect(memtable.add(0, 0x80, empty, 0, 0, empty, 0, 0)).toBe(true);
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
    expect(() => addEntry(memtable, entry("a", 1))).toThrow("added once");
    expect(() => addEntry(memtable, entry("b", 1))).toThrow("added once");
    expect(() => addEntry(memtable, entry("c", SEQ_MAX + 1))).toThrow("sequence number");
    expect(() => addEntry(memtable, entry("c", -1))).toThrow("sequence number");
    expect([memtable.usedBytes, memtable.entryCount]).toEqual([used, 2]);
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
    for (let seed = 0; seed < 50; seed++) {
      const memtable = memtableOf(ARENA_BYTES_MIN, seed);
      for (let seq = 1; ; seq++) {
        const valueBytes = (seq * 37 + seed) % 90;
        const key = text(`k${(seq * 7919) % 1000}`);
        if (memtable.roomBytes < memtable.entryBytesMax(key.length, valueBytes)) break;
        const used = memtable.usedBytes;
        expect(addEntry(memtable, { key, seq, tag: 1, value: new Uint8Array(valueBytes) })).toBe(
          true,
        );
        expect(memtable.usedBytes - used).toBeLessThanOrEqual(
          memtable.entryBytesMax(key.length, valueBytes),
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
    expect(arenaOf(5, 0)).not.toEqual(arenaOf(6, 0));
  });

  it("behaves as new over an arena that was used, or is full of garbage", () => {
    const clean = memtableOf();
    const buffers = [0xff, 1, 2, 3].map((fill) => garbageArena(65536, fill));
    const used = new SharedArrayBuffer(65536);
    const earlier = new SkipListMemtable(used, { seed: 9 });
    for (let i = 0; i < 400; i++) addEntry(earlier, entry(`zz${i}`, i + 1, "earlier"));
    const others = [...buffers, used].map((buffer) => new SkipListMemtable(buffer, { seed: 1 }));
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
      expect(entriesForward(SkipListMemtable.attach(other.share()))).toEqual(expected);
    }
  });

  it("refuses a view of an arena that went to a new memtable", () => {
    const buffer = new SharedArrayBuffer(ARENA_BYTES_MIN);
    const first = new SkipListMemtable(buffer, { seed: 1 });
    addEntry(first, entry("a", 1));
    const share = first.share();
    const view = SkipListMemtable.attach(share);
    expect(view.find(text("a"), 0, 1, 1)).toBe(true);
    new SkipListMemtable(buffer, { seed: 1 });
    expect(() => view.find(text("a"), 0, 1, 1)).toThrow("new memtable");
    expect(() => SkipListMemtable.attach(share)).toThrow("new memtable");
  });

  it("refuses arenas of no use", () => {
    for (const bytes of [0, ARENA_BYTES_MIN - 4, ARENA_BYTES_MIN + 2]) {
      let error: unknown;
      try {
        new SkipListMemtable(new SharedArrayBuffer(bytes), { seed: 1 });
      } catch (e) {
        error = e;
      }
      expect(hasCode(error, "AURA_INVALID_ARGUMENT")).toBe(true);
    }
  });

  it("keeps cursors right while entries are added around them", () => {
    const memtable = memtableOf();
    for (let i = 0; i < 100; i += 2) addEntry(memtable, entry(String(i).padStart(3, "0"), 1));
    const cursor = memtable.cursor();
    cursor.seek(text("050"), 0, 3);
    for (let i = 1; i < 100; i += 2) addEntry(memtable, entry(String(i).padStart(3, "0"), 2));
    expect(cursor.seq).toBe(1);
    cursor.next();
    expect(cursor.seq).toBe(2);
    cursor.prev();
    cursor.prev();
    expect(Buffer.from(cursor.keyBytes.slice(cursor.keyStart, cursor.keyEnd)).toString()).toBe(
      "049",
    );
    cursor.close();
    expect(cursor.valid).toBe(false);
    expect(() => cursor.next()).toThrow("needs an entry");
    expect(() => cursor.prev()).toThrow("needs an entry");
  });
});
