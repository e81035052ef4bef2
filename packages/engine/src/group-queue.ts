/**
 * Group queue: groups of asynchronous writes that have not left, oldest first.
 *
 * A write goes into the last group while that is open and has room; one that can be aborted gets a
 * group of its own. A write that could not be added whole leaves nothing behind.
 */
import { AuraError } from "@aura/base";
import type { Group } from "./group.ts";
import { PendingGroup } from "./pending-group.ts";

/** An open group is closed at this size. */
const OPEN_GROUP_BYTES_MAX = 4 * 1024 * 1024;

/** What the queue works with. */
export interface GroupQueueParts {
  readonly newGroup: () => Group;
  /** Most bytes of a memtable that one group may take. */
  readonly groupBytesMax: number;
}

/** Holds groups until they leave. */
export class GroupQueue {
  readonly #parts: GroupQueueParts;
  #groups: PendingGroup[] = [];
  /** Bytes of all groups but the last, which grows. */
  #bytesBefore = 0;
  /** A group to use again. Never one that the thread pool may still be reading. */
  #spare: Group | undefined;

  constructor(parts: GroupQueueParts) {
    this.#parts = parts;
  }

  get length(): number {
    return this.#groups.length;
  }

  /** Whether the groups hold more bytes than a memtable, and than one open group may. */
  get isFull(): boolean {
    const bytes = this.#bytesBefore + (this.#groups.at(-1)?.group.bytes ?? 0);
    return bytes > OPEN_GROUP_BYTES_MAX && bytes > this.#parts.groupBytesMax;
  }

  /** The group that leaves next. */
  get first(): PendingGroup | undefined {
    return this.#groups[0];
  }

  /** Takes the first group out: it takes no more operations. */
  shift(): void {
    const first = this.#groups.shift()!;
    first.closed = true;
    if (this.#groups.length > 0) this.#bytesBefore -= first.group.bytes;
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
      return last;
    }
    const pending = new PendingGroup(this.#spare ?? this.#parts.newGroup());
    this.#spare = undefined;
    pending.group.begin();
    pending.group.mark();
    if (last !== undefined) this.#bytesBefore += last.group.bytes;
    this.#groups.push(pending);
    if (alone) pending.closed = true;
    if (signal !== undefined) {
      // A group of its own, so that it can be taken out.
      pending.closed = true;
      pending.watch(signal, () => this.#abort(pending, signal));
    }
    return pending;
  }

  /** Takes out what was added since `open`, and the group if nothing is left in it. */
  takeBack(pending: PendingGroup): void {
    pending.group.rollback();
    if (pending.group.count > 0) return;
    pending.unwatch();
    this.#takeOut(this.#groups.indexOf(pending));
  }

  /** Rejects all groups and returns whether there were any. */
  rejectAll(cause: Error): boolean {
    const groups = this.#groups;
    this.#groups = [];
    this.#bytesBefore = 0;
    const error = new AuraError("AURA_READ_ONLY", `not written: ${cause.message}`, { cause });
    for (const pending of groups) {
      pending.unwatch();
      pending.appended.reject(error);
    }
    return groups.length > 0;
  }

  #takeOut(at: number): void {
    this.#groups.splice(at, 1);
    this.#bytesBefore = 0;
    for (let i = 0; i + 1 < this.#groups.length; i++) {
      this.#bytesBefore += this.#groups[i]!.group.bytes;
    }
  }

  #abort(pending: PendingGroup, signal: AbortSignal): void {
    const at = this.#groups.indexOf(pending);
    if (at < 0) return;
    this.#takeOut(at);
    const cause: unknown = signal.reason;
    pending.appended.reject(new AuraError("AURA_ABORTED", "the write was aborted", { cause }));
  }
}
