/** Time as the driver sees it: a test brings one of its own. Times are ms. */

/** A clock that can be waited for. */
export interface Clock {
  now(): number;
  /** Resolves not much later than in `ms`. */
  sleep(ms: number): Promise<void>;
  /** Resolves after one turn of the event loop. */
  turn(): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
};
