import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import {
  Codec,
  compress,
  encodeFileHeader,
  FileType,
  hashReady,
  Kind,
  lz4Available,
  nodeFileSystem,
} from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, it } from "vitest";
import {
  encodeRecordHead,
  putRecordChecksum,
  RECORD_HEADER_BYTES,
  SegmentWriter,
  ValueReader,
} from "../src/index.ts";
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

function reader(fs: SimFs, maxOpen = 4): ValueReader {
  return new ValueReader(fs, (number) => `/db/${String(number).padStart(6, "0")}.seg`, maxOpen);
}

function get(values: ValueReader, offset: number, item: Item, number: number = NUMBER): Buffer {
  const { length } = item.value;
  return values.readSync(number, offset, length, length, 0, item.key, 0, item.key.length);
}

function getLater(
  values: ValueReader,
  offset: number,
  item: Item,
  number = NUMBER,
): Promise<Buffer> {
  const { length } = item.value;
  return values.read(number, offset, length, length, 0, item.key, 0, item.key.length);
}

type Pointed = Parameters<ValueReader["readSync"]>;

const corrupt: unknown = expect.objectContaining({ code: "AURA_CORRUPTION", file: PATH });

beforeAll(() => hashReady());

describe("ValueReader", () => {
  it("returns values that belong to the caller, by one read each", async () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = reader(fs);
    for (const [i, item] of items.entries()) {
      const value = get(values, offsets[i]!, item);
      expect(value).toEqual(Buffer.from(item.value));
      value.fill(0);
      expect(get(values, offsets[i]!, item)).toEqual(Buffer.from(item.value));
      expect(await getLater(values, offsets[i]!, item)).toEqual(Buffer.from(item.value));
    }
    const reads = fs.counts.read;
    get(values, offsets[2]!, items[2]!);
    expect(fs.counts.read).toBe(reads + 1);
    expect(fs.counts.open).toBe(1);
    const memory = get(values, offsets[2]!, items[2]!);
    expect(memory.buffer.byteLength).toBe(RECORD_HEADER_BYTES + 4 + 300); // of no pool
    values.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  it("takes the key from within a larger buffer", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = reader(fs);
    const around = text("<<alpha>>");
    const { length } = items[0]!.value;
    const value = values.readSync(NUMBER, offsets[0]!, length, length, 0, around, 2, 7);
    expect(value.toString()).toBe("the first value");
    values.closeSync();
  });

  it("refuses a pointer that is wrong in any field", async () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = reader(fs);
    const key = items[2]!.key;
    const right: Pointed = [NUMBER, offsets[2]!, 300, 300, 0, key, 0, key.length];
    expect(values.readSync(...right).length).toBe(300);
    const wrong: Pointed[] = [
      [NUMBER, offsets[2]! + 1, 300, 300, 0, key, 0, key.length],
      [NUMBER, offsets[1]!, 300, 300, 0, key, 0, key.length],
      [NUMBER, 0, 300, 300, 0, key, 0, key.length],
      [NUMBER, offsets[2]!, 299, 300, 0, key, 0, key.length],
      [NUMBER, offsets[2]!, 301, 300, 0, key, 0, key.length],
      [NUMBER, offsets[2]!, 300, 301, 0, key, 0, key.length],
      [NUMBER, offsets[2]!, 300, 300, 1, key, 0, key.length],
      [NUMBER, offsets[2]!, 300, 300, 0, text("betb"), 0, 4],
      [NUMBER, offsets[2]!, 301, 301, 0, key, 0, key.length - 1],
      [NUMBER, offsets[2]!, 2 ** 32 - 1, 300, 0, key, 0, key.length],
      [NUMBER, 2 ** 48 - 1, 300, 300, 0, key, 0, key.length],
    ];
    for (const pointer of wrong) {
      expect(() => values.readSync(...pointer)).toThrow(corrupt);
      await expect(values.read(...pointer)).rejects.toEqual(corrupt);
      expect(() => values.readRecordSync(...pointer)).toThrow(corrupt);
    }
    expect(() => get(values, 64, items[0]!, 77)).toThrow(
      expect.objectContaining({ code: "AURA_NOT_FOUND" }),
    );
    values.closeSync();
  });

  it("finds any byte of the record changed, on both sides", async () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    for (let at = offsets[2]!; at < offsets[3]!; at++) {
      const values = reader(fs);
      fs.flipBits(PATH, at, 1 << (at % 8));
      expect(() => get(values, offsets[2]!, items[2]!)).toThrow(corrupt);
      await expect(getLater(values, offsets[2]!, items[2]!)).rejects.toEqual(corrupt);
      expect(get(values, offsets[3]!, items[3]!).toString()).toBe("the last value");
      fs.flipBits(PATH, at, 1 << (at % 8));
      values.closeSync();
    }
  });

  it("finds any byte of the file header changed, and a file in another's place", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    for (let at = 0; at < 64; at++) {
      fs.flipBits(PATH, at, 1);
      expect(() => get(reader(fs), offsets[0]!, items[0]!)).toThrow(corrupt);
      fs.flipBits(PATH, at, 1);
    }
    expect(fs.openHandles).toBe(0);

    const values = reader(fs);
    values.register(NUMBER, PATH, { lo: 1, hi: 2 });
    expect(() => get(values, offsets[0]!, items[0]!)).toThrow(corrupt);
    values.register(NUMBER, PATH, header().uid);
    expect(get(values, offsets[0]!, items[0]!).toString()).toBe("the first value");
    values.register(8, PATH);
    expect(() => get(values, offsets[0]!, items[0]!, 8)).toThrow(corrupt);
    values.closeSync();

    fs.writeFile(PATH, encodeFileHeader({ ...header(), type: FileType.table }));
    expect(() => get(reader(fs), 64, items[0]!)).toThrow(corrupt);
    expect(fs.openHandles).toBe(0);
  });

  it("reads from a value log that grows, whatever stands around the records", () => {
    const fs = emptyFs();
    const head = { ...header(), type: FileType.valueLog };
    const file = fs.openSync(PATH, "create");
    let end = 0;
    const write = (bytes: Uint8Array): number => {
      file.writeSync(bytes, end);
      end += bytes.length;
      return end - bytes.length;
    };
    write(encodeFileHeader(head));
    const values = reader(fs);
    for (const item of items) {
      write(text("a frame, operations"));
      const bytes = new Uint8Array(RECORD_HEADER_BYTES + item.key.length);
      const { key, value } = item;
      encodeRecordHead(
        bytes,
        0,
        item.keyspace,
        key,
        0,
        key.length,
        item.seq,
        Kind.value,
        value,
        value.length,
        Codec.none,
      );
      putRecordChecksum(bytes, 0, head.uid, end);
      const offset = write(bytes);
      write(value);
      expect(get(values, offset, item)).toEqual(Buffer.from(value));
    }
    expect(values.uidOf(NUMBER)).toEqual(head.uid);
    values.closeSync();
    file.closeSync();
  });

  it("returns compressed values raw, and finds what does not decompress", async () => {
    const fs = emptyFs();
    const raw = text("abcdefgh".repeat(1000));
    // Without the native module, the codec that needs none.
    const codec = lz4Available() ? Codec.lz4 : Codec.deflate;
    const stored = compress(codec, raw)!;
    const segment = create(fs);
    const key = text("key");
    const put = (value: Uint8Array, rawBytes: number, by: number): number =>
      segment.append(0, key, 0, 3, 5, Kind.value, value, rawBytes, by);
    const good = put(stored, raw.length, codec);
    const long = put(stored, raw.length + 1, codec);
    const huge = put(stored, 2 ** 32 - 1, codec);
    const unknown = put(stored, raw.length, 9);
    segment.finishSync();
    segment.closeSync();
    const values = reader(fs);
    const n = stored.length;
    const value = values.readSync(NUMBER, good, n, raw.length, codec, key, 0, 3);
    expect(Buffer.compare(value, raw)).toBe(0);
    const later = await values.read(NUMBER, good, n, raw.length, codec, key, 0, 3);
    expect(Buffer.compare(later, raw)).toBe(0);
    const record = values.readRecordSync(NUMBER, good, n, raw.length, codec, key, 0, 3);
    expect(record.length).toBe(RECORD_HEADER_BYTES + 3 + n);
    expect(() => values.readSync(NUMBER, long, n, raw.length + 1, codec, key, 0, 3)).toThrow(
      corrupt,
    );
    expect(() => values.readSync(NUMBER, huge, n, 2 ** 32 - 1, codec, key, 0, 3)).toThrow(corrupt);
    expect(() => values.readSync(NUMBER, unknown, n, raw.length, 9, key, 0, 3)).toThrow(
      expect.objectContaining({ code: "AURA_UNSUPPORTED", file: PATH }),
    );
    values.closeSync();
  });

  it("refuses a record of a later build", () => {
    const fs = emptyFs();
    const segment = create(fs);
    const key = text("key");
    const offset = segment.append(0, key, 0, 3, 5, Kind.merge, text("v"), 1, Codec.none);
    segment.finishSync();
    segment.closeSync();
    const values = reader(fs);
    expect(() => values.readSync(NUMBER, offset, 1, 1, 0, key, 0, 3)).toThrow(
      expect.objectContaining({ code: "AURA_UNSUPPORTED" }),
    );
    values.closeSync();
  });

  it("survives a read that fails or comes short", async () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = reader(fs);
    get(values, offsets[0]!, items[0]!);
    fs.failAt({ at: (kind) => kind === "read", error: "EIO" });
    expect(() => get(values, offsets[0]!, items[0]!)).toThrow(
      expect.objectContaining({ code: "AURA_IO" }),
    );
    fs.failAt({ at: (kind) => kind === "read", error: "EIO" });
    await expect(getLater(values, offsets[0]!, items[0]!)).rejects.toMatchObject({
      code: "AURA_IO",
    });
    fs.failAt({ at: (kind) => kind === "read", short: 10 });
    expect(() => get(values, offsets[0]!, items[0]!)).toThrow(corrupt);
    fs.failAt({ at: (kind) => kind === "read", short: 10 });
    await expect(getLater(values, offsets[0]!, items[0]!)).rejects.toEqual(corrupt);
    fs.failAt({ at: (kind) => kind === "read", flip: { offset: offsets[0]! + 40, mask: 2 } });
    expect(() => get(values, offsets[0]!, items[0]!)).toThrow(corrupt);
    expect(get(values, offsets[0]!, items[0]!).toString()).toBe("the first value");
    values.closeSync();
  });

  it("does not open a file that fails to, and tries again", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = reader(fs);
    for (const kind of ["open", "stat", "read"] as const) {
      fs.failAt({ at: (call) => call === kind, error: "EIO" });
      expect(() => get(values, offsets[0]!, items[0]!)).toThrow(
        expect.objectContaining({ code: "AURA_IO" }),
      );
      expect(fs.openHandles).toBe(0);
      expect(values.openCount).toBe(0);
    }
    expect(get(values, offsets[0]!, items[0]!).toString()).toBe("the first value");
    values.closeSync();
  });
});

