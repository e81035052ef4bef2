/**
 * Open tables, by number, opened when first asked for.
 *
 * Two bounds. At most `maxOpenFiles` tables have a file handle; the rest give theirs back and take
 * a new one at their next read, so what they hold in memory (filter, index, cached blocks) stays.
 * At most `RESIDENT_FACTOR` times as many tables stay open at all. Which one gives way is decided
 * by second chance: the first in the queue that nobody used again since its last turn. A table that
 * is held gives way to nobody; each bound may be passed by as many. A third bound is that of memory:
 * what open tables hold counts against the cache (`shared-cache.ts`).
 */
import type { FileSystem } from "@aura/base";
import { AuraError, assert } from "@aura/base";
import { learnedIndex } from "@aura/learned-index";
import {
  type BlockCache,
  type BlockIndexFormat,
  LentMemory,
  type RangeFragments,
  readRangesSync,
  Table,
  TableCounts,
} from "@aura/sst";
import { filePath } from "./file-names.ts";
import type { Identity } from "./manifest.ts";
import { type CacheOwner, MemoryBudget } from "./shared-cache.ts";
import type { TableMeta } from "./version.ts";

/** What opening a table reads: its head, and its filter, index and maps at the end of the file. */
const HEAD_BYTES = 4096;
const TAIL_SHARE = 32;
const TAIL_BYTES_MIN = 64 * 1024;
/** Systems read ahead by as much. */
const TOUCH_EVERY = 64 * 1024;
/** Tables that stay open, per table that may have a file handle. */
const RESIDENT_FACTOR = 4;

/** Where tables are and what they share. */
export interface TableStoreOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  readonly identity: Identity;
  /** Tables with an open file at once, 1 or more. */
  readonly maxOpenFiles: number;
  /** Bytes of the block cache that all tables share. */
  readonly cacheBytes: number;
  /** The cache, where it is shared with other databases. */
  readonly sharedCache?: MemoryBudget | undefined;
}

interface OpenTable {
  readonly table: Table;
  /** Used again since the last sweep for a handle, and since the last one for a table. */
  handleUsed: boolean;
  tableUsed: boolean;
  /** May have a file handle: it is in the queue for handles. */
  hasGrant: boolean;
  holders: number;
  /** Nobody may open it any more; it is closed with its last holder. */
  forgotten: boolean;
}

/** Opens, shares and closes tables. Every table's uid, number and database are checked at opening. */
export class TableStore implements CacheOwner {
  /** Blocks of all tables. */
  readonly cache: BlockCache;
  /** Where cursors put blocks whose values they hand out. */
  readonly lent: LentMemory = new LentMemory();
  /** Tables that were closed because filters and indexes took too much memory. */
  closedForMemory = 0;
  readonly #budget: MemoryBudget;
  readonly #options: TableStoreOptions;
  readonly #formats: readonly BlockIndexFormat[] = [learnedIndex()];
  /** Both in the order of the next sweep. */
  readonly #open = new Map<number, OpenTable>();
  readonly #granted = new Map<number, OpenTable>();
  /** Forgotten tables that are still held. */
  readonly #leaving = new Map<number, OpenTable>();
  /** Of tables that are not forgotten, open or not. */
  readonly #counts = new Map<number, TableCounts>();
  /** Blocks found and not found of those that are. */
  #pastHits = 0;
  #pastMisses = 0;
  /** Tables that are being read ahead of their opening. */
  readonly #warming = new Map<number, Promise<void>>();
  #closed = false;

  constructor(options: TableStoreOptions) {
    assert(options.maxOpenFiles >= 1, "a table store needs an open file");
    this.#options = options;
    this.#budget = options.sharedCache ?? new MemoryBudget(options.cacheBytes);
    this.cache = this.#budget.blocks;
    this.#budget.join(this);
  }

  /** Returns what was counted of a table, undefined when it was never open. */
  countsOf(number: number): TableCounts | undefined {
    return this.#counts.get(number);
  }

  /** Returns a table if it is open, without counting that as a use. */
  opened(number: number): Table | undefined {
    return this.#open.get(number)?.table;
  }

