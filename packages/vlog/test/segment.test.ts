import {
  contentHash,
  encodeFileHeader,
  FILE_HEADER_BYTES,
  FileType,
  hashReady,
  Kind,
  SeededRandom,
} from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, it } from "vitest";
import { recordBytes, type SegmentWriter, scanSegment, ValueReader } from "../src/index.ts";
import {
  append,
  create,
  emptyFs,
  header,
  type Item,
  items,
  NUMBER,
  PATH,
  text,
  writeSmallSegment,
} from "./support.ts";

/** What is compared of a record: the runner would take forever to show two long values. */
interface Seen {
  keyspace: number;
  seq: number;
  key: string;
  value: string;
}

function seen(item: Item): Seen {
  const { keyspace, key, seq, value } = item;
  return { keyspace, seq, key: digest(key), value: digest(value) };
}

function digest(bytes: Uint8Array): string {
  return `${bytes.length} bytes, hash ${contentHash(bytes, 0, bytes.length)}`;
}

interface Scan {
  items: Seen[];
  offsets: number[];
  end: string;
  endOffset: number;
}

function scan(fs: SimFs, path: string = PATH, validBytes?: number): Scan {
  const reader = scanSegment(fs, path, validBytes === undefined ? {} : { validBytes });
  const found: Seen[] = [];
  const offsets: number[] = [];
  try {
    while (reader.next()) {
      const { bytes, record } = reader;
      offsets.push(reader.offset);
      found.push({
        keyspace: record.keyspace,
        seq: record.seq,
        key: digest(bytes.subarray(record.keyStart, record.keyEnd)),
        value: digest(bytes.subarray(record.valueStart, record.valueEnd)),
      });
      expect(record.valueEnd - reader.recordStart).toBe(record.bytes);
    }
  } finally {
    reader.closeSync();
  }
  return { items: found, offsets, end: reader.end!.kind, endOffset: reader.end!.offset };
}

function withSegment(bytes: Uint8Array): SimFs {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  return fs;
}

/** Records from empty to larger than any buffer. */
function manyItems(seed: number): Item[] {
  const random = new SeededRandom(seed);
  const sizes = [0, 1, 4095, 65_535, 65_536, 262_143, 262_144, 300_000, 1_200_000];
  return Array.from({ length: 150 }, (_, i) => {
    const size = i % 10 === 0 ? sizes[(i / 10) % sizes.length]! : random.below(5000);
    const value = new Uint8Array(size);
    for (let k = 0; k < size; k += 7) value[k] = random.below(256);
    const key = text("k".repeat(random.below(i % 20 === 0 ? 65_000 : 40)) + i);
    return { keyspace: i % 3, key, seq: i + 1, value };
  });
}

const small: readonly Seen[] = items.map(seen);

beforeAll(() => hashReady());

