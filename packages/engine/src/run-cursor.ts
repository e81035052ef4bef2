/**
 * A cursor over one run: its tables one behind the other, in both directions. One table is open at
 * a time, from the move that enters it to the move that leaves it. A table that cannot be opened or
 * read fails the move; it is never passed over. A move may have to wait for the opening of a table as
 * it does for a block.
 */
import { assert, compareBytes, type EntryCursor } from "@aura/base";
import type { Table, TableCursor, TableCursorOptions } from "@aura/sst";
import { type TableMeta, tableIndexFor } from "./version.ts";

const NO_BYTES = new Uint8Array(0);
const NO_TABLE = -1;
const Move = { first: 0, last: 1, seek: 2, seekBefore: 3 } as const;

/** How tables are opened without blocking. */
export interface ColdTables {
  /** Whether the opening of a table would read. */
  isCold(meta: TableMeta): boolean;
  /** Reads ahead, through the thread pool, what the opening reads. Does not fail. */
  warm(meta: TableMeta): Promise<void>;
}

/** Walks the entries of a run. */
export class RunCursor implements EntryCursor {
  valid = false;
  pending = false;
  readonly #tables: readonly TableMeta[];
  readonly #open: (meta: TableMeta) => Table;
  readonly #release: ((meta: TableMeta) => void) | undefined;
  readonly #options: TableCursorOptions;
  readonly #cold: ColdTables | undefined;
  /** The table whose opening a move waits for, and where it goes there. */
  #awaited = NO_TABLE;
  #move: number = Move.first;
  #key: Uint8Array = NO_BYTES;
  #index = NO_TABLE;
  #cursor: TableCursor | undefined;
  #forward = true;
  #openFailed = false;

  /**
   * `open` returns a table that stays open until `release` is called for it, or, without `release`,
   * as long as this cursor. `options` are those of the tables' cursors: with `mayRead`, missing
   * blocks are read on this thread and never `pending`. `cold`: moves wait for tables that are not
   * open; default: those are opened by the move.
   */
  constructor(
    tables: readonly TableMeta[],
    open: (meta: TableMeta) => Table,
    options: TableCursorOptions,
    release?: (meta: TableMeta) => void,
    cold?: ColdTables,
  ) {
    this.#cold = cold;
    this.#tables = tables;
    this.#open = open;
    this.#options = options;
    this.#release = release;
  }

  /** The move waits for the opening of a table: `loadSync` does several reads. */
  get opening(): boolean {
    return this.#awaited !== NO_TABLE;
  }

  get failed(): boolean {
    return this.#openFailed || this.#cursor?.failed === true;
  }

  get keyBytes(): Uint8Array {
    return this.#cursor?.keyBytes ?? NO_BYTES;
  }

  get keyStart(): number {
    return this.#cursor?.keyStart ?? 0;
  }

  get keyEnd(): number {
    return this.#cursor?.keyEnd ?? 0;
  }

  get seq(): number {
    return this.#cursor?.seq ?? 0;
  }

  get tag(): number {
    return this.#cursor?.tag ?? 0;
  }

  get valueBytes(): Uint8Array {
    return this.#cursor?.valueBytes ?? NO_BYTES;
  }

  get valueStart(): number {
    return this.#cursor?.valueStart ?? 0;
  }

  get valueEnd(): number {
    return this.#cursor?.valueEnd ?? 0;
  }

