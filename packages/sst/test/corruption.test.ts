import {
  Codec,
  contentHash,
  type FileSystem,
  getU32,
  hashReady,
  KEYS_END,
  placeMix,
  putU32,
  SEQ_MAX,
  SeededRandom,
} from "@aura/base";
import type { SimFs } from "@aura/base/testing";
import { beforeAll, describe, expect, test } from "vitest";
import { FOOTER_BYTES } from "../src/format.ts";
import { RangeFragments, type Table, TableHit } from "../src/index.ts";
import {
  CODECS,
  type Entry,
  emptyFs,
  entry,
  errorOf,
  foundOf,
  get,
  hashOf,
  hex,
  lyingIndex,
  openTable,
  PACKED,
  PATH,
  plainEntries,
  text,
  UID,
  writeTable,
} from "./support.ts";

beforeAll(() => hashReady());

const index = [lyingIndex("none")];
const entries: readonly Entry[] = [
  entry("", 9, "empty key"),
  ...plainEntries(24),
  ...Array.from({ length: 8 }, (_, i) => entry("same", 90 - i, `version ${i} `.repeat(3))),
  entry("zz", 3, "", 0),
];

const ranges = new RangeFragments();
ranges.push(text(""), text("k"), [40, 7, 0]);
ranges.push(text("k"), text("k\0"), [SEQ_MAX]);
ranges.push(text("zebra"), KEYS_END, [8]);

/** A table file of several blocks, with every section. */
function bytesOf(settings: Parameters<typeof writeTable>[2] = {}): Buffer {
  const fs = emptyFs();
  writeTable(fs, entries, {
    ranges,
    ...settings,
    settings: { blockBytes: 256, index, ...settings.settings },
  });
  return fs.readFile(PATH);
}

function holding(bytes: Uint8Array): SimFs {
  const fs = emptyFs();
  fs.writeFile(PATH, bytes);
  return fs;
}

/**
 * Uses a file in every way. Returns "refused" (an error that names file and offset) or "right"
 * (every answer as written); anything else fails the test.
 */
function use(fs: FileSystem): "refused" | "right" {
  let table: Table | undefined;
  try {
    table = openTable(fs, { indexFormats: index });
    for (const one of entries) {
      const found = get(table, one.key, one.seq);
      const right =
        found?.seq === one.seq && found.tag === one.tag && found.value === hex(one.value);
      if (!right) throw new Error(`wrong answer for ${hex(one.key)}`);
    }
    if (JSON.stringify(table.ranges) !== JSON.stringify(ranges)) throw new Error("wrong ranges");
    const cursor = table.cursor({ mayRead: true });
    let at = 0;
    for (cursor.first(); cursor.valid; cursor.next(), at++) {
      const one = entries[at];
      const right =
        one?.seq === cursor.seq && hex(cursor.keyBytes.subarray(0, cursor.keyEnd)) === hex(one.key);
      if (!right) throw new Error(`wrong entry ${at}`);
    }
    if (at !== entries.length) throw new Error(`${at} entries`);
    return "right";
  } catch (error) {
    const { code, file, offset } = error as { code?: string; file?: string; offset?: number };
    if (code !== "AURA_CORRUPTION" && code !== "AURA_UNSUPPORTED") throw error;
    if (file !== PATH || typeof offset !== "number") throw error;
    return "refused";
  } finally {
    table?.closeSync();
  }
}

function verifies(fs: FileSystem): boolean {
  let table: Table | undefined;
  try {
    table = openTable(fs, { indexFormats: index });
    table.verifySync();
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code !== "AURA_CORRUPTION" && code !== "AURA_UNSUPPORTED") throw error;
    return false;
  } finally {
    table?.closeSync();
  }
}

