/**
 * Hot values, in the cache that blocks are in: one budget, one order of eviction.
 *
 * A value enters when it is read a second time while the first is remembered, so what is read once
 * (or by a scan, which admits nothing) costs no memory. Long values are not kept. A value is named
 * by its file and place: numbers of files are never reused, and a file's values are never a hit
 * again once it is forgotten. Values are kept as the caller gets them, verified and decompressed.
 */
import { Buffer } from "node:buffer";
import type { BlockCache, CacheSpace } from "@aura/sst";

/** Longer values are not kept; nor is any that takes more than this share of the capacity. */
const VALUE_BYTES_MAX = 64 * 1024;
const CAPACITY_PER_VALUE = 512;
/** Records are longer than this, so that two of them never share a place counted in it. */
const PLACE_BYTES = 32;
const PLACE_MAX = 0x7fffffff;
/** One read is remembered per this many bytes of capacity. */
const BYTES_PER_MEMORY = 4096;
const MEMORY_MIN = 256;

/** The values of one database in a cache. */
export class ValueCache {
  /** Reads of values short enough to be kept, found here and not. */
  hits = 0;
  misses = 0;
  readonly #cache: BlockCache;
  readonly #bytesMax: number;
  readonly #spaces = new Map<number, CacheSpace>();
  #closed = false;
  /** Hashes of reads that found nothing here. */
  readonly #once: Int32Array;

  constructor(cache: BlockCache) {
    this.#cache = cache;
    this.#bytesMax = Math.min(
      VALUE_BYTES_MAX,
      Math.floor(cache.capacityBytes / CAPACITY_PER_VALUE),
    );
    const count = Math.max(MEMORY_MIN, cache.capacityBytes / BYTES_PER_MEMORY);
    this.#once = new Int32Array(2 ** Math.floor(Math.log2(count)));
    cache.pin(this.#once.byteLength);
  }

  /** Returns the value at a place, the caller's own copy, or undefined. */
  find(file: number, offset: number, raw: number): Buffer | undefined {
    if (!this.#keeps(offset, raw)) return undefined;
    if (this.#cache.find(this.spaceOf(file), placeOf(offset))) return this.#copy();
    this.misses++;
    return undefined;
  }

  /** As `find`; a value that is not here does not count. */
  peek(file: number, offset: number, raw: number): Buffer | undefined {
    if (!this.#keeps(offset, raw)) return undefined;
    const space = this.#spaces.get(file);
    const cache = this.#cache;
    if (space === undefined || !cache.has(space, placeOf(offset))) return undefined;
    return cache.find(space, placeOf(offset)) ? this.#copy() : undefined;
  }

  /** Returns the space of a file, to be got before a read and given to `note` after it. */
  spaceOf(file: number): CacheSpace {
    let space = this.#spaces.get(file);
    if (space === undefined) {
      space = this.#cache.openSpace();
      this.#spaces.set(file, space);
    }
    return space;
  }

  /** Notes that a value was read from its file; keeps a copy when it was before. */
  note(space: CacheSpace, offset: number, value: Uint8Array): void {
    if (!this.#keeps(offset, value.length)) return;
    const place = placeOf(offset);
    const hash = Math.imul(Math.imul(space.id, 0x9e3779b1) ^ place, 0x85ebca6b) | 1;
    const slot = (hash >>> 8) & (this.#once.length - 1);
    if (this.#once[slot] !== hash) {
      this.#once[slot] = hash;
      return;
    }
    this.#once[slot] = 0;
    this.#cache.insert(space, place, value, 0, value.length);
  }

  /** Lets go of a file's values. */
  forget(file: number): void {
    const space = this.#spaces.get(file);
    if (space === undefined) return;
    this.#spaces.delete(file);
    this.#cache.evictTable(space.id);
  }

  /** Lets go of all values, and of its own memory. Idempotent; nothing may be asked for afterwards. */
  forgetAll(): void {
    if (!this.#closed) this.#cache.pin(-this.#once.byteLength);
    this.#closed = true;
    for (const file of [...this.#spaces.keys()]) this.forget(file);
  }

  /** Returns a copy of what the cache found. */
  #copy(): Buffer {
    const { bytes, start, end } = this.#cache;
    this.hits++;
    const copy = Buffer.allocUnsafe(end - start); // every byte is set on the next line
    copy.set(bytes.subarray(start, end));
    return copy;
  }

  #keeps(offset: number, length: number): boolean {
    return length <= this.#bytesMax && this.#cache.fits(length) && placeOf(offset) <= PLACE_MAX;
  }
}

function placeOf(offset: number): number {
  return Math.floor(offset / PLACE_BYTES);
}
