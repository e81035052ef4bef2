/**
 * One process of the history, watched from outside: what it said, how it ended. The bounds of what a
 * crash may leave are kept here, never in the database's directory.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const WRITER = fileURLToPath(new URL("writer.mjs", import.meta.url));
/** Another one, which goes on behind errors. */
export const FAULTY_WRITER = fileURLToPath(new URL("faulty-writer.mjs", import.meta.url));
const CHECKER = fileURLToPath(new URL("checker.mjs", import.meta.url));
/** A process that says nothing for so long hangs. */
const SILENCE_MS = 120_000;

/** What is known of a history from outside: acknowledged at each level, handed over, its epochs. */
export class Knowledge {
  epochs = [{ from: 0, epoch: 0 }];
  os = 0;
  sync = 0;
  intent = 0;
  nextEpoch = 1;
  /** Operations that were rejected; and those whose answers were not heard, if they may be. */
  voids = [];
  open = [];

  /** The order for the next process; `least`: operations that must be there. */
  order({ directory, seed, operations, survives, ...rest }) {
    const least = survives === "sync" ? this.sync : Math.max(this.os, this.sync);
    const { epochs, intent: most, nextEpoch: epoch, voids, open } = this;
    return { directory, seed, epochs, least, most, epoch, operations, voids, open, ...rest };
  }

  /** What is known at this moment, for a copy of the disk. */
  copy() {
    return Object.assign(new Knowledge(), structuredClone({ ...this }));
  }

  /** Takes in what a process said. */
  hear(line) {
    const [word, number, indexes = ""] = line.split(" ");
    const value = Number(number);
    const listed = indexes === "" ? [] : indexes.split(",").map(Number);
    if (word === "prefix") {
      this.voids = listed;
      this.open = [];
      this.epochs = [...this.epochs.filter(({ from }) => from < value || from === 0)];
      this.epochs.push({ from: value, epoch: this.nextEpoch++ });
      this.intent = value;
      this.os = Math.min(this.os, value);
      this.sync = Math.min(this.sync, value);
    } else if (word === "intent") this.intent = Math.max(this.intent, value);
    else if (word === "os") this.os = Math.max(this.os, value);
    else if (word === "sync") this.sync = Math.max(this.sync, value);
    else if (word === "open") this.open = listed;
    else if (word === "settled") {
      this.voids = [...this.voids, ...listed];
      this.open = [];
    }
  }
}

/** Ends a process and those that it started: what traces a process leaves it alive. */
function killWithChildren(id) {
  try {
    for (const child of readFileSync(`/proc/${id}/task/${id}/children`, "utf8").split(" ")) {
      if (child !== "") killWithChildren(Number(child));
    }
  } catch {
    // No such list on this system: then nothing traces here.
  }
  try {
    process.kill(id, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/**
 * Runs the writer. `started` is called with the process once it runs, `opened` when it has checked
 * what it found, `heard` behind every other line that it said; each may end it. Resolves to `{ failure, done, prefix, lines }`.
 */
export function runRound(
  order,
  knowledge,
  { started, opened, heard: told, command = [], env = {}, writer = WRITER } = {},
) {
  const [program, ...args] = [...command, process.execPath, writer, JSON.stringify(order)];
  const child = spawn(program, args, {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const result = { failure: undefined, done: false, prefix: undefined, signal: null, codes: [] };
  let noise = "";
  child.stderr.on("data", (bytes) => (noise = `${noise}${bytes}`.slice(-4000)));
  let watch;
  const silent = () => {
    result.failure = `it said nothing for ${SILENCE_MS / 1000} s`;
    killWithChildren(child.pid);
  };
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(silent, SILENCE_MS);
  };
  heard();
  createInterface({ input: child.stdio[3] }).on("line", (line) => {
    heard();
    if (line.startsWith("failed ")) result.failure = line.slice(7);
    else if (line === "done") result.done = true;
    else if (line.startsWith("error ")) result.codes.push(line.slice(6));
    else {
      knowledge.hear(line);
      if (line.startsWith("prefix ")) {
        result.prefix = Number(line.split(" ")[1]);
        opened?.(child);
      }
      told?.(child);
    }
  });
  started?.(child);
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearTimeout(watch);
      result.signal = signal;
      if (code !== 0 && code !== null && code !== 137) {
        result.failure ??= `ended with code ${code}: ${noise}`;
      }
      resolve(result);
    });
  });
}

/** A process that checks one database after the other, as long as there are orders. */
export class Checker {
  #child;
  #lines;

  /** Resolves to `{ length, voids }` or `{ failure }`. One order at a time. */
  async ask(order) {
    this.#child ??= this.#start();
    this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    let watch;
    const silence = new Promise((resolve) => {
      watch = setTimeout(() => resolve({ done: true }), SILENCE_MS);
    });
    const { value, done } = await Promise.race([this.#lines.next(), silence]);
    clearTimeout(watch);
    if (!done) return JSON.parse(value);
    this.close();
    return { failure: "the check ended, or hangs" };
  }

  #start() {
    const child = spawn(process.execPath, [CHECKER], {
      stdio: ["pipe", "ignore", "inherit", "pipe"],
    });
    this.#lines = createInterface({ input: child.stdio[3] })[Symbol.asyncIterator]();
    return child;
  }

  close() {
    this.#child?.kill("SIGKILL");
    this.#child = undefined;
  }
}
