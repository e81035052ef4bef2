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
  /** Calls that wait for it. Some may have brought no operation. */
  calls = 0;
  /** Settles when the group is handed to the operating system. */
  readonly appended: Deferred = new Deferred();
  /** Settles when it is durable too; made at the first `sync` write of the group. */
  durable: Promise<void> | undefined;
  /** Set when it was appended: what its writes wait for beside; undefined: nothing. */
  delay: Promise<void> | undefined;
  /** Some of its writes wait for `delay`. */
  isDelayed = false;
  /** Takes no more operations. */
  closed = false;
  /** It has left the queue: it was taken out, or given up. */
  isGone = false;
  /** What may abort its only write as long as it is queued; undefined for a group of many. */
  signal: AbortSignal | undefined;
  /** What `delayed` was asked for last, and its answer. */
  #reached: Promise<void> | undefined;
  #answer: Promise<void> | undefined;
  constructor(group: Group) {
    this.group = group;
  }

  /** Returns a promise of `reached` and then the delay that the group is given. */
  delayed(reached: Promise<void>): Promise<void> {
    this.isDelayed = true;
    if (this.#reached !== reached) {
      this.#reached = reached;
      this.#answer = reached.then(() => this.delay);
    }
    return this.#answer!;
  }
}
