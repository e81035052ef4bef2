/**
 * Reading a memtable, in the thread that writes it or in another one. A find allocates nothing:
 * its answer is left in the `hit` fields.
 */
import { assert, type EntryCursor } from "@aura/base";
import { WORD_COUNT, WORD_PUBLISHED } from "./arena.ts";
import type { MemtableReader, MemtableShare } from "./memtable.ts";
import { SkipList } from "./skip-list.ts";
import { SkipListCursor } from "./skip-list-cursor.ts";
import { keyOffset, NODE_SEQ_HIGH, NODE_SHAPE, NODE_VALUE_BYTES } from "./skip-list-layout.ts";

/** Reads one memtable of this kind, in any thread. */
export class SkipListReader implements MemtableReader {
  readonly bytes: Uint8Array;
  hitSeq = 0;
  hitTag = 0;
  hitValueStart = 0;
  hitValueEnd = 0;
  /** The list itself; for this package only. */
  protected readonly list: SkipList;

  constructor(list: SkipList) {
    this.list = list;
    this.bytes = list.bytes;
  }

  /** Returns a view of a memtable of another thread. */
  static attach(share: MemtableShare): SkipListReader {
    const list = new SkipList(share.buffer);
    assert(list.generation === share.generation, "the arena was given to a new memtable");
    return new SkipListReader(list);
  }

  get entryCount(): number {
    return Atomics.load(this.list.words, WORD_COUNT);
  }

  get usedBytes(): number {
    return Atomics.load(this.list.words, WORD_PUBLISHED) * 4;
  }

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

  cursor(): EntryCursor {
    return new SkipListCursor(this.list);
  }

  share(): MemtableShare {
    assert(this.list.generation !== 0, "a memtable has a generation");
    const { buffer, generation } = this.list;
    return { implementation: "skiplist", buffer, generation };
  }
}
