/**
 * How a B-tree grows: the next free place, splits, and a new tree for each fit of fragments.
 *
 * A split makes two new nodes of half the places each, and leaves the old one as it was; keys that
 * only ascend fill their leaves, which are then left alone. What nodes take in all is at most
 * `NODE_WORDS_PER_KEY` per key; the part of it that was not spent yet is kept free.
 */
import { WORD_ROOT } from "./arena.ts";
import {
  type BTreeSearch,
  CHILDREN,
  DESCRIPTOR_FIT,
  DESCRIPTOR_LEVELS,
  DESCRIPTOR_ROOT,
  DESCRIPTOR_WORDS,
  ENTRIES,
  FIT_ENTRY,
  FIT_LOWS,
  FIT_SHARED,
  FIT_WORDS,
  FRAGMENTS,
  INNER_WORDS,
  LEAF_WORDS,
  NODE_SORTED,
  NODE_TAKEN,
  ORDERED_SHIFT,
  PLACES,
  SEPARATORS,
  TAKEN_MASK,
} from "./btree-nodes.ts";
import { sortEntries } from "./entry-sorter.ts";
import type { EntryWriter } from "./entry-writer.ts";
import { FIT_BYTES, FRAGMENT_LOW } from "./key-fragments.ts";

/** A split leaf takes 260 words and had at least 31 keys added; all above it takes a tenth more. */
export const NODE_WORDS_PER_KEY = 16;
export const FIRST_TREE_WORDS: number = LEAF_WORDS + FIT_WORDS + DESCRIPTOR_WORDS;

/** Keys at the first fit, and how many times more at each further one, up to the last. */
const FIT_COUNT_FIRST = 64;
const FIT_COUNT_FACTOR = 8;
const FIT_COUNT_LAST = 4096;
/** Keys that only ascend outgrow what they have in common: so many bytes of it are left out. */
const ASCENDING_ROOM = 3;
/** Keys of a leaf, and children of an inner node, in a new tree. */
const FILL = 48;

/** The writing side of a tree. */
export class BTreeGrowth {
  readonly #log: EntryWriter;
  readonly #search: BTreeSearch;
  #keyCount = 0;
  #nodeWords = 0;
  #fitCount = FIT_COUNT_FIRST;
  #fit = 0;
  /** The largest key so far. */
  #isAscending = true;
  #last = 0;
  #lastFragment = 0;
  #isLast = false;
  /** Scratch: the places of a node in order. */
  readonly #order: Int32Array = new Int32Array(PLACES);

  constructor(log: EntryWriter, search: BTreeSearch) {
    this.#log = log;
    this.#search = search;
    const leaf = this.#newNode(LEAF_WORDS);
    this.#fit = this.#newFit(new Int32Array(0));
    const descriptor = this.#newDescriptor(leaf, 0);
    this.#nodeWords = 0;
    log.publish();
    log.words[WORD_ROOT] = descriptor;
  }

