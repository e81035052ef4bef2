/**
 * Entries as tests know them, a sorted model of a merge, and a cursor over an array that waits and
 * fails as a table does. What it lends is overwritten by its next move.
 */
import { AuraError, compareKeys, type EntryCursor, Kind, type SeededRandom } from "@aura/base";

/** A version of a key. */
export interface Entry {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly tag: number;
  readonly value: Uint8Array;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

export function put(key: string, seq: number, value = `${key}@${seq}`): Entry {
  return { key: bytesOf(key), seq, tag: Kind.value, value: bytesOf(value) };
}

export function del(key: string, seq: number): Entry {
  return { key: bytesOf(key), seq, tag: Kind.delete, value: new Uint8Array(0) };
}

/** Internal order: key ascending, sequence descending. */
export function compareEntries(a: Entry, b: Entry): number {
  return compareKeys(a.key, b.key) || b.seq - a.seq;
}

/** Draws a history of puts and deletes over few keys, oldest first. */
export function drawHistory(random: SeededRandom, count: number, keyCount: number): Entry[] {
  const history: Entry[] = [];
  for (let seq = 1; seq <= count; seq++) {
    const key = `k${String(random.below(keyCount)).padStart(random.below(2) === 0 ? 1 : 3, "0")}`;
    history.push(random.below(4) === 0 ? del(key, seq) : put(key, seq));
  }
  return history;
}

/** What a reader at `seq` sees of a history: key and value, by key. */
export function visibleAt(history: readonly Entry[], seq: number): Entry[] {
  const newest = new Map<string, Entry>();
  for (const entry of history) {
    const key = textOf(entry.key);
    if (entry.seq <= seq && entry.seq > (newest.get(key)?.seq ?? 0)) newest.set(key, entry);
  }
  return [...newest.values()].filter((entry) => entry.tag !== Kind.delete).sort(compareEntries);
}

/** The entry under a cursor, copied. */
export function entryAt(cursor: EntryCursor): Entry {
  return {
    key: new Uint8Array(cursor.keyBytes.subarray(cursor.keyStart, cursor.keyEnd)),
    seq: cursor.seq,
    tag: cursor.tag,
    value: new Uint8Array(cursor.valueBytes.subarray(cursor.valueStart, cursor.valueEnd)),
  };
}

/** Whether a cursor stands on `expected`, or on nothing when that is undefined. Cheap: for loops. */
export function standsOn(cursor: EntryCursor, expected: Entry | undefined): boolean {
  if (cursor.failed || cursor.pending || cursor.valid !== (expected !== undefined)) return false;
  if (expected === undefined) return true;
  const { key, seq, tag, value } = expected;
  const at = entryAt(cursor);
  return (
    at.seq === seq &&
    at.tag === tag &&
    compareKeys(at.key, key) === 0 &&
    compareKeys(at.value, value) === 0
  );
}

/** Completes a move on this thread. */
export function settleSync(cursor: EntryCursor): void {
  while (cursor.pending) cursor.loadSync();
}

/** How a fake waits and fails. */
export interface FakeOptions {
  /** Chance of a move or load to wait for (another) block, in percent. Default 0. */
  readonly waits?: number;
  readonly random?: SeededRandom;
  /** Loads take a few turns of the microtask queue, to end in any order. */
  readonly slowLoads?: boolean;
}

/** A cursor over a sorted array. */
export class FakeCursor implements EntryCursor {
  valid = false;
  pending = false;
  failed = false;
  keyBytes: Uint8Array = new Uint8Array(64);
  keyStart = 0;
  keyEnd = 0;
  seq = 0;
  tag = 0;
  valueBytes: Uint8Array = new Uint8Array(256);
  valueStart = 0;
  valueEnd = 0;
  closed = false;
  moves = 0;
  /** The next read throws. */
  failNext = false;
  readonly #entries: readonly Entry[];
  readonly #options: FakeOptions;
  #target = -1;
  #at = -1;

  constructor(entries: readonly Entry[], options: FakeOptions = {}) {
    this.#entries = entries;
    this.#options = options;
  }

  first(): void {
    this.#go(0);
  }

  last(): void {
    this.#go(this.#entries.length - 1);
  }

  seek(key: Uint8Array, start: number, end: number): void {
    this.#go(this.#indexOf(key.subarray(start, end)));
  }

  seekBefore(key: Uint8Array, start: number, end: number): void {
    this.#go(this.#indexOf(key.subarray(start, end)) - 1);
  }

  next(): void {
    if (!this.valid) throw new Error("next off the entries");
    this.#go(this.#at + 1);
  }

  prev(): void {
    if (!this.valid) throw new Error("prev off the entries");
    this.#go(this.#at - 1);
  }

  loadSync(): void {
    if (this.pending) this.#go(this.#target);
  }

  async load(): Promise<void> {
    if (!this.pending) return;
    const turns = this.#options.slowLoads ? this.#options.random!.below(40) : 0;
    for (let i = 0; i < turns; i++) await Promise.resolve();
    this.#go(this.#target);
  }

  close(): void {
    this.valid = false;
    this.closed = true;
  }

  #indexOf(key: Uint8Array): number {
    const index = this.#entries.findIndex((entry) => compareKeys(entry.key, key) >= 0);
    return index < 0 ? this.#entries.length : index;
  }

  #go(index: number): void {
    this.moves++;
    this.valid = false;
    this.pending = false;
    this.failed = false;
    this.keyBytes.fill(0xee);
    this.valueBytes.fill(0xee);
    if (this.failNext) {
      this.failNext = false;
      this.failed = true;
      throw new AuraError("AURA_IO", "read failed");
    }
    const { waits = 0, random } = this.#options;
    if (waits > 0 && random!.below(100) < waits) {
      this.#target = index;
      this.pending = true;
      return;
    }
    this.#at = index;
    const entry = this.#entries[index];
    if (entry === undefined) return;
    // Somewhere else each time: a kept offset shows.
    this.keyStart = this.moves % 7;
    this.keyEnd = this.keyStart + entry.key.length;
    this.keyBytes.set(entry.key, this.keyStart);
    this.valueStart = this.moves % 5;
    this.valueEnd = this.valueStart + entry.value.length;
    this.valueBytes.set(entry.value, this.valueStart);
    this.seq = entry.seq;
    this.tag = entry.tag;
    this.valid = true;
  }
}

/** Splits a history over `count` fakes: neighbours in time together, newest first. */
export function fakesOf(
  history: readonly Entry[],
  count: number,
  options: FakeOptions,
): FakeCursor[] {
  const fakes: FakeCursor[] = [];
  const share = Math.ceil(history.length / count);
  for (let i = count - 1; i >= 0; i--) {
    const part = history.slice(i * share, (i + 1) * share).sort(compareEntries);
    fakes.push(new FakeCursor(part, options));
  }
  return fakes;
}
