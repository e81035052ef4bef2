/**
 * One open table: point look-ups, cursors, verification.
 *
 * Filter, block offsets and block index stay in memory; data blocks come through the cache. A
 * look-up that finds its block cached allocates nothing. What a look-up hands out is borrowed until
 * the next operation on the cache.
 */
import { AuraError, corruption, type FileSystem, getU56 } from "@aura/base";
import { BlockCache, type CacheCounts } from "./block-cache.ts";
import type { BlockIndex, BlockIndexFormat } from "./block-index.ts";
import { markOf } from "./block-layout.ts";
import { BlockLocator } from "./block-locator.ts";
import { BlockReader } from "./block-reader.ts";
import { BlockStore } from "./block-store.ts";
import { type KeyFilter, openFilter } from "./key-filter.ts";
import { decodeProperties, type TableSummary } from "./properties.ts";
import { rangesOf } from "./range-block.ts";
import type { RangeFragments } from "./range-fragments.ts";
import { separatorIndex } from "./separator-index.ts";
import { TableCursor, type TableCursorOptions } from "./table-cursor.ts";
import { type RawBlock, TableFile, type TableIdentity } from "./table-file.ts";
import { verifyTable } from "./table-verify.ts";
import { WaitingSearch } from "./waiting-search.ts";

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new Int32Array(0);
/** Blocks that `keysInMemory` looks at, per key wanted. */
const KEY_TRIES = 8;
/** No key has this mark. */
const NO_MARK = -1;

/** What `Table.get` returns. */
export const Lookup = {
  /** The table has no version of the key at or below the sequence. */
  absent: 0,
  /** The hit is set. */
  found: 1,
  /** `hit.block` has to be loaded first. */
  pending: 2,
} as const;

/** Where `Table.get` puts what it found. Reusable for any number of calls and tables. */
export class TableHit {
  seq = 0;
  tag = 0;
  /** The value (or encoded pointer) is bytes[valueStart, valueEnd), borrowed. */
  bytes: Uint8Array = new Uint8Array(0);
  valueStart = 0;
  valueEnd = 0;
  /** The memory of `bytes` as words, with the same begin; empty when there is no such view. */
  words: Int32Array = NO_WORDS;
  /** After `pending`: what to give to `loadBlock`. */
  block = 0;
  /** Blocks searched so far; counts up until the owner sets it back. */
  searched = 0;
  /** The look-up that waits for `block`. Kept by `Table.get`. */
  readonly waiting: WaitingSearch = new WaitingSearch();
}

/** What to open, and with what. */
export interface TableOpenOptions extends TableIdentity {
  /** Seed that the hashes given to `get` are made with. */
  readonly hashSeed: number;
  /** Block indexes known beside the separators. Default none. */
  readonly indexFormats?: readonly BlockIndexFormat[];
  /** Shared with other tables. Default: none, blocks are read anew each time. */
  readonly cache?: BlockCache;
  /** Counted on, so that counts outlive the open table. Default: counts of its own, from 0. */
  readonly counts?: TableCounts;
}

/** What was asked of one table, and how its filter and the cache answered. */
export class TableCounts {
  /** Look-ups that the filter ended: the key is surely absent. */
  denied = 0;
  /** Look-ups that the filter let pass in vain: no version of the key, or only later ones. */
  passedInVain = 0;
  /** The share of absent keys that the filter lets pass, by theory; 1 without one. */
  filterRate = 1;
  /** Look-ups that found a version. */
  found = 0;
  /** Blocks that a look-up or cursor found in the cache, and did not. */
  readonly blocks: CacheCounts = { hits: 0, misses: 0 };
}

/** Look-ups are synchronous: one window and one block serve all tables of this thread. */
const reader = new BlockReader();
const loaded: RawBlock = { bytes: NO_BYTES, start: 0, end: 0 };

/** An open table. */
export class Table {
  readonly number: number;
  readonly path: string;
  readonly summary: TableSummary;
  /** Its range tombstones, which may cover entries of this table too; undefined for none. */
  readonly ranges: RangeFragments | undefined;
  readonly counts: TableCounts;
  readonly #hashSeed: number;
  /** The hashes that `get` is given are those that the marks of blocks come from. */
  #hasMarks = false;
  readonly #file: TableFile;
  readonly #filter: KeyFilter | undefined;
  readonly #locator: BlockLocator;
  readonly #store: BlockStore;

