/**
 * The public cursor: a position in a range of keys, as of one sequence number.
 *
 * From its creation to its close it pins the version and holds the memtables that it reads, so it
 * shows one state whatever is written meanwhile, and the files of that state stay on the disk. It
 * must be closed; one that was dropped instead lets go when it is collected (cursor-hold.ts), and the
 * database closes what was left open when it is closed itself.
 *
 * A reverse cursor goes the other way in everything: `first` is the greatest key of the range,
 * `next` a smaller one, `seek` finds the greatest key at or below the one given. Before the first
 * move it stands in front of the range. An error of a read is thrown by the move that met it and by
 * every later one, until the cursor is placed anew: a failed cursor never looks like one at its end.
 */
import type { Buffer } from "node:buffer";
import { AuraError, assert, compareBytes, type EntryCursor, Kind } from "@aura/base";
import type { LentMemory } from "@aura/sst";
import { SLOW_CURSOR_READ_MS } from "./adaptive-reads.ts";
import type { Bytes } from "./bytes-in.ts";
import { keyBytes } from "./bytes-in.ts";
import { copyOut } from "./copy-view.ts";
import { CursorHold } from "./cursor-hold.ts";
import { EntryBatch } from "./entry-batch.ts";
import type { ReadParts } from "./lookup.ts";
import { MergeCursor } from "./merge-cursor.ts";
import { tablesWithPrefix } from "./prefix-filter.ts";
import { behind, type ParsedRange } from "./range.ts";
import { addMemtableSources, addRunSource, RangeCover, type RangeSource } from "./range-cover.ts";
import { type ColdTables, RunCursor } from "./run-cursor.ts";
import { shown } from "./shown-value.ts";
import { type TableMeta, tableIndexFor, type Version } from "./version.ts";
import { VisibleCursor } from "./visible-cursor.ts";
import type { ScanSample } from "./work-counts.ts";

/** Most bytes of keys and values that one batch gathers before it is given out. */
const BATCH_BYTES_MAX = 4 * 1024 * 1024;
/** Most entries that `nextMany` gives at once. */
const BATCH_COUNT_MAX = 65_536;

const Move = { first: 0, last: 1, seek: 2, next: 3, prev: 4 } as const;
/** Where the cursor stands: in front of the range, on an entry, or behind the range. */
const Side = { before: 0, on: 1, behind: 2 } as const;

/** What entries of a batch are made of. */
export interface BatchFields {
  readonly keys: boolean;
  readonly values: boolean;
}

const ALL_FIELDS: BatchFields = { keys: true, values: true };

/** A cursor over the visible entries of a range. One move at a time; not shared between threads. */
export class DbCursor {
  readonly #parts: ReadParts;
  readonly #fields: BatchFields;
  readonly #reverse: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #visible: VisibleCursor;
  readonly #hold: CursorHold;
  /** Runs and memtables that it merges. */
  readonly #runs: number;
  readonly #sample: ScanSample | undefined;
  /** The runs among them. With values, batches hand out views of the block under each. */
  readonly #tableRuns: RunCursor[] = [];
  /** A batch has been handed out since the cursor was placed: its bytes are the caller's to change. */
  #hasLent = false;
  #side: number = Side.before;
  #failure: unknown;

