/**
 * Time, chance and turns of the event loop: the three things a simulation has to own.
 * Only this file touches the platform's clock, random source and timers.
 */
import { randomFillSync } from "node:crypto";

/** Clock. `wallMs` may jump; `monotonicMs` never goes back. */
export interface Clock {
  wallMs(): number;
  monotonicMs(): number;
}

/** Source of random numbers. */
export interface Random {
  /** A whole number, 0 <= n < 2^32. */
  uint32(): number;
}

/** A pending timer. */
export interface Timer {
  cancel(): void;
}

/** Turns of the event loop. */
export interface Scheduler {
  /** Runs `task` after at least `ms`. Does not keep the process alive, unless asked to. */
  after(ms: number, task: () => void, keepAlive?: boolean): Timer;
  /** Runs `task` in a later turn, after pending I/O and timers had theirs. */
  nextTurn(task: () => void): void;
  /** Runs `task` when the running code returns, before any other turn. */
  afterThis(task: () => void): void;
}

/** What an engine is given beside its file system. */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
}

/** Seeded generator (sfc32). The same seed gives the same numbers on every platform. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 0x100000000) >>> 0;
    this.#c = 0x9e3779b9;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** A whole number, 0 <= n < bound. */
  below(bound: number): number {
    return Math.floor((this.uint32() / 0x100000000) * bound);
  }
}

const words = new Uint32Array(1);

/** The platform's clock, random source and event loop. */
export const systemRuntime: Runtime = {
  clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() },
  random: {
    uint32: () => {
      randomFillSync(words);
      return words[0]!;
    },
  },
  scheduler: {
    after: (ms, task, keepAlive = false) => {
      const timer = setTimeout(task, ms);
      if (!keepAlive) timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
    nextTurn: (task) => {
      setImmediate(task);
    },
    afterThis: (task) => {
      queueMicrotask(task);
    },
  },
};
