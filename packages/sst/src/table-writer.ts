/**
 * Writes one table file, front to back, from entries in internal order.
 *
 * Everything is synchronous: a writer runs in a background job. Blocks are collected and written
 * in pieces of at least 256 KiB. The caller creates the file, syncs it after `finishSync`, and
 * unlinks it when anything throws: a file without a footer is no table.
 */
import {
  AuraError,
  assert,
  Codec,
  commonPrefix,
  compareBytes,
  encodeFileHeader,
  FILE_HEADER_BYTES,
  type FileHandle,
  FileType,
  isKnownTag,
  KEY_BYTES_MAX,
  SEQ_MAX,
  type Uid,
} from "@aura/base";
import { BlockBuilder } from "./block-builder.ts";
import { BlockCut } from "./block-cut.ts";
import type { BlockIndexBuilder, BlockIndexFormat } from "./block-index.ts";
import { encodeBlockMap } from "./block-map.ts";
import { DICTIONARY_BYTES_MAX } from "./block-packer.ts";
import type { BlockTally } from "./block-tally.ts";
import { copyBytes, copyOf } from "./copy-bytes.ts";
import { FILTER_HEAD_BYTES, FilterKind } from "./filter-kind.ts";
import {
  BLOCK_COUNT_MAX,
  BLOCK_RAW_BYTES_MAX,
  BLOCK_TRAILER_BYTES,
  encodeFooter,
  FOOTER_BYTES,
  putBlockTrailer,
  type Section,
} from "./format.ts";
import { buildFilter, FILTER_BITS_MAX } from "./key-filter.ts";
import {
  encodeProperties,
  INDEX_NAME_BYTES_MAX,
  PREFIX_BYTES_MAX,
  type SegmentReferences,
  type TableProperties,
  type TableSummary,
} from "./properties.ts";
import { encodeRanges } from "./range-block.ts";
import type { RangeFragments } from "./range-fragments.ts";
import type { ScanPlan } from "./scan-plan.ts";
import { separatorIndex } from "./separator-index.ts";
import type { LentBytes } from "./table-scan.ts";

/** How a table is written. */
export interface TableSettings {
  /** Target of a raw block, bytes, 64 to 1 MiB; one larger entry makes a larger block. Default 4096. */
  readonly blockBytes: number;
  /** Kept per block where it saves an eighth. Default `Codec.none`. */
  readonly codec: Codec;
  /**
   * Length of a dictionary that blocks may share, 0 (none, the default) or 256 to 65536. Only with
   * `Codec.zstd`; one that does not pay is not stored, and a table of few blocks has none.
   */
  readonly dictionaryBytes: number;
  /** Kind of the filter. Default `FilterKind.bloom`. */
  readonly filter: FilterKind;
  /**
   * Bits per user key that a Bloom filter would take, 0 (or below 1) for no filter, at most 40; a
   * Ribbon filter takes fewer for the same rate. Default 10.
   */
  readonly bloomBitsPerKey: number;
  /** The filter knows the first so many bytes of keys too, 0 (none, the default) to 255. */
  readonly prefixBytes: number;
  /** Seed of `hashKey` for the filter. Default 0. */
  readonly hashSeed: number;
  /** Block indexes to try beside the separators; the first one that pays is stored. Default none. */
  readonly index: readonly BlockIndexFormat[];
}

/** Identity of the table, and how it is written. */
export interface TableWriterOptions {
  readonly databaseUuid: Uint8Array;
  readonly uid: Uid;
  readonly number: number;
  readonly keyspace: number;
  readonly settings?: Partial<TableSettings>;
  /**
   * Memory for blocks, the writer's alone until it is finished; at least 64 KiB. Blocks are written
   * when it is nearly full. Default: memory of its own.
   */
  readonly buffer?: LentBytes | undefined;
}

/** Bytes of blocks that are written at once, at least; with lent memory, its length but one block. */
const WRITE_BYTES = 256 * 1024;
/** What is left free of lent memory when blocks are written, beside two blocks. */
const LENT_SPARE_BYTES = 16 * 1024;
/** A block less than half full is ended early for a copied one behind this many that were not. */
const SMALL_BLOCK_NEIGHBOURS = 3;
const BLOCK_BYTES_MIN = 64;
const BLOCK_BYTES_MAX = 1024 * 1024;
/** Longest value inside a table: its block stays below `BLOCK_RAW_BYTES_MAX`. */
const INLINE_VALUE_BYTES_MAX = BLOCK_RAW_BYTES_MAX - 0x100000;
const NO_BYTES = new Uint8Array(0);

