/**
 * Point reads: memtables newest first, then the tables in read order; the first version found at or
 * below the reader's sequence number is the answer.
 *
 * A read that finds its answer in memory makes no promise. One that misses may read on this thread,
 * as long as that proves to be quick (`AdaptiveReads`); else it is `PENDING`, and `findPending`
 * carries it on through the thread pool, from where it stopped. What waits pins the version it began
 * with, so no file goes away under it; memtables have been searched to the end by then.
 */
import { AuraError, Codec, hashKey, isKnownTag, Kind, type Runtime } from "@aura/base";
import { Lookup as Found, type TableHit } from "@aura/sst";
import type { ValueParts } from "@aura/vlog";
import type { AdaptiveReads } from "./adaptive-reads.ts";
import { copyOut, NO_WORDS } from "./copy-view.ts";
import type { DatabaseEmitter } from "./events.ts";
import { load, loadSync, readMisses, UNOPENED } from "./grouped-misses.ts";
import type { Health } from "./health.ts";
import { type FoundEntry, Search, type WaitingKey, type WaitingRead } from "./lookup-state.ts";
import type { MemtableEntry, Memtables } from "./memtables.ts";
import { inMemory, OpenValue } from "./open-value.ts";
import { PlacedReads } from "./placed-reads.ts";
import { ReadOrders } from "./read-order.ts";
import type { SnapshotList } from "./snapshot.ts";
import type { TableStore } from "./table-store.ts";
import type { TraceRecorder } from "./trace-recorder.ts";
import type { TurnKeeper } from "./turn-keeper.ts";
import { SYNC_VALUE_BYTES_MAX, type ValueStore } from "./value-store.ts";
import type { Version } from "./version.ts";
import type { VersionSet } from "./version-set.ts";
import type { WorkCounts } from "./work-counts.ts";

/** What reads work with: one database's parts, shared by look-ups, scans and cursors. */
export interface ReadParts {
  readonly memtables: Memtables;
  readonly versions: VersionSet;
  readonly tables: TableStore;
  readonly values: ValueStore;
  readonly snapshots: SnapshotList;
  readonly health: Health;
  readonly turns: TurnKeeper;
  readonly runtime: Runtime;
  readonly reads: AdaptiveReads;
  readonly counts: WorkCounts;
  /** Cursors and scans that are open. Each takes itself out when it is closed. */
  readonly cursors: Set<{ close(): void }>;
  readonly events: Pick<DatabaseEmitter, "announce">;
  /** Seed of the key hash that all filters share. */
  readonly hashSeed: number;
  /** Where calls are recorded, while a trace is on. */
  readonly tracing: { readonly recorder: TraceRecorder | undefined };
  /** Makes admitted writes visible and returns the highest visible sequence number. */
  readonly visibleSeq: () => number;
}

/** What `findNow` returns when the answer has to be waited for. */
export const PENDING: unique symbol = Symbol("pending");

/** Keys of `findMany` that are looked up without a look at the clock. */
const UNTIMED_COUNT = 16;
/** Keys of `findMany` that wait for blocks at one time: bounds the memory that they take. */
const MISSES_MAX = 1024;
const NO_BYTES = new Uint8Array(0);

/** Reads single keys. Keys are borrowed for the call; results are fresh and the caller's. */
export class Lookup {
  readonly #parts: ReadParts;
  readonly #orders = new ReadOrders();
  #search = new Search();
  /** What a successful search found: borrowed, to be used at once. */
  #tag = 0;
  #bytes: Uint8Array = NO_BYTES;
  #valueStart = 0;
  #valueEnd = 0;
  #words: Int32Array = NO_WORDS;

  constructor(parts: ReadParts) {
    this.#parts = parts;
  }

