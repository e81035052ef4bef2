/**
 * Where background work runs. A job is a generator: each `yield` ends a slice. The threads
 * executor runs a job through; the inline executor runs it slice by slice on this thread, in the
 * order its scheduler gives (simulation, tests, and hosts that cannot load a worker).
 *
 * One executor serves many databases; each opens its own `JobQueue`. Completions of a queue run
 * only on the owner's thread: inside `poll()`, inside `waitSync()`, or in a later turn of the event
 * loop if neither was called. They run in the order in which jobs ended.
 */
import type { FileSystem } from "./fs.ts";
import type { ThreadTime } from "./thread-time.ts";

/**
 * A lane is served by one worker, in order. A lane's worker starts at its first job. That of `merge`
 * stands back behind everything else on the machine; `assist` takes merges that somebody waits for.
 */
export type Lane = "flush" | "merge" | "assist" | "sync";

/** What a job body may use. */
export interface JobContext {
  readonly fs: FileSystem;
  /** True once the owner cancelled the job or closed the queue: end soon, leaving only new files. */
  isCancelled(): boolean;
  /** Blocks the thread for about so long, ms; undefined where it is the owner's. */
  readonly pause?: (ms: number) => void;
  /** The monotonic clock that all threads of the process share, ms; beside `pause`. */
  readonly nowMs?: () => number;
  /** What the thread has spent so far; undefined where it is the owner's, or is not told. */
  readonly threadTime?: () => ThreadTime | undefined;
}

/** A job body. Input and output are structured-cloneable; SharedArrayBuffers pass by reference. */
export type JobBody = (input: never, context: JobContext) => Generator<void, unknown, void>;

/** Job bodies by name: the same table in the worker and inline. */
export type JobTable = Readonly<Record<string, JobBody>>;

/** A submitted job. */
export interface Job {
  cancel(): void;
}

/** One database's view of an executor. */
export interface JobQueue {
  /** Jobs submitted and not yet completed. */
  readonly outstanding: number;
  /** Whether a job of the lane would be taken up at once: without a thread to start first. */
  isServed(lane: Lane): boolean;
  /** Submits a job; exactly one of `onDone`, `onError` runs, once, on the owner's thread. */
  submit(
    lane: Lane,
    name: string,
    input: unknown,
    onDone: (output: never) => void,
    onError: (error: Error) => void,
  ): Job;
  /** Runs the completions that are ready. Cheap when there are none: one atomic load. */
  poll(): void;
  /** Blocks this thread until a completion ran or `ms` went by. Returns whether one ran. */
  waitSync(ms: number): boolean;
  /** Cancels what is outstanding and resolves when nothing of this queue runs any more. */
  close(): Promise<void>;
}

/** Runs jobs. */
export interface Executor {
  readonly kind: "inline" | "threads";
  open(): JobQueue;
}
