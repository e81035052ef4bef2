/**
 * I/O budget: one token bucket for what background jobs write, and the account of what they read and
 * write, by cause. Both lie in shared memory: jobs count and throttle themselves where they run
 * (jobs/metered-fs.ts), whatever the owner's thread does meanwhile.
 *
 * A job takes tokens for what it is about to write, and waits until the balance is back at the floor
 * of its priority; so, while tokens are short, higher priorities find theirs first:
 *
 *   flush       never waits; what it takes, the others wait for
 *   level 0     waits while the balance is below 0
 *   relocation  below a quarter of the burst: for merges that the bound on space asks for
 *   other       below half of the burst
 *
 * A wait is bounded by four times what the taken tokens cost, so nobody starves. Without a limit a
 * write costs one atomic load and its count.
 *
 * "auto": no limit as long as somebody waits for merges, or debt is half of what delays writes. Else
 * merges get what writes of late will cost them (their rate times the write amplification as
 * measured), more with debt, and never less than 64 MiB/s: work is spread instead of done in bursts.
 *
 * Counters are two words of 32 bits. The owner alone sets the rate; jobs move everything else.
 */

/** Words of the bucket. On no disk: both sides are of one build. */
export const IoWord = {
  rateKib: 0,
  balanceKib: 1,
  refilledMs: 2,
  waitedMs: 3,
  counters: 4,
} as const;

/** Levels that are told apart, from 0 on. */
const LEVELS = 8;
/** What bytes are read and written for. Merges follow: one for each level that is merged into. */
export const IoCause = {
  flush: 0,
  relocation: 1,
  locality: 2,
  verify: 3,
  backup: 4,
  merge: 5,
} as const;
const CAUSES: number = IoCause.merge + LEVELS;
/** Words of a cause: bytes read, low and high; bytes written, low and high. */
const CAUSE_WORDS = 4;

/** Who finds tokens first. */
export const IoPriority = { flush: 0, levelZero: 1, relocation: 2, other: 3 } as const;
export type IoPriority = (typeof IoPriority)[keyof typeof IoPriority];

/** Tokens that gather while nobody writes: those of so many ms. */
const BURST_MS = 100;
/** Of the burst, what has to be there before a job of each priority goes on. */
const FLOORS: readonly number[] = [Number.NEGATIVE_INFINITY, 0, 0.25, 0.5];
const BACK_MS_MAX = 60_000;
const RATE_KIB_MAX = 0x3fffffff;
const MS_MASK = 0x7fffffff;
const KIB = 1024;

/** "auto": the least rate, bytes per second, and how urgent debt is from which on there is none. */
const AUTO_BYTES_MIN: number = 64 * 1024 * KIB;
const AUTO_URGENCY = 0.5;

/** A job's share of the budget. Structured-cloneable; the memory is shared. */
export interface IoShare {
  readonly words: Int32Array;
  readonly cause: number;
  /** Of the values that a merge moves. */
  readonly valueCause: number;
  readonly priority: IoPriority;
}

/** Bytes of one cause. */
export interface IoBytes {
  readonly read: number;
  readonly written: number;
}

/** What the background has read and written. */
export interface IoStats {
  /** Limit for what is written, bytes per second; undefined: none now. */
  readonly bytesPerSecond: number | undefined;
  /** Time that jobs have waited for tokens, ms. */
  readonly waitedMs: number;
  readonly flush: IoBytes;
  /** By the level that was merged into. */
  readonly merges: readonly IoBytes[];
  /** Values moved out of segments that are emptied, and rewritten for the sake of their order. */
  readonly relocation: IoBytes;
  readonly locality: IoBytes;
  readonly verify: IoBytes;
  readonly backup: IoBytes;
}

/** Counts bytes of a cause. */
export function countBytes(
  words: Int32Array,
  cause: number,
  isWrite: boolean,
  bytes: number,
): void {
  const low = IoWord.counters + cause * CAUSE_WORDS + (isWrite ? 2 : 0);
  const before = Atomics.add(words, low, bytes) >>> 0;
  const carry = Math.floor((before + bytes) / 0x100000000);
  if (carry > 0) Atomics.add(words, low + 1, carry);
}

/** Takes tokens; returns for how long the job has at least to wait before it asks again, ms. */
export function takeTokens(
  words: Int32Array,
  kib: number,
  priority: IoPriority,
  nowMs: number,
): number {
  if (Atomics.load(words, IoWord.rateKib) === 0) return 0;
  if (kib > 0) Atomics.sub(words, IoWord.balanceKib, kib);
  return missingMs(words, priority, nowMs);
}