  /**
   * @internal Opens a cursor on the present state, or on that of `range.snapshot`. Without `fields`
   * it is a caller's own, and its moves are traced.
   */
  constructor(parts: ReadParts, range: ParsedRange, fields?: BatchFields) {
    parts.health.assertOpen();
    const { snapshot } = range;
    this.#sample = parts.counts.beginScan();
    this.#sample?.begin();
    const seq = snapshot === undefined ? parts.visibleSeq() : parts.snapshots.seqOf(snapshot);
    this.#parts = parts;
    this.#fields = fields ?? ALL_FIELDS;
    this.#reverse = range.reverse;
    this.#signal = range.signal;
    const { active, sealed } = parts.memtables;
    const memtables = [active, ...sealed.toReversed()];
    const held = range.empty ? [] : memtables.filter((entry) => !entry.isEmpty);
    for (const entry of held) entry.hold();
    const version = parts.versions.pin();
    const children: EntryCursor[] = [];
    const sources: RangeSource[] = [];
    for (const entry of held) {
      addMemtableSources(sources, entry, seq, children.length);
      if (entry.table.entryCount > 0) children.push(entry.table.cursor());
    }
    const lendersFrom = children.length;
    const lent = this.#fields.values ? parts.tables.lent : undefined;
    const runs = this.#tableRuns;
    if (!range.empty) addRuns(runs, children, sources, parts, version, range, seq, lent);
    this.#runs = children.length;
    const cover = sources.length > 0 ? new RangeCover(sources, seq) : undefined;
    const merge = new MergeCursor(children, lent === undefined ? children.length : lendersFrom);
    this.#visible = new VisibleCursor(merge, seq, range, this.#fields.values, cover);
    this.#hold = new CursorHold(parts, held, version, this.#visible, this);
    this.#hold.sample = this.#sample;
    this.#sample?.end();
    if (fields !== undefined) return;
    this.#hold.trace = parts.tracing.recorder?.scan(range, "cursor", false);
  }

  /** Whether the cursor stands on an entry. */
  get valid(): boolean {
    return (
      this.#side === Side.on &&
      this.#failure === undefined &&
      !this.#hold.busy &&
      !this.#hold.closed
    );
  }

  /** The key under the cursor: a copy, the caller's own. Throws unless `valid`. */
  get key(): Buffer {
    const visible = this.#entry();
    return copyOut(visible.keyBytes, visible.keyStart, visible.keyEnd);
  }

  /**
   * The value under the cursor: a copy, the caller's own. A separated value is read from the disk,
   * on this thread; see `readValue`. Throws unless `valid`, and when the read fails.
   */
  get value(): Buffer {
    const visible = this.#entry();
    const { valueBytes, valueStart, valueEnd } = visible;
    if (visible.tag !== Kind.pointer) return copyOut(valueBytes, valueStart, valueEnd);
    const { keyBytes: key, keyStart, keyEnd } = visible;
    const { values } = this.#parts;
    return values.readSync(valueBytes, valueStart, valueEnd, key, keyStart, keyEnd);
  }

  /** As `value`; a separated value is read through the thread pool when that is better. */
  async readValue(): Promise<Buffer> {
    const visible = this.#entry();
    if (visible.tag !== Kind.pointer) return this.value;
    const { values, reads } = this.#parts;
    const batch = new EntryBatch(false, true, 1);
    this.#enter();
    try {
      batch.add(visible, values);
      await batch.resolve(values, reads);
    } finally {
      this.#leave();
    }
    this.#assertOpen();
    return batch.values[0]!;
  }

  /** Moves to the first entry of the range. Resolves whether there is one. */
  first(): Promise<boolean> {
    return this.#move(Move.first);
  }

  /** Moves to the last entry of the range. */
  last(): Promise<boolean> {
    return this.#move(Move.last);
  }

  /** Moves to the first entry at or behind `key`, in the cursor's direction. */
  async seek(key: Bytes): Promise<boolean> {
    return this.#move(Move.seek, new Uint8Array(keyBytes(key)));
  }

  /** Moves one entry on; from in front of the range, to the first one. */
  next(): Promise<boolean> {
    return this.#move(Move.next);
  }

  /** Moves one entry back; from behind the range, to the last one. */
  prev(): Promise<boolean> {
    return this.#move(Move.prev);
  }

  /** As `first`; reads on this thread. So do all that end in `Sync`. */
  firstSync(): boolean {
    return this.#moveSync(Move.first);
  }

  lastSync(): boolean {
    return this.#moveSync(Move.last);
  }

