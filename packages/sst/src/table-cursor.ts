/**
 * A cursor over one table, both ways.
 *
 * The cursor stands on memory of its own: a cached block is copied out of the cache, a block from
 * disk is read into the cursor's window. So nothing that other look-ups do can move the ground
 * under a borrowed key or value. Reading on in one direction reads ahead, up to `readAheadBytes`
 * in one go. The shared prefix of a block's keys is put down once per block.
 */
import { AuraError, assert, corruption, type EntryCursor, getU56, SEQ_MAX } from "@aura/base";
import type { BlockLocator } from "./block-locator.ts";
import { BlockReader } from "./block-reader.ts";
import type { BlockStore } from "./block-store.ts";
import { copyBytes } from "./copy-bytes.ts";
import type { LentMemory } from "./lent-memory.ts";
import type { RawBlock } from "./table-file.ts";

/** How a cursor reads. */
export interface TableCursorOptions {
  /** Reads on this thread by itself; such a cursor is never pending. Default false. */
  readonly mayRead?: boolean;
  /** Puts the blocks it read into the cache. Default true. */
  readonly fillCache?: boolean;
  /** Most bytes read at once when the cursor goes on in one direction. Default 256 KiB. */
  readonly readAheadBytes?: number;
  /**
   * Values may be kept: blocks are copied to this memory, and `valueBytes` is never written to again.
   * Default: they are borrowed until the next move.
   */
  readonly lent?: LentMemory | undefined;
}

const Move = { first: 0, last: 1, seek: 2, seekBefore: 3, next: 4, prev: 5 } as const;

const READ_AHEAD_BYTES = 256 * 1024;
const READ_AHEAD_BYTES_START = 16 * 1024;
const READ_AHEAD_GROWTH = 4;
const NO_BYTES = new Uint8Array(0);
const NO_BLOCK = -1;

/** Cursor over the entries of a table. Made by `Table.cursor`. */
export class TableCursor implements EntryCursor {
  valid = false;
  pending = false;
  failed = false;
  keyBytes: Uint8Array = NO_BYTES;
  readonly keyStart: number = 0;
  keyEnd = 0;
  seq = 0;
  tag = 0;
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;
  readonly #store: BlockStore;
  readonly #locator: BlockLocator;
  readonly #mayRead: boolean;
  readonly #fillCache: boolean;
  readonly #readAheadMax: number;
  readonly #reader = new BlockReader();
  readonly #raw: RawBlock = { bytes: NO_BYTES, start: 0, end: 0 };
  /** The block that `#reader` is on. */
  #current = NO_BLOCK;
  #entry = 0;
  #entryCount = 0;
  /** The move under way, and the block it goes to. */
  #move: number = Move.first;
  #block = 0;
  #low = 0;
  #high = 0;
  #seekKey: Uint8Array = NO_BYTES;
  #seekKeyEnd = 0;
  /** Copy of a block that came from the cache. */
  #copy: Uint8Array = NO_BYTES;
  /** Where blocks go whose values are lent. */
  readonly #lent: LentMemory | undefined;
  /** Stored blocks [windowFirst, windowEnd), read in one go. */
  #window: Uint8Array = NO_BYTES;
  #windowFirst = 0;
  #windowEnd = 0;
  /** The block that the cache did not have, until it is read. */
  #missed = NO_BLOCK;
  #readAhead = 0;
  /** Counts moves: a read that comes back to another one is dropped. */
  #ticket = 0;
  #closed = false;

  constructor(store: BlockStore, locator: BlockLocator, options: TableCursorOptions) {
    this.#store = store;
    this.#locator = locator;
    this.#mayRead = options.mayRead ?? false;
    this.#fillCache = options.fillCache ?? true;
    this.#readAheadMax = options.readAheadBytes ?? READ_AHEAD_BYTES;
    this.#lent = options.lent;
  }

  first(): void {
    this.#begin(Move.first, 0);
  }

  last(): void {
    this.#begin(Move.last, this.#store.file.blockCount - 1);
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#beginSeek(Move.seek, key, start, end);
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#beginSeek(Move.seekBefore, key, start, end);
  }