describe.each(CODECS)("codec %i", (codec) => {
  const whole = (): Buffer => bytesOf({ settings: { codec } });

  test("a flipped bit anywhere is detected, or changes no answer; verify detects all", () => {
    const bytes = whole();
    expect(use(holding(bytes))).toBe("right");
    const random = new SeededRandom(codec + 1);
    let refused = 0;
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 1 << random.below(8);
      const fs = holding(damaged);
      if (use(fs) === "refused") refused++;
      if (verifies(fs)) throw new Error(`byte ${at} may be anything`);
    }
    // Only the model may be damaged without anybody noticing, and the separators behind it.
    expect(refused).toBeGreaterThan(bytes.length * 0.8);
  });

  test("a file cut off at any length is refused", () => {
    const bytes = whole();
    for (let length = 0; length < bytes.length; length++) {
      if (use(holding(bytes.subarray(0, length))) !== "refused") throw new Error(`${length} bytes`);
    }
  });

  test("bytes behind the end are refused", () => {
    for (const tail of [
      Buffer.alloc(1),
      Buffer.alloc(FOOTER_BYTES, 0xff),
      whole().subarray(-FOOTER_BYTES),
    ]) {
      expect(use(holding(Buffer.concat([whole(), tail])))).toBe("refused");
    }
  });
});

/** Offsets of the data blocks, read from the block map as a reader would. */
function blockRanges(bytes: Buffer): [number, number][] {
  const footer = bytes.length - FOOTER_BYTES;
  const mapAt = bytes.readUIntLE(footer + 12, 6);
  const count = bytes.readUInt32LE(footer + 72);
  const ranges: [number, number][] = [];
  let at = 64;
  let map = mapAt;
  for (let i = 0; i < count; i++) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[map++]!;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    ranges.push([at, at + length]);
    at += length;
  }
  return ranges;
}

describe("blocks in the wrong place", () => {
  test("two blocks of one table exchanged", () => {
    const bytes = bytesOf();
    const ranges = blockRanges(bytes);
    const same = ranges.filter(([a, b], i) =>
      ranges.some(([c, d], k) => k !== i && d - c === b - a),
    );
    expect(same.length).toBeGreaterThan(1);
    same.sort(([a, b], [c, d]) => b - a - (d - c));
    const [a, b] = same as [[number, number], [number, number]];
    const swapped = Buffer.from(bytes);
    bytes.copy(swapped, a[0], b[0], b[1]);
    bytes.copy(swapped, b[0], a[0], a[1]);
    expect(use(holding(swapped))).toBe("refused");
  });

  test("a block of a twin with another uid", () => {
    const bytes = bytesOf();
    const other = bytesOf({ uid: { lo: UID.lo, hi: UID.hi + 1 } });
    for (const [start, end] of blockRanges(bytes)) {
      const mixed = Buffer.from(bytes);
      other.copy(mixed, start, start, end);
      expect(use(holding(mixed))).toBe("refused");
    }
  });

  test("another table under the name of this one", () => {
    for (const other of [{ uid: { lo: 1, hi: 1 } }, { number: 43 }]) {
      const fs = holding(bytesOf(other));
      expect(errorOf(() => openTable(fs))).toMatchObject({ code: "AURA_CORRUPTION", file: PATH });
    }
    const fs = holding(bytesOf());
    const databaseUuid = new Uint8Array(16);
    expect(errorOf(() => openTable(fs, { databaseUuid })).code).toBe("AURA_CORRUPTION");
  });

  test("a filter of another seed", () => {
    const fs = holding(bytesOf());
    expect(errorOf(() => openTable(fs, { hashSeed: 1 }))).toMatchObject({
      code: "AURA_CORRUPTION",
    });
  });
});

/** Makes the checksum at the end of bytes[start, end) right again. */
function seal(bytes: Buffer, start: number, end: number): void {
  putU32(bytes, end - 4, (contentHash(bytes, start, end - 4) ^ placeMix(UID, start)) >>> 0);
}

