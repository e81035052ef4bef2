import { contentHash, type FileHeader, FileType, type Uid } from "@aura/base";
import { SimFs } from "@aura/base/testing";
import { LogWriter, readLog } from "../src/index.ts";

export const PATH = "/log/000007.wal";

export function header(uid: Uid = { lo: 0x1234567, hi: 0x89abcdef }): FileHeader {
  return { type: FileType.wal, databaseUuid: new Uint8Array(16).fill(0xdb), uid, number: 7 };
}

export function emptyFs(options: ConstructorParameters<typeof SimFs>[0] = {}): SimFs {
  const fs = new SimFs(options);
  fs.makeDirectorySync("/log");
  fs.syncDirSync("/log");
  fs.syncDirSync("/");
  return fs;
}

export function create(fs: SimFs, path: string = PATH, uid?: Uid): LogWriter {
  return LogWriter.createSync(fs, path, { header: header(uid), preamble: text("preamble") });
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

/** A frame as a test wants to compare it. */
export interface Frame {
  readonly offset: number;
  readonly first: number;
  readonly count: number;
  readonly durable: number;
  readonly flags: number;
  readonly covered: string;
  readonly attached: string;
}

export interface Log {
  readonly frames: Frame[];
  readonly end: string;
  readonly endOffset: number;
}

/** Reads a whole log. */
export function readAll(fs: SimFs, path: string = PATH, validBytes?: number): Log {
  const reader = readLog(fs, path, validBytes === undefined ? {} : { validBytes });
  try {
    const frames: Frame[] = [];
    while (reader.next()) {
      const { offset, first, count, durable, flags, bytes } = reader;
      frames.push({
        offset,
        first,
        count,
        durable,
        flags,
        covered: shown(bytes.subarray(reader.coveredStart, reader.coveredEnd)),
        attached: shown(bytes.subarray(reader.attachedStart, reader.attachedEnd)),
      });
    }
    return { frames, end: reader.end!.kind, endOffset: reader.end!.offset };
  } finally {
    reader.closeSync();
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** Bytes for a comparison: the runner would take forever to show two that are long. */
export function shown(bytes: Uint8Array): string {
  if (bytes.length <= 100) return hex(bytes);
  return `${bytes.length} bytes, hash ${contentHash(bytes, 0, bytes.length)}`;
}

/** Writes the same small log each time: four frames, one with an attached part, one watermark. */
export function writeSmallLog(fs: SimFs, path: string = PATH, uid?: Uid): LogWriter {
  const log = create(fs, path, uid);
  log.appendSync([text("one")], [], 1, 1, 0);
  log.appendSync([text("two"), text("three")], [text("attached bytes")], 2, 2, 1);
  log.appendSync([], [], 4, 0, 3);
  log.appendSync([text("four")], [], 4, 1, 3);
  return log;
}