describe("segment", () => {
  it("holds the records in order, where append said", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    expect(fs.counts.write).toBe(1);
    expect(fs.counts.sync).toBe(1);
    expect(fs.openHandles).toBe(0);
    expect(offsets[0]).toBe(FILE_HEADER_BYTES);
    const size = fs.fileBytesSync(PATH);
    expect(scan(fs)).toEqual({ items: small, offsets, end: "clean", endOffset: size });
  });

  it("holds records of all sizes, and counts them", () => {
    const fs = emptyFs();
    const segment = create(fs);
    const many = manyItems(1);
    const offsets = many.map((item) => {
      const copy = { ...item, value: item.value.slice(), key: item.key.slice() };
      const offset = append(segment, copy);
      copy.value.fill(0xee); // not used any more
      copy.key.fill(0xee);
      return offset;
    });
    expect(segment.count).toBe(many.length);
    const bytes =
      FILE_HEADER_BYTES +
      many.reduce((sum, item) => sum + recordBytes(item.key.length, item.value.length), 0);
    expect(segment.bytes).toBe(bytes);
    segment.finishSync();
    segment.closeSync();
    expect(fs.fileBytesSync(PATH)).toBe(bytes);
    const before = fs.bytesRead;
    expect(scan(fs)).toEqual({ items: many.map(seen), offsets, end: "clean", endOffset: bytes });
    expect(fs.bytesRead - before).toBe(bytes);
  });

  it("writes a large value by reference", () => {
    const fs = emptyFs();
    const written: Uint8Array[] = [];
    const open = fs.openSync.bind(fs);
    fs.openSync = (path, mode) => {
      const file = open(path, mode);
      const writev = file.writevSync.bind(file);
      file.writevSync = (parts, position) => {
        written.push(...parts);
        writev(parts, position);
      };
      return file;
    };
    const segment = create(fs);
    const value = new Uint8Array(65_536);
    append(segment, { keyspace: 0, key: text("k"), seq: 1, value });
    expect(written.some((part) => part.buffer === value.buffer)).toBe(true);
    segment.closeSync();
  });

  it("takes copies of verified records from another file", () => {
    const fs = emptyFs();
    const many = manyItems(2);
    const source = create(fs);
    const offsets = many.map((item) => append(source, item));
    source.finishSync();
    source.closeSync();

    const values = new ValueReader(fs, () => PATH, 4);
    const target = create(fs, "/db/000010.seg", header({ lo: 1, hi: 2 }, 10));
    const reader = scanSegment(fs, PATH);
    many.forEach((item, i) => {
      const { key, value } = item;
      expect(reader.next()).toBe(true);
      const { uid } = reader.header;
      if (i % 2 === 0) {
        target.copyRecord(
          reader.bytes,
          reader.recordStart,
          reader.record.valueEnd,
          uid,
          offsets[i]!,
        );
        return;
      }
      const { length } = value;
      const record = values.readRecordSync(
        NUMBER,
        offsets[i]!,
        length,
        length,
        0,
        key,
        0,
        key.length,
      );
      target.copyRecord(record, 0, record.length, values.uidOf(NUMBER), offsets[i]!);
    });
    reader.closeSync();
    values.closeSync();
    expect(target.count).toBe(many.length);
    target.finishSync();
    target.closeSync();
    const copied = scan(fs, "/db/000010.seg");
    expect(copied.items).toEqual(many.map(seen));
    expect(copied.offsets).toEqual(offsets);
  });

  it("takes a record or a copy where its buffer ends", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const record = Uint8Array.from(fs.readFile(PATH)).slice(offsets[0], offsets[1]);
    for (let left = 0; left <= record.length + 1; left++) {
      const other = emptyFs();
      const segment = create(other, PATH, header({ lo: 7, hi: 8 }));
      const sizes = [60_000, 60_000, 60_000, 60_000];
      sizes.push(262_144 - FILE_HEADER_BYTES - 5 * recordBytes(1, 0) - 240_000 - left);
      const filler = sizes.map((size): Item => {
        return { keyspace: 0, key: text("f"), seq: 1, value: new Uint8Array(size).fill(left) };
      });
      for (const item of filler) append(segment, item);
      expect(segment.bytes).toBe(262_144 - left);
      if (left < 8 || left % 2 === 0)
        segment.copyRecord(record, 0, record.length, header().uid, offsets[0]!);
      else append(segment, items[0]!);
      segment.finishSync();
      segment.closeSync();
      expect(scan(other)).toMatchObject({
        items: [...filler.map(seen), seen(items[0]!)],
        end: "clean",
      });
    }
  });

  it("does not make a damaged record good by copying it", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const bytes = Uint8Array.from(fs.readFile(PATH));
    const record = bytes.slice(offsets[0], offsets[1]);
    for (let at = 4; at < record.length; at++) {
      const damaged = record.slice();
      damaged[at]! ^= 1;
      const other = emptyFs();
      const target = create(other, PATH, header({ lo: 5, hi: 6 }));
      const copy = (): number =>
        target.copyRecord(damaged, 0, damaged.length, header().uid, offsets[0]!);
      if ((at >= 4 && at < 8) || at === 24 || at === 25) {
        expect(copy).toThrow(/not one whole record/);
      } else {
        copy();
        target.finishSync();
        expect(scan(other)).toMatchObject({ items: [], end: "bad" });
      }
      target.closeSync();
    }
  });

  it("is complete after finishSync, and closed once", () => {
    const fs = emptyFs();
    const segment = create(fs);
    append(segment, items[0]!);
    segment.finishSync();
    const closed = expect.objectContaining({ code: "AURA_CLOSED" });
    expect(() => append(segment, items[0]!)).toThrow(closed);
    expect(() => segment.finishSync()).toThrow(closed);
    segment.closeSync();
    segment.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  it("is of its own type", () => {
    const fs = emptyFs();
    const wal = { ...header(), type: FileType.wal };
    expect(() => create(fs, PATH, wal)).toThrow(/assertion/);
    expect(() => create(fs, PATH, header(undefined, 2 ** 32))).toThrow(/cannot name/);
    expect(fs.openHandles).toBe(0);
  });
});