  /** Blocks of this database that were found in the cache and that were not. */
  get blockCounts(): { readonly hits: number; readonly misses: number } {
    let hits = this.#pastHits;
    let misses = this.#pastMisses;
    for (const { blocks } of this.#counts.values()) {
      hits += blocks.hits;
      misses += blocks.misses;
    }
    return { hits, misses };
  }

  /** Tables that are open. */
  get openCount(): number {
    return this.#open.size + this.#leaving.size;
  }

  /** Memory that open tables hold outside the cache, bytes. */
  get residentBytes(): number {
    let bytes = 0;
    for (const { table } of this.#open.values()) bytes += table.residentBytes;
    return bytes;
  }

  /**
   * Returns a table for use within this turn of the event loop. Throws AURA_CORRUPTION (also when
   * another file is in its place), AURA_UNSUPPORTED, AURA_NOT_FOUND, AURA_IO, AURA_CLOSED.
   */
  get(meta: TableMeta): Table {
    return this.#use(meta, this.#open.get(meta.number) ?? this.#openTable(meta));
  }

  #use(meta: TableMeta, open: OpenTable): Table {
    // Not at the first use: a table that is used once only gives way first.
    if (open.hasGrant) {
      open.handleUsed = true;
      open.tableUsed = true;
    } else this.#grant(meta.number, open);
    return open.table;
  }

  /** Returns the range tombstones of a table, and reads nothing else of it. Throws as `get`. */
  readRanges({ number, uid }: TableMeta): RangeFragments | undefined {
    const { fs, directory, identity } = this.#options;
    const open = this.#open.get(number);
    if (open !== undefined) return open.table.ranges;
    const path = filePath(directory, number, "sst");
    return readRangesSync(fs, { path, number, uid, databaseUuid: identity.databaseUuid });
  }

  /** As `get`; undefined when the table has to be opened first. */
  peek(meta: TableMeta): Table | undefined {
    const open = this.#open.get(meta.number);
    return open === undefined ? undefined : this.#use(meta, open);
  }

  /**
   * Brings what the opening of a table reads into the system's page cache, through the thread pool:
   * then `get` is quick. Reads a little too much, since it does not know where the blocks end. Does
   * not fail: what is wrong with the file, `get` says.
   */
  warm(meta: TableMeta): Promise<void> {
    let warming = this.#warming.get(meta.number);
    if (warming === undefined) {
      warming = this.#warm(meta).finally(() => this.#warming.delete(meta.number));
      this.#warming.set(meta.number, warming);
    }
    return warming;
  }

  /**
   * Touches here and there what the opening of a table reads, on this thread, as long as `isQuick`. Returns
   * whether it was to the end: then all of it is in the page cache, but for what somebody pushed out of
   * the middle. Does not fail, as `warm`.
   */
  touchSync(meta: TableMeta, isQuick: () => boolean): boolean {
    const { fs, directory } = this.#options;
    const byte = new Uint8Array(1);
    try {
      const handle = fs.openSync(filePath(directory, meta.number, "sst"), "read");
      try {
        handle.readSync(byte, 0);
        for (let at = meta.bytes - 1; at >= tailStart(meta) && isQuick(); at -= TOUCH_EVERY) {
          handle.readSync(byte, at);
        }
      } finally {
        handle.closeSync();
      }
    } catch {
      // The opening meets it again.
    }
    return isQuick();
  }

  async #warm(meta: TableMeta): Promise<void> {
    if (this.#closed) return;
    const { fs, directory } = this.#options;
    const { number, bytes } = meta;
    const start = tailStart(meta);
    try {
      const handle = fs.openSync(filePath(directory, number, "sst"), "read");
      try {
        await handle.read(new Uint8Array(Math.min(bytes, HEAD_BYTES)), 0);
        await handle.read(new Uint8Array(bytes - start), start);
      } finally {
        handle.closeSync();
      }
    } catch {
      // The opening meets it again.
    }
  }

  /** Returns a table that stays open until `release`. Throws as `get`. */
  hold(meta: TableMeta): Table {
    const table = this.get(meta);
    this.#open.get(meta.number)!.holders++;
    return table;
  }

