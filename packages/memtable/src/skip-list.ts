/**
 * The skip list in an arena, as any thread reads it.
 *
 * Order: user key ascending (unsigned bytes), then sequence number descending.
 *
 * Concurrent readers. One thread writes; any number of others read through their own SkipList over
 * the same buffer. The writer does, for one entry, in this order:
 *
 *   1. writes the node: key, value, trailer and all of its own links (plain stores);
 *   2. Atomics.store(WORD_PUBLISHED, end of the node);
 *   3. links it, level 0 first (plain stores, each of one aligned word);
 *   4. Atomics.store(WORD_COUNT, entries).
 *
 * A reader does Atomics.load(WORD_COUNT) when a search begins, so every entry that was complete
 * then is found; and it follows a link only to a node below a WORD_PUBLISHED that it has itself
 * read with Atomics.load, which makes step 1 visible to it. It may see a link (step 3) before it
 * sees step 2, since plain stores have no order between threads; it then reads WORD_PUBLISHED
 * again until the store arrives. Links only ever change to a node further left, so an old link is
 * as right as a new one. Entries added during a search may or may not be seen. Fragments are the
 * writer's own: no other thread looks at them, so they may change at any time.
 */
import { Arena, WORD_ROOT } from "./arena.ts";
import {
  HEAD,
  HEIGHT_MAX,
  keyOffset,
  NODE_SEQ_HIGH,
  NODE_SEQ_LOW,
  NODE_SHAPE,
  NODE_TOWER,
  TOWER_STEP,
} from "./skip-list-layout.ts";

/** One thread's view of the list in an arena. */
export class SkipList extends Arena {
  /** The last node before the place of the last search, per level. */
  readonly before: Int32Array = new Int32Array(HEIGHT_MAX).fill(HEAD);

  /**
   * Returns the first node at or behind (key, seq), 0 when there is none, and leaves the last node
   * before it in `before`, per level.
   */
  locate(key: Uint8Array, start: number, end: number, seq: number): number {
    this.refresh();
    const words = this.words;
    let level = words[WORD_ROOT]! - 1;
    let node = HEAD;
    let behind = 0;
    for (;;) {
      const next = words[node + NODE_TOWER + level * TOWER_STEP]!;
      if (next !== 0 && next !== behind) {
        this.ensurePublished(next);
        if (this.isBefore(next, key, start, end, seq)) {
          node = next;
          continue;
        }
        behind = next;
      }
      this.before[level] = node;
      if (level === 0) return next;
      level--;
    }
  }

  /** Returns whether a node stands before (key, seq). */
  isBefore(node: number, key: Uint8Array, start: number, end: number, seq: number): boolean {
    const shape = this.words[node + NODE_SHAPE]!;
    const bytes = this.bytes;
    const nodeLength = shape & 0xffff;
    const length = end - start;
    const common = nodeLength < length ? nodeLength : length;
    const at = keyOffset(node, shape);
    for (let i = 0; i < common; i++) {
      const difference = bytes[at + i]! - key[start + i]!;
      if (difference !== 0) return difference < 0;
    }
    return nodeLength === length ? this.seqOf(node) > seq : nodeLength < length;
  }

  /** Returns whether a node holds a version of this key. */
  hasKey(node: number, key: Uint8Array, start: number, end: number): boolean {
    const shape = this.words[node + NODE_SHAPE]!;
    const bytes = this.bytes;
    const length = end - start;
    if ((shape & 0xffff) !== length) return false;
    const at = keyOffset(node, shape);
    // Keys that are neighbours differ at their ends.
    for (let i = length - 1; i >= 0; i--) {
      if (bytes[at + i] !== key[start + i]) return false;
    }
    return true;
  }

  /** Returns the sequence number of a node. */
  seqOf(node: number): number {
    const high = this.words[node + NODE_SEQ_HIGH]! & 0x1fffff;
    return high * 0x100000000 + (this.words[node + NODE_SEQ_LOW]! >>> 0);
  }

  /** Returns the node behind `node` in order, 0 at the end. */
  nextOf(node: number): number {
    const next = this.words[node + NODE_TOWER]!;
    this.ensurePublished(next);
    return next;
  }

  /** Returns the first node, 0 when the list is empty. */
  first(): number {
    this.refresh();
    return this.nextOf(HEAD);
  }

  /** Returns the last node, 0 when the list is empty. */
  last(): number {
    this.refresh();
    const words = this.words;
    let node = HEAD;
    for (let level = HEIGHT_MAX - 1; level >= 0; level--) {
      for (;;) {
        const next = words[node + NODE_TOWER + level * TOWER_STEP]!;
        if (next === 0) break;
        this.ensurePublished(next);
        node = next;
      }
    }
    return node === HEAD ? 0 : node;
  }
}
