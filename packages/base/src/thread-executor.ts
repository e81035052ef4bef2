/**
 * Runs jobs on threads: one raw `Worker` per lane, shared by all databases of the process.
 *
 * Everything makes progress while the owner's thread never turns its event loop: jobs and results
 * travel by message ports that both sides read synchronously, and wake-ups are words of shared
 * memory. A lane's worker starts at its first job. Workers keep the process alive only while they
 * have jobs.
 *
 * A worker that ends fails its jobs with `WorkerLostError`; the next job starts another. While the
 * owner's thread turns its event loop every end is seen. While it is blocked or never turns:
 * - an end through `process.exit` or an uncaught error inside the worker is seen by `poll` and
 *   `waitSync` (the worker's exit handler says so);
 * - an end that runs no handler (`terminate`, the worker's heap limit) is seen by `waitSync` on
 *   Linux, which asks the kernel for the thread; elsewhere it waits for a turn;
 * - a worker that never comes to serve (no such file, a throwing import) is given up by `waitSync`
 *   after `startTimeoutMs`;
 * - a program that only ever calls `poll` sees neither of the last two;
 * - a worker that hangs inside a job is not seen by anything: `waitSync` keeps returning false.
 */
import { existsSync } from "node:fs";
import {
  MessageChannel,
  type MessagePort,
  receiveMessageOnPort,
  Worker,
  type WorkerOptions,
} from "node:worker_threads";
import { AuraError } from "./errors.ts";
import type { Executor, Job, JobQueue, Lane } from "./executor.ts";
import { Completions, cancelledError } from "./job-run.ts";
import { systemRuntime } from "./runtime.ts";
import {
  CONTROL_WORDS,
  ControlWord,
  decodeError,
  type JobMessage,
  type ResultMessage,
  SIGNAL_WORDS,
  SignalWord,
  SLOTS,
  SlotState,
  ThreadState,
  WorkerLostError,
} from "./thread-protocol.ts";
import type { ThreadStart } from "./thread-worker.ts";

/** Settings of `threadExecutor`. */
export interface ThreadExecutorOptions {
  /** The worker's entry: a module that ends with a call of `serveJobs`. */
  readonly workerUrl: URL;
  /**
   * How long a worker may take to come up while `waitSync` blocks the event loop that would report
   * its failure, milliseconds. Default 10,000. The first executor of a `workerUrl` sets it.
   */
  readonly startTimeoutMs?: number;
}

const START_TIMEOUT_MS = 10_000;
/** Bytes of young objects that a thread keeps before it collects them, MiB. */
const YOUNG_MIB = 4;
/** How often `waitSync` asks whether the threads live, milliseconds. */
const LIVENESS_MS = 100;
/** Changes with anything that two copies of this package in one process have to agree on. */
const POOL_KEY = "@aura/base threads 1";

/** Returns the executor over the process-wide threads of a worker entry. Starts nothing yet. */
export function threadExecutor(options: ThreadExecutorOptions): Executor {
  const pools = globalThis as unknown as Record<symbol, ThreadPool | undefined>;
  const key = Symbol.for(`${POOL_KEY} ${options.workerUrl.href}`);
  pools[key] ??= new ThreadPool(options.workerUrl, options.startTimeoutMs ?? START_TIMEOUT_MS);
  const pool = pools[key];
  return { kind: "threads", open: () => new ThreadQueue(pool) };
}

/** A job that was given to a thread. */
interface ThreadJob {
  readonly lane: Lane;
  readonly name: string;
  readonly ordinal: number;
  readonly slots: Int32Array;
  readonly queue: ThreadQueue;
  readonly onDone: (output: never) => void;
  readonly onError: (error: Error) => void;
}

/** All threads of one worker entry. */
class ThreadPool {
  readonly workerUrl: URL;
  readonly startTimeoutMs: number;
  readonly signal = new Int32Array(
    new SharedArrayBuffer(SIGNAL_WORDS * Int32Array.BYTES_PER_ELEMENT),
  );
  readonly #threads = new Map<Lane, Thread>();
  readonly #results: { readonly end: number; readonly run: () => void }[] = [];
  #seen = 0;

