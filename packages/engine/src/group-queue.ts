/**
 * Group queue: groups of asynchronous writes that have not left, oldest first.
 *
 * A write goes into the last group while that is open and has room; one that can be aborted gets a
 * group of its own. A write that could not be added whole leaves nothing behind. A group that was
 * aborted keeps its place, empty-handed, until those before it have left or it is one of many: so an
 * abort costs the same however long the queue is.
 */
import { AuraError } from "@aura/base";
import { AbortWatch } from "./abort-watch.ts";
import type { Group } from "./group.ts";
import { PendingGroup } from "./pending-group.ts";

/** An open group is closed at this size: one is prepared while one of the same size is written. */
export const OPEN_GROUP_BYTES_MAX: number = 2 * 1024 * 1024;
/** What a group costs beside its bytes (measured, 2.4 KB): writes of nothing that can be aborted have one each. */
const GROUP_COST_BYTES = 2048;
/** Places of groups that are gone are kept up to this many, and up to half of all. */
const GONE_MIN = 32;

/** What the queue works with. */
export interface GroupQueueParts {
  readonly newGroup: () => Group;
  /** Most bytes of a memtable that one group may take. */
  readonly groupBytesMax: number;
}

/** Holds groups until they leave. */
export class GroupQueue {
  readonly #parts: GroupQueueParts;
  readonly #aborts: AbortWatch<PendingGroup>;
  /** From `#head` on; some may be gone. */
  #groups: PendingGroup[] = [];
  #head = 0;
  /** Those that are not gone. */
  #count = 0;
  /** Bytes of those that are not gone, but for the last in `#groups`, which grows. */
  #bytesBefore = 0;
  /** A group to use again. Never one that the thread pool may still be reading. */
  #spare: Group | undefined;

  constructor(parts: GroupQueueParts) {
    this.#parts = parts;
    this.#aborts = new AbortWatch((pending, signal) => this.#abort(pending, signal));
  }

  get length(): number {
    return this.#count;
  }

  /** Whether the groups take more memory than a memtable, and than one open group may. */
  get isFull(): boolean {
    if (this.#count === 0) return false;
    const last = this.#groups.at(-1)!;
    const lastBytes = last.isGone ? 0 : last.group.bytes;
    const bytes = this.#bytesBefore + lastBytes + this.#count * GROUP_COST_BYTES;
    return bytes > OPEN_GROUP_BYTES_MAX && bytes > this.#parts.groupBytesMax;
  }

  /** The group that leaves next. */
  get first(): PendingGroup | undefined {
    if (this.#count === 0) return undefined;
    while (this.#groups[this.#head]!.isGone) this.#head++;
    return this.#groups[this.#head];
  }

  /** Takes the first group out: it takes no more operations, and is not aborted any more. */
  shift(): void {
    const first = this.first!;
    first.closed = true;
    this.#unwatch(first);
    this.#forget(first);
    if (this.#count === 0) this.#clear();
    else this.#head++;
    // Moves what is left once for as many as have left.
    if (this.#head > GONE_MIN && this.#head > this.#groups.length / 2) this.#compact();
  }

  /** Lets a group's buffers be used again: nobody reads them any more. */
  reuse(group: Group): void {
    this.#spare = group;
  }

  /**
   * Returns the group that a write goes into, which takes `memtableBytes`; marked, so that `takeBack`
   * can take out what was added of the write. `alone`: nothing else may be in it.
   */
  open(memtableBytes: number, signal: AbortSignal | undefined, alone = false): PendingGroup {
    const last = this.#groups.at(-1);
    if (
      !alone &&
      signal === undefined &&
      last !== undefined &&
      !last.closed &&
      last.group.bytes < OPEN_GROUP_BYTES_MAX &&
      last.group.memtableBytes + memtableBytes <= this.#parts.groupBytesMax
    ) {
      last.group.mark();
      last.calls++;
      return last;
    }
    const pending = new PendingGroup(this.#spare ?? this.#parts.newGroup());
    this.#spare = undefined;
    pending.group.begin();
    pending.group.mark();
    pending.calls = 1;
    if (last !== undefined && !last.isGone) this.#bytesBefore += last.group.bytes;
    this.#groups.push(pending);
    this.#count++;
    if (alone) pending.closed = true;
    if (signal !== undefined) {
      // A group of its own, so that it can be taken out.
      pending.closed = true;
      pending.signal = signal;
      this.#aborts.add(signal, pending);
    }
    return pending;
  }

  /** Takes out what was added since `open`, and the group if no other call waits for it. */
  takeBack(pending: PendingGroup): void {
    pending.group.rollback();
    if (--pending.calls > 0) return;
    this.#unwatch(pending);
    this.#takeOut(pending);
  }

  /** Rejects all groups and returns whether there were any. */
  rejectAll(cause: Error): boolean {
    const groups = this.#groups.slice(this.#head).filter((pending) => !pending.isGone);
    this.#clear();
    const error = new AuraError("AURA_READ_ONLY", `not written: ${cause.message}`, { cause });
    for (const pending of groups) {
      pending.isGone = true;
      this.#unwatch(pending);
      pending.appended.reject(error);
    }
    return groups.length > 0;
  }

  #abort(pending: PendingGroup, signal: AbortSignal): void {
    pending.signal = undefined;
    this.#takeOut(pending);
    const cause: unknown = signal.reason;
    pending.appended.reject(new AuraError("AURA_ABORTED", "the write was aborted", { cause }));
  }

  #takeOut(pending: PendingGroup): void {
    this.#forget(pending);
    if (this.#count === 0) this.#clear();
    else if (this.#groups.length - this.#head > 2 * this.#count + GONE_MIN) this.#compact();
  }

  /** Takes a group out of the counts. */
  #forget(pending: PendingGroup): void {
    if (pending !== this.#groups.at(-1)) this.#bytesBefore -= pending.group.bytes;
    pending.isGone = true;
    pending.closed = true;
    this.#count--;
  }

  #unwatch(pending: PendingGroup): void {
    if (pending.signal === undefined) return;
    this.#aborts.remove(pending.signal, pending);
    pending.signal = undefined;
  }

  #clear(): void {
    this.#groups = [];
    this.#head = 0;
    this.#count = 0;
    this.#bytesBefore = 0;
  }

  /** Lets go of the places of groups that are gone, but for the last one's. */
  #compact(): void {
    const last = this.#groups.length - 1;
    this.#groups = this.#groups.filter(
      (pending, i) => i >= this.#head && (!pending.isGone || i === last),
    );
    this.#head = 0;
  }
}
