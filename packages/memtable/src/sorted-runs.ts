/**
 * The order of an entry log: sorted runs of entries, private to one thread.
 *
 * Entries that were added since the last look are sorted into a run of their own, or, when they are
 * few, into a small array that becomes a run when it is full. Runs are merged, several at a time, but
 * only when somebody seeks, and a bounded number of entries per seek: a merge under way is nothing
 * but one run that grows at its end and others that shrink at their front, all of them sorted, so it
 * can rest at any moment. Runs of similar size are merged with each other (a binary counter that
 * takes up to `MERGE_WAYS` at once), so each entry is merged a logarithmic number of times and few
 * runs are left once the merges have caught up.
 *
 * No run's array is changed where a cursor may stand: what a merge consumed stays as it was, and
 * what it appends lies behind the end that a cursor knows. The small array is copied by cursors.
 *
 * Other threads build runs of their own from the log: the log is shared, its order is not, so there
 * is nothing to synchronize but `WORD_PUBLISHED`.
 */
import { type EntryLog, SHAPE_GAP } from "./entry-log.ts";
import { sortEntries } from "./entry-sorter.ts";
import { Tournament } from "./tournament.ts";

/** Entries of the largest run that is made by sorting while another thread does not wait for it. */
const RUN_COUNT_MAX = 4096;
/** Entries of the small array. */
export const SMALL_COUNT_MAX = 256;
/** So many new entries are put into the small array one by one; more are sorted. */
const INSERT_COUNT_MAX = 16;
/** Runs of one merge. */
const MERGE_WAYS = 16;
/** Entries that one seek merges, at most. */
const SEEK_MERGE_COUNT = 1024;
/** More runs than these are merged by adding, too. */
const RUNS_MAX = 256;

/** Entries [start, end) of an array, sorted. */
interface Run {
  readonly entries: Int32Array;
  start: number;
  end: number;
}

/** Entries that a walk collects; one of them per thread. */
let waiting: Int32Array = new Int32Array(RUN_COUNT_MAX);

/** The runs of one log in one thread. */
export class SortedRuns {
  readonly #log: EntryLog;
  readonly #merge: Tournament;
  #runs: Run[] = [];
  #small: Int32Array = new Int32Array(SMALL_COUNT_MAX);
  #smallCount = 0;
  /** What stands below this word is sorted. */
  #sortedTo: number;
  readonly #isNoted: boolean;
  /** Entries that were told and are not sorted yet. */
  readonly #noted: Int32Array;
  #notedCount = 0;
  /** Sources of the merge under way, and where it writes. */
  #inputs: Run[] = [];
  #output: Run | undefined;
  #mayMerge = false;
  /** An entry, and how many first bytes of its key all keys have. */
  #sample = 0;
  #shared = 0;

  /** `isNoted`: every entry is told by `note`; else the log is walked from the word `start` on. */
  constructor(log: EntryLog, start: number, isNoted: boolean) {
    this.#log = log;
    this.#merge = new Tournament(log);
    this.#sortedTo = start;
    this.#isNoted = isNoted;
    this.#noted = new Int32Array(isNoted ? RUN_COUNT_MAX : 0);
  }

