/**
 * What the operating system counted for this process. From /proc, so on Linux only; elsewhere the numbers
 * are `undefined`, and their rows stay empty.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Counts of this process since it started, in bytes. */
export interface Counters {
  /** Given to write calls, those on pipes included. */
  readonly writtenBytes: number | undefined;
  /** Pages made dirty, as they go to the disk if nothing deletes them first. */
  readonly deviceBytes: number | undefined;
  /** Taken in by read calls. */
  readonly readBytes: number | undefined;
  /** Most resident memory since the last `resetPeak`. */
  readonly peakRssBytes: number | undefined;
}

export function readCounters(): Counters {
  const io = readFields("/proc/self/io");
  const status = readFields("/proc/self/status");
  const peakKib = status.get("VmHWM");
  return {
    writtenBytes: io.get("wchar"),
    deviceBytes: io.get("write_bytes"),
    readBytes: io.get("rchar"),
    peakRssBytes: peakKib === undefined ? undefined : peakKib * 1024,
  };
}

/**
 * Returns the ms that the calling thread, which has to be the main one, has run so far; where the system
 * does not tell, the time of a clock, which is as much for a thread that waits for nothing.
 */
export function mainThreadMs(): number {
  try {
    const text = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "latin1");
    return Number.parseInt(text, 10) / 1e6;
  } catch {
    return performance.now();
  }
}

/** Lets the peak of resident memory begin anew. */
export function resetPeak(): void {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Not Linux, or not allowed: the peak then includes what was read before.
  }
}

/** Returns the bytes of all files below a folder, by their length; 0 when it is not there. */
export function folderBytes(folder: string): number {
  if (!existsSync(folder)) return 0;
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += folderBytes(path);
    else if (entry.isFile()) bytes += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return bytes;
}

/** The lines `name: number ...` of a file; nothing when it cannot be read. */
function readFields(file: string): Map<string, number> {
  let text = "";
  try {
    text = readFileSync(file, "latin1");
  } catch {
    return new Map();
  }
  const fields = [...text.matchAll(/^(\w+):\s+(\d+)/gm)];
  return new Map(fields.map(([, name, value]) => [name!, Number(value)]));
}
