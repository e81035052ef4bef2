/**
 * Write debt: how far the background work is behind the writes, and what that makes a write cost.
 *
 * Three kinds of debt, each a share `d` of the way from where it begins to hurt (0) to where it must
 * not grow any more (1, and on):
 *
 * - `memtables`: unflushed memory, from two thirds of the limit on (a half with two memtables).
 * - `level-0`: runs in level 0 and those that unflushed memory will become, from 4 times the trigger
 *   on; 1 at 9 times.
 * - `compaction`: the policy's estimate of what merges still have to read and write, in time at the
 *   measured speed of merges, from 60 s on; 1 at 240 s. Sooner when what waits above the last level
 *   overwrites what lies in it, and so takes space twice: what the policy says waits (level 0 beyond its
 *   trigger, levels beyond their targets), over the bytes of the deepest level. 1 where that is all that
 *   is left of 0.6 of those bytes beside what a tree takes anyway: its levels above the last,
 *   1 / (fanout - 1), and the copy of a merge, a quarter. From a tenth of it on. In full when every entry
 *   overwrites, not at all while half of them are new: then the tree grows into it.
 *
 * A byte that is admitted costs 2 d / rate, `rate` being the bytes of memtable that this kind of work
 * takes in per time, as measured lately. So the delay begins at nothing, and at d = 1/2 writes come as
 * fast as they are worked off: a spring (bLSM's, docs/rfcs/0007-admission.md). For memory the factor 2
 * is exact: a memtable that fills at rate / 2d is full when a flush that began with it ends. The
 * largest of the three costs counts. Memory has a limit that stops writes; the others do not go away
 * by themselves, and never make writes slower than half of the rate.
 *
 * Separated values are no debt: only their pointers reach the tree.
 *
 * Writes of low priority begin to be delayed at half of each threshold, and reach d = 1 where those
 * of normal priority begin: what is admitted then is less than half of what is worked off.
 */
import type { Clock } from "@aura/base";
import type { Memtables } from "./memtables.ts";
import type { Version } from "./version.ts";

/** Kinds of debt. */
export type DebtCause = "memtables" | "level-0" | "compaction";

/** Where delay begins, and where d = 1. Runs of level 0, in triggers. */
const L0_SOFT = 4;
const L0_HARD = 9;
/** Bytes above the deepest level, as a share of it, that a tree is to stay below; what a merge copies. */
const SPACE_SHARE_MAX = 0.6;
const COPY_SHARE = 0.25;
/** Garbage that waits, as a share of the deepest level: d = 1 at this at least, and from this part on. */
const GARBAGE_HARD_MIN = 0.05;
const GARBAGE_SOFT_PART = 0.1;
/** Work for merges, ms. */
const WORK_SOFT_MS = 60_000;
const WORK_HARD_MS = 240_000;
/** No tree reads and writes more for a byte that was flushed: 4 levels of fanout 10, all rewritten. */
const AMPLIFICATION_MAX = 100;
/** Writes of low priority are delayed from this share of a threshold on. */
const LOW_SHARE = 0.5;
/** A rate that was never measured, bytes/ms. */
const RATE_GUESS = 32 * 1024;
/** How much the last measurement leaves of those before it. */
const RATE_DECAY = 0.7;

/** What debt is read from. */
export interface DebtSources {
  readonly clock: Clock;
  readonly memtables: Memtables;
  readonly memtableBytes: number;
  readonly memtableCountMax: number;
  readonly l0Trigger: number;
  readonly version: () => Version;
  /** The policy's estimate of bytes that merges have to read and write. */
  readonly debtBytes: () => number;
  /** Bytes that wait to go down, as the policy has them. */
  readonly waitingBytes: () => number;
  /** Share of entries that overwrite older ones, as far as merges know. */
  readonly overwriteShare: () => number;
  readonly fanout: number;
  /** The tree has changed, and debt was measured. */
  readonly onMeasured: () => void;
  /** False: no write is delayed. */
  readonly enabled: boolean;
}

/** The part of a merge that debt is about. */
export interface MergedTables {
  readonly level: number;
  readonly tables: readonly { readonly bytes: number }[];
}

/** Debt of one cause, for statistics. */
export interface DebtShare {
  /** Negative or 0: no delay; 1/2: writes come as fast as they are worked off. */
  readonly share: number;
  /** Memtable bytes per second that this work takes in. */
  readonly drainBytesPerSecond: number;
}

/** A rate from bytes and times, in which late measurements weigh most. */
class Rate {
  readonly #guess: number;
  #bytes = 0;
  #ms = 0;

  constructor(guess: number) {
    this.#guess = guess;
  }

  note(bytes: number, ms: number): void {
    this.#bytes = this.#bytes * RATE_DECAY + bytes;
    this.#ms = this.#ms * RATE_DECAY + ms;
  }

