/**
 * Scans: the entries, keys or values of a range, as iterables.
 *
 * A scan is a cursor that gathers batches, each larger than the one before. It opens at the first
 * step, shows the state of that moment, and closes itself: at the end of the range, when the loop
 * is left early, and when it fails. One that is never begun holds nothing.
 */
import type { Buffer } from "node:buffer";
import { AuraError } from "@aura/base";
import { type BatchFields, DbCursor } from "./db-cursor.ts";
import type { EntryBatch } from "./entry-batch.ts";
import type { ReadParts } from "./lookup.ts";
import { type ParsedRange, parseScanRange, type ScanOptions } from "./range.ts";
import type { ScanTrace } from "./trace-recorder.ts";

/** Entries of the first batch, and of the largest. */
const BATCH_COUNT_MIN = 16;
const BATCH_COUNT_MAX = 1024;
/** Entries given without a look at the clock. */
const UNTIMED_COUNT = 32;

/** What one scan gives of an entry. */
interface Shape<T> {
  readonly name: "entries" | "keys" | "values";
  readonly fields: BatchFields;
  readonly of: (batch: EntryBatch, index: number) => T;
}

const ENTRIES: Shape<[Buffer, Buffer]> = {
  name: "entries",
  fields: { keys: true, values: true },
  of: (batch, index) => [batch.keys[index]!, batch.values[index]!],
};
const KEYS: Shape<Buffer> = {
  name: "keys",
  fields: { keys: true, values: false },
  of: (batch, index) => batch.keys[index]!,
};
const VALUES: Shape<Buffer> = {
  name: "values",
  fields: { keys: false, values: true },
  of: (batch, index) => batch.values[index]!,
};

/**
 * Returns the entries of a range. The range is checked at once; everything else happens at the
 * first step. Throws AURA_INVALID_ARGUMENT, AURA_KEY_TOO_LONG; while it runs AURA_CORRUPTION,
 * AURA_IO, AURA_CLOSED. Bytes are the caller's; entries of one batch share memory.
 */
export function scanSync(
  parts: ReadParts,
  options?: ScanOptions,
): Generator<[Buffer, Buffer], void, void> {
  return steps(parts, parseScanRange(options), ENTRIES);
}

/** As `scanSync`, keys only: values are not touched. */
export function keysSync(parts: ReadParts, options?: ScanOptions): Generator<Buffer, void, void> {
  return steps(parts, parseScanRange(options), KEYS);
}

/** As `scanSync`, values only. */
export function valuesSync(parts: ReadParts, options?: ScanOptions): Generator<Buffer, void, void> {
  return steps(parts, parseScanRange(options), VALUES);
}

/** As `scanSync`, without blocking; `signal` ends it with AURA_ABORTED. Awaits once per batch. */
export function scan(parts: ReadParts, options?: ScanOptions): AsyncScan<[Buffer, Buffer]> {
  return new AsyncScan(parts, parseScanRange(options), ENTRIES);
}

/** As `scan`, keys only: values are not touched. */
export function keys(parts: ReadParts, options?: ScanOptions): AsyncScan<Buffer> {
  return new AsyncScan(parts, parseScanRange(options), KEYS);
}

/** As `scan`, values only. */
export function values(parts: ReadParts, options?: ScanOptions): AsyncScan<Buffer> {
  return new AsyncScan(parts, parseScanRange(options), VALUES);
}

function* steps<T>(
  parts: ReadParts,
  range: ParsedRange,
  shape: Shape<T>,
): Generator<T, void, void> {
  assertGoing(range.signal);
  const cursor = new DbCursor(parts, range, shape.fields);
  const trace = range.empty ? undefined : parts.tracing.recorder?.scan(range, shape.name, true);
  let given = 0;
  try {
    let rest = range.empty ? 0 : range.limit;
    let size = BATCH_COUNT_MIN;
    while (rest > 0) {
      const batch = cursor.takeSync(Math.min(size, rest), size >= rest);
      const { count } = batch;
      if (count === 0) return;
      rest -= count;
      size = Math.min(size * 2, BATCH_COUNT_MAX);
      if (rest === 0) cursor.close();
      for (let i = 0; i < count; i++) {
        given++;
        yield shape.of(batch, i);
      }
    }
  } finally {
    trace?.end(given);
    cursor.close();
  }
}

