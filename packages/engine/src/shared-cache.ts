/**
 * One budget of memory for everything that is kept of files: blocks, values, filters, indexes. Of
 * one database, or of several that are given the same cache.
 *
 * Blocks and values give way to each other by use. Filters and indexes of open tables are pinned:
 * they take the room of blocks, up to a share of the capacity; beyond it, tables that nobody used of
 * late are closed. What is open at once is bounded from below: a reader needs the table it reads.
 */
import { AuraError } from "@aura/base";
import { BlockCache } from "@aura/sst";

/** Of the capacity, filters and indexes take at most this share. */
const PINNED_SHARE = 0.75;
/** So much they may take with any capacity: what is held may be above the capacity by as much. */
const PINNED_BYTES_MIN = 8 * 1024 * 1024;
const CAPACITY_MAX = 16 * 1024 ** 3;

/** Memory for blocks, values, filters and indexes. Made by `createCache`; needs no closing. */
export interface SharedCache {
  /** Bytes. */
  readonly capacity: number;
  /** Returns counts since it was made, over all databases, and bytes as they are now. */
  stats(): SharedCacheStats;
}

/** Figures of a cache. */
export interface SharedCacheStats {
  readonly usedBytes: number;
  /** Of it, filters and indexes of open tables. */
  readonly pinnedBytes: number;
  /** Blocks and values that were asked for, and were there or not. */
  readonly hits: number;
  readonly misses: number;
}

/** Whoever can close a table that was not used of late, and says whether it did. */
export interface CacheOwner {
  giveWay(): boolean;
}

/** The cache as the engine knows it. */
export class MemoryBudget implements SharedCache {
  readonly capacity: number;
  readonly blocks: BlockCache;
  readonly #owners = new Set<CacheOwner>();
  readonly #pinnedBytesMin: number;

  /** `pinnedBytesMin`: what filters and indexes may take with any capacity. */
  constructor(capacity: number, pinnedBytesMin: number = PINNED_BYTES_MIN) {
    this.#pinnedBytesMin = pinnedBytesMin;
    this.capacity = capacity;
    this.blocks = new BlockCache({ capacityBytes: capacity });
  }

  stats(): SharedCacheStats {
    const { usedBytes, pinnedBytes, hits, misses } = this.blocks.stats();
    return { usedBytes, pinnedBytes, hits, misses };
  }

  /** Most bytes of filters and indexes before tables are closed for them. */
  get pinnedBytesMax(): number {
    return Math.max(this.capacity * PINNED_SHARE, this.#pinnedBytesMin);
  }

  join(owner: CacheOwner): void {
    this.#owners.add(owner);
  }

  leave(owner: CacheOwner): void {
    this.#owners.delete(owner);
  }

  /** Has tables closed, of all databases in turn, until filters and indexes fit or nobody can. */
  settle(): void {
    let refusals = 0;
    while (this.blocks.pinnedBytes > this.pinnedBytesMax && refusals < this.#owners.size) {
      const [owner] = this.#owners;
      // To the end of the queue.
      this.#owners.delete(owner!);
      this.#owners.add(owner!);
      if (owner!.giveWay()) refusals = 0;
      else refusals++;
    }
  }
}

/**
 * Returns a cache of `capacity` bytes (0 to 16 GiB) for any number of databases of this thread:
 * `AuraDB.open(path, { cache })`. Throws AURA_INVALID_ARGUMENT.
 */
export function createCache({ capacity }: { readonly capacity: number }): SharedCache {
  if (!Number.isSafeInteger(capacity) || capacity < 0 || capacity > CAPACITY_MAX) {
    throw new AuraError(
      "AURA_INVALID_ARGUMENT",
      `createCache.capacity: expected a whole number from 0 to ${CAPACITY_MAX}, got ${capacity}`,
    );
  }
  return new MemoryBudget(capacity);
}
