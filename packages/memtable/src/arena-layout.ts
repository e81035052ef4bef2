/**
 * Where things stand in an arena: the words of its header and of a node.
 *
 * An arena is one fixed SharedArrayBuffer, seen as bytes and as 32-bit words. A node is named by
 * the index of its first word; 0 is "no node". Nothing here reaches a disk.
 *
 *   arena   header words | head tower | node | node | ... | untouched
 *   node    fragment | key bytes and height | seq low | seq high and tag | value bytes
 *           | tower: one link per level, level 0 first | key | value | up to 3 bytes of padding
 */

/** Header word: grows with every reset, so that a stale view is noticed. */
export const WORD_GENERATION = 0;
/** Header word: end of the published nodes, in words. Stored before a node is linked. */
export const WORD_PUBLISHED = 1;
/** Header word: entries whose links are complete. Stored last. */
export const WORD_COUNT = 2;
/** Header word: levels in use; a hint, any value between 1 and HEIGHT_MAX is right. */
export const WORD_LEVELS = 3;
/** Header word: 0 while keys have no fragments, else 1 + the shared bytes in front of them. */
export const WORD_SKIP = 4;
/** Header word: byte offset of the key that the shared bytes are taken from. */
export const WORD_SHARED_AT = 5;

const HEADER_WORDS = 16;

/** Node word: four key bytes as a signed number in key order, or FRAGMENT_NONE. */
export const NODE_FRAGMENT = 0;
/** Node word: key length in the low 16 bits, height above. */
export const NODE_SHAPE = 1;
/** Node word: low 32 bits of the sequence number. */
export const NODE_SEQ_LOW = 2;
/** Node word: high 21 bits of the sequence number, tag in the top 8 bits. */
export const NODE_SEQ_HIGH = 3;
/** Node word: value length. */
export const NODE_VALUE_BYTES = 4;
/** Node word: link of level 0; the other levels follow. */
export const NODE_TOWER = 5;

/** Levels of the tallest node. One node in four is taller than the next: enough for 4^12. */
export const HEIGHT_MAX = 12;
/** The head: a node with nothing but a tower. */
export const HEAD: number = HEADER_WORDS - NODE_TOWER;
/** First word of the first node. */
export const NODES_START: number = HEADER_WORDS + HEIGHT_MAX;

/** A node whose key has no fragment: it is compared by its bytes. Below every fragment. */
export const FRAGMENT_NONE = -0x80000000;
/** The fragment of keys below the shared bytes. */
export const FRAGMENT_LOW: number = FRAGMENT_NONE + 1;
/** The fragment of keys above the shared bytes. */
export const FRAGMENT_HIGH = 0x7fffffff;

/** Smallest arena, bytes. */
export const ARENA_BYTES_MIN = 4096;
/** Largest arena, bytes: a byte offset is a small integer. */
export const ARENA_BYTES_MAX = 1073741824;
/** Arena of a memtable unless asked otherwise, bytes. */
export const ARENA_BYTES_DEFAULT = 67108864;

/** Returns the most bytes of an arena that an entry with this key and value takes. */
export function entryBytesMax(keyBytes: number, valueBytes: number): number {
  return (NODE_TOWER + HEIGHT_MAX) * 4 + keyBytes + valueBytes + 3;
}
