/**
 * A cache of data blocks, shared by any number of tables (and databases) of one thread.
 *
 * Blocks are packed one behind the other into slabs of equal size; the slabs form two queues,
 * small and main (S3-FIFO, slab by slab). A block enters the small queue, or the main one when it
 * left the small one not long ago. When memory is used up, the oldest slab of a queue is emptied:
 * blocks that were asked for since they came are copied on to the main queue, the rest go. A scan
 * passes through the small queue and leaves the main one alone.
 *
 * Everything counts against the capacity: slabs with their headers and gaps, the location table, the
 * ghost table, and what others pin (`pin`: filters and indexes of open tables): pinned bytes take the
 * place of slabs. When more is pinned than the capacity, no block is cached; who pins keeps that from
 * happening. Space ids are never reused: a hit on a table that is gone cannot happen.
 */
import { assert } from "@aura/base";
import { HeldBlocks } from "./held-blocks.ts";
import { LocationTable } from "./location-table.ts";

/** How often a block was wanted, and was here or not: each look-up counts once, also one that waits. */
export interface CacheCounts {
  hits: number;
  misses: number;
}

/** A table's part of the cache. Made by `BlockCache.openSpace`. */
export interface CacheSpace {
  /** Counted on by the cache. */
  readonly counts: CacheCounts;
  /** Never reused; 0 once the space is closed, which no block has. */
  id: number;
  /** Bytes of this space in slabs, and of them those in the small queue. Kept by the cache. */
  cachedBytes: number;
  smallBytes: number;
  /** Locations of blocks 0 to n - 1, 0 where a block is not in a slab. Kept by the cache. */
  places: Int32Array;
}

/** Counts since the cache was made. */
export interface BlockCacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly insertions: number;
  /** Blocks dropped to make room. */
  readonly evictions: number;
  /** Memory in use, at most `capacityBytes` if not more is pinned. */
  readonly usedBytes: number;
  /** Of it, what is pinned. */
  readonly pinnedBytes: number;
}

/** Words of the header in front of each block: space id, block number, length, uses. */
const HEAD_BYTES = 16;
const HEAD_SPACE = 0;
const HEAD_BLOCK = 1;
const HEAD_LENGTH = 2;
const HEAD_USES = 3;
/** Locations count 8-byte units, so that 16 GiB fit into 31 bits. */
const UNIT_SHIFT = 3;
/** Where the first block of a slab begins: no location is 0. */
const SLAB_START = 8;
const CAPACITY_BYTES_MAX = 16 * 1024 ** 3 - 1024 ** 2;
/** Below this a cache holds nothing. */
const CAPACITY_BYTES_MIN = 128 * 1024;
const SLAB_BYTES_MIN = 8 * 1024;
const SLAB_BYTES_MAX = 512 * 1024;
/** Two are never full and one is in reserve: with 32 slabs that cost 1 % of the hits (RFC 0011). */
const SLABS_WANTED = 128;
/** Fewer are none: two queues, a reserve, and one to fill. */
const SLABS_MIN = 4;
/** One slot of the location table per this many bytes of capacity: 0.8 % of it. */
const BYTES_PER_SLOT = 1024;
const BYTES_PER_GHOST = 4096;
const USES_MAX = 3;
/** The small queue's share of the slabs. */
const SMALL_SHARE = 0.1;
/** Slabs that are emptied with survivors before one is dropped whole: bounds the work of an insertion. */
const EMPTYING_STEPS_MAX = 16;

const NO_PLACES = new Int32Array(0);

interface Slab {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** Where the next block goes. */
  end: number;
}

const NO_SLAB: Slab = { bytes: new Uint8Array(0), words: new Int32Array(0), end: 0 };

