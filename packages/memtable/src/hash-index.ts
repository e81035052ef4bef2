/**
 * An open-addressing index from keys to the newest version of each, in the arena of its entries.
 *
 *   table   SHAPE_GAP | words that follow | the table before, or 0 | slots
 *   slot    0, or an entry with bits of its key's hash above it
 *
 * A slot is taken by the key that hashed to it, or, when it was taken, by the next one behind it
 * (linear probing). The bits of the hash beside an entry, as many as the size of the arena leaves
 * room for, keep a probe from touching entries of other keys. A slot is never given up: a new
 * version of a key takes the slot of the one before.
 *
 * A table that is seven tenths full is followed by a larger one and stays as it is: nothing is moved,
 * so no add pays for the others, and what a reader in another thread probes is never rebuilt under
 * it. The first tables are small and grow fast, so a small memtable does not touch much memory, and
 * a large one has its keys in the last tables; looking into the first ones costs little, for they
 * stay in the processor's cache. From the size on that suits entries of `TYPICAL_ENTRY_BYTES`, each
 * table adds half of what there is.
 *
 * Other threads. A table is published (`EntryWriter.publish`) before WORD_ROOT leads to it, and an
 * entry before its slot does. A reader that meets an empty slot, or an older version in it, began
 * before the newer one was complete. Slots hold single aligned words.
 */
import { WORD_ROOT } from "./arena.ts";
import { type EntryLog, SHAPE_GAP } from "./entry-log.ts";
import type { EntryWriter } from "./entry-writer.ts";

const TABLE_FOLLOWING = 1;
const TABLE_BEFORE = 2;
const TABLE_SLOTS = 3;

const TWO_32 = 0x100000000;

/** An entry of this size, its place in a run included, fills an arena along with its slots. */
const TYPICAL_ENTRY_BYTES = 88;
const FIRST_SLOTS = 2048;
const FIRST_GROWTH = 20;
const LATER_GROWTH = 0.5;
const LOAD_MAX = 0.7;

/** Slots of the table that follows `slots` ones, in tables of an arena of so many words. */
function slotsAfter(slots: number, wordCount: number): number {
  const enough = Math.ceil((wordCount * 4) / TYPICAL_ENTRY_BYTES);
  if (slots === 0) return Math.min(FIRST_SLOTS, enough);
  if (slots >= enough) return Math.ceil(slots * LATER_GROWTH);
  return Math.min(slots * FIRST_GROWTH, enough);
}

/** Most bytes that a key takes in tables, those included that are not made yet. */
export const HASH_KEY_BYTES_MAX: number = Math.ceil((FIRST_GROWTH / LOAD_MAX) * 4) + 8;

/** One thread's view of the tables. */
export class HashIndex {
  /** The slot of the last `find`: that of the key, or the free one in the newest table. */
  slot = 0;
  readonly #log: EntryLog;
  readonly #entryMask: number;
  readonly #entryBits: number;

  constructor(log: EntryLog) {
    this.#log = log;
    this.#entryBits = 32 - Math.clz32(log.words.length - 1);
    this.#entryMask = 2 ** this.#entryBits - 1;
  }

  /** Returns the newest version of key[start, end), 0 when there is none. */
  find(key: Uint8Array, start: number, end: number, hash: number): number {
    const log = this.#log;
    const words = log.words;
    const bits = this.#entryBits;
    const mask = this.#entryMask;
    const tagged = hash << bits;
    let table = words[WORD_ROOT]!;
    let free = 0;
    while (table !== 0) {
      log.ensurePublished(table);
      const slots = words[table + TABLE_FOLLOWING]! - 1;
      const first = table + TABLE_SLOTS;
      const last = first + slots - 1;
      let slot = first + Math.floor((hash >>> 0) * (slots / TWO_32));
      for (;;) {
        const word = words[slot]!;
        if (word === 0) break;
        if ((word ^ tagged) >>> bits === 0) {
          const entry = word & mask;
          log.ensurePublished(entry);
          if (log.hasKey(entry, key, start, end)) {
            this.slot = slot;
            return entry;
          }
        }
        slot = slot === last ? first : slot + 1;
      }
      if (free === 0) free = slot;
      table = words[table + TABLE_BEFORE]!;
    }
    this.slot = free;
    return 0;
  }

  /** Returns what a slot that leads to `entry` holds. */
  slotWord(entry: number, hash: number): number {
    return entry | (hash << this.#entryBits);
  }
}

/** The tables as the writing thread grows them. */
export class HashTables {
  readonly #log: EntryWriter;
  #table = 0;
  #slotsMade = 0;
  /** Keys in the newest table, and how many of them it takes. */
  #keys = 0;
  #keysMax = 0;
  #nextSlots: number;
  /** Words that every key of the newest table pays for the next one. */
  #wordsPerKey = 0;

  constructor(log: EntryWriter) {
    this.#log = log;
    this.#nextSlots = slotsAfter(0, log.words.length);
    this.grow();
  }

  /** Words that the next key needs in tables. */
  get wordsNeeded(): number {
    return this.#keys < this.#keysMax ? 0 : this.#nextSlots + TABLE_SLOTS;
  }

  /** Words that are kept free for the next table. */
  get wordsReserved(): number {
    return Math.ceil(this.#keys * this.#wordsPerKey);
  }

  /** Notes a key in the newest table. */
  noteKey(): void {
    this.#keys++;
  }

  /** Makes the next table at the end of the log. Precondition: there is room. */
  grow(): void {
    const log = this.#log;
    const { words } = log;
    const table = log.end;
    const slots = this.#nextSlots;
    words[table] = SHAPE_GAP;
    words[table + TABLE_FOLLOWING] = slots + 1;
    words[table + TABLE_BEFORE] = this.#table;
    words.fill(0, table + TABLE_SLOTS, table + TABLE_SLOTS + slots);
    log.end = table + TABLE_SLOTS + slots;
    log.publish();
    words[WORD_ROOT] = table;
    this.#table = table;
    this.#slotsMade += slots;
    this.#keys = 0;
    this.#keysMax = Math.max(1, Math.floor(slots * LOAD_MAX));
    this.#nextSlots = slotsAfter(this.#slotsMade, words.length);
    this.#wordsPerKey = (this.#nextSlots + TABLE_SLOTS) / this.#keysMax;
  }
}
