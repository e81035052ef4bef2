/**
 * Reads a whole table and compares everything in it with everything else that it says.
 */
import { type AuraError, compareBytes, corruption, hashKey, Kind } from "@aura/base";
import type { BlockIndex } from "./block-index.ts";
import { markOf } from "./block-layout.ts";
import type { BlockLocator } from "./block-locator.ts";
import { BlockReader } from "./block-reader.ts";
import { copyBytes, copyOf } from "./copy-bytes.ts";
import type { KeyFilter } from "./key-filter.ts";
import type { TableSummary } from "./properties.ts";
import { separatorIndex } from "./separator-index.ts";
import type { RawBlock, TableFile } from "./table-file.ts";

const NO_BYTES = new Uint8Array(0);

/** Throws AURA_CORRUPTION unless the table is whole. See `Table.verifySync`. */
export function verifyTable(
  file: TableFile,
  summary: TableSummary,
  locator: BlockLocator,
  filter: KeyFilter | undefined,
  hashSeed: number,
): void {
  // A damaged model was passed over at open: here it is an error.
  if (file.footer.model.bytes > 0) file.sectionSync(file.footer.model);
  const separators = separatorIndex.decode(
    file.sectionSync(file.footer.separators),
    file.blockCount,
  );
  new TableWalk(file, summary, locator, filter, hashSeed, separators).run();
}

class TableWalk {
  readonly #file: TableFile;
  readonly #summary: TableSummary;
  readonly #locator: BlockLocator;
  readonly #filter: KeyFilter | undefined;
  readonly #hashSeed: number;
  readonly #separators: BlockIndex;
  readonly #reader = new BlockReader();
  readonly #raw: RawBlock = { bytes: NO_BYTES, start: 0, end: 0 };
  #key: Uint8Array = new Uint8Array(1024);
  #keyLength = 0;
  #previous: Uint8Array = new Uint8Array(1024);
  #previousLength = -1;
  #previousSeq = 0;
  #upper: Uint8Array = NO_BYTES;
  #continues = false;
  #block = 0;
  #entries = 0;
  #deletes = 0;
  #keyBytes = 0;
  #valueBytes = 0;
  #seqMin = Number.POSITIVE_INFINITY;
  #seqMax = 0;

  constructor(
    file: TableFile,
    summary: TableSummary,
    locator: BlockLocator,
    filter: KeyFilter | undefined,
    hashSeed: number,
    separators: BlockIndex,
  ) {
    this.#file = file;
    this.#summary = summary;
    this.#locator = locator;
    this.#filter = filter;
    this.#hashSeed = hashSeed;
    this.#separators = separators;
  }

