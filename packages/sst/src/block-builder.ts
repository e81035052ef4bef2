/**
 * Builds data blocks, one behind the other, in one buffer that the table writer drains.
 *
 * `bytes[0, sealedEnd)` are finished blocks. The open block stages its keys apart and puts its rows
 * (trailer and value) behind `sealedEnd`; they move to the block's end when it is sealed. All buffers
 * are kept and reused; nothing is allocated per entry.
 */
import {
  type Codec,
  Codec as Codecs,
  compress,
  putTrailer,
  putU16,
  putU32,
  putU56,
  TRAILER_BYTES,
  type Uid,
} from "@aura/base";
import {
  BLOCK_ENTRIES_MAX,
  BLOCK_KEY_BYTES_MAX,
  BlockFlag,
  HEAD_BYTES,
  Head,
  NARROW_ROW_BYTES_MAX,
  rowStartsBytes,
} from "./block-layout.ts";
import { copyBytes } from "./copy-bytes.ts";
import { BLOCK_RAW_BYTES_MAX, BLOCK_TRAILER_BYTES, putBlockTrailer } from "./format.ts";

/** Compressed bytes are kept when they are at most this share of the raw ones. */
const COMPRESSED_SHARE_MAX = 0.875;
/** Raw length in front of compressed bytes. */
export const RAW_LENGTH_BYTES = 4;
const NO_BYTES = new Uint8Array(0);

/** Builds data blocks of one file. */
export class BlockBuilder {
  bytes: Uint8Array = new Uint8Array(384 * 1024);
  sealedEnd = 0;
  /** Entries in the open block. */
  count = 0;
  /** Length of the longest sealed block, raw. */
  rawBytesMax = 0;
  /** Staged keys; the last one is keys[lastKeyStart, lastKeyEnd), also after its block was sealed. */
  keys: Uint8Array = new Uint8Array(BLOCK_KEY_BYTES_MAX);
  lastKeyStart = 0;
  lastKeyEnd = 0;
  #keyEnds = new Uint16Array(1024);
  #rowEnds = new Uint32Array(1024);
  #keyBytes = 0;
  #rowBytes = 0;
  #prefixBytes = 0;
  #lower: Uint8Array = NO_BYTES;
  #continued = false;
  #previousSeq = 0;
  readonly #blockBytes: number;
  readonly #codec: Codec;
  readonly #uid: Uid;

  constructor(blockBytes: number, codec: Codec, uid: Uid) {
    this.#blockBytes = blockBytes;
    this.#codec = codec;
    this.#uid = uid;
  }

  /** Raw bytes of the open block, without tail and bounds. */
  get openBytes(): number {
    return this.#rowBytes + this.#keyBytes + this.count * 4;
  }

