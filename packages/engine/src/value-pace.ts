/**
 * Value pace: what a byte of values costs a write while the room under the bound on their space gets
 * short (value-gc.ts). So writes come as fast as room is made, instead of at full speed until they
 * have to wait for a whole sweep.
 *
 * Of the room that is left when the delay begins, u is used up (0 to 1). A byte costs
 * u / ((1 - u) rate) of time, `rate` being the bytes of room that were gained per time lately: at
 * u = 1/2 writes come as fast as room is made, and the last of the room is never quite reached. A
 * sweep gives its room back at once, at its end; if that is g of the whole, and the rate is k times
 * too high, the least that is left is g / (e^((1 + k) g) - 1): 16 % for g = k = 1, 5 % for k = 2.
 *
 * The rate is the growth of room, what was written meanwhile added, over the time from the first
 * look that found too little: flushes, merges and removals count as they are, with all their waits.
 */
import type { Clock } from "@aura/base";

/** A rate that was never measured, bytes per ms. */
const RATE_GUESS = 256 * 1024;
/** How much the last measurement leaves of those before it. */
const RATE_DECAY = 0.7;
/** A measurement spans at least so many ms. */
const SPAN_MS_MIN = 5;
/** The most of the room that counts as used: bounds the cost. */
const USED_MAX = 0.995;

/** Prices the bytes of values. */
export class ValuePace {
  readonly #clock: Clock;
  /** Room that writes have used so far, bytes: what they brought, and what they took off the limit. */
  readonly #written: () => number;
  /** Room at the last look, what was written by then, and the room at which the delay begins. */
  #room = Number.POSITIVE_INFINITY;
  #writtenThen = 0;
  #softRoom = 0;
  /** Room is being made since; -1: not. What room and writes came to then. */
  #sinceMs = -1;
  #begun = 0;
  #gained = 0;
  #gainedMs = 0;

  constructor(clock: Clock, written: () => number) {
    this.#clock = clock;
    this.#written = written;
  }

  /** Room that writes have used so far, bytes: what is to be charged. */
  get written(): number {
    return this.#written();
  }

  /** What a byte costs, ms; 0: nothing. */
  get msPerByte(): number {
    return this.#sinceMs < 0 ? 0 : this.#costOf(1);
  }

  /** As `msPerByte`, for writes of low priority: they begin to be delayed at twice the room. */
  get lowMsPerByte(): number {
    return this.#sinceMs < 0 ? 0 : this.#costOf(2);
  }

  /** How much of the room is used up: negative or 0, no delay; 1/2, as fast as room is made. */
  get share(): number {
    if (!(this.#softRoom > 0) || this.#room === Number.POSITIVE_INFINITY) return 0;
    return this.#used(1);
  }

  /** Bytes of room that are made per ms. */
  get bytesPerMs(): number {
    return this.#gainedMs === 0 ? RATE_GUESS : this.#gained / this.#gainedMs;
  }

  /**
   * Notes how much room there is, and that the delay begins at `softRoom`. `isWorking`: something
   * makes room; where nothing does, nobody waits for it.
   */
  look(room: number, softRoom: number, isWorking: boolean): void {
    const written = this.#written();
    this.#room = room;
    this.#softRoom = softRoom;
    this.#writtenThen = written;
    // Low priority is delayed from twice the room on.
    if (!isWorking || room >= 2 * softRoom) {
      this.#sinceMs = -1;
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    if (this.#sinceMs >= 0) {
      const ms = nowMs - this.#sinceMs;
      const gained = room + written - this.#begun;
      if (ms < SPAN_MS_MIN || gained <= 0) return;
      this.#gained = this.#gained * RATE_DECAY + gained;
      this.#gainedMs = this.#gainedMs * RATE_DECAY + ms;
    }
    this.#sinceMs = nowMs;
    this.#begun = room + written;
  }

  #used(factor: number): number {
    const soft = this.#softRoom * factor;
    const room = this.#room - (this.#written() - this.#writtenThen);
    return (soft - room) / soft;
  }

  #costOf(factor: number): number {
    const used = Math.min(USED_MAX, this.#used(factor));
    return used <= 0 ? 0 : used / ((1 - used) * this.bytesPerMs);
  }
}