  first(): void {
    this.#begin(true);
    if (this.#tables.length > 0) this.#go(0, Move.first, NO_BYTES, 0, 0);
  }

  last(): void {
    this.#begin(false);
    const { length } = this.#tables;
    if (length > 0) this.#go(length - 1, Move.last, NO_BYTES, 0, 0);
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#begin(true);
    const index = tableIndexFor(this.#tables, key, start, end);
    if (index < this.#tables.length) this.#go(index, Move.seek, key, start, end);
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#begin(false);
    const tables = this.#tables;
    const index = tableIndexFor(tables, key, start, end);
    if (index < tables.length) {
      const { smallestKey } = tables[index]!;
      if (compareBytes(smallestKey, 0, smallestKey.length, key, start, end) < 0) {
        this.#go(index, Move.seekBefore, key, start, end);
        return;
      }
    }
    if (index > 0) this.#go(index - 1, Move.last, NO_BYTES, 0, 0);
  }

  next(): void {
    assert(this.valid, "next needs an entry");
    this.valid = false;
    this.#forward = true;
    const cursor = this.#cursor!;
    cursor.next();
    this.#settle(cursor);
  }

  prev(): void {
    assert(this.valid, "prev needs an entry");
    this.valid = false;
    this.#forward = false;
    const cursor = this.#cursor!;
    cursor.prev();
    this.#settle(cursor);
  }

  loadSync(): void {
    if (!this.pending) return;
    this.pending = false;
    if (this.#awaited !== NO_TABLE) {
      this.#goOn();
      return;
    }
    const cursor = this.#cursor!;
    cursor.loadSync();
    this.#settle(cursor);
  }

  async load(): Promise<void> {
    if (!this.pending) return;
    if (this.#awaited !== NO_TABLE) {
      await this.#cold!.warm(this.#tables[this.#awaited]!);
      this.pending = false;
      this.#goOn();
      return;
    }
    const cursor = this.#cursor!;
    try {
      await cursor.load();
    } finally {
      this.pending = false;
    }
    this.#settle(cursor);
  }

  close(): void {
    this.#begin(true);
    this.#leave();
  }

  /** Lends the block under the cursor to nobody any more, see `TableCursor.dropBlock`. */
  dropBlock(): void {
    this.#cursor?.dropBlock();
  }

  #begin(forward: boolean): void {
    this.valid = false;
    this.pending = false;
    this.#openFailed = false;
    this.#awaited = NO_TABLE;
    this.#forward = forward;
  }

  /** Begins a move in a table, or notes that it has to wait for the table. */
  #go(index: number, move: number, key: Uint8Array, start: number, end: number): void {
    if (this.#isCold(index)) {
      this.#key = key.slice(start, end);
      this.#await(index, move);
    } else this.#settle(this.#place(index, move, key, start, end));
  }

  /** Goes on with the move that waited for a table. */
  #goOn(): void {
    const index = this.#awaited;
    if (index === NO_TABLE) return;
    this.#awaited = NO_TABLE;
    this.#settle(this.#place(index, this.#move, this.#key, 0, this.#key.length));
  }

  #isCold(index: number): boolean {
    return index !== this.#index && this.#cold?.isCold(this.#tables[index]!) === true;
  }

  #await(index: number, move: number): void {
    this.#awaited = index;
    this.#move = move;
    this.pending = true;
  }

  /** Enters a table and moves its cursor. */
  #place(index: number, move: number, key: Uint8Array, start: number, end: number): TableCursor {
    const cursor = this.#enter(index);
    if (move === Move.first) cursor.first();
    else if (move === Move.last) cursor.last();
    else if (move === Move.seek) cursor.seek(key, start, end);
    else cursor.seekBefore(key, start, end);
    return cursor;
  }

  /** Takes over the state of the table's cursor, or goes on into the neighbouring tables. */
  #settle(moved: TableCursor): void {
    let cursor = moved;
    for (;;) {
      if (cursor.valid) {
        this.valid = true;
        return;
      }
      if (cursor.pending) {
        this.pending = true;
        return;
      }
      const index = this.#forward ? this.#index + 1 : this.#index - 1;
      if (index < 0 || index === this.#tables.length) return;
      const move = this.#forward ? Move.first : Move.last;
      if (this.#isCold(index)) {
        this.#await(index, move);
        return;
      }
      cursor = this.#place(index, move, NO_BYTES, 0, 0);
    }
  }

  #enter(index: number): TableCursor {
    if (index === this.#index && this.#cursor !== undefined) return this.#cursor;
    this.#leave();
    // Until the table is open, nothing tells this state from the end of the data but this.
    this.#openFailed = true;
    const table = this.#open(this.#tables[index]!);
    this.#cursor = table.cursor(this.#options);
    this.#index = index;
    this.#openFailed = false;
    return this.#cursor;
  }

  #leave(): void {
    if (this.#cursor === undefined) return;
    this.#cursor.close();
    this.#cursor = undefined;
    this.#release?.(this.#tables[this.#index]!);
    this.#index = NO_TABLE;
  }
}
