/**
 * The outside of a Zstandard frame (RFC 8878, section 3.1): its header and the headers of its blocks.
 *
 * This is looked at before anything is allocated or handed to a native decoder: it says how many
 * bytes the frame can stand for at most, so that no frame makes anybody allocate more.
 */
import { getU16, getU32 } from "./bytes.ts";

/** Most bytes that one block stands for. */
export const ZSTD_BLOCK_BYTES_MAX: number = 128 * 1024;

/** Types of blocks. */
export const ZstdBlock = { raw: 0, run: 1, compressed: 2 } as const;

const MAGIC = 0xfd2fb528;
const SINGLE_SEGMENT = 0x20;
const RESERVED = 0x08;
const CHECKSUM = 0x04;
const BLOCK_HEAD_BYTES = 3;
const CHECKSUM_BYTES = 4;

/** What the headers of a frame say. */
export interface ZstdFrame {
  /** Where the first block begins. */
  readonly blocksStart: number;
  /** Length that the frame itself names; -1 when it names none. */
  readonly contentBytes: number;
  /** 0: the frame names no dictionary. */
  readonly dictionaryId: number;
  /** Whether the last four bytes are a checksum. */
  readonly checked: boolean;
  /** Most bytes that the blocks can stand for. */
  readonly bytesMax: number;
}

/** Returns what `bytes` say of themselves, or undefined when they are not one whole frame. */
export function readZstdFrame(bytes: Uint8Array): ZstdFrame | undefined {
  const length = bytes.length;
  // Magic, descriptor and one block header; the loads below stay within five bytes more.
  if (length < 9 || getU32(bytes, 0) !== MAGIC) return undefined;
  const descriptor = bytes[4]!;
  if ((descriptor & RESERVED) !== 0) return undefined;
  const single = (descriptor & SINGLE_SEGMENT) !== 0;
  const idBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeForm = descriptor >>> 6;
  const sizeBytes = sizeForm === 0 ? (single ? 1 : 0) : 1 << sizeForm;
  const idStart = single ? 5 : 6;
  const sizeStart = idStart + idBytes;
  const blocksStart = sizeStart + sizeBytes;
  if (blocksStart + BLOCK_HEAD_BYTES > length) return undefined;
  const checked = (descriptor & CHECKSUM) !== 0;
  const bytesMax = blocksBytesMax(bytes, blocksStart, length - (checked ? CHECKSUM_BYTES : 0));
  if (bytesMax < 0) return undefined;
  return {
    blocksStart,
    contentBytes: contentSize(bytes, sizeStart, sizeBytes),
    dictionaryId: unsigned(bytes, idStart, idBytes),
    checked,
    bytesMax,
  };
}

function contentSize(bytes: Uint8Array, at: number, sizeBytes: number): number {
  if (sizeBytes === 0) return -1;
  return unsigned(bytes, at, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
}

function unsigned(bytes: Uint8Array, at: number, length: number): number {
  switch (length) {
    case 1:
      return bytes[at]!;
    case 2:
      return getU16(bytes, at);
    case 4:
      return getU32(bytes, at);
    case 8:
      return getU32(bytes, at) + getU32(bytes, at + 4) * 0x100000000;
    default:
      return 0;
  }
}

/** Returns the most that the blocks in bytes[start, end) stand for; -1 unless they fill it exactly. */
function blocksBytesMax(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let at = start; at + BLOCK_HEAD_BYTES <= end; ) {
    const head = getU16(bytes, at) | (bytes[at + 2]! << 16);
    at += BLOCK_HEAD_BYTES;
    const size = head >>> 3;
    const type = (head >>> 1) & 3;
    if (size > ZSTD_BLOCK_BYTES_MAX || type > ZstdBlock.compressed) return -1;
    sum += type === ZstdBlock.compressed ? ZSTD_BLOCK_BYTES_MAX : size;
    at += type === ZstdBlock.run ? 1 : size;
    if ((head & 1) !== 0) return at === end ? sum : -1;
  }
  return -1;
}
