/**
 * Reads one data block: binary search, and what the block proves about a key.
 *
 * A reader is a reusable window on bytes that it does not own. It trusts them: a block passes
 * `checkBlock` once, when it comes from disk. No call allocates.
 */
import { getU16, getU32, getU56 } from "@aura/base";
import { BlockFlag, HEAD_BYTES, Head, rowStartsBytes } from "./block-layout.ts";
import { copyBytes } from "./copy-bytes.ts";

const NO_BYTES = new Uint8Array(0);

/** A window on one data block. Positions are offsets in `bytes`; entries count from 0. */
export class BlockReader {
  bytes: Uint8Array = NO_BYTES;
  count = 0;
  prefixAt = 0;
  prefixBytes = 0;
  /** Set by `search`: the entry at the place is a version of the key that was sought. */
  found = false;
  #flags = 0;
  #suffixesAt = 0;
  #suffixBytes = 0;
  /** Length of each suffix, or -1: see the key starts. */
  #suffixWidth = 0;
  #keyStartsAt = 0;
  /** Where the marks begin; 0 without them. */
  #marksAt = 0;
  #rowsAt = 0;
  /** Length of each row, or -1: see the row starts. */
  #rowWidth = 0;
  #rowStartsAt = 0;
  #lowerBytes = 0;
  #upperBytes = 0;
  #previousSeq = 0;

  /** Puts the window on the block `bytes[start, end)`, which has passed `checkBlock`. */
  open(bytes: Uint8Array, start: number, end: number): void {
    const count = getU16(bytes, start);
    const flags = bytes[start + Head.flags]!;
    const prefixBytes = getU16(bytes, start + Head.prefixBytes);
    const suffixBytes = getU16(bytes, start + Head.suffixBytes);
    const evenKeys = (flags & BlockFlag.evenKeys) !== 0;
    const isMarked = (flags & BlockFlag.marked) !== 0;
    const keyStartsAt = start + HEAD_BYTES + (isMarked ? count : 0);
    const prefixAt = keyStartsAt + (evenKeys ? 0 : (count + 1) * 2);
    const suffixesAt = prefixAt + prefixBytes;
    this.bytes = bytes;
    this.count = count;
    this.prefixAt = prefixAt;
    this.prefixBytes = prefixBytes;
    this.#flags = flags;
    this.#suffixesAt = suffixesAt;
    this.#suffixBytes = suffixBytes;
    this.#suffixWidth = evenKeys ? getU16(bytes, start + Head.suffixWidth) : -1;
    this.#keyStartsAt = keyStartsAt;
    this.#marksAt = isMarked ? start + HEAD_BYTES : 0;
    this.#rowsAt = end - getU32(bytes, start + Head.rowBytes);
    this.#rowWidth = (flags & BlockFlag.evenRows) !== 0 ? getU32(bytes, start + Head.rowWidth) : -1;
    this.#rowStartsAt = suffixesAt + suffixBytes;
    this.#lowerBytes = getU16(bytes, start + Head.lowerBytes);
    this.#upperBytes = getU16(bytes, start + Head.upperBytes);
    this.#previousSeq =
      (flags & BlockFlag.continued) === 0 ? 0 : getU56(bytes, start + Head.previousSeq);
  }