  /** Words that are kept free for nodes to come. */
  get wordsReserved(): number {
    return Math.max(0, this.#keyCount * NODE_WORDS_PER_KEY - this.#nodeWords);
  }

  /** Returns the words that nodes need for one more key in the leaf of the last descent, at most. */
  wordsNeeded(): number {
    const search = this.#search;
    if (this.#keyCount + 1 === this.#fitCount) return treeWords(this.#fitCount);
    if (!this.#isFull(search.leaf)) return 0;
    let need = 2 * LEAF_WORDS;
    for (let level = search.levels - 1; level >= 0; level--) {
      if (!this.#isFull(search.nodes[level]!)) return need;
      need += 2 * INNER_WORDS;
    }
    return need + INNER_WORDS + DESCRIPTOR_WORDS;
  }

  /** Adds a written entry of a new key to the leaf of the last descent, and publishes it. */
  addKey(entry: number, fragment: number): void {
    const log = this.#log;
    const { words } = log;
    this.#keyCount++;
    this.#noteLast(entry, fragment);
    const { leaf } = this.#search;
    if (this.#keyCount === this.#fitCount) this.#rebuild(entry);
    else if (this.#isFull(leaf)) this.#splitLeaf(leaf, entry, fragment);
    else {
      const place = this.#takePlace(leaf, fragment, entry, ENTRIES);
      log.publish();
      words[leaf + ENTRIES + place] = entry;
    }
  }

  #noteLast(entry: number, fragment: number): void {
    const last = this.#last;
    this.#isLast =
      last === 0 ||
      (fragment === this.#lastFragment
        ? this.#log.compareKeysOf(last, entry, 0) < 0
        : fragment > this.#lastFragment);
    if (this.#isLast) {
      this.#last = entry;
      this.#lastFragment = fragment;
    } else this.#isAscending = false;
  }

  #isFull(node: number): boolean {
    return (this.#log.words[node + NODE_TAKEN]! & TAKEN_MASK) === PLACES;
  }

  /**
   * Takes the next place of a node for a fragment; `column` holds the entries that tell equal ones
   * apart. The word that leads on is left to the caller.
   */
  #takePlace(node: number, fragment: number, entry: number, column: number): number {
    const { words } = this.#log;
    const head = words[node + NODE_TAKEN]!;
    const place = head & TAKEN_MASK;
    words[node + FRAGMENTS + place] = fragment;
    let isOrdered = head >>> ORDERED_SHIFT === place;
    if (isOrdered && place > 0) {
      const before = words[node + FRAGMENTS + place - 1]!;
      isOrdered =
        before === fragment
          ? this.#compare(words[node + column + place - 1]!, entry) < 0
          : before < fragment;
    }
    words[node + NODE_TAKEN] = head + 1 + (isOrdered ? 1 << ORDERED_SHIFT : 0);
    return place;
  }

  /** Compares keys; 0 is below all. */
  #compare(a: number, b: number): number {
    if (a === 0 || b === 0) return a - b;
    return this.#log.compareKeysOf(a, b, 0);
  }

  #newNode(size: number): number {
    const log = this.#log;
    const node = log.end;
    for (let i = 0; i < size; i++) log.words[node + i] = 0;
    log.end = node + size;
    this.#nodeWords += size;
    return node;
  }

  #newDescriptor(root: number, levels: number): number {
    const { words } = this.#log;
    const descriptor = this.#newNode(DESCRIPTOR_WORDS);
    words[descriptor + DESCRIPTOR_ROOT] = root;
    words[descriptor + DESCRIPTOR_LEVELS] = levels;
    words[descriptor + DESCRIPTOR_FIT] = this.#fit;
    return descriptor;
  }

  /** Declares all places that are taken sorted, before a node is published. */
  #seal(node: number): void {
    const { words } = this.#log;
    words[node + NODE_SORTED] = words[node + NODE_TAKEN]! >>> ORDERED_SHIFT;
  }

  #appendEntry(leaf: number, entry: number, fragment: number): void {
    const place = this.#takePlace(leaf, fragment, entry, ENTRIES);
    this.#log.words[leaf + ENTRIES + place] = entry;
  }