  private constructor(fs: FileSystem, options: TableOpenOptions) {
    this.number = options.number;
    this.path = options.path;
    this.counts = options.counts ?? new TableCounts();
    this.#file = new TableFile(fs, options);
    let dictionaryBytes = 0;
    try {
      const { footer } = this.#file;
      const offset = footer.properties.offset;
      const bytes = this.#file.sectionSync(footer.properties);
      const { hashSeed, dictionary, ...properties } = decodeProperties(bytes, this.path, offset);
      this.#file.setDictionary(dictionary);
      dictionaryBytes = dictionary.length;
      this.#hashSeed = hashSeed;
      this.#hasMarks = hashSeed === options.hashSeed;
      this.summary = {
        ...properties,
        fileBytes: this.#file.fileBytes,
        blockCount: footer.blockCount,
      };
      this.#filter = this.#openFilter(options.hashSeed);
      this.ranges = rangesOf(this.#file);
      this.#locator = new BlockLocator(
        this.#file,
        properties.indexName,
        options.indexFormats ?? [],
      );
    } catch (error) {
      this.#file.closeSync();
      throw error;
    }
    const cache = options.cache ?? new BlockCache({ capacityBytes: 0 });
    this.#store = new BlockStore(
      this.#file,
      this.#locator,
      (this.#filter?.byteLength ?? 0) + dictionaryBytes,
      cache,
      this.counts.blocks,
    );
  }

  /**
   * Opens a table and checks everything but its data blocks. Throws AURA_CORRUPTION (also when it
   * is whole but another file than expected), AURA_UNSUPPORTED, AURA_NOT_FOUND, AURA_IO.
   */
  static openSync(fs: FileSystem, options: TableOpenOptions): Table {
    return new Table(fs, options);
  }

  get blockCount(): number {
    return this.summary.blockCount;
  }

  /** Name of the block index in use; "separators" also once a model was found wrong. */
  get indexName(): string {
    return this.#locator.indexName;
  }

  /** Memory of the block index and the block offsets, bytes. */
  get indexBytes(): number {
    return this.#locator.residentBytes + this.#file.offsets.byteLength;
  }

  /** Returns the block in which a look-up of the key would look first. */
  locate(key: Uint8Array): number {
    this.#locator.start(key, 0, key.length);
    return this.#locator.block;
  }

  /** Returns keys of blocks that are in memory, spread over the table, at most `count`: copies. */
  keysInMemory(count: number): Uint8Array[] {
    const { cache, space } = this.#store;
    const keys: Uint8Array[] = [];
    const step = Math.max(this.blockCount / (count * KEY_TRIES), 1);
    for (let at = 0; at < this.blockCount && keys.length < count; at += step) {
      const block = Math.floor(at);
      if (!cache.has(space, block) || !cache.findLoaded(space, block)) continue;
      reader.open(cache.bytes, cache.start, cache.end);
      keys.push(reader.keyAt(reader.count >>> 1));
    }
    return keys;
  }

