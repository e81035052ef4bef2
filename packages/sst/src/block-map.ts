/**
 * Where the data blocks lie: their stored lengths (trailer included) as varints, one behind the
 * other; the first block begins behind the file header.
 */
import {
  corruption,
  FILE_HEADER_BYTES,
  putVarint,
  VARINT_BYTES_MAX,
  VarintReader,
} from "@aura/base";
import { BlockOffsets } from "./block-offsets.ts";
import { BLOCK_TRAILER_BYTES } from "./format.ts";

/** Returns the bytes of a block map. */
export function encodeBlockMap(lengths: Float64Array, count: number): Uint8Array {
  const bytes = new Uint8Array(count * VARINT_BYTES_MAX);
  let end = 0;
  for (let i = 0; i < count; i++) end = putVarint(bytes, end, lengths[i]!);
  return bytes.slice(0, end);
}

/**
 * Reads a block map; the blocks must fill the file up to `dataEnd`. Offset `count` is where the last
 * one ends. Throws AURA_CORRUPTION.
 */
export function decodeBlockMap(
  bytes: Uint8Array,
  count: number,
  dataEnd: number,
  file: string,
  offset: number,
): BlockOffsets {
  if (count > bytes.length) throw corruption(file, offset, "block map");
  const offsets = new Float64Array(count + 1);
  const reader = new VarintReader();
  let at = 0;
  let end = FILE_HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    offsets[i] = end;
    const length = reader.read(bytes, at, bytes.length);
    if (length <= BLOCK_TRAILER_BYTES || length > dataEnd - end) {
      throw corruption(file, offset, `block map entry ${i}`);
    }
    end += length;
    at = reader.end;
  }
  offsets[count] = end;
  if (end !== dataEnd || at !== bytes.length) throw corruption(file, offset, "block map");
  return new BlockOffsets(offsets);
}
