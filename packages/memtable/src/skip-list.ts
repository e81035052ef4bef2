/**
 * The search side of the skip list: shared by the writing thread and by readers elsewhere.
 *
 * Order: user key ascending (unsigned bytes), then sequence number descending.
 *
 * Fragments. Each node keeps four bytes of its key as one number, taken behind the bytes that the
 * first keys had in common ("shared bytes"). Fragments order keys, but not strictly: a key below
 * the shared bytes has the lowest one, a key above them the highest; equal ones are decided by the
 * key bytes. Nodes from before the shared bytes were fixed have none and are always compared by
 * bytes. A fragment never changes, and the shared bytes are fixed once.
 *
 * Concurrent readers. One thread writes; any number of others read through their own SkipList over
 * the same buffer. The writer does, for one entry, in this order:
 *
 *   1. writes the node: key, value, trailer, fragment and all of its own links (plain stores);
 *   2. Atomics.store(WORD_PUBLISHED, end of the node);
 *   3. links it, level 0 first (plain stores, each of one aligned word);
 *   4. Atomics.store(WORD_COUNT, entries).
 *
 * A reader does Atomics.load(WORD_COUNT) when a search begins, so every entry that was complete
 * then is found; and it follows a link only to a node below a WORD_PUBLISHED that it has itself
 * read with Atomics.load, which makes step 1 visible to it. It may see a link (step 3) before it
 * sees step 2, since plain stores have no order between threads; it then reads WORD_PUBLISHED
 * again until the store arrives. Links only ever change to a node further left, so an old link is
 * as right as a new one. Entries added during a search may or may not be seen.
 */
import { assert } from "@aura/base";
import {
  FRAGMENT_HIGH,
  FRAGMENT_LOW,
  FRAGMENT_NONE,
  HEAD,
  HEIGHT_MAX,
  NODE_FRAGMENT,
  NODE_SEQ_HIGH,
  NODE_SEQ_LOW,
  NODE_SHAPE,
  NODE_TOWER,
  WORD_COUNT,
  WORD_GENERATION,
  WORD_LEVELS,
  WORD_PUBLISHED,
  WORD_SHARED_AT,
  WORD_SKIP,
} from "./arena-layout.ts";

/** Reads of WORD_PUBLISHED before a link counts as wild: the store is on its way for nanoseconds. */
const PUBLISH_SPINS_MAX = 100_000_000;

/** One thread's view of the list in an arena. */
export class SkipList {
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  /** The thread that writes needs no atomic loads. */
  readonly isWriter: boolean;
  readonly generation: number;
  /** The last node before the place of the last search, per level. */
  readonly before: Int32Array = new Int32Array(HEIGHT_MAX).fill(HEAD);
  /** Nodes below this word may be read. */
  #published: number;
  #skip = -1;
  #sharedAt = 0;