/** Writes one table. */
export class TableWriter {
  readonly #file: FileHandle;
  readonly #options: TableWriterOptions;
  readonly #settings: TableSettings;
  readonly #blocks: BlockBuilder;
  readonly #writeBytes: number;
  readonly #separators: BlockIndexBuilder = separatorIndex.builder();
  readonly #models: { readonly name: string; readonly builder: BlockIndexBuilder }[];
  readonly #cut: BlockCut;
  readonly #references = new Map<number, { count: number; bytes: number }>();
  /** File bytes written; the builder's sealed blocks follow. */
  #written = FILE_HEADER_BYTES;
  #blockLengths = new Float64Array(256);
  #blockCount = 0;
  /** Index bound of the open block. */
  #lower: Uint8Array = NO_BYTES;
  #separatorBytes = 0;
  #entryCount = 0;
  /** Over the sealed blocks. */
  readonly #tally: BlockTally;
  #smallestKey: Uint8Array = NO_BYTES;
  /** Sequence of the entry that `add` added last. */
  #lastSeq = 0;
  /** Blocks of plans, one behind the other, that could be copied. */
  #blocksInRow = 0;
  /** A key of a plan, in one piece. */
  #key: Uint8Array = NO_BYTES;
  #ranges: RangeFragments | undefined;
  #finished = false;

