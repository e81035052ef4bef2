/**
 * Reading a memtable, in the thread that writes it or in another one. A find allocates nothing:
 * its answer is left in the `hit` fields.
 */
import { assert, type EntryCursor } from "@aura/base";
import {
  keyOffset,
  NODE_SEQ_HIGH,
  NODE_SHAPE,
  NODE_VALUE_BYTES,
  WORD_PUBLISHED,
} from "./arena-layout.ts";
import type { SkipList } from "./skip-list.ts";
import { SkipListCursor } from "./skip-list-cursor.ts";

/** A view of a memtable that another thread writes. Structured-cloneable; the arena is shared. */
export interface MemtableShare {
  readonly buffer: SharedArrayBuffer;
  /** Which memtable of this arena: a view of an earlier one is refused. */
  readonly generation: number;
}

/** Reads one memtable. The arena must not be released while it is used. */
export class SkipListReader {
  /** The arena, for `hitValueStart` and `hitValueEnd`. Borrowed: copy out before giving on. */
  readonly bytes: Uint8Array;
  /** Sequence number of the last hit. */
  hitSeq = 0;
  /** Tag byte of the last hit. */
  hitTag = 0;
  /** The value of the last hit is bytes[hitValueStart, hitValueEnd). */
  hitValueStart = 0;
  hitValueEnd = 0;
  /** The list itself; for this package only. */
  protected readonly list: SkipList;

  constructor(list: SkipList) {
    this.list = list;
    this.bytes = list.bytes;
  }

  /** Entries, versions counted one by one. */
  get entryCount(): number {
    return this.list.count();
  }

  /** Bytes of the arena in use, its header included. */
  get usedBytes(): number {
    return Atomics.load(this.list.words, WORD_PUBLISHED) * 4;
  }

  /**
   * Finds the newest version of key[start, end) with a sequence number <= seqMax. Returns whether
   * there is one (a delete counts) and leaves it in the `hit` fields.
   */
  find(key: Uint8Array, start: number, end: number, seqMax: number): boolean {
    const list = this.list;
    const node = list.locate(key, start, end, seqMax);
    if (node === 0 || !list.hasKey(node, key, start, end)) return false;
    const words = list.words;
    const shape = words[node + NODE_SHAPE]!;
    const valueStart = keyOffset(node, shape) + (shape & 0xffff);
    this.hitSeq = list.seqOf(node);
    this.hitTag = words[node + NODE_SEQ_HIGH]! >>> 24;
    this.hitValueStart = valueStart;
    this.hitValueEnd = valueStart + words[node + NODE_VALUE_BYTES]!;
    return true;
  }

  /** Returns a cursor, not yet on an entry. It holds nothing: closing it is optional. */
  cursor(): EntryCursor {
    return new SkipListCursor(this.list);
  }

  /** Returns what another thread needs to read this memtable. */
  share(): MemtableShare {
    assert(this.list.generation !== 0, "a memtable has a generation");
    return { buffer: this.list.buffer, generation: this.list.generation };
  }
}
