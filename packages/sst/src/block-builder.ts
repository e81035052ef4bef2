/**
 * Builds data blocks, one behind the other, in one buffer that the table writer drains.
 *
 * `bytes[sealedStart, sealedEnd)` are finished blocks. The open block stages its keys apart and puts its rows
 * (trailer and value) behind `sealedEnd`; they move to the block's end when it is sealed. All buffers
 * are kept and reused; nothing is allocated per entry.
 */
import {
  assert,
  type Codec,
  Codec as Codecs,
  compareBytes,
  decompress,
  getU32,
  getU56,
  hashKey,
  Kind,
  placeMix,
  putTrailer,
  putU16,
  putU32,
  putU56,
  TRAILER_BYTES,
  type Uid,
} from "@aura/base";
import type { BlockCut } from "./block-cut.ts";
import {
  BLOCK_ENTRIES_MAX,
  BLOCK_KEY_BYTES_MAX,
  BlockFlag,
  HEAD_BYTES,
  Head,
  isEven,
  MARKED_ENTRIES_MAX,
  markOf,
  NARROW_ROW_BYTES_MAX,
  rowStartsBytes,
} from "./block-layout.ts";
import { BlockPacker } from "./block-packer.ts";
import type { BlockTally } from "./block-tally.ts";
import { copyBytes, copyOf, copyRange } from "./copy-bytes.ts";
import { BLOCK_RAW_BYTES_MAX, BLOCK_TRAILER_BYTES, putBlockTrailer } from "./format.ts";
import type { ScanPlan } from "./scan-plan.ts";
import type { LentBytes, TableScan } from "./table-scan.ts";
import type { TableSettings } from "./table-writer.ts";

/** Compressed bytes are kept when they are at most this share of the raw ones. */
const COMPRESSED_SHARE_MAX = 0.875;
/** Raw length in front of compressed bytes. */
export const RAW_LENGTH_BYTES = 4;
/** A buffer of the builder's own. */
const OWN_BYTES = 384 * 1024;
const NO_BYTES = new Uint8Array(0);

const IN_ORDER = "entries in internal order";

/** Builds data blocks of one file. */
export class BlockBuilder {
  bytes: Uint8Array;
  sealedStart: number;
  sealedEnd: number;
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
  readonly #marks = new Uint8Array(MARKED_ENTRIES_MAX);
  /** The block that was reviewed last has marks. */
  #isMarked = false;
  #keyBytes = 0;
  #rowBytes = 0;
  #prefixBytes = 0;
  #lower: Uint8Array = NO_BYTES;
  #continued = false;
  #previousSeq = 0;
  /** The block sealed last, if it was copied: its keys and ends are still staged. */
  #copied:
    | {
        readonly start: number;
        readonly count: number;
        readonly codec: Codec;
        readonly lower: Uint8Array;
      }
    | undefined;
  readonly #cut: BlockCut;
  readonly #codec: Codec;
  readonly #packer: BlockPacker;
  readonly #uid: Uid;
  readonly #lent: LentBytes | undefined;
  /** Where the buffer ends in `bytes`. */
  #bytesEnd: number;

  /** `lent` is the builder's alone while it lives; a block that does not fit gets other memory. */
  constructor(
    cut: BlockCut,
    { codec, dictionaryBytes }: Pick<TableSettings, "codec" | "dictionaryBytes">,
    uid: Uid,
    lent: LentBytes | undefined,
  ) {
    this.#cut = cut;
    this.#codec = codec;
    this.#packer = new BlockPacker(codec, dictionaryBytes);
    this.#uid = uid;
    this.#lent = lent;
    this.bytes = lent?.bytes ?? new Uint8Array(OWN_BYTES);
    this.sealedStart = this.sealedEnd = lent?.start ?? 0;
    this.#bytesEnd = lent?.end ?? OWN_BYTES;
  }

  /** What sealed blocks were compressed with; empty without a dictionary. */
  get dictionary(): Uint8Array {
    return this.#packer.dictionary;
  }

