import { Codec, compress, contentHash, getU32, Kind, SeededRandom } from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CHUNK_BYTES,
  CHUNKED_BYTES_MIN,
  recordBytes,
  recordHeadBytes,
  scanSegment,
  type ValueParts,
  ValueReader,
} from "../src/index.ts";
import { create, emptyFs, NUMBER, PATH, text } from "./support.ts";

const key = text("a key");

function noise(length: number, seed = 1): Uint8Array {
  const random = new SeededRandom(seed);
  return new Uint8Array(length).map(() => random.uint32());
}

interface Written {
  readonly fs: SimFs;
  readonly offsets: number[];
  readonly values: ValueReader;
}

/** Writes values raw, as records of one segment. */
function write(values: readonly Uint8Array[]): Written {
  const fs = emptyFs();
  const segment = create(fs);
  const offsets = values.map((value, i) =>
    segment.append(0, key, 0, key.length, i + 1, Kind.value, value, value.length, Codec.none),
  );
  segment.finishSync();
  segment.closeSync();
  return { fs, offsets, values: new ValueReader(fs, () => PATH, 4) };
}

function openSync({ values, offsets }: Written, length: number, i = 0): ValueParts {
  return values.openSync(NUMBER, offsets[i]!, length, length, Codec.none, key, 0, key.length);
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "none";
}

const LONG = CHUNKED_BYTES_MIN + CHUNK_BYTES + 1000;

describe("a record of a long value", () => {
  it("has a table of the hashes of its chunks, and the table's hash in its header", () => {
    const value = noise(LONG);
    const { fs, offsets } = write([value]);
    const head = new Uint8Array(recordHeadBytes(key.length, LONG));
    const file = fs.openSync(PATH, "read");
    file.readSync(head, offsets[0]!);
    file.closeSync();
    const table = 32 + key.length;
    expect(head.length - table).toBe(4 * 6);
    for (let i = 0; i < 6; i++) {
      const end = Math.min((i + 1) * CHUNK_BYTES, LONG);
      expect(getU32(head, table + 4 * i)).toBe(contentHash(value, i * CHUNK_BYTES, end));
    }
    expect(getU32(head, 28)).toBe(contentHash(head, table, head.length));
  });

  it("has none up to the limit", () => {
    expect(recordBytes(5, CHUNKED_BYTES_MIN)).toBe(32 + 5 + CHUNKED_BYTES_MIN);
    expect(recordBytes(5, CHUNKED_BYTES_MIN + 1)).toBe(32 + 5 + 20 + CHUNKED_BYTES_MIN + 1);
    expect(recordHeadBytes(0, 2 ** 32 - 1)).toBe(32 + 4 * 65536);
  });

  it("is read, scanned and copied whole like any other", () => {
    const sizes = [10, CHUNKED_BYTES_MIN, CHUNKED_BYTES_MIN + 1, LONG, 5];
    const all = sizes.map((size, i) => noise(size, i));
    const { fs, offsets, values } = write(all);
    const reader = scanSegment(fs, PATH);
    const copy = create(fs, "/db/000010.seg", {
      ...reader.header,
      uid: { lo: 7, hi: 8 },
      number: 10,
    });
    for (const [i, value] of all.entries()) {
      expect(reader.next()).toBe(true);
      const { record, bytes, recordStart } = reader;
      const stored = bytes.subarray(record.valueStart, record.valueEnd);
      expect(Buffer.compare(stored, value)).toBe(0);
      copy.copyRecord(bytes, recordStart, record.valueEnd, reader.header.uid, reader.offset);
      const n = value.length;
      const read = values.readSync(NUMBER, offsets[i]!, n, n, Codec.none, key, 0, key.length);
      expect(Buffer.compare(read, value)).toBe(0);
    }
    expect(reader.next()).toBe(false);
    expect(reader.end!.kind).toBe("clean");
    reader.closeSync();
    copy.finishSync();
    copy.closeSync();
    const copies = scanSegment(fs, "/db/000010.seg");
    let count = 0;
    while (copies.next()) count++;
    expect(count).toBe(all.length);
    expect(copies.end!.kind).toBe("clean");
    copies.closeSync();
    values.closeSync();
  });

  it("fails its check wherever a byte is changed", () => {
    const value = noise(LONG);
    const { fs, offsets, values } = write([value]);
    const start = offsets[0]!;
    const table = start + 32 + key.length;
    for (const at of [start + 28, table, table + 23, table + 24, table + 24 + LONG - 1]) {
      fs.flipBits(PATH, at, 1);
      const run = () => values.readSync(NUMBER, start, LONG, LONG, Codec.none, key, 0, key.length);
      expect(codeOf(run), `${at - start}`).toBe("AURA_CORRUPTION");
      fs.flipBits(PATH, at, 1);
    }
    values.closeSync();
  });
});