  next(): void {
    const entry = this.#entry + 1;
    if (this.valid && entry < this.#entryCount) this.#surface(entry);
    else this.#step(Move.next, 1);
  }

  prev(): void {
    const entry = this.#entry - 1;
    if (this.valid && entry >= 0) this.#surface(entry);
    else this.#step(Move.prev, -1);
  }

  loadSync(): void {
    if (!this.pending) return;
    const { file } = this.#store;
    try {
      if (this.#block === file.blockCount) {
        this.#locator.loadSeparatorsSync();
        this.#start();
      } else this.#fillSync();
    } catch (error) {
      throw this.#fail(error);
    }
    this.pending = false;
    this.#run();
  }

  async load(): Promise<void> {
    if (!this.pending) return;
    const ticket = this.#ticket;
    const { file } = this.#store;
    try {
      if (this.#block === file.blockCount) {
        await this.#locator.loadSeparators();
        if (ticket !== this.#ticket) return;
        this.#start();
      } else {
        const [first, end] = this.#span();
        const offset = file.offsets.at(first);
        // Memory of its own: a move that does not wait for this read may fill the window meanwhile.
        const window = new Uint8Array(file.offsets.at(end) - offset);
        await file.read(offset, window);
        if (ticket !== this.#ticket) return;
        this.#install(window, first, end);
      }
    } catch (error) {
      if (ticket !== this.#ticket) return;
      throw this.#fail(error);
    }
    this.pending = false;
    this.#run();
  }

  /**
   * Forgets the block under the cursor: who was lent its values may change them from now on. To be
   * followed by `first`, `last`, `seek` or `seekBefore`, which copy the block anew where they need it.
   */
  dropBlock(): void {
    this.#current = NO_BLOCK;
    this.valid = false;
  }

  close(): void {
    this.#ticket++;
    this.#closed = true;
    this.valid = false;
    this.pending = false;
    this.#current = NO_BLOCK;
    this.#windowFirst = this.#windowEnd = 0;
    this.#entryCount = 0;
    this.#window = this.#copy = this.valueBytes = this.#raw.bytes = NO_BYTES;
    this.#reader.bytes = NO_BYTES;
  }

  #begin(move: number, block: number): void {
    if (this.#closed) {
      const { path } = this.#store.file;
      throw new AuraError("AURA_CLOSED", `${path}: cursor is closed`, { file: path });
    }
    this.#ticket++;
    this.valid = false;
    this.failed = false;
    this.pending = false;
    this.#move = move;
    this.#block = block;
    this.#readAhead = 0;
    this.#run();
  }

  #beginSeek(move: number, key: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > this.#seekKey.length) this.#seekKey = new Uint8Array(length + 32);
    copyBytes(this.#seekKey, 0, key, start, end);
    this.#seekKeyEnd = length;
    this.#start();
    this.#begin(move, this.#block);
  }

  /** Goes on into the neighbour of the current block. */
  #step(move: number, direction: number): void {
    assert(this.valid, "a cursor steps from an entry");
    this.#ticket++;
    this.valid = false;
    const block = this.#current + direction;
    if (block < 0 || block >= this.#store.file.blockCount) return;
    this.#move = move;
    this.#block = block;
    this.#run();
  }

  /** Takes the move under way to its end, or to the next block that has to be waited for. */
  #run(): void {
    try {
      while (this.#enter(this.#block)) {
        if (this.#settle()) return;
      }
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Ends the move in the current block if it ends there; else sets the block to go on with. */
  #settle(): boolean {
    const reader = this.#reader;
    const move = this.#move;
    if (move === Move.first || move === Move.next) return this.#surface(0);
    if (move === Move.last || move === Move.prev) return this.#surface(reader.count - 1);
    const key = this.#seekKey;
    const keyEnd = this.#seekKeyEnd;
    const place = reader.search(key, 0, keyEnd, SEQ_MAX);
    const side = reader.side(place, key, 0, keyEnd, SEQ_MAX);
    if (side !== 0) return this.#turn(side);
    if (move === Move.seek) {
      if (place < reader.count) return this.#surface(place);
      if (++this.#block === this.#store.file.blockCount) return true;
      this.#move = Move.next;
    } else {
      if (place > 0) return this.#surface(place - 1);
      if (--this.#block < 0) return true;
      this.#move = Move.prev;
    }
    return false;
  }

  /** Goes on with another block of the index's range. Returns true when the move has to wait. */
  #turn(side: number): boolean {
    const locator = this.#locator;
    locator.resume(this.#low, this.#high, this.#block);
    if (locator.turn(side)) {
      this.#low = locator.low;
      this.#high = locator.high;
      this.#block = locator.block;
      return false;
    }
    const { file } = this.#store;
    if (locator.exact) {
      const offset = file.offsets.at(this.#block);
      throw corruption(file.path, offset, "bounds of a data block contradict the block index");
    }
    if (this.#mayRead) {
      locator.loadSeparatorsSync();
      this.#start();
      return false;
    }
    this.#block = file.blockCount;
    this.pending = true;
    return true;
  }

  /** Begins the search for the seek key in the block index. */
  #start(): void {
    const locator = this.#locator;
    locator.start(this.#seekKey, 0, this.#seekKeyEnd);
    this.#low = locator.low;
    this.#high = locator.high;
    this.#block = locator.block;
  }

  /** Puts the reader on a block. Returns false when the block has to be waited for. */
  #enter(block: number): boolean {
    if (block === this.#current) return true;
    const { cache, space, file } = this.#store;
    if (block < this.#windowFirst || block >= this.#windowEnd) {
      if (cache.find(space, block)) {
        this.#current = NO_BLOCK;
        const length = cache.end - cache.start;
        if (this.#lent !== undefined) {
          this.#openLent(this.#lent, block, cache.bytes, cache.start, cache.end);
          return true;
        }
        if (length > this.#copy.length) this.#copy = new Uint8Array(length + (length >>> 2));
        copyBytes(this.#copy, 0, cache.bytes, cache.start, cache.end);
        this.#open(block, this.#copy, 0, length);
        return true;
      }
      this.#missed = block;
      if (!this.#mayRead) {
        this.pending = true;
        return false;
      }
      this.#fillSync();
    }
    // Blocks that were read ahead came from the disk as well.
    if (block !== this.#missed) cache.noteMiss(space);
    this.#missed = NO_BLOCK;
    this.#current = NO_BLOCK;
    const base = file.offsets.at(this.#windowFirst);
    const raw = this.#raw;
    const start = file.offsets.at(block) - base;
    file.openBlock(block, this.#window, start, file.offsets.at(block + 1) - base, raw);
    if (this.#fillCache) cache.insert(space, block, raw.bytes, raw.start, raw.end);
    if (this.#lent !== undefined) this.#openLent(this.#lent, block, raw.bytes, raw.start, raw.end);
    else this.#open(block, raw.bytes, raw.start, raw.end);
    return true;
  }

  /** Opens a copy of the block bytes[start, end) in memory that is not used for another one. */
  #openLent(lent: LentMemory, block: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    lent.take(length);
    copyBytes(lent.bytes, lent.start, bytes, start, end);
    this.#open(block, lent.bytes, lent.start, lent.start + length);
  }

  #open(block: number, bytes: Uint8Array, start: number, end: number): void {
    const reader = this.#reader;
    reader.open(bytes, start, end);
    this.#current = block;
    this.#entryCount = reader.count;
    const { prefixAt, prefixBytes } = reader;
    const keyBytesMax = prefixBytes + reader.suffixBytesMax;
    if (keyBytesMax > this.keyBytes.length) this.keyBytes = new Uint8Array(keyBytesMax * 2);
    copyBytes(this.keyBytes, 0, bytes, prefixAt, prefixAt + prefixBytes);
    this.valueBytes = bytes;
  }

  /** Sets the fields to an entry of the current block. Returns true. */
  #surface(entry: number): boolean {
    const reader = this.#reader;
    const bytes = reader.bytes;
    const keyBytes = this.keyBytes;
    let keyEnd = reader.prefixBytes;
    const suffixEnd = reader.suffixAt(entry + 1);
    for (let at = reader.suffixAt(entry); at < suffixEnd; at++) keyBytes[keyEnd++] = bytes[at]!;
    const rowAt = reader.rowAt(entry);
    this.keyEnd = keyEnd;
    this.seq = getU56(bytes, rowAt);
    this.tag = bytes[rowAt + 7]!;
    this.valueStart = rowAt + 8;
    this.valueEnd = reader.rowAt(entry + 1);
    this.#entry = entry;
    this.valid = true;
    return true;
  }

  /** Returns the blocks to read for the move under way: first, and the one behind the last. */
  #span(): [first: number, end: number] {
    const { offsets, blockCount } = this.#store.file;
    let first = this.#block;
    let end = first + 1;
    const move = this.#move;
    if (move === Move.next) {
      while (end < blockCount && offsets.at(end + 1) - offsets.at(first) <= this.#readAhead) end++;
    } else if (move === Move.prev) {
      while (first > 0 && offsets.at(end) - offsets.at(first - 1) <= this.#readAhead) first--;
    }
    const grown = Math.max(this.#readAhead * READ_AHEAD_GROWTH, READ_AHEAD_BYTES_START);
    this.#readAhead = Math.min(grown, this.#readAheadMax);
    return [first, end];
  }

  #fillSync(): void {
    const { file } = this.#store;
    const [first, end] = this.#span();
    const offset = file.offsets.at(first);
    const length = file.offsets.at(end) - offset;
    let window = this.#window;
    if (length > window.length) window = new Uint8Array(length);
    // Until the read is through, the window holds nothing.
    this.#windowFirst = this.#windowEnd = 0;
    this.#current = NO_BLOCK;
    file.readSync(offset, length === window.length ? window : window.subarray(0, length));
    this.#install(window, first, end);
  }

  #install(window: Uint8Array, first: number, end: number): void {
    this.#window = window;
    this.#windowFirst = first;
    this.#windowEnd = end;
    this.#current = NO_BLOCK;
  }

  #fail(error: unknown): unknown {
    this.valid = false;
    this.pending = false;
    this.failed = true;
    this.#current = NO_BLOCK;
    this.#windowFirst = this.#windowEnd = 0;
    return error;
  }
}