/** An asynchronous scan. Steps that overlap are taken one after the other. */
export class AsyncScan<T> implements AsyncIterableIterator<T, undefined> {
  readonly #parts: ReadParts;
  readonly #range: ParsedRange;
  readonly #shape: Shape<T>;
  #cursor: DbCursor | undefined;
  #batch: EntryBatch | undefined;
  #index = 0;
  #size = BATCH_COUNT_MIN;
  #rest: number;
  #trace: ScanTrace | undefined;
  /** Entries gathered, for the trace. */
  #gathered = 0;
  #ended = false;
  #untimed = 0;
  /** Steps under way or waiting, and when the last of them is through. */
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** @internal Made by `scan`, `keys` and `values`. */
  constructor(parts: ReadParts, range: ParsedRange, shape: Shape<T>) {
    this.#parts = parts;
    this.#range = range;
    this.#shape = shape;
    this.#rest = range.empty ? 0 : range.limit;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const batch = this.#batch;
    if (batch !== undefined && this.#waiting === 0 && this.#index < batch.count) {
      if (this.#range.signal?.aborted !== true && !this.#mustTurn()) {
        return Promise.resolve({ value: this.#shape.of(batch, this.#index++), done: false });
      }
    }
    return this.#inTurn(() => this.#step());
  }

  /** Ends the scan; what is under way ends first. */
  return(): Promise<IteratorResult<T, undefined>> {
    return this.#inTurn(() => {
      this.#end();
      return Promise.resolve({ value: undefined, done: true });
    });
  }

  throw(error?: unknown): Promise<IteratorResult<T, undefined>> {
    return this.#inTurn(() => {
      this.#end();
      return Promise.reject(error as Error);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** Runs `work` when the steps before it are through. */
  #inTurn<R>(work: () => Promise<R>): Promise<R> {
    const run = async (): Promise<R> => {
      try {
        return await work();
      } finally {
        // Before the caller hears of it: its next step finds nothing under way.
        this.#waiting--;
      }
    };
    const result = this.#waiting === 0 ? run() : this.#last.then(run);
    this.#waiting++;
    this.#last = result.then(noop, noop);
    return result;
  }

  /** Whether the loop has to turn before the next entry; looks at the clock now and then. */
  #mustTurn(): boolean {
    if (++this.#untimed < UNTIMED_COUNT) return false;
    this.#untimed = 0;
    return this.#parts.turns.mustTurn();
  }

  async #step(): Promise<IteratorResult<T, undefined>> {
    if (this.#ended) return { value: undefined, done: true };
    const { turns } = this.#parts;
    try {
      assertGoing(this.#range.signal);
      if (this.#index >= (this.#batch?.count ?? 0)) await this.#fill();
      else if (turns.mustTurn()) await turns.turn();
      assertGoing(this.#range.signal);
    } catch (error) {
      this.#end();
      throw error;
    }
    const batch = this.#batch;
    if (batch === undefined) {
      this.#end();
      return { value: undefined, done: true };
    }
    return { value: this.#shape.of(batch, this.#index++), done: false };
  }

  /** Gathers the next batch; none at the end of the range. */
  async #fill(): Promise<void> {
    this.#batch = undefined;
    this.#index = 0;
    const rest = this.#rest;
    if (rest === 0) return;
    this.#cursor ??= this.#open();
    const batch = await this.#cursor.take(Math.min(this.#size, rest), this.#size >= rest);
    this.#rest = rest - batch.count;
    this.#gathered += batch.count;
    this.#size = Math.min(this.#size * 2, BATCH_COUNT_MAX);
    // What was gathered is in memory: nothing needs to be pinned for it.
    if (this.#rest === 0) this.#cursor.close();
    if (batch.count > 0) this.#batch = batch;
  }

  #open(): DbCursor {
    const cursor = new DbCursor(this.#parts, this.#range, this.#shape.fields);
    this.#trace = this.#parts.tracing.recorder?.scan(this.#range, this.#shape.name, false);
    return cursor;
  }

  #end(): void {
    this.#ended = true;
    this.#trace?.end(this.#gathered - (this.#batch?.count ?? 0) + this.#index);
    this.#index = 0;
    this.#batch = undefined;
    this.#cursor?.close();
  }
}

function assertGoing(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new AuraError("AURA_ABORTED", "the scan was aborted", { cause: signal.reason });
}

function noop(): void {}
