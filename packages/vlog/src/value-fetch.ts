/**
 * Reads of ranges of value files, into fresh memory that is the caller's. Whether the file can hold
 * the range is looked at before anything is allocated.
 */
import { Buffer } from "node:buffer";
import { corruption } from "@aura/base";
import type { OpenFiles, ValueFile } from "./open-files.ts";

/** Throws AURA_CORRUPTION unless the file reaches from `offset` over `length` bytes. */
export function assertWithin(file: ValueFile, offset: number, length: number): void {
  if (offset + length <= file.bytes) return;
  file.bytes = file.handle!.sizeSync();
  if (offset + length > file.bytes) {
    throw corruption(file.path, offset, "a pointer leads beyond the end of the file");
  }
}

/** Reads on this thread. */
export function fetchSync(file: ValueFile, offset: number, length: number): Buffer {
  const bytes = allocate(file, offset, length);
  const read = file.handle!.readSync(bytes, offset);
  if (read < length) throw corruption(file.path, offset, "the file ends in a record");
  return bytes;
}

/** What was read, and the file it is from, which may be closed since. */
export interface Fetched {
  readonly file: ValueFile;
  readonly bytes: Buffer;
}

/**
 * Reads through the thread pool; the file stays open meanwhile. `recordBytes`: what the file has to
 * hold from `offset` on, if that is more than what is read of it.
 */
export async function fetch(
  files: OpenFiles,
  number: number,
  offset: number,
  length: number,
  recordBytes: number = length,
): Promise<Fetched> {
  const file = files.hold(number) ?? (await files.holdCold(number));
  try {
    assertWithin(file, offset, recordBytes);
    const bytes = allocate(file, offset, length);
    const read = await file.handle!.read(bytes, offset);
    if (read < length) throw corruption(file.path, offset, "the file ends in a record");
    return { file, bytes };
  } finally {
    files.release(file);
  }
}

/** Not cleared and not pooled: either a read fills it to its last byte or it goes nowhere. */
function allocate(file: ValueFile, offset: number, length: number): Buffer {
  assertWithin(file, offset, length);
  return Buffer.allocUnsafeSlow(length);
}
