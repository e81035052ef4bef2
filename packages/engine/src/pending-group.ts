/** A group of asynchronous writes and the promises that its callers hold. */
import type { Group } from "./group.ts";

/** A promise that is settled from outside. */
class Deferred {
  readonly promise: Promise<void>;
  resolve!: () => void;
  reject!: (error: unknown) => void;
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** A group of asynchronous writes that has not left yet, or is leaving. */
export class PendingGroup {
  readonly group: Group;
  /** Settles when the group is handed to the operating system. */
  readonly appended: Deferred = new Deferred();
  /** Settles when it is durable too; made at the first `sync` write of the group. */
  durable: Promise<void> | undefined;
  /** Takes no more operations. */
  closed = false;
  /** Whoever waits for an abort of its only write; undefined for a group of many. */
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;

  constructor(group: Group) {
    this.group = group;
  }

  /** Runs `onAbort` if `signal` fires before `settle`. */
  watch(signal: AbortSignal, onAbort: () => void): void {
    this.#signal = signal;
    this.#onAbort = onAbort;
    signal.addEventListener("abort", onAbort, { once: true });
  }

  /** It is on its way, or given up: an abort comes too late. */
  unwatch(): void {
    if (this.#onAbort === undefined) return;
    this.#signal!.removeEventListener("abort", this.#onAbort);
    this.#onAbort = undefined;
  }
}
