/** Merges by the reason for which they were begun: how many, and what they read and wrote of tables. */

/** Merges of one reason. Sizes are bytes. */
export interface MergesFor {
  readonly merges: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

const NONE: MergesFor = { merges: 0, bytesRead: 0, bytesWritten: 0 };

/** Counts merges that were published. */
export class MergeReasons {
  readonly #counts = new Map<string, MergesFor>();

  note(reason: string, bytesRead: number, bytesWritten: number): void {
    const before = this.#counts.get(reason) ?? NONE;
    this.#counts.set(reason, {
      merges: before.merges + 1,
      bytesRead: before.bytesRead + bytesRead,
      bytesWritten: before.bytesWritten + bytesWritten,
    });
  }

  /** Returns the counts by reason, of those that there were. */
  stats(): Readonly<Record<string, MergesFor>> {
    return Object.fromEntries(this.#counts);
  }
}
