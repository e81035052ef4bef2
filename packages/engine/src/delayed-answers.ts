/**
 * Delayed answers: promises of writes that are done and are acknowledged later, in order.
 *
 * Writes draw on one budget of time: each moves the moment at which the budget is even by its cost.
 * A write that comes when that moment is less than a millisecond away is answered at once; so a
 * program that awaits each of many small writes pauses now and then, not each time. What a timer
 * oversleeps, up to 4 ms, is made up for. One timer serves all that wait. No write is kept longer
 * than its limit, whatever those before it have used of the budget.
 */
import type { Clock, Scheduler, Timer } from "@aura/base";

/** Shorter delays are saved up, ms. */
const DELAY_MS_MIN = 1;
/** The budget is not used up further ahead than this, ms. */
const AHEAD_MS_MAX = 1000;
/** Time without writes that counts for the next ones, ms. */
const CREDIT_MS = 4;
/** How often debt is looked at while answers wait, ms. */
const LOOK_MS = 10;

interface Answer {
  readonly dueMs: number;
  readonly resolve: () => void;
}

/** Answers that wait for their time. */
export class DelayedAnswers {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  /** Whether there is still a reason to delay. */
  readonly #isNeeded: () => boolean;
  #evenMs = 0;
  #answers: Answer[] = [];
  #timer: Timer | undefined;
  /** For statistics. */
  count = 0;
  totalMs = 0;

  constructor(clock: Clock, scheduler: Scheduler, isNeeded: () => boolean) {
    this.#clock = clock;
    this.#scheduler = scheduler;
    this.#isNeeded = isNeeded;
  }

  get waiting(): number {
    return this.#answers.length;
  }

  /** Charges `costMs` and returns how long its write has to wait, at most `limitMs`, ms; 0: not at all. */
  charge(costMs: number, limitMs: number): number {
    const nowMs = this.#clock.monotonicMs();
    const evenMs = Math.max(this.#evenMs, nowMs - CREDIT_MS) + costMs;
    this.#evenMs = Math.min(evenMs, nowMs + AHEAD_MS_MAX);
    const delayMs = Math.min(limitMs, this.#evenMs - nowMs);
    if (delayMs < DELAY_MS_MIN) return 0;
    this.count++;
    this.totalMs += delayMs;
    return delayMs;
  }

  /** As `charge`: returns a promise of the moment, or undefined when there is nothing to wait for. */
  answer(costMs: number, limitMs: number): Promise<void> | undefined {
    const delayMs = this.charge(costMs, limitMs);
    if (delayMs === 0) return undefined;
    const dueMs = this.#clock.monotonicMs() + delayMs;
    const promise = new Promise<void>((resolve) => {
      this.#answers.push({ dueMs, resolve });
    });
    if (this.#timer === undefined) this.#arm();
    return promise;
  }

  /** Answers all that wait, if there is no reason to delay any more. */
  look(): void {
    if (this.#answers.length > 0 && !this.#isNeeded()) this.release();
  }

  /** Answers all that wait, and forgets what was charged. */
  release(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#evenMs = 0;
    const answers = this.#answers;
    this.#answers = [];
    for (const { resolve } of answers) resolve();
  }

  #arm(): void {
    const leftMs = this.#answers[0]!.dueMs - this.#clock.monotonicMs();
    // Somebody waits for these answers: they keep the process alive.
    this.#timer = this.#scheduler.after(Math.min(Math.max(leftMs, 0), LOOK_MS), this.#tick, true);
  }

  readonly #tick = (): void => {
    this.#timer = undefined;
    this.look();
    const nowMs = this.#clock.monotonicMs();
    let due = 0;
    while (due < this.#answers.length && this.#answers[due]!.dueMs <= nowMs) due++;
    for (const { resolve } of this.#answers.splice(0, due)) resolve();
    if (this.#answers.length > 0) this.#arm();
  };
}
