/**
 * An adaptive radix tree (Leis, Kemper, Neumann, "The adaptive radix tree", ICDE 2013) from keys to
 * the newest version of each, in the arena of its entries, as any thread reads it.
 *
 *   node      depth, kind and children | the key that ends here, or 0 | children
 *   kind 0    4 key bytes | 4 references
 *   kind 1    16 key bytes | 16 references
 *   kind 2    32 key bytes | 32 references
 *   kind 3    256 bytes: the place of a byte's reference, from 1 on | 48 references
 *   kind 4    256 references
 *
 * (The paper has no node of 32; with it, a million random keys take a sixth less memory for nodes.)
 * A reference is an entry, or a node with `NODE_BIT`; 0 is none. A node tells its keys apart by the
 * byte at `depth`, counted from the start of the key; what all of them share before it is not stored.
 * So a search goes down by single bytes and compares the whole key once, at the entry it comes to
 * (as in a Patricia tree), and a node that is put above another one leaves that one as it is.
 *
 * Other threads. What a reader can reach changes by single words only, each to something new:
 *
 *   a new version   its entry; WORD_PUBLISHED; the reference to the one before
 *   a new child     its entry and its key byte (kind 3: its place); WORD_PUBLISHED; the reference
 *   a full node     a larger copy with the new child in it; WORD_PUBLISHED; the reference to the node
 *   a split         a node of kind 0 over what was there and the new entry; WORD_PUBLISHED; the
 *                   reference to what was there
 *
 * and then WORD_COUNT. Children are appended, never moved; a place that is not taken holds 0. A
 * reader that has loaded WORD_PUBLISHED above what a reference leads to sees the key byte beside it,
 * so it looks at the byte again behind `ensurePublished`. A node that was replaced stays as it was:
 * a reader on its way through it misses at most what was added meanwhile.
 */
import { WORD_ROOT } from "./arena.ts";
import type { EntryLog } from "./entry-log.ts";

/** Set in references to nodes. */
export const NODE_BIT = 0x40000000;
export const REFERENCE_MASK = 0x3fffffff;

/** In the first word of a node, above 16 bits of depth: its kind; above that, its children. */
export const KIND_SHIFT = 16;
export const CHILDREN_SHIFT = 20;
/** The word of the key that ends at the depth of the node. */
export const NODE_ENDING = 1;
/** The words of key bytes or places. */
export const NODE_KEYS = 2;
/** By kind: words of a node, the first word of its references, and how many it holds. */
export const NODE_WORDS: readonly number[] = [7, 22, 42, 114, 258];
export const NODE_CHILDREN: readonly number[] = [3, 6, 10, 66, 2];
export const NODE_CAPACITY: readonly number[] = [4, 16, 32, 48, 256];

/** Kinds up to this one list their key bytes. */
export const LISTED_KIND_MAX = 2;
/** The kind that has the place of each byte's reference. */
export const PLACED_KIND = 3;

/** In place of a byte: the key ends. */
export const ENDING = -1;

/** Returns the depth that a node's first word holds. */
export function depthIn(head: number): number {
  return head & 0xffff;
}

/** Returns the kind that a node's first word holds. */
export function kindIn(head: number): number {
  return (head >>> KIND_SHIFT) & 7;
}

/** Returns the word that refers to the child of `node` for a byte, 0 when there is none. */
export function childSlot(log: EntryLog, node: number, byte: number): number {
  const { words, bytes } = log;
  switch (kindIn(words[node]!)) {
    case 0:
      return listedSlot(log, (node + NODE_KEYS) << 2, node + 3, 4, byte);
    case 1:
      return listedSlot(log, (node + NODE_KEYS) << 2, node + 6, 16, byte);
    case 2:
      return listedSlot(log, (node + NODE_KEYS) << 2, node + 10, 32, byte);
    case PLACED_KIND: {
      const place = bytes[((node + NODE_KEYS) << 2) + byte]!;
      if (place === 0) return 0;
      const slot = node + 65 + place;
      return words[slot] === 0 ? 0 : slot;
    }
    default: {
      const slot = node + 2 + byte;
      return words[slot] === 0 ? 0 : slot;
    }
  }
}

function listedSlot(
  log: EntryLog,
  keysAt: number,
  firstSlot: number,
  capacity: number,
  byte: number,
): number {
  const { words, bytes } = log;
  for (let i = 0; i < capacity; i++) {
    if (bytes[keysAt + i] !== byte) continue;
    const reference = words[firstSlot + i]!;
    // Bytes behind the last child are 0, with no reference.
    if (reference === 0) return 0;
    log.ensurePublished(reference & REFERENCE_MASK);
    if (bytes[keysAt + i] === byte) return firstSlot + i;
  }
  return 0;
}

/** Returns some entry below a reference. */
export function anyEntry(log: EntryLog, from: number): number {
  const { words } = log;
  let reference = from;
  for (;;) {
    const at = reference & REFERENCE_MASK;
    log.ensurePublished(at);
    if ((reference & NODE_BIT) === 0) return at;
    reference = words[at + NODE_ENDING]!;
    if (reference !== 0) continue;
    const kind = kindIn(words[at]!);
    let slot = at + NODE_CHILDREN[kind]!;
    if (kind === 4) while (words[slot] === 0) slot++;
    reference = words[slot]!;
  }
}

/** Returns the newest version of key[start, end), 0 when there is none. */
export function findInTree(log: EntryLog, key: Uint8Array, start: number, end: number): number {
  const { words } = log;
  const length = end - start;
  let reference = words[WORD_ROOT]!;
  while (reference !== 0) {
    const at = reference & REFERENCE_MASK;
    log.ensurePublished(at);
    if ((reference & NODE_BIT) === 0) return log.hasKey(at, key, start, end) ? at : 0;
    const depth = depthIn(words[at]!);
    if (length > depth) {
      const slot = childSlot(log, at, key[start + depth]!);
      if (slot === 0) return 0;
      reference = words[slot]!;
    } else if (length === depth) reference = words[at + NODE_ENDING]!;
    else return 0;
  }
  return 0;
}
