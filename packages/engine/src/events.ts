/** Events of a database: what happened in the background. Listeners run on the owner's thread. */
import { EventEmitter } from "node:events";
import type { Scheduler } from "@aura/base";
import type { TreeShape } from "@aura/compaction-rl";
import type { DecisionRecord } from "./steering.ts";
import type { SegmentsDraining } from "./value-gc.ts";

/** A failure of background work. */
export interface BackgroundErrorEvent {
  /**
   * `soft`: work pauses and is tried again; writes go on. `hard`: writes are refused until the
   * database resumes or is opened again. `corruption`: a file is damaged, or of a later build (`error.code`;
   * `error.file`, `error.offset`); background work leaves it alone from now on, what else there is is served.
   */
  readonly severity: "soft" | "hard" | "corruption";
  readonly activity:
    | "flush"
    | "compaction"
    | "manifest"
    | "sync"
    | "removal"
    | "log"
    | "steering"
    | "worker";
  readonly error: Error;
}

/** A time in which writes are slowed down (`delay`), or one of them waits for room (`stop`). */
export interface StallEvent {
  readonly kind: "delay" | "stop";
  readonly phase: "start" | "end";
  /** The debt that was the largest at the start (write-debt.ts). */
  readonly cause: "memtables" | "level-0" | "compaction" | "low-priority" | "values";
  /** As `cause`. */
  readonly reason: StallEvent["cause"];
  /** Times of the monotonic clock, ms. */
  readonly startMs: number;
  readonly endMs: number | undefined;
}

/** Names of events and what they carry. */
export interface DatabaseEvents {
  /** A flush or a compaction has begun; `flush`, `compaction` or `backgroundError` tells its end. */
  flushStarted: [];
  compactionStarted: [{ readonly reason: string }];
  flush: [{ readonly tables: number; readonly entries: number; readonly bytesWritten: number }];
  compaction: [
    {
      readonly reason: string;
      readonly fromLevel: number;
      readonly toLevel: number;
      readonly tablesRead: number;
      readonly tablesWritten: number;
      readonly bytesRead: number;
      readonly bytesWritten: number;
      readonly bytesRelocated: number;
    },
  ];
  /** Another shape of the tree is in force; `mode` is `custom` when its levels were given. */
  compactionMode: [{ readonly mode: string; readonly shape: TreeShape }];
  /** A window of work ended, and the agent decided (`compaction.mode: "adaptive"`). */
  decision: [DecisionRecord];
  /** Segments were chosen to be emptied; `segmentRemoved` follows for each. */
  segmentsDraining: [SegmentsDraining];
  segmentRemoved: [{ readonly segment: number; readonly bytes: number }];
  /** The history was cut at open: groups that were never durable were torn or lost. */
  recoveryCut: [{ readonly reason: string; readonly lostSeqs: number }];
  /** Writes begin (`start`) or cease (`end`) to wait. */
  stall: [StallEvent];
  /** The worker entry could not be loaded: background work runs inline, in slices. */
  workersUnavailable: [{ readonly error: Error }];
  /** Cursors or scans that nobody closed: found when they were collected, or when the database closes. */
  cursorLeft: [{ readonly count: number }];
  /** A trace ended by itself: its file is full, or could not be written. */
  traceEnded: [
    {
      readonly file: string;
      readonly reason: "maxBytes" | "error";
      readonly error?: Error;
    },
  ];
  backgroundError: [BackgroundErrorEvent];
  /** Work that paused because the volume was full goes on. */
  backgroundResumed: [{ readonly activity: "flush" | "compaction" }];
  /** Writes are taken again after `failure` had made the database read-only. */
  resumed: [{ readonly failure: Error }];
}

/**
 * The emitter behind `db.events`. The engine announces; listeners run in a later turn of the event
 * loop, outside of any operation: they may call the database, and what they throw meets no caller.
 */
export class DatabaseEmitter extends EventEmitter<DatabaseEvents> {
  readonly #scheduler: Scheduler;

  constructor(scheduler: Scheduler) {
    super();
    this.#scheduler = scheduler;
  }

  /** @internal Emits in a later turn. */
  announce<K extends keyof DatabaseEvents>(name: K, ...event: DatabaseEvents[K]): void {
    if (this.listenerCount(name) === 0) return;
    this.#scheduler.nextTurn(() => {
      (this as EventEmitter).emit(name, ...event);
    });
  }
}
