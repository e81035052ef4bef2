/**
 * A tournament of sorted sources: which of their current entries comes first.
 *
 * It is a tree of losers (Knuth, "The Art of Computer Programming", vol. 3, 5.4.1): each inner node
 * holds the source that lost there, so after the winner moved, one compare per level finds the next
 * one. The first eight bytes behind what all keys share stand beside each source's current entry,
 * and only where these are equal are keys compared byte by byte. All of it is in typed arrays:
 * nothing is allocated while it runs.
 */
import type { EntryLog } from "./entry-log.ts";
import { prefixOf } from "./key-prefix.ts";

const NO_ENTRIES = new Int32Array(0);
const NONE = -1;

/** Sources are pieces of arrays of entries, each in internal order. */
export class Tournament {
  /** The source whose entry is first, and that entry; 0 when all sources are at their end. */
  winner = 0;
  entry = 0;
  readonly #log: EntryLog;
  #forward = true;
  #count = 0;
  /** A multiple of four: bytes that all keys share. */
  #shared = 0;
  #capacity = 0;
  #sources: Int32Array[] = [];
  #starts: Int32Array = NO_ENTRIES;
  #ends: Int32Array = NO_ENTRIES;
  #positions: Int32Array = NO_ENTRIES;
  #heads: Int32Array = NO_ENTRIES;
  #high: Uint32Array = new Uint32Array(0);
  #low: Uint32Array = new Uint32Array(0);
  #losers: Int32Array = NO_ENTRIES;

  constructor(log: EntryLog) {
    this.#log = log;
  }

  /** Forgets all sources. Keys of those that follow share their first `shared` bytes. */
  begin(shared: number): void {
    this.#count = 0;
    this.#shared = shared & ~3;
  }

  /** Adds the entries [start, end) of a source, which must not change while it is one. */
  addSource(entries: Int32Array, start: number, end: number): void {
    const index = this.#count++;
    if (index === this.#capacity) this.#grow();
    this.#sources[index] = entries;
    this.#starts[index] = start;
    this.#ends[index] = end;
  }

  /** Where a source stands: its next entry in a forward tournament. */
  positionOf(source: number): number {
    return this.#positions[source]!;
  }

  /** Stands every source at its first entry, or its last one. */
  playAll(forward: boolean): void {
    this.#forward = forward;
    for (let i = 0; i < this.#count; i++) {
      this.#place(i, forward ? this.#starts[i]! : this.#ends[i]! - 1);
    }
    this.#play();
  }

  /** Stands every source at its first entry at or behind key[start, end), or its last one before. */
  playFrom(key: Uint8Array, start: number, end: number, forward: boolean): void {
    this.#forward = forward;
    const log = this.#log;
    for (let i = 0; i < this.#count; i++) {
      const entries = this.#sources[i]!;
      let low = this.#starts[i]!;
      let high = this.#ends[i]!;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (log.compareKey(entries[middle]!, key, start, end) < 0) low = middle + 1;
        else high = middle;
      }
      this.#place(i, forward ? low : low - 1);
    }
    this.#play();
  }

  /** Stands every source at its first entry behind `entry`, or its last one before it. */
  playBeside(entry: number, forward: boolean): void {
    this.#forward = forward;
    for (let i = 0; i < this.#count; i++) {
      const entries = this.#sources[i]!;
      let low = this.#starts[i]!;
      let high = this.#ends[i]!;
      while (low < high) {
        const middle = (low + high) >>> 1;
        const other = entries[middle]!;
        const order = this.#log.compareKeysOf(other, entry, this.#shared) || entry - other;
        if (order < 0 || (order === 0 && forward)) low = middle + 1;
        else high = middle;
      }
      this.#place(i, forward ? low : low - 1);
    }
    this.#play();
  }

  /** Moves the winner one entry on and finds the next one. Precondition: `entry` is not 0. */
  move(): void {
    const winner = this.winner;
    this.#place(winner, this.#positions[winner]! + (this.#forward ? 1 : -1));
    const losers = this.#losers;
    let source = winner;
    for (let node = (source + this.#count) >>> 1; node > 0; node >>>= 1) {
      const other = losers[node]!;
      if (this.#isBefore(other, source)) {
        losers[node] = source;
        source = other;
      }
    }
    this.winner = source;
    this.entry = this.#heads[source]!;
  }

  #place(source: number, position: number): void {
    this.#positions[source] = position;
    if (position < this.#starts[source]! || position >= this.#ends[source]!) {
      this.#heads[source] = 0;
      return;
    }
    const { words } = this.#log;
    const entry = this.#sources[source]![position]!;
    const shape = words[entry]!;
    const shared = this.#shared;
    const at = this.#log.keyStart(entry, shape) + shared;
    const rest = (shape & 0xffff) - shared;
    this.#heads[source] = entry;
    this.#high[source] = prefixOf(words, at, rest);
    this.#low[source] = prefixOf(words, at + 4, rest - 4);
  }

  #play(): void {
    const count = this.#count;
    const losers = this.#losers;
    this.winner = 0;
    this.entry = 0;
    if (count === 0) return;
    losers.fill(NONE, 0, count);
    for (let leaf = count - 1; leaf >= 0; leaf--) {
      let source = leaf;
      let node = (leaf + count) >>> 1;
      for (; node > 0; node >>>= 1) {
        const other = losers[node]!;
        if (other === NONE) {
          losers[node] = source;
          break;
        }
        if (this.#isBefore(other, source)) {
          losers[node] = source;
          source = other;
        }
      }
      if (node === 0) this.winner = source;
    }
    this.entry = this.#heads[this.winner]!;
  }

  /** Returns whether the entry of source `a` comes before that of `b` in this direction. */
  #isBefore(a: number, b: number): boolean {
    const entryA = this.#heads[a]!;
    const entryB = this.#heads[b]!;
    if (entryA === 0 || entryB === 0) return entryA !== 0;
    const highA = this.#high[a]!;
    const highB = this.#high[b]!;
    if (highA !== highB) return highA < highB === this.#forward;
    const lowA = this.#low[a]!;
    const lowB = this.#low[b]!;
    if (lowA !== lowB) return lowA < lowB === this.#forward;
    const order = this.#log.compareKeysOf(entryA, entryB, this.#shared) || entryB - entryA;
    return order < 0 === this.#forward;
  }

  #grow(): void {
    const capacity = Math.max(16, this.#capacity * 2);
    const grown = (old: Int32Array): Int32Array => {
      const array = new Int32Array(capacity);
      array.set(old);
      return array;
    };
    this.#capacity = capacity;
    this.#starts = grown(this.#starts);
    this.#ends = grown(this.#ends);
    this.#positions = grown(this.#positions);
    this.#heads = grown(this.#heads);
    this.#losers = grown(this.#losers);
    this.#high = new Uint32Array(capacity);
    this.#low = new Uint32Array(capacity);
  }
}
