/**
 * Locality: values that scans read one by one, because garbage collection and overwrites have scattered
 * them, are written again in the order of their keys, when that pays (papers: Titan's level merge).
 *
 * What scatters is measured where it costs: a scan reads values that stand together with one read
 * (placed-reads.ts), so the reads beyond those that its bytes need are what order would have saved.
 * They are counted by ranges of keys, at most 32 of them. A read counts as 8 KiB of writes: it costs
 * about what 64 KiB of transfer cost, and a byte written is taken for eight bytes read. A range pays
 * once its reads are worth its values and the table that is rewritten with them.
 *
 * Bounded by the budget for write amplification (`valueLog.localityBudget`: bytes rewritten for each
 * byte put, or alive), and by room: only what fits under the bound on space with writes undelayed.
 * It comes after all other merges.
 */
import { compareKeys } from "@aura/base";
import type { MergePlan } from "./merge-task.ts";
import { bottomRun } from "./value-space.ts";
import type { TableMeta, Version } from "./version.ts";
import { overlaps } from "./version.ts";

/** Ranges that are told apart. */
const RANGES_MAX = 32;
/** Bytes of values in a range, at most about, and those rewritten in one merge. */
const RANGE_BYTES_MAX = 32 * 1024 * 1024;
/** Rewriting less than this is not worth a merge. */
const REWRITE_BYTES_MIN = 256 * 1024;
/** What a saved read is worth, in bytes written. */
const READ_BYTES = 8 * 1024;
/** Bytes that one read takes in at most. */
const RUN_BYTES = 256 * 1024;
/** A batch with fewer needless reads than this share of its values is in order. */
const SCATTER_MIN = 0.25;

/** Values to be rewritten in a merge: those of keys in [from, to], up to so many bytes. */
export interface Rewrite {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly bytesMax: number;
}

/** A range of keys that scans went through, `to` included. */
interface ScannedRange {
  from: Uint8Array;
  to: Uint8Array;
  bytes: number;
  /** Reads that order would have saved. */
  reads: number;
}

/** What locality looks at. */
export interface LocalityParts {
  readonly version: () => Version;
  /** `valueLog.localityBudget`; 0: off. */
  readonly budget: number;
  /** Bytes that the budget is a share of. */
  readonly baseBytes: () => number;
  /** Bytes that may be copied without a write being delayed for it. */
  readonly roomBytes: () => number;
  /** A range has begun to pay. */
  readonly onPays: () => void;
}

/** Watches scans, and says what is to be rewritten. */
export class ValueLocality {
  readonly #parts: LocalityParts;
  /** By key, disjoint. */
  #ranges: ScannedRange[] = [];
  /** Grows with the batches of one scan. */
  #last: ScannedRange | undefined;
  #chosen: ScannedRange | undefined;
  /** For statistics. */
  rewrittenBytes = 0;
  readsWasted = 0;

  constructor(parts: LocalityParts) {
    this.#parts = parts;
  }

  /** A scan has read `bytes` of values of keys from `one` to `other`, in either order, by `reads` reads. */
  note(one: Uint8Array, other: Uint8Array, values: number, bytes: number, reads: number): void {
    const wasted = reads - Math.ceil(bytes / RUN_BYTES);
    if (wasted > 0) this.readsWasted += wasted;
    if (this.#parts.budget === 0 || wasted < values * SCATTER_MIN || wasted < 1) {
      this.#last = undefined;
      return;
    }
    const [from, to] = compareKeys(one, other) <= 0 ? [one, other] : [other, one];
    // The keys are the caller's, or handed out.
    const range = this.#rangeOf(new Uint8Array(from), new Uint8Array(to));
    range.bytes += bytes;
    range.reads += wasted;
    this.#last = range;
    if (this.#ranges.length > RANGES_MAX) this.#join();
    if (range.reads * READ_BYTES > range.bytes && this.choose() !== undefined) this.#parts.onPays();
  }

  /** Returns the merge that pays most; undefined when none does. Precondition: no other runs. */
  choose(): (MergePlan & { readonly rewrite: Rewrite }) | undefined {
    const { version, budget, baseBytes, roomBytes } = this.#parts;
    this.#chosen = undefined;
    if (budget === 0 || this.#ranges.length === 0) return undefined;
    const left = Math.min(roomBytes(), budget * baseBytes() - this.rewrittenBytes);
    if (left < REWRITE_BYTES_MIN) return undefined;
    const { current, level, tables } = bottomOf(version());
    const best = [...this.#ranges].sort((a, b) => b.reads / b.bytes - a.reads / a.bytes);
    for (const range of best) {
      if (range.bytes < REWRITE_BYTES_MIN) continue;
      const table = tables.find((each) => overlaps(each, range.from, range.to));
      if (table === undefined || table.references.length === 0) continue;
      if (range.reads * READ_BYTES < range.bytes + table.bytes) continue;
      this.#chosen = range;
      return {
        inputs: [{ level, tables: [table.number] }],
        outputLevel: level,
        outputRunId: current?.id,
        tableBytesMax: Math.max(table.bytes * 2, REWRITE_BYTES_MIN),
        drain: [],
        reason: "locality",
        rewrite: { from: range.from, to: range.to, bytesMax: Math.min(left, RANGE_BYTES_MAX) },
      };
    }
    return undefined;
  }

  /** What `choose` returned has been begun. */
  noteBegun(): void {
    const chosen = this.#chosen;
    this.#ranges = this.#ranges.filter((range) => range !== chosen);
    if (this.#last === chosen) this.#last = undefined;
  }

  /** It is done. */
  noteRewritten(bytes: number): void {
    this.rewrittenBytes += bytes;
  }

  /** Returns the range that a batch belongs to: one that it meets, the last one's continuation, a new one. */
  #rangeOf(from: Uint8Array, to: Uint8Array): ScannedRange {
    const met = this.#ranges.find(
      (range) => compareKeys(range.from, to) <= 0 && compareKeys(from, range.to) <= 0,
    );
    const last = this.#last;
    const range = met ?? (last !== undefined && last.bytes < RANGE_BYTES_MAX ? last : undefined);
    if (range === undefined) {
      const made = { from, to, bytes: 0, reads: 0 };
      this.#ranges.push(made);
      this.#ranges.sort((a, b) => compareKeys(a.from, b.from));
      return made;
    }
    if (met !== undefined) return range;
    if (compareKeys(from, range.from) < 0) range.from = from;
    if (compareKeys(to, range.to) > 0) range.to = to;
    return range;
  }

  /** Joins the two neighbours with the fewest reads. */
  #join(): void {
    let at = 1;
    const readsAt = (i: number): number => this.#ranges[i - 1]!.reads + this.#ranges[i]!.reads;
    for (let i = 2; i < this.#ranges.length; i++) if (readsAt(i) < readsAt(at)) at = i;
    const [left, right] = this.#ranges.slice(at - 1, at + 1) as [ScannedRange, ScannedRange];
    left.to = compareKeys(left.to, right.to) >= 0 ? left.to : right.to;
    left.bytes += right.bytes;
    left.reads += right.reads;
    if (this.#last === right) this.#last = left;
    this.#ranges.splice(at, 1);
  }
}

function bottomOf(version: Version): {
  current: ReturnType<typeof bottomRun>;
  level: number;
  tables: readonly TableMeta[];
} {
  const level = version.levels.findLastIndex(({ runs }) => runs.length > 0);
  const current = bottomRun(version);
  return { current, level, tables: level > 0 ? (current?.tables ?? []) : [] };
}
