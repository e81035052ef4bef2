/**
 * Tells phases of a workload apart, by the shares that kinds of operations have in a window.
 *
 * Page-Hinkley, both ways, on each share: the sum of how far a share lies beyond its mean by more than
 * a tolerance; what comes back to the mean takes from the sum, so that only what stays away adds up. A
 * jump is found at once, a drift after as many windows as it needs to matter.
 *
 * Source: Page, "Continuous inspection schemes", Biometrika 41 (1954).
 */
import type { WindowObservation } from "./agent.ts";

/** Shares closer to their mean than this are noise. */
const TOLERANCE = 0.02;
/** Sum of deviations that is a change. */
const THRESHOLD = 0.12;

/** Watches the shares of windows. */
export class ChangeDetector {
  #count = 0;
  #means: number[] = [];
  #up: number[] = [];
  #down: number[] = [];

  /** Takes in a window; returns whether a new phase begins with it. The first window begins none. */
  note(observation: WindowObservation): boolean {
    const shares = sharesOf(observation);
    if (shares === undefined) return false;
    if (this.#count === 0) {
      this.#begin(shares);
      return false;
    }
    let isChange = false;
    for (const [i, share] of shares.entries()) {
      const away = share - this.#means[i]!;
      this.#up[i] = Math.max(0, this.#up[i]! + away - TOLERANCE);
      this.#down[i] = Math.max(0, this.#down[i]! - away - TOLERANCE);
      if (this.#up[i]! > THRESHOLD || this.#down[i]! > THRESHOLD) isChange = true;
    }
    if (isChange) this.#begin(shares);
    else {
      this.#count++;
      for (const [i, share] of shares.entries()) {
        this.#means[i]! += (share - this.#means[i]!) / this.#count;
      }
    }
    return isChange;
  }

  /** Numbers that what it does next depends on. */
  get state(): readonly number[] {
    return [this.#count, ...this.#means, ...this.#up, ...this.#down];
  }

  #begin(shares: readonly number[]): void {
    this.#count = 1;
    this.#means = [...shares];
    this.#up = shares.map(() => 0);
    this.#down = shares.map(() => 0);
  }
}

/** Returns the shares of reads, scans and writes, and of absent keys; undefined without work. */
function sharesOf(o: WindowObservation): readonly number[] | undefined {
  const all = o.reads + o.scans + o.writes;
  if (all === 0) return undefined;
  return [o.reads / all, o.scans / all, o.writes / all, o.absentReads / all];
}