describe("forged with right checksums", () => {
  test("a block of any content is refused or answered from, and allocates no forged length", () => {
    const bytes = bytesOf({ settings: { codec: PACKED } });
    const ranges = blockRanges(bytes);
    const random = new SeededRandom(5);
    const nasty = [0, 1, 0x7f, 0x80, 0xff];
    for (let round = 0; round < 1000; round++) {
      const [start, end] = ranges[random.below(ranges.length)]!;
      const forged = Buffer.from(bytes);
      for (let n = random.below(3); n >= 0; n--) {
        const at =
          start +
          random.below(random.below(2) === 0 ? Math.min(40, end - start - 4) : end - start - 4);
        forged[at] = nasty[random.below(nasty.length)]!;
      }
      seal(forged, start, end);
      exercise(holding(forged));
    }
  });

  test("a section of any content is refused, or its table answers without looping", () => {
    const bytes = bytesOf();
    const footer = bytes.length - FOOTER_BYTES;
    const random = new SeededRandom(6);
    for (let round = 0; round < 1000; round++) {
      const section = footer + random.below(6) * 12;
      const start = bytes.readUIntLE(section, 6);
      const end = start + bytes.readUIntLE(section + 6, 6);
      const forged = Buffer.from(bytes);
      for (let n = random.below(3); n >= 0; n--) {
        forged[start + random.below(end - start - 4)] = random.below(256);
      }
      seal(forged, start, end);
      exercise(holding(forged));
    }
  });

  test("a footer of any content is refused, or its table answers without looping", () => {
    const bytes = bytesOf();
    const at = bytes.length - FOOTER_BYTES;
    const random = new SeededRandom(7);
    for (let round = 0; round < 1000; round++) {
      const forged = Buffer.from(bytes);
      const sum = at + FOOTER_BYTES - 8;
      forged[at + random.below(FOOTER_BYTES - 8)] = random.below(256);
      putU32(forged, sum, (contentHash(forged, at, sum) ^ placeMix(UID, at)) >>> 0);
      exercise(holding(forged));
    }
  });

  test("a tag or a flag of a later build is refused as such", () => {
    const bytes = bytesOf();
    const [start, end] = blockRanges(bytes)[0]!;
    const rowBytes = getU32(bytes, start + 16);
    const firstTag = end - 5 - rowBytes + 7;
    expect(bytes[firstTag]).toBe(1);
    for (const [at, byte] of [
      [firstTag, 3],
      [firstTag, 4],
      [firstTag, 0x11],
      [firstTag, 0xff],
      [start + 2, 0x80],
      [start + 2, 0xff],
    ] as const) {
      const forged = Buffer.from(bytes);
      forged[at] = byte;
      seal(forged, start, end);
      const table = openTable(holding(forged));
      const error = errorOf(() => get(table, new Uint8Array(0)));
      expect(error).toMatchObject({ code: "AURA_UNSUPPORTED", file: PATH, offset: start });
      const cursor = table.cursor({ mayRead: true });
      expect(errorOf(() => cursor.first()).code).toBe("AURA_UNSUPPORTED");
      expect(cursor).toMatchObject({ failed: true, valid: false, pending: false });
      table.closeSync();
    }
  });

  test("a raw length that is too long is refused before it is allocated", () => {
    // Of the codecs, the one that needs no module.
    const bytes = bytesOf({ settings: { codec: Codec.deflate } });
    const packed = blockRanges(bytes).find(([, end]) => bytes[end - 5] === Codec.deflate)!;
    for (const length of [0xffffffff, 0x7fffffff, getU32(bytes, packed[0]) + 1000, 0]) {
      const forged = Buffer.from(bytes);
      putU32(forged, packed[0], length);
      seal(forged, ...packed);
      expect(errorOf(() => openTable(holding(forged)).verifySync())).toMatchObject({
        code: "AURA_CORRUPTION",
        offset: packed[0],
      });
    }
  });

  test("a block that needs a dictionary, in a table without one", () => {
    const bytes = bytesOf({ settings: { codec: PACKED } });
    const packed = blockRanges(bytes).find(([, end]) => bytes[end - 5] === PACKED)!;
    for (const [codec, code] of [
      [0x83, "AURA_CORRUPTION"],
      [0x81, "AURA_UNSUPPORTED"],
      [0x80, "AURA_UNSUPPORTED"],
    ] as const) {
      const forged = Buffer.from(bytes);
      forged[packed[1] - 5] = codec;
      seal(forged, ...packed);
      const error = errorOf(() => openTable(holding(forged)).verifySync());
      expect(error).toMatchObject({ code, file: PATH, offset: packed[0] });
    }
  });

  test("wrong marks change no answer, and verification names their block", () => {
    const bytes = bytesOf();
    const random = new SeededRandom(11);
    let forgedCount = 0;
    for (const [start, end] of blockRanges(bytes)) {
      if ((bytes[start + 2]! & 64) === 0) continue;
      const count = bytes.readUInt16LE(start);
      const one = bytes[start + 32]!;
      for (const forge of [() => random.below(256), () => one, () => 0]) {
        const forged = Buffer.from(bytes);
        for (let i = 0; i < count; i++) forged[start + 32 + i] = forge();
        seal(forged, start, end);
        const table = openTable(holding(forged));
        for (const { key, seq, tag, value } of entries) {
          expect(get(table, key, seq)).toEqual({ seq, tag, value: hex(value) });
        }
        if (!forged.equals(bytes)) {
          forgedCount++;
          expect(errorOf(() => table.verifySync())).toMatchObject({ offset: start });
        }
        table.closeSync();
      }
    }
    expect(forgedCount).toBeGreaterThan(10);
  });

  test("an unknown codec is refused as such", () => {
    const bytes = bytesOf();
    const [start, end] = blockRanges(bytes)[0]!;
    bytes[end - 5] = 200;
    seal(bytes, start, end);
    expect(errorOf(() => get(openTable(holding(bytes)), entries[0]!.key)).code).toBe(
      "AURA_UNSUPPORTED",
    );
  });
});

