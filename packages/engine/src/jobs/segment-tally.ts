/** Counts, per segment, the records whose pointers a job met, and those whose pointers died in it. */
import type { SegmentChange } from "../edit.ts";
import type { SegmentKind } from "../version.ts";

interface Counts {
  kind: SegmentKind;
  totalCount: number;
  totalBytes: number;
  deadCount: number;
  deadBytes: number;
}

/** Tally of one job. */
export class SegmentTally {
  readonly #segments = new Map<number, Counts>();

  /** A record whose pointer reaches the tree for the first time (flush), or a new copy of one. */
  noteNew(segment: number, kind: SegmentKind, bytes: number): void {
    const counts = this.#counts(segment, kind);
    counts.totalCount++;
    counts.totalBytes += bytes;
  }

  /** A record whose pointer is gone: dropped with its entry, or exchanged by a relocation. */
  noteDead(segment: number, kind: SegmentKind, bytes: number): void {
    const counts = this.#counts(segment, kind);
    counts.deadCount++;
    counts.deadBytes += bytes;
  }

  changes(): SegmentChange[] {
    return [...this.#segments].map(([number, counts]) => ({ number, ...counts }));
  }

  #counts(segment: number, kind: SegmentKind): Counts {
    let counts = this.#segments.get(segment);
    if (counts === undefined) {
      counts = { kind, totalCount: 0, totalBytes: 0, deadCount: 0, deadBytes: 0 };
      this.#segments.set(segment, counts);
    }
    return counts;
  }
}