  /** Ends one `hold`. */
  release(meta: TableMeta): void {
    const { number } = meta;
    const leaving = this.#leaving.get(number);
    const open = leaving ?? this.#open.get(number);
    assert(open !== undefined && open.holders > 0, "a table is released once for each hold");
    open.holders--;
    if (leaving === undefined || open.holders > 0) return;
    this.#leaving.delete(number);
    open.table.closeSync();
  }

  /** Closes a table that was not used of late, if there is one, for the sake of memory. */
  giveWay(): boolean {
    const { size } = this.#open;
    this.#closeUnused(size - 1);
    const isClosed = this.#open.size < size;
    if (isClosed) this.closedForMemory++;
    return isClosed;
  }

  /** Closes a table, now or with its last holder, and evicts its blocks. Its file is going away. */
  forget(number: number): void {
    const counts = this.#counts.get(number);
    if (counts !== undefined) {
      this.#pastHits += counts.blocks.hits;
      this.#pastMisses += counts.blocks.misses;
      this.#counts.delete(number);
    }
    const open = this.#open.get(number);
    if (open === undefined) return;
    this.#open.delete(number);
    this.#granted.delete(number);
    open.forgotten = true;
    if (open.holders === 0) open.table.closeSync();
    else this.#leaving.set(number, open);
  }

  /** Closes all tables, those that are held with their last holder. None is opened any more. */
  closeAll(): void {
    this.#closed = true;
    this.#budget.leave(this);
    for (const number of [...this.#open.keys()]) this.forget(number);
  }

  #openTable(meta: TableMeta): OpenTable {
    if (this.#closed) throw new AuraError("AURA_CLOSED", "the database is closed");
    const { fs, directory, identity, maxOpenFiles } = this.#options;
    this.#closeUnused(maxOpenFiles * RESIDENT_FACTOR - 1);
    this.#returnHandles(maxOpenFiles - 1);
    const { number, uid } = meta;
    let counts = this.#counts.get(number);
    if (counts === undefined) {
      counts = new TableCounts();
      this.#counts.set(number, counts);
    }
    const table = Table.openSync(fs, {
      path: filePath(directory, number, "sst"),
      number,
      uid,
      databaseUuid: identity.databaseUuid,
      hashSeed: identity.hashSeed,
      indexFormats: this.#formats,
      cache: this.cache,
      counts,
    });
    const open: OpenTable = {
      table,
      handleUsed: false,
      tableUsed: false,
      hasGrant: false,
      // Until it is in the hands of who asked for it.
      holders: 1,
      forgotten: false,
    };
    this.#open.set(number, open);
    this.#budget.settle();
    open.holders--;
    return open;
  }

  #grant(number: number, open: OpenTable): void {
    this.#returnHandles(this.#options.maxOpenFiles - 1);
    open.hasGrant = true;
    this.#granted.set(number, open);
  }

  #returnHandles(wanted: number): void {
    while (this.#granted.size > wanted) {
      const number = nextUnused(this.#granted, "handleUsed");
      if (number === undefined) return;
      const open = this.#granted.get(number)!;
      this.#granted.delete(number);
      open.hasGrant = false;
      open.table.releaseHandle();
    }
  }

  #closeUnused(wanted: number): void {
    while (this.#open.size > wanted) {
      const number = nextUnused(this.#open, "tableUsed");
      if (number === undefined) return;
      const { table } = this.#open.get(number)!;
      this.#open.delete(number);
      this.#granted.delete(number);
      table.closeSync();
    }
  }
}

/** Returns where what the opening of a table reads begins, its head aside, or a little before. */
function tailStart({ bytes, filterBits }: TableMeta): number {
  const tail = filterBits / 8 + bytes / TAIL_SHARE + TAIL_BYTES_MIN;
  return Math.max(Math.floor(bytes - tail), 0);
}

/**
 * Returns the first table of the queue that is neither held nor used since the last sweep. Those
 * passed over go to its end. Undefined when all are held.
 */
function nextUnused(
  queue: Map<number, OpenTable>,
  used: "handleUsed" | "tableUsed",
): number | undefined {
  // Twice round at most: the first round takes away every second chance.
  let steps = queue.size * 2;
  for (const [number, open] of queue) {
    if (open.holders === 0 && !open[used]) return number;
    if (steps-- === 0) return undefined;
    open[used] = false;
    queue.delete(number);
    queue.set(number, open);
  }
  return undefined;
}
