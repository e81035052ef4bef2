/**
 * Admission: what makes a write wait, and for how long.
 *
 * Room: a group goes in when the active memtable has room for it, or another one may be made, and
 * the value log is within its bound (value-gc.ts). Otherwise promises wait for a flush or a merge, and
 * a call on the owner's thread blocks until one is installed. Nothing else stops a write altogether.
 *
 * Delay: before memory or the room for values runs out, writes are slowed down by debt
 * (write-debt.ts, value-pace.ts). The delay holds the
 * acknowledgement, never the append: a write that was admitted leaves in its order, is visible, and
 * lies in a memtable, so that its bytes count against the limit while its caller waits. A program
 * that awaits its writes is slowed down to what the tree takes in; one that never awaits reaches the
 * limit of the memtables. Asynchronous answers share a timer (delayed-answers.ts); synchronous calls
 * sleep in short steps, in which results of background work are installed. Writes of high priority
 * are not delayed, only stopped when memory is full.
 */
import type { Clock, Scheduler } from "@aura/base";
import { AuraError } from "@aura/base";
import type { Priority } from "./call-options.ts";
import { DelayedAnswers } from "./delayed-answers.ts";
import type { StallEvent } from "./events.ts";
import type { Health } from "./health.ts";
import type { Memtables } from "./memtables.ts";
import type { Reserve } from "./reserve.ts";
import type { ValuePace } from "./value-pace.ts";
import type { WriteDebt } from "./write-debt.ts";

/** A synchronous write gives up after this long without progress of the background work, ms. */
const STALL_MS_MAX = 60_000;
/** How long it waits for a completion before it looks again, ms. */
const STALL_SLICE_MS = 100;
/**
 * A write is delayed by so much at most, ms, and for each MiB that it brings: what no limit of memory
 * or space stops is not held for long.
 */
const DELAY_MS_MAX = 100;
const MIB = 1048576;
/** A delayed synchronous write looks at the debt after so many ms. */
const DELAY_SLICE_MS = 10;

/** What writes need of the background work. */
export interface BackgroundWork {
  /** Begins to flush sealed memtables. `again`: at once, even after a failure. */
  flushSealed(again?: boolean): void;
  /** Runs completions of background work on this thread. */
  poll(): void;
  /** Blocks until background work made progress, or `ms` went by. */
  waitSync(ms: number): boolean;
}

/** What admission is made with. */
export interface AdmissionParts {
  readonly memtables: Memtables;
  readonly health: Health;
  readonly reserve: Reserve;
  readonly work: BackgroundWork;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly debt: WriteDebt;
  /** Seals the active memtable. */
  readonly seal: () => void;
  /** Whether the value log may grow by so many bytes now (value-gc.ts). */
  readonly mayGrow: (valueBytes: number) => boolean;
  /** What bytes of values cost. */
  readonly pace: Pick<ValuePace, "msPerByte" | "lowMsPerByte" | "written">;
  /** Writes begin or end to wait. */
  readonly onStall: (event: StallEvent) => void;
}

/** What delays have come to. */
export interface DelayStats {
  readonly delayedWrites: number;
  readonly delayMs: number;
  /** What a KiB of memtable costs a write now, ms. */
  readonly msPerKiB: number;
  /** Answers that wait now. */
  readonly waiting: number;
}

interface Period {
  readonly cause: StallEvent["cause"];
  readonly startMs: number;
}

