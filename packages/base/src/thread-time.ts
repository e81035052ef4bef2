/**
 * How long a thread was at work: time on a processor, apart from the time in which it was ready to run
 * but others had the processors. A clock on the wall counts both, and whatever the thread waited for.
 *
 * Linux tells by thread in /proc/thread-self/schedstat; as exact as its ticks (1 to 10 ms) while the
 * thread runs, and exact when it has waited for something. Elsewhere `process.threadCpuUsage` does,
 * where Node has it, without the second figure. A reading of either takes 1 to 3 us.
 */
import { openSync, readSync } from "node:fs";

/** Times of one thread since it began, ms. */
export interface ThreadTime {
  /** On a processor. */
  readonly cpuMs: number;
  /** Ready to run, but others did; undefined: not known. */
  readonly readyMs: number | undefined;
}

interface ProcessorTimes {
  readonly threadCpuUsage?: () => { readonly user: number; readonly system: number };
}

/**
 * Returns what reads the times of the thread that calls it, to be called by that thread alone; undefined
 * where the platform does not tell. What it returns, and whether it returns anything, may end at any reading.
 */
export function threadTimes(
  path = "/proc/thread-self/schedstat",
  process: ProcessorTimes = globalThis.process as ProcessorTimes,
): (() => ThreadTime | undefined) | undefined {
  const scheduled = readerOf(path);
  if (scheduled?.() !== undefined) return scheduled;
  const { threadCpuUsage } = process;
  if (threadCpuUsage === undefined) return undefined;
  return () => {
    const { user, system } = threadCpuUsage.call(process);
    return { cpuMs: (user + system) / 1000, readyMs: undefined };
  };
}

/** A line of three numbers of at most 20 digits. */
const LINE_BYTES = 64;

function readerOf(path: string): (() => ThreadTime | undefined) | undefined {
  let file: number;
  try {
    // Stays open as long as the thread: it names the thread that opened it.
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  const line = Buffer.alloc(LINE_BYTES);
  return () => {
    try {
      return parsed(line.toString("latin1", 0, readSync(file, line, 0, LINE_BYTES, 0)));
    } catch {
      return undefined;
    }
  };
}

/** "<ns on a processor> <ns ready> <times scheduled>" */
function parsed(line: string): ThreadTime | undefined {
  const match = /^(\d+) (\d+) \d+\n?$/.exec(line);
  if (match === null) return undefined;
  return { cpuMs: Number(match[1]) / 1e6, readyMs: Number(match[2]) / 1e6 };
}
