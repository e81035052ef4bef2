import { type FileHeader, FileType, Kind, type Uid } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { SegmentWriter } from "../src/index.ts";

export const PATH = "/db/000009.seg";
export const NUMBER = 9;

export function header(
  uid: Uid = { lo: 0xabcdef01, hi: 0x23456789 },
  number: number = NUMBER,
): FileHeader {
  return { type: FileType.segment, databaseUuid: new Uint8Array(16).fill(0xdb), uid, number };
}

export function emptyFs(options: ConstructorParameters<typeof SimFs>[0] = {}): SimFs {
  const fs = new SimFs(options);
  fs.makeDirectorySync("/db");
  fs.syncDirSync("/");
  return fs;
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** A record as a test thinks of it. */
export interface Item {
  readonly keyspace: number;
  readonly key: Uint8Array;
  readonly seq: number;
  readonly value: Uint8Array;
}

export function append(segment: SegmentWriter, item: Item): number {
  const { keyspace, key, seq, value } = item;
  return segment.append(keyspace, key, 0, key.length, seq, Kind.value, value, value.length, 0);
}

export function create(fs: SimFs, path: string = PATH, head: FileHeader = header()): SegmentWriter {
  return SegmentWriter.createSync(fs, path, { header: head });
}

export const items: readonly Item[] = [
  { keyspace: 0, key: text("alpha"), seq: 1, value: text("the first value") },
  { keyspace: 7, key: text(""), seq: 2 ** 53 - 1, value: text("") },
  { keyspace: 0xffffffff, key: text("beta"), seq: 2 ** 40, value: new Uint8Array(300).fill(0x5a) },
  { keyspace: 1, key: text("gamma"), seq: 9, value: text("the last value") },
];

/** Writes `items` as a finished segment; returns the offsets. */
export function writeSmallSegment(fs: SimFs, path?: string, head?: FileHeader): number[] {
  const segment = create(fs, path, head);
  const offsets = items.map((item) => append(segment, item));
  segment.finishSync();
  segment.closeSync();
  return offsets;
}
