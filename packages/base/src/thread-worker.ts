/**
 * The inside of a job thread: takes jobs in order and runs each one through, blocked in
 * `Atomics.wait` between them. Its event loop turns once behind each slice of a job, and not else:
 * memory that native modules hand out (LZ4 compresses into such) is given back in a turn alone, even
 * when it was collected long before.
 */
import { readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { type MessagePort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { assert } from "./errors.ts";
import type { JobContext, JobTable, Lane } from "./executor.ts";
import type { FileSystem } from "./fs.ts";
import { JobRun } from "./job-run.ts";
import {
  ControlWord,
  encodeError,
  type JobMessage,
  type ResultMessage,
  SignalWord,
  SLOTS,
  SlotState,
  ThreadState,
} from "./thread-protocol.ts";
import { threadTimes } from "./thread-time.ts";

/** What a worker is given when it starts, in its `workerData`. */
export interface ThreadStart {
  readonly auraThread: 1;
  readonly lane: Lane;
  readonly port: MessagePort;
  readonly signal: Int32Array;
  readonly control: Int32Array;
  readonly slots: Int32Array;
}

/**
 * How much merge work stands back behind everything else on the machine (nice value): a third of the
 * share of others. A thread cannot take it back, and at 10 a busy machine starves merges.
 */
const MERGE_NICE = 5;

/**
 * Serves jobs until the thread is ended. This is what a worker entry calls, last, when all that
 * the jobs need is loaded: the thread belongs to them from then on.
 */
export function serveJobs(jobs: JobTable, fs: FileSystem): void {
  const start = workerData as ThreadStart | undefined | null;
  assert(start?.auraThread === 1, "serveJobs runs in a worker that threadExecutor started");
  const { signal, control, lane } = start;
  process.on("exit", () => {
    Atomics.store(control, ControlWord.state, ThreadState.ended);
    raise(signal, SignalWord.done);
  });
  if (lane === "merge") standBack();
  Atomics.store(control, ControlWord.taskId, taskId());
  const { starting, serving } = ThreadState;
  const state = Atomics.compareExchange(control, ControlWord.state, starting, serving);
  if (state !== starting) return; // The owner gave up waiting for this thread.
  void serve(jobs, fs, start);
}

/** Takes jobs for ever. What it throws ends the thread, as an unhandled rejection does. */
async function serve(jobs: JobTable, fs: FileSystem, start: ThreadStart): Promise<void> {
  const { port, signal, control, slots } = start;
  const threadTime = threadTimes();
  for (;;) {
    const seen = Atomics.load(control, ControlWord.wake);
    for (;;) {
      const received = receiveMessageOnPort(port);
      if (received === undefined) break;
      const message = received.message as JobMessage;
      await runJob(jobs, fs, slots, message, threadTime, (result) => {
        post(port, { ...result, end: Atomics.add(signal, SignalWord.ended, 1) });
        raise(signal, SignalWord.done);
      });
    }
    Atomics.wait(control, ControlWord.wake, seen);
  }
}

function raise(words: Int32Array, word: number): void {
  Atomics.add(words, word, 1);
  Atomics.notify(words, word);
}

/** Resolves in the next turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

async function runJob(
  jobs: JobTable,
  fs: FileSystem,
  slots: Int32Array,
  message: JobMessage,
  threadTime: JobContext["threadTime"],
  report: (result: Omit<ResultMessage, "end">) => void,
): Promise<void> {
  const { ordinal, name, input } = message;
  const slot = ordinal % SLOTS;
  const { waiting, running, stopping } = SlotState;
  if (Atomics.compareExchange(slots, slot, waiting, running) !== waiting) {
    // Dropped: its owner knows, and waits only to use the slot again.
    report({ ordinal });
    return;
  }
  const run = new JobRun(jobs, name, input, {
    fs,
    isCancelled: () => Atomics.load(slots, slot) === stopping,
    pause,
    nowMs,
    ...(threadTime === undefined ? {} : { threadTime }),
  });
  while (!run.step()) await turn();
  if (run.error === undefined) report({ ordinal, output: run.output });
  else report({ ordinal, error: encodeError(run.error) });
  await turn();
}

const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

function pause(ms: number): void {
  Atomics.wait(never, 0, 0, ms);
}

function nowMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

function post(port: MessagePort, result: ResultMessage): void {
  try {
    port.postMessage(result);
  } catch (error) {
    // The output cannot be cloned.
    port.postMessage({ ordinal: result.ordinal, end: result.end, error: encodeError(error) });
  }
}

/** Returns the kernel's number of this thread, by which its owner can see whether it lives. */
function taskId(): number {
  if (process.platform !== "linux") return 0;
  try {
    // "<process>/task/<thread>"
    return Number.parseInt(readlinkSync("/proc/thread-self").split("/")[2] ?? "0", 10);
  } catch {
    return 0;
  }
}

/** Lowers the priority of this thread. Elsewhere than on Linux it would be the whole process. */
function standBack(): void {
  if (process.platform !== "linux") return;
  try {
    setPriority(0, Math.max(getPriority(0), MERGE_NICE));
  } catch {
    // A host that forbids it runs merges at full priority.
  }
}
