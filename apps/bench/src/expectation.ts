/**
 * What a store has to answer: kept beside it, and compared with each answer.
 *
 * With one operation in flight the answer is exactly what was written last. With more, an operation may pass
 * another one: then one of the last values of a record is right, as many as could be on their way, and so is a
 * record of which the insert may not have arrived yet; and one that was ever deleted may be there or not.
 */
import type { KeyTable } from "./key-table.ts";
import type { Entries, Found } from "./stores/store.ts";
import type { ValuePool } from "./value-pool.ts";

/** Revisions that may stand beside the last one, for each operation in flight. */
const REVISIONS_PER_FLIGHT = 4;

/** Knows the last revision of each record: 0 means that there is none. */
export class Expectation {
  readonly #keys: KeyTable;
  readonly #values: ValuePool;
  readonly #valueBytes: number;
  readonly #revisions: Uint32Array;
  /** Bytes of the last revision, where they differ from those of all. */
  readonly #sizes = new Map<number, number>();
  readonly #deleted = new Set<number>();
  /** Records that a delete may have been overtaken on: with more than one operation in flight, either is right. */
  readonly #unsure = new Set<number>();
  readonly #slack: number;
  /** Records whose presence is open until the chunk has ended. */
  readonly #open = new Set<number>();
  /** Numbers of the records that are there, in key order; made for the first scan. */
  #order: Uint32Array | undefined;
  #orderCount = 0;
  #liveBytes = 0;

  constructor(parts: {
    readonly keys: KeyTable;
    readonly values: ValuePool;
    readonly valueBytes: number;
    readonly inFlight: number;
  }) {
    this.#keys = parts.keys;
    this.#values = parts.values;
    this.#valueBytes = parts.valueBytes;
    this.#revisions = new Uint32Array(parts.keys.count);
    this.#slack = parts.inFlight > 1 ? parts.inFlight * REVISIONS_PER_FLIGHT : 0;
  }

  /** Bytes of keys and values that are alive. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Notes a put that is about to be issued; returns its value, a view. */
  put(index: number, bytes: number = this.#valueBytes): Buffer {
    this.#liveBytes += bytes;
    if (this.revision(index) <= 0) {
      this.#liveBytes += this.#keys.bytesOf(index);
      this.#open.add(index);
      this.#deleted.delete(index);
    } else this.#liveBytes -= this.bytes(index);
    if (bytes !== this.#valueBytes) this.#sizes.set(index, bytes);
    else this.#sizes.delete(index);
    const revision = ++this.#revisions[index]!;
    return this.#values.value(index, revision, bytes);
  }

  /** Notes a delete that is about to be issued. */
  delete(index: number): void {
    if (this.revision(index) <= 0) return;
    this.#liveBytes -= this.#keys.bytesOf(index) + this.bytes(index);
    this.#deleted.add(index);
    this.#open.add(index);
    if (this.#slack > 0) this.#unsure.add(index);
  }

  /**
   * The last revision of a record, 0 for none, below 0 when that was deleted: to be given to `isRight`
   * with the answer.
   */
  revision(index: number): number {
    return this.#deleted.has(index) ? -this.#revisions[index]! : this.#revisions[index]!;
  }

  /** Bytes of its value at that revision. */
  bytes(index: number): number {
    return this.#sizes.get(index) ?? this.#valueBytes;
  }

  /** All operations have been answered: what was written is there. */
  settle(): void {
    if (this.#open.size === 0) return;
    if (this.#order !== undefined) this.#mergeOpen();
    this.#open.clear();
  }

  /** Whether a get, issued at a revision, may return that. */
  isRight(
    found: Found,
    index: number,
    revision: number,
    bytes: number = this.#valueBytes,
  ): boolean {
    const mayBeEither = this.#slack > 0 && (this.#open.has(index) || this.#unsure.has(index));
    if (found === null || found === undefined) {
      return revision <= 0 || mayBeEither;
    }
    if (revision <= 0 && !mayBeEither) return false;
    if (revision > 0 && this.#values.is(found, index, revision, bytes)) return true;
    if (this.#slack === 0) return false;
    const from = Math.abs(revision);
    const low = Math.max(1, from - this.#slack);
    const high = Math.min(this.#revisions[index]!, from + this.#slack);
    for (let at = high; at >= low; at--) {
      if (at !== revision && this.#values.is(found, index, at, found.length)) return true;
    }
    return false;
  }

  /** The key that a scan from a rank of the key order begins with. */
  keyAtRank(rank: number): Buffer {
    this.#makeOrder();
    return this.#keys.at(this.#order![rank]!);
  }

  /** Counts the wrong entries of a scan from a key on, those that are missing included. */
  wrongEntries(from: Uint8Array, limit: number, answer: readonly Entries[]): number {
    this.#makeOrder();
    const order = this.#order!;
    let rank = this.#rankOf(from);
    let wrong = 0;
    let taken = 0;
    for (const { keys, values } of answer) {
      for (let i = 0; i < keys.length; i++, taken++) {
        const key = keys[i]!;
        let index = rank < this.#orderCount ? order[rank]! : -1;
        if (index >= 0 && this.#keys.at(index).equals(key)) rank++;
        else index = this.#openIndexOf(key);
        if (index < 0 || !this.isRight(values[i], index, this.#revisions[index]!)) wrong++;
      }
    }
    const missing = Math.min(limit - taken, this.#orderCount - rank);
    return wrong + Math.max(0, missing) + Math.max(0, taken - limit);
  }

  /** Counts the entries of a scan that do not stand in order behind `from`, or behind its limit. */
  static wrongOrder(from: Uint8Array, limit: number, answer: readonly Entries[]): number {
    let last: Uint8Array | undefined;
    let wrong = 0;
    let taken = 0;
    for (const { keys } of answer) {
      for (const key of keys) {
        const order = Buffer.compare(key, last ?? from);
        if (order < 0 || (order === 0 && last !== undefined)) wrong++;
        last = key;
        taken++;
      }
    }
    return wrong + Math.max(0, taken - limit);
  }

  /** First rank of a key at or behind `key`. */
  #rankOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#orderCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys.at(this.#order![middle]!).compare(key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #openIndexOf(key: Uint8Array): number {
    for (const index of this.#open) if (this.#keys.at(index).equals(key)) return index;
    return -1;
  }

  #makeOrder(): void {
    if (this.#order !== undefined) return;
    this.#order = new Uint32Array(this.#keys.count);
    for (const index of this.#keys.order()) {
      if (this.#revisions[index]! > 0 && !this.#open.has(index)) {
        this.#order[this.#orderCount++] = index;
      }
    }
  }

  /** Puts new records at their places: a merge from behind, in place. */
  #mergeOpen(): void {
    const order = this.#order!;
    const fresh = [...this.#open].sort((a, b) => this.#keys.at(a).compare(this.#keys.at(b)));
    let end = this.#orderCount;
    let to = end + fresh.length;
    for (let i = fresh.length - 1; i >= 0; i--) {
      const rank = this.#rankOf(this.#keys.at(fresh[i]!));
      order.copyWithin(to - (end - rank), rank, end);
      to -= end - rank + 1;
      order[to] = fresh[i]!;
      end = rank;
    }
    this.#orderCount += fresh.length;
  }
}
