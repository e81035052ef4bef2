/**
 * The range block of a table: its range tombstones, fragmented and cut to the table's bounds.
 *
 * block    := count varint, fragment*
 * fragment := start: shared varint, rest varint, bytes    shared with the end before it
 *             end:   shared varint, rest varint, bytes    shared with its start; rest is one more
 *                                                         than its bytes, 0 for no end
 *             sequences: count varint, highest varint, (difference varint)*
 *
 * Documented in docs/formats/sst.md.
 */
import {
  type AuraError,
  commonPrefix,
  compareKeys,
  corruption,
  type FileSystem,
  isKeysEnd,
  KEY_BYTES_MAX,
  KEYS_END,
  putVarint,
  SEQ_MAX,
  VARINT_BYTES_MAX,
  VarintReader,
} from "@aura/base";
import { RangeFragments } from "./range-fragments.ts";
import { TableFile, type TableIdentity } from "./table-file.ts";

const NO_BYTES = new Uint8Array(0);

/** Returns the bytes of a range block. Precondition: there are fragments. */
export function encodeRanges(ranges: RangeFragments): Uint8Array {
  let room = VARINT_BYTES_MAX;
  for (let i = 0; i < ranges.count; i++) {
    room += ranges.starts[i]!.length + (5 + ranges.seqs[i]!.length) * VARINT_BYTES_MAX;
    if (!isKeysEnd(ranges.ends[i]!)) room += ranges.ends[i]!.length;
  }
  const bytes = new Uint8Array(room);
  let at = putVarint(bytes, 0, ranges.count);
  const putRest = (key: Uint8Array, shared: number): void => {
    bytes.set(key.subarray(shared), at);
    at += key.length - shared;
  };
  let before = NO_BYTES as Uint8Array;
  for (let i = 0; i < ranges.count; i++) {
    const start = ranges.starts[i]!;
    const end = ranges.ends[i]!;
    const shared = commonPrefix(before, 0, before.length, start, 0, start.length);
    at = putVarint(bytes, at, shared);
    at = putVarint(bytes, at, start.length - shared);
    putRest(start, shared);
    if (isKeysEnd(end)) {
      at = putVarint(bytes, at, 0);
      at = putVarint(bytes, at, 0);
    } else {
      const common = commonPrefix(start, 0, start.length, end, 0, end.length);
      at = putVarint(bytes, at, common);
      at = putVarint(bytes, at, end.length - common + 1);
      putRest(end, common);
    }
    before = end;
    const seqs = ranges.seqs[i]!;
    at = putVarint(bytes, at, seqs.length);
    seqs.forEach((seq, j) => {
      at = putVarint(bytes, at, j === 0 ? seq : seqs[j - 1]! - seq);
    });
  }
  return bytes.slice(0, at);
}

/** Reads a range block. Throws AURA_CORRUPTION. */
export function decodeRanges(bytes: Uint8Array, file: string, offset: number): RangeFragments {
  const reader = new VarintReader();
  let at = 0;
  const fail = (): AuraError => corruption(file, offset, `range block at byte ${at}`);
  const number = (max: number): number => {
    const value = reader.read(bytes, at, bytes.length);
    if (value < 0 || value > max) throw fail();
    at = reader.end;
    return value;
  };
  const key = (before: Uint8Array, shared: number, rest: number): Uint8Array => {
    if (rest > bytes.length - at || shared + rest > KEY_BYTES_MAX) throw fail();
    const whole = new Uint8Array(shared + rest);
    whole.set(before.subarray(0, shared));
    whole.set(bytes.subarray(at, at + rest), shared);
    at += rest;
    return whole;
  };
  const ranges = new RangeFragments();
  // A fragment takes six bytes at least, a sequence number one.
  const count = number(bytes.length / 6);
  let before = NO_BYTES as Uint8Array;
  for (let i = 0; i < count; i++) {
    const start = key(before, number(before.length), number(KEY_BYTES_MAX));
    const shared = number(start.length);
    const rest = number(KEY_BYTES_MAX + 1);
    const end = rest === 0 ? KEYS_END : key(start, shared, rest - 1);
    const isInOrder = compareKeys(before, start) <= 0 && compareKeys(start, end) < 0;
    if (!isInOrder || (rest === 0 && shared > 0)) throw fail();
    const seqs: number[] = [];
    for (let left = number(bytes.length - at); left > 0; left--) {
      const last = seqs.at(-1);
      const read = number(last ?? SEQ_MAX);
      if (last !== undefined && read === 0) throw fail();
      seqs.push(last === undefined ? read : last - read);
    }
    if (seqs.length === 0) throw fail();
    ranges.starts.push(start);
    ranges.ends.push(end);
    ranges.seqs.push(seqs);
    before = end;
  }
  if (at !== bytes.length || count === 0) throw fail();
  return ranges;
}

/** Returns the range tombstones of an open table file; undefined when it has none. */
export function rangesOf(file: TableFile): RangeFragments | undefined {
  const { ranges } = file.footer;
  if (ranges.bytes === 0) return undefined;
  return decodeRanges(file.sectionSync(ranges), file.path, ranges.offset);
}

/** Reads the range tombstones of a table, and nothing else of it. Throws as opening it does. */
export function readRangesSync(
  fs: FileSystem,
  identity: TableIdentity,
): RangeFragments | undefined {
  const file = new TableFile(fs, identity);
  try {
    return rangesOf(file);
  } finally {
    file.closeSync();
  }
}