  /** Bytes of the sealed blocks. */
  get sealedBytes(): number {
    return this.sealedEnd - this.sealedStart;
  }

  /** Raw bytes of the open block, without tail and bounds. */
  get openBytes(): number {
    return this.#rowBytes + this.#keyBytes + this.count * 4;
  }

  /** Raw bytes of the open block as they count against its size. */
  get sizeBytes(): number {
    const keyBytes = this.#keyBytes - this.count * this.#prefixBytes + this.#lower.length;
    return this.#rowBytes + keyBytes + (this.count + 1) * 4 + HEAD_BYTES + BLOCK_TRAILER_BYTES;
  }

  /** Sequence of the last entry of the open block. Precondition: it is not empty. */
  get lastSeq(): number {
    const { count } = this;
    return getU56(this.bytes, this.sealedEnd + (count > 1 ? this.#rowEnds[count - 2]! : 0));
  }

  /**
   * Returns whether the open block has room for an entry whose key shares `common` bytes with the
   * key before, and need not end before it. An empty block has room for any entry.
   */
  hasRoom(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    valueBytes: number,
    common: number,
  ): boolean {
    const count = this.count;
    if (count === 0) return true;
    const keyBytes = keyEnd - keyStart;
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
      bytes <= this.#cut.room &&
      count < BLOCK_ENTRIES_MAX &&
      this.#keyBytes + keyBytes <= BLOCK_KEY_BYTES_MAX &&
      (bytes < this.#cut.from || !this.#cut.isPast(key, keyStart, keyEnd, prefixBytes))
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
    const at = this.#reserve(rowAt, rowBytes);
    putTrailer(this.bytes, at, seq, tag);
    copyRange(this.bytes, at + TRAILER_BYTES, value, valueStart, valueEnd);
    this.#rowBytes += rowBytes;
    if (count === this.#keyEnds.length) this.#growEnds();
    this.#keyEnds[count] = this.#keyBytes;
    this.#rowEnds[count] = this.#rowBytes;
    this.count = count + 1;
  }

  /**
   * Adds what a plan has still to be taken, as far as there is room; into an empty block goes at
   * least one entry. Returns whether that was all. `review` checks the order of the entries.
   */
  addPlan(plan: ScanPlan): boolean {
    const { keys } = this;
    const { scans, inputs, froms, tos } = plan;
    const cut = this.#cut;
    const overhead = this.#lower.length + HEAD_BYTES + BLOCK_TRAILER_BYTES + 8;
    const room = cut.room - overhead;
    const cutFrom = cut.from - overhead;
    let count = this.count;
    let keyEnd = count === 0 ? 0 : this.#keyBytes;
    let rowEnd = this.#rowBytes;
    let prefixBytes = this.#prefixBytes;
    let { lastKeyStart } = this;
    let range = plan.next;
    let i = plan.entry;
    let hasRoom = true;
    while (range < plan.count && hasRoom) {
      const scan = scans[inputs[range]!]!;
      const to = tos[range]!;
      const { bytes, rowStarts, suffixStarts, sharedBytes } = scan;
      const { prefixAt } = scan.reader;
      const prefixEnd = prefixAt + scan.reader.prefixBytes;
      const rowsFrom = rowStarts[i]!;
      const rowOffset = rowEnd - rowsFrom;
      for (; i < to; i++) {
        const keyStart = keyEnd;
        const suffixEnd = suffixStarts[i + 1]!;
        let suffix = suffixStarts[i]!;
        if (keyStart + prefixEnd - prefixAt + suffixEnd - suffix > BLOCK_KEY_BYTES_MAX) break;
        let end = keyStart;
        for (let prefix = prefixAt; prefix < prefixEnd; prefix++) keys[end++] = bytes[prefix]!;
        for (; suffix < suffixEnd; suffix++) keys[end++] = bytes[suffix]!;
        const rowStop = rowStarts[i + 1]! + rowOffset;
        if (count === 0) prefixBytes = end;
        else {
          // Keys ascend: what the first and the last one share, all share.
          const limit = end - keyStart < prefixBytes ? end - keyStart : prefixBytes;
          let common = sharedBytes < limit ? sharedBytes : limit;
          while (common < limit && keys[common] === keys[keyStart + common]) common++;
          const blockBytes = rowStop + end + count * (4 - common);
          if (blockBytes > room || count === BLOCK_ENTRIES_MAX) break;
          if (blockBytes >= cutFrom && cut.isPast(keys, keyStart, end, common)) break;
          prefixBytes = common;
        }
        if (count === this.#keyEnds.length) this.#growEnds();
        this.#keyEnds[count] = end;
        this.#rowEnds[count] = rowStop;
        count++;
        lastKeyStart = keyStart;
        keyEnd = end;
      }
      const rowsEnd = rowStarts[i]!;
      if (rowsEnd > rowsFrom) {
        let at = this.sealedEnd + rowEnd;
        if (at + rowsEnd - rowsFrom > this.#bytesEnd) {
          this.#rowBytes = rowEnd;
          at = this.#reserve(at, rowsEnd - rowsFrom);
        }
        copyRange(this.bytes, at, bytes, rowsFrom, rowsEnd);
        rowEnd = rowsEnd + rowOffset;
      }
      if (i === to) {
        range++;
        i = range < plan.count ? froms[range]! : 0;
      } else hasRoom = false;
    }
    plan.next = range;
    plan.entry = i;
    this.count = count;
    this.lastKeyStart = lastKeyStart;
    this.lastKeyEnd = this.#keyBytes = keyEnd;
    this.#rowBytes = rowEnd;
    this.#prefixBytes = prefixBytes;
    return hasRoom;
  }

  /**
   * Ends the open block, which will stand at `offset` of the file, and returns its stored length,
   * trailer included. The block behind begins with `upper` (shortest separator between the two) or,
   * when `continues`, with further versions of this block's last key; `seq` is this block's last
   * sequence. `last`: no block follows.
   */
  seal(offset: number, upper: Uint8Array, continues: boolean, seq: number, last: boolean): number {
    const raw = this.#finishRaw(upper, continues, last);
    const start = this.sealedEnd;
    if (raw - start > this.rawBytesMax) this.rawBytesMax = raw - start;
    let end = raw;
    let codec: number = Codecs.none;
    if (this.#codec !== Codecs.none) {
      const packed = this.#packer.pack(this.bytes.subarray(start, raw));
      const limit = (raw - start) * COMPRESSED_SHARE_MAX - RAW_LENGTH_BYTES;
      if (packed !== undefined && packed.length <= limit) {
        putU32(this.bytes, start, raw - start);
        this.bytes.set(packed, start + RAW_LENGTH_BYTES);
        end = start + RAW_LENGTH_BYTES + packed.length;
        codec = this.#packer.codec;
      }
    }
    this.sealedEnd = putBlockTrailer(this.bytes, start, end, codec, this.#uid, offset);
    this.#copied = undefined;
    this.#begin(upper, continues, continues ? seq : 0);
    return this.sealedEnd - start;
  }

  /** Begins a block behind the one that was sealed. */
  #begin(lower: Uint8Array, continued: boolean, previousSeq: number): void {
    this.count = 0;
    this.#keyBytes = 0;
    this.#rowBytes = 0;
    this.#lower = lower;
    this.#continued = continued;
    this.#previousSeq = previousSeq;
  }

  /**
   * Puts the block of a scan, as it is stored, behind the sealed ones, where it will stand at `offset`
   * of the file. Its entries go into `tally`, as by `review`. Returns its stored length.
   * Preconditions: the open block is empty, and `isNeighbour`.
   */
  copyBlock(scan: TableScan, offset: number, tally: BlockTally): number {
    const { reader, rowStarts, count, stored, storedStart, storedEnd } = scan;
    const rowBase = rowStarts[0]!;
    let keyEnd = 0;
    while (count > this.#keyEnds.length) this.#growEnds();
    for (let i = 0; i < count; i++) {
      this.lastKeyStart = keyEnd;
      keyEnd = scan.copyKey(i, this.keys, keyEnd);
      this.#keyEnds[i] = keyEnd;
      this.#rowEnds[i] = rowStarts[i + 1]! - rowBase;
    }
    this.count = count;
    this.#prefixBytes = reader.prefixBytes;
    this.lastKeyEnd = keyEnd;
    this.#review(tally, scan.bytes, rowBase);
    const start = this.#reserve(this.sealedEnd, storedEnd - storedStart);
    const end = start + storedEnd - storedStart;
    copyRange(this.bytes, start, stored, storedStart, storedEnd);
    const mix = placeMix(scan.uid, scan.offset) ^ placeMix(this.#uid, offset);
    putU32(this.bytes, end - 4, (scan.checksum ^ mix) >>> 0);
    if (scan.rawBytes > this.rawBytesMax) this.rawBytesMax = scan.rawBytes;
    this.#copied = { start, count, codec: scan.codec as Codec, lower: this.#lower };
    this.sealedEnd = end;
    const upperAt = reader.lowerAt + reader.lowerBytes;
    this.#begin(copyOf(reader.bytes, upperAt, upperAt + reader.upperBytes), false, 0);
    return end - start;
  }

  /**
   * Opens the block sealed last again, which was copied: it will be the last one, and has to say so.
   * Preconditions: the open block is empty, nothing was drained since.
   */
  reopen(): void {
    const copied = this.#copied;
    assert(copied !== undefined && this.count === 0, "a copied block is opened again");
    const { start, count, codec, lower } = copied;
    const rowBytes = this.#rowEnds[count - 1]!;
    const end = this.sealedEnd - BLOCK_TRAILER_BYTES;
    this.sealedEnd = start;
    if (codec === Codecs.none) this.bytes.copyWithin(start, end - rowBytes, end);
    else {
      const packed = this.bytes.slice(start + RAW_LENGTH_BYTES, end);
      const raw = decompress(codec, packed, getU32(this.bytes, start));
      const at = this.#reserve(start, rowBytes);
      this.bytes.set(raw.subarray(raw.length - rowBytes), at);
    }
    this.#begin(lower, false, 0);
    this.count = count;
    this.#keyBytes = this.lastKeyEnd;
    this.#rowBytes = rowBytes;
  }

  /** Returns whether a block begins where the one sealed last ends. */
  isNeighbour({ reader }: TableScan): boolean {
    const { bytes, lowerAt, lowerBytes } = reader;
    const lower = this.#lower;
    const order = compareBytes(lower, 0, lower.length, bytes, lowerAt, lowerAt + lowerBytes);
    return order === 0 && !this.#continued;
  }

  /**
   * Goes over the open block, when it is full: throws unless its entries are in internal order, and
   * sums them up into `tally`, which gets the hash of every user key that the block before does not
   * end with.
   */
  review(tally: BlockTally): void {
    this.#review(tally, this.bytes, this.sealedEnd);
  }

  #review(tally: BlockTally, bytes: Uint8Array, rowBase: number): void {
    const { keys, count } = this;
    const keyEnds = this.#keyEnds;
    const rowEnds = this.#rowEnds;
    const { hashes, hashSeed, prefixBytes } = tally;
    const from = this.#prefixBytes;
    let { hashCount, smallestSeq, largestSeq, deleteCount } = tally;
    let previousSeq = 0;
    let previousStart = 0;
    let keyStart = 0;
    let row = rowBase;
    const marks = this.#marks;
    // Compressed blocks have none: marks are noise, a byte per entry.
    const isShort = count <= MARKED_ENTRIES_MAX && this.#codec === Codecs.none;
    const isMarked = isShort && hashes !== undefined && !this.#continued;
    this.#isMarked = isMarked;
    for (let i = 0; i < count; i++) {
      const keyEnd = keyEnds[i]!;
      const seq = getU56(bytes, row);
      if (seq < smallestSeq) smallestSeq = seq;
      if (seq > largestSeq) largestSeq = seq;
      if (bytes[row + 7] === Kind.delete) deleteCount++;
      row = rowBase + rowEnds[i]!;
      let isNewKey = i > 0 || !this.#continued;
      let common = 0;
      if (i > 0) {
        // In front of `from` all are the same.
        const length = keyEnd - keyStart;
        const previousLength = keyStart - previousStart;
        const limit = length < previousLength ? length : previousLength;
        let at = from;
        while (at < limit && keys[previousStart + at] === keys[keyStart + at]) at++;
        common = at;
        if (at === limit) {
          isNewKey = length > previousLength;
          assert(isNewKey || (length === previousLength && seq < previousSeq), IN_ORDER);
        } else assert(keys[previousStart + at]! < keys[keyStart + at]!, IN_ORDER);
      }
      if (isNewKey && hashes !== undefined) {
        const hash = hashKey(keys, keyStart, keyEnd, hashSeed);
        hashes[hashCount++] = hash;
        if (isMarked) marks[i] = markOf(hash);
        // `common` is what a key shares with the one before, which has put their prefix in.
        if (prefixBytes > common && keyEnd - keyStart >= prefixBytes) {
          hashes[hashCount++] = hashKey(keys, keyStart, keyStart + prefixBytes, hashSeed);
        }
      }
      if (isMarked && !isNewKey) marks[i] = marks[i - 1]!;
      previousSeq = seq;
      previousStart = keyStart;
      keyStart = keyEnd;
    }
    tally.hashCount = hashCount;
    tally.smallestSeq = smallestSeq;
    tally.largestSeq = largestSeq;
    tally.deleteCount = deleteCount;
    tally.lastSeq = previousSeq;
    tally.keyBytes += keyStart;
    tally.valueBytes += row - rowBase - count * TRAILER_BYTES;
  }

  /** Forgets the sealed blocks: they are written. Precondition: the open block is empty. */
  drain(): void {
    this.#copied = undefined;
    if (this.#lent !== undefined && this.bytes !== this.#lent.bytes) {
      this.bytes = this.#lent.bytes;
      this.sealedStart = this.#lent.start;
      this.#bytesEnd = this.#lent.end;
    }
    this.sealedEnd = this.sealedStart;
  }

  /** Writes the open block to its end, rows last. Returns where it ends in `bytes`. */
  #finishRaw(upper: Uint8Array, continues: boolean, last: boolean): number {
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
      (wide ? BlockFlag.wideRows : 0) |
      (this.#isMarked ? BlockFlag.marked : 0);
    const marksBytes = this.#isMarked ? count : 0;
    const front =
      HEAD_BYTES +
      marksBytes +
      (evenKeys ? 0 : (count + 1) * 2) +
      prefixBytes +
      suffixBytes +
      rowStartsBytes(flags, count) +
      lower.length +
      upper.length;
    const start = this.#reserve(this.sealedEnd, front + rowBytes + BLOCK_TRAILER_BYTES);
    const end = start + front + rowBytes;
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
    for (let i = 0; i < marksBytes; i++) bytes[at++] = this.#marks[i]!;
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

  /**
   * Makes room for `length` bytes at `at`, which lies behind all that counts but for the open rows.
   * Returns where that place is now.
   */
  #reserve(at: number, length: number): number {
    if (at + length <= this.#bytesEnd) return at;
    const start = this.sealedStart;
    const used = this.sealedEnd + this.#rowBytes - start;
    const size = Math.max(
      at + length - start,
      Math.min((this.#bytesEnd - start) * 2, BLOCK_RAW_BYTES_MAX),
    );
    const grown = new Uint8Array(size);
    grown.set(this.bytes.subarray(start, start + used));
    this.bytes = grown;
    this.sealedStart = 0;
    this.sealedEnd -= start;
    this.#bytesEnd = size;
    if (this.#copied !== undefined) {
      this.#copied = { ...this.#copied, start: this.#copied.start - start };
    }
    return at - start;
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