  /** Bytes per ms; endless where no time went by. */
  get bytesPerMs(): number {
    if (this.#bytes === 0) return this.#guess;
    return this.#ms === 0 ? Number.POSITIVE_INFINITY : this.#bytes / this.#ms;
  }
}

/** Measures debt and the rate at which it is worked off. */
export class WriteDebt {
  readonly #sources: DebtSources;
  readonly #memorySoft: number;
  readonly #quietSealed: number;
  readonly #garbageHard: number;
  readonly #flushRate = new Rate(RATE_GUESS);
  /** Bytes of memtables over all the time between flushes. */
  readonly #arrivalRate = new Rate(RATE_GUESS);
  readonly #l0Rate = new Rate(RATE_GUESS);
  readonly #mergeRate = new Rate(RATE_GUESS);
  /** Bytes of memtable for each byte of table, of flushes lately. */
  readonly #shrinkage = new Rate(1);
  #flushedBytes = 0;
  #flushedMs = -1;
  #mergedBytes = 0;
  #debtBytes = 0;
  /** Debt at the first look; -1: there was none. */
  #debtAtFirst = -1;
  /** Neither level 0 nor the levels below can be a reason to delay until the next edit. */
  #garbage = 0;
  #treeQuiet = true;
  #treeQuietLow = true;
  #merging = 0;
  /** Merges run since; level 0 is over its trigger since. */
  #mergesSinceMs = 0;
  #l0SinceMs = -1;

  constructor(sources: DebtSources) {
    this.#sources = sources;
    const countMax = sources.memtableCountMax;
    this.#memorySoft = countMax === 2 ? 1 : (countMax * 2) / 3;
    this.#quietSealed = Math.floor(this.#memorySoft);
    const levels = 1 / (sources.fanout - 1);
    this.#garbageHard = Math.max(GARBAGE_HARD_MIN, SPACE_SHARE_MAX - COPY_SHARE - levels);
  }

