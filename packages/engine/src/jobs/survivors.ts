/**
 * Which versions of a key must stay: the pure heart of flush and compaction.
 *
 * Versions of one key come newest first. A snapshot at s sees the newest version with a sequence
 * number <= s. The snapshots cut the history into strata; of each stratum only the newest version
 * can be seen by anyone, so the others go. A tombstone goes too when no snapshot sees beneath it
 * (its stratum is the oldest one) and nothing older can exist below: all older versions that this
 * merge holds are then in the same stratum and go with it.
 */

/** Decides version by version. Feed it all versions of a key in order, newest first. */
export class Survivors {
  readonly #snapshots: readonly number[];
  #stratum = -1;

  /** `snapshots`: sequence numbers of the open snapshots, ascending. */
  constructor(snapshots: readonly number[]) {
    this.#snapshots = snapshots;
  }

  /** Stratum of the last version given to `keep`: 0 is the oldest. */
  get stratum(): number {
    return this.#stratum;
  }

  /** Returns whether somebody can see this version. `newKey`: it is the newest of its key. */
  keep(newKey: boolean, seq: number): boolean {
    const stratum = this.#snapshots.length === 0 ? 0 : this.#stratumOf(seq);
    const seen = newKey || stratum < this.#stratum;
    this.#stratum = stratum;
    return seen;
  }

  /** Index of the first snapshot that sees `seq`; their number when none does. */
  #stratumOf(seq: number): number {
    const snapshots = this.#snapshots;
    let low = 0;
    let high = snapshots.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (snapshots[middle]! < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
