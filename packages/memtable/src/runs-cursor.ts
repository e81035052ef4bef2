/**
 * A cursor over the sorted runs of an entry log, in both directions. It shows the entries that were
 * there when its last `seek`, `seekBefore`, `first` or `last` began.
 */
import { assert, type EntryCursor } from "@aura/base";
import { WORD_PUBLISHED } from "./arena.ts";
import type { EntryLog } from "./entry-log.ts";
import { SMALL_COUNT_MAX, type SortedRuns } from "./sorted-runs.ts";
import { Tournament } from "./tournament.ts";

/** Walks the entries of one memtable. Key and value views are the arena itself. */
export class RunsCursor implements EntryCursor {
  valid = false;
  readonly pending: boolean = false;
  readonly failed: boolean = false;
  readonly keyBytes: Uint8Array;
  keyStart = 0;
  keyEnd = 0;
  seq = 0;
  tag = 0;
  readonly valueBytes: Uint8Array;
  valueStart = 0;
  valueEnd = 0;
  readonly #log: EntryLog;
  readonly #runs: SortedRuns;
  readonly #tournament: Tournament;
  readonly #small: Int32Array = new Int32Array(SMALL_COUNT_MAX);
  #forward = true;

  constructor(log: EntryLog, runs: SortedRuns) {
    this.#log = log;
    this.#runs = runs;
    this.#tournament = new Tournament(log);
    this.keyBytes = log.bytes;
    this.valueBytes = log.bytes;
  }

  first(): void {
    this.#begin(true);
    this.#tournament.playAll(true);
    this.#stand();
  }

  last(): void {
    this.#begin(false);
    this.#tournament.playAll(false);
    this.#stand();
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#begin(true);
    this.#tournament.playFrom(key, start, end, true);
    this.#stand();
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#begin(false);
    this.#tournament.playFrom(key, start, end, false);
    this.#stand();
  }

  next(): void {
    assert(this.valid, "next needs an entry");
    this.#move(true);
  }

  prev(): void {
    assert(this.valid, "prev needs an entry");
    this.#move(false);
  }

  loadSync(): void {}

  load(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.valid = false;
  }

  #begin(forward: boolean): void {
    const log = this.#log;
    log.refresh();
    const end = Atomics.load(log.words, WORD_PUBLISHED);
    if (end > log.published) log.published = end;
    this.#runs.collect(end, this.#tournament, this.#small);
    this.#forward = forward;
  }

  #move(forward: boolean): void {
    const tournament = this.#tournament;
    if (this.#forward === forward) tournament.move();
    else {
      this.#forward = forward;
      tournament.playBeside(tournament.entry, forward);
    }
    this.#stand();
  }

  #stand(): void {
    const entry = this.#tournament.entry;
    if (entry === 0) {
      this.valid = false;
      return;
    }
    const log = this.#log;
    const shape = log.words[entry]!;
    const keyStart = log.keyStart(entry, shape);
    const keyEnd = keyStart + (shape & 0xffff);
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.valueStart = keyEnd;
    this.valueEnd = keyEnd + log.valueBytes(entry, shape);
    this.seq = log.seqOf(entry);
    this.tag = log.tagOf(entry);
    this.valid = true;
  }
}
