/**
 * The range tombstones of a flush or merge: which entries they cover, and which of them are written.
 *
 * An entry goes when a newer tombstone covers it and no snapshot lies between: both are in one
 * stratum (survivors.ts). A tombstone goes when it is in the oldest stratum, so that nobody sees
 * beneath it, and nothing older can exist under it: what the merge itself holds of it goes with it.
 * Entries come in key order, and so do the cuts of the tables that are written: a table gets the
 * tombstones from where the one before it ends to where the next one begins, never more, so that no
 * tombstone ever covers keys that its table does not own.
 */
import { compareBytes, compareKeys, type FileSystem, Kind } from "@aura/base";
import { RangeFragments, readRangesSync, type TableIdentity } from "@aura/sst";
import { fragmentRanges, type RangeTombstone, stratumOf } from "../range-fragmenter.ts";
import { endsBelow, type TableMeta } from "../version.ts";
import type { KeyBounds } from "./merge.ts";
import type { ScanRange } from "./run-scan.ts";

/** Tells of entries in key order whether they are covered. */
export class CoverSweep {
  readonly #fragments: RangeFragments;
  readonly #snapshots: readonly number[];
  #at = 0;
  /** `covers` was asked last of an entry that a tombstone hides from the present, and that stays for a snapshot. */
  isHidden = false;

  /** `fragments`: of each stratum of `snapshots` the newest tombstone. */
  constructor(fragments: RangeFragments, snapshots: readonly number[]) {
    this.#fragments = fragments;
    this.#snapshots = snapshots;
  }

  /** Returns whether some tombstone may cover a key from key[start, end) on, up to `last`. */
  meets(
    key: Uint8Array,
    start: number,
    end: number,
    last: Uint8Array,
    lastStart: number,
    lastEnd: number,
  ): boolean {
    this.#seek(key, start, end);
    const from = this.#fragments.starts[this.#at];
    return from !== undefined && compareBytes(from, 0, from.length, last, lastStart, lastEnd) <= 0;
  }

  /** Returns whether a tombstone covers the entry for everyone who could see it. Keys ascend. */
  covers(key: Uint8Array, start: number, end: number, seq: number, tag: number): boolean {
    this.isHidden = false;
    this.#seek(key, start, end);
    const from = this.#fragments.starts[this.#at];
    if (from === undefined || compareBytes(from, 0, from.length, key, start, end) > 0) return false;
    for (const newer of this.#fragments.seqs[this.#at]!) {
      // The delete that stands for a tombstone in its table has the same number, and is not needed.
      if (newer < seq || (newer === seq && tag !== Kind.delete)) return false;
      if (stratumOf(this.#snapshots, newer) === stratumOf(this.#snapshots, seq)) return true;
      this.isHidden = true;
    }
    return false;
  }

  #seek(key: Uint8Array, start: number, end: number): void {
    const { ends } = this.#fragments;
    for (; this.#at < ends.length; this.#at++) {
      const bound = ends[this.#at]!;
      if (compareBytes(bound, 0, bound.length, key, start, end) > 0) return;
    }
  }
}

/** Hands the tombstones to the tables that are written, from left to right. */
export class RangePieces {
  readonly #fragments: RangeFragments;
  #from: Uint8Array | undefined;

  constructor(fragments: RangeFragments) {
    this.#fragments = fragments;
  }

  /** Returns what lies between the end of the table before and `to` (undefined: all of the rest). */
  take(to: Uint8Array | undefined): RangeFragments {
    const pieces = this.#fragments.within(this.#from, to);
    this.#from = to;
    return pieces;
  }

  /** Returns the first tombstone that no table has yet; undefined when there is none. */
  next(): { readonly start: Uint8Array; readonly seq: number } | undefined {
    const rest = this.#fragments.within(this.#from, undefined);
    return rest.count === 0 ? undefined : { start: rest.starts[0]!, seq: rest.seqs[0]![0]! };
  }
}

/** Reads the tombstones of the tables of a merge, fragmented; undefined when they have none. */
export function readFragments(
  fs: FileSystem,
  tables: readonly TableMeta[],
  identityOf: (meta: TableMeta) => TableIdentity,
  snapshots: readonly number[],
  range: ScanRange,
): RangeFragments | undefined {
  const all: RangeTombstone[] = [];
  for (const meta of tables) {
    if (meta.rangeDeleteCount === 0) continue;
    const ranges = readRangesSync(fs, identityOf(meta));
    ranges?.starts.forEach((begin, i) => {
      for (const seq of ranges.seqs[i]!) all.push({ begin, end: ranges.ends[i]!, seq });
    });
  }
  if (all.length === 0) return undefined;
  return fragmentRanges(all, snapshots).within(range.from, range.to);
}

/** Returns the fragments without the tombstones that go; `older`: what may lie under them. */
export function keptFragments(
  fragments: RangeFragments,
  snapshots: readonly number[],
  older: readonly (readonly KeyBounds[])[],
): RangeFragments {
  const kept = new RangeFragments();
  for (let i = 0; i < fragments.count; i++) {
    const start = fragments.starts[i]!;
    const end = fragments.ends[i]!;
    let seqs = fragments.seqs[i]!;
    const last = seqs.at(-1)!;
    if (stratumOf(snapshots, last) === 0 && !older.some((run) => reaches(run, start, end))) {
      seqs = seqs.slice(0, -1);
    }
    if (seqs.length > 0) kept.push(start, end, seqs);
  }
  return kept;
}

/** Returns whether a table of a run has keys from `start` on and below `end`. */
function reaches(run: readonly KeyBounds[], start: Uint8Array, end: Uint8Array): boolean {
  let low = 0;
  let high = run.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (endsBelow(run[middle]!, start)) low = middle + 1;
    else high = middle;
  }
  const table = run[low];
  return table !== undefined && compareKeys(table.smallestKey, end) < 0;
}