  seekSync(key: Bytes): boolean {
    return this.#moveSync(Move.seek, new Uint8Array(keyBytes(key)));
  }

  nextSync(): boolean {
    return this.#moveSync(Move.next);
  }

  prevSync(): boolean {
    return this.#moveSync(Move.prev);
  }

  /**
   * Gives up to `count` entries, from the one under the cursor on (from in front of the range: from
   * the first one), and moves behind them. Fewer may come at once when they are large; none come
   * only at the end. Separated values are read together. The bytes are the caller's; entries of one
   * call share memory.
   */
  async nextMany(count: number): Promise<[Buffer, Buffer][]> {
    const batch = await this.take(checkedCount(count));
    this.#hold.taken += batch.count;
    return entriesOf(batch);
  }

  nextManySync(count: number): [Buffer, Buffer][] {
    const batch = this.takeSync(checkedCount(count));
    this.#hold.taken += batch.count;
    return entriesOf(batch);
  }

  /** @internal As `nextMany`. `stay`: does not move behind the last of `count` entries. */
  async take(count: number, stay = false): Promise<EntryBatch> {
    const { values, reads, turns } = this.#parts;
    const batch = new EntryBatch(this.#fields.keys, this.#fields.values, count);
    this.#enter();
    try {
      this.#beginTake();
      for (;;) {
        await this.#settle();
        if (this.#gather(batch, count, stay)) break;
      }
      await batch.resolve(values, reads);
      if (turns.mustTurn()) await turns.turn();
      this.#assertGoing();
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#leave();
    }
    return batch;
  }

  /** @internal As `take`. */
  takeSync(count: number, stay = false): EntryBatch {
    const batch = new EntryBatch(this.#fields.keys, this.#fields.values, count);
    this.#enter();
    try {
      this.#beginTake();
      do this.#settleSync();
      while (!this.#gather(batch, count, stay));
      batch.resolveSync(this.#parts.values);
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#leave();
    }
    return batch;
  }

  /** Ends the cursor and lets go of what it pins. Idempotent. A move under way fails with AURA_CLOSED. */
  close(): void {
    this.#hold.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #move(move: number, key?: Uint8Array): Promise<boolean> {
    const { turns } = this.#parts;
    this.#enter();
    try {
      if (this.#start(move, key)) {
        await this.#settle();
        this.#arrive(move);
      }
      if (turns.mustTurn()) {
        await turns.turn();
        this.#assertGoing();
      }
      return this.#side === Side.on;
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#leave();
    }
  }

  #moveSync(move: number, key?: Uint8Array): boolean {
    this.#enter();
    try {
      if (this.#start(move, key)) {
        this.#settleSync();
        this.#arrive(move);
      }
      return this.#side === Side.on;
    } catch (error) {
      throw this.#fail(error);
    } finally {
      this.#leave();
    }
  }

  /** Begins a move. Returns false when the cursor stays where it is, off the range. */
  #start(move: number, key?: Uint8Array): boolean {
    if (move === Move.next || move === Move.prev) {
      this.#assertSound();
      const off = move === Move.next ? Side.behind : Side.before;
      if (this.#side === off) return false;
      if (this.#side !== Side.on) return this.#start(move === Move.next ? Move.first : Move.last);
    }
    this.#failure = undefined;
    this.#go(move, key);
    return true;
  }

  #go(move: number, key?: Uint8Array): void {
    const visible = this.#visible;
    const reverse = this.#reverse;
    if (this.#hasLent && move !== Move.next) {
      this.#hasLent = false;
      for (const run of this.#tableRuns) run.dropBlock();
      if (move === Move.prev) {
        this.#goBack();
        return;
      }
    }
    switch (move) {
      case Move.first:
        this.#placed("first");
        if (reverse) visible.last();
        else visible.first();
        break;
      case Move.last:
        this.#placed("last");
        if (reverse) visible.first();
        else visible.last();
        break;
      case Move.next:
        if (reverse) visible.prev();
        else visible.next();
        break;
      case Move.prev:
        if (reverse) visible.next();
        else visible.prev();
        break;
      default:
        assert(key !== undefined, "a seek has a key");
        this.#placed("key", key);
        if (reverse) visible.seekBefore(behind(key), 0, key.length + 1);
        else visible.seek(key, 0, key.length);
    }
  }

  /** As a step back, by a search: blocks are not looked at again where they lie. */
  #goBack(): void {
    const visible = this.#visible;
    const { keyBytes, keyStart, keyEnd } = visible;
    const key = keyBytes.slice(keyStart, keyEnd);
    if (this.#reverse) visible.seek(behind(key), 0, key.length + 1);
    else visible.seekBefore(key, 0, key.length);
  }

  #placed(place: "first" | "last" | "key", key?: Uint8Array): void {
    const hold = this.#hold;
    hold.trace?.seek(place, hold.taken, key);
    hold.taken = 0;
    const { counts } = this.#parts;
    counts.scans++;
    counts.seeks += this.#runs;
    if (this.#sample !== undefined) this.#sample.runs += this.#runs;
  }

  /** Notes where a move ended. */
  #arrive(move: number): void {
    const visible = this.#visible;
    assert(!visible.pending && !visible.failed, "a move that ended");
    const back = move === Move.prev || move === Move.last;
    if (visible.valid) {
      this.#hold.taken++;
      this.#parts.counts.scanEntries++;
    }
    this.#side = visible.valid ? Side.on : back ? Side.before : Side.behind;
  }

  /** Places the cursor for a batch, when it is not on an entry. */
  #beginTake(): void {
    this.#assertSound();
    if (this.#side !== Side.before) return;
    this.#side = Side.on;
    this.#sample?.begin();
    this.#go(Move.first);
    this.#sample?.end();
  }

  /** Adds entries until the batch is complete or a block is missing. Returns whether it is complete. */
  #gather(batch: EntryBatch, count: number, stay: boolean): boolean {
    if (this.#side === Side.behind) return true;
    const before = batch.count;
    this.#sample?.begin();
    try {
      return this.#fill(batch, count, stay);
    } finally {
      const more = batch.count - before;
      this.#parts.counts.scanEntries += more;
      this.#sample?.end();
      if (this.#sample !== undefined) this.#sample.entries += more;
    }
  }

  #fill(batch: EntryBatch, count: number, stay: boolean): boolean {
    const visible = this.#visible;
    const reverse = this.#reverse;
    const { values } = this.#parts;
    for (;;) {
      if (!visible.valid) {
        if (visible.pending) return false;
        assert(!visible.failed, "a failed read is no end");
        this.#side = Side.behind;
        return true;
      }
      if (batch.count >= count || batch.bytes >= BATCH_BYTES_MAX) return true;
      batch.add(visible, values);
      this.#hasLent = true;
      if (stay && batch.count === count) return true;
      if (reverse) visible.prev();
      else visible.next();
    }
  }

  /** Completes a move, reading where it is best. */
  async #settle(): Promise<void> {
    const visible = this.#visible;
    const { reads, turns } = this.#parts;
    this.#assertGoing();
    while (visible.pending) {
      if (visible.paused) {
        if (turns.mustTurn()) await turns.turn();
        visible.loadSync();
      } else if (!this.#isOpening() && reads.maySync()) {
        const startMs = reads.startMs();
        this.#sample?.begin();
        try {
          visible.loadSync(1);
        } finally {
          this.#sample?.end();
          reads.note(startMs, SLOW_CURSOR_READ_MS);
        }
      } else await visible.load();
      this.#assertGoing();
    }
  }

  /** Whether it waits for the opening of a table, which is several reads: never done on this thread. */
  #isOpening(): boolean {
    for (const run of this.#tableRuns) if (run.opening) return true;
    return false;
  }

  #settleSync(): void {
    const visible = this.#visible;
    if (!visible.pending) return;
    this.#sample?.begin();
    while (visible.pending) visible.loadSync();
    this.#sample?.end();
  }

  #entry(): VisibleCursor {
    this.#assertOpen();
    if (!this.valid) throw new AuraError("AURA_INVALID_ARGUMENT", "the cursor is on no entry");
    return this.#visible;
  }

  #enter(): void {
    this.#assertOpen();
    if (this.#hold.busy) {
      throw new AuraError("AURA_INVALID_ARGUMENT", "the cursor's last move has not ended yet");
    }
    this.#hold.busy = true;
  }

