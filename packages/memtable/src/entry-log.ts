/**
 * Entries as `hash-runs`, `art` and `btree` keep them: one behind the other in the arena, each
 * written once, and the versions of a key as a chain from new to old.
 *
 *   entry   shape | seq and tag | [seq low] | [value bytes] | [older | jump | depth]
 *           | key | value | up to 3 bytes of padding
 *
 * Words in brackets stand only where the shape says so: a sequence number 2^24 or more away from
 * the first one, a value of 8 KiB or more, a key that has an older version. An entry is named by
 * the index of its first word, and a later one has a larger index.
 *
 * An index over such entries names only the newest version of each key. `older` leads to the version
 * before it, `jump` to one that lies further back, by the rule of skew-binary numbers (Myers, "An
 * applicative random-access stack", 1983): any version is reached in a logarithmic number of steps,
 * however often a key was written. Both are written with the entry and never change.
 */
import { Arena, WORD_BASE_SEQ_HIGH, WORD_BASE_SEQ_LOW } from "./arena.ts";

/** In the shape, above 16 bits of key length; 13 bits of value length stand above these. */
export const SHAPE_WIDE_SEQ = 0x10000;
export const SHAPE_LONG_VALUE = 0x20000;
export const SHAPE_VERSION = 0x40000;
export const SHAPE_VALUE_SHIFT = 19;
/** Values of this many bytes or more have a word for their length. */
export const LONG_VALUE_BYTES = 8192;
/** Sequence numbers this far above the first one have a word of their own. */
export const WIDE_SEQ_DELTA = 0x1000000;
/** In place of a shape: words that are no entry follow, as many as the next word says. */
export const SHAPE_GAP = -1;

/** Words before the key of an entry without optional ones. */
export const ENTRY_WORDS = 2;
/** Words before the key of an entry, at most. */
export const ENTRY_WORDS_MAX = 7;

const TWO_32 = 0x100000000;

/** One thread's view of the entries in an arena. */
export class EntryLog extends Arena {
  /** Sequence number of the first entry; -1: not known yet. */
  #baseSeq = -1;

  /** Returns the byte offset of an entry's key. */
  keyStart(entry: number, shape: number): number {
    const flags = shape >>> 16;
    if ((flags & 7) === 0) return (entry + ENTRY_WORDS) << 2;
    return (entry + ENTRY_WORDS + (flags & 1) + ((flags >>> 1) & 1) + 3 * ((flags >>> 2) & 1)) << 2;
  }

  /** Returns the length of an entry's value. */
  valueBytes(entry: number, shape: number): number {
    if ((shape & SHAPE_LONG_VALUE) === 0) return shape >>> SHAPE_VALUE_SHIFT;
    return this.words[entry + ENTRY_WORDS + ((shape >>> 16) & 1)]!;
  }

