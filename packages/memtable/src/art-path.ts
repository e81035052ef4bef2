/**
 * A position among the keys of a radix tree: the nodes on the way to it, and the byte that was taken
 * in each. It stays right while keys are added; nodes that were replaced meanwhile lead to what was
 * there before.
 */
import { WORD_ROOT } from "./arena.ts";
import {
  anyEntry,
  childSlot,
  depthIn,
  ENDING,
  kindIn,
  LISTED_KIND_MAX,
  NODE_BIT,
  NODE_CAPACITY,
  NODE_CHILDREN,
  NODE_ENDING,
  NODE_KEYS,
  PLACED_KIND,
  REFERENCE_MASK,
} from "./art-tree.ts";
import type { EntryLog } from "./entry-log.ts";
import type { KeyPath } from "./version-cursor.ts";

/** The path; allocates only when a tree is deeper than all before. */
export class ArtPath implements KeyPath {
  newest = 0;
  readonly #log: EntryLog;
  #nodes: Int32Array = new Int32Array(32);
  #bytes: Int32Array = new Int32Array(32);
  #height = 0;
  /** Of the last `#slotBeside`. */
  #byte = 0;
  /** Of the last `#locate`: an entry near the key, how much they share, and which is smaller. */
  #near = 0;
  #common = 0;

  constructor(log: EntryLog) {
    this.#log = log;
  }

  first(): void {
    this.#height = 0;
    this.#descend(this.#log.words[WORD_ROOT]!, true);
  }

  last(): void {
    this.#height = 0;
    this.#descend(this.#log.words[WORD_ROOT]!, false);
  }

  seek(key: Uint8Array, start: number, end: number): void {
    if (!this.#locate(key, start, end)) this.#settle(key, start, end, true);
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    if (this.#locate(key, start, end)) this.prev();
    else this.#settle(key, start, end, false);
  }

  next(): void {
    const log = this.#log;
    while (this.#height > 0) {
      const top = this.#height - 1;
      const node = this.#nodes[top]!;
      const slot = this.#slotBeside(node, this.#bytes[top]!, true);
      if (slot !== 0) {
        this.#bytes[top] = this.#byte;
        this.#descend(log.words[slot]!, true);
        return;
      }
      this.#height = top;
    }
    this.newest = 0;
  }

  prev(): void {
    const log = this.#log;
    while (this.#height > 0) {
      const top = this.#height - 1;
      const node = this.#nodes[top]!;
      const from = this.#bytes[top]!;
      if (from !== ENDING) {
        const slot = this.#slotBeside(node, from, false);
        if (slot !== 0) {
          this.#bytes[top] = this.#byte;
          this.#descend(log.words[slot]!, false);
          return;
        }
        const ending = log.words[node + NODE_ENDING]!;
        if (ending !== 0) {
          log.ensurePublished(ending);
          this.#bytes[top] = ENDING;
          this.newest = ending;
          return;
        }
      }
      this.#height = top;
    }
    this.newest = 0;
  }

  /** Goes down to the first or last key below a reference, 0 included. */
  #descend(from: number, isFirst: boolean): void {
    const log = this.#log;
    const { words } = log;
    let reference = from;
    while ((reference & NODE_BIT) !== 0) {
      const node = reference & REFERENCE_MASK;
      log.ensurePublished(node);
      let slot = node + NODE_ENDING;
      if (!isFirst || words[slot] === 0) {
        slot = this.#slotBeside(node, isFirst ? ENDING : 256, isFirst);
        this.#push(node, this.#byte);
      } else this.#push(node, ENDING);
      reference = words[slot]!;
    }
    if (reference !== 0) log.ensurePublished(reference);
    this.newest = reference;
  }

  /**
   * Goes down towards a key. Returns whether it is there, and then stands on it; else leaves an
   * entry that shares as much with it as any, and how much.
   */
  #locate(key: Uint8Array, start: number, end: number): boolean {
    const log = this.#log;
    const { words } = log;
    const length = end - start;
    this.#height = 0;
    this.#near = 0;
    let reference = words[WORD_ROOT]!;
    if (reference === 0) return false;
    for (;;) {
      const at = reference & REFERENCE_MASK;
      log.ensurePublished(at);
      if ((reference & NODE_BIT) === 0) {
        if (log.hasKey(at, key, start, end)) {
          this.newest = at;
          return true;
        }
        break;
      }
      const depth = depthIn(words[at]!);
      if (length < depth) break;
      const byte = length === depth ? ENDING : key[start + depth]!;
      const slot = byte === ENDING ? at + NODE_ENDING : childSlot(log, at, byte);
      const next = slot === 0 ? 0 : words[slot]!;
      if (next === 0) break;
      this.#push(at, byte);
      reference = next;
    }
    this.#near = anyEntry(log, reference);
    this.#common = log.commonWith(this.#near, key, start, end);
    return false;
  }

