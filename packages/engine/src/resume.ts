/**
 * Resuming: how a database that a failure has made read-only takes writes again.
 *
 * It does so only when nothing that was acknowledged can be missing afterwards, whatever the failure
 * left on the disk. Everything acknowledged is in memory or in tables: so the manifest is written
 * anew, all memory is flushed to new tables, and an edit that is durable says that every sequence
 * number given so far is in tables. From then on no old log counts, neither what a failed sync lost
 * of it nor a group of unknown fate in it: that one is not written, for good. The edit says so by the
 * number of the first log that counts, since a power loss may undo the removal of the others.
 *
 * One thing memory does not have: separated values. If a log with values that are still referred to
 * could not be synced, nobody knows what the disk holds of them, and resuming is refused.
 *
 * A failure by a full volume is watched: when there is room again, this is tried by itself.
 */
import type { Scheduler } from "@aura/base";
import { AuraError, hasCode } from "@aura/base";
import type { Committer } from "./commit.ts";
import type { Compactor } from "./compaction.ts";
import type { DatabaseEmitter } from "./events.ts";
import type { Flusher } from "./flush.ts";
import type { Health } from "./health.ts";
import type { JobLanes } from "./job-lanes.ts";
import type { Journal } from "./journal.ts";
import type { LogCatalog } from "./log-catalog.ts";
import type { LogFile } from "./log-file.ts";
import type { Memtables } from "./memtables.ts";
import type { Reserve } from "./reserve.ts";
import type { Tree } from "./tree.ts";
import type { TurnKeeper } from "./turn-keeper.ts";

/** Pause between two looks at the free space, ms. */
const LOOK_MS = 1000;
/** Pause between two looks at background work, ms. */
const STEP_MS = 1;

/** What resuming works with. */
export interface ResumeParts {
  readonly health: Health;
  readonly events: DatabaseEmitter;
  readonly scheduler: Scheduler;
  readonly turns: TurnKeeper;
  readonly queue: Pick<JobLanes, "poll" | "outstanding">;
  readonly memtables: Memtables;
  readonly journal: Journal;
  readonly catalog: LogCatalog;
  readonly committer: Committer;
  readonly tree: Tree;
  readonly flusher: Flusher;
  readonly compactor: Compactor;
  readonly reserve: Reserve;
  /** Background jobs run on this thread. */
  readonly inline: boolean;
}

/** Leads a database back from read-only. */
export class Resumer {
  readonly #parts: ResumeParts;
  #running: Promise<void> | undefined;
  #watching = false;

  constructor(parts: ResumeParts) {
    this.#parts = parts;
  }

  /**
   * Takes writes again. Does nothing when they are taken. Throws AURA_CLOSED; AURA_READ_ONLY with the
   * reason as its cause (and the file): it is not safe, or a step failed; the state is as before.
   */
  resume(): Promise<void> {
    this.#running ??= this.#resume().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** After a failure: resumes by itself if all that is missing is space. */
  noteFailure(failure: Error): void {
    if (this.#watching || !isOutOfSpace(failure)) return;
    this.#watching = true;
    this.#parts.reserve.full = true;
    this.#look();
  }

  #look(): void {
    const { scheduler, health, reserve } = this.#parts;
    scheduler.after(LOOK_MS, () => {
      if (health.closed || health.failure === undefined) {
        this.#watching = false;
      } else if (!reserve.hasRoom()) this.#look();
      else {
        this.resume().then(
          () => {
            this.#watching = false;
          },
          () => this.#look(),
        );
      }
    });
  }

  async #resume(): Promise<void> {
    const { health, events, reserve, compactor, committer } = this.#parts;
    health.assertOpen();
    const { failure } = health;
    if (failure === undefined) return;
    this.#assertSafe(failure);
    if (!reserve.hasRoom()) throw refused("the volume is full", failure);
    health.beginResume();
    try {
      await this.#bringToTables();
    } catch (cause) {
      health.endResume(failure);
      throw refused("a step towards it failed", cause);
    }
    health.endResume(undefined);
    events.announce("resumed", { failure });
    compactor.start();
    committer.drain();
  }

  /** Makes every acknowledged operation durable in tables, under a new manifest. */
  async #bringToTables(): Promise<void> {
    const { journal, catalog, committer, tree, flusher, memtables, queue } = this.#parts;
    await this.#until(() => queue.outstanding === 0 && !committer.unsettled);
    journal.endFiles();
    tree.renew();
    const { failures } = flusher;
    committer.sealMemtable();
    flusher.startAgain();
    await this.#until(() => {
      if (flusher.failures > failures) throw new AuraError("AURA_IO", "a flush failed");
      return memtables.sealed.length === 0;
    });
    const { lastSeq } = committer;
    // What was buffered and could not be written is in tables now, and in no log.
    if (lastSeq > journal.appendedSeq) catalog.noteLost(lastSeq);
    journal.beginAnewSync(lastSeq);
    const { logFloor } = journal;
    const segmentSeals = flusher.sealsUpTo(lastSeq);
    tree.install({ flushedSeq: lastSeq, segmentSeals, logFloor });
    // One that was made for a number that was taken back holds nothing: a later flush leaves it behind.
    const isEmpty = ({ lastSeq, createdAtSeq }: LogFile): boolean => lastSeq === createdAtSeq;
    const isDone = (log: LogFile): boolean =>
      !log.syncFailed || (log.number < logFloor && isEmpty(log));
    await this.#until(() => tree.durable && journal.files.every(isDone));
    tree.forgetFailedSync();
  }

  #assertSafe(failure: Error): void {
    for (const log of this.#parts.journal.files) {
      if (log.kind !== "vlog" || !log.syncFailed || log.lastSeq === log.createdAtSeq) continue;
      const { path } = log.writer;
      throw refused(`a sync of ${path} failed, and values in it may be lost`, failure, path);
    }
  }

  /** Waits for background work. Throws what makes the database fail again, and when it is closed. */
  async #until(condition: () => boolean): Promise<void> {
    const { queue, health, inline, turns, scheduler } = this.#parts;
    for (;;) {
      queue.poll();
      health.assertOpen();
      if (health.failure !== undefined) throw health.failure;
      if (condition()) return;
      if (inline) await turns.turn();
      else await new Promise<void>((resolve) => void scheduler.after(STEP_MS, resolve, true));
    }
  }
}

function refused(why: string, cause: unknown, file?: string): AuraError {
  const message = `the database stays read-only: ${why}`;
  return new AuraError("AURA_READ_ONLY", message, {
    cause,
    ...(file === undefined ? {} : { file }),
  });
}

function isOutOfSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (hasCode(at, "AURA_OUT_OF_SPACE")) return true;
  }
  return false;
}