  run(): void {
    const { blockCount, offsets } = this.#file;
    for (let block = 0; block < blockCount; block++) {
      this.#block = block;
      const stored = new Uint8Array(offsets.at(block + 1) - offsets.at(block));
      this.#file.readSync(offsets.at(block), stored);
      this.#file.openBlock(block, stored, 0, stored.length, this.#raw);
      this.#reader.open(this.#raw.bytes, this.#raw.start, this.#raw.end);
      this.#walkBlock();
    }
    const summary = this.#summary;
    const sums: [string, number, number][] = [
      ["entries", this.#entries, summary.entryCount],
      ["tombstones", this.#deletes, summary.deleteCount],
      ["key bytes", this.#keyBytes, summary.rawKeyBytes],
      ["value bytes", this.#valueBytes, summary.rawValueBytes],
      ["smallest sequence", this.#seqMin, summary.smallestSeq],
      ["largest sequence", this.#seqMax, summary.largestSeq],
    ];
    for (const [what, actual, expected] of sums) {
      if (actual !== expected) throw this.#error(`${what}: ${actual}, properties say ${expected}`);
    }
    if (!this.#isPrevious(summary.largestKey)) throw this.#error("largest key");
  }

  #walkBlock(): void {
    const reader = this.#reader;
    const isLast = this.#block === this.#file.blockCount - 1;
    if (reader.last !== isLast) throw this.#error("mark of the last block");
    for (let i = 0; i < reader.count; i++) {
      this.#readKey(i);
      const seq = reader.seqAt(i);
      const sameKey = this.#checkOrder(seq);
      if (i === 0) this.#checkLower(sameKey);
      if (!sameKey) this.#checkFound(reader.markAt(i));
      const rowAt = reader.rowAt(i);
      this.#entries++;
      if (reader.bytes[rowAt + 7] === Kind.delete) this.#deletes++;
      this.#keyBytes += this.#keyLength;
      this.#valueBytes += reader.rowAt(i + 1) - rowAt - 8;
      this.#seqMin = Math.min(this.#seqMin, seq);
      this.#seqMax = Math.max(this.#seqMax, seq);
      const swap = this.#previous;
      this.#previous = this.#key;
      this.#previousLength = this.#keyLength;
      this.#previousSeq = seq;
      this.#key = swap;
    }
    const upperAt = reader.lowerAt + reader.lowerBytes;
    this.#upper = copyOf(reader.bytes, upperAt, upperAt + reader.upperBytes);
    this.#continues = reader.continues;
    if (isLast || this.#continues) {
      if (this.#upper.length > 0) throw this.#error("upper bound of a block without one");
    } else if (this.#comparePrevious(this.#upper) >= 0) throw this.#error("upper bound");
  }

  #readKey(i: number): void {
    const reader = this.#reader;
    const { prefixBytes, prefixAt } = reader;
    const start = reader.suffixAt(i);
    const end = reader.suffixAt(i + 1);
    this.#keyLength = prefixBytes + end - start;
    if (this.#keyLength > this.#key.length) this.#key = new Uint8Array(this.#keyLength * 2);
    copyBytes(this.#key, 0, reader.bytes, prefixAt, prefixAt + prefixBytes);
    copyBytes(this.#key, prefixBytes, reader.bytes, start, end);
  }

  /** Returns whether the key is that of the entry before. */
  #checkOrder(seq: number): boolean {
    if (this.#previousLength < 0) {
      const { smallestKey } = this.#summary;
      const order = compareBytes(this.#key, 0, this.#keyLength, smallestKey, 0, smallestKey.length);
      if (order !== 0) throw this.#error("smallest key");
      return false;
    }
    const order = compareBytes(
      this.#previous,
      0,
      this.#previousLength,
      this.#key,
      0,
      this.#keyLength,
    );
    if (order > 0 || (order === 0 && seq >= this.#previousSeq))
      throw this.#error("order of entries");
    return order === 0;
  }

  #checkLower(sameKey: boolean): void {
    const reader = this.#reader;
    if (reader.continued !== sameKey || reader.continued !== this.#continues) {
      throw this.#error("mark of a continued block");
    }
    if (reader.continued) {
      if (reader.previousSeq !== this.#previousSeq)
        throw this.#error("sequence of the block before");
      return;
    }
    const lower = copyOf(reader.bytes, reader.lowerAt, reader.lowerAt + reader.lowerBytes);
    const sound =
      compareBytes(lower, 0, lower.length, this.#upper, 0, this.#upper.length) === 0 &&
      compareBytes(lower, 0, lower.length, this.#key, 0, this.#keyLength) <= 0;
    if (!sound) throw this.#error("lower bound");
  }

  /** Mark (-1 for none), filter, separators and model lead to the newest version of the current key. */
  #checkFound(mark: number): void {
    const key = this.#key;
    const length = this.#keyLength;
    const hash = hashKey(key, 0, length, this.#hashSeed);
    if (mark !== -1 && mark !== markOf(hash)) throw this.#error("mark of a key");
    const filter = this.#filter;
    if (filter !== undefined && !filter.has(hash)) throw this.#error("key not in the filter");
    const { prefixBytes } = this.#summary;
    if (filter !== undefined && prefixBytes > 0 && length >= prefixBytes) {
      const prefixHash = hashKey(key, 0, prefixBytes, this.#hashSeed);
      if (!filter.has(prefixHash)) throw this.#error("prefix not in the filter");
    }
    this.#separators.locate(key, 0, length);
    if (this.#separators.first !== this.#block || this.#separators.last !== this.#block) {
      throw this.#error("separators lead astray");
    }
    this.#locator.start(key, 0, length);
    if (this.#locator.low > this.#block || this.#locator.high < this.#block) {
      throw this.#error(`block index ${this.#locator.indexName} leads astray`);
    }
  }

  #comparePrevious(bytes: Uint8Array): number {
    return compareBytes(this.#previous, 0, this.#previousLength, bytes, 0, bytes.length);
  }

  #isPrevious(bytes: Uint8Array): boolean {
    return this.#comparePrevious(bytes) === 0;
  }

  #error(what: string): AuraError {
    return corruption(this.#file.path, this.#file.offsets.at(this.#block), what);
  }
}