describe("a segment that fails to be written", () => {
  it("is given up for good, at each operation", () => {
    for (const fault of [{ error: "EIO" }, { error: "ENOSPC", partial: 100 }] as const) {
      const many = manyItems(3);
      const work = (fs: SimFs): SegmentWriter => {
        const segment = create(fs);
        try {
          for (const item of many) append(segment, item);
          segment.finishSync();
        } catch (error) {
          const code = fault.error === "EIO" ? "AURA_IO" : "AURA_OUT_OF_SPACE";
          expect(error).toMatchObject({ code });
          const operations = fs.operations;
          const refused = expect.objectContaining({ code: "AURA_READ_ONLY", cause: error });
          expect(() => append(segment, many[0]!)).toThrow(refused);
          expect(() => segment.finishSync()).toThrow(refused);
          expect(fs.operations).toBe(operations);
          segment.closeSync();
          expect(fs.openHandles).toBe(0);
          throw error;
        }
        segment.closeSync();
        return segment;
      };
      const clean = emptyFs();
      const before = clean.operations;
      work(clean);
      const operations = clean.operations - before;
      expect(operations).toBeGreaterThan(10);
      for (let k = 1; k <= operations; k++) {
        const fs = emptyFs();
        fs.failAt({ ...fault, at: fs.operations + k });
        expect(() => work(fs)).toThrow();
        expect(fs.openHandles).toBe(0);
        if (k === 1) continue;
        // What is there is a prefix.
        const bytes = fs.readFile(PATH);
        if (bytes.length < FILE_HEADER_BYTES) continue;
        const found = scan(fs);
        expect(found.items).toEqual(many.slice(0, found.items.length).map(seen));
      }
    }
  });

  it("has every record after finishSync, whatever a power loss does", () => {
    const fs = emptyFs();
    const many = manyItems(4);
    const segment = create(fs);
    for (const item of many) append(segment, item);
    segment.finishSync();
    segment.closeSync();
    fs.syncDirSync("/db");
    for (let seed = 0; seed < 5; seed++) {
      const after = fs.crash({ data: "any", gaps: "garbage", seed });
      expect(scan(after)).toMatchObject({ items: many.map(seen), end: "clean" });
    }
  });
});

