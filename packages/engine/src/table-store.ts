/**
 * Open tables, by number, opened when first asked for.
 *
 * Two bounds. At most `maxOpenFiles` tables have a file handle; the rest give theirs back and take
 * a new one at their next read, so what they hold in memory (filter, index, cached blocks) stays.
 * At most `RESIDENT_FACTOR` times as many tables stay open at all. Which one gives way is decided
 * by second chance: the first in the queue that nobody used again since its last turn. A table that
 * is held gives way to nobody; each bound may be passed by as many.
 */
import type { FileSystem } from "@aura/base";
import { AuraError, assert } from "@aura/base";
import { learnedIndex } from "@aura/learned-index";
import { BlockCache, type BlockIndexFormat, Table } from "@aura/sst";
import { filePath } from "./file-names.ts";
import type { Identity } from "./manifest.ts";
import type { TableMeta } from "./version.ts";

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
export class TableStore {
  /** Blocks of all tables. */
  readonly cache: BlockCache;
  readonly #options: TableStoreOptions;
  readonly #formats: readonly BlockIndexFormat[] = [learnedIndex()];
  /** Both in the order of the next sweep. */
  readonly #open = new Map<number, OpenTable>();
  readonly #granted = new Map<number, OpenTable>();
  /** Forgotten tables that are still held. */
  readonly #leaving = new Map<number, OpenTable>();
  #closed = false;

  constructor(options: TableStoreOptions) {
    assert(options.maxOpenFiles >= 1, "a table store needs an open file");
    this.#options = options;
    this.cache = new BlockCache({ capacityBytes: options.cacheBytes });
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
    const open = this.#open.get(meta.number) ?? this.#openTable(meta);
    // Not at the first use: a table that is used once only gives way first.
    if (open.hasGrant) {
      open.handleUsed = true;
      open.tableUsed = true;
    } else this.#grant(meta.number, open);
    return open.table;
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

  /** Closes a table, now or with its last holder, and evicts its blocks. Its file is going away. */
  forget(number: number): void {
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
    for (const number of [...this.#open.keys()]) this.forget(number);
  }

  #openTable(meta: TableMeta): OpenTable {
    if (this.#closed) throw new AuraError("AURA_CLOSED", "the database is closed");
    const { fs, directory, identity, maxOpenFiles } = this.#options;
    this.#closeUnused(maxOpenFiles * RESIDENT_FACTOR - 1);
    this.#returnHandles(maxOpenFiles - 1);
    const { number, uid } = meta;
    const table = Table.openSync(fs, {
      path: filePath(directory, number, "sst"),
      number,
      uid,
      databaseUuid: identity.databaseUuid,
      hashSeed: identity.hashSeed,
      indexFormats: this.#formats,
      cache: this.cache,
    });
    const open: OpenTable = {
      table,
      handleUsed: false,
      tableUsed: false,
      hasGrant: false,
      holders: 0,
      forgotten: false,
    };
    this.#open.set(number, open);
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
