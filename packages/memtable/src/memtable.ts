/**
 * What every memtable can do, whichever structure keeps it in order.
 *
 * A memtable holds versions: a user key, a sequence number, a tag byte and a value. Their order is
 * by user key ascending (unsigned bytes), then by sequence number descending. Nothing is overwritten,
 * removed or moved. One thread adds; it and any other thread read.
 */
import type { EntryCursor } from "@aura/base";

/** The structures that keep a memtable in order; see docs/rfcs/0003-memtables.md for the choice. */
export type MemtableImplementation = "art" | "hash-runs" | "btree" | "skiplist";

/** How a memtable is made. */
export interface MemtableOptions {
  /** Seeds what is drawn by chance (heights of towers, the hash of keys); any whole number. */
  readonly seed: number;
}

/** A memtable for another thread to read. Structured-cloneable; the arena is shared. */
export interface MemtableShare {
  readonly implementation: MemtableImplementation;
  readonly buffer: SharedArrayBuffer;
  /** Which memtable of this arena: a view of an earlier one is refused. */
  readonly generation: number;
}

/** Reads one memtable. The arena must not be released while it is used. */
export interface MemtableReader {
  /** The arena, for `hitValueStart` and `hitValueEnd`. Borrowed: copy out before giving on. */
  readonly bytes: Uint8Array;
  /** Sequence number of the last hit. */
  readonly hitSeq: number;
  /** Tag byte of the last hit. */
  readonly hitTag: number;
  /** The value of the last hit is bytes[hitValueStart, hitValueEnd). */
  readonly hitValueStart: number;
  readonly hitValueEnd: number;

  /** Entries, versions counted one by one. */
  readonly entryCount: number;
  /** Bytes in use: of the arena, its header included, and of what is kept beside it per entry. */
  readonly usedBytes: number;

  /**
   * Finds the newest version of key[start, end) with a sequence number <= seqMax. Returns whether
   * there is one (a delete counts) and leaves it in the `hit` fields.
   */
  find(key: Uint8Array, start: number, end: number, seqMax: number): boolean;

  /**
   * Returns a cursor, not yet on an entry. It never suspends and never fails, and stays right while
   * entries are added: what was complete when its last `seek`, `seekBefore`, `first` or `last`
   * began is seen, what was added later may be. Closing it is optional.
   */
  cursor(): EntryCursor;

  /** Returns what another thread needs to read this memtable. */
  share(): MemtableShare;
}

/** A memtable for its one writing thread. */
export interface Memtable extends MemtableReader {
  /** Bytes of the arena that entries may still take. It falls with every add, and never rises. */
  readonly roomBytes: number;

  /**
   * Returns the most that an entry with this key and value takes of `roomBytes`. Entries whose
   * bounds sum up to at most `roomBytes` can all be added.
   */
  entryBytesMax(keyBytes: number, valueBytes: number): number;

  /**
   * Adds one version: a copy of key[keyStart, keyEnd) and value[valueStart, valueEnd). Returns
   * false when there is no room, and then nothing changed. Versions of one key are added in rising
   * order of their sequence numbers. Throws AURA_KEY_TOO_LONG.
   */
  add(
    seq: number,
    tag: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): boolean;
}
