/**
 * A position among the keys of a B-tree: a sorted copy of the entries of one leaf, and the
 * separators between which they lie. The next leaf is found from the root, by the separator, and the
 * key in it by the separator too, so that no split and no new tree in between matters: its leaves
 * begin elsewhere. It stays right while keys are added.
 */
import { BTreeSearch, ENTRIES, FRAGMENTS, PLACES, Side } from "./btree-nodes.ts";
import type { EntryLog } from "./entry-log.ts";
import type { KeyPath } from "./version-cursor.ts";

const NO_KEY = new Uint8Array(0);

/** The path. */
export class BTreePath implements KeyPath {
  newest = 0;
  readonly #log: EntryLog;
  readonly #search: BTreeSearch;
  readonly #entries: Int32Array = new Int32Array(PLACES);
  readonly #fragments: Int32Array = new Int32Array(PLACES);
  #count = 0;
  #index = 0;

  constructor(log: EntryLog, isWriter: boolean) {
    this.#log = log;
    this.#search = new BTreeSearch(log, isWriter);
  }

  first(): void {
    this.#search.descendBounded(NO_KEY, 0, 0, Side.atOrBelow);
    this.#load();
    this.#stand(0);
  }

  last(): void {
    this.#search.descendBounded(NO_KEY, 0, 0, Side.all);
    this.#load();
    this.#stand(this.#count - 1);
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#search.descendBounded(key, start, end, Side.atOrBelow);
    this.#load();
    this.#index = this.#indexOf(key, start, end) - 1;
    this.next();
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#search.descendBounded(key, start, end, Side.below);
    this.#load();
    this.#index = this.#indexOf(key, start, end);
    this.prev();
  }

  next(): void {
    if (this.#index + 1 < this.#count) {
      this.#stand(this.#index + 1);
      return;
    }
    const { upper } = this.#search;
    if (upper === 0) {
      this.newest = 0;
      return;
    }
    const log = this.#log;
    const shape = log.words[upper]!;
    const at = log.keyStart(upper, shape);
    const end = at + (shape & 0xffff);
    this.#search.descendBounded(log.bytes, at, end, Side.atOrBelow);
    this.#load();
    this.#stand(this.#indexOf(log.bytes, at, end));
  }

  prev(): void {
    if (this.#index > 0) {
      this.#stand(this.#index - 1);
      return;
    }
    const { lower } = this.#search;
    if (lower === 0) {
      this.newest = 0;
      return;
    }
    const log = this.#log;
    const shape = log.words[lower]!;
    const at = log.keyStart(lower, shape);
    const end = at + (shape & 0xffff);
    this.#search.descendBounded(log.bytes, at, end, Side.below);
    this.#load();
    this.#stand(this.#indexOf(log.bytes, at, end) - 1);
  }

  #stand(index: number): void {
    this.#index = index;
    this.newest = index >= 0 && index < this.#count ? this.#entries[index]! : 0;
  }

  /** Copies the entries of the leaf, in order, those out of its bounds left out. */
  #load(): void {
    const log = this.#log;
    const { words } = log;
    const { leaf, upper } = this.#search;
    const entries = this.#entries;
    const fragments = this.#fragments;
    let count = 0;
    for (; count < PLACES; count++) {
      const entry = words[leaf + ENTRIES + count]!;
      if (entry === 0) break;
      log.ensurePublished(entry);
      const fragment = words[leaf + FRAGMENTS + count]!;
      let at = count;
      for (; at > 0; at--) {
        const before = fragments[at - 1]!;
        if (before < fragment) break;
        if (before === fragment && log.compareKeysOf(entries[at - 1]!, entry, 0) < 0) break;
        fragments[at] = before;
        entries[at] = entries[at - 1]!;
      }
      fragments[at] = fragment;
      entries[at] = entry;
    }
    while (count > 0 && upper !== 0 && log.compareKeysOf(entries[count - 1]!, upper, 0) >= 0) {
      count--;
    }
    this.#count = count;
  }

  /** Returns the index of the first entry at or behind a key. */
  #indexOf(key: Uint8Array, start: number, end: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#log.compareKey(this.#entries[middle]!, key, start, end) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
