/**
 * The cursor shape that memtables, tables and merges share.
 *
 * Positions are internal entries: user key ascending, sequence descending. A cursor over memory
 * never suspends. A cursor over a table may need a block that is not in memory: a move then leaves
 * `pending` true and `valid` false; `loadSync()` reads the block on this thread, or `await load()`
 * reads it on the thread pool; either one completes the interrupted move (and may leave `pending`
 * true again, if the move goes on into a further block). A failed read throws, and leaves the
 * cursor not valid and not pending with `failed` true: "no more entries" and "could not read" are
 * never the same state.
 */
export interface EntryCursor {
  /** On an entry: the fields below are set. */
  readonly valid: boolean;
  /** The last move waits for a block. */
  readonly pending: boolean;
  /** The last read threw; only a new seek or first/last leaves this state. */
  readonly failed: boolean;

  /** Borrowed until the next move: the user key is keyBytes[keyStart, keyEnd). */
  readonly keyBytes: Uint8Array;
  readonly keyStart: number;
  readonly keyEnd: number;
  readonly seq: number;
  /** Kind and flags, see `Kind` and `TagFlag`. */
  readonly tag: number;
  /** Borrowed until the next move: the value (or encoded pointer). */
  readonly valueBytes: Uint8Array;
  readonly valueStart: number;
  readonly valueEnd: number;

  /** Moves to the first entry. */
  first(): void;
  /** Moves to the last entry. */
  last(): void;
  /** Moves to the first entry whose user key is >= key[start, end) (its newest version first). */
  seek(key: Uint8Array, start: number, end: number): void;
  /** Moves to the last entry whose user key is < key[start, end) (its oldest version). */
  seekBefore(key: Uint8Array, start: number, end: number): void;
  /** Moves one entry on, or off the end. Precondition: valid. */
  next(): void;
  /** Moves one entry back, or off the start. Precondition: valid. */
  prev(): void;
  /** Completes a pending move by reading on this thread. */
  loadSync(): void;
  /** Completes a pending move by reading on the thread pool. */
  load(): Promise<void>;
  /** Releases what the cursor pins. Idempotent. */
  close(): void;
}