/** The longest that a job waits for so many KiB, ms. */
export function waitMsMax(words: Int32Array, kib: number): number {
  const rate = Atomics.load(words, IoWord.rateKib);
  return rate === 0 ? 0 : 1000 + (4 * kib * 1000) / rate;
}

function missingMs(words: Int32Array, priority: IoPriority, nowMs: number): number {
  const rate = Atomics.load(words, IoWord.rateKib);
  if (rate === 0 || priority === IoPriority.flush) return 0;
  const burst = Math.max(1, Math.floor((rate * BURST_MS) / 1000));
  refill(words, rate, burst, nowMs);
  const missing = burst * FLOORS[priority]! - Atomics.load(words, IoWord.balanceKib);
  return missing <= 0 ? 0 : Math.max(1, (missing * 1000) / rate);
}

/** Adds the tokens of the time since the last time. Whoever moves the time adds them. */
function refill(words: Int32Array, rate: number, burst: number, nowMs: number): void {
  const now = Math.floor(nowMs) & MS_MASK;
  const last = Atomics.load(words, IoWord.refilledMs);
  const elapsedMs = (now - last) & MS_MASK;
  // A thread that asked a little later was first: time seems to run back.
  const added = elapsedMs > MS_MASK - BACK_MS_MAX ? 0 : Math.floor((rate * elapsedMs) / 1000);
  if (added <= 0) return;
  if (Atomics.compareExchange(words, IoWord.refilledMs, last, now) !== last) return;
  const gained = Math.min(added, burst);
  const balance = Atomics.add(words, IoWord.balanceKib, gained) + gained;
  if (balance > burst) Atomics.sub(words, IoWord.balanceKib, balance - burst);
}

/** The owner's side: sets the rate, hands out shares, reads the account. */
export class IoBudget {
  readonly #words = new Int32Array(
    new SharedArrayBuffer((IoWord.counters + CAUSES * CAUSE_WORDS) * Int32Array.BYTES_PER_ELEMENT),
  );
  readonly #isAuto: boolean;

  /** `bytesPerSecond`: a limit, or "auto". */
  constructor(bytesPerSecond: number | "auto") {
    this.#isAuto = bytesPerSecond === "auto";
    if (bytesPerSecond !== "auto") this.#setRate(bytesPerSecond);
  }

  flushShare(): IoShare {
    const cause = IoCause.flush;
    return { words: this.#words, cause, valueCause: cause, priority: IoPriority.flush };
  }

  /** `level`: the one that is merged into; `valueCause`: what values are moved for. */
  mergeShare(
    level: number,
    priority: IoPriority,
    valueCause: number = IoCause.relocation,
  ): IoShare {
    const cause = IoCause.merge + Math.min(level, LEVELS - 1);
    return { words: this.#words, cause, valueCause, priority };
  }

  /**
   * Sets the rate by what is to be done (see above). `urgency`: debt as a share of what delays
   * writes; `neededBytesPerSecond`: what merges have to write to keep up; `awaited`: somebody waits.
   */
  tune(urgency: number, neededBytesPerSecond: number, awaited: boolean): void {
    if (!this.#isAuto) return;
    if (awaited || urgency >= AUTO_URGENCY) this.#setRate(0);
    else this.#setRate(Math.max(AUTO_BYTES_MIN, neededBytesPerSecond * (1 + 2 * urgency)));
  }

  stats(): IoStats {
    const words = this.#words;
    const rate = Atomics.load(words, IoWord.rateKib);
    const count = (at: number): number =>
      (Atomics.load(words, at) >>> 0) + Atomics.load(words, at + 1) * 0x100000000;
    const of = (cause: number): IoBytes => {
      const at = IoWord.counters + cause * CAUSE_WORDS;
      return { read: count(at), written: count(at + 2) };
    };
    return {
      bytesPerSecond: rate === 0 ? undefined : rate * KIB,
      waitedMs: Atomics.load(words, IoWord.waitedMs),
      flush: of(IoCause.flush),
      merges: Array.from({ length: LEVELS }, (_, level) => of(IoCause.merge + level)),
      relocation: of(IoCause.relocation),
      locality: of(IoCause.locality),
      verify: of(IoCause.verify),
      backup: of(IoCause.backup),
    };
  }

  #setRate(bytesPerSecond: number): void {
    const kib = Math.min(RATE_KIB_MAX, Math.ceil(bytesPerSecond / KIB));
    if (Atomics.exchange(this.#words, IoWord.rateKib, kib) === 0) {
      // What was written without a limit is not owed.
      Atomics.store(this.#words, IoWord.balanceKib, 0);
    }
  }
}
