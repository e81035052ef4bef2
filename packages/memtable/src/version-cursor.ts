/**
 * A cursor over an index that names the newest version of each key: it moves along the chain of a
 * key's versions, and at its ends along the keys of a path.
 */
import { assert, type EntryCursor } from "@aura/base";
import type { EntryLog } from "./entry-log.ts";

/** A position among the keys of an index, in both directions. */
export interface KeyPath {
  /** The newest version of the key it stands on, as of when it came there; 0: off the end. */
  readonly newest: number;
  first(): void;
  last(): void;
  /** Moves to the first key >= key[start, end). */
  seek(key: Uint8Array, start: number, end: number): void;
  /** Moves to the last key < key[start, end). */
  seekBefore(key: Uint8Array, start: number, end: number): void;
  /** Moves one key on. Precondition: on a key. */
  next(): void;
  /** Moves one key back. Precondition: on a key. */
  prev(): void;
}

/** Walks the entries of one memtable. Key and value views are the arena itself. */
export class VersionCursor implements EntryCursor {
  valid = false;
  readonly pending: boolean = false;
  readonly failed: boolean = false;
  readonly keyBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  seq = 0;
  tag = 0;
  readonly valueBytes: Uint8Array;
  valueStart = 0;
  valueEnd = 0;
  readonly #log: EntryLog;
  readonly #path: KeyPath;
  #entry = 0;

  constructor(log: EntryLog, path: KeyPath) {
    this.#log = log;
    this.#path = path;
    this.keyBytes = log.bytes;
    this.valueBytes = log.bytes;
  }

  first(): void {
    this.#log.refresh();
    this.#path.first();
    this.#stand(this.#path.newest);
  }

  last(): void {
    this.#log.refresh();
    this.#path.last();
    this.#standOldest();
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#log.refresh();
    this.#path.seek(key, start, end);
    this.#stand(this.#path.newest);
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#log.refresh();
    this.#path.seekBefore(key, start, end);
    this.#standOldest();
  }

  next(): void {
    assert(this.valid, "next needs an entry");
    const older = this.#log.olderOf(this.#entry);
    if (older !== 0) {
      this.#stand(older);
      return;
    }
    this.#path.next();
    this.#stand(this.#path.newest);
  }

  prev(): void {
    assert(this.valid, "prev needs an entry");
    const { newest } = this.#path;
    if (this.#entry !== newest) {
      this.#stand(this.#log.versionAbove(newest, this.seq));
      return;
    }
    this.#path.prev();
    this.#standOldest();
  }

  loadSync(): void {}

  load(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.valid = false;
  }

  #standOldest(): void {
    const { newest } = this.#path;
    this.#stand(newest === 0 ? 0 : this.#log.oldestOf(newest));
  }

  #stand(entry: number): void {
    this.#entry = entry;
    if (entry === 0) {
      this.valid = false;
      return;
    }
    const log = this.#log;
    const shape = log.words[entry]!;
    const keyStart = log.keyStart(entry, shape);
    const keyEnd = keyStart + (shape & 0xffff);
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.valueStart = keyEnd;
    this.valueEnd = keyEnd + log.valueBytes(entry, shape);
    this.seq = log.seqOf(entry);
    this.tag = log.tagOf(entry);
    this.valid = true;
  }
}
