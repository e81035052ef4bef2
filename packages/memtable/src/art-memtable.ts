/**
 * The memtable `art`: an adaptive radix tree over an entry log; see `art-tree.ts` for the tree and
 * for the order of stores that lets other threads read it.
 *
 * A node that is replaced by a larger one is not used again. What nodes take in all is at most
 * `NODE_BYTES_PER_KEY` per key: each growth is paid by the children that were added since the last
 * one. The part of it that was not spent yet is kept free.
 */
import { assert, type EntryCursor } from "@aura/base";
import { HEADER_WORDS, resetArena, WORD_ROOT } from "./arena.ts";
import { ArtPath } from "./art-path.ts";
import {
  anyEntry,
  CHILDREN_SHIFT,
  childSlot,
  depthIn,
  ENDING,
  findInTree,
  KIND_SHIFT,
  kindIn,
  LISTED_KIND_MAX,
  NODE_BIT,
  NODE_CAPACITY,
  NODE_CHILDREN,
  NODE_ENDING,
  NODE_KEYS,
  NODE_WORDS,
  PLACED_KIND,
  REFERENCE_MASK,
} from "./art-tree.ts";
import { ENTRY_WORDS_MAX, EntryLog } from "./entry-log.ts";
import { EntryReader } from "./entry-reader.ts";
import { checkEntry, EntryWriter } from "./entry-writer.ts";
import type { Memtable, MemtableOptions, MemtableReader, MemtableShare } from "./memtable.ts";
import { VersionCursor } from "./version-cursor.ts";

/** 48 children to 256 is the dearest growth: 258 words, paid by 16 children. */
const NODE_WORDS_PER_KEY = 17;

/** Reads a memtable of this kind, in any thread. */
export class ArtReader extends EntryReader implements MemtableReader {
  readonly #log: EntryLog;

  constructor(log: EntryLog) {
    super(log, "art");
    this.#log = log;
  }

  /** Returns a view of a memtable of another thread. */
  static attach(share: MemtableShare): ArtReader {
    const log = new EntryLog(share.buffer);
    assert(log.generation === share.generation, "the arena was given to a new memtable");
    return new ArtReader(log);
  }