  /** Returns the value that a reader at `seq` sees, reading on this thread whatever is missing. */
  findSync(key: Uint8Array, seq: number): Buffer | undefined {
    if (!this.#locateSync(key, seq)) return undefined;
    if (this.#tag === Kind.value) return this.#copy();
    const { values } = this.#parts;
    return values.readSync(this.#bytes, this.#valueStart, this.#valueEnd, key, 0, key.length);
  }

  /** Returns whether a reader at `seq` sees the key. Reads no value. */
  hasSync(key: Uint8Array, seq: number): boolean {
    return this.#locateSync(key, seq);
  }

  /**
   * As `findSync`, without waiting: `PENDING` when something has to be read that may take time. The
   * caller may then go on with `findPending`, in the same turn and before any other call.
   */
  findNow(key: Uint8Array, seq: number): Buffer | undefined | typeof PENDING {
    const state = this.#locateNow(key, seq);
    if (state === Found.absent) return undefined;
    if (state === Found.pending) return PENDING;
    if (this.#tag === Kind.value) return this.#copy();
    return this.#valueNow(key);
  }

  /** Returns a copy of the value that was found. */
  #copy(): Buffer {
    return copyOut(this.#bytes, this.#valueStart, this.#valueEnd, this.#words);
  }

  /** As `findNow`, for `hasSync`; goes on with `hasPending`. */
  hasNow(key: Uint8Array, seq: number): boolean | typeof PENDING {
    const state = this.#locateNow(key, seq);
    return state === Found.pending ? PENDING : state === Found.found;
  }

  /** Carries on the `findNow` that just returned `PENDING`, with its arguments. */
  findPending(key: Uint8Array, seq: number): Promise<Buffer | undefined> {
    return this.#carryOn(this.#takeWaiting(key, seq), true);
  }

  /** Carries on the `hasNow` that just returned `PENDING`, with its arguments. */
  async hasPending(key: Uint8Array, seq: number): Promise<boolean> {
    return (await this.#carryOn(this.#takeWaiting(key, seq), false)) !== undefined;
  }

  /** Finds a value; through a turn of the event loop when it has not turned for a while. */
  find(key: Uint8Array, seq: number): Promise<Buffer | undefined> {
    let value: Buffer | undefined | typeof PENDING;
    try {
      value = this.findNow(key, seq);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return value === PENDING ? this.findPending(key, seq) : this.#answer(value);
  }

  /** As `find`, for `hasSync`. */
  has(key: Uint8Array, seq: number): Promise<boolean> {
    let has: boolean | typeof PENDING;
    try {
      has = this.hasNow(key, seq);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    return has === PENDING ? this.hasPending(key, seq) : this.#answer(has);
  }

  /**
   * Finds the values of many keys, all as of `seq`, in the order of the keys. What is in memory is
   * found on the way; blocks that are missing are read once each, by place and side by side, and then
   * values that are apart. The keys are borrowed for the call only.
   */
  async findMany(keys: readonly Uint8Array[], seq: number): Promise<(Buffer | undefined)[]> {
    const { turns, health } = this.#parts;
    const values: (Buffer | undefined)[] = new Array(keys.length).fill(undefined);
    for (let i = 0; i < keys.length; i++) {
      const state =
        (i + 1) % UNTIMED_COUNT === 0 && turns.mustTurn()
          ? Found.pending
          : this.#probe(keys[i]!, seq, false);
      if (state === Found.absent) continue;
      if (state === Found.pending || this.#tag === Kind.pointer) {
        // Other code runs in between, and the caller may reuse its buffers.
        const own = keys.map((key, at) => (at < i ? key : new Uint8Array(key)));
        await this.#findRest(own, i, seq, values);
        return values;
      }
      values[i] = this.#copy();
    }
    if (turns.mustTurn()) {
      await turns.turn();
      health.assertOpen();
    }
    return values;
  }

  /** Finds the values of the keys from `start` on. */
  async #findRest(
    keys: readonly Uint8Array[],
    start: number,
    seq: number,
    values: (Buffer | undefined)[],
  ): Promise<void> {
    const { turns, snapshots, health, versions } = this.#parts;
    const apart = new PlacedReads("gets");
    let misses: WaitingKey[] = [];
    // What `seq` sees must stay, and the files of what was found.
    const snapshot = snapshots.create(seq);
    const pinned = new Set([versions.pin()]);
    const take = (key: Uint8Array, target: number): void => {
      if (this.#tag === Kind.pointer) apart.add(key, this.#bytes, this.#valueStart, target);
      else values[target] = this.#copy();
    };
    const resume = ({ search, version, key, target }: WaitingKey): boolean => {
      const state = this.#searchTables(search, version, key, seq, false);
      if (state === Found.found && this.#isValue()) take(key, target);
      return state === Found.pending;
    };
    try {
      for (let target = start; target < keys.length; target++) {
        const key = keys[target]!;
        const state = this.#probe(key, seq, false);
        if (state === Found.found) take(key, target);
        else if (state === Found.pending) {
          const version = versions.current;
          if (!pinned.has(version)) pinned.add(versions.pin());
          misses.push({ search: this.#search, version, key, target });
          this.#search = new Search();
          if (misses.length < MISSES_MAX) continue;
          await readMisses(misses, this.#parts, resume);
          misses = [];
          health.assertOpen();
        }
        if ((target + 1) % UNTIMED_COUNT === 0 && turns.mustTurn()) {
          await turns.turn();
          health.assertOpen();
        }
      }
      await readMisses(misses, this.#parts, resume);
      if (apart.count > 0) await apart.resolve(this.#parts.values, this.#parts.reads, values);
    } finally {
      for (const version of pinned) versions.unpin(version);
      snapshot.release();
    }
    if (turns.mustTurn()) await turns.turn();
    health.assertOpen();
  }

  /** Opens the value that a reader at `seq` sees, on this thread; undefined when there is none. */
  openSync(key: Uint8Array, seq: number): OpenValue | undefined {
    const { versions, values } = this.#parts;
    const version = versions.pin();
    const release = (): void => versions.unpin(version);
    try {
      if (this.#locateSync(key, seq)) {
        const { bytes, isApart } = this.#entry();
        const source = isApart ? values.openSync(bytes, key) : inMemory(bytes);
        return new OpenValue(source, this.#parts.reads, release);
      }
    } catch (error) {
      release();
      throw error;
    }
    release();
    return undefined;
  }

  /** As `openSync`, without blocking. The key must not change before the promise settles. */
  async open(key: Uint8Array, seq: number): Promise<OpenValue | undefined> {
    const { versions, turns } = this.#parts;
    const version = versions.pin();
    const release = (): void => versions.unpin(version);
    try {
      const state = this.#locateNow(key, seq);
      const waits = state === Found.pending;
      let entry: FoundEntry | undefined;
      if (waits) entry = await this.#finish(this.#takeWaiting(key, seq), version);
      else if (state === Found.found) entry = this.#entry();
      if (turns.mustTurn()) await turns.turn();
      if (entry !== undefined) {
        const { bytes, isApart } = entry;
        const source = isApart ? await this.#openApart(bytes, key) : inMemory(bytes);
        return new OpenValue(source, this.#parts.reads, release);
      }
    } catch (error) {
      release();
      throw error;
    }
    release();
    return undefined;
  }

  /** Opens the value of a pointer; on this thread where that is quick. */
  #openApart(pointer: Buffer, key: Uint8Array): Promise<ValueParts> | ValueParts {
    const { values, reads } = this.#parts;
    const { stored, codec } = values.decode(pointer, 0, pointer.length);
    const isShort = stored <= SYNC_VALUE_BYTES_MAX || codec === Codec.none;
    if (!isShort || !reads.maySync()) return values.open(pointer, key);
    const startMs = reads.startMs();
    try {
      return values.openSync(pointer, key);
    } finally {
      reads.note(startMs);
    }
  }

  #answer<T>(value: T): Promise<T> {
    const { turns } = this.#parts;
    return turns.mustTurn() ? turns.turn().then(() => value) : Promise.resolve(value);
  }

  /** Searches to the end, on this thread. Returns whether there is a visible entry. */
  #locateSync(key: Uint8Array, seq: number): boolean {
    return this.#probe(key, seq, true) === Found.found;
  }

  /** As `#locateSync`; `pending` when `#search` waits for a block that is not to be read here. */
  #locateNow(key: Uint8Array, seq: number): number {
    const { versions, reads, counts } = this.#parts;
    const startMs = counts.beginRead();
    if (!this.#searchMemtables(key, seq)) {
      const search = this.#search;
      search.reset();
      let state = this.#searchTables(search, versions.current, key, seq, false);
      while (state === Found.pending) {
        if (!reads.maySync()) return state;
        if (!loadSync(this.#parts.tables, reads, search.meta!, search.hit.block)) return state;
        state = this.#searchTables(search, versions.current, key, seq, false);
      }
      if (startMs >= 0) counts.endRead(startMs, search);
      if (state === Found.absent) return state;
    }
    this.#search.meta = undefined;
    return this.#isValue() ? Found.found : Found.absent;
  }

  /**
   * Searches once: `pending` when a block is missing, unless it may be read. One body for `findSync`
   * and `findMany`: as two, the second one was compiled worse.
   */
  #probe(key: Uint8Array, seq: number, mayRead: boolean): number {
    const { counts, versions } = this.#parts;
    const startMs = counts.beginRead();
    if (!this.#searchMemtables(key, seq)) {
      const search = this.#search;
      search.reset();
      const state = this.#searchTables(search, versions.current, key, seq, mayRead);
      if (startMs >= 0 && state !== Found.pending) counts.endRead(startMs, search);
      if (state !== Found.found) return state;
    }
    return this.#isValue() ? Found.found : Found.absent;
  }

  #takeHit(hit: TableHit): void {
    this.#tag = hit.tag;
    this.#bytes = hit.bytes;
    this.#valueStart = hit.valueStart;
    this.#valueEnd = hit.valueEnd;
    this.#words = hit.words;
  }

  #searchMemtables(key: Uint8Array, seq: number): boolean {
    const { active, sealed } = this.#parts.memtables;
    if (this.#takeFrom(active, key, seq)) return true;
    for (let i = sealed.length - 1; i >= 0; i--) {
      if (this.#takeFrom(sealed[i]!, key, seq)) return true;
    }
    return false;
  }

  #takeFrom({ table, ranges }: MemtableEntry, key: Uint8Array, seq: number): boolean {
    const isFound = table.find(key, 0, key.length, seq);
    if (ranges !== undefined) {
      const cover = ranges.coverSeq(key, 0, key.length, seq);
      if (cover >= 0 && !(isFound && table.hitSeq > cover)) return this.#takeDelete();
    }
    if (!isFound) return false;
    this.#tag = table.hitTag;
    this.#bytes = table.bytes;
    this.#words = NO_WORDS;
    this.#valueStart = table.hitValueStart;
    this.#valueEnd = table.hitValueEnd;
    return true;
  }

  /** Takes a range tombstone for what was found: all that is older is deleted with it. */
  #takeDelete(): boolean {
    this.#tag = Kind.delete;
    return true;
  }

  /** Goes on with `search` until something is found, or the end, or a block that is missing. */
  #searchTables(
    search: Search,
    version: Version,
    key: Uint8Array,
    seq: number,
    mayRead: boolean,
  ): number {
    const runs = this.#orders.of(version);
    const { hit } = search;
    for (let run = search.run; run < runs.length; run++) {
      const fences = runs[run]!;
      const index = fences.find(key);
      if (index < 0) continue;
      const meta = fences.tables[index]!;
      if (meta.smallestSeq > seq) continue;
      const { tables } = this.#parts;
      const table = mayRead ? tables.get(meta) : tables.peek(meta);
      if (table === undefined) {
        search.run = run;
        search.meta = meta;
        hit.block = UNOPENED;
        return Found.pending;
      }
      search.asked++;
      if (!search.isHashed) {
        search.hash = hashKey(key, 0, key.length, this.#parts.hashSeed) | 0;
        search.isHashed = true;
      }
      const state = table.get(key, 0, key.length, search.hash, seq, hit, mayRead);
      if (state !== Found.pending && meta.rangeDeleteCount > 0) {
        const cover = table.ranges?.coverSeq(key, 0, key.length, seq) ?? -1;
        if (cover >= 0 && !(state === Found.found && hit.seq > cover)) {
          this.#takeDelete();
          return Found.found;
        }
      }
      if (state === Found.absent) continue;
      if (state === Found.pending) {
        search.run = run;
        search.meta = meta;
        return state;
      }
      this.#takeHit(hit);
      return state;
    }
    this.#parts.counts.absentReads++;
    return Found.absent;
  }

  /** Returns whether what was found is a value, inline or apart. Throws AURA_UNSUPPORTED. */
  #isValue(): boolean {
    const tag = this.#tag;
    if (!isKnownTag(tag)) {
      throw new AuraError("AURA_UNSUPPORTED", `an entry of unknown kind ${tag}`, { actual: tag });
    }
    return tag !== Kind.delete;
  }

  #valueNow(key: Uint8Array): Buffer | typeof PENDING {
    const { values, reads } = this.#parts;
    const bytes = this.#bytes;
    const start = this.#valueStart;
    const end = this.#valueEnd;
    const { file, offset, stored, raw } = values.decode(bytes, start, end);
    if (stored > SYNC_VALUE_BYTES_MAX || !reads.maySync()) {
      return values.cached(file, offset, raw) ?? PENDING;
    }
    const startMs = reads.startMs();
    try {
      return values.readSync(bytes, start, end, key, 0, key.length);
    } finally {
      reads.note(startMs);
    }
  }

  /** Takes over what the call before left, which this class may use for other calls from now on. */
  #takeWaiting(key: Uint8Array, seq: number): WaitingRead {
    const search = this.#search;
    this.#search = new Search();
    // Without a table it waits for a separated value.
    const pointer =
      search.meta === undefined
        ? copyOut(this.#bytes, this.#valueStart, this.#valueEnd)
        : undefined;
    return { key: new Uint8Array(key), seq, search, pointer };
  }

  /** Runs a read that waits to its end. Without `wantsValue` the value is any, when there is one. */
  async #carryOn(read: WaitingRead, wantsValue: boolean): Promise<Buffer | undefined> {
    const { versions, values } = this.#parts;
    const version = versions.pin();
    try {
      const entry = await this.#finish(read, version);
      if (entry === undefined) return undefined;
      const { bytes, isApart } = entry;
      if (!isApart) return bytes;
      if (!wantsValue) return NO_VALUE;
      return await values.read(bytes, 0, bytes.length, read.key, 0, read.key.length);
    } finally {
      versions.unpin(version);
    }
  }

  /**
   * Runs the search of a read that waits to its end, in the version that it began with, which the
   * caller has pinned. What it finds is the caller's own.
   */
  async #finish(read: WaitingRead, version: Version): Promise<FoundEntry | undefined> {
    const { key, seq, search, pointer } = read;
    if (pointer !== undefined) return { bytes: pointer, isApart: true };
    // At once when a block is there: other calls use this class in between.
    const goOn = (): FoundEntry | undefined | typeof PENDING => {
      const state = this.#searchTables(search, version, key, seq, false);
      if (state === Found.pending) return PENDING;
      return state === Found.found && this.#isValue() ? this.#entry() : undefined;
    };
    let found: FoundEntry | undefined | typeof PENDING = PENDING;
    while (found === PENDING) {
      found = await load(this.#parts.tables, search.meta!, search.hit.block, goOn);
    }
    return found;
  }

  /** Returns what was found last: a copy. */
  #entry(): FoundEntry {
    const bytes = copyOut(this.#bytes, this.#valueStart, this.#valueEnd);
    return { bytes, isApart: this.#tag === Kind.pointer };
  }
}

const NO_VALUE: Buffer = Buffer.alloc(0);
