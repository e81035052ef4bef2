/**
 * Snapshots: sequence numbers that somebody reads at. While one is held, flush and compaction keep
 * the versions of keys that it sees; they take the list of sequence numbers when they begin.
 * Not durable: a snapshot ends with its database handle.
 */
import { AuraError, assert } from "@aura/base";

/** Where a snapshot reports its end. */
interface SnapshotHome {
  release(snapshot: Snapshot, seq: number): void;
}

/** A state of the database that stays readable until it is released. Works with `using`. */
export class Snapshot {
  readonly #seq: number;
  #home: SnapshotHome | undefined;

  /** @internal Made by `SnapshotList.create`. */
  constructor(home: SnapshotHome, seq: number) {
    this.#home = home;
    this.#seq = seq;
  }

  /** The highest sequence number that it sees. Throws AURA_CLOSED after the release. */
  get seq(): number {
    if (this.#home === undefined) throw new AuraError("AURA_CLOSED", "the snapshot is released");
    return this.#seq;
  }

  get released(): boolean {
    return this.#home === undefined;
  }

  /** Lets go of the state. Idempotent. */
  release(): void {
    const home = this.#home;
    this.#home = undefined;
    home?.release(this, this.#seq);
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /** @internal Returns whether `home` made it. */
  isOf(home: SnapshotHome): boolean {
    return this.#home === home;
  }
}

/** The open snapshots of one database. */
export class SnapshotList {
  /** Distinct sequence numbers, ascending, and how many snapshots have each. */
  readonly #seqs: number[] = [];
  readonly #holders: number[] = [];
  readonly #open = new Set<Snapshot>();
  /** Called when a sequence number is not held any more. */
  onReleased: () => void = () => undefined;
  readonly #home: SnapshotHome = {
    release: (snapshot, seq) => this.#release(snapshot, seq),
  };

  /** Snapshots open now; two at the same sequence number count as two. */
  get count(): number {
    return this.#open.size;
  }

  /** The lowest sequence number that is held, undefined without snapshots. */
  get oldest(): number | undefined {
    return this.#seqs[0];
  }

  /** Returns the distinct sequence numbers held, ascending: what a job is given. The caller's own. */
  seqs(): number[] {
    return this.#seqs.slice();
  }

  /** Opens a snapshot that sees everything up to `seq`. */
  create(seq: number): Snapshot {
    const at = this.#indexOf(seq);
    if (this.#seqs[at] === seq) this.#holders[at]!++;
    else {
      this.#seqs.splice(at, 0, seq);
      this.#holders.splice(at, 0, 1);
    }
    const snapshot = new Snapshot(this.#home, seq);
    this.#open.add(snapshot);
    return snapshot;
  }

  /**
   * Returns the sequence number of a snapshot that a caller gave. Throws AURA_CLOSED when it is
   * released, AURA_INVALID_ARGUMENT when it is none of this database.
   */
  seqOf(snapshot: Snapshot): number {
    if (snapshot instanceof Snapshot) {
      const { seq } = snapshot;
      if (snapshot.isOf(this.#home)) return seq;
    }
    throw new AuraError("AURA_INVALID_ARGUMENT", "snapshot: not a snapshot of this database");
  }

  /** Releases all of them: the database closes. */
  releaseAll(): void {
    for (const snapshot of [...this.#open]) snapshot.release();
  }

  #release(snapshot: Snapshot, seq: number): void {
    this.#open.delete(snapshot);
    const at = this.#indexOf(seq);
    assert(this.#seqs[at] === seq, "a snapshot is released once");
    if (--this.#holders[at]! === 0) {
      this.#seqs.splice(at, 1);
      this.#holders.splice(at, 1);
      this.onReleased();
    }
  }

  /** Returns the index of the first sequence number >= `seq`. */
  #indexOf(seq: number): number {
    const seqs = this.#seqs;
    let low = 0;
    let high = seqs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seqs[middle]! < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
