/**
 * The blocks of one run slice, table behind table, within a range of keys. One table is open at a
 * time; a table that cannot be opened or read fails the scan, it is never passed over.
 */
import { compareKeys, type FileSystem } from "@aura/base";
import { type LentBytes, type TableIdentity, TableScan } from "@aura/sst";
import type { TableMeta } from "../version.ts";

/** A range of user keys; an open end is undefined. */
export interface ScanRange {
  /** Inclusive. */
  readonly from?: Uint8Array | undefined;
  /** Exclusive. */
  readonly to?: Uint8Array | undefined;
}

/** How a run is read. */
export interface RunScanOptions {
  readonly range: ScanRange;
  /** What all keys of the merge begin with. */
  readonly shared: Uint8Array;
  readonly window: LentBytes;
  readonly unpacked: LentBytes;
  /** Returns which file a table is. */
  readonly identityOf: (meta: TableMeta) => TableIdentity;
}

/** Walks the blocks of a run forward. */
export class RunScan {
  /** Columns of the current block. Another object when the scan goes on to another table. */
  scan: TableScan | undefined;
  readonly #fs: FileSystem;
  readonly #tables: readonly TableMeta[];
  readonly #options: RunScanOptions;
  #next = 0;

  constructor(fs: FileSystem, tables: readonly TableMeta[], options: RunScanOptions) {
    this.#fs = fs;
    const { from, to } = options.range;
    this.#tables = tables.filter(
      ({ smallestKey, largestKey }) =>
        (from === undefined || compareKeys(largestKey, from) >= 0) &&
        (to === undefined || compareKeys(smallestKey, to) < 0),
    );
    this.#options = options;
  }

  /** Goes on to the next block that has entries in the range. Returns false at the end of the run. */
  nextBlock(): boolean {
    for (;;) {
      if (this.scan?.nextBlock() === true) return true;
      this.closeSync();
      const meta = this.#tables[this.#next];
      if (meta === undefined) return false;
      this.#next++;
      const { identityOf, window, unpacked, shared, range } = this.#options;
      const options = { window, unpacked, shared, ...range };
      this.scan = TableScan.openSync(this.#fs, identityOf(meta), options);
    }
  }

  closeSync(): void {
    this.scan?.closeSync();
    this.scan = undefined;
  }
}
