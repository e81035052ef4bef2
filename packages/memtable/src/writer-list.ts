/**
 * The skip list as its writing thread sees it: a search by fragments, and linking.
 *
 * A link carries the fragment of the node that it leads to, so a search touches a node only to go
 * on from it, or when fragments are equal. Fragments are fitted to the first keys, to more of them
 * twice again, and then stay; each fit writes the fragments of all links anew, the last one in well
 * under a millisecond.
 */
import { WORD_COUNT, WORD_PUBLISHED, WORD_ROOT } from "./arena.ts";
import { FIT_BYTES, KeyFragments } from "./key-fragments.ts";
import { SkipList } from "./skip-list.ts";
import {
  HEAD,
  HEIGHT_MAX,
  keyOffset,
  NODE_SHAPE,
  NODE_TOWER,
  TOWER_STEP,
} from "./skip-list-layout.ts";

/** Entries at the first fit, and how many times more at each further one, up to the last. */
const FIT_COUNT_FIRST = 64;
const FIT_COUNT_FACTOR = 8;
const FIT_COUNT_LAST = 4096;
/** Keys that only ascend outgrow what they have in common: so many bytes of it are left out. */
const ASCENDING_ROOM = 3;

/** The one writer of a list. */
export class WriterList extends SkipList {
  readonly #fragments: KeyFragments = new KeyFragments();
  /** The last node of each level. */
  readonly #tails: Int32Array = new Int32Array(HEIGHT_MAX).fill(HEAD);
  #tailFragment = 0;
  #count = 0;
  #levels = 1;
  #isAscending = true;
  /** Entries at the next fit; 0 when there was the last one. */
  #fitCount = FIT_COUNT_FIRST;
  /** Of the last `place`. */
  #fragment = 0;
  #place: Int32Array = this.before;

  constructor(buffer: SharedArrayBuffer) {
    super(buffer);
    this.published = this.words.length;
  }

  override locate(key: Uint8Array, start: number, end: number, seq: number): number {
    return this.#search(key, start, end, seq, this.#fragments.of(key, start, end));
  }

  #search(key: Uint8Array, start: number, end: number, seq: number, fragment: number): number {
    const words = this.words;
    const before = this.before;
    let level = this.#levels - 1;
    let node = HEAD;
    let behind = 0;
    for (;;) {
      const link = node + NODE_TOWER + level * TOWER_STEP;
      const next = words[link]!;
      if (next !== 0 && next !== behind) {
        const other = words[link + 1]!;
        if (other < fragment || (other === fragment && this.isBefore(next, key, start, end, seq))) {
          node = next;
          continue;
        }
        behind = next;
      }
      before[level] = node;
      if (level === 0) return next;
      level--;
    }
  }

  /**
   * Finds where (key, seq) goes, for the next `link`. Returns false when that version or a newer
   * one is there already. A key behind the last one needs no search.
   */
  place(key: Uint8Array, start: number, end: number, seq: number): boolean {
    const fragment = this.#fragments.of(key, start, end);
    this.#fragment = fragment;
    const tail = this.#tails[0]!;
    if (
      tail === HEAD ||
      fragment > this.#tailFragment ||
      (fragment === this.#tailFragment && this.isBefore(tail, key, start, end, seq))
    ) {
      this.#place = this.#tails;
      return tail === HEAD || !this.hasKey(tail, key, start, end);
    }
    this.#isAscending = false;
    this.#place = this.before;
    const next = this.#search(key, start, end, seq, fragment);
    const node = this.before[0]!;
    if (node !== HEAD && this.hasKey(node, key, start, end)) return false;
    return next === 0 || this.seqOf(next) !== seq || !this.hasKey(next, key, start, end);
  }

  /** Links a written node at the last `place`: the rest of step 1, and steps 2 to 4. */
  link(node: number, height: number, nodesEnd: number): void {
    const words = this.words;
    const tails = this.#tails;
    const place = this.#place;
    const levels = this.#levels;
    const tower = node + NODE_TOWER;
    for (let level = 0; level < height; level++) {
      const step = level * TOWER_STEP;
      const link = (level < levels ? place[level]! : HEAD) + NODE_TOWER + step;
      words[tower + step] = words[link]!;
      words[tower + step + 1] = words[link + 1]!;
    }
    Atomics.store(words, WORD_PUBLISHED, nodesEnd);
    for (let level = 0; level < height; level++) {
      const step = level * TOWER_STEP;
      const link = (level < levels ? place[level]! : HEAD) + NODE_TOWER + step;
      words[link] = node;
      words[link + 1] = this.#fragment;
      if (words[tower + step] === 0) tails[level] = node;
    }
    if (words[tower] === 0) this.#tailFragment = this.#fragment;
    if (height > levels) {
      this.#levels = height;
      words[WORD_ROOT] = height;
    }
    this.#count++;
    Atomics.store(words, WORD_COUNT, this.#count);
    if (this.#count === this.#fitCount) this.#fit();
  }

  /** Fits fragments to the keys so far, and writes those of all links anew. */
  #fit(): void {
    const isLast = this.#fitCount === FIT_COUNT_LAST;
    this.#fitCount = isLast ? 0 : this.#fitCount * FIT_COUNT_FACTOR;
    const { words, bytes } = this;
    const first = words[HEAD + NODE_TOWER]!;
    const last = this.#tails[0]!;
    const firstAt = keyOffset(first, words[first + NODE_SHAPE]!);
    const lastAt = keyOffset(last, words[last + NODE_SHAPE]!);
    const length = Math.min(
      words[first + NODE_SHAPE]! & 0xffff,
      words[last + NODE_SHAPE]! & 0xffff,
    );
    let shared = 0;
    while (shared < length && bytes[firstAt + shared] === bytes[lastAt + shared]) shared++;
    if (this.#isAscending) shared = Math.max(0, shared - ASCENDING_ROOM);

    const lows = new Uint8Array(FIT_BYTES).fill(255);
    const highs = new Uint8Array(FIT_BYTES);
    for (let node = first; node !== 0; node = words[node + NODE_TOWER]!) {
      const shape = words[node + NODE_SHAPE]!;
      const at = keyOffset(node, shape) + shared;
      const count = Math.min(FIT_BYTES, (shape & 0xffff) - shared);
      for (let i = 0; i < count; i++) {
        const byte = bytes[at + i]!;
        if (byte < lows[i]!) lows[i] = byte;
        if (byte > highs[i]!) highs[i] = byte;
      }
    }
    this.#fragments.fit(bytes.slice(firstAt, firstAt + shared), lows, highs);
    this.#writeFragments();
  }

  #writeFragments(): void {
    const { words, bytes } = this;
    for (let level = 0; level < this.#levels; level++) {
      const step = NODE_TOWER + level * TOWER_STEP;
      let node = HEAD;
      for (let next = words[node + step]!; next !== 0; next = words[node + step]!) {
        const shape = words[next + NODE_SHAPE]!;
        const at = keyOffset(next, shape);
        words[node + step + 1] = this.#fragments.of(bytes, at, at + (shape & 0xffff));
        node = next;
      }
      if (level === 0) {
        const shape = words[node + NODE_SHAPE]!;
        const at = keyOffset(node, shape);
        this.#tailFragment = this.#fragments.of(bytes, at, at + (shape & 0xffff));
      }
    }
  }
}