  constructor(buffer: SharedArrayBuffer, isWriter: boolean) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.isWriter = isWriter;
    this.generation = Atomics.load(this.words, WORD_GENERATION);
    this.#published = isWriter ? this.words.length : 0;
    this.#readSkip();
  }

  /** Fixes the bytes in front of all fragments to come: `skip` bytes at byte offset `at`. */
  fixSharedBytes(skip: number, at: number): void {
    assert(this.isWriter && this.#skip < 0, "shared bytes are fixed once, by the writer");
    this.words[WORD_SHARED_AT] = at;
    Atomics.store(this.words, WORD_SKIP, skip + 1);
    this.#readSkip();
  }

  #readSkip(): void {
    this.#skip = Atomics.load(this.words, WORD_SKIP) - 1;
    this.#sharedAt = this.words[WORD_SHARED_AT]!;
  }

  /** Entries that every search beginning now will see, at least. */
  count(): number {
    return Atomics.load(this.words, WORD_COUNT);
  }

  /** Returns the fragment of a key; FRAGMENT_NONE while the shared bytes are not fixed. */
  fragmentOf(key: Uint8Array, start: number, end: number): number {
    const skip = this.#skip;
    if (skip < 0) return FRAGMENT_NONE;
    const bytes = this.bytes;
    const length = end - start;
    const common = length < skip ? length : skip;
    const shared = this.#sharedAt;
    for (let i = 0; i < common; i++) {
      const difference = key[start + i]! - bytes[shared + i]!;
      if (difference !== 0) return difference < 0 ? FRAGMENT_LOW : FRAGMENT_HIGH;
    }
    if (length < skip) return FRAGMENT_LOW;
    const at = start + skip;
    const rest = end - at;
    let four: number;
    if (rest >= 4) {
      four = (key[at]! << 24) | (key[at + 1]! << 16) | (key[at + 2]! << 8) | key[at + 3]!;
    } else {
      four = rest > 0 ? key[at]! << 24 : 0;
      if (rest > 1) four |= key[at + 1]! << 16;
      if (rest > 2) four |= key[at + 2]! << 8;
    }
    // The sign bit turns over so that signed numbers stand in key order.
    const fragment = four ^ FRAGMENT_NONE;
    return fragment === FRAGMENT_NONE ? FRAGMENT_LOW : fragment;
  }

  /**
   * Returns the first node at or behind (key, seq), 0 when there is none, and leaves the last node
   * before it in `before`, per level.
   */
  locate(key: Uint8Array, start: number, end: number, seq: number): number {
    if (!this.isWriter) this.#refresh();
    return this.#search(key, start, end, seq, this.fragmentOf(key, start, end));
  }

  #refresh(): void {
    assert(
      this.words[WORD_GENERATION] === this.generation,
      "the arena was given to a new memtable",
    );
    Atomics.load(this.words, WORD_COUNT);
    if (this.#skip < 0) this.#readSkip();
  }

  #search(key: Uint8Array, start: number, end: number, seq: number, fragment: number): number {
    const words = this.words;
    const bytes = this.bytes;
    const before = this.before;
    const length = end - start;
    // Equal fragments within the group mean equal bytes up to here.
    const known = fragment > FRAGMENT_LOW && fragment < FRAGMENT_HIGH ? this.#skip + 4 : 0;
    let level = words[WORD_LEVELS]! - 1;
    let node = HEAD;
    let behind = 0;
    for (;;) {
      const next = words[node + NODE_TOWER + level]!;
      if (next !== 0 && next !== behind) {
        if (next >= this.#published) this.#awaitPublished(next);
        const other = words[next + NODE_FRAGMENT]!;
        if (other < fragment && other !== FRAGMENT_NONE) {
          node = next;
          continue;
        }
        if (other > fragment) {
          if (fragment === FRAGMENT_NONE) {
            // The shared bytes were fixed while this search ran; they are visible with the node.
            this.#readSkip();
            return this.#search(key, start, end, seq, this.fragmentOf(key, start, end));
          }
        } else {
          const shape = words[next + NODE_SHAPE]!;
          const otherLength = shape & 0xffff;
          const at = (next + NODE_TOWER + (shape >>> 16)) << 2;
          const common = otherLength < length ? otherLength : length;
          let i = other === FRAGMENT_NONE ? 0 : known < common ? known : common;
          while (i < common && bytes[at + i] === key[start + i]) i++;
          let order = i < common ? bytes[at + i]! - key[start + i]! : otherLength - length;
          if (order === 0) order = seq - this.seqOf(next);
          if (order < 0) {
            node = next;
            continue;
          }
        }
        behind = next;
      }
      before[level] = node;
      if (level === 0) return next;
      level--;
    }
  }

  /** Returns the node behind `node` in order, 0 at the end. */
  nextOf(node: number): number {
    const next = this.words[node + NODE_TOWER]!;
    if (next >= this.#published) this.#awaitPublished(next);
    return next;
  }

  /** Returns the first node, 0 when the list is empty. */
  first(): number {
    if (!this.isWriter) this.#refresh();
    return this.nextOf(HEAD);
  }

  /** Returns the last node, 0 when the list is empty. */
  last(): number {
    if (!this.isWriter) this.#refresh();
    const words = this.words;
    let node = HEAD;
    for (let level = HEIGHT_MAX - 1; level >= 0; level--) {
      for (;;) {
        const next = words[node + NODE_TOWER + level]!;
        if (next === 0) break;
        if (next >= this.#published) this.#awaitPublished(next);
        node = next;
      }
    }
    return node === HEAD ? 0 : node;
  }

  /** Returns the sequence number of a node. */
  seqOf(node: number): number {
    const high = this.words[node + NODE_SEQ_HIGH]! & 0x1fffff;
    return high * 0x100000000 + (this.words[node + NODE_SEQ_LOW]! >>> 0);
  }

  #awaitPublished(node: number): void {
    for (let spins = 0; spins < PUBLISH_SPINS_MAX; spins++) {
      this.#published = Atomics.load(this.words, WORD_PUBLISHED);
      if (node < this.#published) return;
    }
    assert(false, "a link leads behind the published nodes");
  }
}
