/** Pool append: a group that the thread pool is writing. */
import type { Group } from "./group.ts";
import type { LogFile } from "./log-file.ts";

/** Where a group was written. */
export interface GroupPlace {
  readonly file: number;
  /** Offset of the attached part in the file. */
  readonly attachedOffset: number;
}

/** One group on its way. Ends with `finish` or `fail`. */
export interface PoolAppend {
  /** Settles when the thread pool is through; rejects when the group is not written. */
  readonly written: Promise<unknown>;
  /** Writes the bytes again on this thread, at their places. Throws when the group is not written. */
  landSync(): void;
  /** Appends what goes behind the bytes, if anything does: the group counts. Throws as `appendSync`. */
  finish(): GroupPlace;
  /** Gives the group up; returns the error to report. */
  fail(cause: unknown): Error;
}

/** What a frame on its way needs of the journal. */
export interface FrameAppendJournal {
  readonly finishAppend: (log: LogFile, group: Group) => void;
  readonly fail: (log: LogFile, group: Group, cause: unknown) => Error;
}

/** A group that is one frame of one log. */
export class FrameAppend implements PoolAppend {
  readonly written: Promise<unknown>;
  readonly #journal: FrameAppendJournal;
  readonly #log: LogFile;
  readonly #group: Group;
  readonly #place: GroupPlace;

  constructor(
    journal: FrameAppendJournal,
    log: LogFile,
    group: Group,
    { place, written }: { place: GroupPlace; written: Promise<unknown> },
  ) {
    this.#journal = journal;
    this.#log = log;
    this.#group = group;
    this.#place = place;
    this.written = written;
  }

  landSync(): void {
    const { writer } = this.#log;
    writer.rewriteInFlightSync();
    // The log may have failed meanwhile, by its own write or by another one: the group is not there.
    if (writer.lastStamp < this.#group.lastSeq) throw writer.failure!;
  }

  finish(): GroupPlace {
    this.#journal.finishAppend(this.#log, this.#group);
    return this.#place;
  }

  fail(cause: unknown): Error {
    return this.#journal.fail(this.#log, this.#group, cause);
  }
}
