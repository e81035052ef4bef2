/**
 * A process that strace stops at each system call that may change a file, in whatever thread: its
 * directory is copied while all of its threads stand. That is what SIGKILL would leave.
 *
 * The stop comes behind the call, before its thread goes on. Calls of other threads that are under
 * way end first, and are in the same copy.
 */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Knowledge, runRound } from "./round.mjs";
import { CALLS, callIn, nameOf } from "./system-calls.mjs";

/** Of the system. */
const tools = { makePipe: "mkfifo" };

/** What the process says, as the system sees it. */
const SPOKEN = /^\d+ +write\(3<[^>]*>, "(\w+ \d+(?: [\d,]*)?)\\n"/;

/** Whether all threads of a process stand. */
function isStanding(id) {
  return readdirSync(`/proc/${id}/task`).every((thread) => {
    try {
      const stat = readFileSync(`/proc/${id}/task/${thread}/stat`, "latin1");
      return /\) [tT] /.test(stat);
    } catch {
      return true; // it ended
    }
  });
}

/** One process, from its trace. */
class StoppedProcess {
  changes = [];
  #directory;
  #one;
  #isWanted;
  #stopped;
  /** Known to the word when the process stands. */
  #said = new Knowledge();
  #counts = new Map();
  #behind = [];
  #id;

  constructor(one, { isWanted, stopped }) {
    this.#directory = one.directory;
    this.#one = one;
    this.#isWanted = isWanted;
    this.#stopped = stopped;
  }

  /** Takes in a line of the trace; returns whether the process is to be stopped for. */
  hear(line) {
    this.#id ??= Number(/^\d+/.exec(line)?.[0]);
    const spoken = SPOKEN.exec(line);
    if (spoken !== null) this.#said.hear(spoken[1]);
    const found = callIn(line, this.#directory);
    if (found?.isChange) {
      const { call, file } = found;
      const name = `${call} ${file}`;
      const nth = (this.#counts.get(name) ?? 0) + 1;
      this.#counts.set(name, nth);
      const change = { call, file, nth };
      if (this.#isWanted(change, this.changes.length)) this.#behind.push(change);
      this.changes.push(change);
    }
    return line.includes("--- SIGSTOP {");
  }

  /** Copies the directory if a wanted call is behind, and lets the process go on. */
  async passStop() {
    if (this.#behind.length > 0) {
      while (!isStanding(this.#id)) await sleep(1);
      await this.copy();
    }
    process.kill(this.#id, "SIGCONT");
  }

  /** Hands over a copy of the directory as it is, if a wanted call is behind. */
  async copy() {
    if (this.#behind.length === 0) return;
    const names = this.#behind.map(nameOf);
    this.#behind = [];
    const directory = `${this.#directory}-${this.changes.length}`;
    rmSync(directory, { recursive: true, force: true });
    if (existsSync(this.#directory)) cpSync(this.#directory, directory, { recursive: true });
    else mkdirSync(directory);
    const check = structuredClone(this.#said.order({ ...this.#one, directory }));
    await this.#stopped({ names, directory, check });
  }
}

/**
 * Runs an order. At each stop that has calls for which `isWanted(change, index)` is true behind it,
 * `stopped` is called with their names, a copy of the directory and the order that checks it; the
 * process goes on when that resolves. Resolves to the process's result and all its calls.
 */
export async function stopAtCalls(order, one, log, work) {
  execFileSync(tools.makePipe, [log]);
  const calls = CALLS.join(",");
  const command = ["strace", "-f", "-qqq", "-y", "-s", "32", "-o", log];
  command.push("-e", `trace=${calls}`, "-e", `inject=${calls}:signal=STOP`);
  const running = runRound(order, new Knowledge(), { command });
  const stoppedProcess = new StoppedProcess(one, work);
  for await (const line of createInterface({ input: createReadStream(log) })) {
    if (stoppedProcess.hear(line)) await stoppedProcess.passStop();
  }
  const result = await running;
  await stoppedProcess.copy();
  return { result, changes: stoppedProcess.changes };
}
