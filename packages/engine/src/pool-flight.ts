/** Pool flight: the one group that the thread pool is appending, until it is written or given up. */
import type { PendingGroup } from "./pending-group.ts";
import type { GroupPlace, PoolAppend } from "./pool-append.ts";

/** What becomes of a group. None of it throws. */
export interface PoolFlightParts {
  /** It is written: `finish` appends what goes behind it. */
  readonly onWritten: (pending: PendingGroup, finish: () => GroupPlace) => void;
  readonly onFailed: (pending: PendingGroup, error: unknown) => void;
  /** The thread pool has ended it, in either way: the next one may go. */
  readonly onLanded: () => void;
}

/** Holds the group in flight. */
export class PoolFlight {
  readonly #parts: PoolFlightParts;
  #pending: PendingGroup | undefined;
  #append: PoolAppend | undefined;

  constructor(parts: PoolFlightParts) {
    this.#parts = parts;
  }

  /** Whether a group is in flight. */
  get active(): boolean {
    return this.#append !== undefined;
  }

  /** Takes a group that `append` has begun. Precondition: none is in flight. */
  begin(pending: PendingGroup, append: PoolAppend): void {
    this.#pending = pending;
    this.#append = append;
    append.written.then(
      () => {
        const isOurs = this.#append === append;
        if (isOurs) this.#finish();
        // The thread pool reads its values no more, whoever has landed it.
        pending.group.freeSlabs();
        if (isOurs) this.#parts.onLanded();
      },
      (error: unknown) => {
        const isOurs = this.#append === append;
        if (isOurs) this.#giveUp(error);
        pending.group.freeSlabs();
        if (isOurs) this.#parts.onLanded();
      },
    );
  }

  /** Ends the append in flight from this thread. Does nothing without one. */
  landSync(): void {
    if (this.#append === undefined) return;
    try {
      this.#append.landSync();
    } catch (error) {
      this.#giveUp(error);
      return;
    }
    this.#finish();
  }

  #finish(): void {
    const { pending, append } = this.#end();
    this.#parts.onWritten(pending, () => append.finish());
  }

  #giveUp(cause: unknown): void {
    const { pending, append } = this.#end();
    this.#parts.onFailed(pending, append.fail(cause));
  }

  #end(): { pending: PendingGroup; append: PoolAppend } {
    const ended = { pending: this.#pending!, append: this.#append! };
    this.#pending = undefined;
    this.#append = undefined;
    return ended;
  }
}
