/**
 * The memtable `hash-runs`: an append-only log of entries, a hash index that finds the newest
 * version of a key in it, and sorted runs for those who want order.
 *
 * An add writes the entry at the end of the log and one slot of the index; nothing is kept in order
 * meanwhile, but every `RUN_COUNT_MAX` entries are sorted into a run. So the first seek after any
 * number of adds has a bounded number of runs to look into and a bounded number of entries to sort;
 * see `sorted-runs.ts`. A flush in another thread sorts the log as a whole there.
 *
 * Other threads. The steps of an add are those of `entry-writer.ts`: the entry; WORD_PUBLISHED; its
 * slot; WORD_COUNT. A new hash table is filled with zeros and published before WORD_ROOT leads to
 * it. Runs are private to each thread: a reader walks the log up to the WORD_PUBLISHED that it
 * loaded when its cursor was placed, and sorts what it does not know yet.
 */
import { assert, type EntryCursor } from "@aura/base";
import { HEADER_WORDS, resetArena, WORD_SEED } from "./arena.ts";
import { ENTRY_WORDS_MAX, EntryLog } from "./entry-log.ts";
import { EntryReader } from "./entry-reader.ts";
import { checkEntry, EntryWriter } from "./entry-writer.ts";
import { HASH_KEY_BYTES_MAX, HashIndex, HashTables } from "./hash-index.ts";
import { hashKeyBytes } from "./key-hash.ts";
import type { Memtable, MemtableOptions, MemtableReader, MemtableShare } from "./memtable.ts";
import { RunsCursor } from "./runs-cursor.ts";
import { SortedRuns } from "./sorted-runs.ts";

/** Bytes of an entry's place in a run. */
const RUN_PLACE_BYTES = 4;

/** Reads a memtable of this kind, in any thread. */
export class HashRunsReader extends EntryReader implements MemtableReader {
  readonly #log: EntryLog;
  readonly #index: HashIndex;
  readonly #runs: SortedRuns;
  readonly #seed: number;

  constructor(log: EntryLog, index: HashIndex, runs: SortedRuns) {
    super(log, "hash-runs");
    this.#log = log;
    this.#seed = log.words[WORD_SEED]!;
    this.#index = index;
    this.#runs = runs;
  }

  /** Returns a view of a memtable of another thread. */
  static attach(share: MemtableShare): HashRunsReader {
    const log = new EntryLog(share.buffer);
    assert(log.generation === share.generation, "the arena was given to a new memtable");
    return new HashRunsReader(log, new HashIndex(log), new SortedRuns(log, HEADER_WORDS, false));
  }

  override get usedBytes(): number {
    return super.usedBytes + RUN_PLACE_BYTES * this.entryCount;
  }

  find(key: Uint8Array, start: number, end: number, seqMax: number): boolean {
    this.#log.refresh();
    const hash = hashKeyBytes(key, start, end, this.#seed);
    return this.answer(this.#index.find(key, start, end, hash), seqMax);
  }

  cursor(): EntryCursor {
    return new RunsCursor(this.#log, this.#runs);
  }
}

/** A memtable for one writing thread. */
export class HashRunsMemtable extends HashRunsReader implements Memtable {
  readonly #log: EntryWriter;
  readonly #index: HashIndex;
  readonly #tables: HashTables;
  readonly #runs: SortedRuns;
  readonly #wordCount: number;
  readonly #seed: number;

  /** Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer. */
  constructor(buffer: SharedArrayBuffer, options: MemtableOptions) {
    resetArena(buffer, HEADER_WORDS);
    const log = new EntryWriter(buffer, HEADER_WORDS);
    log.words[WORD_SEED] = options.seed;
    const tables = new HashTables(log);
    const index = new HashIndex(log);
    const runs = new SortedRuns(log, HEADER_WORDS, true);
    super(log, index, runs);
    this.#log = log;
    this.#index = index;
    this.#tables = tables;
    this.#runs = runs;
    this.#wordCount = log.words.length;
    this.#seed = log.words[WORD_SEED]!;
  }

  get roomBytes(): number {
    const log = this.#log;
    const words = this.#wordCount - log.end - log.count - this.#tables.wordsReserved;
    return words > 0 ? words * 4 : 0;
  }

  entryBytesMax(keyBytes: number, valueBytes: number): number {
    return ENTRY_WORDS_MAX * 4 + RUN_PLACE_BYTES + HASH_KEY_BYTES_MAX + keyBytes + valueBytes + 3;
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
    const index = this.#index;
    const hash = hashKeyBytes(key, keyStart, keyEnd, this.#seed);
    const older = index.find(key, keyStart, keyEnd, hash);
    if (older !== 0) assert(log.seqOf(older) < seq, "versions of a key are added in order, once");
    const need = log.entryWords(seq, keyEnd - keyStart, valueEnd - valueStart, older);
    const tableWords = older === 0 ? this.#tables.wordsNeeded : 0;
    if (log.end + need + tableWords + log.count + 1 > this.#wordCount) return false;
    if (tableWords > 0) {
      this.#tables.grow();
      index.find(key, keyStart, keyEnd, hash);
    }
    const slot = index.slot;
    const entry = log.write(seq, tag, key, keyStart, keyEnd, value, valueStart, valueEnd, older);
    log.publish();
    log.words[slot] = index.slotWord(entry, hash);
    log.finish();
    if (older === 0) this.#tables.noteKey();
    this.#runs.note(entry, log.end);
    return true;
  }
}
