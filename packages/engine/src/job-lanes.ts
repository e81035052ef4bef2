/**
 * The engine's job queue: worker threads where they can be loaded, this thread in slices where they
 * cannot (a bundler that left the worker entry behind).
 *
 * A worker that ends while it loads is an event, and replaced: the jobs that it had go to the next one.
 * After three in a row, or at once when another try would meet the same (no such file), jobs go to the
 * inline executor, which an event says; and now and then one goes to a worker again, and if that comes
 * up, all do.
 */
import type { Executor, FileSystem, Job, JobQueue, Lane, Runtime } from "@aura/base";
import { inlineExecutor, isUnstarted, threadExecutor } from "@aura/base";
import type { DatabaseEmitter } from "./events.ts";
import { engineJobs } from "./jobs/job-table.ts";

/** Longest slice of background work on the owner's thread, ms. */
const INLINE_SLICE_MS = 2;

/** Returns the executor that runs jobs on the calling thread, in slices of at most 2 ms. */
export function inlineJobs(fs: FileSystem, runtime: Runtime): Executor {
  const { scheduler, clock } = runtime;
  return inlineExecutor({ fs, jobs: engineJobs, scheduler, clock, sliceMs: INLINE_SLICE_MS });
}

/** As `inlineJobs`, without looking at a clock: what runs when depends on the scheduler alone. */
export function simulatedJobs(fs: FileSystem, runtime: Runtime): Executor {
  return inlineExecutor({ fs, jobs: engineJobs, scheduler: runtime.scheduler });
}

/** Returns the executor over the process-wide worker threads. Starts none. */
export function threadJobs(workerUrl: URL): Executor {
  return threadExecutor({ workerUrl });
}

/** A lane whose workers end while they load is given so many of them, one after the other. */
const LOAD_TRIES = 3;
/** Jobs on this thread until a worker is tried again; twice as many each time, and so many times. */
const INLINE_JOBS = 16;
const RETURNS_MAX = 8;
/** Codes of errors that another try would meet again. */
const UNLOADABLE_CODES: readonly unknown[] = [
  "MODULE_NOT_FOUND",
  "ERR_MODULE_NOT_FOUND",
  "ERR_INVALID_URL_SCHEME",
  "ERR_WORKER_PATH",
  "ERR_WORKER_UNSUPPORTED_EXTENSION",
  "ERR_UNKNOWN_FILE_EXTENSION",
  "AURA_WORKER",
];

/** A queue that moves to the inline executor while workers cannot be loaded. */
export class JobLanes implements JobQueue {
  readonly #queue: JobQueue;
  readonly #openInline: () => JobQueue;
  readonly #events: Pick<DatabaseEmitter, "announce">;
  #inline: JobQueue | undefined;
  #isInline = false;
  /** Jobs that are to run inline before a worker is tried again, and how often it was. */
  #inlineLeft = 0;
  #returns = 0;
  #isReturning = false;
  /** Workers of a lane that ended while they loaded, in a row, and what ended the last one. */
  readonly #lost = new Map<Lane, { readonly count: number; readonly cause: unknown }>();
  #closing = false;

  constructor(
    executor: Executor,
    openInline: () => JobQueue,
    events: Pick<DatabaseEmitter, "announce">,
  ) {
    this.#queue = executor.open();
    this.#openInline = openInline;
    this.#events = events;
  }

  get outstanding(): number {
    return this.#queue.outstanding + (this.#inline?.outstanding ?? 0);
  }

  isServed(lane: Lane): boolean {
    return this.#isInline || this.#queue.isServed(lane);
  }

  submit(
    lane: Lane,
    name: string,
    input: unknown,
    onDone: (output: never) => void,
    onError: (error: Error) => void,
  ): Job {
    if (this.#staysInline()) return this.#inline!.submit(lane, name, input, onDone, onError);
    let job: Job;
    let isCancelled = false;
    const submit = (): Job =>
      this.#queue.submit(
        lane,
        name,
        input,
        (output: never) => {
          this.#served(lane);
          onDone(output);
        },
        (error) => {
          const { unloadable } = error as { readonly unloadable?: unknown };
          if (!isUnstarted(error) || unloadable !== true) this.#served(lane);
          else if (!isCancelled && !this.#closing) {
            const isLost = this.#noteLost(lane, error);
            job = isLost ? this.#inline!.submit(lane, name, input, onDone, onError) : submit();
            return;
          }
          onError(error);
        },
      );
    job = submit();
    return {
      cancel: () => {
        isCancelled = true;
        job.cancel();
      },
    };
  }

  poll(): void {
    if (this.#queue.outstanding > 0) this.#queue.poll();
    this.#inline?.poll();
  }

  waitSync(ms: number): boolean {
    if (this.#inline !== undefined && this.#inline.outstanding > 0)
      return this.#inline.waitSync(ms);
    return this.#queue.waitSync(ms);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#queue.close();
    await this.#inline?.close();
  }

  /** Counts a job; false when it is for a worker. */
  #staysInline(): boolean {
    if (!this.#isInline) return false;
    if (this.#isReturning || this.#returns >= RETURNS_MAX) return true;
    // What runs inline ends first: a lane is served in order.
    if (--this.#inlineLeft > 0 || this.#inline!.outstanding > 0) return true;
    this.#isReturning = true;
    return false;
  }

  /** A worker of the lane has come up. */
  #served(lane: Lane): void {
    if (this.#lost.size > 0) this.#lost.delete(lane);
    if (!this.#isReturning) return;
    this.#isReturning = false;
    this.#isInline = false;
    this.#returns = 0;
  }

  /** A worker ended while it loaded. Returns whether this thread takes over. */
  #noteLost(lane: Lane, error: Error): boolean {
    const { cause } = error;
    const before = this.#lost.get(lane);
    // All jobs that one worker had end with the same cause.
    const isSame = before !== undefined && before.cause === cause;
    const count = isSame ? before.count : (before?.count ?? 0) + 1;
    this.#lost.set(lane, { count, cause });
    if (this.#isInline && !this.#isReturning) return true;
    const code = (cause as { readonly code?: unknown } | undefined)?.code;
    const isFinal = UNLOADABLE_CODES.includes(code) || cause instanceof SyntaxError;
    if (!this.#isReturning && !isFinal && count < LOAD_TRIES) {
      const activity = "worker";
      if (!isSame) this.#events.announce("backgroundError", { severity: "soft", activity, error });
      return false;
    }
    this.#inline ??= this.#openInline();
    if (!this.#isInline) this.#events.announce("workersUnavailable", { error });
    else this.#returns++;
    this.#lost.clear();
    this.#isInline = true;
    this.#isReturning = false;
    this.#inlineLeft = INLINE_JOBS * 2 ** this.#returns;
    return true;
  }
}
