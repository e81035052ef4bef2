/**
 * The blocks of one table, through the cache: what a look-up loads and finds again.
 */
import type { BlockCache, CacheCounts, CacheSpace } from "./block-cache.ts";
import type { BlockLocator } from "./block-locator.ts";
import { copyOf } from "./copy-bytes.ts";
import type { RawBlock, TableFile } from "./table-file.ts";

/** One buffer for the synchronous reads of all tables of this thread. */
let scratch = new Uint8Array(16 * 1024);
/** A load under way on the thread pool, and how many look-ups wait for it. */
interface Loading {
  promise: Promise<void>;
  uses: number;
}

/** Longer blocks are read into memory of their own. */
const SCRATCH_BYTES_MAX = 1024 * 1024;

/**
 * Blocks of one table, and what the cache counts for it: its blocks, and, pinned, what it holds in
 * memory besides. Block number `blockCount` stands for the table's separators.
 */
export class BlockStore {
  readonly cache: BlockCache;
  readonly space: CacheSpace;
  readonly file: TableFile;
  readonly #locator: BlockLocator;
  readonly #otherBytes: number;
  #pinnedBytes = 0;
  #closed = false;
  /** Loads under way on the thread pool, by block. */
  readonly #loading = new Map<number, Loading>();

  /** `otherBytes`: what the table holds beside what `file` and `locator` do. */
  constructor(
    file: TableFile,
    locator: BlockLocator,
    otherBytes: number,
    cache: BlockCache,
    counts: CacheCounts,
  ) {
    this.file = file;
    this.#locator = locator;
    this.#otherBytes = otherBytes;
    this.cache = cache;
    this.space = cache.openSpace(counts, file.blockCount);
    this.#pin(this.residentBytes);
  }

  /** Memory that the table holds beside its blocks: filter, dictionary, block index, offsets, places. */
  get residentBytes(): number {
    const { places } = this.space;
    const maps = this.file.offsets.byteLength + places.byteLength;
    return this.#locator.residentBytes + maps + this.#otherBytes;
  }

  /**
   * Reads a block on this thread and caches it. `target` is borrowed until the next read or load of
   * any table of this thread.
   */
  readSync(block: number, target: RawBlock): void {
    const { file, cache } = this;
    const offset = file.offsets.at(block);
    const length = file.offsets.at(block + 1) - offset;
    if (cache.reserve(this.space, block, length)) {
      // Straight to where it stays, unless it is compressed or damaged: then nobody learns of it.
      const { bytes, start } = cache;
      file.readSync(offset, bytes.subarray(start, start + length));
      file.openBlock(block, bytes, start, start + length, target);
      if (target.bytes === bytes) cache.fill(this.space, block, target.end - start);
      else cache.insert(this.space, block, target.bytes, target.start, target.end);
      return;
    }
    let bytes: Uint8Array;
    if (length > SCRATCH_BYTES_MAX) bytes = new Uint8Array(length);
    else {
      if (length > scratch.length) scratch = new Uint8Array(length * 2);
      bytes = scratch;
    }
    file.readSync(offset, length === bytes.length ? bytes : bytes.subarray(0, length));
    file.openBlock(block, bytes, 0, length, target);
    cache.insert(this.space, block, target.bytes, target.start, target.end);
  }

  /** Reads a block on this thread, for `uses` look-ups that come again. */
  loadSync(block: number, uses: number): void {
    if (block === this.file.blockCount) {
      this.#locator.loadSeparatorsSync();
      this.#pin(this.residentBytes);
    } else if (!this.cache.keep(this.space, block, uses)) {
      const raw: RawBlock = { bytes: scratch, start: 0, end: 0 };
      this.readSync(block, raw);
      if (this.cache.has(this.space, block)) return;
      this.cache.hold(this.space, block, copyOf(raw.bytes, raw.start, raw.end), uses);
    }
  }

  /**
   * Reads a block through the thread pool, for `uses` look-ups that come again. One read per block at
   * a time.
   */
  load(block: number, uses: number): Promise<void> {
    const known = this.#loading.get(block);
    if (known !== undefined) {
      known.uses += uses;
      return known.promise;
    }
    const loading: Loading = { uses, promise: Promise.resolve() };
    loading.promise = this.#load(block, loading).finally(() => this.#loading.delete(block));
    this.#loading.set(block, loading);
    return loading.promise;
  }

  close(): void {
    this.#closed = true;
    this.#pin(0);
    this.cache.evictTable(this.space.id);
    this.file.closeSync();
  }

  #pin(bytes: number): void {
    const wanted = this.#closed ? 0 : bytes;
    this.cache.pin(wanted - this.#pinnedBytes);
    this.#pinnedBytes = wanted;
  }

  async #load(block: number, loading: Loading): Promise<void> {
    const { file, cache, space } = this;
    if (block === file.blockCount) {
      await this.#locator.loadSeparators();
      this.#pin(this.residentBytes);
      return;
    }
    if (cache.keep(space, block, loading.uses)) return;
    const offset = file.offsets.at(block);
    const stored = new Uint8Array(file.offsets.at(block + 1) - offset);
    await file.read(offset, stored);
    const raw: RawBlock = { bytes: stored, start: 0, end: 0 };
    file.openBlock(block, stored, 0, stored.length, raw);
    cache.insert(space, block, raw.bytes, raw.start, raw.end);
    if (!cache.has(space, block)) {
      cache.hold(space, block, raw.bytes.subarray(raw.start, raw.end), loading.uses);
    }
  }
}
