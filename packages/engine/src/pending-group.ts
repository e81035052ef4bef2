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
  /** Set when the group is appended. */
  lastSeq = 0;
  closed = false;
  constructor(group: Group) {
    this.group = group;
  }
}
