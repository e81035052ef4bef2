/**
 * Health: what the database may still do after a failure.
 *
 * writable -> read-only (a failed sync, or no new log or manifest could be written) until it is led
 * back (resume.ts) or opened again. Out of space is left by itself once new files can be written.
 */
import { AuraError } from "@aura/base";

/** Remembers the failure that ended writing. */
export class Health {
  #failure: Error | undefined;
  #closed = false;
  #isTold = true;
  #resuming = false;
  #onFailure: () => void = () => undefined;

  /** The failure that made the database read-only. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Refuses writes from now on. The first failure is the one that is kept. */
  fail(failure: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#onFailure();
  }

  /** As `fail`, for a failure that no call returns: the next one, or the close, has to. */
  failUntold(failure: Error): void {
    if (this.#failure === undefined) this.#isTold = false;
    this.fail(failure);
  }

  /** The failure, if no call has returned it so far. */
  get untold(): Error | undefined {
    return this.#isTold ? undefined : this.#failure;
  }

  /** A call has returned the failure. */
  noteTold(): void {
    this.#isTold = true;
  }

  /** Names who hears of the failure. */
  onFailure(listener: () => void): void {
    this.#onFailure = listener;
  }

  close(): void {
    this.#closed = true;
  }

  /** Lets background work go on, though writes are still refused. */
  beginResume(): void {
    this.#failure = undefined;
    this.#isTold = true;
    this.#resuming = true;
  }

  /** Takes writes again, or keeps to `failure`. */
  endResume(failure: Error | undefined): void {
    this.#resuming = false;
    if (failure === undefined) return;
    this.#failure = undefined;
    this.fail(failure);
  }

  /** Throws AURA_CLOSED. */
  assertOpen(): void {
    if (this.#closed) throw new AuraError("AURA_CLOSED", "the database is closed");
  }

  /** Throws AURA_CLOSED or AURA_READ_ONLY. */
  assertWritable(): void {
    this.assertOpen();
    if (this.#resuming) {
      throw new AuraError("AURA_READ_ONLY", "writes are refused until the database has resumed");
    }
    if (this.#failure !== undefined) {
      this.#isTold = true;
      throw new AuraError(
        "AURA_READ_ONLY",
        `writes are refused after a failure: ${this.#failure.message}; resume() or reopen the database`,
        { cause: this.#failure },
      );
    }
  }
}