  /** Adding: `entry` was written, and the log ends at `end` now. Makes a run now and then. */
  note(entry: number, end: number): void {
    this.#noted[this.#notedCount++] = entry;
    if (this.#notedCount < RUN_COUNT_MAX) return;
    this.#sortUpTo(end);
    if (this.#runs.length > RUNS_MAX) this.#mergeSome(2 * RUN_COUNT_MAX);
  }

  /** Seeking: sorts what stands below `end`, merges some, and gives `tournament` its sources. */
  collect(end: number, tournament: Tournament, small: Int32Array): void {
    if (this.#sortedTo !== end) this.#sortUpTo(end);
    if (this.#mayMerge) this.#mergeSome(SEEK_MERGE_COUNT);
    tournament.begin(this.#shared);
    for (const run of this.#runs) {
      if (run.start < run.end) tournament.addSource(run.entries, run.start, run.end);
    }
    const count = this.#smallCount;
    if (count === 0) return;
    const source = this.#small;
    for (let i = 0; i < count; i++) small[i] = source[i]!;
    tournament.addSource(small, 0, count);
  }

  #sortUpTo(end: number): void {
    const log = this.#log;
    let entries = this.#noted;
    let count = this.#notedCount;
    this.#notedCount = 0;
    if (!this.#isNoted) {
      count = this.#walk(end);
      entries = waiting;
    }
    this.#sortedTo = end;
    if (count === 0) return;
    if (count <= INSERT_COUNT_MAX) {
      for (let i = 0; i < count; i++) this.#insert(entries[i]!);
    } else {
      sortEntries(log, entries, count);
      this.#addSorted(entries.slice(0, count));
    }
    // A whole memtable was sorted: its scratch memory is not kept.
    if (waiting.length > 64 * RUN_COUNT_MAX) waiting = new Int32Array(RUN_COUNT_MAX);
  }

  /** Collects the entries of the log below `end` that were not seen before; returns their number. */
  #walk(end: number): number {
    const log = this.#log;
    const { words } = log;
    let count = 0;
    let at = this.#sortedTo;
    while (at < end) {
      if (words[at] === SHAPE_GAP) {
        at += 2 + words[at + 1]!;
        continue;
      }
      if (count === waiting.length) waiting = doubled(waiting);
      waiting[count++] = at;
      at = log.endOf(at);
    }
    return count;
  }

  #insert(entry: number): void {
    if (this.#smallCount === SMALL_COUNT_MAX) {
      this.#addSorted(this.#small.slice());
      this.#smallCount = 0;
    }
    const small = this.#small;
    const log = this.#log;
    let low = 0;
    let high = this.#smallCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = small[middle]!;
      if ((log.compareKeysOf(other, entry, 0) || entry - other) < 0) low = middle + 1;
      else high = middle;
    }
    small.copyWithin(low + 1, low, this.#smallCount++);
    small[low] = entry;
    this.#noteKey(entry);
  }

  #addSorted(entries: Int32Array): void {
    this.#runs.push({ entries, start: 0, end: entries.length });
    this.#noteKey(entries[0]!);
    this.#noteKey(entries[entries.length - 1]!);
    this.#mayMerge = true;
  }

  #noteKey(entry: number): void {
    if (this.#sample === 0) {
      this.#sample = entry;
      this.#shared = this.#log.words[entry]! & 0xffff;
    } else if (this.#shared > 0) {
      this.#shared = Math.min(this.#shared, this.#log.commonBytes(this.#sample, entry));
    }
  }

  /** Merges up to so many entries. */
  #mergeSome(count: number): void {
    for (let rest = count; rest > 0; ) {
      if (this.#output === undefined && !this.#planMerge()) {
        this.#mayMerge = false;
        return;
      }
      rest -= this.#mergeOn(rest);
    }
  }

  /** Chooses the smallest runs of similar size. */
  #planMerge(): boolean {
    const runs = this.#runs.sort((a, b) => a.end - a.start - (b.end - b.start));
    for (let first = 0; first < runs.length - 1; first++) {
      let sum = runs[first]!.end - runs[first]!.start;
      let last = first + 1;
      while (last < runs.length && last - first < MERGE_WAYS) {
        const size = runs[last]!.end - runs[last]!.start;
        if (size > 2 * sum) break;
        sum += size;
        last++;
      }
      if (last - first < 2) continue;
      this.#inputs = runs.slice(first, last);
      this.#output = { entries: new Int32Array(sum), start: 0, end: 0 };
      this.#runs.push(this.#output);
      const merge = this.#merge;
      merge.begin(this.#shared);
      for (const run of this.#inputs) merge.addSource(run.entries, run.start, run.end);
      merge.playAll(true);
      return true;
    }
    return false;
  }

  /** Goes on with the merge; returns how many entries it moved. */
  #mergeOn(countMax: number): number {
    const merge = this.#merge;
    const output = this.#output!;
    const { entries, end } = output;
    const stop = Math.min(entries.length, end + countMax);
    for (let at = end; at < stop; at++) {
      entries[at] = merge.entry;
      merge.move();
    }
    output.end = stop;
    for (let i = 0; i < this.#inputs.length; i++) this.#inputs[i]!.start = merge.positionOf(i);
    if (stop === entries.length) {
      const inputs = this.#inputs;
      this.#runs = this.#runs.filter((run) => !inputs.includes(run));
      this.#inputs = [];
      this.#output = undefined;
    }
    return stop - end;
  }
}

function doubled(array: Int32Array): Int32Array {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}