  find(key: Uint8Array, start: number, end: number, seqMax: number): boolean {
    this.#log.refresh();
    return this.answer(findInTree(this.#log, key, start, end), seqMax);
  }

  cursor(): EntryCursor {
    return new VersionCursor(this.#log, new ArtPath(this.#log));
  }
}

/** A memtable for one writing thread. */
export class ArtMemtable extends ArtReader implements Memtable {
  readonly #log: EntryWriter;
  readonly #wordCount: number;
  /** Keys, and words that nodes take. */
  #keyCount = 0;
  #nodeWords = 0;
  /** Of `#place`: the version that is there, and how the new one gets into the tree. */
  #older = 0;
  /** The word that refers to what is replaced, or to the node that gets a child. */
  #slot = 0;
  /** The node that gets a child; 0: a new one is put above what `#slot` refers to. */
  #node = 0;
  #byte = 0;
  /** The byte of what a new node is put above, and the depth of that node. */
  #otherByte = 0;
  #depth = 0;

  /** Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer. */
  constructor(buffer: SharedArrayBuffer, _options: MemtableOptions) {
    resetArena(buffer, HEADER_WORDS);
    const log = new EntryWriter(buffer, HEADER_WORDS);
    super(log);
    this.#log = log;
    this.#wordCount = log.words.length;
  }

  get roomBytes(): number {
    const reserved = this.#keyCount * NODE_WORDS_PER_KEY - this.#nodeWords;
    const words = this.#wordCount - this.#log.end - reserved;
    return words > 0 ? words * 4 : 0;
  }

  entryBytesMax(keyBytes: number, valueBytes: number): number {
    return (ENTRY_WORDS_MAX + NODE_WORDS_PER_KEY) * 4 + keyBytes + valueBytes + 3;
  }

  add(
    seq: number,
    tag: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    checkEntry(seq, keyEnd - keyStart, valueEnd - valueStart);
    const log = this.#log;
    const words = log.words;
    this.#place(key, keyStart, keyEnd);
    const older = this.#older;
    if (older !== 0) assert(log.seqOf(older) < seq, "versions of a key are added in order, once");
    const need = log.entryWords(seq, keyEnd - keyStart, valueEnd - valueStart, older);
    const nodeWords = older === 0 ? this.#nodeWordsNeeded() : 0;
    if (log.end + need + nodeWords > this.#wordCount) return false;
    const entry = log.write(seq, tag, key, keyStart, keyEnd, value, valueStart, valueEnd, older);
    if (older !== 0) {
      log.publish();
      words[this.#slot] = entry;
      log.finish();
      return true;
    }
    this.#nodeWords += nodeWords;
    this.#keyCount++;
    if (this.#node !== 0) this.#addChild(entry);
    else if (words[this.#slot] === 0) this.#link(this.#slot, entry);
    else this.#addNode(entry);
    log.finish();
    return true;
  }

  #link(slot: number, reference: number): void {
    this.#log.publish();
    this.#log.words[slot] = reference;
  }

  /** Finds where a key goes. */
  #place(key: Uint8Array, start: number, end: number): void {
    const log = this.#log;
    const { words } = log;
    const length = end - start;
    this.#older = 0;
    let slot = WORD_ROOT;
    let reference = words[slot]!;
    this.#slot = slot;
    this.#node = 0;
    if (reference === 0) return;
    // True as long as every byte so far was looked at.
    let isDense = true;
    let depthNext = 0;
    let node = 0;
    while ((reference & NODE_BIT) !== 0) {
      node = reference & REFERENCE_MASK;
      const depth = depthIn(words[node]!);
      if (depth !== depthNext) isDense = false;
      depthNext = depth + 1;
      if (length < depth) break;
      const byte = length === depth ? ENDING : key[start + depth]!;
      const childAt = byte === ENDING ? node + NODE_ENDING : childSlot(log, node, byte);
      const child = childAt === 0 ? 0 : words[childAt]!;
      if (child === 0) {
        if (!isDense) break;
        this.#slot = slot;
        this.#node = node;
        this.#byte = byte;
        return;
      }
      slot = childAt;
      reference = child;
    }
    const near = anyEntry(log, reference);
    const common = log.commonWith(near, key, start, end);
    const nearLength = words[near]! & 0xffff;
    if (common === length && common === nearLength) {
      this.#older = near;
      this.#slot = slot;
      return;
    }
    // Mostly it is where the search ended; else somewhere above, where bytes were passed over.
    const isNode = (reference & NODE_BIT) !== 0;
    if (isNode ? common === depthNext - 1 : common >= depthNext) {
      this.#slot = slot;
      this.#node = isNode ? node : 0;
    } else this.#placeAt(key, start, common);
    this.#depth = common;
    this.#byte = common === length ? ENDING : key[start + common]!;
    this.#otherByte = common === nearLength ? ENDING : log.byteAt(near, common);
  }

  /** Finds the node at depth `common` on the way of a key, or what a new one is put above. */
  #placeAt(key: Uint8Array, start: number, common: number): void {
    const log = this.#log;
    const { words } = log;
    let slot = WORD_ROOT;
    for (;;) {
      const reference = words[slot]!;
      const node = reference & REFERENCE_MASK;
      const isNode = (reference & NODE_BIT) !== 0;
      const depth = isNode ? depthIn(words[node]!) : 0;
      if (!isNode || depth >= common) {
        this.#slot = slot;
        this.#node = isNode && depth === common ? node : 0;
        return;
      }
      slot = childSlot(log, node, key[start + depth]!);
    }
  }

  #nodeWordsNeeded(): number {
    const { words } = this.#log;
    const node = this.#node;
    if (node === 0) return words[this.#slot] === 0 ? 0 : NODE_WORDS[0]!;
    if (this.#byte === ENDING) return 0;
    const head = words[node]!;
    const kind = kindIn(head);
    return head >>> CHILDREN_SHIFT < NODE_CAPACITY[kind]! ? 0 : NODE_WORDS[kind + 1]!;
  }

  /** Allocates a node full of zeros, with a depth and a kind. */
  #newNode(depth: number, kind: number): number {
    const log = this.#log;
    const node = log.end;
    const size = NODE_WORDS[kind]!;
    for (let i = 0; i < size; i++) log.words[node + i] = 0;
    log.words[node] = depth | (kind << KIND_SHIFT);
    log.end = node + size;
    return node;
  }

  /** Adds a child to `#node`, or to a larger copy of it. */
  #addChild(entry: number): void {
    const { words } = this.#log;
    const node = this.#node;
    if (this.#byte === ENDING) {
      this.#link(node + NODE_ENDING, entry);
      return;
    }
    const head = words[node]!;
    const kind = kindIn(head);
    if (head >>> CHILDREN_SHIFT < NODE_CAPACITY[kind]!) {
      this.#link(this.#takeSlot(node, this.#byte), entry);
      return;
    }
    const larger = this.#newNode(depthIn(head), kind + 1);
    words[larger + NODE_ENDING] = words[node + NODE_ENDING]!;
    const children = node + NODE_CHILDREN[kind]!;
    const { bytes } = this.#log;
    const keysAt = (node + NODE_KEYS) << 2;
    if (kind <= LISTED_KIND_MAX) {
      for (let i = 0; i < NODE_CAPACITY[kind]!; i++) {
        words[this.#takeSlot(larger, bytes[keysAt + i]!)] = words[children + i]!;
      }
    } else {
      for (let byte = 0; byte < 256; byte++) {
        const place = bytes[keysAt + byte]!;
        if (place !== 0) words[this.#takeSlot(larger, byte)] = words[children + place - 1]!;
      }
    }
    words[this.#takeSlot(larger, this.#byte)] = entry;
    this.#link(this.#slot, larger | NODE_BIT);
  }

  /** Takes the next place of a node for a byte; returns the word of its reference. */
  #takeSlot(node: number, byte: number): number {
    const { words, bytes } = this.#log;
    const head = words[node]!;
    const kind = kindIn(head);
    const index = head >>> CHILDREN_SHIFT;
    words[node] = head + (1 << CHILDREN_SHIFT);
    const children = node + NODE_CHILDREN[kind]!;
    const keysAt = (node + NODE_KEYS) << 2;
    if (kind > PLACED_KIND) return children + byte;
    if (kind === PLACED_KIND) bytes[keysAt + byte] = index + 1;
    else bytes[keysAt + index] = byte;
    return children + index;
  }

  /** Puts a node above what `#slot` refers to. */
  #addNode(entry: number): void {
    const { words } = this.#log;
    const node = this.#newNode(this.#depth, 0);
    const other = this.#otherByte;
    words[other === ENDING ? node + NODE_ENDING : this.#takeSlot(node, other)] = words[this.#slot]!;
    const byte = this.#byte;
    words[byte === ENDING ? node + NODE_ENDING : this.#takeSlot(node, byte)] = entry;
    this.#link(this.#slot, node | NODE_BIT);
  }
}