/** Uses a forged table; only typed errors may come out, and nothing may loop. */
function exercise(fs: SimFs): void {
  const attempts: ((table: Table) => void)[] = [
    (table) => {
      const hit = new TableHit();
      for (const one of entries.slice(0, 60)) {
        const { key } = one;
        const state = table.get(key, 0, key.length, hashOf(key), SEQ_MAX, hit, true);
        if (state === 1) foundOf(state, hit);
      }
    },
    (table) => {
      const cursor = table.cursor({ mayRead: true });
      let steps = 0;
      for (cursor.first(); cursor.valid && steps < 5000; cursor.next()) steps++;
      for (cursor.last(); cursor.valid && steps < 10_000; cursor.prev()) steps++;
      cursor.seek(entries[20]!.key, 0, entries[20]!.key.length);
      cursor.seekBefore(entries[25]!.key, 0, entries[25]!.key.length);
    },
    (table) => table.verifySync(),
  ];
  let table: Table | undefined;
  for (const attempt of attempts) {
    try {
      table ??= openTable(fs, { indexFormats: index });
      attempt(table);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "AURA_CORRUPTION" && code !== "AURA_UNSUPPORTED") throw error;
    }
  }
  table?.closeSync();
}

test("a read that fails is an error of I/O, and the next one may succeed", () => {
  const fs = holding(bytesOf());
  const table = openTable(fs);
  const { key, seq } = entries[5]!;
  const fault = fs.failAt({ at: (kind) => kind === "read", error: "EIO", sticky: true });
  expect(errorOf(() => get(table, key, seq))).toMatchObject({ code: "AURA_IO" });
  const cursor = table.cursor({ mayRead: true });
  expect(errorOf(() => cursor.seek(key, 0, key.length)).code).toBe("AURA_IO");
  expect(cursor).toMatchObject({ failed: true, valid: false, pending: false });
  fault.remove();
  expect(get(table, key, seq)?.seq).toBe(seq);
  cursor.seek(key, 0, key.length);
  expect(cursor).toMatchObject({ failed: false, valid: true, seq });
  table.closeSync();
  expect(fs.openHandles).toBe(0);
});

test("a table that cannot be opened leaves no handle open", () => {
  const bytes = bytesOf();
  for (let at = 0; at < bytes.length; at += 7) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 0x10;
    const fs = holding(damaged);
    try {
      openTable(fs).closeSync();
    } catch {
      // refused
    }
    expect(fs.openHandles).toBe(0);
  }
});