  /** Goes to the neighbour of a key that is not there, after `#locate`. */
  #settle(key: Uint8Array, start: number, end: number, forward: boolean): void {
    const near = this.#near;
    this.newest = 0;
    this.#height = 0;
    if (near === 0) return;
    const log = this.#log;
    const { words } = log;
    const common = this.#common;
    const byteOfKey = common === end - start ? ENDING : key[start + common]!;
    let reference = words[WORD_ROOT]!;
    for (;;) {
      const at = reference & REFERENCE_MASK;
      log.ensurePublished(at);
      const isNode = (reference & NODE_BIT) !== 0;
      const depth = isNode ? depthIn(words[at]!) : 0;
      if (!isNode || depth > common) {
        // All below shares more with `near` than the key does: it is on one side of the key.
        const isBelow = byteOfKey !== ENDING && log.byteAt(near, common) < byteOfKey;
        if (isBelow !== forward) this.#descend(reference, forward);
        else if (forward) this.next();
        else this.prev();
        return;
      }
      const byte = depth === common ? byteOfKey : key[start + depth]!;
      this.#push(at, byte);
      if (depth === common) {
        if (forward) this.next();
        else this.prev();
        return;
      }
      reference = words[childSlot(log, at, byte)]!;
    }
  }

  /**
   * Returns the word that refers to the child with the smallest byte above `byte`, or the largest
   * one below it, and leaves that in `#byte`; 0 when there is none.
   */
  #slotBeside(node: number, byte: number, isAbove: boolean): number {
    const log = this.#log;
    const { words, bytes } = log;
    const kind = kindIn(words[node]!);
    const keysAt = (node + NODE_KEYS) << 2;
    const children = node + NODE_CHILDREN[kind]!;
    if (kind > LISTED_KIND_MAX) {
      const step = isAbove ? 1 : -1;
      for (let other = byte + step; other >= 0 && other < 256; other += step) {
        const place = kind === PLACED_KIND ? bytes[keysAt + other]! - 1 : other;
        if (place < 0 || words[children + place] === 0) continue;
        this.#byte = other;
        return children + place;
      }
      return 0;
    }
    const capacity = NODE_CAPACITY[kind]!;
    let found = isAbove ? 256 : -1;
    let slot = 0;
    for (let i = 0; i < capacity; i++) {
      const reference = words[children + i]!;
      if (reference === 0) break;
      log.ensurePublished(reference & REFERENCE_MASK);
      const other = bytes[keysAt + i]!;
      if (isAbove ? other <= byte || other >= found : other >= byte || other <= found) continue;
      found = other;
      slot = children + i;
    }
    this.#byte = found;
    return slot;
  }

  #push(node: number, byte: number): void {
    const at = this.#height++;
    if (at === this.#nodes.length) {
      const nodes = new Int32Array(at * 2);
      const bytes = new Int32Array(at * 2);
      nodes.set(this.#nodes);
      bytes.set(this.#bytes);
      this.#nodes = nodes;
      this.#bytes = bytes;
    }
    this.#nodes[at] = node;
    this.#bytes[at] = byte;
  }
}
