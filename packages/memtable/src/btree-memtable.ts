/**
 * The memtable `btree`: a B+-tree with nodes that are appended to, over an entry log; see
 * `btree-nodes.ts` for the tree and for the order of stores that lets other threads read it.
 */
import { assert, type EntryCursor } from "@aura/base";
import { HEADER_WORDS, resetArena } from "./arena.ts";
import { BTreeGrowth, FIRST_TREE_WORDS, NODE_WORDS_PER_KEY } from "./btree-growth.ts";
import { BTreeSearch, ENTRIES } from "./btree-nodes.ts";
import { BTreePath } from "./btree-path.ts";
import { ENTRY_WORDS_MAX, EntryLog } from "./entry-log.ts";
import { EntryReader } from "./entry-reader.ts";
import { checkEntry, EntryWriter } from "./entry-writer.ts";
import type { Memtable, MemtableOptions, MemtableReader, MemtableShare } from "./memtable.ts";
import { VersionCursor } from "./version-cursor.ts";

/** Reads a memtable of this kind, in any thread. */
export class BTreeReader extends EntryReader implements MemtableReader {
  readonly #log: EntryLog;
  readonly #search: BTreeSearch;
  readonly #isWriter: boolean;

  constructor(log: EntryLog, isWriter: boolean) {
    super(log, "btree");
    this.#log = log;
    this.#search = new BTreeSearch(log, isWriter);
    this.#isWriter = isWriter;
  }

  /** Returns a view of a memtable of another thread. */
  static attach(share: MemtableShare): BTreeReader {
    const log = new EntryLog(share.buffer);
    assert(log.generation === share.generation, "the arena was given to a new memtable");
    return new BTreeReader(log, false);
  }

  find(key: Uint8Array, start: number, end: number, seqMax: number): boolean {
    this.#log.refresh();
    const search = this.#search;
    const fragment = search.begin(key, start, end);
    search.descend(key, start, end, fragment);
    const place = search.placeIn(search.leaf, key, start, end, fragment);
    if (place < 0) return false;
    return this.answer(this.#log.words[search.leaf + ENTRIES + place]!, seqMax);
  }

  cursor(): EntryCursor {
    return new VersionCursor(this.#log, new BTreePath(this.#log, this.#isWriter));
  }
}

/** A memtable for one writing thread. */
export class BTreeMemtable extends BTreeReader implements Memtable {
  readonly #log: EntryWriter;
  readonly #search: BTreeSearch;
  readonly #growth: BTreeGrowth;
  readonly #wordCount: number;

  /** Makes an empty memtable over `buffer`, whatever it holds; the caller owns the buffer. */
  constructor(buffer: SharedArrayBuffer, _options: MemtableOptions) {
    resetArena(buffer, HEADER_WORDS);
    const log = new EntryWriter(buffer, HEADER_WORDS);
    super(log, true);
    const search = new BTreeSearch(log, true);
    this.#log = log;
    this.#search = search;
    this.#growth = new BTreeGrowth(log, search);
    this.#wordCount = log.words.length;
    assert(log.end === HEADER_WORDS + FIRST_TREE_WORDS, "the first tree has a known size");
  }

  get roomBytes(): number {
    const words = this.#wordCount - this.#log.end - this.#growth.wordsReserved;
    return words > 0 ? words * 4 : 0;
  }

  entryBytesMax(keyBytes: number, valueBytes: number): number {
    return (ENTRY_WORDS_MAX + NODE_WORDS_PER_KEY) * 4 + keyBytes + valueBytes + 3;
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
    const search = this.#search;
    const growth = this.#growth;
    const fragment = search.begin(key, keyStart, keyEnd);
    search.descend(key, keyStart, keyEnd, fragment);
    const { leaf } = search;
    const place = search.placeIn(leaf, key, keyStart, keyEnd, fragment);
    const older = place < 0 ? 0 : log.words[leaf + ENTRIES + place]!;
    if (older !== 0) assert(log.seqOf(older) < seq, "versions of a key are added in order, once");
    const need = log.entryWords(seq, keyEnd - keyStart, valueEnd - valueStart, older);
    const nodeWords = older === 0 ? growth.wordsNeeded() : 0;
    if (log.end + need + nodeWords > this.#wordCount) return false;
    const entry = log.write(seq, tag, key, keyStart, keyEnd, value, valueStart, valueEnd, older);
    if (older !== 0) {
      log.publish();
      log.words[leaf + ENTRIES + place] = entry;
    } else growth.addKey(entry, fragment);
    log.finish();
    return true;
  }
}