/** Makes room for groups, and delays answers. */
export class Admission {
  readonly #parts: AdmissionParts;
  readonly #answers: DelayedAnswers;
  /** What had no room when `make` was asked last. */
  #full: "memtables" | "values" = "memtables";
  #stop: Period | undefined;
  #delay: Period | undefined;
  #closed = false;
  /** Room for values that was charged, or passed by, and what was written of values by then. */
  #chargedBytes = 0;
  #writtenBytes = 0;
  /** Times a write had to wait for room. */
  stallCount = 0;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.#answers = new DelayedAnswers(parts.clock, parts.scheduler, () => this.delays);
  }

  /** Lets a write in. Throws AURA_CLOSED, AURA_READ_ONLY or AURA_OUT_OF_SPACE. */
  admit(): void {
    const { health, reserve, work } = this.#parts;
    health.assertWritable();
    work.poll();
    if (!reserve.full || reserve.hasRoom()) return;
    throw new AuraError("AURA_OUT_OF_SPACE", "the volume is full; writing goes on once it is not");
  }

  /**
   * Makes room for a group that needs `bytes` of memtable, and brings `valueBytes` of separated values.
   * Returns false when it has to wait.
   */
  make(bytes: number, valueBytes: number): boolean {
    const { memtables, seal, mayGrow } = this.#parts;
    if (!mayGrow(valueBytes)) {
      this.#full = "values";
      return false;
    }
    this.#full = "memtables";
    if (!memtables.hasRoom(bytes)) {
      if (!memtables.maySeal) return false;
      seal();
    }
    if (this.#stop !== undefined) this.#endStop();
    return true;
  }

  /** As `make`; blocks until there is room. Throws AURA_BUSY when flushes make no progress. */
  makeSync(bytes: number, valueBytes: number): void {
    if (this.make(bytes, valueBytes)) return;
    this.noteStall();
    const { memtables, health, work } = this.#parts;
    for (let tries = 0; !this.make(bytes, valueBytes); ) {
      health.assertWritable();
      const before = memtables.sealed.length;
      work.flushSealed(true);
      const isDone = work.waitSync(STALL_SLICE_MS);
      // Values have room after a merge or a removal, and wait only as long as one is under way.
      if (memtables.sealed.length < before || (isDone && this.#full === "values")) tries = 0;
      else if (++tries * STALL_SLICE_MS >= STALL_MS_MAX) {
        throw new AuraError("AURA_BUSY", "no room: flushes make no progress");
      }
    }
  }

  /** Counts and announces that a write waits for room. */
  noteStall(): void {
    this.stallCount++;
    if (this.#stop !== undefined) return;
    this.#stop = { cause: this.#full, startMs: this.#parts.clock.monotonicMs() };
    this.#announce("stop", this.#stop, false);
  }

  /** Whether writes are delayed now. One load or two when they are not. */
  get delays(): boolean {
    const { debt, pace } = this.#parts;
    return debt.msPerByte > 0 || pace.msPerByte > 0;
  }

  /**
   * Charges a write that was appended. Returns when it may be acknowledged, or undefined: at once.
   * Its promise never rejects.
   */
  delay(bytes: number): Promise<void> | undefined {
    const writtenBytes = bytes + this.#brought();
    const valueBytes = this.#uncharged();
    if (bytes === 0 || this.#closed) return undefined;
    if (!this.delays) {
      if (this.#delay !== undefined) this.#endDelay();
      return undefined;
    }
    const { debt, pace } = this.#parts;
    const cost = bytes * debt.msPerByte + valueBytes * pace.msPerByte;
    const answer = this.#answers.answer(cost, limitMs(writtenBytes));
    if (answer !== undefined) this.#beginDelay();
    return answer;
  }

  /** Returns a promise of `reached` and then the delay of a write of `bytes`. */
  behind(reached: Promise<void>, bytes: number): Promise<void> {
    const delay = this.delay(bytes);
    return delay === undefined ? reached : reached.then(() => delay);
  }

  /** As `delay`, for a call that blocks: sleeps until it may return. */
  delaySync(bytes: number, priority: Priority): void {
    const writtenBytes = bytes + this.#brought();
    const valueBytes = this.#uncharged();
    if (priority === "high") return;
    const { debt, pace } = this.#parts;
    const costOf = (): number =>
      priority === "low"
        ? bytes * debt.lowMsPerByte + valueBytes * pace.lowMsPerByte
        : bytes * debt.msPerByte + valueBytes * pace.msPerByte;
    const cost = costOf();
    if (cost > 0) {
      const delayMs = this.#answers.charge(cost, limitMs(writtenBytes));
      this.#sleepSync(delayMs, costOf);
    }
    if (cost === 0 && this.#delay !== undefined && !this.delays) this.#endDelay();
  }

  /** Background work made progress: answers whose debt is gone are given. */
  noteProgress(): void {
    this.#answers.look();
    if (this.#delay !== undefined && !this.delays) this.#endDelay();
  }

  /** Gives all answers: nothing is delayed any more. */
  close(): void {
    this.#closed = true;
    this.#answers.release();
    if (this.#delay !== undefined) this.#endDelay();
    if (this.#stop !== undefined) this.#endStop();
  }

  stats(): DelayStats {
    const { count, totalMs, waiting } = this.#answers;
    const msPerKiB = this.#parts.debt.msPerByte * 1024;
    return { delayedWrites: count, delayMs: totalMs, msPerKiB, waiting };
  }

  /** Bytes of values that came since it was asked last. */
  #brought(): number {
    const { valueBytesAdded } = this.#parts.memtables;
    const bytes = valueBytesAdded - this.#writtenBytes;
    this.#writtenBytes = valueBytesAdded;
    return bytes;
  }

  /** Room for values that was used since it was asked last. */
  #uncharged(): number {
    const { written } = this.#parts.pace;
    const bytes = written - this.#chargedBytes;
    this.#chargedBytes = written;
    return bytes;
  }

  /** Each step runs background work or lets time go by: their number is what bounds the sleep. */
  #sleepSync(delayMs: number, costOf: () => number): void {
    if (delayMs === 0) return;
    this.#beginDelay();
    const { clock, work } = this.#parts;
    const endMs = clock.monotonicMs() + delayMs;
    for (let steps = Math.ceil(delayMs); steps > 0 && costOf() > 0; steps--) {
      const leftMs = endMs - clock.monotonicMs();
      if (leftMs <= 0) return;
      work.waitSync(Math.min(leftMs, DELAY_SLICE_MS));
    }
  }

  #beginDelay(): void {
    if (this.#delay !== undefined) return;
    const { clock, debt, pace } = this.#parts;
    const cause = debt.cause ?? (pace.msPerByte > 0 ? "values" : "low-priority");
    this.#delay = { cause, startMs: clock.monotonicMs() };
    this.#announce("delay", this.#delay, false);
  }

  #endDelay(): void {
    this.#announce("delay", this.#delay!, true);
    this.#delay = undefined;
  }

  #endStop(): void {
    this.#announce("stop", this.#stop!, true);
    this.#stop = undefined;
  }

  #announce(kind: StallEvent["kind"], { cause, startMs }: Period, ended: boolean): void {
    const { clock, onStall } = this.#parts;
    const endMs = ended ? clock.monotonicMs() : undefined;
    onStall({ reason: cause, cause, kind, phase: ended ? "end" : "start", startMs, endMs });
  }
}

function limitMs(bytes: number): number {
  return DELAY_MS_MAX * Math.max(1, bytes / MIB);
}
