/**
 * The writing thread's side of an entry log: where the next entry goes, and writing it.
 *
 * Every add of a memtable of this kind takes the same steps:
 *
 *   1. the entry, new nodes and whatever else the links of step 3 lead to (plain stores);
 *   2. `publish`: Atomics.store(WORD_PUBLISHED, the end of all that);
 *   3. the link: plain stores, each of one aligned word, each leading to something new;
 *   4. `finish`: Atomics.store(WORD_COUNT, entries).
 *
 * A reader begins with Atomics.load(WORD_COUNT), so it sees the links of every entry that was
 * complete then; and it follows a reference only below a WORD_PUBLISHED that it has itself loaded
 * (`Arena.ensurePublished`), so it never sees less than what was written in step 1.
 */
import { AuraError, assert, KEY_BYTES_MAX, SEQ_MAX } from "@aura/base";
import { WORD_BASE_SEQ_HIGH, WORD_BASE_SEQ_LOW, WORD_COUNT, WORD_PUBLISHED } from "./arena.ts";
import { copyBytes } from "./byte-copy.ts";
import {
  ENTRY_WORDS,
  EntryLog,
  LONG_VALUE_BYTES,
  SHAPE_LONG_VALUE,
  SHAPE_VALUE_SHIFT,
  SHAPE_VERSION,
  SHAPE_WIDE_SEQ,
  WIDE_SEQ_DELTA,
} from "./entry-log.ts";

const TWO_32 = 0x100000000;

/** Throws unless these are a sequence number and the lengths of a key and a value. */
export function checkEntry(seq: number, keyBytes: number, valueBytes: number): void {
  if (keyBytes > KEY_BYTES_MAX) throw tooLong(keyBytes);
  assert(seq >= 0 && seq <= SEQ_MAX, "a sequence number is 0 to 2^53 - 1");
  assert(keyBytes >= 0 && valueBytes >= 0, "a range does not end before it starts");
}

function tooLong(keyBytes: number): AuraError {
  return new AuraError("AURA_KEY_TOO_LONG", `a key has ${keyBytes} bytes`);
}

/** The one writer of an entry log. */
export class EntryWriter extends EntryLog {
  /** First word that nothing stands in. */
  end: number;
  count = 0;
  #firstSeq = -1;

  constructor(buffer: SharedArrayBuffer, start: number) {
    super(buffer);
    this.end = start;
    this.published = this.words.length;
  }

  /** The writer sees what it wrote. */
  override refresh(): void {
    this.assertCurrent();
  }

  /** Returns the words that an entry takes; `older` is the version before it, or 0. */
  entryWords(seq: number, keyBytes: number, valueBytes: number, older: number): number {
    let head = ENTRY_WORDS;
    if (this.#isWide(seq)) head++;
    if (valueBytes >= LONG_VALUE_BYTES) head++;
    if (older !== 0) head += 3;
    return head + ((keyBytes + valueBytes + 3) >>> 2);
  }

  /** Writes an entry at the end and returns it. Precondition: there is room. */
  write(
    seq: number,
    tag: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number,
    older: number,
  ): number {
    const words = this.words;
    const entry = this.end;
    const keyBytes = keyEnd - keyStart;
    const valueBytes = valueEnd - valueStart;
    if (this.#firstSeq < 0) {
      this.#firstSeq = seq;
      words[WORD_BASE_SEQ_LOW] = seq | 0;
      words[WORD_BASE_SEQ_HIGH] = Math.floor(seq / TWO_32);
    }
    let shape = keyBytes;
    let at = entry + ENTRY_WORDS;
    if (this.#isWide(seq)) {
      shape |= SHAPE_WIDE_SEQ;
      words[entry + 1] = Math.floor(seq / TWO_32) | (tag << 24);
      words[at++] = seq | 0;
    } else {
      words[entry + 1] = (seq - this.#firstSeq) | (tag << 24);
    }
    if (valueBytes >= LONG_VALUE_BYTES) {
      shape |= SHAPE_LONG_VALUE;
      words[at++] = valueBytes;
    } else {
      shape |= valueBytes << SHAPE_VALUE_SHIFT;
    }
    if (older !== 0) {
      shape |= SHAPE_VERSION;
      const jump = this.jumpOf(older);
      const depth = this.depthOf(older);
      const middle = this.depthOf(jump);
      const far = this.jumpOf(jump);
      words[at] = older;
      words[at + 1] = depth - middle === middle - this.depthOf(far) ? far : older;
      words[at + 2] = depth + 1;
      at += 3;
    }
    words[entry] = shape;
    const keyAt = at << 2;
    copyBytes(this.bytes, words, keyAt, key, keyStart, keyEnd);
    copyBytes(this.bytes, words, keyAt + keyBytes, value, valueStart, valueEnd);
    this.end = (keyAt + keyBytes + valueBytes + 3) >>> 2;
    return entry;
  }

  /** Step 2: what stands below `end` may be led to. */
  publish(): void {
    Atomics.store(this.words, WORD_PUBLISHED, this.end);
  }

  /** The same up to a word before `end`, for links that must be seen one after the other. */
  publishTo(word: number): void {
    Atomics.store(this.words, WORD_PUBLISHED, word);
  }

  /** Step 4: one entry more is complete. */
  finish(): void {
    this.count++;
    Atomics.store(this.words, WORD_COUNT, this.count);
  }

  #isWide(seq: number): boolean {
    const first = this.#firstSeq;
    if (first < 0) return false;
    const delta = seq - first;
    return delta < 0 || delta >= WIDE_SEQ_DELTA;
  }
}
