/**
 * A runtime that a test moves: a clock that stands until it is told, numbers from a seed, and
 * turns of the event loop that come from the real loop or one by one by hand.
 */

import type { Runtime } from "../runtime.ts";
import { type Clock, type Scheduler, SeededRandom, systemRuntime, type Timer } from "../runtime.ts";

/** 2020-01-01T00:00:00Z, milliseconds. */
const START_MS = 1_577_836_800_000;

/** A clock that moves by `advance`, and by `tickMs` at each reading. */
export class SimClock implements Clock {
  #elapsedMs = 0;
  #wallOffsetMs: number = START_MS;
  readonly #tickMs: number;

  /** `tickMs`: how far each reading moves the clock; due timers wait for the next turn. */
  constructor(tickMs = 0) {
    this.#tickMs = tickMs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + this.monotonicMs();
  }

  monotonicMs(): number {
    this.#elapsedMs += this.#tickMs;
    return this.#elapsedMs;
  }

  /** The time, without moving it. */
  get nowMs(): number {
    return this.#elapsedMs;
  }

  /** Moves the clock only; `SimRuntime.advance` runs the timers on the way as well. */
  moveTo(ms: number): void {
    this.#elapsedMs = Math.max(this.#elapsedMs, ms);
  }

  /** Sets the wall clock forth or back; the monotonic clock stays. */
  jumpWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }
}

/** Settings of `simRuntime`. */
export interface SimRuntimeOptions {
  /** `real` (the default): turns of the event loop. `manual`: only `turn()` runs tasks. */
  readonly turns?: "real" | "manual";
  /** `random`: the tasks of a turn run in seeded order. Default "fifo". */
  readonly order?: "fifo" | "random";
  /**
   * With real turns: when no task waits, the clock jumps to the next timer by itself. The process
   * stays alive while timers are pending. Default false.
   */
  readonly autoAdvance?: boolean;
  /** How far each reading of the clock moves it, milliseconds. Default 0. */
  readonly tickMs?: number;
}

interface SimTimer extends Timer {
  readonly dueMs: number;
  readonly order: number;
  readonly task: () => void;
}

/** Timers on a `SimClock`, and turns. */
export class SimScheduler implements Scheduler {
  readonly #clock: SimClock;
  readonly #random: SeededRandom;
  readonly #options: SimRuntimeOptions;
  readonly #timers = new Set<SimTimer>();
  #tasks: (() => void)[] = [];
  #timersMade = 0;
  #pumping = false;

  constructor(clock: SimClock, random: SeededRandom, options: SimRuntimeOptions = {}) {
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
  }

  /** Timers and tasks that wait. */
  get pending(): number {
    return this.#timers.size + this.#tasks.length;
  }

  after(ms: number, task: () => void): Timer {
    this.#timersMade++;
    const timer: SimTimer = {
      dueMs: this.#clock.nowMs + Math.max(0, ms),
      order: this.#timersMade,
      task,
      cancel: () => {
        this.#timers.delete(timer);
      },
    };
    this.#timers.add(timer);
    if (this.#options.autoAdvance === true && !this.#pumping) this.#pump();
    return timer;
  }

  nextTurn(task: () => void): void {
    this.#tasks.push(task);
    // One real turn for each task: which task it runs is this scheduler's choice.
    if (this.#options.turns !== "manual") systemRuntime.scheduler.nextTurn(() => this.#runOne());
  }

  afterThis(task: () => void): void {
    systemRuntime.scheduler.afterThis(task);
  }

  /** Runs the timers that are due and the tasks that wait now. Returns whether there were any. */
  turn(): boolean {
    const timers = this.#runDue();
    const count = this.#tasks.length;
    for (let i = 0; i < count; i++) this.#runOne();
    return timers || count > 0;
  }

  /** Moves the clock by `ms`, running each timer on the way at its time. */
  advance(ms: number): void {
    const untilMs = this.#clock.nowMs + ms;
    for (
      let next = this.#next();
      next !== undefined && next.dueMs <= untilMs;
      next = this.#next()
    ) {
      this.#clock.moveTo(next.dueMs);
      this.#timers.delete(next);
      next.task();
    }
    this.#clock.moveTo(untilMs);
  }

  #runOne(): void {
    const random = this.#options.order === "random";
    const index = random && this.#tasks.length > 1 ? this.#random.below(this.#tasks.length) : 0;
    const [task] = this.#tasks.splice(index, 1);
    task?.();
  }

  #runDue(): boolean {
    let ran = false;
    const untilMs = this.#clock.nowMs;
    for (
      let next = this.#next();
      next !== undefined && next.dueMs <= untilMs;
      next = this.#next()
    ) {
      this.#timers.delete(next);
      next.task();
      ran = true;
    }
    return ran;
  }

  #next(): SimTimer | undefined {
    let first: SimTimer | undefined;
    for (const timer of this.#timers) {
      if (first === undefined || timer.dueMs < first.dueMs) first = timer;
      else if (timer.dueMs === first.dueMs && timer.order < first.order) first = timer;
    }
    return first;
  }

  #pump(): void {
    this.#pumping = true;
    systemRuntime.scheduler.nextTurn(() => {
      this.#pumping = false;
      const next = this.#next();
      if (next === undefined) return;
      if (this.#tasks.length === 0) this.advance(next.dueMs - this.#clock.nowMs);
      if (this.#timers.size > 0 && !this.#pumping) this.#pump();
    });
  }
}

/** A runtime for tests. */
export interface SimRuntime extends Runtime {
  readonly clock: SimClock;
  readonly random: SeededRandom;
  readonly scheduler: SimScheduler;
  /** Moves the clock by `ms`, running each timer on the way at its time. */
  advance(ms: number): void;
  /** Runs due timers and waiting tasks once. Returns whether there were any. */
  turn(): boolean;
}

/** Returns a runtime whose time stands still, whose numbers come from `seed`. */
export function simRuntime(seed: number, options: SimRuntimeOptions = {}): SimRuntime {
  const clock = new SimClock(options.tickMs);
  const random = new SeededRandom(seed);
  // The order of turns draws from its own numbers: it must not shift those of the code under test.
  const scheduler = new SimScheduler(clock, new SeededRandom(seed + 1), options);
  return {
    clock,
    random,
    scheduler,
    advance: (ms) => scheduler.advance(ms),
    turn: () => scheduler.turn(),
  };
}
