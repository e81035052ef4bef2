/**
 * Makes the checksums of changed files right again, as somebody would who means harm: what stands
 * behind a checksum is reached by that only. Walks files by the lengths that they give, as far as
 * those lead.
 */
import { contentHash, getU16, getU32, placeMix, putU32, type Uid, xxh32 } from "@aura/base";

const HEADER_BYTES = 64;
const FRAME_BYTES = 36;
const RECORD_BYTES = 32;
const CHUNK_BYTES = 65536;
const FOOTER_BYTES = 92;
const SECTIONS = 6;

function seal(bytes: Uint8Array, at: number, start: number, end: number, uid: Uid, place: number) {
  putU32(bytes, at, (contentHash(bytes, start, end) ^ placeMix(uid, place)) >>> 0);
}

/** Mends the header of a file; returns its uid. */
export function mendHeader(bytes: Uint8Array): Uid {
  if (bytes.length < HEADER_BYTES) return { lo: 0, hi: 0 };
  putU32(bytes, 60, xxh32(bytes, 0, 60, 0));
  return { lo: getU32(bytes, 28), hi: getU32(bytes, 32) };
}

/** Mends a log: header, frames, and the value records in them. `chained`: a manifest. */
export function mendLog(bytes: Uint8Array, chained: boolean): void {
  const uid = mendHeader(bytes);
  let previous = 0;
  for (let at = HEADER_BYTES; at + FRAME_BYTES <= bytes.length; ) {
    const start = at + FRAME_BYTES;
    const coveredEnd = start + getU32(bytes, at + 8);
    const end = coveredEnd + getU32(bytes, at + 12);
    const isPreamble = (bytes[at + 27]! & 2) !== 0;
    if (coveredEnd <= bytes.length) {
      if (chained && !isPreamble && coveredEnd - start >= 5) {
        putU32(bytes, start + 1, previous);
        previous = contentHash(bytes, start, coveredEnd);
      }
      putU32(bytes, at + 4, contentHash(bytes, start, coveredEnd));
    }
    seal(bytes, at, at + 4, start, uid, at);
    if (end > bytes.length) return;
    mendRecords(bytes, coveredEnd, end, uid);
    at = end;
  }
}

/** Mends value records that stand one behind the other. */
export function mendRecords(bytes: Uint8Array, from: number, to: number, uid: Uid): void {
  for (let at = from; at + RECORD_BYTES <= to; ) {
    const stored = getU32(bytes, at + 4);
    const keyEnd = at + RECORD_BYTES + getU16(bytes, at + 24);
    const table = stored > 4 * CHUNK_BYTES ? 4 * Math.ceil(stored / CHUNK_BYTES) : 0;
    const end = keyEnd + table + stored;
    if (keyEnd > to) return;
    if (end <= to) {
      for (let i = 0; i * CHUNK_BYTES < stored && table > 0; i++) {
        const chunk = keyEnd + table + i * CHUNK_BYTES;
        const hash = contentHash(bytes, chunk, Math.min(chunk + CHUNK_BYTES, end));
        putU32(bytes, keyEnd + i * 4, hash);
      }
      putU32(bytes, at + 28, contentHash(bytes, keyEnd, table > 0 ? keyEnd + table : end));
    }
    seal(bytes, at, at + 4, keyEnd, uid, at);
    at = end;
  }
}

/** Mends a table: header, footer, sections, and the blocks that the block map names. */
export function mendTable(bytes: Uint8Array): void {
  const uid = mendHeader(bytes);
  const footer = bytes.length - FOOTER_BYTES;
  if (footer < HEADER_BYTES) return;
  const u48 = (at: number): number => getU32(bytes, at) + getU16(bytes, at + 4) * 2 ** 32;
  const sealBlock = (start: number, end: number): void => {
    if (start < HEADER_BYTES || end > footer || end - start < 5) return;
    seal(bytes, end - 4, start, end - 4, uid, start);
  };
  for (let i = 0; i < SECTIONS; i++) {
    const start = u48(footer + i * 12);
    sealBlock(start, start + u48(footer + i * 12 + 6));
  }
  const map = u48(footer + 12);
  const mapEnd = Math.min(footer, map + u48(footer + 18));
  let block = HEADER_BYTES;
  for (let at = map; at < mapEnd && block < footer; ) {
    let length = 0;
    for (let shift = 1; at < mapEnd; shift *= 128) {
      const byte = bytes[at++]!;
      length += (byte & 127) * shift;
      if (byte < 128) break;
    }
    sealBlock(block, block + length);
    block += length;
  }
  seal(bytes, footer + FOOTER_BYTES - 8, footer, footer + FOOTER_BYTES - 8, uid, footer);
}