describe("open files", () => {
  function manyFiles(fs: SimFs, count: number): number[][] {
    return Array.from({ length: count }, (_, i) =>
      writeSmallSegment(fs, `/db/${String(i).padStart(6, "0")}.seg`, header({ lo: i, hi: 3 }, i)),
    );
  }

  it("never pass the bound, and the longest unused one goes", () => {
    const fs = emptyFs({ maxOpenFiles: 3 });
    const offsets = manyFiles(fs, 10);
    const values = reader(fs, 3);
    const read = (number: number): void => {
      const value = get(values, offsets[number]![0]!, items[0]!, number);
      expect(value.toString()).toBe("the first value");
    };
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 10; i++) read(i);
    }
    expect(values.openCount).toBe(3);
    expect(fs.openPaths()).toEqual(["/db/000007.seg", "/db/000008.seg", "/db/000009.seg"]);
    read(7);
    read(1);
    expect(fs.openPaths()).toEqual(["/db/000001.seg", "/db/000007.seg", "/db/000009.seg"]);
    const before = fs.counts.read;
    read(8); // its header was verified before: one read only
    expect(fs.counts.read).toBe(before + 1);
    values.forget(8);
    values.forget(8);
    expect(values.openCount).toBe(2);
    values.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  it("stay open behind reads under way", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const offsets = manyFiles(fs, 4);
    const values = reader(fs, 1);
    const reads = [0, 1, 2, 3].map((i) =>
      getLater(values, offsets[i]![0]!, items[0]!, i).then((value) => value.toString()),
    );
    // Neither header nor value is read on this thread.
    expect(fs.counts.read).toBe(0);
    expect(fs.openHandles).toBe(4);
    for (const task of tasks.splice(0)) task();
    await Promise.resolve();
    values.forget(2);
    expect(fs.openHandles).toBe(4);
    const settled = Promise.all(reads);
    for (let turns = 0; turns < 20; turns++) {
      for (const task of tasks.splice(0)) task();
      await Promise.resolve();
    }
    expect(await settled).toEqual(Array(4).fill("the first value"));
    expect(fs.counts.read).toBe(8);
    expect(values.openCount).toBe(1);
    const last = getLater(values, offsets[3]![0]!, items[0]!, 3);
    values.closeSync();
    for (const task of tasks.splice(0)) task();
    expect((await last).toString()).toBe("the first value");
    expect(fs.openHandles).toBe(0);
  });

  it("are opened once for all who wait, and by whoever cannot", async () => {
    const tasks: (() => void)[] = [];
    const fs = emptyFs({ schedule: (task) => tasks.push(task) });
    const [offsets] = manyFiles(fs, 1);
    const values = reader(fs, 4);
    const reads = [1, 2, 3].map(() => getLater(values, offsets![0]!, items[0]!, 0));
    expect(fs.openHandles).toBe(1);
    expect(get(values, offsets![0]!, items[0]!, 0).toString()).toBe("the first value");
    const settled = Promise.all(reads);
    for (let turns = 0; turns < 20; turns++) {
      for (const task of tasks.splice(0)) task();
      await Promise.resolve();
    }
    for (const value of await settled) expect(value.toString()).toBe("the first value");
    expect([fs.openHandles, values.openCount]).toEqual([1, 1]);
    values.closeSync();
    expect(fs.openHandles).toBe(0);
  });

  it("can be used again after a close", () => {
    const fs = emptyFs();
    const offsets = writeSmallSegment(fs);
    const values = reader(fs);
    get(values, offsets[0]!, items[0]!);
    values.closeSync();
    expect(get(values, offsets[0]!, items[0]!).toString()).toBe("the first value");
    values.closeSync();
    expect(() => new ValueReader(fs, () => PATH, 0)).toThrow(/open file/);
  });
});

describe("values on the platform's file system", () => {
  it("are written, copied and read", async () => {
    const directory = mkdtempSync(`${tmpdir()}/aura-vlog-`);
    try {
      const path = `${directory}/${NUMBER}.seg`;
      const segment = SegmentWriter.createSync(nodeFileSystem, path, { header: header() });
      const made = Array.from({ length: 60 }, (_, i): Item => {
        const value = new Uint8Array((i * 7919) % 200_000).fill(i);
        return { keyspace: 0, key: text(`key ${i}`), seq: i, value };
      });
      const offsets = made.map((item) => append(segment, item));
      segment.finishSync();
      segment.closeSync();
      const values = new ValueReader(nodeFileSystem, (n) => `${directory}/${n}.seg`, 2);
      const all = await Promise.all(made.map((item, i) => getLater(values, offsets[i]!, item)));
      for (const [i, item] of made.entries()) {
        expect(Buffer.compare(all[i]!, item.value)).toBe(0);
        expect(Buffer.compare(get(values, offsets[i]!, item), item.value)).toBe(0);
      }
      values.closeSync();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
