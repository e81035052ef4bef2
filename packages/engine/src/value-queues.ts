/**
 * Value queues: the separated values of a large group go to several logs at once, each written by the
 * thread pool on its own (docs/rfcs/0006-commit-path.md).
 *
 * The values come first: only when all of them are with the operating system does the group's frame
 * go, with pointers to them, to the one ordered stream. So a frame that is there has its values; what
 * a failure or a crash leaves of values without a frame is garbage in a log that recovery reads by its
 * pointers alone. A sync covers the logs of values like any other with operations that none has
 * covered. When one queue fails, its log is given up and the group was never written: its sequence
 * numbers may be given again.
 */
import { hasCode, ioError } from "@aura/base";
import { putRecordChecksum } from "@aura/vlog";
import { FRAME_HEADER_BYTES } from "@aura/wal";
import type { Group } from "./group.ts";
import type { LogFile } from "./log-file.ts";
import type { GroupPlace, PoolAppend } from "./pool-append.ts";

/** Groups with at least so many bytes of separated values are spread over the queues. */
const QUEUED_BYTES_MIN = 1024 * 1024;

/** What queues need of the journal. */
export interface ValueQueuesPlace {
  /** `valueLog.writeQueues`; 1: values stand in the frame of their group. */
  readonly count: number;
  readonly createLog: () => LogFile;
  /** A log that is full: nothing is appended any more. */
  readonly endLog: (log: LogFile) => void;
  readonly bytesMax: () => number;
  readonly giveUp: (log: LogFile) => void;
  readonly freeReserve: () => void;
  /** Appends the frame that names the values. */
  readonly appendSync: (group: Group) => GroupPlace;
}

/** Spreads groups over logs of values alone. */
export class ValueQueues {
  readonly #place: ValueQueuesPlace;
  readonly #logs: (LogFile | undefined)[];

  constructor(place: ValueQueuesPlace) {
    this.#place = place;
    this.#logs = new Array<undefined>(place.count).fill(undefined);
  }

  /** Whether a group gains by several queues. */
  takes(group: Group): boolean {
    if (this.#place.count === 1 || group.attached.length < 4) return false;
    return group.attachedBytes >= QUEUED_BYTES_MIN;
  }

  /**
   * Begins to write the values of a numbered group, and makes its operations point to them. Returns
   * undefined, with nothing done, when fewer than two queues can take some.
   */
  begin(group: Group): PoolAppend | undefined {
    const logs: LogFile[] = [];
    for (let i = 0; i < this.#logs.length; i++) {
      const log = this.#ready(i);
      if (log !== undefined) logs.push(log);
    }
    if (logs.length < 2) return undefined;
    const { attached, attachedBytes } = group;
    const shares = logs.map((): Uint8Array[] => []);
    const offsets: number[] = [];
    const owners: LogFile[] = [];
    let before = 0;
    let share = 0;
    let offset = logs[0]!.writer.bytes + FRAME_HEADER_BYTES;
    for (let i = 0; i < attached.length; i += 2) {
      // Neighbours stay together; a share ends where it has its part of the bytes.
      if (before >= (attachedBytes * (share + 1)) / logs.length && shares[share]!.length > 0) {
        share++;
        offset = logs[share]!.writer.bytes + FRAME_HEADER_BYTES;
      }
      const head = attached[i]!;
      const stored = attached[i + 1]!;
      putRecordChecksum(head, 0, logs[share]!.writer.uid, offset);
      shares[share]!.push(head, stored);
      offsets.push(offset);
      owners.push(logs[share]!);
      offset += head.length + stored.length;
      before += head.length + stored.length;
    }
    const used = logs.slice(0, share + 1);
    group.sendAway(used, (record) => owners[record]!, offsets);
    return new SpreadAppend(this.#place, group, used, shares);
  }

  /** Ends the logs: the next group begins new ones. */
  end(): void {
    this.#logs.forEach((log, i) => {
      this.#logs[i] = undefined;
      if (log !== undefined) this.#place.endLog(log);
    });
  }

  /** Returns the log of a queue if it can be appended to. */
  #ready(queue: number): LogFile | undefined {
    const { bytesMax, endLog, giveUp, createLog } = this.#place;
    let log = this.#logs[queue];
    // The thread pool may still write again what was landed on this thread.
    if (log?.writer.inFlight === true) return undefined;
    if (log !== undefined && log.writer.failure !== undefined) {
      giveUp(log);
      log = undefined;
    } else if (log !== undefined && log.writer.bytes >= bytesMax()) {
      endLog(log);
      log = undefined;
    }
    try {
      log ??= createLog();
    } catch {
      // Without it the values stand in the group's frame; that log has its own failures.
    }
    this.#logs[queue] = log;
    return log;
  }
}

/** A group whose values are being written by several queues. */
class SpreadAppend implements PoolAppend {
  readonly written: Promise<unknown>;
  readonly #place: ValueQueuesPlace;
  readonly #group: Group;
  readonly #logs: readonly LogFile[];

  constructor(
    place: ValueQueuesPlace,
    group: Group,
    logs: readonly LogFile[],
    shares: readonly (readonly Uint8Array[])[],
  ) {
    this.#place = place;
    this.#group = group;
    this.#logs = logs;
    this.written = allWritten(logs.map((log, i) => log.writer.appendValues(shares[i]!)));
  }

  landSync(): void {
    for (const { writer } of this.#logs) {
      writer.rewriteInFlightSync();
      if (writer.failure !== undefined) throw writer.failure;
    }
  }

  finish(): GroupPlace {
    return this.#place.appendSync(this.#group);
  }

  fail(cause: unknown): Error {
    for (const log of this.#logs) {
      if (log.writer.failure === undefined) continue;
      this.#place.giveUp(log);
      try {
        log.writer.cutOffSync();
      } catch {
        // What is left behind its end takes space, and nothing more.
      }
    }
    if (hasCode(cause, "AURA_OUT_OF_SPACE")) this.#place.freeReserve();
    return cause instanceof Error ? cause : ioError(cause, this.#logs[0]!.writer.path, "append");
  }
}

/** Waits for all, then throws the first failure: nothing is left running behind an error. */
async function allWritten(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