  #appendChild(node: number, child: number, separator: number, fragment: number): void {
    const place = this.#takePlace(node, fragment, separator, SEPARATORS);
    this.#log.words[node + SEPARATORS + place] = separator;
    this.#log.words[node + CHILDREN + place] = child;
  }

  /** Leaves the places of a full node in `#order`, sorted. */
  #sortPlaces(node: number, column: number): void {
    const { words } = this.#log;
    const order = this.#order;
    for (let place = 0; place < PLACES; place++) {
      const fragment = words[node + FRAGMENTS + place]!;
      const entry = words[node + column + place]!;
      let at = place;
      for (; at > 0; at--) {
        const before = order[at - 1]!;
        const other = words[node + FRAGMENTS + before]!;
        if (other < fragment) break;
        if (other === fragment && this.#compare(words[node + column + before]!, entry) < 0) break;
        order[at] = before;
      }
      order[at] = place;
    }
  }

  #splitLeaf(leaf: number, entry: number, fragment: number): void {
    const log = this.#log;
    const { words } = log;
    const level = this.#search.levels - 1;
    if (this.#isLast) {
      // It is the last leaf, and stays full.
      const right = this.#newNode(LEAF_WORDS);
      this.#appendEntry(right, entry, fragment);
      this.#seal(right);
      this.#insertChild(level, entry, fragment, right, 0);
      return;
    }
    this.#sortPlaces(leaf, ENTRIES);
    const order = this.#order;
    const right = this.#newNode(LEAF_WORDS);
    const left = this.#newNode(LEAF_WORDS);
    for (let i = 0; i < PLACES; i++) {
      const place = order[i]!;
      const half = i < PLACES / 2 ? left : right;
      this.#appendEntry(half, words[leaf + ENTRIES + place]!, words[leaf + FRAGMENTS + place]!);
    }
    const separator = words[right + ENTRIES]!;
    const separatorFragment = words[right + FRAGMENTS]!;
    const half = this.#compare(entry, separator) < 0 ? left : right;
    this.#appendEntry(half, entry, fragment);
    this.#seal(left);
    this.#seal(right);
    this.#insertChild(level, separator, separatorFragment, right, left);
  }

  /**
   * Puts `right` behind the child of the last descent in its node of `level`, and `left`, unless it
   * is 0, in place of that child. `left` is the node that was allocated last.
   */
  #insertChild(
    level: number,
    separator: number,
    fragment: number,
    right: number,
    left: number,
  ): void {
    const log = this.#log;
    const { words } = log;
    const search = this.#search;
    if (level < 0) {
      const descriptor = words[WORD_ROOT]!;
      const root = this.#newNode(INNER_WORDS);
      const first = left === 0 ? words[descriptor + DESCRIPTOR_ROOT]! : left;
      this.#appendChild(root, first, 0, FRAGMENT_LOW);
      this.#appendChild(root, right, separator, fragment);
      this.#seal(root);
      const levels = words[descriptor + DESCRIPTOR_LEVELS]! + 1;
      const next = this.#newDescriptor(root, levels);
      log.publish();
      words[WORD_ROOT] = next;
      return;
    }
    const node = search.nodes[level]!;
    const place = search.places[level]!;
    if (this.#isFull(node)) {
      this.#splitInner(level, separator, fragment, right, left);
      return;
    }
    const taken = this.#takePlace(node, fragment, separator, SEPARATORS);
    words[node + SEPARATORS + taken] = separator;
    if (left === 0) {
      log.publish();
      words[node + CHILDREN + taken] = right;
      return;
    }
    // Who sees the lower half must see the upper one: it is published last, after the link to that.
    log.publishTo(left);
    words[node + CHILDREN + taken] = right;
    log.publish();
    words[node + CHILDREN + place] = left;
  }

  #splitInner(
    level: number,
    separator: number,
    fragment: number,
    right: number,
    left: number,
  ): void {
    const { words } = this.#log;
    const node = this.#search.nodes[level]!;
    if (this.#isLast) {
      const upper = this.#newNode(INNER_WORDS);
      this.#appendChild(upper, right, 0, FRAGMENT_LOW);
      this.#seal(upper);
      // A leaf that was split in halves is in the middle, where keys are not the last.
      this.#insertChild(level - 1, separator, fragment, upper, left);
      return;
    }
    const changed = this.#search.places[level]!;
    this.#sortPlaces(node, SEPARATORS);
    const order = this.#order;
    const upper = this.#newNode(INNER_WORDS);
    const lower = this.#newNode(INNER_WORDS);
    const middle = order[PLACES / 2]!;
    const upperSeparator = words[node + SEPARATORS + middle]!;
    const upperFragment = words[node + FRAGMENTS + middle]!;
    for (let i = 0; i < PLACES; i++) {
      const place = order[i]!;
      const isMiddle = place === middle;
      const child = place === changed && left !== 0 ? left : words[node + CHILDREN + place]!;
      this.#appendChild(
        i < PLACES / 2 ? lower : upper,
        child,
        isMiddle ? 0 : words[node + SEPARATORS + place]!,
        isMiddle ? FRAGMENT_LOW : words[node + FRAGMENTS + place]!,
      );
    }
    const half = this.#compare(separator, upperSeparator) < 0 ? lower : upper;
    this.#appendChild(half, right, separator, fragment);
    this.#seal(lower);
    this.#seal(upper);
    this.#insertChild(level - 1, upperSeparator, upperFragment, upper, lower);
  }

  /** Fits fragments to the keys so far, `entry` included, and makes a new tree of them. */
  #rebuild(entry: number): void {
    const log = this.#log;
    const { words } = log;
    const count = this.#keyCount;
    const isLast = this.#fitCount === FIT_COUNT_LAST;
    this.#fitCount = isLast ? 0 : this.#fitCount * FIT_COUNT_FACTOR;
    const descriptor = words[WORD_ROOT]!;
    const entries = new Int32Array(count);
    const levels = words[descriptor + DESCRIPTOR_LEVELS]!;
    const gathered = this.#gather(words[descriptor + DESCRIPTOR_ROOT]!, levels, entries, 0);
    entries[gathered] = entry;
    sortEntries(log, entries, count);
    this.#fit = this.#newFit(entries);
    this.#search.takeFit(this.#fit);
    this.#lastFragment = this.#search.fragmentOf(entries[count - 1]!);

    let nodes = new Int32Array(Math.ceil(count / FILL));
    let firsts = new Int32Array(nodes.length);
    for (let i = 0; i < nodes.length; i++) {
      const leaf = this.#newNode(LEAF_WORDS);
      for (let at = i * FILL; at < count && at < (i + 1) * FILL; at++) {
        this.#appendEntry(leaf, entries[at]!, this.#search.fragmentOf(entries[at]!));
      }
      this.#seal(leaf);
      nodes[i] = leaf;
      firsts[i] = entries[i * FILL]!;
    }
    let height = 0;
    for (; nodes.length > 1; height++) {
      const parents = new Int32Array(Math.ceil(nodes.length / FILL));
      const firstsOfParents = new Int32Array(parents.length);
      for (let i = 0; i < parents.length; i++) {
        const node = this.#newNode(INNER_WORDS);
        for (let at = i * FILL; at < nodes.length && at < (i + 1) * FILL; at++) {
          const first = firsts[at]!;
          if (at === i * FILL) this.#appendChild(node, nodes[at]!, 0, FRAGMENT_LOW);
          else this.#appendChild(node, nodes[at]!, first, this.#search.fragmentOf(first));
        }
        this.#seal(node);
        parents[i] = node;
        firstsOfParents[i] = firsts[i * FILL]!;
      }
      nodes = parents;
      firsts = firstsOfParents;
    }
    const next = this.#newDescriptor(nodes[0]!, height);
    log.publish();
    words[WORD_ROOT] = next;
  }

  /** Collects the entries below a node. */
  #gather(node: number, levels: number, entries: Int32Array, from: number): number {
    const { words } = this.#log;
    let count = from;
    for (let place = 0; place < PLACES; place++) {
      const next = words[node + (levels === 0 ? ENTRIES : CHILDREN) + place]!;
      if (next === 0) break;
      if (levels === 0) entries[count++] = next;
      else count = this.#gather(next, levels - 1, entries, count);
    }
    return count;
  }

  /** Writes a fit for sorted entries; for none, one that tells nothing. */
  #newFit(entries: Int32Array): number {
    const log = this.#log;
    const { words, bytes } = log;
    const fit = this.#newNode(FIT_WORDS);
    if (entries.length === 0) return fit;
    const first = entries[0]!;
    let shared = log.commonBytes(first, entries[entries.length - 1]!);
    if (this.#isAscending) shared = Math.max(0, shared - ASCENDING_ROOM);
    words[fit + FIT_ENTRY] = first;
    words[fit + FIT_SHARED] = shared;
    const lowsAt = (fit + FIT_LOWS) << 2;
    const highsAt = lowsAt + FIT_BYTES;
    bytes.fill(255, lowsAt, highsAt);
    for (const entry of entries) {
      const shape = words[entry]!;
      const at = log.keyStart(entry, shape) + shared;
      const length = Math.min(FIT_BYTES, (shape & 0xffff) - shared);
      for (let i = 0; i < length; i++) {
        const byte = bytes[at + i]!;
        if (byte < bytes[lowsAt + i]!) bytes[lowsAt + i] = byte;
        if (byte > bytes[highsAt + i]!) bytes[highsAt + i] = byte;
      }
    }
    return fit;
  }
}

/** Returns the words that a new tree of so many keys takes. */
function treeWords(keyCount: number): number {
  let nodes = Math.ceil(keyCount / FILL);
  let words = nodes * LEAF_WORDS + FIT_WORDS + DESCRIPTOR_WORDS;
  while (nodes > 1) {
    nodes = Math.ceil(nodes / FILL);
    words += nodes * INNER_WORDS;
  }
  return words;
}
