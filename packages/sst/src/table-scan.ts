/**
 * A forward scan over one table, block by block, for merges: what a merge asks of every entry
 * stands in columns (order heads, row starts), so that who merges works on numbers and copies
 * ranges, without a call or an object per entry.
 *
 * Reads are synchronous, in large pieces, past the cache. The window and the unpacked block lie in
 * memory that the caller lends; a scan whose rows lie in the same array as the writer's blocks lets
 * rows be copied inside one array, which costs a third of a copy between two. A block that does not
 * fit gets memory of its own.
 *
 * A block passes its checksum and `checkBlock` before its columns are filled; that its keys ascend
 * is for the taker to check.
 */
import {
  Codec,
  compareBytes,
  corruption,
  type FileSystem,
  getU32,
  getU56,
  Kind,
  type Uid,
} from "@aura/base";
import { BLOCK_KEY_BYTES_MAX } from "./block-layout.ts";
import { BlockLocator } from "./block-locator.ts";
import { BlockReader } from "./block-reader.ts";
import { BLOCK_TRAILER_BYTES } from "./format.ts";
import { separatorIndex } from "./separator-index.ts";
import { type RawBlock, TableFile, type TableIdentity } from "./table-file.ts";

/** Memory that somebody lends: bytes[start, end). */
export interface LentBytes {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** How a scan reads. */
export interface TableScanOptions {
  /** Read window. Not used by anybody else while the scan lives. */
  readonly window: LentBytes;
  /** Where compressed blocks are unpacked to. */
  readonly unpacked: LentBytes;
  /** What all keys of all tables of the merge begin with: order heads begin behind it. */
  readonly shared: Uint8Array;
  /** First key that counts, inclusive; the scan begins at its newest version. Default: all. */
  readonly from?: Uint8Array | undefined;
  /** First key that does not count any more. Default: none. */
  readonly to?: Uint8Array | undefined;
}

/** Bytes of a key in one number: 48 bits. */
const NUMBER_BYTES = 6;
/** What a byte is worth by its place from the end. */
const WEIGHTS: Float64Array = Float64Array.from({ length: NUMBER_BYTES + 1 }, (_, i) => 256 ** i);
const NO_BYTES = new Uint8Array(0);

/** Columns of the current block of a table. Entries `at` to `count` are still to be taken. */
export class TableScan {
  /** Entries of the block that count, those already taken included. */
  count = 0;
  /** The next entry; the owner moves it. */
  at = 0;
  /**
   * Six bytes of each key behind the shared ones, as a number, zeros behind the key's end. Keys
   * ascend as these do; equal ones say nothing. `tailAt` tells of the six bytes behind.
   */
  heads: Float64Array = new Float64Array(256);
  /** Row i (trailer, then value) is bytes[rowStarts[i], rowStarts[i + 1]). */
  bytes: Uint8Array = NO_BYTES;
  rowStarts: Int32Array = new Int32Array(257);
  /** The suffix of key i is bytes[suffixStarts[i], suffixStarts[i + 1]); the prefix: see `reader`. */
  suffixStarts: Int32Array = new Int32Array(257);
  /** Whether any entry of the block is a tombstone, or a pointer. */
  hasDeletes = false;
  hasPointers = false;
  /** The whole block counts: none of its entries lies outside of the range of the scan. */
  isWhole = false;
  readonly sharedBytes: number;
  /** The raw block, and as it is stored, trailer included: stored[storedStart, storedEnd). */
  readonly reader: BlockReader = new BlockReader();
  stored: Uint8Array = NO_BYTES;
  storedStart = 0;
  storedEnd = 0;
  rawBytes = 0;
  #tails: Float64Array = new Float64Array(256);
  #hasTails = false;
  readonly #file: TableFile;
  readonly #options: TableScanOptions;
  readonly #raw: RawBlock = { bytes: NO_BYTES, start: 0, end: 0 };
  #next = 0;
  #window: Uint8Array;
  #windowStart: number;
  #windowFirst = 0;
  #windowEnd = 0;

  private constructor(file: TableFile, options: TableScanOptions) {
    this.#file = file;
    this.#options = options;
    this.sharedBytes = options.shared.length;
    this.#window = options.window.bytes;
    this.#windowStart = options.window.start;
    const { from } = options;
    if (from === undefined) return;
    // The separators lead to the newest version of a key, whatever spans blocks.
    const locator = new BlockLocator(file, separatorIndex.name, []);
    locator.start(from, 0, from.length);
    this.#next = locator.block;
  }

