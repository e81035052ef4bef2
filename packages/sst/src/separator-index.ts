/**
 * The baseline block index: shortest separators, packed, common prefix taken off. The search runs
 * over the first 31 bits of each separator in one typed array, without a branch to mispredict, and
 * compares bytes only among those that share these bits. Exact: `first` equals `last`.
 *
 * bytes = separator count u32 | prefix bytes u32 | prefix | varint length each | suffixes.
 * The first block has no separator: its lower bound is empty.
 */
import {
  AuraError,
  commonPrefix,
  getU32,
  putU32,
  putVarint,
  VARINT_BYTES_MAX,
  VarintReader,
} from "@aura/base";
import type { BlockIndex, BlockIndexBuilder, BlockIndexFormat } from "./block-index.ts";
import { copyBytes } from "./copy-bytes.ts";

const HEAD_BYTES = 8;

class SeparatorIndexBuilder implements BlockIndexBuilder {
  #bytes: Uint8Array = new Uint8Array(4096);
  #ends = new Float64Array(256);
  #count = -1;
  #bytesEnd = 0;
  #prefixBytes = 0;

  add(lower: Uint8Array): void {
    if (this.#count === -1) {
      this.#count = 0;
      return;
    }
    const start = this.#bytesEnd;
    const end = start + lower.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    if (this.#count === this.#ends.length) {
      const grown = new Float64Array(this.#count * 2);
      grown.set(this.#ends);
      this.#ends = grown;
    }
    copyBytes(this.#bytes, start, lower, 0, lower.length);
    this.#prefixBytes =
      this.#count === 0
        ? lower.length
        : commonPrefix(this.#bytes, 0, this.#prefixBytes, lower, 0, lower.length);
    this.#bytesEnd = end;
    this.#ends[this.#count++] = end;
  }

  finish(): Uint8Array {
    const count = Math.max(this.#count, 0);
    const prefixBytes = this.#prefixBytes;
    const lengths = new Uint8Array(count * VARINT_BYTES_MAX);
    let lengthsEnd = 0;
    for (let i = 0, start = 0; i < count; i++) {
      const end = this.#ends[i]!;
      lengthsEnd = putVarint(lengths, lengthsEnd, end - start - prefixBytes);
      start = end;
    }
    const suffixBytes = this.#bytesEnd - count * prefixBytes;
    const result = new Uint8Array(HEAD_BYTES + prefixBytes + lengthsEnd + suffixBytes);
    putU32(result, 0, count);
    putU32(result, 4, prefixBytes);
    copyBytes(result, HEAD_BYTES, this.#bytes, 0, prefixBytes);
    let at = HEAD_BYTES + prefixBytes;
    result.set(lengths.subarray(0, lengthsEnd), at);
    at += lengthsEnd;
    for (let i = 0, start = 0; i < count; i++) {
      const end = this.#ends[i]!;
      copyBytes(result, at, this.#bytes, start + prefixBytes, end);
      at += end - start - prefixBytes;
      start = end;
    }
    return result;
  }
}

class SeparatorIndex implements BlockIndex {
  first = 0;
  last = 0;
  readonly residentBytes: number;
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #heads: Int32Array;
  readonly #prefixBytes: number;
  readonly #count: number;

  constructor(bytes: Uint8Array, blockCount: number) {
    if (bytes.length < HEAD_BYTES) throw damaged("head");
    const count = getU32(bytes, 0);
    const prefixBytes = getU32(bytes, 4);
    if (count !== blockCount - 1) throw damaged("count");
    if (count + prefixBytes > bytes.length - HEAD_BYTES) throw damaged("lengths");
    const starts = new Uint32Array(count + 1);
    const reader = new VarintReader();
    let at = HEAD_BYTES + prefixBytes;
    let total = 0;
    for (let i = 0; i < count; i++) {
      const length = reader.read(bytes, at, bytes.length);
      if (length < 0 || length > bytes.length) throw damaged("length");
      at = reader.end;
      total += length;
      starts[i + 1] = total;
    }
    if (at + total !== bytes.length) throw damaged("size");
    const heads = new Int32Array(count);
    for (let i = 0; i <= count; i++) starts[i]! += at;
    for (let i = 0; i < count; i++) heads[i] = headOf(bytes, starts[i]!, starts[i + 1]!);
    this.#bytes = bytes;
    this.#starts = starts;
    this.#heads = heads;
    this.#prefixBytes = prefixBytes;
    this.#count = count;
    this.residentBytes = bytes.length + starts.byteLength + heads.byteLength;
  }

  locate(key: Uint8Array, start: number, end: number): void {
    const bytes = this.#bytes;
    const prefixBytes = this.#prefixBytes;
    const head = end - start < prefixBytes ? end : start + prefixBytes;
    let low = 0;
    const high = this.#count;
    for (let k = start, p = HEAD_BYTES; p < HEAD_BYTES + prefixBytes; k++, p++) {
      const difference = k < head ? key[k]! - bytes[p]! : -1;
      if (difference !== 0) {
        this.first = this.last = difference < 0 ? 0 : high;
        return;
      }
    }
    const heads = this.#heads;
    const wanted = headOf(key, head, end);
    let size = high;
    while (size > 0) {
      const half = (size + 1) >>> 1;
      // Goes on behind the first half when its last head is smaller: -1 is all ones.
      low += half & ((heads[low + half - 1]! - wanted) >> 31);
      size -= half;
    }
    if (low < high && heads[low] === wanted) low = this.#searchRun(low, wanted, key, head, end);
    this.first = this.last = low;
  }

  /** Returns the number of separators <= key, of which those from `from` on have its head. */
  #searchRun(from: number, wanted: number, key: Uint8Array, head: number, end: number): number {
    const bytes = this.#bytes;
    const heads = this.#heads;
    const starts = this.#starts;
    const count = this.#count;
    let step = 1;
    while (from + step < count && heads[from + step] === wanted) step *= 2;
    let low = from;
    let high = from + step < count ? from + step : count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let s = starts[middle]!;
      const e = starts[middle + 1]!;
      let k = head;
      let difference = 0;
      while (s < e && k < end) {
        difference = bytes[s]! - key[k]!;
        if (difference !== 0) break;
        s++;
        k++;
      }
      if (difference === 0) difference = e - s - (end - k);
      if (difference <= 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Returns the first 31 bits of bytes[start, end), zeros behind its end: never descends with the key. */
function headOf(bytes: Uint8Array, start: number, end: number): number {
  let head = 0;
  const limit = start + 4;
  for (let at = start; at < limit; at++) head = (head << 8) | (at < end ? bytes[at]! : 0);
  return head >>> 1;
}

function damaged(what: string): AuraError {
  return new AuraError("AURA_CORRUPTION", `separators: ${what}`);
}

/** The format that every table carries. */
export const separatorIndex: BlockIndexFormat = {
  name: "separators",
  builder: () => new SeparatorIndexBuilder(),
  decode: (bytes, blockCount) => new SeparatorIndex(bytes, blockCount),
};
