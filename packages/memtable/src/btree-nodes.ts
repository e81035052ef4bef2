/**
 * A B+-tree from keys to the newest version of each, in the arena of its entries, as any thread reads
 * it. Nodes are appended to, not shifted, as in trees for persistent memory (Yang et al., "NV-Tree",
 * FAST 2015; Oukid et al., "FPTree", SIGMOD 2016): a node is born with a sorted part, and what comes
 * later stands behind it in the order of its coming.
 *
 *   descriptor   the root node | levels of inner nodes | the fit of fragments
 *   fit          an entry | how much of its key is shared | lowest and highest byte of 16 positions
 *   leaf         places taken (the writer's) | places sorted | fragments | entries
 *   inner node   places taken (the writer's) | places sorted | fragments | separators | children
 *
 * A child holds the keys from its separator on, up to the next separator in order; the separator of
 * the first place is below all keys. A fragment is four bytes' worth of a key (`key-fragments.ts`):
 * keys are compared only where fragments are equal. Fragments are fitted to the first 64, 512 and
 * 4096 keys; each fit makes a new tree.
 *
 * Other threads. What a reader can reach changes by single words only, each to something new:
 *
 *   a new version   its entry; WORD_PUBLISHED; the word of the version before
 *   a new key       its entry and its fragment; WORD_PUBLISHED; the next free entry word of the leaf
 *   a full node     two sorted halves, the new key in one of them, the lower one behind all else,
 *                   and the separator of the upper one; WORD_PUBLISHED up to the lower half; the
 *                   next free child word of the parent: from here on the upper half is found;
 *                   WORD_PUBLISHED; the child word of the old node: the lower half
 *   a new root, a fit   the tree; its descriptor; WORD_PUBLISHED; WORD_ROOT
 *
 * and then WORD_COUNT. A free place holds 0. Between the two stores of a split, the old node still
 * serves for the lower half, and shows keys of the upper half as well: a walk stops at the separator
 * that it came under. A reader that comes to a child above the WORD_PUBLISHED that it knew before
 * it looked at the parent loads that word and looks again: it then sees the upper half as well. A reader that has loaded WORD_PUBLISHED above what a place leads to sees the
 * fragment and the separator beside it. A node that was replaced stays as it was.
 */
import { WORD_ROOT } from "./arena.ts";
import type { EntryLog } from "./entry-log.ts";
import { FIT_BYTES, KeyFragments } from "./key-fragments.ts";

/** Places of a node. */
export const PLACES = 64;
/**
 * Words of a node: places taken, and above them how many of these came in order, as the writer
 * knows it; places that were sorted when the node was published.
 */
export const NODE_TAKEN = 0;
export const TAKEN_MASK = 0xffff;
export const ORDERED_SHIFT = 16;
export const NODE_SORTED = 1;
/** First words of the columns of a node. */
export const FRAGMENTS = 2;
export const ENTRIES: number = FRAGMENTS + PLACES;
export const SEPARATORS: number = FRAGMENTS + PLACES;
export const CHILDREN: number = SEPARATORS + PLACES;
export const LEAF_WORDS: number = ENTRIES + PLACES;
export const INNER_WORDS: number = CHILDREN + PLACES;

/** Words of a descriptor. */
export const DESCRIPTOR_ROOT = 0;
export const DESCRIPTOR_LEVELS = 1;
export const DESCRIPTOR_FIT = 2;
export const DESCRIPTOR_WORDS = 3;

/** Words of a fit: the entry, the shared length, then bytes. */
export const FIT_ENTRY = 0;
export const FIT_SHARED = 1;
export const FIT_LOWS = 2;
export const FIT_WORDS: number = FIT_LOWS + (2 * FIT_BYTES) / 4;

/** Most levels of inner nodes: 32 to the power of 6 is more than an arena holds. */
const LEVELS_MAX = 8;

/** Which separators a descent may pass: a compare with the key below this number. */
export const Side = { below: 0, atOrBelow: 1, all: 2 } as const;