  /**
   * Opens a table for a scan and stands in front of the first block of the range. Of the sections
   * only the block map is read, and the separators where the range has a beginning. Throws
   * AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_NOT_FOUND, AURA_IO.
   */
  static openSync(fs: FileSystem, identity: TableIdentity, options: TableScanOptions): TableScan {
    const file = new TableFile(fs, identity);
    try {
      return new TableScan(file, options);
    } catch (error) {
      file.closeSync();
      throw error;
    }
  }

  /** Closes the file. Idempotent. */
  closeSync(): void {
    this.#file.closeSync();
  }

  get uid(): Uid {
    return this.#file.uid;
  }

  /** Codec of the stored block. */
  get codec(): number {
    return this.stored[this.storedEnd - BLOCK_TRAILER_BYTES]!;
  }

  /** Stored checksum, without what binds it to its place. */
  get checksum(): number {
    return getU32(this.stored, this.storedEnd - 4);
  }

  /** Offset of the current block in the file. */
  get offset(): number {
    return this.#file.offsets.at(this.#next - 1);
  }

  /** Bytes from a key's beginning that shared bytes, head and tail tell of together. */
  get numberedBytes(): number {
    return this.sharedBytes + 2 * NUMBER_BYTES;
  }

  /** Returns what stands behind the head of entry `i`, as a number of the same kind. */
  tailAt(i: number): number {
    if (!this.#hasTails) {
      this.#fillNumbers(this.#tails, this.sharedBytes + NUMBER_BYTES);
      this.#hasTails = true;
    }
    return this.#tails[i]!;
  }

  /** Returns the sequence of entry `i`. */
  seqAt(i: number): number {
    return getU56(this.bytes, this.rowStarts[i]!);
  }

  /** Returns the tag of entry `i`. */
  tagAt(i: number): number {
    return this.bytes[this.rowStarts[i]! + 7]!;
  }

  /** Returns the length of the key of entry `i`. */
  keyBytesAt(i: number): number {
    const { suffixStarts } = this;
    return this.reader.prefixBytes + suffixStarts[i + 1]! - suffixStarts[i]!;
  }

  /** Copies the key of entry `i` to `target` at `at`; returns the place behind it. */
  copyKey(i: number, target: Uint8Array, at: number): number {
    const { reader, bytes } = this;
    let to = at;
    const prefixEnd = reader.prefixAt + reader.prefixBytes;
    for (let from = reader.prefixAt; from < prefixEnd; from++) target[to++] = bytes[from]!;
    const suffixEnd = this.suffixStarts[i + 1]!;
    for (let from = this.suffixStarts[i]!; from < suffixEnd; from++) target[to++] = bytes[from]!;
    return to;
  }

  /** Compares the key of entry `i` with key[start, end). */
  compareKey(i: number, key: Uint8Array, start: number, end: number): number {
    return this.reader.compareEntryKey(i, key, start, end);
  }

  /**
   * Goes on to the next block of the range that has entries in it. Returns false at the end.
   * Throws AURA_CORRUPTION, AURA_UNSUPPORTED, AURA_IO.
   */
  nextBlock(): boolean {
    const { from, to } = this.#options;
    while (this.#next < this.#file.blockCount) {
      this.#openBlock(this.#next++);
      this.#fillColumns();
      this.isWhole = true;
      if (from !== undefined && this.#compare(0, from) < 0) {
        this.isWhole = false;
        this.at = this.#lowerBound(from);
      }
      if (to !== undefined && this.#compare(this.count - 1, to) >= 0) {
        this.isWhole = false;
        this.count = this.#lowerBound(to);
        this.#next = this.#file.blockCount;
      }
      if (this.at < this.count) return true;
    }
    return false;
  }

  /** Puts the raw block under the reader. */
  #openBlock(block: number): void {
    const file = this.#file;
    const { offsets } = file;
    if (block < this.#windowFirst || block >= this.#windowEnd) this.#readFrom(block);
    const start = this.#windowStart + offsets.at(block) - offsets.at(this.#windowFirst);
    const end = start + offsets.at(block + 1) - offsets.at(block);
    const raw = this.#raw;
    file.openBlock(block, this.#window, start, end, raw);
    this.stored = this.#window;
    this.storedStart = start;
    this.storedEnd = end;
    this.rawBytes = raw.end - raw.start;
    if (this.codec !== Codec.none) {
      const { unpacked } = this.#options;
      if (this.rawBytes <= unpacked.end - unpacked.start) {
        unpacked.bytes.set(raw.bytes.subarray(raw.start, raw.end), unpacked.start);
        raw.bytes = unpacked.bytes;
        raw.start = unpacked.start;
        raw.end = unpacked.start + this.rawBytes;
      }
    }
    this.reader.open(raw.bytes, raw.start, raw.end);
  }

  /** Reads blocks from `block` on, as many as fit into the window, at least one. */
  #readFrom(block: number): void {
    const { offsets, blockCount } = this.#file;
    const { window } = this.#options;
    const offset = offsets.at(block);
    const room = window.end - window.start;
    let end = block + 1;
    while (end < blockCount && offsets.at(end + 1) - offset <= room) end++;
    const length = offsets.at(end) - offset;
    this.#windowFirst = this.#windowEnd = 0;
    if (length <= room) {
      this.#window = window.bytes;
      this.#windowStart = window.start;
    } else {
      this.#window = new Uint8Array(length);
      this.#windowStart = 0;
    }
    const target = this.#window.subarray(this.#windowStart, this.#windowStart + length);
    this.#file.readSync(offset, target);
    this.#windowFirst = block;
    this.#windowEnd = end;
  }

