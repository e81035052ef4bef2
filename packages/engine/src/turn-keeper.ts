/**
 * Fairness: promises that resolve without a hop starve timers and sockets. The keeper notices when
 * the event loop has not turned for a while, and the next answer then goes through a turn.
 */
import type { Runtime } from "@aura/base";

/** Longest run of hop-free answers within one turn of the event loop, milliseconds. */
export const HOP_FREE_MS_MAX = 1;

/** Tells whether an answer may resolve at once. */
export class TurnKeeper {
  readonly #runtime: Runtime;
  #turnStartMs = -1;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Returns true when the next answer must go through `scheduler.nextTurn`. */
  mustTurn(): boolean {
    const nowMs = this.#runtime.clock.monotonicMs();
    if (this.#turnStartMs < 0) {
      this.#turnStartMs = nowMs;
      this.#runtime.scheduler.nextTurn(() => {
        this.#turnStartMs = -1;
      });
      return false;
    }
    return nowMs - this.#turnStartMs > HOP_FREE_MS_MAX;
  }

  /** Milliseconds since the first answer of this turn; 0 when there was none. */
  elapsedMs(): number {
    if (this.#turnStartMs < 0) return 0;
    return this.#runtime.clock.monotonicMs() - this.#turnStartMs;
  }

  /** Resolves in a later turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.#runtime.scheduler.nextTurn(resolve));
  }
}