  /** The first entry is a further version of the last user key of the block before. */
  get continued(): boolean {
    return (this.#flags & BlockFlag.continued) !== 0;
  }

  /** The block behind begins with further versions of this block's last user key. */
  get continues(): boolean {
    return (this.#flags & BlockFlag.continues) !== 0;
  }

  /** No block follows. */
  get last(): boolean {
    return (this.#flags & BlockFlag.last) !== 0;
  }

  get previousSeq(): number {
    return this.#previousSeq;
  }

  /** Bytes of all suffixes. */
  get suffixBytes(): number {
    return this.#suffixBytes;
  }

  /** Bytes that no suffix exceeds. */
  get suffixBytesMax(): number {
    return this.#suffixWidth >= 0 ? this.#suffixWidth : this.#suffixBytes;
  }

  /** Returns where the suffix of entry `i` begins; that of entry i - 1 ends there. 0 <= i <= count. */
  suffixAt(i: number): number {
    const width = this.#suffixWidth;
    if (width >= 0) return this.#suffixesAt + i * width;
    const bytes = this.bytes;
    const at = this.#keyStartsAt + i * 2;
    return this.#suffixesAt + (bytes[at]! | (bytes[at + 1]! << 8));
  }

  /** Returns where the row of entry `i` begins: trailer, then value. Row i - 1 ends there. */
  rowAt(i: number): number {
    const width = this.#rowWidth;
    if (width >= 0) return this.#rowsAt + i * width;
    const bytes = this.bytes;
    if ((this.#flags & BlockFlag.wideRows) !== 0) {
      return this.#rowsAt + getU32(bytes, this.#rowStartsAt + i * 4);
    }
    const at = this.#rowStartsAt + i * 2;
    return this.#rowsAt + (bytes[at]! | (bytes[at + 1]! << 8));
  }

  /** Returns the sequence of entry `i`. */
  seqAt(i: number): number {
    return getU56(this.bytes, this.rowAt(i));
  }

  /** Position of the lower bound, which the upper one follows. Empty in a continued block. */
  get lowerAt(): number {
    return this.#rowStartsAt + rowStartsBytes(this.#flags, this.count);
  }

  get lowerBytes(): number {
    return this.#lowerBytes;
  }

  get upperBytes(): number {
    return this.#upperBytes;
  }

  /** Returns the mark of entry `i`; -1 when the block has none. */
  markAt(i: number): number {
    return this.#marksAt === 0 ? -1 : this.bytes[this.#marksAt + i]!;
  }

  /**
   * Returns the newest version of a key with a sequence <= `seqMax`, found by its mark, or -1: then
   * `search` tells whether there is one.
   */
  findMarked(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seqMax: number,
    mark: number,
  ): number {
    const marksAt = this.#marksAt;
    if (marksAt === 0) return -1;
    const bytes = this.bytes;
    const marksEnd = marksAt + this.count;
    for (let at = marksAt; at < marksEnd; at++) {
      if (bytes[at] !== mark) continue;
      const i = at - marksAt;
      if (this.holds(i, key, keyStart, keyEnd, seqMax)) return i;
    }
    return -1;
  }

  /** Returns whether entry `i` is a version of the key with a sequence <= `seqMax`. */
  holds(i: number, key: Uint8Array, keyStart: number, keyEnd: number, seqMax: number): boolean {
    return this.#isKey(i, key, keyStart, keyEnd) && this.seqAt(i) <= seqMax;
  }

  #isKey(i: number, key: Uint8Array, keyStart: number, keyEnd: number): boolean {
    const bytes = this.bytes;
    let at = this.suffixAt(i);
    const end = this.suffixAt(i + 1);
    const prefixBytes = this.prefixBytes;
    if (keyEnd - keyStart !== prefixBytes + end - at) return false;
    for (let k = keyStart + prefixBytes; at < end; at++, k++)
      if (bytes[at] !== key[k]) return false;
    const prefixAt = this.prefixAt;
    for (let j = 0; j < prefixBytes; j++)
      if (bytes[prefixAt + j] !== key[keyStart + j]) return false;
    return true;
  }

  /**
   * Returns the place of (key, seqMax): the first entry that is not before it in the order
   * "user key ascending, sequence descending", or `count`. Sets `found`.
   */
  search(key: Uint8Array, keyStart: number, keyEnd: number, seqMax: number): number {
    const bytes = this.bytes;
    const prefixBytes = this.prefixBytes;
    const prefixAt = this.prefixAt;
    const count = this.count;
    this.found = false;
    const keyLength = keyEnd - keyStart;
    const common = prefixBytes < keyLength ? prefixBytes : keyLength;
    for (let i = 0; i < common; i++) {
      const difference = key[keyStart + i]! - bytes[prefixAt + i]!;
      if (difference !== 0) return difference < 0 ? 0 : count;
    }
    if (keyLength < prefixBytes) return 0;
    const from = keyStart + prefixBytes;
    const suffixesAt = this.#suffixesAt;
    const keyStartsAt = this.#keyStartsAt;
    const width = this.#suffixWidth;
    let low = 0;
    let high = count;
    let hit = -1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let s = suffixesAt;
      let e = suffixesAt;
      if (width >= 0) {
        s += middle * width;
        e = s + width;
      } else {
        const at = keyStartsAt + middle * 2;
        s += bytes[at]! | (bytes[at + 1]! << 8);
        e += bytes[at + 2]! | (bytes[at + 3]! << 8);
      }
      let k = from;
      let difference = 0;
      while (s < e && k < keyEnd) {
        difference = bytes[s]! - key[k]!;
        if (difference !== 0) break;
        s++;
        k++;
      }
      if (difference === 0) difference = e - s - (keyEnd - k);
      if (difference < 0) low = middle + 1;
      else if (difference > 0) high = middle;
      else if (this.seqAt(middle) > seqMax) low = middle + 1;
      else {
        high = middle;
        hit = middle;
      }
    }
    this.found = hit === low;
    return low;
  }

  /**
   * Returns what this block proves about (key, seqMax), whose place in it `search` has just
   * returned: 0 the place is here (or is the first entry of the block behind), -1 it lies in an
   * earlier block, 1 in a later one.
   */
  side(place: number, key: Uint8Array, keyStart: number, keyEnd: number, seqMax: number): number {
    if (place === 0) {
      if ((this.#flags & BlockFlag.continued) !== 0) {
        const same = this.compareEntryKey(0, key, keyStart, keyEnd) === 0;
        return same && seqMax < this.#previousSeq ? 0 : -1;
      }
      if (this.found) return 0;
      const at = this.lowerAt;
      return this.#compare(at, at + this.#lowerBytes, key, keyStart, keyEnd) > 0 ? -1 : 0;
    }
    if (place < this.count || (this.#flags & BlockFlag.last) !== 0) return 0;
    if ((this.#flags & BlockFlag.continues) !== 0) return 1;
    const at = this.lowerAt + this.#lowerBytes;
    return this.#compare(at, at + this.#upperBytes, key, keyStart, keyEnd) > 0 ? 0 : 1;
  }

  /** Returns the key of entry `i`: a copy. */
  keyAt(i: number): Uint8Array {
    const { bytes, prefixAt, prefixBytes } = this;
    const start = this.suffixAt(i);
    const end = this.suffixAt(i + 1);
    const key = new Uint8Array(prefixBytes + end - start);
    copyBytes(key, 0, bytes, prefixAt, prefixAt + prefixBytes);
    copyBytes(key, prefixBytes, bytes, start, end);
    return key;
  }

  /** Compares the key of entry `i` with another key: negative, zero or positive. */
  compareEntryKey(i: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    const prefixBytes = this.prefixBytes;
    const prefixAt = this.prefixAt;
    const head = Math.min(keyStart + prefixBytes, keyEnd);
    const order = this.#compare(prefixAt, prefixAt + prefixBytes, key, keyStart, head);
    if (order !== 0) return order;
    return this.#compare(this.suffixAt(i), this.suffixAt(i + 1), key, head, keyEnd);
  }

  #compare(at: number, end: number, key: Uint8Array, keyStart: number, keyEnd: number): number {
    const bytes = this.bytes;
    let a = at;
    let k = keyStart;
    while (a < end && k < keyEnd) {
      const difference = bytes[a++]! - key[k++]!;
      if (difference !== 0) return difference;
    }
    return end - a - (keyEnd - k);
  }
}