/** Bytes-bounded, scan-resistant cache of blocks. */
export class BlockCache {
  readonly capacityBytes: number;
  /** Set by `find`: the block is bytes[start, end), borrowed until the next call on the cache. */
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  /** The memory of `bytes` as words, with the same begin; empty when there is no such view. */
  words: Int32Array = NO_PLACES;
  #hits = 0;
  #misses = 0;
  #insertions = 0;
  #evictions = 0;
  #lastSpaceId = 0;
  readonly #spaces = new Map<number, CacheSpace>();
  readonly #held = new HeldBlocks();
  readonly #slabBytes: number;
  /** Location >>> this is the slab's number. */
  readonly #slabShift: number;
  /** Slabs that the capacity has room for beside what is pinned. */
  #slabsMax = 0;
  /** By number; a number whose slab was given back is among `#gaps`, and is nowhere else. */
  readonly #slabs: Slab[] = [];
  readonly #gaps: number[] = [];
  #pinnedBytes = 0;
  readonly #free: number[] = [];
  /** An empty slab for the survivors of an emptied one; -1 while memory is not used up. */
  #reserve = -1;
  /** Slab numbers, oldest first; the last one is being filled. */
  readonly #small: number[] = [];
  readonly #main: number[] = [];
  readonly #locations: LocationTable;
  readonly #ghosts: Int32Array;
  /** Of the block that `reserve` made room for: its slab, and whether it left the small queue of late. */
  #reserved = 0;
  #isKnown = false;
  /** Bytes of spaces that are closed, in slabs of either queue. */
  #deadSmallBytes = 0;
  #deadMainBytes = 0;