  #leave(): void {
    this.#hold.leave();
  }

  #assertOpen(): void {
    if (this.#hold.closed) throw new AuraError("AURA_CLOSED", "the cursor is closed");
  }

  /** Throws AURA_CLOSED or AURA_ABORTED. */
  #assertGoing(): void {
    this.#assertOpen();
    if (this.#signal?.aborted) {
      throw new AuraError("AURA_ABORTED", "the read was aborted", { cause: this.#signal.reason });
    }
  }

  /** Throws the failure that the cursor stands at. */
  #assertSound(): void {
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  #fail(error: unknown): unknown {
    this.#failure = error;
    return error;
  }
}

/** Adds a cursor for each run that may hold a key of the range that a reader at `seq` sees. */
function addRuns(
  runs: RunCursor[],
  children: EntryCursor[],
  sources: RangeSource[],
  parts: ReadParts,
  version: Version,
  range: ParsedRange,
  seq: number,
  lent: LentMemory | undefined,
): void {
  const open = (meta: TableMeta) => parts.tables.hold(meta);
  const release = (meta: TableMeta) => parts.tables.release(meta);
  const cold: ColdTables = {
    isCold: ({ number }) => parts.tables.opened(number) === undefined,
    warm: (meta) => parts.tables.warm(meta),
  };
  for (const level of version.levels) {
    for (const { tables } of level.runs) {
      const within = tablesWithin(tables, range);
      // A snapshot does not see younger tables.
      const old = within.every((table) => table.smallestSeq <= seq)
        ? within
        : within.filter((table) => table.smallestSeq <= seq);
      const likely = tablesWithPrefix(old, range, parts.tables, parts.hashSeed);
      if (likely.length > 0) {
        const run = new RunCursor(likely, open, { lent }, release, cold);
        children.push(run);
        runs.push(run);
      }
      // As the reader sees them, whatever a filter says of entries.
      if (version.hasRangeDeletes) addRunSource(sources, parts.tables, old, children.length);
    }
  }
}

function tablesWithin(tables: readonly TableMeta[], range: ParsedRange): readonly TableMeta[] {
  const { lower, upper } = range;
  const start = lower === undefined ? 0 : tableIndexFor(tables, lower, 0, lower.length);
  let end = tables.length;
  if (upper !== undefined) {
    end = tableIndexFor(tables, upper, 0, upper.length);
    const smallest = tables[end]?.smallestKey;
    if (smallest !== undefined) {
      if (compareBytes(smallest, 0, smallest.length, upper, 0, upper.length) < 0) end++;
    }
  }
  return start === 0 && end === tables.length ? tables : tables.slice(start, end);
}

function entriesOf(batch: EntryBatch): [Buffer, Buffer][] {
  const { keys, values, count } = batch;
  const entries: [Buffer, Buffer][] = new Array(count);
  for (let i = 0; i < count; i++) entries[i] = [keys[i]!, values[i]!];
  return entries;
}

function checkedCount(count: number): number {
  if (Number.isSafeInteger(count) && count >= 1) return Math.min(count, BATCH_COUNT_MAX);
  throw new AuraError(
    "AURA_INVALID_ARGUMENT",
    `count: expected a whole number from 1 on, got ${shown(count)}`,
  );
}
