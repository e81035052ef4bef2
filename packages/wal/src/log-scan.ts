/**
 * Log scan: what still stands behind the last good frame of a log. Looks at every byte offset for
 * the header of a frame of this log; a match is certain, since a header is bound to file and place.
 */
import type { Uid } from "@aura/base";
import { FRAME_HEADER_BYTES, FrameHeader } from "./frame.ts";
import type { ReadWindow } from "./read-window.ts";

/** A frame as its header tells it; the payload may be damaged. */
export interface FrameStamp {
  /** Offset of the frame in the file. */
  readonly offset: number;
  /** Bytes of the whole frame. */
  readonly bytes: number;
  readonly first: number;
  readonly count: number;
  readonly durable: number;
}

/** What a scan found. */
export interface LogScan {
  /** The first frame found, or undefined. */
  readonly laterFrame: FrameStamp | undefined;
  /** Highest durable stamp of all frames found, 0 without any. */
  readonly durable: number;
  /** The file is all zeros from here to its end; its length when it ends in another byte. */
  readonly zerosFrom: number;
}

/** Returns what `header`, read at `offset`, says. */
export function frameStamp(header: FrameHeader, offset: number): FrameStamp {
  return {
    offset,
    bytes: header.frameBytes,
    first: header.first,
    count: header.count,
    durable: header.durable,
  };
}

/** Scans [from, limit) of the log `uid`. Linear in the bytes, whatever they are. */
export function scanForFrames(window: ReadWindow, uid: Uid, from: number, limit: number): LogScan {
  const header = new FrameHeader();
  let laterFrame: FrameStamp | undefined;
  let durable = 0;
  let zerosFrom = from;
  let offset = from;
  while (offset < limit) {
    const at = window.ensure(offset, Math.min(FRAME_HEADER_BYTES, limit - offset));
    if (at < 0) break; // a live log got shorter: nothing is behind its end
    const { bytes, start } = window;
    const held = window.end - start;
    const found = findHeader(header, bytes, at, held, uid, start);
    const dataEnd = endOfData(bytes, at, found < 0 ? held : found);
    if (dataEnd > at) zerosFrom = start + dataEnd;
    if (found >= 0) {
      laterFrame ??= frameStamp(header, start + found);
      if (header.durable > durable) durable = header.durable;
      offset = Math.min(limit, start + found + header.frameBytes);
      zerosFrom = offset;
    } else {
      // A header may begin in the last bytes of this chunk and end in the next one.
      offset = window.end >= limit ? limit : window.end - FRAME_HEADER_BYTES + 1;
    }
  }
  return { laterFrame, durable, zerosFrom };
}

/** Returns the index of the first frame header within `bytes[at, end)`, or -1. */
function findHeader(
  header: FrameHeader,
  bytes: Uint8Array,
  at: number,
  end: number,
  uid: Uid,
  start: number,
): number {
  const last = end - FRAME_HEADER_BYTES;
  for (let i = at; i <= last; i++) {
    // The header's last byte is zero: by far the most places need no further look.
    if (bytes[i + FRAME_HEADER_BYTES - 1] !== 0) continue;
    if (header.read(bytes, i, uid, start + i)) return i;
    let zeros = i;
    while (zeros < end && bytes[zeros] === 0) zeros++;
    // No header is all zeros: go on with the first that is not.
    if (zeros - i > FRAME_HEADER_BYTES) i = zeros - FRAME_HEADER_BYTES;
  }
  return -1;
}

/** Returns the index behind the last byte of `bytes[at, end)` that is not zero, or `at`. */
function endOfData(bytes: Uint8Array, at: number, end: number): number {
  let i = end;
  while (i > at && bytes[i - 1] === 0) i--;
  return i;
}