  /** Returns the sequence number of an entry. */
  seqOf(entry: number): number {
    const words = this.words;
    const word = words[entry + 1]!;
    if ((words[entry]! & SHAPE_WIDE_SEQ) !== 0) {
      return (word & 0x1fffff) * TWO_32 + (words[entry + ENTRY_WORDS]! >>> 0);
    }
    if (this.#baseSeq < 0) this.#readBaseSeq();
    return this.#baseSeq + (word & 0xffffff);
  }

  /** Returns the tag byte of an entry. */
  tagOf(entry: number): number {
    return this.words[entry + 1]! >>> 24;
  }

  /** Returns whether an entry is a version of key[start, end). */
  hasKey(entry: number, key: Uint8Array, start: number, end: number): boolean {
    const shape = this.words[entry]!;
    const length = end - start;
    if ((shape & 0xffff) !== length) return false;
    const bytes = this.bytes;
    const at = this.keyStart(entry, shape);
    // Keys that are neighbours differ at their ends.
    for (let i = length - 1; i >= 0; i--) {
      if (bytes[at + i] !== key[start + i]) return false;
    }
    return true;
  }

  /** Compares the key of an entry with key[start, end), which share their first `shared` bytes. */
  compareKey(
    entry: number,
    key: Uint8Array,
    start: number,
    end: number,
    shared: number = 0,
  ): number {
    const shape = this.words[entry]!;
    const bytes = this.bytes;
    const entryLength = shape & 0xffff;
    const length = end - start;
    const common = entryLength < length ? entryLength : length;
    const at = this.keyStart(entry, shape);
    for (let i = shared; i < common; i++) {
      const difference = bytes[at + i]! - key[start + i]!;
      if (difference !== 0) return difference;
    }
    return entryLength - length;
  }

  /** Compares the keys of two entries, which share their first `shared` bytes. */
  compareKeysOf(a: number, b: number, shared: number): number {
    const shape = this.words[b]!;
    const start = this.keyStart(b, shape);
    return this.compareKey(a, this.bytes, start, start + (shape & 0xffff), shared);
  }

  /** Returns the length of what the keys of two entries have in common. */
  commonBytes(a: number, b: number): number {
    const { words, bytes } = this;
    const shapeA = words[a]!;
    const shapeB = words[b]!;
    const atA = this.keyStart(a, shapeA);
    const atB = this.keyStart(b, shapeB);
    const length = Math.min(shapeA & 0xffff, shapeB & 0xffff);
    let i = 0;
    while (i < length && bytes[atA + i] === bytes[atB + i]) i++;
    return i;
  }

  /** Returns the length of what the key of an entry has in common with key[start, end). */
  commonWith(entry: number, key: Uint8Array, start: number, end: number): number {
    const shape = this.words[entry]!;
    const at = this.keyStart(entry, shape);
    const length = Math.min(shape & 0xffff, end - start);
    const bytes = this.bytes;
    let i = 0;
    while (i < length && bytes[at + i] === key[start + i]) i++;
    return i;
  }

  /** Returns the byte of an entry's key at `index`, -1 behind its end. */
  byteAt(entry: number, index: number): number {
    const shape = this.words[entry]!;
    return index < (shape & 0xffff) ? this.bytes[this.keyStart(entry, shape) + index]! : -1;
  }

  /** Returns the version before `entry`, 0 when there is none. */
  olderOf(entry: number): number {
    return this.#versionWord(entry, 0);
  }

  /** Returns the newest version at or below `seqMax` from `entry` on, 0 when there is none. */
  versionAt(entry: number, seqMax: number): number {
    let at = entry;
    while (at !== 0 && this.seqOf(at) > seqMax) {
      const jump = this.#versionWord(at, 1);
      at = jump !== 0 && this.seqOf(jump) > seqMax ? jump : this.#versionWord(at, 0);
    }
    return at;
  }

  /** Returns the oldest version from `entry` on. */
  oldestOf(entry: number): number {
    let at = entry;
    for (let jump = this.jumpOf(at); jump !== at; jump = this.jumpOf(at)) at = jump;
    return at;
  }

  /** Returns the oldest version above `seq` from `newest` on. Precondition: `newest` is above it. */
  versionAbove(newest: number, seq: number): number {
    let at = newest;
    for (;;) {
      const jump = this.jumpOf(at);
      if (jump !== at && this.seqOf(jump) > seq) at = jump;
      else {
        const older = this.#versionWord(at, 0);
        if (older === 0 || this.seqOf(older) <= seq) return at;
        at = older;
      }
    }
  }

  /** Returns where the jump of an entry leads: to itself from the oldest version. */
  jumpOf(entry: number): number {
    const jump = this.#versionWord(entry, 1);
    return jump === 0 ? entry : jump;
  }

  /** Returns how many versions stand behind an entry. */
  depthOf(entry: number): number {
    return this.#versionWord(entry, 2);
  }

  /** Returns the word behind the last one of an entry. */
  endOf(entry: number): number {
    const shape = this.words[entry]!;
    const end = this.keyStart(entry, shape) + (shape & 0xffff) + this.valueBytes(entry, shape);
    return (end + 3) >>> 2;
  }

  #versionWord(entry: number, index: number): number {
    const shape = this.words[entry]!;
    if ((shape & SHAPE_VERSION) === 0) return 0;
    const flags = shape >>> 16;
    return this.words[entry + ENTRY_WORDS + (flags & 1) + ((flags >>> 1) & 1) + index]!;
  }

  /** Written before the first entry was published: whoever sees an entry sees it. */
  #readBaseSeq(): void {
    const high = this.words[WORD_BASE_SEQ_HIGH]! >>> 0;
    this.#baseSeq = high * TWO_32 + (this.words[WORD_BASE_SEQ_LOW]! >>> 0);
  }
}
