/**
 * Reading a memtable that keeps an entry log, whatever index finds its keys: the answer of a find,
 * and what does not depend on the index.
 */
import { assert } from "@aura/base";
import { WORD_COUNT, WORD_PUBLISHED } from "./arena.ts";
import type { EntryLog } from "./entry-log.ts";
import type { MemtableImplementation, MemtableShare } from "./memtable.ts";

/** What readers over an entry log have in common. */
export class EntryReader {
  readonly bytes: Uint8Array;
  hitSeq = 0;
  hitTag = 0;
  hitValueStart = 0;
  hitValueEnd = 0;
  readonly #log: EntryLog;
  readonly #implementation: MemtableImplementation;

  constructor(log: EntryLog, implementation: MemtableImplementation) {
    this.bytes = log.bytes;
    this.#log = log;
    this.#implementation = implementation;
  }

  get entryCount(): number {
    return Atomics.load(this.#log.words, WORD_COUNT);
  }

  get usedBytes(): number {
    return Atomics.load(this.#log.words, WORD_PUBLISHED) * 4;
  }

  share(): MemtableShare {
    const { buffer, generation } = this.#log;
    assert(generation !== 0, "a memtable has a generation");
    return { implementation: this.#implementation, buffer, generation };
  }

  /** Answers a find with a version at or below `seqMax` of the key whose newest one is `newest`. */
  protected answer(newest: number, seqMax: number): boolean {
    if (newest === 0) return false;
    const log = this.#log;
    const seq = log.seqOf(newest);
    if (seq > seqMax) {
      const entry = log.versionAt(newest, seqMax);
      if (entry === 0) return false;
      this.#hit(entry, log.seqOf(entry));
    } else this.#hit(newest, seq);
    return true;
  }

  #hit(entry: number, seq: number): void {
    const log = this.#log;
    const shape = log.words[entry]!;
    const valueStart = log.keyStart(entry, shape) + (shape & 0xffff);
    this.hitSeq = seq;
    this.hitTag = log.tagOf(entry);
    this.hitValueStart = valueStart;
    this.hitValueEnd = valueStart + log.valueBytes(entry, shape);
  }
}
