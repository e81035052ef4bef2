/**
 * One job from start to end, slice by slice, and the completions of one queue: what both executors
 * have in common.
 */
import { AuraError } from "./errors.ts";
import type { JobBody, JobContext, JobTable } from "./executor.ts";

/** Returns the error of a job that was cancelled before its end. */
export function cancelledError(name: string): AuraError {
  return new AuraError("AURA_ABORTED", `the background job "${name}" was cancelled`);
}

/**
 * A running job. `step` runs one slice and never throws; once it returned true, either `error` or
 * `output` holds the result. A job that is cancelled is left at its next `yield`: its `finally`
 * blocks run, and its result is AURA_ABORTED.
 */
export class JobRun {
  output: unknown;
  error: Error | undefined;
  readonly #name: string;
  readonly #context: JobContext;
  readonly #start: () => Generator<void, unknown, void>;
  #generator: Generator<void, unknown, void> | undefined;
  #leaving = false;

  constructor(jobs: JobTable, name: string, input: unknown, context: JobContext) {
    this.#name = name;
    this.#context = context;
    this.#start = () => {
      if (!Object.hasOwn(jobs, name)) {
        throw new AuraError("AURA_INVALID_ARGUMENT", `there is no background job "${name}"`);
      }
      const body = jobs[name] as JobBody;
      return body(input as never, context);
    };
  }

  /** Runs one slice. Returns whether the job ended. */
  step(): boolean {
    try {
      if (this.#context.isCancelled() && !this.#leaving) return this.#leave();
      this.#generator ??= this.#start();
      const result = this.#generator.next();
      if (result.done !== true) return false;
      if (this.#leaving) this.error = cancelledError(this.#name);
      else this.output = result.value;
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
    }
    return true;
  }

  #leave(): boolean {
    this.#leaving = true;
    const result = this.#generator?.return(undefined);
    if (result !== undefined && result.done !== true) return false;
    this.error = cancelledError(this.#name);
    return true;
  }
}

/** What became of the jobs of one queue, kept until the owner asks or its next turn comes. */
export class Completions {
  #outstanding = 0;
  #ready: (() => void)[] = [];
  #closed: { readonly done: Promise<void>; readonly resolve: () => void } | undefined;
  readonly #deliverLater: () => void;

  /** `deliverLater` sees to it that `deliver` is called in a later turn. */
  constructor(deliverLater: () => void) {
    this.#deliverLater = deliverLater;
  }

  /** Jobs whose completion did not run yet. */
  get outstanding(): number {
    return this.#outstanding;
  }

  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  /** Throws AURA_CLOSED once the queue was closed. */
  assertOpen(): void {
    if (this.#closed !== undefined) throw new AuraError("AURA_CLOSED", "the job queue is closed");
  }

  /** Notes a new job. */
  begin(): void {
    this.#outstanding++;
  }

  /** Takes the completion of a job. */
  finish(run: () => void): void {
    this.#ready.push(run);
  }

  /**
   * Runs what is ready, in order. Returns whether anything ran. What a completion throws comes out
   * here; those behind it run in a later turn.
   */
  deliver(): boolean {
    let ran = false;
    for (let run = this.#ready.shift(); run !== undefined; run = this.#ready.shift()) {
      ran = true;
      this.#outstanding--;
      let returned = false;
      try {
        run();
        returned = true;
      } finally {
        if (this.#outstanding === 0) this.#closed?.resolve();
        if (!returned && this.#ready.length > 0) this.#deliverLater();
      }
    }
    return ran;
  }

  /** Refuses new jobs. Resolves when the last completion ran. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      let resolve = (): void => undefined;
      const done = new Promise<void>((settle) => {
        resolve = settle;
      });
      this.#closed = { done, resolve };
      if (this.#outstanding === 0) resolve();
    }
    return this.#closed.done;
  }
}