  constructor(workerUrl: URL, startTimeoutMs: number) {
    this.workerUrl = workerUrl;
    this.startTimeoutMs = startTimeoutMs;
  }

  /** Returns whether anything happened since the last `collect`. */
  get hasNews(): boolean {
    return Atomics.load(this.signal, SignalWord.done) !== this.#seen;
  }

  /** Whether a lane has a thread that takes jobs. */
  isServed(lane: Lane): boolean {
    return this.#threads.get(lane)?.isServing === true;
  }

  /** Returns the thread of a lane, started if need be. */
  thread(lane: Lane): Thread {
    let thread = this.#threads.get(lane);
    if (thread === undefined) {
      thread = new Thread(this, lane);
      this.#threads.set(lane, thread);
    }
    return thread;
  }

  /** Forgets a thread that is gone. */
  remove(thread: Thread): void {
    if (this.#threads.get(thread.lane) === thread) this.#threads.delete(thread.lane);
  }

  /** Reads all results that have arrived into their queues. Runs no completion. */
  collect(): void {
    // Before the ports are read: a result that arrives meanwhile raises the word once more.
    this.#seen = Atomics.load(this.signal, SignalWord.done);
    for (const thread of [...this.#threads.values()]) thread.collect();
    this.settle();
  }

  /** Keeps a result until `settle`. */
  arrived(end: number, run: () => void): void {
    this.#results.push({ end, run });
  }

  /** Hands kept results to their queues in the order in which the jobs ended. */
  settle(): void {
    const results = this.#results.splice(0);
    results.sort((a, b) => a.end - b.end);
    for (const { run } of results) run();
  }

  /** Blocks until there is news, at most `ms`. Gives up threads that are dead or do not come up. */
  wait(ms: number): void {
    let limitMs = Math.min(ms, LIVENESS_MS);
    for (const thread of [...this.#threads.values()]) {
      limitMs = Math.min(limitMs, thread.startLeftMs());
    }
    if (limitMs > 0) Atomics.wait(this.signal, SignalWord.done, this.#seen, limitMs);
    if (this.hasNews) return;
    for (const thread of [...this.#threads.values()]) {
      thread.giveUpStart();
      thread.giveUpDead();
    }
  }
}

/**
 * A worker takes over the options of the process, those of V8 with them, but may not be given these by name.
 * A program given as text ("node -e") may say how to read it, which no worker loads with: it is a file, and
 * goes without any.
 */
function workerOptions(): Pick<WorkerOptions, "execArgv" | "env"> {
  const { execArgv, env } = process;
  const options = env["NODE_OPTIONS"] ?? "";
  return {
    ...(execArgv.some((option) => option.startsWith("--input-type")) && { execArgv: [] }),
    ...(options.includes("--input-type") && { env: { ...env, NODE_OPTIONS: "" } }),
  };
}

/** One worker and the jobs that it was given. */
class Thread {
  readonly lane: Lane;
  readonly #pool: ThreadPool;
  readonly #control = new Int32Array(
    new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT),
  );
  readonly #slots = new Int32Array(new SharedArrayBuffer(SLOTS * Int32Array.BYTES_PER_ELEMENT));
  readonly #startedMs: number = systemRuntime.clock.monotonicMs();
  /** By ordinal, in the order of submission. */
  readonly #jobs = new Map<number, ThreadJob>();
  readonly #port: MessagePort;
  #worker: Worker | undefined;
  #submitted = 0;
  #failure: unknown;
  #isGone = false;

  constructor(pool: ThreadPool, lane: Lane) {
    this.lane = lane;
    this.#pool = pool;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const start: ThreadStart = {
      auraThread: 1,
      lane,
      port: port2,
      signal: pool.signal,
      control: this.#control,
      slots: this.#slots,
    };
    port1.on("message", (result: ResultMessage) => {
      this.#take(result);
      pool.collect();
    });
    port1.on("messageerror", (error: unknown) => {
      // A result was lost: what the worker did is not known any more.
      this.#failure = error;
      this.#terminate();
    });
    try {
      const worker = new Worker(pool.workerUrl, {
        name: `aura-${lane}`,
        // Jobs make little garbage: measured, 16 MiB less resident for each thread, and no slower.
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MIB },
        workerData: start,
        transferList: [port2],
        ...workerOptions(),
      });
      worker.on("error", (error) => {
        this.#failure = error;
      });
      worker.on("exit", (code) => this.#lose(this.#failure ?? new Error(`exit code ${code}`)));
      this.#worker = worker;
    } catch (error) {
      // Reported like every other failure, not out of `submit`.
      this.#failure = error;
      systemRuntime.scheduler.nextTurn(() => this.#lose(error));
    }
    this.#holdProcess();
  }

  get isServing(): boolean {
    return Atomics.load(this.#control, ControlWord.state) === ThreadState.serving;
  }

  /** Sends a job. Throws when the input cannot be cloned, or AURA_BUSY. */
  submit(
    queue: ThreadQueue,
    name: string,
    input: unknown,
    onDone: (output: never) => void,
    onError: (error: Error) => void,
  ): ThreadJob {
    if (this.#jobs.size >= SLOTS) {
      throw new AuraError("AURA_BUSY", `${SLOTS} background jobs wait in lane "${this.lane}"`);
    }
    const ordinal = this.#submitted;
    const slots = this.#slots;
    Atomics.store(slots, ordinal % SLOTS, SlotState.waiting);
    const message: JobMessage = { ordinal, name, input };
    this.#port.postMessage(message);
    this.#submitted++;
    Atomics.add(this.#control, ControlWord.wake, 1);
    Atomics.notify(this.#control, ControlWord.wake);
    const { lane } = this;
    const job: ThreadJob = { lane, name, ordinal, slots, queue, onDone, onError };
    this.#jobs.set(ordinal, job);
    if (this.#jobs.size === 1) this.#holdProcess();
    return job;
  }

  /** Reads the results that arrived, and sees whether the worker said that it ended. */
  collect(): void {
    if (this.#isGone) return;
    const isEnded = Atomics.load(this.#control, ControlWord.state) === ThreadState.ended;
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) break;
      this.#take(received.message as ResultMessage);
    }
    if (isEnded) this.#lose(this.#failure ?? new Error("the worker ended itself"));
  }

  /** Milliseconds until a worker that does not come up is given up; endless once it serves. */
  startLeftMs(): number {
    if (Atomics.load(this.#control, ControlWord.state) !== ThreadState.starting) {
      return Number.POSITIVE_INFINITY;
    }
    if (this.#worker === undefined) return 0;
    const elapsedMs = systemRuntime.clock.monotonicMs() - this.#startedMs;
    return Math.max(0, this.#pool.startTimeoutMs - elapsedMs);
  }

  /** Gives the worker up if its time to come up is over. */
  giveUpStart(): void {
    if (this.startLeftMs() > 0) return;
    const { starting, givenUp } = ThreadState;
    const state = Atomics.compareExchange(this.#control, ControlWord.state, starting, givenUp);
    if (state !== starting) return;
    this.#terminate();
    const slow = `did not come up within ${this.#pool.startTimeoutMs} ms`;
    this.#lose(this.#failure ?? new AuraError("AURA_WORKER", slow));
  }

  /** Gives the worker up if the kernel does not know its thread any more. */
  giveUpDead(): void {
    const taskId = Atomics.load(this.#control, ControlWord.taskId);
    if (taskId > 0 && !existsSync(`/proc/self/task/${taskId}`)) {
      this.#lose(this.#failure ?? new Error("the thread is gone"));
    }
  }

  #take(result: ResultMessage): void {
    const job = this.#jobs.get(result.ordinal);
    if (job === undefined) return;
    this.#jobs.delete(result.ordinal);
    if (this.#jobs.size === 0) this.#holdProcess();
    this.#pool.arrived(result.end, () => {
      if (result.error === undefined)
        job.queue.finish(job, () => job.onDone(result.output as never));
      else job.queue.fail(job, decodeError(result.error));
    });
  }

  /** Stops the worker; its jobs are lost once it is gone. */
  #terminate(): void {
    this.#worker?.terminate().catch(() => undefined);
  }

  /** Fails the jobs of a worker that is gone, after the results that it left. */
  #lose(cause: unknown): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#pool.remove(this);
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) break;
      this.#take(received.message as ResultMessage);
    }
    this.#pool.settle();
    this.#port.close();
    const state = Atomics.load(this.#control, ControlWord.state);
    const { starting, givenUp } = ThreadState;
    const { waiting } = SlotState;
    const unloadable = state === starting || state === givenUp;
    const why = cause instanceof Error ? cause.message : String(cause);
    for (const job of this.#jobs.values()) {
      const unstarted = Atomics.load(this.#slots, job.ordinal % SLOTS) === waiting;
      const what = unstarted ? "before" : "during";
      const message = `the worker of lane "${this.lane}" was lost ${what} the job "${job.name}": ${why}`;
      job.queue.fail(job, new WorkerLostError(message, unstarted, unloadable, cause));
    }
    this.#jobs.clear();
  }

  /** Keeps the process alive while there are jobs, and only then. */
  #holdProcess(): void {
    if (this.#jobs.size > 0) {
      this.#port.ref();
      this.#worker?.ref();
    } else {
      this.#port.unref();
      this.#worker?.unref();
    }
  }
}

class ThreadQueue implements JobQueue {
  readonly #pool: ThreadPool;
  readonly #completions = new Completions(() => this.#deliverLater());
  readonly #jobs = new Set<ThreadJob>();
  #deliveryComes = false;

  constructor(pool: ThreadPool) {
    this.#pool = pool;
  }

  get outstanding(): number {
    return this.#completions.outstanding;
  }

  isServed(lane: Lane): boolean {
    return this.#pool.isServed(lane);
  }

  submit(
    lane: Lane,
    name: string,
    input: unknown,
    onDone: (output: never) => void,
    onError: (error: Error) => void,
  ): Job {
    this.#completions.assertOpen();
    // What was lost unseen must not be given a job.
    if (this.#pool.hasNews) this.#pool.collect();
    const job = this.#pool.thread(lane).submit(this, name, input, onDone, onError);
    this.#completions.begin();
    this.#jobs.add(job);
    return { cancel: () => this.#cancel(job) };
  }

  poll(): void {
    if (this.#pool.hasNews) this.#pool.collect();
    if (this.#completions.hasReady) this.#completions.deliver();
  }

  waitSync(ms: number): boolean {
    const endMs = systemRuntime.clock.monotonicMs() + ms;
    for (;;) {
      if (this.#pool.hasNews) this.#pool.collect();
      if (this.#completions.deliver()) return true;
      const leftMs = endMs - systemRuntime.clock.monotonicMs();
      if (leftMs <= 0 || this.outstanding === 0) return false;
      this.#pool.wait(leftMs);
    }
  }

  close(): Promise<void> {
    const closed = this.#completions.close();
    for (const job of [...this.#jobs]) this.#cancel(job);
    return closed;
  }

  /**
   * Takes the completion of a job; it runs when this queue is polled, or else in a later turn. What
   * comes after the first (the thread passed over a dropped job, or was lost) is of no interest.
   */
  finish(job: ThreadJob, run: () => void): void {
    if (!this.#jobs.delete(job)) return;
    this.#completions.finish(run);
    this.#deliverLater();
  }

  fail(job: ThreadJob, error: Error): void {
    this.finish(job, () => job.onError(error));
  }

  #cancel(job: ThreadJob): void {
    if (!this.#jobs.has(job)) return;
    const { waiting, dropped, running, stopping } = SlotState;
    const slot = job.ordinal % SLOTS;
    if (Atomics.compareExchange(job.slots, slot, waiting, dropped) === waiting) {
      this.fail(job, cancelledError(job.name));
    } else {
      Atomics.compareExchange(job.slots, slot, running, stopping);
    }
  }

  #deliverLater(): void {
    if (this.#deliveryComes) return;
    this.#deliveryComes = true;
    systemRuntime.scheduler.nextTurn(() => {
      this.#deliveryComes = false;
      this.#completions.deliver();
    });
  }
}
