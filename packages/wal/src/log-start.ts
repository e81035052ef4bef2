/**
 * The start of a log that cannot be opened: what a creation leaves that no sync covered, told apart from
 * damage to what was durable.
 *
 * A disk writes sectors whole. So a first sector that does not hold the file header was never
 * written, or is lost; one that holds a header of the database with some wrong bytes was written,
 * and damaged later.
 */
import {
  corruption,
  decodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHandle,
  type FileSystem,
  hasCode,
  resemblesFileHeader,
  type Uid,
} from "@aura/base";
import { FRAME_HEADER_BYTES, FrameHeader } from "./frame.ts";
import { scanForFrames } from "./log-scan.ts";
import { allZero, ReadWindow } from "./read-window.ts";

/** Bytes that a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/**
 * Returns whether the start of a log is not there at all: the file ends within its header and
 * preamble, or has zeros in place of the header of either. A creation that no sync covered leaves
 * such a file behind; damage to one that was synced hardly does. Throws AURA_CORRUPTION
 * when the file reads shorter than it is, AURA_NOT_FOUND, AURA_IO.
 */
export function logStartMissing(fs: FileSystem, path: string): boolean {
  const file = fs.openSync(path, "read");
  try {
    const start = readStart(file);
    if (start === undefined) return true;
    if (allZero(start, 0, FILE_HEADER_BYTES)) return true;
    if (allZero(start, FILE_HEADER_BYTES, start.length)) return true;
    const frame = new FrameHeader();
    const uid = readableUid(start, path);
    if (uid === undefined || !frame.read(start, FILE_HEADER_BYTES, uid, FILE_HEADER_BYTES)) {
      return false;
    }
    return FILE_HEADER_BYTES + frame.frameBytes > file.sizeSync();
  } finally {
    file.closeSync();
  }
}

/**
 * Reads the headers at the start of a log; undefined when the file ends within them. That a read ends
 * there is not enough: a file that reads shorter than it is would be taken for one that holds nothing.
 */
function readStart(file: FileHandle): Uint8Array | undefined {
  const start = new Uint8Array(FILE_HEADER_BYTES + FRAME_HEADER_BYTES);
  const count = file.readSync(start, 0);
  if (count === start.length) return start;
  if (file.sizeSync() > count) {
    throw corruption(file.path, count, "the file reads shorter than it is");
  }
  return undefined;
}

/** Returns the uid of a file whose header this build can read. */
function readableUid(start: Uint8Array, path: string): Uid | undefined {
  try {
    return decodeFileHeader(start, path).uid;
  } catch (error) {
    if (hasCode(error, "AURA_CORRUPTION") || hasCode(error, "AURA_UNSUPPORTED")) return undefined;
    throw error;
  }
}

/**
 * Returns whether the start of a log is bytes that the log never wrote there, and nothing in the file
 * says that a sync covered any of it: what a power loss may leave of a log that was never synced.
 * A file header of the database `databaseUuid` with wrong bytes in it is no such start. Throws
 * as `logStartMissing`.
 */
export function logStartTorn(fs: FileSystem, path: string, databaseUuid: Uint8Array): boolean {
  const file = fs.openSync(path, "read");
  try {
    const start = readStart(file);
    if (start === undefined) return true;
    const uid = readableUid(start, path);
    if (uid === undefined) return !resemblesFileHeader(start, databaseUuid);
    const frame = new FrameHeader();
    const isFramed = frame.read(start, FILE_HEADER_BYTES, uid, FILE_HEADER_BYTES);
    // What stands in the header's own sector was written with it.
    if (!isFramed || FILE_HEADER_BYTES + frame.frameBytes <= SECTOR_BYTES) return false;
    const size = file.sizeSync();
    const from = FILE_HEADER_BYTES + frame.frameBytes;
    if (from >= size) return true;
    const { laterFrame, durable } = scanForFrames(new ReadWindow(file, size), uid, from, size);
    return laterFrame === undefined || durable < laterFrame.first;
  } finally {
    file.closeSync();
  }
}