  /** Reads the separators, which stand beside a model as well, on this thread: an index of its own. */
  readSeparators(): BlockIndex {
    const { footer, blockCount } = this.#file;
    return separatorIndex.decode(this.#file.sectionSync(footer.separators), blockCount);
  }

  /** Memory held beside blocks, bytes: filter, block index, block offsets. Pinned in the cache. */
  get residentBytes(): number {
    return this.#store.residentBytes;
  }

  /** Returns false when the table surely has no key with this hash. */
  mayHave(keyHash: number): boolean {
    return this.#filter === undefined || this.#filter.has(keyHash);
  }

  /**
   * Returns false when the table surely has no key that begins with a prefix of
   * `summary.prefixBytes` bytes, whose hash this is. True when that is 0.
   */
  mayHavePrefix(prefixHash: number): boolean {
    return this.summary.prefixBytes === 0 || this.mayHave(prefixHash);
  }

  /**
   * Looks up the newest version of key[keyStart, keyEnd) with a sequence <= `seqMax` and returns a
   * `Lookup`. `keyHash` is `hashKey` of the key with the table's seed. With `mayRead` a block that
   * is not in memory is read on this thread; without it the result is `pending` and the caller
   * loads `hit.block` and calls again with the same hit. A tombstone is found like any version.
   */
  get(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    keyHash: number,
    seqMax: number,
    hit: TableHit,
    mayRead: boolean,
  ): number {
    const locator = this.#locator;
    const store = this.#store;
    const cache = store.cache;
    let isLoaded = hit.waiting.resume(store.space.id, key, keyStart, keyEnd, seqMax, locator);
    if (!isLoaded) {
      if (this.#filter !== undefined && !this.#filter.has(keyHash)) {
        this.counts.denied++;
        return Lookup.absent;
      }
      locator.start(key, keyStart, keyEnd);
    }
    const mark = this.#hasMarks ? markOf(keyHash) : NO_MARK;
    for (;;) {
      const block = locator.block;
      if (isLoaded ? cache.findLoaded(store.space, block) : cache.find(store.space, block)) {
        reader.open(cache.bytes, cache.start, cache.end);
        hit.words = cache.words;
      } else if (mayRead) {
        store.readSync(block, loaded);
        reader.open(loaded.bytes, loaded.start, loaded.end);
        hit.words = loaded.bytes === cache.bytes ? cache.words : NO_WORDS;
      } else {
        hit.waiting.note(store.space.id, key, keyStart, keyEnd, seqMax, locator);
        hit.block = block;
        return Lookup.pending;
      }
      isLoaded = false;
      hit.searched++;
      const marked = reader.findMarked(key, keyStart, keyEnd, seqMax, mark);
      if (marked >= 0) return this.#take(hit, marked);
      const place = reader.search(key, keyStart, keyEnd, seqMax);
      const side =
        place > 0 && place < reader.count ? 0 : reader.side(place, key, keyStart, keyEnd, seqMax);
      if (side === 0) {
        if (!reader.found) {
          this.counts.passedInVain++;
          return Lookup.absent;
        }
        return this.#take(hit, place);
      }
      if (side > 0 && reader.continues && this.#isLastKey(key, keyStart, keyEnd)) {
        if (block + 1 >= this.summary.blockCount) throw this.#contradiction(block);
        locator.follow();
      } else if (!locator.turn(side)) {
        if (locator.exact) throw this.#contradiction(block);
        if (!mayRead) {
          hit.block = this.summary.blockCount;
          return Lookup.pending;
        }
        store.loadSync(this.summary.blockCount, 1);
        locator.start(key, keyStart, keyEnd);
      }
    }
  }

  /** Puts the entry at a place of the block into `hit`. */
  #take(hit: TableHit, place: number): number {
    this.counts.found++;
    const { bytes } = reader;
    const rowAt = reader.rowAt(place);
    hit.seq = getU56(bytes, rowAt);
    hit.tag = bytes[rowAt + 7]!;
    hit.bytes = bytes;
    hit.valueStart = rowAt + 8;
    hit.valueEnd = reader.rowAt(place + 1);
    return Lookup.found;
  }

  /**
   * Loads what `uses` calls of `get` wait for, each of which comes again, through the thread pool.
   * Throws AURA_CORRUPTION, AURA_IO.
   */
  loadBlock(block: number, uses: number = 1): Promise<void> {
    return this.#store.load(block, uses);
  }

  /** As `loadBlock`, on this thread. */
  loadBlockSync(block: number, uses: number = 1): void {
    this.#store.loadSync(block, uses);
  }

  /** Opens a cursor. Close it before the table. */
  cursor(options: TableCursorOptions = {}): TableCursor {
    return new TableCursor(this.#store, this.#locator, options);
  }

  /**
   * Reads the whole table, past the cache, and throws AURA_CORRUPTION unless every block is whole,
   * every entry is in order, the counts and bounds of the summary are right, the filter has every
   * key, and separators and model both lead to it.
   */
  verifySync(): void {
    verifyTable(this.#file, this.summary, this.#locator, this.#filter, this.#hashSeed);
  }

  /** Gives the file handle back until the next read; memory and cached blocks stay. */
  releaseHandle(): void {
    this.#file.releaseHandle();
  }

  /** Whether the table holds a file handle now. */
  get hasHandle(): boolean {
    return this.#file.hasHandle;
  }

  /** Closes the file and forgets the cached blocks. Idempotent. */
  closeSync(): void {
    this.#store.close();
  }

  #openFilter(hashSeed: number): KeyFilter | undefined {
    const { filter } = this.#file.footer;
    const offset = filter.offset;
    if (filter.bytes === 0) {
      if (this.summary.filterBits !== 0) throw corruption(this.path, offset, "no filter");
      return undefined;
    }
    if (hashSeed !== this.#hashSeed) {
      throw new AuraError("AURA_CORRUPTION", `${this.path}: filter of another hash seed`, {
        file: this.path,
        offset,
        expected: hashSeed,
        actual: this.#hashSeed,
      });
    }
    const opened = openFilter(this.#file.sectionSync(filter), this.path, offset);
    if (opened.bits !== this.summary.filterBits) throw corruption(this.path, offset, "filter bits");
    this.counts.filterRate = opened.rate;
    return opened;
  }

  #isLastKey(key: Uint8Array, keyStart: number, keyEnd: number): boolean {
    return reader.compareEntryKey(reader.count - 1, key, keyStart, keyEnd) === 0;
  }

  #contradiction(block: number): AuraError {
    const offset = this.#file.offsets.at(block);
    return corruption(this.path, offset, "bounds of a data block contradict the block index");
  }
}
