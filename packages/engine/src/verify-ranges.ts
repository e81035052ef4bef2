/**
 * The read order of range tombstones, for verify: over any key the sequence numbers of entries and
 * tombstones only fall from run to run. A tombstone that stood below an older entry would not hide
 * it; one that stood above a newer one would hide what it must not.
 */
import { AuraError, compareKeys } from "@aura/base";
import { RangeFragments } from "@aura/sst";

/** The range tombstones of the runs of a tree, in read order. */
export class RangeOrder {
  readonly #runs: readonly RangeFragments[];
  readonly #filled: readonly number[];

  /** `runs`: of each run in read order the tombstones of its tables, in key order. */
  constructor(runs: readonly (readonly RangeFragments[])[]) {
    this.#runs = runs.map(joined);
    this.#filled = this.#runs.flatMap((ranges, i) => (ranges.count > 0 ? [i] : []));
  }

  /** Throws AURA_CORRUPTION unless the tombstones of each run are in order and above older ones. */
  check(): void {
    for (const newer of this.#filled) {
      for (const older of this.#filled) if (newer < older) this.#checkPair(newer, older);
    }
  }

  /** Throws AURA_CORRUPTION when an entry of run `source` is on the wrong side of a tombstone. */
  checkEntry(source: number, key: Uint8Array, start: number, end: number, seq: number): void {
    for (const run of this.#filled) {
      if (run === source) continue;
      const ranges = this.#runs[run]!;
      const i = ranges.indexFor(key, start, end);
      if (i === ranges.count || ranges.coverSeq(key, start, end, Number.MAX_SAFE_INTEGER) < 0)
        continue;
      const seqs = ranges.seqs[i]!;
      if (run < source ? seqs.at(-1)! < seq : seqs[0]! > seq) throw misplaced(seq);
    }
  }

  #checkPair(newer: number, older: number): void {
    const above = this.#runs[newer]!;
    const below = this.#runs[older]!;
    for (let i = 0; i < above.count; i++) {
      const lowest = above.seqs[i]!.at(-1)!;
      for (const [highest] of below.within(above.starts[i], above.ends[i]).seqs) {
        if (highest! > lowest) throw misplaced(highest!);
      }
    }
  }
}

function joined(tables: readonly RangeFragments[]): RangeFragments {
  const run = new RangeFragments();
  for (const { starts, ends, seqs, count } of tables) {
    for (let i = 0; i < count; i++) {
      const before = run.ends.at(-1);
      if (before !== undefined && compareKeys(before, starts[i]!) > 0) {
        throw new AuraError("AURA_CORRUPTION", "range tombstones of two tables of a run overlap");
      }
      run.push(starts[i]!, ends[i]!, seqs[i]!);
    }
  }
  return run;
}

function misplaced(seq: number): AuraError {
  const what = "an older run holds a newer version than a range tombstone above it";
  return new AuraError("AURA_CORRUPTION", `read order: ${what} (sequence ${seq})`);
}
