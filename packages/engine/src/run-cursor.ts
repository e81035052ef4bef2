/**
 * A cursor over one run: its tables one behind the other, in both directions. One table is open at
 * a time, from the move that enters it to the move that leaves it. A table that cannot be opened or
 * read fails the move; it is never passed over.
 */
import { assert, compareBytes, type EntryCursor } from "@aura/base";
import type { Table, TableCursor, TableCursorOptions } from "@aura/sst";
import { type TableMeta, tableIndexFor } from "./version.ts";

const NO_BYTES = new Uint8Array(0);
const NO_TABLE = -1;

/** Walks the entries of a run. */
export class RunCursor implements EntryCursor {
  valid = false;
  pending = false;
  readonly #tables: readonly TableMeta[];
  readonly #open: (meta: TableMeta) => Table;
  readonly #release: ((meta: TableMeta) => void) | undefined;
  readonly #options: TableCursorOptions;
  #index = NO_TABLE;
  #cursor: TableCursor | undefined;
  #forward = true;
  #openFailed = false;

  /**
   * `open` returns a table that stays open until `release` is called for it, or, without `release`,
   * as long as this cursor. `options` are those of the tables' cursors: with `mayRead`, missing
   * blocks are read on this thread and never `pending`.
   */
  constructor(
    tables: readonly TableMeta[],
    open: (meta: TableMeta) => Table,
    options: TableCursorOptions,
    release?: (meta: TableMeta) => void,
  ) {
    this.#tables = tables;
    this.#open = open;
    this.#options = options;
    this.#release = release;
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
    if (this.#tables.length === 0) return;
    const cursor = this.#enter(0);
    cursor.first();
    this.#settle(cursor);
  }

  last(): void {
    this.#begin(false);
    if (this.#tables.length === 0) return;
    const cursor = this.#enter(this.#tables.length - 1);
    cursor.last();
    this.#settle(cursor);
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#begin(true);
    const index = tableIndexFor(this.#tables, key, start, end);
    if (index === this.#tables.length) return;
    const cursor = this.#enter(index);
    cursor.seek(key, start, end);
    this.#settle(cursor);
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#begin(false);
    const tables = this.#tables;
    const index = tableIndexFor(tables, key, start, end);
    if (index < tables.length) {
      const { smallestKey } = tables[index]!;
      if (compareBytes(smallestKey, 0, smallestKey.length, key, start, end) < 0) {
        const cursor = this.#enter(index);
        cursor.seekBefore(key, start, end);
        this.#settle(cursor);
        return;
      }
    }
    if (index === 0) return;
    const cursor = this.#enter(index - 1);
    cursor.last();
    this.#settle(cursor);
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
    const cursor = this.#cursor!;
    cursor.loadSync();
    this.#settle(cursor);
  }

  async load(): Promise<void> {
    if (!this.pending) return;
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
    this.#forward = forward;
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
      cursor = this.#enter(index);
      if (this.#forward) cursor.first();
      else cursor.last();
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