  /** `capacityBytes`: up to 16 GiB; below 128 KiB nothing is cached. */
  constructor(options: { readonly capacityBytes: number }) {
    const { capacityBytes } = options;
    assert(Number.isSafeInteger(capacityBytes) && capacityBytes >= 0, "cache capacity in bytes");
    this.capacityBytes = Math.min(capacityBytes, CAPACITY_BYTES_MAX);
    const enabled = this.capacityBytes >= CAPACITY_BYTES_MIN;
    let slabBytes = SLAB_BYTES_MIN;
    while (slabBytes < SLAB_BYTES_MAX && slabBytes * 2 * SLABS_WANTED <= this.capacityBytes) {
      slabBytes *= 2;
    }
    this.#slabBytes = slabBytes;
    this.#slabShift = Math.log2(slabBytes) - UNIT_SHIFT;
    this.#locations = new LocationTable(
      enabled ? powerBelow(this.capacityBytes / BYTES_PER_SLOT) : 1,
    );
    this.#ghosts = new Int32Array(enabled ? powerBelow(this.capacityBytes / BYTES_PER_GHOST) : 1);
    this.#fitSlabs();
  }

  /** Bytes that are pinned, of all who pin. */
  get pinnedBytes(): number {
    return this.#pinnedBytes;
  }

  /**
   * Counts memory that others hold against the capacity, or, below 0, no longer. Blocks make room
   * for it at once.
   */
  pin(bytes: number): void {
    this.#pinnedBytes += bytes;
    this.#fitSlabs();
  }

  /** Makes room for what is pinned: slabs beyond their number are emptied and given back. */
  #fitSlabs(): void {
    if (this.capacityBytes < CAPACITY_BYTES_MIN) return;
    const room = this.capacityBytes - this.#bookBytes - this.#pinnedBytes;
    const count = Math.max(Math.floor(room / this.#slabBytes), 0);
    this.#slabsMax = count >= SLABS_MIN ? count : 0;
    while (this.#slabs.length - this.#gaps.length > this.#slabsMax) {
      let index = this.#free.pop();
      if (index === undefined && this.#small.length + this.#main.length > 0) {
        this.#emptyOldest(false);
        index = this.#free.pop();
      }
      if (index === undefined) {
        index = this.#reserve;
        this.#reserve = -1;
      }
      assert(index >= 0, "a slab to give back");
      this.#slabs[index] = NO_SLAB;
      this.#gaps.push(index);
    }
  }

  /** Location table and ghosts. */
  get #bookBytes(): number {
    return this.#locations.pairs.byteLength + this.#ghosts.byteLength;
  }

  /**
   * Opens a part of the cache for one table. Close it with `evictTable`. Blocks below `blockCount`
   * are found without a hash, and take no slot of the location table, for 4 bytes each, which are the opener's to count.
   */
  openSpace(counts: CacheCounts = { hits: 0, misses: 0 }, blockCount: number = 0): CacheSpace {
    const isMapped = blockCount > 0 && this.#slabsMax > 0;
    const places = isMapped ? new Int32Array(blockCount) : NO_PLACES;
    const space = { counts, id: ++this.#lastSpaceId, cachedBytes: 0, smallBytes: 0, places };
    this.#spaces.set(space.id, space);
    return space;
  }

  /** Closes the space `id`: its blocks are never a hit again. Idempotent. */
  evictTable(id: number): void {
    const space = this.#spaces.get(id);
    if (space === undefined) return;
    this.#spaces.delete(id);
    this.#held.removeSpace(id);
    // Its blocks stay where they are until their slabs are emptied, but nobody can ask for them.
    space.id = 0;
    space.places = NO_PLACES;
    this.#deadSmallBytes += space.smallBytes;
    this.#deadMainBytes += space.cachedBytes - space.smallBytes;
  }

  /** Returns whether the block is here, counts that, and sets `bytes`, `start` and `end` if it is. */
  find(space: CacheSpace, block: number): boolean {
    const { id, places } = space;
    if (block < places.length) {
      const place = places[block]!;
      return place === 0 ? this.#findHeld(space, block) : this.#stand(space, place);
    }
    const hash = hashOf(id, block);
    const { pairs, mask } = this.#locations;
    let slot = hash & mask;
    for (;;) {
      const location = pairs[slot * 2 + 1]!;
      if (location === 0) break;
      if (pairs[slot * 2] === hash) {
        const slab = this.#slabs[location >>> this.#slabShift]!;
        const word = ((location & ((1 << this.#slabShift) - 1)) << UNIT_SHIFT) >>> 2;
        const { words } = slab;
        if (words[word + HEAD_SPACE] === id && words[word + HEAD_BLOCK] === block) {
          return this.#stand(space, location);
        }
      }
      slot = (slot + 1) & mask;
    }
    return this.#findHeld(space, block);
  }

  /** Sets `bytes`, `start` and `end` to the block at a location. Returns true. */
  #stand(space: CacheSpace, location: number): boolean {
    const slab = this.#slabs[location >>> this.#slabShift]!;
    const { words } = slab;
    const at = (location & ((1 << this.#slabShift) - 1)) << UNIT_SHIFT;
    const word = at >>> 2;
    const uses = words[word + HEAD_USES]!;
    if (uses < USES_MAX) words[word + HEAD_USES] = uses + 1;
    this.bytes = slab.bytes;
    this.words = words;
    this.start = at + HEAD_BYTES;
    this.end = at + HEAD_BYTES + words[word + HEAD_LENGTH]!;
    this.#hits++;
    space.counts.hits++;
    return true;
  }

  #findHeld(space: CacheSpace, block: number): boolean {
    const held = this.#held.count === 0 ? undefined : this.#held.take(space.id, block);
    if (held === undefined) {
      this.#misses++;
      space.counts.misses++;
      return false;
    }
    space.counts.hits++;
    this.bytes = held;
    this.words = NO_PLACES;
    this.start = 0;
    this.end = held.length;
    this.#hits++;
    return true;
  }

  /**
   * As `find`, for who asked before and was counted then, and had to wait for the block: counts
   * nothing.
   */
  findLoaded(space: CacheSpace, block: number): boolean {
    const { counts } = space;
    const isHere = this.find(space, block);
    if (isHere) {
      this.#hits--;
      counts.hits--;
    } else {
      this.#misses--;
      counts.misses--;
    }
    return isHere;
  }

  /** Counts a block that was wanted and not asked for, since it is being read with its neighbours. */
  noteMiss(space: CacheSpace): void {
    this.#misses++;
    space.counts.misses++;
  }

  /** Returns whether the block is here, without counting it as a use. */
  has(space: CacheSpace, block: number): boolean {
    const { places } = space;
    if (block < places.length) return places[block] !== 0 || this.#held.has(space.id, block);
    const hash = hashOf(space.id, block);
    const { pairs, mask } = this.#locations;
    for (let slot = hash & mask; pairs[slot * 2 + 1] !== 0; slot = (slot + 1) & mask) {
      if (pairs[slot * 2] === hash && this.#standsAt(pairs[slot * 2 + 1]!, space.id, block)) {
        return true;
      }
    }
    return this.#held.has(space.id, block);
  }

  /** Returns whether `insert` can take a block of this length. */
  fits(length: number): boolean {
    return this.#slabsMax > 0 && SLAB_START + HEAD_BYTES + length + 7 <= this.#slabBytes;
  }

  /** Copies the block source[start, end) into the cache, unless it is there or does not fit. */
  insert(space: CacheSpace, block: number, source: Uint8Array, start: number, end: number): void {
    if (this.has(space, block) || !this.reserve(space, block, end - start)) return;
    this.bytes.set(source.subarray(start, end), this.start);
    this.fill(space, block, end - start);
  }

  /**
   * Makes room for a block of up to `length` bytes, which is not here: `bytes` from `start` on, to be
   * written to at once. `fill` puts it in. Returns false when it does not fit.
   */
  reserve(space: CacheSpace, block: number, length: number): boolean {
    if (!this.fits(length) || !this.#spaces.has(space.id)) return false;
    const hash = hashOf(space.id, block);
    this.#isKnown = this.#ghosts[hash & (this.#ghosts.length - 1)] === hash;
    const queue = this.#isKnown ? this.#main : this.#small;
    const isMapped = block < space.places.length;
    while (!isMapped && this.#locations.full) this.#emptyOldest(false);
    let index = queue.at(-1);
    if (index === undefined || this.#slabs[index]!.end + storedBytes(length) > this.#slabBytes) {
      index = this.#takeSlab();
      queue.push(index);
    }
    const slab = this.#slabs[index]!;
    this.#reserved = index;
    this.bytes = slab.bytes;
    this.words = slab.words;
    this.start = slab.end + HEAD_BYTES;
    this.end = this.start + length;
    return true;
  }

  /** Puts in the block that `reserve` made room for, with nothing called in between; not longer than said. */
  fill(space: CacheSpace, block: number, length: number): void {
    const hash = hashOf(space.id, block);
    if (this.#isKnown) this.#ghosts[hash & (this.#ghosts.length - 1)] = 0;
    else space.smallBytes += storedBytes(length);
    this.#insertions++;
    this.#seal(this.#reserved, space, block, length, 0);
  }

  /**
   * Keeps a block that `insert` cannot take, so that `uses` calls of `find` have it. `bytes` passes
   * over to the cache. A few such blocks, at most 8 MiB or one, are held beside the capacity.
   */
  hold(space: CacheSpace, block: number, bytes: Uint8Array, uses: number = 1): void {
    if (this.#spaces.has(space.id)) this.#held.add(space.id, block, bytes, uses);
  }

  /** Returns whether the block is here; if it is held, keeps it for `uses` more calls of `find`. */
  keep(space: CacheSpace, block: number, uses: number): boolean {
    return this.#held.keep(space.id, block, uses) || this.has(space, block);
  }

  stats(): BlockCacheStats {
    const enabled = this.capacityBytes >= CAPACITY_BYTES_MIN;
    const slabCount = this.#slabs.length - this.#gaps.length;
    return {
      hits: this.#hits,
      misses: this.#misses,
      insertions: this.#insertions,
      evictions: this.#evictions,
      usedBytes: this.#pinnedBytes + (enabled ? slabCount * this.#slabBytes + this.#bookBytes : 0),
      pinnedBytes: this.#pinnedBytes,
    };
  }

  #standsAt(location: number, id: number, block: number): boolean {
    const { words } = this.#slabs[location >>> this.#slabShift]!;
    const word = ((location & ((1 << this.#slabShift) - 1)) << UNIT_SHIFT) >>> 2;
    return words[word + HEAD_SPACE] === id && words[word + HEAD_BLOCK] === block;
  }

  /** Makes a block of what stands behind the end of a slab. */
  #seal(index: number, space: CacheSpace, block: number, length: number, uses: number): void {
    const slab = this.#slabs[index]!;
    const at = slab.end;
    const word = at >>> 2;
    slab.words[word + HEAD_SPACE] = space.id;
    slab.words[word + HEAD_BLOCK] = block;
    slab.words[word + HEAD_LENGTH] = length;
    slab.words[word + HEAD_USES] = uses;
    const bytes = storedBytes(length);
    slab.end = at + bytes;
    space.cachedBytes += bytes;
    const location = this.#locationOf(index, at);
    if (block < space.places.length) space.places[block] = location;
    else this.#locations.add(hashOf(space.id, block), location);
  }

  #locationOf(index: number, at: number): number {
    return (index << this.#slabShift) | (at >>> UNIT_SHIFT);
  }

  /** Returns an empty slab that is in no queue. */
  #takeSlab(): number {
    for (let step = 0; this.#free.length === 0; step++) {
      const slabCount = this.#slabs.length - this.#gaps.length;
      if (slabCount < this.#slabsMax - 1) return this.#newSlab();
      if (this.#reserve === -1) {
        if (slabCount < this.#slabsMax) this.#reserve = this.#newSlab();
        else {
          this.#emptyOldest(false);
          this.#reserve = this.#free.pop()!;
        }
      }
      this.#emptyOldest(step < EMPTYING_STEPS_MAX);
    }
    return this.#free.pop()!;
  }

  #newSlab(): number {
    const buffer = new ArrayBuffer(this.#slabBytes);
    const slab = { bytes: new Uint8Array(buffer), words: new Int32Array(buffer), end: SLAB_START };
    const gap = this.#gaps.pop();
    if (gap === undefined) return this.#slabs.push(slab) - 1;
    this.#slabs[gap] = slab;
    return gap;
  }

  /** Empties the oldest slab of one queue. `survival`: blocks in use move on to the main queue. */
  #emptyOldest(survival: boolean): void {
    const slabCount = this.#slabs.length - this.#gaps.length;
    const smallMax = Math.max(1, Math.floor(slabCount * SMALL_SHARE));
    // What is dead goes first, wherever it is.
    const fromSmall =
      this.#main.length === 0 ||
      this.#deadSmallBytes >= this.#slabBytes ||
      (this.#small.length > smallMax && this.#deadMainBytes < this.#slabBytes);
    const index = (fromSmall ? this.#small : this.#main).shift()!;
    const slab = this.#slabs[index]!;
    const survives = survival && this.#reserve !== -1;
    for (let at = SLAB_START; at < slab.end; ) {
      const word = at >>> 2;
      const length = slab.words[word + HEAD_LENGTH]!;
      this.#removeBlock(index, at, fromSmall, survives);
      at += storedBytes(length);
    }
    slab.end = SLAB_START;
    if (survives && this.#reserve === -1) this.#reserve = index;
    else this.#free.push(index);
  }

  #removeBlock(index: number, at: number, fromSmall: boolean, survives: boolean): void {
    const slab = this.#slabs[index]!;
    const word = at >>> 2;
    const id = slab.words[word + HEAD_SPACE]!;
    const block = slab.words[word + HEAD_BLOCK]!;
    const length = slab.words[word + HEAD_LENGTH]!;
    const uses = slab.words[word + HEAD_USES]!;
    const hash = hashOf(id, block);
    const bytes = storedBytes(length);
    const space = this.#spaces.get(id);
    const isMapped = space !== undefined && block < space.places.length;
    if (!isMapped) this.#locations.remove(hash, this.#locationOf(index, at));
    if (space === undefined) {
      if (fromSmall) this.#deadSmallBytes -= bytes;
      else this.#deadMainBytes -= bytes;
      return;
    }
    space.cachedBytes -= bytes;
    if (fromSmall) space.smallBytes -= bytes;
    if (isMapped) space.places[block] = 0;
    if (!survives || uses === 0) {
      this.#evictions++;
      if (fromSmall) this.#ghosts[hash & (this.#ghosts.length - 1)] = hash;
      return;
    }
    let target = this.#main.at(-1);
    if (target === undefined || this.#slabs[target]!.end + bytes > this.#slabBytes) {
      // The survivors of one slab always fit into one empty one.
      target = this.#reserve;
      assert(target !== -1, "a slab in reserve");
      this.#reserve = -1;
      this.#main.push(target);
    }
    const start = at + HEAD_BYTES;
    const { bytes: copy, end } = this.#slabs[target]!;
    copy.set(slab.bytes.subarray(start, start + length), end + HEAD_BYTES);
    this.#seal(target, space, block, length, fromSmall ? 0 : uses - 1);
  }
}

function hashOf(id: number, block: number): number {
  let hash = Math.imul(Math.imul(id, 0x9e3779b1) ^ block, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Bytes that a block of this length takes in a slab. */
function storedBytes(length: number): number {
  return (HEAD_BYTES + length + 7) & ~7;
}

function powerBelow(value: number): number {
  return 2 ** Math.floor(Math.log2(value));
}
