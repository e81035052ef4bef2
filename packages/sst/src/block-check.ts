/**
 * The one gate between bytes from disk and `BlockReader`: behind it, every length and offset in a
 * block lies inside the block, every tag is known and every sequence is exact. The checksum has
 * been verified before; this catches a block that was written wrong, or forged with a right one.
 * The order of keys is not checked here (`Table.verifySync` does).
 */
import { getU16, getU32, getU56, isKnownTag, SEQ_MAX, TRAILER_BYTES } from "@aura/base";
import {
  BLOCK_FLAGS_KNOWN,
  BlockFlag,
  HEAD_BYTES,
  Head,
  MARKED_ENTRIES_MAX,
  NARROW_ROW_BYTES_MAX,
  rowStartsBytes,
} from "./block-layout.ts";

/** What `checkBlock` found. */
export const BlockState = { sound: 0, corrupt: 1, unknown: 2 } as const;

/** High byte of a sequence: 2^53 - 1 has 0x1f there. */
const SEQ_HIGH_BYTE_MAX = 0x1f;

/**
 * Returns whether `bytes[start, end)` is a block that a `BlockReader` can trust, is damaged, or
 * holds a tag or flag of a later build.
 */
export function checkBlock(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length < HEAD_BYTES) return BlockState.corrupt;
  const flags = bytes[start + Head.flags]!;
  if (flags > BLOCK_FLAGS_KNOWN) return BlockState.unknown;
  const count = getU16(bytes, start + Head.entryCount);
  const evenKeys = (flags & BlockFlag.evenKeys) !== 0;
  const evenRows = (flags & BlockFlag.evenRows) !== 0;
  const suffixBytes = getU16(bytes, start + Head.suffixBytes);
  const suffixWidth = getU16(bytes, start + Head.suffixWidth);
  const rowBytes = getU32(bytes, start + Head.rowBytes);
  const rowWidth = getU32(bytes, start + Head.rowWidth);
  const isMarked = (flags & BlockFlag.marked) !== 0;
  const marksBytes = isMarked ? count : 0;
  const keyStartsBytes = evenKeys ? 0 : (count + 1) * 2;
  const total =
    HEAD_BYTES +
    marksBytes +
    keyStartsBytes +
    getU16(bytes, start + Head.prefixBytes) +
    suffixBytes +
    rowStartsBytes(flags, count) +
    getU16(bytes, start + Head.lowerBytes) +
    getU16(bytes, start + Head.upperBytes) +
    rowBytes;
  const previousSeq = getU56(bytes, start + Head.previousSeq);
  const ends = BlockFlag.continues | BlockFlag.last;
  const wide = !evenRows && rowBytes > NARROW_ROW_BYTES_MAX;
  const whole =
    count >= 1 &&
    total === length &&
    bytes[start + 3] === 0 &&
    getU16(bytes, start + 14) === 0 &&
    bytes[start + 31] === 0 &&
    suffixWidth === (evenKeys ? suffixBytes / count : 0) &&
    rowWidth === (evenRows ? rowBytes / count : 0) &&
    wide === ((flags & BlockFlag.wideRows) !== 0) &&
    previousSeq <= SEQ_MAX &&
    (previousSeq === 0 || (flags & BlockFlag.continued) !== 0) &&
    (flags & ends) !== ends &&
    // Versions of the first key may stand in the block before: it is not to be found by its mark.
    (!isMarked || (count <= MARKED_ENTRIES_MAX && (flags & BlockFlag.continued) === 0));
  if (!whole) return BlockState.corrupt;
  if (!evenKeys && !ascends(bytes, start + HEAD_BYTES + marksBytes, count, 2, 0, suffixBytes)) {
    return BlockState.corrupt;
  }
  const rowsAt = end - rowBytes;
  if (evenRows) return checkRows(bytes, rowsAt, count, rowWidth, 0, 0);
  const rowStartsAt =
    start + total - rowBytes - rowStartsBytes(flags, count) - boundsBytes(bytes, start);
  const step = wide ? 4 : 2;
  if (!ascends(bytes, rowStartsAt, count, step, TRAILER_BYTES, rowBytes)) return BlockState.corrupt;
  return checkRows(bytes, rowsAt, count, 0, rowStartsAt, step);
}

function boundsBytes(bytes: Uint8Array, start: number): number {
  return getU16(bytes, start + Head.lowerBytes) + getU16(bytes, start + Head.upperBytes);
}

/** Returns whether count + 1 offsets lead from 0 to `total` in steps of at least `stepMin`. */
function ascends(
  bytes: Uint8Array,
  at: number,
  count: number,
  width: number,
  stepMin: number,
  total: number,
): boolean {
  let previous = -stepMin;
  let offset = 0;
  for (let i = 0; i <= count; i++) {
    offset = width === 4 ? getU32(bytes, at + i * 4) : getU16(bytes, at + i * 2);
    if (offset < previous + stepMin || (i === 0 && offset !== 0)) return false;
    previous = offset;
  }
  return offset === total;
}

function checkRows(
  bytes: Uint8Array,
  rowsAt: number,
  count: number,
  rowWidth: number,
  rowStartsAt: number,
  step: number,
): number {
  if (step === 0 && rowWidth < TRAILER_BYTES) return BlockState.corrupt;
  for (let i = 0; i < count; i++) {
    let row = rowsAt;
    if (step === 0) row += i * rowWidth;
    else if (step === 2) row += getU16(bytes, rowStartsAt + i * 2);
    else row += getU32(bytes, rowStartsAt + i * 4);
    if (bytes[row + 6]! > SEQ_HIGH_BYTE_MAX) return BlockState.corrupt;
    if (!isKnownTag(bytes[row + 7]!)) return BlockState.unknown;
  }
  return BlockState.sound;
}
