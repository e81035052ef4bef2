/**
 * The layout of a data block, shared by its writer and its reader.
 *
 * head | marks? | key starts? | prefix | key suffixes | row starts? | lower | upper | rows
 * A key is the block's prefix and its suffix. A row is the 8-byte trailer (sequence, tag) and the
 * value. What a search touches stands together at the front. `key starts` holds count + 1 offsets
 * (u16) into the suffixes and is left out when all suffixes have one length; `row starts` holds
 * count + 1 offsets (u16, or u32 when the rows are longer than 65535 bytes) into the rows and is
 * left out when all rows have one length. `marks` holds a byte of each key's hash (`markOf`): a look-up
 * compares only keys with its own mark. A wrong mark costs time, never an answer.
 */

/** Offsets of the fields of the head. */
export const Head = {
  entryCount: 0, // u16, >= 1
  flags: 2, // u8
  // 3: reserved, zero
  prefixBytes: 4, // u16
  suffixBytes: 6, // u16, all suffixes together
  suffixWidth: 8, // u16, length of each suffix if `evenKeys`, else 0
  lowerBytes: 10, // u16
  upperBytes: 12, // u16
  // 14: reserved u16, zero
  rowBytes: 16, // u32, all rows together
  rowWidth: 20, // u32, length of each row if `evenRows`, else 0
  previousSeq: 24, // u56, sequence of the last entry of the block before if `continued`, else 0
  // 31: reserved, zero
} as const;

/** Bytes of the head. */
export const HEAD_BYTES = 32;

/** Flags of a block. */
export const BlockFlag = {
  /** The first entry is a further version of the last user key of the block before. */
  continued: 1,
  /** The block behind begins with further versions of this block's last user key. */
  continues: 2,
  /** No block follows. */
  last: 4,
  /** All suffixes have one length. */
  evenKeys: 8,
  /** All rows have one length. */
  evenRows: 16,
  /** Row starts take four bytes each. */
  wideRows: 32,
  /** The marks of all keys stand behind the head. */
  marked: 64,
} as const;

/** All flags that this build knows. */
export const BLOCK_FLAGS_KNOWN = 127;
/** Most entries in a block. */
export const BLOCK_ENTRIES_MAX = 65535;
/** Most entries in a block with marks: beyond that bisection looks at fewer of them. */
export const MARKED_ENTRIES_MAX = 64;
/** Most bytes of keys in a block (before the prefix is taken off). */
export const BLOCK_KEY_BYTES_MAX = 65535;
/** Rows longer than this have wide row starts. */
export const NARROW_ROW_BYTES_MAX = 65535;

/** Returns the mark of a key with this hash. */
export function markOf(keyHash: number): number {
  return keyHash >>> 24;
}

/** Returns the length of the row starts of a block. */
export function rowStartsBytes(flags: number, count: number): number {
  if ((flags & BlockFlag.evenRows) !== 0) return 0;
  return (count + 1) * ((flags & BlockFlag.wideRows) !== 0 ? 4 : 2);
}

/** Returns whether the distances between the ends, from 0 on, are all the same. */
export function isEven(ends: Uint16Array | Uint32Array, count: number): boolean {
  const width = ends[0]!;
  let end = width;
  for (let i = 1; i < count; i++) {
    end += width;
    if (ends[i] !== end) return false;
  }
  return true;
}
