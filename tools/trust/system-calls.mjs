/**
 * The system calls of a process that change files of a directory, as strace tells of them.
 */
import { execFileSync } from "node:child_process";

/** All that may change a file or a name. Closes, and opens of what exists, change nothing. */
export const CALLS = [
  ...["write", "pwrite64", "writev", "pwritev", "pwritev2", "fdatasync", "fsync", "ftruncate"],
  ...["fallocate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "link"],
  ...["linkat", "mkdir", "mkdirat", "openat", "open"],
];

/** Returns why nothing can be traced here, or undefined. */
export function whyNoStrace() {
  try {
    execFileSync("strace", ["-f", "-o", "/dev/null", "true"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return `no strace here that may trace: ${String(error.stderr || error.message).trim()}`;
  }
}

/** A call of a line of a trace on a file of the directory; undefined when it is none. */
export function callIn(line, directory) {
  const [, thread, call, rest] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
  if (call === undefined) return undefined;
  const at = rest.indexOf(directory);
  // A write may hold any text: what it writes to stands first.
  const path = at < 0 ? undefined : /^[^>",]*/.exec(rest.slice(at))[0];
  if (path === undefined || (/write/.test(call) && rest.indexOf("<") + 1 !== at)) return undefined;
  const isChange = !call.startsWith("open") || rest.includes("O_CREAT");
  return { thread, call, file: path.slice(directory.length + 1), isChange };
}

/**
 * The calls of a trace that change something in the directory, each with its number among those of
 * its kind and file (`nth`), and among those of its thread (`nthOfThread`), by which strace counts,
 * whether an open creates or not.
 */
export function changesIn(trace, directory) {
  const counts = new Map();
  const next = (name) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return counts.get(name);
  };
  const changes = [];
  for (const line of trace.split("\n")) {
    const found = callIn(line, directory);
    if (found === undefined) continue;
    const { thread, call, file, isChange } = found;
    const nthOfThread = next(`${thread} ${call} ${file}`);
    const nth = next(`${call} ${file}`);
    if (isChange) changes.push({ call, file, nth, nthOfThread, thread });
  }
  return changes;
}

/** How a call is called in what is printed. */
export function nameOf({ call, file, nth }) {
  return `${call} ${nth} of ${file === "" ? "the directory" : file}`;
}