  /** Cost of a byte for writes that are not of low priority, ms; 0: nothing is delayed. */
  get msPerByte(): number {
    const { memtables } = this.#sources;
    if (this.#treeQuiet && memtables.sealed.length < this.#quietSealed) return 0;
    return this.#cost(1);
  }

  /** Cost of a byte of low priority, ms. */
  get lowMsPerByte(): number {
    const { memtables } = this.#sources;
    if (this.#treeQuietLow && memtables.sealed.length === 0) return 0;
    return this.#cost(LOW_SHARE);
  }

  /** The debt that costs most, if any does. */
  get cause(): DebtCause | undefined {
    let worst: DebtCause | undefined;
    let cost = 0;
    for (const cause of ["memtables", "level-0", "compaction"] as const) {
      const own = this.#share(cause, 1) / this.#rate(cause);
      if (own <= cost) continue;
      cost = own;
      worst = cause;
    }
    return worst;
  }

  /** How far all work is from the first delay: 0 nothing to do, 1 writes begin to be delayed. */
  get urgency(): number {
    const { l0Trigger } = this.#sources;
    return Math.max(
      this.#memtablesUsed() / this.#memorySoft,
      this.#l0Runs() / (L0_SOFT * l0Trigger),
      this.#workMs() / WORK_SOFT_MS,
      this.garbageUrgency,
    );
  }

  /** How far garbage above the last level is from the first delay, as `urgency`. */
  get garbageUrgency(): number {
    return this.#garbage / (this.#garbageHard * GARBAGE_SOFT_PART);
  }

  /** What merges have to write to keep up with the flushes of late, bytes per second. */
  get mergeBytesPerSecond(): number {
    // What they read is about as much as what they write.
    return (this.#arrivalRate.bytesPerMs * 1000 * this.#amplification) / 2;
  }

  /** Debt and its rate by cause, and the policy's estimate. */
  stats(): Readonly<Record<DebtCause, DebtShare>> & { readonly debtBytes: number } {
    const of = (cause: DebtCause): DebtShare => ({
      share: this.#share(cause, 1),
      drainBytesPerSecond: Math.round(this.#rate(cause) * 1000),
    });
    return {
      memtables: of("memtables"),
      "level-0": of("level-0"),
      compaction: of("compaction"),
      debtBytes: this.#debtBytes,
    };
  }

  /** Notes a flush that was published: it took `ms`. */
  noteFlush(memtableBytes: number, tableBytes: number, ms: number): void {
    const nowMs = this.#sources.clock.monotonicMs();
    if (this.#flushedMs >= 0) this.#arrivalRate.note(memtableBytes, nowMs - this.#flushedMs);
    this.#flushedMs = nowMs;
    this.#flushRate.note(memtableBytes, ms);
    if (tableBytes > 0) this.#shrinkage.note(memtableBytes, tableBytes);
    this.#flushedBytes += memtableBytes;
    this.noteVersion();
  }

  noteMergeBegun(): void {
    if (this.#merging === 0) this.#mergesSinceMs = this.#sources.clock.monotonicMs();
    this.#merging++;
  }

  /** Notes a merge that ended; without `slices` it failed. */
  noteMergeEnded(slices: readonly MergedTables[] = [], bytes = 0): void {
    const nowMs = this.#sources.clock.monotonicMs();
    if (this.#merging > 0) this.#merging--;
    if (bytes > 0) this.#mergeRate.note(bytes, nowMs - this.#mergesSinceMs);
    this.#mergesSinceMs = nowMs;
    this.#mergedBytes += bytes;
    let l0Bytes = 0;
    for (const { level, tables } of slices) {
      if (level === 0) for (const table of tables) l0Bytes += table.bytes;
    }
    if (l0Bytes > 0 && this.#l0SinceMs >= 0) {
      this.#l0Rate.note(l0Bytes * this.#shrinkage.bytesPerMs, nowMs - this.#l0SinceMs);
      this.#l0SinceMs = -1;
    }
    this.noteVersion();
  }

  /** Notes that the tree has changed. */
  noteVersion(): void {
    const { clock, l0Trigger, memtableCountMax } = this.#sources;
    const runs = this.#runs();
    if (runs < l0Trigger) this.#l0SinceMs = -1;
    else if (this.#l0SinceMs < 0) this.#l0SinceMs = clock.monotonicMs();
    this.#debtBytes = this.#sources.debtBytes();
    if (this.#debtAtFirst < 0) this.#debtAtFirst = this.#debtBytes;
    this.#garbage = this.#garbageShare();
    const work = this.#workMs();
    const runsMax = runs + memtableCountMax;
    const soft = L0_SOFT * l0Trigger;
    const garbage = this.garbageUrgency;
    this.#treeQuiet = runsMax <= soft && work <= WORK_SOFT_MS && garbage <= 1;
    this.#treeQuietLow =
      runsMax <= soft * LOW_SHARE && work <= WORK_SOFT_MS * LOW_SHARE && garbage <= LOW_SHARE;
    this.#sources.onMeasured();
  }

  #cost(softShare: number): number {
    if (!this.#sources.enabled) return 0;
    let cost = 0;
    for (const cause of ["memtables", "level-0", "compaction"] as const) {
      const share = this.#share(cause, softShare);
      if (share > 0) cost = Math.max(cost, (2 * share) / this.#rate(cause));
    }
    return cost;
  }

  #share(cause: DebtCause, softShare: number): number {
    const { l0Trigger, memtableCountMax } = this.#sources;
    if (cause === "memtables") {
      return shareOf(this.#memtablesUsed(), this.#memorySoft, memtableCountMax, softShare);
    }
    if (cause === "level-0") {
      const share = shareOf(this.#l0Runs(), L0_SOFT * l0Trigger, L0_HARD * l0Trigger, softShare);
      return Math.min(1, share);
    }
    const hard = this.#garbageHard;
    const share = Math.max(
      shareOf(this.#workMs(), WORK_SOFT_MS, WORK_HARD_MS, softShare),
      shareOf(this.#garbage, hard * GARBAGE_SOFT_PART, hard, softShare),
    );
    return Math.min(1, share);
  }

  #rate(cause: DebtCause): number {
    if (cause === "memtables") return this.#flushRate.bytesPerMs;
    if (cause === "level-0") return this.#l0Rate.bytesPerMs;
    return this.#mergeRate.bytesPerMs / this.#amplification;
  }

  /**
   * Bytes that merges have read and written and still must, for each that was flushed. What was owed at
   * the first look was there before, and a change of shape may add to it at once: neither is a price of
   * what is flushed now.
   */
  get #amplification(): number {
    if (this.#flushedBytes === 0) return 1;
    const bytes = this.#mergedBytes + this.#debtBytes - Math.max(0, this.#debtAtFirst);
    return Math.min(AMPLIFICATION_MAX, Math.max(1, bytes / this.#flushedBytes));
  }

  /** Memtables in use, the active one as far as it is filled. */
  #memtablesUsed(): number {
    const { memtables, memtableBytes } = this.#sources;
    return memtables.sealed.length + memtables.active.table.usedBytes / memtableBytes;
  }

  #runs(): number {
    return this.#sources.version().levels[0]?.runs.length ?? 0;
  }

  #l0Runs(): number {
    return this.#runs() + this.#memtablesUsed();
  }

  #garbageShare(): number {
    const { version, overwriteShare, waitingBytes } = this.#sources;
    const weight = 2 * overwriteShare() - 1;
    if (weight <= 0) return 0;
    const deepest = version().levels.findLast(({ runs }) => runs.length > 0);
    let bytes = 0;
    for (const { tables } of deepest?.runs ?? []) for (const table of tables) bytes += table.bytes;
    return bytes === 0 ? 0 : (waitingBytes() * weight) / bytes;
  }

  #workMs(): number {
    return this.#debtBytes / this.#mergeRate.bytesPerMs;
  }
}

/** Where `value` lies between where delay begins (0) and `hard` (1). */
function shareOf(value: number, soft: number, hard: number, softShare: number): number {
  if (softShare === 1) return (value - soft) / (hard - soft);
  return (value - soft * softShare) / (soft - soft * softShare);
}
