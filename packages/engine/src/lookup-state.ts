/** What a look-up keeps while it waits for the disk, and what it found. */
import type { Buffer } from "node:buffer";
import { TableHit } from "@aura/sst";
import type { TableMeta, Version } from "./version.ts";

/** Where a search through the tables of a version stands. */
export class Search {
  /** Index in the read order. */
  run = 0;
  hit: TableHit = new TableHit();
  /** Set when the search waits: for `hit.block` of this table. */
  meta: TableMeta | undefined;
  /** Hash of the key as a signed number, once a table was asked. */
  hash = 0;
  isHashed = false;
  /** Runs asked so far. */
  asked = 0;

  reset(): void {
    this.run = 0;
    this.isHashed = false;
    this.asked = 0;
    this.hit.searched = 0;
  }
}

/** What a search found: a value, or the pointer to one that is apart. */
export interface FoundEntry {
  readonly bytes: Buffer;
  readonly isApart: boolean;
}

/** A key of `findMany` whose search waits. */
export interface WaitingKey {
  readonly search: Search;
  readonly version: Version;
  readonly key: Uint8Array;
  readonly target: number;
}

/** A read on its way through the thread pool. */
export interface WaitingRead {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly search: Search;
  /** The pointer to follow, when the search is over. */
  readonly pointer: Buffer | undefined;
}