/** One thread's way down the tree. */
export class BTreeSearch {
  readonly log: EntryLog;
  /** Of the last `descend`: the leaf, and the nodes above it with the places taken there. */
  leaf = 0;
  levels = 0;
  readonly nodes: Int32Array = new Int32Array(LEVELS_MAX);
  readonly places: Int32Array = new Int32Array(LEVELS_MAX);
  /** Of the last `descendBounded`: separators around the leaf; 0: none. */
  lower = 0;
  upper = 0;
  /** Fragments as the current tree has them. */
  readonly fragments: KeyFragments = new KeyFragments();
  #fit = -1;
  #above = -1;
  readonly #isWriter: boolean;

  constructor(log: EntryLog, isWriter: boolean) {
    this.log = log;
    this.#isWriter = isWriter;
  }

  /** Begins at the root as it is now, for which the fragment of key[start, end) is returned. */
  begin(key: Uint8Array, start: number, end: number): number {
    const { log } = this;
    const { words } = log;
    const descriptor = words[WORD_ROOT]!;
    log.ensurePublished(descriptor);
    const fit = words[descriptor + DESCRIPTOR_FIT]!;
    if (fit !== this.#fit) this.takeFit(fit);
    this.levels = words[descriptor + DESCRIPTOR_LEVELS]!;
    this.leaf = words[descriptor + DESCRIPTOR_ROOT]!;
    return this.fragments.of(key, start, end);
  }

  /** Goes down to the leaf of a key, after `begin`. */
  descend(key: Uint8Array, start: number, end: number, fragment: number): void {
    const { log } = this;
    const { words } = log;
    let node = this.leaf;
    for (let level = 0; level < this.levels; level++) {
      const { published } = log;
      const place = this.#placeOf(node, key, start, end, fragment);
      const child = words[node + CHILDREN + place]!;
      if (child >= published) {
        // It came while the node was searched, and so may have the one that holds the key.
        log.ensurePublished(child);
        level--;
        continue;
      }
      this.nodes[level] = node;
      this.places[level] = place;
      node = child;
    }
    this.leaf = node;
  }

  /** Goes down to a leaf by `side`, and leaves the separators around it. */
  descendBounded(key: Uint8Array, start: number, end: number, side: number): void {
    const { log } = this;
    const { words } = log;
    const fragment = this.begin(key, start, end);
    let node = this.leaf;
    this.lower = 0;
    this.upper = 0;
    for (let level = 0; level < this.levels; level++) {
      const { published } = log;
      const place = this.#placeFor(node, key, start, end, fragment, side);
      const child = words[node + CHILDREN + place]!;
      if (child >= published) {
        log.ensurePublished(child);
        level--;
        continue;
      }
      if (place > 0) this.lower = words[node + SEPARATORS + place]!;
      if (this.#above >= 0) this.upper = words[node + SEPARATORS + this.#above]!;
      node = child;
    }
    this.leaf = node;
  }

  /** Returns the place of a key in the leaf, -1 when it is not there. */
  placeIn(leaf: number, key: Uint8Array, start: number, end: number, fragment: number): number {
    const { log } = this;
    const { words } = log;
    const fragments = leaf + FRAGMENTS;
    const entries = leaf + ENTRIES;
    const sorted = this.#sortedPlaces(leaf);
    let low = 0;
    let high = sorted;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (words[fragments + middle]! < fragment) low = middle + 1;
      else high = middle;
    }
    for (; low < sorted && words[fragments + low] === fragment; low++) {
      const entry = words[entries + low]!;
      log.ensurePublished(entry);
      if (log.hasKey(entry, key, start, end)) return low;
    }
    const limit = this.#placesLimit(leaf);
    for (let place = sorted; place < limit; place++) {
      if (words[fragments + place] !== fragment) continue;
      const entry = words[entries + place]!;
      if (entry === 0) break;
      log.ensurePublished(entry);
      if (log.hasKey(entry, key, start, end)) return place;
    }
    return -1;
  }

  /** Returns the place of the child that holds a key. */
  #placeOf(node: number, key: Uint8Array, start: number, end: number, fragment: number): number {
    const { log } = this;
    const { words } = log;
    const fragments = node + FRAGMENTS;
    const separators = node + SEPARATORS;
    const sorted = this.#sortedPlaces(node);
    // The first place is below all keys.
    let low = 1;
    let high = sorted;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = words[fragments + middle]!;
      const isAtOrBelow =
        other === fragment
          ? log.compareKey(words[separators + middle]!, key, start, end) <= 0
          : other < fragment;
      if (isAtOrBelow) low = middle + 1;
      else high = middle;
    }
    let best = low - 1;
    let bestFragment = words[fragments + best]!;
    const limit = this.#placesLimit(node);
    for (let place = sorted; place < limit; place++) {
      const seen = words[fragments + place]!;
      if (seen > fragment || seen < bestFragment) continue;
      const child = words[node + CHILDREN + place]!;
      if (child === 0) break;
      log.ensurePublished(child);
      // Only now it is surely the one that belongs to the child.
      const other = words[fragments + place]!;
      if (other > fragment || other < bestFragment) continue;
      const separator = words[separators + place]!;
      if (other === fragment && log.compareKey(separator, key, start, end) > 0) continue;
      if (best > 0 && other === bestFragment) {
        if (log.compareKeysOf(separator, words[separators + best]!, 0) < 0) continue;
      }
      best = place;
      bestFragment = other;
    }
    return best;
  }

  /**
   * Returns the place of the largest separator that `side` admits, and leaves in `#above` that of
   * the smallest one behind it, -1 when there is none.
   */
  #placeFor(
    node: number,
    key: Uint8Array,
    start: number,
    end: number,
    fragment: number,
    side: number,
  ): number {
    const { log } = this;
    const { words } = log;
    const fragments = node + FRAGMENTS;
    const separators = node + SEPARATORS;
    const sorted = this.#sortedPlaces(node);
    // The first place is below all keys.
    let low = 1;
    let high = sorted;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = words[fragments + middle]!;
      const isAdmitted =
        other === fragment
          ? log.compareKey(words[separators + middle]!, key, start, end) < side
          : other < fragment;
      if (isAdmitted || side === Side.all) low = middle + 1;
      else high = middle;
    }
    let best = low - 1;
    let above = low < sorted ? low : -1;
    for (let place = sorted; place < PLACES; place++) {
      const child = words[node + CHILDREN + place]!;
      if (child === 0) break;
      log.ensurePublished(child);
      const other = words[fragments + place]!;
      const separator = words[separators + place]!;
      const isAdmitted =
        side === Side.all ||
        (other === fragment ? log.compareKey(separator, key, start, end) < side : other < fragment);
      if (isAdmitted) {
        if (best === 0 || this.#order(node, place, best) > 0) best = place;
      } else if (above < 0 || this.#order(node, place, above) < 0) above = place;
    }
    this.#above = above;
    return best;
  }

  /** The writer knows of places that were taken in order since the node was published. */
  #sortedPlaces(node: number): number {
    const { words } = this.log;
    return this.#isWriter
      ? words[node + NODE_TAKEN]! >>> ORDERED_SHIFT
      : words[node + NODE_SORTED]!;
  }

  /** No place from here on is taken: the writer knows, others have to look. */
  #placesLimit(node: number): number {
    return this.#isWriter ? this.log.words[node + NODE_TAKEN]! & TAKEN_MASK : PLACES;
  }

  /** Compares two separators of a node. */
  #order(node: number, a: number, b: number): number {
    const { log } = this;
    const { words } = log;
    const fragmentA = words[node + FRAGMENTS + a]!;
    const fragmentB = words[node + FRAGMENTS + b]!;
    if (fragmentA !== fragmentB) return fragmentA < fragmentB ? -1 : 1;
    return log.compareKeysOf(words[node + SEPARATORS + a]!, words[node + SEPARATORS + b]!, 0);
  }

  /** Returns the fragment of an entry's key. */
  fragmentOf(entry: number): number {
    const { log } = this;
    const shape = log.words[entry]!;
    const at = log.keyStart(entry, shape);
    return this.fragments.of(log.bytes, at, at + (shape & 0xffff));
  }

  /** Computes fragments as a fit has them from here on. */
  takeFit(fit: number): void {
    const { words, bytes } = this.log;
    this.#fit = fit;
    const entry = words[fit + FIT_ENTRY]!;
    const at = this.log.keyStart(entry, words[entry]!);
    const lows = (fit + FIT_LOWS) << 2;
    this.fragments.fit(
      bytes.slice(at, at + words[fit + FIT_SHARED]!),
      bytes.slice(lows, lows + FIT_BYTES),
      bytes.slice(lows + FIT_BYTES, lows + 2 * FIT_BYTES),
    );
  }
}