  #fillColumns(): void {
    const reader = this.reader;
    const count = reader.count;
    this.at = 0;
    this.count = count;
    this.bytes = reader.bytes;
    const keyBytes = count * reader.prefixBytes + reader.suffixBytes;
    if (keyBytes > BLOCK_KEY_BYTES_MAX) {
      throw corruption(this.#file.path, this.offset, "keys of a data block too long");
    }
    const { shared } = this.#options;
    const { prefixAt } = reader;
    const isShared =
      reader.prefixBytes >= shared.length &&
      compareBytes(shared, 0, shared.length, reader.bytes, prefixAt, prefixAt + shared.length) ===
        0;
    if (!isShared) {
      throw corruption(this.#file.path, this.offset, "keys outside of the bounds of the tables");
    }
    if (count > this.heads.length) this.#grow(count);
    this.#hasTails = false;
    for (let i = 0; i <= count; i++) this.suffixStarts[i] = reader.suffixAt(i);
    this.#fillNumbers(this.heads, shared.length);
    this.#fillRows();
  }

  /** Fills a column with six bytes of each key, from byte `from` on. */
  #fillNumbers(numbers: Float64Array, from: number): void {
    const { reader, count, suffixStarts } = this;
    const { bytes, prefixAt, prefixBytes } = reader;
    // What stands in the block's prefix is the same for all.
    const common = Math.min(Math.max(prefixBytes - from, 0), NUMBER_BYTES);
    const fixed = numberOf(bytes, prefixAt + from, prefixAt + prefixBytes);
    const rest = NUMBER_BYTES - common;
    if (rest === 0) {
      numbers.fill(fixed, 0, count);
      return;
    }
    const skip = Math.max(from - prefixBytes, 0);
    for (let i = 0; i < count; i++) {
      let at = suffixStarts[i]! + skip;
      const end = suffixStarts[i + 1]!;
      const stop = at + rest < end ? at + rest : end;
      const length = stop - at;
      const middle = length > 3 ? at + 3 : stop;
      let high = 0;
      while (at < middle) high = (high << 8) | bytes[at++]!;
      let low = 0;
      while (at < stop) low = (low << 8) | bytes[at++]!;
      const number = length > 3 ? high * WEIGHTS[length - 3]! + low : high;
      numbers[i] = fixed + (length > 0 ? number * WEIGHTS[rest - length]! : 0);
    }
  }

  #fillRows(): void {
    const { reader, rowStarts, count, bytes } = this;
    let tags = 0;
    for (let i = 0; i < count; i++) {
      const at = reader.rowAt(i);
      rowStarts[i] = at;
      tags |= 1 << bytes[at + 7]!;
    }
    rowStarts[count] = reader.rowAt(count);
    this.hasDeletes = (tags & (1 << Kind.delete)) !== 0;
    this.hasPointers = (tags & (1 << Kind.pointer)) !== 0;
  }

  #grow(count: number): void {
    const size = Math.max(count, this.heads.length * 2);
    this.suffixStarts = new Int32Array(size + 1);
    this.rowStarts = new Int32Array(size + 1);
    this.heads = new Float64Array(size);
    this.#tails = new Float64Array(size);
  }

  /** Returns the first entry whose key is not below `key`, or `count`. */
  #lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(middle, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(i: number, key: Uint8Array): number {
    return this.reader.compareEntryKey(i, key, 0, key.length);
  }
}

/** Returns six bytes from `start` on as a number, zeros behind `end`. */
function numberOf(bytes: Uint8Array, start: number, end: number): number {
  let number = 0;
  for (let at = start; at < start + NUMBER_BYTES; at++) {
    number = number * 256 + (at < end ? bytes[at]! : 0);
  }
  return number;
}
