/**
 * The engine's job queue: worker threads where they can be loaded, this thread in slices where they
 * cannot (a bundler that left the worker entry behind). A job that no worker ever began is given to
 * the inline executor; an event says so once.
 */
import type { Executor, FileSystem, Job, JobQueue, Lane, Runtime } from "@aura/base";
import { inlineExecutor, isUnstarted, threadExecutor } from "@aura/base";
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

/** A queue that moves to the inline executor when workers cannot be loaded. */
export class JobLanes implements JobQueue {
  readonly #queue: JobQueue;
  readonly #openInline: () => JobQueue;
  readonly #onUnavailable: (error: Error) => void;
  #inline: JobQueue | undefined;
  #closing = false;

  constructor(
    executor: Executor,
    openInline: () => JobQueue,
    onUnavailable: (error: Error) => void,
  ) {
    this.#queue = executor.open();
    this.#openInline = openInline;
    this.#onUnavailable = onUnavailable;
  }

  get outstanding(): number {
    return this.#queue.outstanding + (this.#inline?.outstanding ?? 0);
  }

  isServed(lane: Lane): boolean {
    return (this.#inline ?? this.#queue).isServed(lane);
  }

  submit(
    lane: Lane,
    name: string,
    input: unknown,
    onDone: (output: never) => void,
    onError: (error: Error) => void,
  ): Job {
    if (this.#inline !== undefined) return this.#inline.submit(lane, name, input, onDone, onError);
    let job: Job;
    let cancelled = false;
    job = this.#queue.submit(lane, name, input, onDone, (error) => {
      const { unloadable } = error as { readonly unloadable?: unknown };
      if (!isUnstarted(error) || unloadable !== true || cancelled || this.#closing) {
        onError(error);
        return;
      }
      if (this.#inline === undefined) {
        this.#inline = this.#openInline();
        this.#onUnavailable(error);
      }
      job = this.#inline.submit(lane, name, input, onDone, onError);
    });
    return {
      cancel: () => {
        cancelled = true;
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
}