describe("a damaged segment", () => {
  let whole: Uint8Array;
  let offsets: number[];
  let ends: number[];

  beforeAll(() => {
    const fs = emptyFs();
    offsets = writeSmallSegment(fs);
    whole = Uint8Array.from(fs.readFile(PATH));
    ends = [...offsets.slice(1), whole.length];
  });

  it("cut at any length, yields a prefix", () => {
    for (let length = 0; length < whole.length; length++) {
      const fs = withSegment(whole.subarray(0, length));
      if (length < FILE_HEADER_BYTES) {
        expect(() => scan(fs)).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION" }));
        expect(fs.openHandles).toBe(0);
        continue;
      }
      const found = scan(fs);
      const good = ends.filter((end) => end <= length).length;
      expect(found.items).toEqual(small.slice(0, good));
      expect(found.end).toBe(found.endOffset === length ? "clean" : "truncated");
    }
  });

  it("with any byte changed, yields the records before it and says so", () => {
    for (let at = 0; at < whole.length; at++) {
      for (const mask of [1, 0x80, 0xff]) {
        const bytes = whole.slice();
        bytes[at]! ^= mask;
        const fs = withSegment(bytes);
        if (at < FILE_HEADER_BYTES) {
          expect(() => scan(fs)).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION" }));
          continue;
        }
        const hit = items.findIndex((_, i) => at < ends[i]!);
        const found = scan(fs);
        expect(found.items).toEqual(small.slice(0, hit));
        expect(found.endOffset).toBe(offsets[hit]);
        // A damaged key length may claim more than there is.
        expect(["bad", "truncated"]).toContain(found.end);
        if (at < offsets[hit]! + 24 || at > offsets[hit]! + 25) expect(found.end).toBe("bad");
      }
    }
  });

  it("goes on behind a damaged value when asked to", () => {
    const bytes = whole.slice();
    bytes[ends[2]! - 1]! ^= 1;
    const fs = withSegment(bytes);
    const reader = scanSegment(fs, PATH);
    let count = 0;
    while (reader.next()) count++;
    expect(reader.end).toMatchObject({ kind: "bad", offset: offsets[2] });
    expect(count).toBe(2);
    expect(reader.skipBad()).toBe(true);
    expect(reader.next()).toBe(true);
    expect(reader.record.seq).toBe(items[3]!.seq);
    expect(reader.next()).toBe(false);
    expect(reader.end!.kind).toBe("clean");
    expect(reader.skipBad()).toBe(false);
    reader.closeSync();
  });

  it("ends in zeros only when nothing follows them", () => {
    for (const few of [1, 31, 32, 5000, 1_200_000]) {
      const zeros = new Uint8Array(few);
      const padded = withSegment(Buffer.concat([whole, zeros]));
      expect(scan(padded)).toMatchObject({ end: "zeros", endOffset: whole.length });
      const more = withSegment(Buffer.concat([whole, zeros, text("x")]));
      expect(scan(more).end).not.toBe("zeros");
    }
  });

  it("obeys a recorded length", () => {
    const fs = withSegment(whole);
    expect(scan(fs, PATH, ends[1])).toMatchObject({ end: "clean", endOffset: ends[1] });
    expect(scan(fs, PATH, whole.length + 1)).toMatchObject({ end: "truncated" });
    expect(scan(fs, PATH, ends[1]! + 10)).toMatchObject({ end: "truncated", endOffset: ends[1] });
  });

  it("does not take records from another place or another file", () => {
    const doubled = withSegment(Buffer.concat([whole, whole.subarray(FILE_HEADER_BYTES)]));
    expect(scan(doubled)).toMatchObject({ items: small, end: "bad", endOffset: whole.length });
    const fs = emptyFs();
    writeSmallSegment(fs, "/db/other", header({ lo: 9, hi: 9 }));
    const bytes = Buffer.concat([
      whole.subarray(0, FILE_HEADER_BYTES),
      fs.readFile("/db/other").subarray(FILE_HEADER_BYTES),
    ]);
    expect(scan(withSegment(bytes))).toMatchObject({ items: [], end: "bad" });
  });

  it("does not allocate by a forged length", () => {
    const bytes = whole.slice();
    bytes.fill(0xff, offsets[0]! + 4, offsets[0]! + 12);
    const fs = withSegment(bytes);
    const reader = scanSegment(fs, PATH);
    expect(reader.next()).toBe(false);
    expect(reader.bytes.length).toBeLessThanOrEqual(whole.length);
    reader.closeSync();
  });

  it("may be empty, but must be a segment", () => {
    const fs = emptyFs();
    create(fs).finishSync();
    expect(scan(fs)).toMatchObject({ items: [], end: "clean" });
    fs.writeFile(PATH, encodeFileHeader({ ...header(), type: FileType.valueLog }));
    expect(() => scan(fs)).toThrow(expect.objectContaining({ code: "AURA_CORRUPTION", offset: 4 }));
  });

  it("with a record of a later build is unsupported, not damaged", () => {
    const fs = emptyFs();
    const segment = create(fs);
    append(segment, items[0]!);
    segment.append(0, text("k"), 0, 1, 5, Kind.mergePointer, text("v"), 1, 0);
    segment.finishSync();
    segment.closeSync();
    expect(() => scan(fs)).toThrow(
      expect.objectContaining({ code: "AURA_UNSUPPORTED", file: PATH }),
    );
  });
});