  /**
   * Returns whether the open block has room for an entry whose key shares `common` bytes with the
   * key before. An empty block has room for any entry.
   */
  hasRoom(keyBytes: number, valueBytes: number, common: number): boolean {
    const count = this.count;
    if (count === 0) return true;
    const prefixBytes = common < this.#prefixBytes ? common : this.#prefixBytes;
    const bytes =
      this.#rowBytes +
      TRAILER_BYTES +
      valueBytes +
      (this.#keyBytes + keyBytes - count * prefixBytes) +
      (count + 2) * 4 +
      this.#lower.length +
      HEAD_BYTES +
      BLOCK_TRAILER_BYTES;
    return (
      bytes <= this.#blockBytes &&
      count < BLOCK_ENTRIES_MAX &&
      this.#keyBytes + keyBytes <= BLOCK_KEY_BYTES_MAX
    );
  }

  /** Adds an entry behind all others. Precondition: `hasRoom`; `common` as there. */
  add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    common: number,
    seq: number,
    tag: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const count = this.count;
    const keyAt = count === 0 ? 0 : this.#keyBytes;
    const keyLength = keyEnd - keyStart;
    if (count === 0) this.#prefixBytes = keyLength;
    else if (common < this.#prefixBytes) this.#prefixBytes = common;
    copyBytes(this.keys, keyAt, key, keyStart, keyEnd);
    this.lastKeyStart = keyAt;
    this.lastKeyEnd = keyAt + keyLength;
    this.#keyBytes = keyAt + keyLength;
    const rowAt = this.sealedEnd + this.#rowBytes;
    const rowBytes = TRAILER_BYTES + valueEnd - valueStart;
    if (rowAt + rowBytes > this.bytes.length) this.#reserve(rowAt + rowBytes);
    putTrailer(this.bytes, rowAt, seq, tag);
    copyBytes(this.bytes, rowAt + TRAILER_BYTES, value, valueStart, valueEnd);
    this.#rowBytes += rowBytes;
    if (count === this.#keyEnds.length) this.#growEnds();
    this.#keyEnds[count] = this.#keyBytes;
    this.#rowEnds[count] = this.#rowBytes;
    this.count = count + 1;
  }

  /**
   * Ends the open block, which will stand at `offset` of the file, and returns its stored length,
   * trailer included. The block behind begins with `upper` (shortest separator between the two) or,
   * when `continues`, with further versions of this block's last key; `seq` is this block's last
   * sequence. `last`: no block follows.
   */
  seal(offset: number, upper: Uint8Array, continues: boolean, seq: number, last: boolean): number {
    const start = this.sealedEnd;
    const raw = this.#finishRaw(start, upper, continues, last);
    if (raw - start > this.rawBytesMax) this.rawBytesMax = raw - start;
    let end = raw;
    let codec: number = Codecs.none;
    if (this.#codec !== Codecs.none) {
      const packed = compress(this.#codec, this.bytes.subarray(start, raw));
      const limit = (raw - start) * COMPRESSED_SHARE_MAX - RAW_LENGTH_BYTES;
      if (packed !== undefined && packed.length <= limit) {
        putU32(this.bytes, start, raw - start);
        this.bytes.set(packed, start + RAW_LENGTH_BYTES);
        end = start + RAW_LENGTH_BYTES + packed.length;
        codec = this.#codec;
      }
    }
    this.sealedEnd = putBlockTrailer(this.bytes, start, end, codec, this.#uid, offset);
    this.count = 0;
    this.#keyBytes = 0;
    this.#rowBytes = 0;
    this.#lower = upper;
    this.#continued = continues;
    this.#previousSeq = continues ? seq : 0;
    return this.sealedEnd - start;
  }

  /** Forgets the sealed blocks: they are written. Precondition: the open block is empty. */
  drain(): void {
    this.sealedEnd = 0;
  }

  /** Writes the open block to its end, rows last. Returns where it ends in `bytes`. */
  #finishRaw(start: number, upper: Uint8Array, continues: boolean, last: boolean): number {
    const { count } = this;
    const lower = this.#lower;
    const rowBytes = this.#rowBytes;
    const prefixBytes = this.#prefixBytes;
    const suffixBytes = this.#keyBytes - count * prefixBytes;
    const evenKeys = isEven(this.#keyEnds, count);
    const evenRows = isEven(this.#rowEnds, count);
    const wide = !evenRows && rowBytes > NARROW_ROW_BYTES_MAX;
    const flags =
      (this.#continued ? BlockFlag.continued : 0) |
      (continues ? BlockFlag.continues : 0) |
      (last ? BlockFlag.last : 0) |
      (evenKeys ? BlockFlag.evenKeys : 0) |
      (evenRows ? BlockFlag.evenRows : 0) |
      (wide ? BlockFlag.wideRows : 0);
    const front =
      HEAD_BYTES +
      (evenKeys ? 0 : (count + 1) * 2) +
      prefixBytes +
      suffixBytes +
      rowStartsBytes(flags, count) +
      lower.length +
      upper.length;
    const end = start + front + rowBytes;
    this.#reserve(end + BLOCK_TRAILER_BYTES);
    const { bytes } = this;
    bytes.copyWithin(start + front, start, start + rowBytes);
    bytes.fill(0, start, start + HEAD_BYTES);
    putU16(bytes, start + Head.entryCount, count);
    bytes[start + Head.flags] = flags;
    putU16(bytes, start + Head.prefixBytes, prefixBytes);
    putU16(bytes, start + Head.suffixBytes, suffixBytes);
    if (evenKeys) putU16(bytes, start + Head.suffixWidth, suffixBytes / count);
    putU16(bytes, start + Head.lowerBytes, lower.length);
    putU16(bytes, start + Head.upperBytes, upper.length);
    putU32(bytes, start + Head.rowBytes, rowBytes);
    if (evenRows) putU32(bytes, start + Head.rowWidth, rowBytes / count);
    putU56(bytes, start + Head.previousSeq, this.#previousSeq);
    let at = start + HEAD_BYTES;
    if (!evenKeys) at = this.#putKeyStarts(at);
    at = this.#putKeys(at);
    if (!evenRows) at = this.#putRowStarts(at, wide);
    copyBytes(bytes, at, lower, 0, lower.length);
    copyBytes(bytes, at + lower.length, upper, 0, upper.length);
    return end;
  }

  #putKeyStarts(start: number): number {
    const bytes = this.bytes;
    const ends = this.#keyEnds;
    const prefixBytes = this.#prefixBytes;
    putU16(bytes, start, 0);
    let at = start + 2;
    let removed = prefixBytes;
    for (let i = 0; i < this.count; i++, at += 2) {
      putU16(bytes, at, ends[i]! - removed);
      removed += prefixBytes;
    }
    return at;
  }

  #putKeys(start: number): number {
    const { bytes, keys, count } = this;
    const ends = this.#keyEnds;
    const prefixBytes = this.#prefixBytes;
    copyBytes(bytes, start, keys, 0, prefixBytes);
    let at = start + prefixBytes;
    let keyAt = 0;
    for (let i = 0; i < count; i++) {
      const keyEnd = ends[i]!;
      for (let k = keyAt + prefixBytes; k < keyEnd; k++) bytes[at++] = keys[k]!;
      keyAt = keyEnd;
    }
    return at;
  }

  #putRowStarts(start: number, wide: boolean): number {
    const bytes = this.bytes;
    const ends = this.#rowEnds;
    let at = start;
    if (wide) {
      putU32(bytes, at, 0);
      at += 4;
      for (let i = 0; i < this.count; i++, at += 4) putU32(bytes, at, ends[i]!);
      return at;
    }
    putU16(bytes, at, 0);
    at += 2;
    for (let i = 0; i < this.count; i++, at += 2) putU16(bytes, at, ends[i]!);
    return at;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    const grown = new Uint8Array(
      Math.max(bytes, Math.min(this.bytes.length * 2, BLOCK_RAW_BYTES_MAX)),
    );
    grown.set(this.bytes);
    this.bytes = grown;
  }

  #growEnds(): void {
    const keyEnds = new Uint16Array(this.#keyEnds.length * 2);
    keyEnds.set(this.#keyEnds);
    this.#keyEnds = keyEnds;
    const rowEnds = new Uint32Array(this.#rowEnds.length * 2);
    rowEnds.set(this.#rowEnds);
    this.#rowEnds = rowEnds;
  }
}

/** Returns whether the distances between the ends, from 0 on, are all the same. */
function isEven(ends: Uint16Array | Uint32Array, count: number): boolean {
  const width = ends[0]!;
  let end = width;
  for (let i = 1; i < count; i++) {
    end += width;
    if (ends[i] !== end) return false;
  }
  return true;
}