describe("parts of a value", () => {
  it("are the bytes that were asked for, whatever the value's form", async () => {
    const raws = [
      noise(0),
      noise(100),
      noise(CHUNKED_BYTES_MIN),
      noise(LONG),
      noise(8 * CHUNK_BYTES),
    ];
    const written = write(raws);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(raws.length - 1),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        async (i, a, b) => {
          const value = raws[i]!;
          const [start, end] = [a, b]
            .map((share) => Math.round(share * value.length))
            .sort((x, y) => x - y) as [number, number];
          const parts = openSync(written, value.length, i);
          expect(parts.bytes).toBe(value.length);
          const wanted = value.subarray(start, end);
          expect(Buffer.compare(parts.readSync(start, end), wanted)).toBe(0);
          const later = await written.values.open(
            NUMBER,
            written.offsets[i]!,
            value.length,
            value.length,
            Codec.none,
            key,
            0,
            key.length,
          );
          expect(Buffer.compare(await later.read(start, end), wanted)).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
    written.values.closeSync();
  });

  it("of a compressed value are read from the whole", () => {
    const fs = emptyFs();
    const segment = create(fs);
    const raw = new Uint8Array(1_000_000).map((_, i) => i >>> 4);
    const stored = compress(Codec.deflate, raw)!;
    const at = segment.append(0, key, 0, 5, 1, Kind.value, stored, raw.length, Codec.deflate);
    segment.finishSync();
    segment.closeSync();
    const values = new ValueReader(fs, () => PATH, 4);
    const parts = values.openSync(NUMBER, at, stored.length, raw.length, Codec.deflate, key, 0, 5);
    expect(parts.bytes).toBe(raw.length);
    expect(Buffer.compare(parts.readSync(3, 700_000), raw.subarray(3, 700_000))).toBe(0);
    values.closeSync();
  });

  it("read only the chunks that they touch", () => {
    const written = write([noise(20 * CHUNK_BYTES)]);
    const parts = openSync(written, 20 * CHUNK_BYTES);
    const before = written.fs.bytesRead;
    parts.readSync(5 * CHUNK_BYTES + 10, 5 * CHUNK_BYTES + 20);
    expect(written.fs.bytesRead - before).toBe(CHUNK_BYTES);
    parts.readSync(6 * CHUNK_BYTES - 1, 6 * CHUNK_BYTES + 1);
    expect(written.fs.bytesRead - before).toBe(3 * CHUNK_BYTES);
    parts.readSync(7, 7);
    expect(written.fs.bytesRead - before).toBe(3 * CHUNK_BYTES);
    written.values.closeSync();
  });

  it("fail where a chunk is damaged, and nowhere else", async () => {
    const written = write([noise(LONG)]);
    const { fs, offsets, values } = written;
    const start = offsets[0]! + recordHeadBytes(key.length, LONG);
    const parts = openSync(written, LONG);
    fs.flipBits(PATH, start + 2 * CHUNK_BYTES + 77, 4);
    expect(parts.readSync(0, 2 * CHUNK_BYTES)).toHaveLength(2 * CHUNK_BYTES);
    expect(parts.readSync(3 * CHUNK_BYTES, LONG)).toHaveLength(LONG - 3 * CHUNK_BYTES);
    expect(codeOf(() => parts.readSync(0, 2 * CHUNK_BYTES + 1))).toBe("AURA_CORRUPTION");
    await expect(parts.read(3 * CHUNK_BYTES - 1, LONG)).rejects.toMatchObject({
      code: "AURA_CORRUPTION",
      file: PATH,
    });
    values.closeSync();
  });

  it("are refused where the head is damaged, of another key, or beyond the file", () => {
    const written = write([noise(LONG)]);
    const { fs, offsets, values } = written;
    const [start] = offsets as [number];
    const open = (length: number, name = key): string =>
      codeOf(() =>
        values.openSync(NUMBER, start, length, length, Codec.none, name, 0, name.length),
      );
    expect(open(LONG)).toBe("none");
    expect(open(LONG, text("b key"))).toBe("AURA_CORRUPTION");
    expect(open(LONG + 1)).toBe("AURA_CORRUPTION");
    expect(open(2 ** 32 - 1)).toBe("AURA_CORRUPTION");
    for (const at of [0, 5, 31, 33, 37, 60]) {
      fs.flipBits(PATH, start + at, 2);
      expect(open(LONG), `${at}`).toBe("AURA_CORRUPTION");
      fs.flipBits(PATH, start + at, 2);
    }
    values.closeSync();
  });

  it("outlive the handle of their file", () => {
    const written = write([noise(LONG)]);
    const parts = openSync(written, LONG);
    written.values.forget(NUMBER);
    expect(parts.readSync(0, 10)).toHaveLength(10);
    written.values.closeSync();
  });
});

describe("several values in one read", () => {
  it("are each verified, and come as views or decompressed", async () => {
    const all = [noise(3000, 1), noise(50, 2), noise(70_000, 3)];
    const { fs, offsets, values } = write(all);
    const end = offsets[2]! + recordBytes(key.length, 70_000);
    const bytes = await values.fetch(NUMBER, offsets[0]!, end);
    expect(Buffer.compare(bytes, values.fetchSync(NUMBER, offsets[0]!, end))).toBe(0);
    for (const [i, value] of all.entries()) {
      const n = value.length;
      const take = () =>
        values.takeFrom(bytes, offsets[0]!, NUMBER, offsets[i]!, n, n, Codec.none, key);
      expect(Buffer.compare(take(), value)).toBe(0);
      bytes[offsets[i]! - offsets[0]! + 40]! ^= 1;
      expect(codeOf(take)).toBe("AURA_CORRUPTION");
    }
    expect(codeOf(() => values.fetchSync(NUMBER, offsets[0]!, end + 1))).toBe("AURA_CORRUPTION");
    expect(fs.openHandles).toBe(1);
    values.closeSync();
  });
});