  /** Begins a table in `file`, which is empty and stays the caller's. Writes nothing yet. */
  constructor(file: FileHandle, options: TableWriterOptions) {
    const settings: TableSettings = {
      blockBytes: 4096,
      codec: Codec.none,
      dictionaryBytes: 0,
      filter: FilterKind.bloom,
      bloomBitsPerKey: 10,
      prefixBytes: 0,
      hashSeed: 0,
      index: [],
      ...options.settings,
    };
    const { blockBytes, bloomBitsPerKey, prefixBytes } = settings;
    assert(blockBytes >= BLOCK_BYTES_MIN && blockBytes <= BLOCK_BYTES_MAX, "block bytes in range");
    assert(bloomBitsPerKey >= 0 && bloomBitsPerKey <= FILTER_BITS_MAX, "filter bits in range");
    assert(settings.dictionaryBytes <= DICTIONARY_BYTES_MAX, "dictionary bytes in range");
    assert(prefixBytes >= 0 && prefixBytes <= PREFIX_BYTES_MAX, "prefix bytes in range");
    assert(options.keyspace >>> 0 === options.keyspace, "keyspace is a u32");
    assert(settings.hashSeed >>> 0 === settings.hashSeed, "hash seed is a u32");
    for (const { name } of settings.index) {
      assert(Buffer.byteLength(name) <= INDEX_NAME_BYTES_MAX, "index name length");
    }
    this.#file = file;
    this.#options = options;
    this.#settings = settings;
    const { buffer } = options;
    this.#writeBytes =
      buffer === undefined
        ? WRITE_BYTES
        : Math.max(buffer.end - buffer.start - 2 * blockBytes - LENT_SPARE_BYTES, 1);
    this.#tally = {
      smallestSeq: SEQ_MAX,
      largestSeq: 0,
      lastSeq: 0,
      deleteCount: 0,
      keyBytes: 0,
      valueBytes: 0,
      hashes:
        bloomBitsPerKey < 1 || settings.filter === FilterKind.none
          ? undefined
          : new Uint32Array(4096),
      hashCount: 0,
      prefixBytes,
      hashSeed: settings.hashSeed,
    };
    this.#models = settings.index.map((format) => ({
      name: format.name,
      builder: format.builder(),
    }));
    this.#cut = new BlockCut(blockBytes, this.#models[0]?.builder.cutter);
    this.#blocks = new BlockBuilder(this.#cut, settings, options.uid, buffer);
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  /** Finished blocks. */
  get blockCount(): number {
    return this.#blockCount;
  }

  /** About how long the file would be if it were finished now. */
  get estimatedBytes(): number {
    const filterKeys = this.#tally.hashCount + this.#blocks.count;
    const filter = (filterKeys * this.#settings.bloomBitsPerKey) / 8;
    return (
      this.#written +
      this.#blocks.sealedBytes +
      this.#blocks.openBytes +
      this.#separatorBytes +
      Math.ceil(filter) +
      512
    );
  }

  /**
   * Adds an entry. Entries come in internal order: user key ascending, sequence descending, no two
   * alike; anything else throws. Key and value are copied.
   */
  add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seq: number,
    tag: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const blocks = this.#blocks;
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    if (keyLength > KEY_BYTES_MAX) throw tooLong("AURA_KEY_TOO_LONG", keyLength);
    if (valueLength > INLINE_VALUE_BYTES_MAX) throw tooLong("AURA_VALUE_TOO_LONG", valueLength);
    assert(seq >= 0 && seq <= SEQ_MAX && isKnownTag(tag), "sequence and tag of an entry");
    let common = 0;
    let sameKey = false;
    if (this.#entryCount === 0) {
      this.#smallestKey = copyOf(key, keyStart, keyEnd);
    } else {
      const previous = blocks.keys;
      const previousStart = blocks.lastKeyStart;
      const previousLength = blocks.lastKeyEnd - previousStart;
      const limit = keyLength < previousLength ? keyLength : previousLength;
      while (common < limit && previous[previousStart + common] === key[keyStart + common])
        common++;
      sameKey = common === keyLength && common === previousLength;
      const ascends = sameKey
        ? seq < this.#lastSeq
        : common === previousLength ||
          (common < keyLength && previous[previousStart + common]! < key[keyStart + common]!);
      assert(ascends, "entries in internal order");
      if (!blocks.hasRoom(key, keyStart, keyEnd, valueLength, common)) {
        this.#sealBlock(key, keyStart, keyEnd, sameKey, common);
      }
    }
    blocks.add(key, keyStart, keyEnd, common, seq, tag, value, valueStart, valueEnd);
    this.#entryCount++;
    this.#lastSeq = seq;
  }

  /**
   * Adds what a plan has still to be taken. Ends early, where a block ends, when the file would be
   * longer than `bytesMax`; takes at least one entry. That keys ascend is checked block by block.
   */
  addPlan(plan: ScanPlan, bytesMax: number): void {
    const blocks = this.#blocks;
    if (plan.isBlock && this.#copyBlock(plan)) return;
    if (!plan.isBlock) this.#blocksInRow = 0;
    if (this.#entryCount === 0) this.#smallestKey = this.#nextKey(plan).slice();
    else if (blocks.count === 0) this.#commonWithLast(this.#nextKey(plan));
    let isTaken = false;
    for (;;) {
      const before = blocks.count;
      const isAll = blocks.addPlan(plan);
      this.#entryCount += blocks.count - before;
      isTaken ||= blocks.count > before;
      if (isAll) break;
      // Whoever asked for a limit begins another table here.
      if (isTaken && this.estimatedBytes >= bytesMax) break;
      const key = this.#nextKey(plan);
      const common = this.#commonWithLast(key);
      this.#sealBlock(key, 0, key.length, false, common);
    }
    // For `add`, which compares with the entry before.
    this.#lastSeq = blocks.lastSeq;
  }

  /**
   * Copies the block that is the plan, if it can stand behind what is written as it is. Returns
   * whether it was copied.
   */
  #copyBlock(plan: ScanPlan): boolean {
    const { blockBytes, codec } = this.#settings;
    const blocks = this.#blocks;
    const scan = plan.scans[plan.inputs[0]!]!;
    const { reader, rawBytes } = scan;
    const isSized =
      rawBytes * 2 >= blockBytes && (rawBytes <= this.#cut.bytesMax || scan.count === 1);
    if (plan.entry !== 0 || this.#entryCount === 0 || scan.codec !== codec || !isSized)
      return false;
    this.#blocksInRow++;
    const { bytes, lowerAt, lowerBytes } = reader;
    if (blocks.count === 0) {
      if (!blocks.isNeighbour(scan)) return false;
    } else {
      const isWorth =
        blocks.openBytes * 2 >= blockBytes || this.#blocksInRow > SMALL_BLOCK_NEIGHBOURS;
      const { keys, lastKeyStart, lastKeyEnd } = blocks;
      const lowerEnd = lowerAt + lowerBytes;
      const isBehind = compareBytes(keys, lastKeyStart, lastKeyEnd, bytes, lowerAt, lowerEnd) < 0;
      if (!isWorth || !isBehind) return false;
      const lower = copyOf(bytes, lowerAt, lowerEnd);
      this.#endBlock(lower, false, false);
      this.#lower = lower;
    }
    // Not behind it: should it turn out to be the last block, it is opened again.
    if (blocks.sealedBytes >= this.#writeBytes) this.#writeBlocks();
    this.#reserveHashes(scan.count);
    this.#indexBlock();
    const offset = this.#written + blocks.sealedBytes;
    this.#noteLength(blocks.copyBlock(scan, offset, this.#tally));
    const upperAt = lowerAt + lowerBytes;
    this.#lower = copyOf(bytes, upperAt, upperAt + reader.upperBytes);
    this.#cut.skip(rawBytes);
    this.#entryCount += scan.count;
    this.#lastSeq = this.#tally.lastSeq;
    plan.next = 1;
    return true;
  }

  /** Returns what a key shares with the last one; throws unless it comes behind it. */
  #commonWithLast(key: Uint8Array): number {
    const { keys, lastKeyStart, lastKeyEnd } = this.#blocks;
    const common = commonPrefix(keys, lastKeyStart, lastKeyEnd, key, 0, key.length);
    const ascends =
      common < key.length &&
      (lastKeyStart + common === lastKeyEnd || keys[lastKeyStart + common]! < key[common]!);
    assert(ascends, "entries in internal order");
    return common;
  }

  /** Returns the key of the entry that a plan goes on with, borrowed until the next call. */
  #nextKey(plan: ScanPlan): Uint8Array {
    const scan = plan.scans[plan.inputs[plan.next]!]!;
    const length = scan.keyBytesAt(plan.entry);
    if (length > this.#key.length) this.#key = new Uint8Array(length * 2);
    scan.copyKey(plan.entry, this.#key, 0);
    return this.#key.subarray(0, length);
  }

  /** Copies the key added last to the front of `target`; returns its length. */
  copyLastKey(target: Uint8Array): number {
    const { keys, lastKeyStart, lastKeyEnd } = this.#blocks;
    copyBytes(target, 0, keys, lastKeyStart, lastKeyEnd);
    return lastKeyEnd - lastKeyStart;
  }

  /** Notes that `count` entries just added point to records of `bytes` together in a segment. */
  noteReference(segment: number, bytes: number, count = 1): void {
    const reference = this.#references.get(segment);
    if (reference === undefined) {
      this.#references.set(segment, { count, bytes });
      return;
    }
    reference.count += count;
    reference.bytes += bytes;
  }

  /** Gives the table its range tombstones, which say nothing of the entries of this table. */
  setRanges(ranges: RangeFragments): void {
    this.#ranges = ranges.count === 0 ? undefined : ranges;
  }

  /**
   * Ends the table: writes all that is left, footer last. It syncs nothing and leaves the file
   * open. Precondition: at least one entry. No other call may follow.
   */
  finishSync(): TableSummary {
    assert(!this.#finished && this.#entryCount > 0, "a table with entries, finished once");
    this.#finished = true;
    const blocks = this.#blocks;
    const largestKey = copyOf(blocks.keys, blocks.lastKeyStart, blocks.lastKeyEnd);
    if (blocks.count > 0) this.#endBlock(NO_BYTES, false, true);
    else {
      blocks.reopen();
      this.#blockCount--;
      const offset = this.#written + blocks.sealedBytes;
      this.#noteBlock(blocks.seal(offset, NO_BYTES, false, this.#tally.lastSeq, true));
    }
    this.#writeBlocks();
    const parts: Uint8Array[] = [];
    let end = this.#written;
    const section = (payload: Uint8Array | undefined): Section => {
      if (payload === undefined) return { offset: end, bytes: 0 };
      const bytes = new Uint8Array(payload.length + BLOCK_TRAILER_BYTES);
      bytes.set(payload);
      putBlockTrailer(bytes, 0, payload.length, Codec.none, this.#options.uid, end);
      parts.push(bytes);
      end += bytes.length;
      return { offset: end - bytes.length, bytes: bytes.length };
    };
    const separators = section(this.#separators.finish());
    const blockMap = section(encodeBlockMap(this.#blockLengths, this.#blockCount));
    const [indexName, modelBytes] = this.#finishModel();
    const model = section(modelBytes);
    const tally = this.#tally;
    const { filter: filterKind, bloomBitsPerKey, prefixBytes } = this.#settings;
    const filterBytes =
      tally.hashes && buildFilter(filterKind, tally.hashes, tally.hashCount, bloomBitsPerKey);
    const filter = section(filterBytes);
    const ranges = section(this.#ranges && encodeRanges(this.#ranges));
    const properties: TableProperties = {
      keyspace: this.#options.keyspace,
      hashSeed: this.#settings.hashSeed,
      entryCount: this.#entryCount,
      deleteCount: tally.deleteCount,
      rawKeyBytes: tally.keyBytes,
      rawValueBytes: tally.valueBytes,
      smallestSeq: tally.smallestSeq,
      largestSeq: tally.largestSeq,
      filterBits: filterBytes === undefined ? 0 : (filterBytes.length - FILTER_HEAD_BYTES) * 8,
      prefixBytes: filterBytes === undefined ? 0 : prefixBytes,
      smallestKey: this.#smallestKey,
      largestKey,
      indexName,
      references: this.#sortedReferences(),
      dictionary: blocks.dictionary,
    };
    const footer = {
      separators,
      blockMap,
      model,
      filter,
      ranges,
      properties: section(encodeProperties(properties)),
      blockCount: this.#blockCount,
      rawBlockBytesMax: blocks.rawBytesMax,
    };
    parts.push(encodeFooter(footer, this.#options.uid, end));
    this.#file.writevSync(parts, this.#written);
    this.#written = end + FOOTER_BYTES;
    const { hashSeed: _, dictionary: __, ...summary } = properties;
    return { ...summary, fileBytes: this.#written, blockCount: this.#blockCount };
  }

  #finishModel(): [name: string, bytes: Uint8Array | undefined] {
    for (const { name, builder } of this.#models) {
      const bytes = builder.finish();
      if (bytes !== undefined) return [name, bytes];
    }
    return [separatorIndex.name, undefined];
  }

  #sortedReferences(): SegmentReferences[] {
    return [...this.#references]
      .map(([segment, { count, bytes }]) => ({ segment, count, bytes }))
      .sort((a, b) => a.segment - b.segment);
  }

  /** Makes room for the hashes of a block with this many entries, keys and prefixes. */
  #reserveHashes(entries: number): void {
    const tally = this.#tally;
    if (tally.hashes === undefined) return;
    const count = tally.hashCount + (tally.prefixBytes > 0 ? 2 * entries : entries);
    if (count <= tally.hashes.length) return;
    const grown = new Uint32Array(Math.max(count, tally.hashes.length * 2));
    grown.set(tally.hashes);
    tally.hashes = grown;
  }

  /** Ends the open block: the entry of `key` opens the next one. */
  #sealBlock(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    sameKey: boolean,
    common: number,
  ): void {
    const { keys, lastKeyStart, lastKeyEnd, sizeBytes } = this.#blocks;
    let bound: Uint8Array;
    if (sameKey) {
      this.#endBlock(NO_BYTES, true, false);
      bound = new Uint8Array(common + 1);
      copyBytes(bound, 0, key, keyStart, keyStart + common);
    } else {
      const cut = this.#cut;
      bound = cut.boundBetween(keys, lastKeyStart, lastKeyEnd, key, keyStart, keyEnd, common);
      this.#endBlock(bound, false, false);
    }
    this.#lower = bound;
    this.#cut.next(bound, sizeBytes, key, keyStart, keyEnd);
  }

  #endBlock(upper: Uint8Array, continues: boolean, last: boolean): void {
    const blocks = this.#blocks;
    this.#indexBlock();
    this.#reserveHashes(blocks.count);
    blocks.review(this.#tally);
    const offset = this.#written + blocks.sealedBytes;
    this.#noteBlock(blocks.seal(offset, upper, continues, this.#tally.lastSeq, last));
  }

  /** Gives the lower bound of the next block to the indexes. */
  #indexBlock(): void {
    assert(this.#blockCount < BLOCK_COUNT_MAX, "block count");
    this.#separators.add(this.#lower);
    for (const { builder } of this.#models) builder.add(this.#lower);
    this.#separatorBytes += this.#lower.length + 4;
  }

  /** Notes a sealed block of this length; writes blocks when they are enough. */
  #noteBlock(length: number): void {
    this.#noteLength(length);
    if (this.#blocks.sealedBytes >= this.#writeBytes) this.#writeBlocks();
  }

  #noteLength(length: number): void {
    if (this.#blockCount === this.#blockLengths.length) {
      const grown = new Float64Array(this.#blockCount * 2);
      grown.set(this.#blockLengths);
      this.#blockLengths = grown;
    }
    this.#blockLengths[this.#blockCount++] = length;
  }

  #writeBlocks(): void {
    const blocks = this.#blocks;
    const bytes = blocks.bytes.subarray(blocks.sealedStart, blocks.sealedEnd);
    if (this.#written === FILE_HEADER_BYTES) {
      const { databaseUuid, uid, number } = this.#options;
      const header = encodeFileHeader({ type: FileType.table, databaseUuid, uid, number });
      this.#file.writevSync([header, bytes], 0);
    } else if (bytes.length > 0) {
      this.#file.writeSync(bytes, this.#written);
    }
    this.#written += bytes.length;
    blocks.drain();
  }
}

function tooLong(code: "AURA_KEY_TOO_LONG" | "AURA_VALUE_TOO_LONG", bytes: number): AuraError {
  return new AuraError(code, `${bytes} bytes do not fit into a table`, { actual: bytes });
}
