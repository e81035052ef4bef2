/**
 * A cursor over a skip list, in both directions. It never suspends and never fails; it stays right
 * while entries are added, and sees an added entry or not. The list has no back links: `prev` is a
 * search from the top, about as dear as a seek.
 */
import { assert, type EntryCursor, SEQ_MAX } from "@aura/base";
import type { SkipList } from "./skip-list.ts";
import {
  HEAD,
  keyOffset,
  NODE_SEQ_HIGH,
  NODE_SHAPE,
  NODE_VALUE_BYTES,
} from "./skip-list-layout.ts";

/** Walks the entries of one memtable. Key and value views are the arena itself. */
export class SkipListCursor implements EntryCursor {
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
  readonly #list: SkipList;
  #node = 0;

  constructor(list: SkipList) {
    this.#list = list;
    this.keyBytes = list.bytes;
    this.valueBytes = list.bytes;
  }

  first(): void {
    this.#stand(this.#list.first());
  }

  last(): void {
    this.#stand(this.#list.last());
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#stand(this.#list.locate(key, start, end, SEQ_MAX));
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#list.locate(key, start, end, SEQ_MAX);
    this.#standBefore();
  }

  next(): void {
    assert(this.valid, "next needs an entry");
    this.#stand(this.#list.nextOf(this.#node));
  }

  prev(): void {
    assert(this.valid, "prev needs an entry");
    this.#list.locate(this.keyBytes, this.keyStart, this.keyEnd, this.seq);
    this.#standBefore();
  }

  loadSync(): void {}

  load(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.valid = false;
  }

  #standBefore(): void {
    const node = this.#list.before[0]!;
    this.#stand(node === HEAD ? 0 : node);
  }

  #stand(node: number): void {
    this.#node = node;
    if (node === 0) {
      this.valid = false;
      return;
    }
    const words = this.#list.words;
    const shape = words[node + NODE_SHAPE]!;
    const keyStart = keyOffset(node, shape);
    const keyEnd = keyStart + (shape & 0xffff);
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.valueStart = keyEnd;
    this.valueEnd = keyEnd + words[node + NODE_VALUE_BYTES]!;
    this.seq = this.#list.seqOf(node);
    this.tag = words[node + NODE_SEQ_HIGH]! >>> 24;
    this.valid = true;
  }
}
