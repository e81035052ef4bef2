/**
 * An arena: one fixed SharedArrayBuffer, seen as bytes and as 32-bit words, and the words of its
 * header. What stands behind the header is the business of the memtable that lives in it. Nothing
 * here reaches a disk.
 *
 * Everything in an arena is allocated upwards and never freed, so one word, `WORD_PUBLISHED`, says
 * up to where things were written whole. That is what makes reading in other threads safe; see
 * `Arena.ensurePublished`.
 */
import { AuraError, assert } from "@aura/base";

/** Header word: grows with every reset, so that a stale view is noticed. */
const WORD_GENERATION = 0;
/** Header word: end of what is written whole, in words. Stored before anything leads there. */
export const WORD_PUBLISHED = 1;
/** Header word: entries that every search beginning now finds. Stored last. */
export const WORD_COUNT = 2;
/** Header word: where a search begins; each implementation has its own meaning for it. */
export const WORD_ROOT = 3;
/** Header words: the sequence number of the first entry, which the others count from. */
export const WORD_BASE_SEQ_LOW = 4;
export const WORD_BASE_SEQ_HIGH = 5;
/** Header word: what the hash of keys begins with. */
export const WORD_SEED = 6;
export const HEADER_WORDS = 16;

/** Smallest arena, bytes. */
export const ARENA_BYTES_MIN = 4096;
/** Largest arena, bytes: a byte offset is a small integer. */
export const ARENA_BYTES_MAX = 1073741824;
/** Arena of a memtable unless asked otherwise, bytes. */
export const ARENA_BYTES_DEFAULT = 67108864;

/** Reads of WORD_PUBLISHED before a reference counts as wild: the store is nanoseconds away. */
const PUBLISH_SPINS_MAX = 100_000_000;

/** Throws AURA_INVALID_ARGUMENT unless an arena may have `bytes`. */
export function checkArenaBytes(bytes: number): void {
  if (bytes >= ARENA_BYTES_MIN && bytes <= ARENA_BYTES_MAX && bytes % 4 === 0) return;
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `an arena has ${ARENA_BYTES_MIN} to ${ARENA_BYTES_MAX} bytes, a multiple of 4; not ${bytes}`,
  );
}

/** Makes a new memtable of an arena, whatever it holds: its first `wordCount` words become 0. */
export function resetArena(buffer: SharedArrayBuffer, wordCount: number): void {
  checkArenaBytes(buffer.byteLength);
  const words = new Int32Array(buffer, 0, wordCount);
  const generation = (words[WORD_GENERATION]! + 1) & 0x7fffffff || 1;
  words.fill(0);
  Atomics.store(words, WORD_PUBLISHED, wordCount);
  Atomics.store(words, WORD_GENERATION, generation);
}

/** One thread's view of an arena. */
export class Arena {
  readonly buffer: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly generation: number;
  /** Words below this one may be read. The writing thread may read all. */
  published = 0;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.generation = Atomics.load(this.words, WORD_GENERATION);
  }

  /** Begins a search: what was complete is visible from here on. */
  refresh(): void {
    this.assertCurrent();
    Atomics.load(this.words, WORD_COUNT);
  }

  protected assertCurrent(): void {
    assert(
      this.words[WORD_GENERATION] === this.generation,
      "the arena was given to a new memtable",
    );
  }

  /**
   * Waits until what a reference leads to may be read. References are read by plain loads, which
   * have no order between threads; everything that was written before the store of WORD_PUBLISHED
   * that covers `word` is visible once this returns. Small, to be inlined.
   */
  ensurePublished(word: number): void {
    if (word >= this.published) this.#awaitPublished(word);
  }

  #awaitPublished(word: number): void {
    for (let spins = 0; spins < PUBLISH_SPINS_MAX; spins++) {
      this.published = Atomics.load(this.words, WORD_PUBLISHED);
      if (word < this.published) return;
    }
    assert(false, "a reference leads behind what is published");
  }
}
