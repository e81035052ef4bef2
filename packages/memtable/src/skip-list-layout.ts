/**
 * Where things stand in the arena of a skip list: the words of a node.
 *
 * A node is named by the index of its first word; 0 is "no node". Nothing here reaches a disk.
 *
 *   arena   header words | head tower | node | node | ... | untouched
 *   node    key bytes and height | seq low | seq high and tag | value bytes
 *           | tower: a link and a fragment per level, level 0 first
 *           | key | value | up to 3 bytes of padding
 *
 * A link names the next node of its level. The fragment beside it is that node's, so that a search
 * passes over a node without touching it; only the writing thread uses fragments.
 */

import { HEADER_WORDS } from "./arena.ts";

/** Node word: key length in the low 16 bits, height above. */
export const NODE_SHAPE = 0;
/** Node word: low 32 bits of the sequence number. */
export const NODE_SEQ_LOW = 1;
/** Node word: high 21 bits of the sequence number, tag in the top 8 bits. */
export const NODE_SEQ_HIGH = 2;
/** Node word: value length. */
export const NODE_VALUE_BYTES = 3;
/** Node word: link of level 0, then its fragment; the other levels follow. */
export const NODE_TOWER = 4;
/** Words of a tower per level. */
export const TOWER_STEP = 2;

/** Levels of the tallest node. Every other node is taller than one level: enough for 2^20. */
export const HEIGHT_MAX = 20;
/** The head: a node with nothing but a tower. */
export const HEAD: number = HEADER_WORDS - NODE_TOWER;
/** First word of the first node. */
export const NODES_START: number = HEADER_WORDS + HEIGHT_MAX * TOWER_STEP;

/** Returns the byte offset of a node's key, from the node and its shape word. */
export function keyOffset(node: number, shape: number): number {
  return (node + NODE_TOWER + (shape >>> 16) * TOWER_STEP) << 2;
}

/** Returns the most bytes of an arena that an entry with this key and value takes. */
export function skipListEntryBytesMax(keyBytes: number, valueBytes: number): number {
  return (NODE_TOWER + HEIGHT_MAX * TOWER_STEP) * 4 + keyBytes + valueBytes + 3;
}
