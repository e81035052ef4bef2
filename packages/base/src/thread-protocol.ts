/**
 * What the two sides of a job thread agree on: words of shared memory, messages, and how errors
 * cross. Both sides read messages with `receiveMessageOnPort`, so neither needs its event loop.
 *
 * Words that one side changes and the other waits for stand in SharedArrayBuffers: `signal` is one
 * for all threads of a pool, `control` and `slots` are a thread's own.
 */
import { AuraError, type AuraErrorCode } from "./errors.ts";

/** Words of `signal`. */
export const SignalWord = {
  /** Counts results that can be read, and threads that ended. The owner waits on it. */
  done: 0,
  /** Numbers the jobs in the order in which they ended. */
  ended: 1,
} as const;
export const SIGNAL_WORDS = 2;

/** Words of `control`. */
export const ControlWord = {
  /** Counts messages to the thread. The thread waits on it. */
  wake: 0,
  /** One of `ThreadState`. */
  state: 1,
  /** The kernel's number of the thread, once it serves; 0 where it has none to read (not Linux). */
  taskId: 2,
} as const;
export const CONTROL_WORDS = 3;

/** A thread goes from starting to serving to ended; the owner may give it up before it serves. */
export const ThreadState = { starting: 0, serving: 1, ended: 2, givenUp: 3 } as const;

/**
 * State of a job, in slot ordinal % SLOTS. The thread moves waiting -> running before it begins;
 * the owner moves waiting -> dropped and running -> stopping. Each move is one compare-exchange, so
 * a job that the owner saw as waiting (or dropped) when its thread ended has had no effect.
 */
export const SlotState = { waiting: 0, dropped: 1, running: 2, stopping: 3 } as const;

/** Jobs that one thread may have before it. */
export const SLOTS = 4096;

/** Owner to thread. */
export interface JobMessage {
  readonly ordinal: number;
  readonly name: string;
  readonly input: unknown;
}

/** Thread to owner. */
export interface ResultMessage {
  readonly ordinal: number;
  /** Place among all jobs of the pool in the order of their ends. */
  readonly end: number;
  readonly output?: unknown;
  readonly error?: ErrorMessage;
}

/** An error on its way to another thread. */
export interface ErrorMessage {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code: string | undefined;
  readonly file: string | undefined;
  readonly offset: number | undefined;
  readonly expected: string | number | undefined;
  readonly actual: string | number | undefined;
  readonly cause: ErrorMessage | undefined;
}

/** Deepest chain of causes that crosses. */
const CAUSES_MAX = 4;

/** Takes apart an error for another thread. */
export function encodeError(error: unknown, depth = 0): ErrorMessage {
  const found = error instanceof Error ? error : new Error(String(error));
  const { code, file, offset, expected, actual } = found as unknown as Record<string, unknown>;
  const hasCause = found.cause !== undefined && depth < CAUSES_MAX;
  return {
    name: found.name,
    message: found.message,
    stack: found.stack,
    code: typeof code === "string" ? code : undefined,
    file: typeof file === "string" ? file : undefined,
    offset: typeof offset === "number" ? offset : undefined,
    expected: asDetail(expected),
    actual: asDetail(actual),
    cause: hasCause ? encodeError(found.cause, depth + 1) : undefined,
  };
}

/** Rebuilds an error: an AuraError if it was one, else an Error with the same name and code. */
export function decodeError(message: ErrorMessage): Error {
  const { code, file, offset, expected, actual } = message;
  const cause = message.cause === undefined ? undefined : decodeError(message.cause);
  let error: Error;
  if (code?.startsWith("AURA_") === true) {
    error = new AuraError(code as AuraErrorCode, message.message, {
      cause,
      ...(file === undefined ? {} : { file }),
      ...(offset === undefined ? {} : { offset }),
      ...(expected === undefined ? {} : { expected }),
      ...(actual === undefined ? {} : { actual }),
    });
  } else {
    error = new Error(message.message, cause === undefined ? undefined : { cause });
    error.name = message.name;
    if (code !== undefined) Object.assign(error, { code });
  }
  if (message.stack !== undefined) error.stack = message.stack;
  return error;
}

function asDetail(value: unknown): string | number | undefined {
  return typeof value === "string" || typeof value === "number" ? value : undefined;
}

/** The error of a job whose thread is gone. Its code is AURA_WORKER. */
export class WorkerLostError extends AuraError {
  /** The job had no effect at all: it may be given to any executor again. */
  readonly unstarted: boolean;
  /** The worker never came to serve: it cannot be loaded, or not started, on this host. */
  readonly unloadable: boolean;

  constructor(message: string, unstarted: boolean, unloadable: boolean, cause: unknown) {
    super("AURA_WORKER", message, { cause });
    this.unstarted = unstarted;
    this.unloadable = unloadable;
  }
}

/** Returns whether `error` says that a job never began because its thread is gone. */
export function isUnstarted(error: unknown): boolean {
  const { code, unstarted } = (error ?? {}) as { code?: unknown; unstarted?: unknown };
  return code === "AURA_WORKER" && unstarted === true;
}
