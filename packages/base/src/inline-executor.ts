/**
 * Runs jobs on this thread, a slice at a time: for simulation and tests, and for hosts that cannot
 * load a worker. Input and output are cloned as a thread would clone them.
 *
 * Each lane that has work takes one slice per turn of its scheduler: with a seeded scheduler the
 * whole interleaving is a function of the seed.
 */
import type { Executor, Job, JobContext, JobQueue, JobTable, Lane } from "./executor.ts";
import type { FileSystem } from "./fs.ts";
import { Completions, cancelledError, JobRun } from "./job-run.ts";
import type { Clock, Scheduler } from "./runtime.ts";

/** Settings of `inlineExecutor`. */
export interface InlineExecutorOptions {
  readonly fs: FileSystem;
  readonly jobs: JobTable;
  readonly scheduler: Scheduler;
  /** With it, `sliceMs` and the limit of `waitSync` hold; without it, neither is looked at. */
  readonly clock?: Clock;
  /** Goes on with a job for this long before it gives the turn back. Default 0: one `yield`. */
  readonly sliceMs?: number;
}

interface InlineJob {
  readonly lane: Lane;
  readonly name: string;
  readonly run: JobRun;
  readonly queue: InlineQueue;
  readonly onDone: (output: never) => void;
  readonly onError: (error: Error) => void;
  isStarted: boolean;
  isCancelled: boolean;
}

const LANES: readonly Lane[] = ["flush", "sync", "merge", "assist"];

/** Returns an executor that runs jobs on this thread. */
export function inlineExecutor(options: InlineExecutorOptions): Executor {
  const lanes = new InlineLanes(options);
  return { kind: "inline", open: () => new InlineQueue(lanes) };
}

/** The jobs of all queues of one executor, by lane, in order. */
class InlineLanes {
  readonly options: InlineExecutorOptions;
  readonly #jobs = new Map<Lane, InlineJob[]>(LANES.map((lane) => [lane, []]));
  readonly #scheduled = new Set<Lane>();
  #next = 0;

  constructor(options: InlineExecutorOptions) {
    this.options = options;
  }

  add(job: InlineJob): void {
    this.#jobs.get(job.lane)!.push(job);
    this.#schedule(job.lane);
  }

  /** Takes out a job that never ran. */
  remove(job: InlineJob): void {
    const jobs = this.#jobs.get(job.lane)!;
    jobs.splice(jobs.indexOf(job), 1);
  }

  /** Runs one slice of the next lane that has work. Returns whether there was any. */
  runAny(): boolean {
    for (let i = 0; i < LANES.length; i++) {
      const lane = LANES[this.#next % LANES.length]!;
      this.#next++;
      const job = this.#runSlice(lane);
      if (job === undefined) continue;
      // Its owner may be another queue than the one that waits.
      job.queue.noticeLater();
      return true;
    }
    return false;
  }

  #schedule(lane: Lane): void {
    if (this.#scheduled.has(lane) || this.#jobs.get(lane)!.length === 0) return;
    this.#scheduled.add(lane);
    this.options.scheduler.nextTurn(() => {
      this.#scheduled.delete(lane);
      const job = this.#runSlice(lane);
      this.#schedule(lane);
      job?.queue.poll();
    });
  }

  /** Runs one slice of the first job of a lane, and returns the job. */
  #runSlice(lane: Lane): InlineJob | undefined {
    const { clock, sliceMs = 0 } = this.options;
    const jobs = this.#jobs.get(lane)!;
    const job = jobs[0];
    if (job === undefined) return undefined;
    const endMs = clock === undefined ? 0 : clock.monotonicMs() + sliceMs;
    job.isStarted = true;
    let ended = job.run.step();
    while (!ended && clock !== undefined && clock.monotonicMs() < endMs) ended = job.run.step();
    if (ended) {
      jobs.shift();
      job.queue.finish(job);
    }
    return job;
  }
}

class InlineQueue implements JobQueue {
  readonly #lanes: InlineLanes;
  readonly #completions = new Completions(() => this.noticeLater());
  readonly #jobs = new Set<InlineJob>();
  #noticeComes = false;

  constructor(lanes: InlineLanes) {
    this.#lanes = lanes;
  }

  get outstanding(): number {
    return this.#completions.outstanding;
  }

  isServed(): boolean {
    return true;
  }

  submit(
    lane: Lane,
    name: string,
    input: unknown,
    onDone: (output: never) => void,
    onError: (error: Error) => void,
  ): Job {
    this.#completions.assertOpen();
    const copy = structuredClone(input);
    this.#completions.begin();
    const { fs, jobs } = this.#lanes.options;
    const context: JobContext = { fs, isCancelled: () => job.isCancelled };
    const job: InlineJob = {
      lane,
      name,
      run: new JobRun(jobs, name, copy, context),
      queue: this,
      onDone,
      onError,
      isStarted: false,
      isCancelled: false,
    };
    this.#jobs.add(job);
    this.#lanes.add(job);
    return { cancel: () => this.#cancel(job) };
  }

  poll(): void {
    if (this.#completions.hasReady) this.#completions.deliver();
  }

  waitSync(ms: number): boolean {
    const { clock } = this.#lanes.options;
    const endMs = clock === undefined ? 0 : clock.monotonicMs() + ms;
    while (!this.#completions.deliver()) {
      if (this.outstanding === 0 || !this.#lanes.runAny()) return false;
      if (this.#completions.hasReady) continue;
      if (clock !== undefined && clock.monotonicMs() >= endMs) return false;
    }
    return true;
  }

  close(): Promise<void> {
    const closed = this.#completions.close();
    for (const job of [...this.#jobs]) this.#cancel(job);
    return closed;
  }

  /** Takes the result of a job that ended. */
  finish(job: InlineJob): void {
    if (!this.#jobs.delete(job)) return;
    let { error } = job.run;
    let output: unknown;
    try {
      if (error === undefined) output = structuredClone(job.run.output);
    } catch (failure) {
      error = failure as Error;
    }
    const failed = error;
    this.#completions.finish(
      failed === undefined ? () => job.onDone(output as never) : () => job.onError(failed),
    );
  }

  /** Runs completions in a later turn, unless the owner asks before. */
  noticeLater(): void {
    if (!this.#completions.hasReady || this.#noticeComes) return;
    this.#noticeComes = true;
    this.#lanes.options.scheduler.nextTurn(() => {
      this.#noticeComes = false;
      this.poll();
    });
  }

  #cancel(job: InlineJob): void {
    job.isCancelled = true;
    if (job.isStarted || !this.#jobs.delete(job)) return;
    this.#lanes.remove(job);
    const error = cancelledError(job.name);
    this.#completions.finish(() => job.onError(error));
    this.noticeLater();
  }
}
