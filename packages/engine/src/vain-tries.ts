/**
 * Tries of background work that ended in vain. What fails is tried again, for as long as it takes; but
 * whoever waits for it is told when the next try has failed, too, since it may fail for ever.
 */

/** Counts tries in vain, and tells those who wait. */
export class VainTries {
  #count = 0;
  #inRow = 0;
  #error: Error | undefined;

  /** A try failed with `error`; without one: it was put off, for the reason of the one before. */
  note(error?: Error): void {
    this.#count++;
    this.#inRow++;
    this.#error = error ?? this.#error;
  }

  /** A try ended well. */
  noteEnded(): void {
    this.#inRow = 0;
  }

  /**
   * Returns a check for one who waits from now on. It returns false; it throws the last error once a
   * try has ended in vain that followed another one in vain.
   */
  watch(): () => false {
    const seen = this.#count;
    return () => {
      if (this.#count > seen && this.#inRow > 1) throw this.#error as Error;
      return false;
    };
  }
}
